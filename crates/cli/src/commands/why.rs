//! `wellspring why`: explains a hit or a miss.

use std::fmt::Write as _;

use clap::Args;
use owo_colors::OwoColorize as _;
use wellspring::cache::{EntryState, ExplainedCandidate, Explanation};

use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::match_policy::MatchPolicyArgs;
use crate::commands::scope::ScopeArgs;
use crate::commands::{input, output, units};
use crate::config::Opening;

/// Explain why a question is a hit or a miss
///
/// Shows the nearest stored questions, even dissimilar ones, and every verdict on each. Nothing is counted or stored.
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// The question; - reads it from standard input
    question: String,
    /// Accept only an exact match
    #[arg(long, conflicts_with_all = ["threshold", "max_false_hit_rate"])]
    exact: bool,
    #[command(flatten)]
    match_policy: MatchPolicyArgs,
    #[command(flatten)]
    scope: ScopeArgs,
}

pub(crate) async fn run(args: WhyArgs, context: &Context) -> anyhow::Result<Exit> {
    let mut query = args.match_policy.apply(args.scope.query(input::question(args.question)?));
    if args.exact {
        query = query.exact_only();
    }
    let cache = context.config.open_cache(Opening::Existing).await?;
    let explanation = cache.explain(query).await?;
    cache.close().await?;
    if context.json {
        output::json(&explanation)?;
    } else {
        output::line(text(&explanation))?;
    }
    Ok(Exit::Success)
}

fn text(explanation: &Explanation) -> String {
    let exact = match explanation.exact_state {
        EntryState::Absent => "no answer to exactly this question".to_owned(),
        state => format!("{}  {}", units::short(explanation.exact), describe(state)),
    };
    let mut text = output::fields(&[
        ("question", explanation.question.clone()),
        ("corpus", explanation.corpus.to_string()),
        ("scope", explanation.scope.to_string()),
        ("accepted", explanation.match_policy.to_string()),
        ("exact", exact),
    ]);
    if !explanation.candidates.is_empty() {
        text.push_str("\n\nnearest other questions\n");
    }
    for candidate in &explanation.candidates {
        add_candidate(&mut text, candidate);
    }
    let decision = &explanation.decision;
    let decision = match explanation.served {
        Some(_) => decision.green().bold().to_string(),
        None => decision.yellow().bold().to_string(),
    };
    let _ = write!(text, "\n{decision}");
    text
}

fn add_candidate(text: &mut String, candidate: &ExplainedCandidate) {
    let question = candidate.question.as_deref().unwrap_or("(its answer is not served)");
    let _ = writeln!(
        text,
        "\n  {}  {}  {question}",
        format_args!("{:.3}", candidate.similarity).bold(),
        units::short(candidate.entry).dimmed(),
    );
    let mut add = |passed: bool, name: &str, detail: &str| {
        let mark = if passed { "✓".green().to_string() } else { "✗".red().to_string() };
        let _ = writeln!(text, "    {mark} {name:10} {}", detail.dimmed());
    };
    add(candidate.state == EntryState::Live, "clock", &describe(candidate.state));
    for check in &candidate.checks {
        add(check.passed, check.name, &check.detail);
    }
    let times: Vec<String> =
        candidate.stages.iter().map(|run| format!("{} {:.0} µs", run.stage.name(), run.took_us)).collect();
    if !times.is_empty() {
        let _ = writeln!(text, "      {}", times.join(", ").dimmed());
    }
}

fn describe(state: EntryState) -> String {
    match state {
        EntryState::Live => "live".into(),
        EntryState::Absent => "no longer stored".into(),
        EntryState::Dead(reason) => reason.to_string(),
        _ => "in another state".into(),
    }
}
