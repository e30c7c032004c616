//! `wellspring feedback`: tells whether a served answer was right, and shows what was told.

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::context::{Context, invalid};
use crate::cli::exit::Exit;
use crate::cli::{judgements, output, units};
use crate::config::Opening;
use crate::judgement::Feedback;
use crate::key::{Corpus, EntryId};

/// Tell whether a served answer was right
///
/// A wrong answer is removed, and never served again for the question that it was wrong for. Without an entry, prints
/// what was said so far and not revoked, by judges, too, as JSON lines of labelled pairs.
#[derive(Debug, Args)]
pub(crate) struct FeedbackArgs {
    /// The entry, as `get --json` names it
    #[arg(requires = "verdict")]
    entry: Option<EntryId>,
    /// What to say of it
    verdict: Option<Said>,
    /// The question that it was served for; its own if none is given
    #[arg(long)]
    question: Option<String>,
    /// The body of documents that the answer derives from
    #[arg(long, default_value_t)]
    corpus: Corpus,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Said {
    Right,
    Wrong,
}

pub(crate) async fn run(args: FeedbackArgs, context: &Context) -> anyhow::Result<Exit> {
    let (Some(entry), Some(said)) = (args.entry, args.verdict) else { return list(context).await };
    let feedback = match said {
        Said::Right => Feedback::Right,
        Said::Wrong => Feedback::Wrong,
    };
    let cache = context.config.open_cache(Opening::Existing).await?;
    let known = cache.feedback_on(&args.corpus, entry, args.question.as_deref(), feedback).await?;
    let record = cache.record_of(entry);
    cache.close().await?;
    if !known {
        return Err(invalid(format!("no answer {entry} is stored in the corpus {}", args.corpus)).into());
    }
    if context.json {
        output::json(&json!({ "entry": entry, "right": record.right, "wrong": record.wrong }))?;
    } else {
        let removed = if feedback == Feedback::Wrong { ", removed" } else { "" };
        output::note(format_args!(
            "{}{removed}: right {}, wrong {} times so far",
            units::short(entry),
            record.right,
            record.wrong
        ));
    }
    Ok(Exit::Success)
}

async fn list(context: &Context) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    for (_, judgement) in judgements::in_force(&*store).await? {
        let label = u8::from(judgement.feedback == Feedback::Right);
        output::json_line(&json!({
            "a": judgement.cached_question, "b": judgement.question, "label": label,
            "similarity": judgement.similarity, "judge": judgement.judge, "entry": judgement.cached,
            "corpus": judgement.corpus, "at": judgement.at,
        }))?;
    }
    store.close().await?;
    Ok(Exit::Success)
}
