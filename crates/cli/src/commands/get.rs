//! `wellspring get`: looks an answer up.

use anyhow::anyhow;
use clap::Args;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use serde_json::json;
use wellspring::cache::{BypassReason, Cache, Hit, Lookup, Query, Tier};

use crate::commands::context::Context;
use crate::commands::entry_view::{EntryJson, age, dependencies, left};
use crate::commands::exit::Exit;
use crate::commands::input::invalid;
use crate::commands::match_policy::MatchPolicyArgs;
use crate::commands::scope::ScopeArgs;
use crate::commands::{input, output, units};
use crate::config::Opening;

/// Look up the answer to a question
///
/// The answer is printed on standard output, its details on standard error. A hit counts as it does in an application.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The question; - reads it from standard input
    question: String,
    #[command(flatten)]
    match_policy: MatchPolicyArgs,
    /// Accept only an exact match
    #[arg(long, conflicts_with_all = ["threshold", "max_false_hit_rate"])]
    exact: bool,
    /// Print only the answer
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    scope: ScopeArgs,
}

#[derive(Serialize)]
struct HitJson<'a> {
    outcome: &'static str,
    #[serde(flatten)]
    tier: Tier,
    age_ms: u64,
    #[serde(flatten)]
    entry: EntryJson<'a>,
}

pub(crate) async fn run(args: GetArgs, context: &Context) -> anyhow::Result<Exit> {
    let mut query = args.match_policy.apply(args.scope.query(input::question(args.question)?));
    if args.exact {
        query = query.exact_only();
    }
    let cache = context.config.open_cache(Opening::Existing).await?;
    let exit = match cache.lookup(query.clone()).await? {
        Lookup::Hit(hit) => {
            show(&hit, args.quiet, context.json)?;
            Exit::Success
        }
        Lookup::Miss(permit) => {
            if context.json {
                output::json(&json!({ "outcome": "miss", "entry": permit.entry_id() }))?;
            } else if !args.quiet {
                output::note(format_args!("{}; `wellspring why` explains it", "miss".yellow().bold()));
            }
            Exit::Miss
        }
        Lookup::Bypass(reason) => return Err(cause(&cache, query, reason).await),
        _ => anyhow::bail!("the cache returned an outcome that this command does not know"),
    };
    // The hit is counted in the background, after the lookup.
    cache.close().await?;
    Ok(exit)
}

fn show(hit: &Hit, quiet: bool, json: bool) -> anyhow::Result<()> {
    let entry = &hit.entry;
    if json {
        return output::json(&HitJson {
            outcome: "hit",
            tier: hit.tier,
            age_ms: u64::try_from(hit.age.as_millis()).unwrap_or(u64::MAX),
            entry: EntryJson::new(entry),
        });
    }
    output::line(&entry.answer.text)?;
    if quiet {
        return Ok(());
    }
    let (tier, asked) = match hit.tier {
        Tier::Semantic { similarity, .. } => {
            (format!("semantic hit, similarity {similarity:.3}"), entry.question.to_string())
        }
        _ => ("exact hit".to_owned(), String::new()),
    };
    let negative = if entry.answer.negative { ", negative" } else { "" };
    output::note(format_args!(
        "\n{}",
        output::fields(&[
            ("found", format!("{}{negative}", tier.green())),
            ("answers", asked),
            ("stored", format!("{} ago, {} left", age(entry), left(entry))),
            ("from", dependencies(&entry.dependencies).join(", ")),
            ("entry", units::short(entry.id)),
        ])
    ));
    Ok(())
}

/// What broke: a lookup only bypasses it, but an explanation reports it.
pub(crate) async fn cause(cache: &Cache, query: Query, reason: BypassReason) -> anyhow::Error {
    match (cache.explain(query).await, reason) {
        (Err(error), _) => error.into(),
        (Ok(_), BypassReason::Store) => anyhow!("the store failed temporarily, try again"),
        (Ok(_), BypassReason::FollowUp) => invalid(
            "the question follows up on another one, so its answer belongs to a conversation; ask it in full, or set \
             match.follow_ups to \"match\"",
        )
        .into(),
        (Ok(_), BypassReason::Embedder) => anyhow!("the embedder failed temporarily, try again"),
        (Ok(_), _) => anyhow!("the verifier failed temporarily, try again"),
    }
}
