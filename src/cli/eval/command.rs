//! `wellspring eval`: measures the configured model and guards on labelled pairs.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use owo_colors::OwoColorize as _;

use super::metrics::{Scores, ThresholdRow};
use super::{Policy, Report, evaluate, parse};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::output::{self, Column, Unit, table};
use crate::cli::{input, units};
use crate::verify::Threshold;

/// Measure on labelled pairs how well the model tells questions apart
///
/// Each line of the file is {"a": "…", "b": "…", "label": 1}: whether the answer to question a answers
/// question b. Shown are the plain threshold and the threshold with the configured guards. A hit is a
/// pair that is accepted, a false hit one that is accepted and labelled 0.
#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// The pairs, as JSON lines; - reads the standard input
    file: String,
}

pub(crate) async fn run(args: EvalArgs, context: &Context) -> anyhow::Result<Exit> {
    let text = match args.file.as_str() {
        "-" => input::standard_input("the pairs")?,
        file => input::file(Path::new(file), "the pairs")?,
    };
    let pairs = parse(&text)?;
    let embedder = context.config.open_embedder().await?;
    let policies: [Policy; 2] =
        [("threshold", Arc::new(Threshold::new())), ("threshold+guards", Arc::new(context.config.guards()))];
    let bar = output::progress("embedding", Some(0), Unit::Items);
    let mut progress = |done: usize, all: usize| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    };
    let report = evaluate(&*embedder, &policies, &pairs, &mut progress).await;
    bar.finish_and_clear();
    let report = report?;
    if context.json {
        output::json(&report)?;
    } else {
        output::line(text_of(&report))?;
    }
    Ok(Exit::Success)
}

fn text_of(report: &Report) -> String {
    let pairs = format!(
        "{}, {} the same question, {} different",
        units::count(report.pairs as u64),
        units::count(report.positives as u64),
        units::count(report.negatives as u64)
    );
    let too_long = if report.too_long == 0 { String::new() } else { units::count(report.too_long as u64) };
    let mut text =
        output::fields(&[("model", report.model.clone()), ("pairs", pairs), ("too long", too_long)]);
    for policy in &report.policies {
        let Scores { roc_auc, average_precision, best_f1, thresholds } = &policy.scores;
        let best = best_f1.map(|best| format!(", best F1 {:.3} at {:.3}", best.f1, best.threshold));
        let _ = write!(
            text,
            "\n\n{}\nROC-AUC {}, average precision {}{}\n{}",
            policy.policy.bold(),
            number(*roc_auc),
            number(*average_precision),
            best.unwrap_or_default(),
            thresholds_table(thresholds)
        );
    }
    text
}

fn thresholds_table(rows: &[ThresholdRow]) -> String {
    let columns = [
        Column::Right("THRESHOLD"),
        Column::Right("HITS"),
        Column::Right("RECALL"),
        Column::Right("PRECISION"),
        Column::Right("FALSE HITS"),
        Column::Right("UPPER 95 %"),
    ];
    table(
        &columns,
        rows.iter().map(|row| {
            vec![
                format!("{:.2}", row.threshold),
                percent(Some(row.hit_rate)),
                percent(row.recall),
                percent(row.precision),
                percent(row.false_hits_per_hit),
                percent(Some(row.false_hits_per_hit_upper95)),
            ]
        }),
    )
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.3}"))
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".into(), |share| format!("{:.1} %", 100.0 * share))
}
