//! `wellspring feedback`: records whether a served answer was right, and shows what was recorded.

use clap::{Args, ValueEnum};
use serde_json::json;
use wellspring::clock::Timestamp;
use wellspring::judgement::{Feedback, Logged, Revocation};
use wellspring::key::{Corpus, EntryId};

use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::input::invalid;
use crate::commands::{judgements, output, units};
use crate::config::Opening;

/// Report whether a served answer was right
///
/// A wrong answer is removed, and it is never served again for the question that it was wrong for. Without an entry,
/// the command prints all feedback and judgements that were not revoked, as JSON lines of labelled pairs. With --reset,
/// the feedback of callers no longer counts, and whatever was learned from it is learned again without it. Answers that
/// the feedback removed stay removed.
#[derive(Debug, Args)]
pub(crate) struct FeedbackArgs {
    /// The entry, as `get --json` names it
    #[arg(requires = "verdict")]
    entry: Option<EntryId>,
    /// The verdict on it
    verdict: Option<Said>,
    /// The question that it was served for [default: its own]
    #[arg(long)]
    question: Option<String>,
    /// The body of documents that the answer derives from
    #[arg(long, default_value_t)]
    corpus: Corpus,
    /// Revoke the feedback of callers: all of it, or the part that --by and --since select
    #[arg(long, conflicts_with_all = ["entry", "question"])]
    reset: bool,
    /// Only feedback from this caller, named as in the list, such as token:NAME
    #[arg(long, value_name = "NAME", requires = "reset")]
    by: Option<String>,
    /// Only feedback since this time: "2h" ago, or a time such as 2026-05-01T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = judgements::time, requires = "reset")]
    since: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Said {
    Right,
    Wrong,
}

pub(crate) async fn run(args: FeedbackArgs, context: &Context) -> anyhow::Result<Exit> {
    if args.reset {
        return reset(args, context).await;
    }
    let (Some(entry), Some(said)) = (args.entry, args.verdict) else { return list(context).await };
    let feedback = match said {
        Said::Right => Feedback::Right,
        Said::Wrong => Feedback::Wrong,
    };
    let cache = context.config.open_cache(Opening::Existing).await?;
    let entry = cache.named(&args.corpus, entry).await?;
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

async fn reset(args: FeedbackArgs, context: &Context) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let revoke = args.by.into_iter().fold(Revocation::feedback(), Revocation::by);
    let revoke = args.since.into_iter().fold(revoke, Revocation::since);
    let said = judgements::in_force(&*store).await?;
    let revoked = said.iter().filter(|(_, judgement)| revoke.covers(judgement)).count() as u64;
    store.record_judgement(&Logged::Revocation { revoke }).await?;
    store.close().await?;
    if context.json {
        output::json(&json!({ "revoked": revoked }))?;
    } else {
        output::note(format_args!("{} of callers revoked", units::counted(revoked, "judgement")));
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
            "corpus": judgement.corpus, "scope": judgement.scope, "by": judgement.by, "at": judgement.at,
        }))?;
    }
    store.close().await?;
    Ok(Exit::Success)
}
