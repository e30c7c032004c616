//! `wellspring judgements`: what a judge decided, and taking it back.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use owo_colors::OwoColorize as _;
use serde::Serialize;
use serde_json::json;
use wellspring::clock::Timestamp;
use wellspring::error::Result;
use wellspring::judgement::{self, Feedback, Judge, Judgement, JudgementCursor, Logged, Revocation};
use wellspring::store::Store;

use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::input::invalid;
use crate::commands::output::{self, Column, table};
use crate::commands::units;

/// How much of the log is read at a time.
const PAGE: usize = 1_000;

/// List the decisions of judges, and revoke them
///
/// An approved answer is served for that question from then on; a refused one is not. A revocation takes effect within
/// about a second in every process that shares the store. The feedback of callers is not affected; see `feedback
/// --reset`.
#[derive(Debug, Args)]
pub(crate) struct JudgementsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the decisions in force, newest first
    List(ListArgs),
    /// Revoke decisions
    ///
    /// Decisions that are named by id are not put to a judge again. Others may be judged again.
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// The most decisions to show
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Only decisions of this judge, such as a model's name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Only decisions since this time: "2h" ago, or a time such as 2026-05-01T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only approvals, or only refusals
    #[arg(long, value_name = "VERDICT", value_enum)]
    verdict: Option<Verdict>,
}

#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = true)]
struct RevokeArgs {
    /// Decisions with these ids, as `list` shows them
    #[arg(value_name = "ID", conflicts_with_all = ["by", "since", "all"])]
    ids: Vec<JudgementCursor>,
    /// Decisions of this judge
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Decisions since this time: "2h" ago, or a time such as 2026-05-01T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// All decisions
    #[arg(long, conflicts_with_all = ["by", "since"])]
    all: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Verdict {
    /// The answer was approved for the question
    Right,
    /// The answer was refused for the question
    Wrong,
}

impl From<Feedback> for Verdict {
    fn from(feedback: Feedback) -> Self {
        match feedback {
            Feedback::Right => Self::Right,
            Feedback::Wrong => Self::Wrong,
        }
    }
}

#[derive(Serialize)]
struct Listing<'a> {
    total: usize,
    judgements: Vec<Listed<'a>>,
}

#[derive(Serialize)]
struct Listed<'a> {
    id: JudgementCursor,
    #[serde(flatten)]
    judgement: &'a Judgement,
}

/// The judgements that were not revoked, including those of callers.
pub(crate) async fn in_force(store: &dyn Store) -> Result<Vec<(JudgementCursor, Judgement)>> {
    let mut log = Vec::new();
    loop {
        let page = store.judgements(log.last().map(|(cursor, _)| *cursor), PAGE).await?;
        if page.is_empty() {
            return Ok(judgement::in_force(log));
        }
        log.extend(page);
    }
}

/// How long ago, or a point in time.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    let ago = |span: Duration| {
        let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis(Context::now().as_millis().saturating_sub(span))
    };
    let parsed = humantime::parse_duration(text).ok().map(ago).or_else(|| units::parse_rfc3339(text));
    parsed.ok_or_else(|| "expected a span such as 2h, or a time such as 2026-05-01T08:00:00Z".into())
}

pub(crate) async fn run(args: JudgementsArgs, context: &Context) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let judged = in_force(&*store).await?;
    let judged: Vec<_> = judged.into_iter().filter(|(_, one)| one.judge != Judge::Caller).collect();
    match args.action {
        Action::List(args) => list(&args, &judged, context.json)?,
        Action::Revoke(args) => {
            let mut revoked = 0;
            for revocation in args.revocations(&judged)? {
                revoked += judged.iter().filter(|(_, judgement)| revocation.covers(judgement)).count() as u64;
                store.record_judgement(&Logged::Revocation { revoke: revocation }).await?;
            }
            if context.json {
                output::json(&json!({ "revoked": revoked }))?;
            } else {
                output::line(format_args!("{} revoked", units::counted(revoked, "judgement").bold()))?;
            }
        }
    }
    store.close().await?;
    Ok(Exit::Success)
}

impl RevokeArgs {
    fn revocations(self, judged: &[(JudgementCursor, Judgement)]) -> Result<Vec<Revocation>> {
        if self.ids.is_empty() {
            let revocation = self.by.into_iter().fold(Revocation::everything(), Revocation::by);
            return Ok(vec![self.since.into_iter().fold(revocation, Revocation::since)]);
        }
        let of_pair = |id: &JudgementCursor| {
            let found = judged.iter().find(|(cursor, _)| cursor == id);
            let (_, judgement) =
                found.ok_or_else(|| invalid(format!("no decision {id} of a judge is in force")))?;
            Ok(Revocation::of_pair(judgement.asked, judgement.cached))
        };
        self.ids.iter().map(of_pair).collect()
    }
}

fn list(args: &ListArgs, judged: &[(JudgementCursor, Judgement)], json: bool) -> anyhow::Result<()> {
    let is_wanted = |judgement: &Judgement| {
        args.by.as_deref().is_none_or(|by| judgement.by.as_deref() == Some(by))
            && args.since.is_none_or(|since| judgement.at >= since)
            && args.verdict.is_none_or(|verdict| verdict == judgement.feedback.into())
    };
    let wanted: Vec<_> = judged.iter().rev().filter(|(_, judgement)| is_wanted(judgement)).collect();
    let shown = wanted.iter().take(args.limit);
    if json {
        let judgements = shown.map(|(id, judgement)| Listed { id: *id, judgement }).collect();
        return output::json(&Listing { total: wanted.len(), judgements });
    }
    if wanted.is_empty() {
        return output::line("no decision of a judge is in force");
    }
    let columns = [
        Column::Left("ID"),
        Column::Right("AGE"),
        Column::Left("JUDGE"),
        Column::Left("VERDICT"),
        Column::Right("SURE"),
        Column::Left("ENTRY"),
        Column::Rest("QUESTION"),
        Column::Rest("CACHED QUESTION"),
    ];
    let now = Context::now();
    let rows = shown.map(|(id, judgement)| {
        vec![
            id.to_string(),
            units::span(now.saturating_since(judgement.at)),
            judgement.by.as_deref().unwrap_or_default().to_owned(),
            if judgement.feedback == Feedback::Right { "right" } else { "wrong" }.to_owned(),
            judgement.confidence.map(|confidence| format!("{confidence:.2}")).unwrap_or_default(),
            units::short(judgement.cached),
            judgement.question.to_string(),
            judgement.cached_question.to_string(),
        ]
    });
    output::line(table(&columns, rows))?;
    if wanted.len() > args.limit {
        let rest =
            format!("\n{} of {}, see --limit", args.limit, units::counted(wanted.len() as u64, "judgement"));
        output::line(rest.dimmed())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_span_or_a_point() {
        assert_eq!(time("2025-11-21T08:00:00.123Z"), Ok(Timestamp::from_millis(1_763_712_000_123)));
        let hour = Context::now().saturating_since(time("1h").unwrap());
        assert!((3_599..=3_601).contains(&hour.as_secs()), "{hour:?}");
        assert!(time("yesterday").is_err());
    }
}
