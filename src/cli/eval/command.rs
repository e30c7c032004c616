//! `wellspring eval`: measures policies on labelled questions.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use clap::{Args, Subcommand};
use owo_colors::OwoColorize as _;

use super::pair_report::{self, PairReport};
use super::policy::Policy;
use super::stream::{self, Kept, Stream, StreamReport};
use super::thresholds::Terms;
use super::{Examiner, parse, queries};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::output::{self, Column, Unit, table};
use crate::cli::{input, units};
use crate::verify::{CrossEncoder, PairScorer};

/// Measure on labelled questions how well policies tell them apart
#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    #[command(subcommand)]
    data: Data,
}

#[derive(Debug, Subcommand)]
enum Data {
    Pairs(PairsArgs),
    Stream(StreamArgs),
}

/// On pairs: is the answer to the first question right for the second?
///
/// Each line of the file is {"a": "…", "b": "…", "label": 1}: whether the answer to question a answers
/// question b. A hit is a pair that is accepted, a false hit one that is accepted and labelled 0.
#[derive(Debug, Args)]
struct PairsArgs {
    /// The pairs, as JSON lines; - reads the standard input
    file: String,
    /// Choose thresholds on these pairs, and fit `learned` to them
    #[arg(long, value_name = "FILE")]
    calibrate_on: Option<String>,
    #[command(flatten)]
    how: How,
}

/// On a stream: queries against cached questions, as a cache meets them
///
/// Lines of --cached are {"id": "…", "q": "…"}, lines of --queries {"q": "…", "expect": id or null}.
#[derive(Debug, Args)]
struct StreamArgs {
    /// The cached questions, as JSON lines
    #[arg(long, value_name = "FILE")]
    cached: String,
    /// The queries, as JSON lines; - reads the standard input
    #[arg(long, value_name = "FILE")]
    queries: String,
    /// Choose thresholds on these other queries, and fit `learned` to them
    #[arg(long, value_name = "FILE")]
    calibrate_on: Option<String>,
    /// Compare at this hit rate, whatever the thresholds
    #[arg(long, value_name = "SHARE", conflicts_with = "calibrate_on")]
    hit_rate: Option<f64>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct How {
    /// What to compare
    #[arg(long = "policy", value_delimiter = ',', default_values = ["threshold", "guards", "verifier"])]
    policies: Vec<Policy>,
    /// The greatest share of false hits among hits
    #[arg(long, value_name = "SHARE", default_value_t = 0.02)]
    budget: f64,
}

impl How {
    fn examiner(&self, context: &Context) -> crate::Result<Examiner> {
        let scorer: Option<Arc<dyn PairScorer>> = if self.policies.iter().any(|policy| policy.scores()) {
            Some(Arc::new(CrossEncoder::bundled()?))
        } else {
            None
        };
        Ok(Examiner { guards: context.config.guards(), scorer })
    }

    fn terms(&self, context: &Context) -> Terms {
        Terms { budget: self.budget, similarity: context.config.criterion().similarity() }
    }
}

pub(crate) async fn run(args: EvalArgs, context: &Context) -> anyhow::Result<Exit> {
    match args.data {
        Data::Pairs(args) => pairs(args, context).await,
        Data::Stream(args) => stream(args, context).await,
    }
}

async fn pairs(args: PairsArgs, context: &Context) -> anyhow::Result<Exit> {
    let pairs = parse(&text(&args.file, "the pairs")?)?;
    let calibrate_on = match &args.calibrate_on {
        Some(file) => Some(parse(&text(file, "the pairs")?)?),
        None => None,
    };
    let embedder = context.config.open_embedder().await?;
    let examiner = args.how.examiner(context)?;
    let terms = args.how.terms(context);
    let (bar, mut progress) = progress();
    let policies = &args.how.policies;
    let data = calibrate_on.as_deref();
    let report =
        pair_report::evaluate(&*embedder, &examiner, policies, &pairs, data, terms, &mut progress).await;
    bar.finish_and_clear();
    let report = report?;
    if context.json {
        output::json(&report)?;
    } else {
        output::line(text_of_pairs(&report))?;
    }
    Ok(Exit::Success)
}

async fn stream(args: StreamArgs, context: &Context) -> anyhow::Result<Exit> {
    let cached = queries::cached(&text(&args.cached, "the cached questions")?)?;
    let asked = queries::queries(&text(&args.queries, "the queries")?, &cached)?;
    let calibrate_on = match &args.calibrate_on {
        Some(file) => Some(queries::queries(&text(file, "the queries")?, &cached)?),
        None => None,
    };
    let embedder = context.config.open_embedder().await?;
    let examiner = args.how.examiner(context)?;
    let terms = args.how.terms(context);
    let stream = Stream {
        cached: &cached,
        queries: &asked,
        calibrate_on: calibrate_on.as_deref(),
        candidates: context.config.matching.candidates,
        hit_rate: args.hit_rate,
    };
    let (bar, mut progress) = progress();
    let report =
        stream::evaluate(&*embedder, &examiner, &args.how.policies, stream, terms, &mut progress).await;
    bar.finish_and_clear();
    let report = report?;
    if context.json {
        output::json(&report)?;
    } else {
        output::line(text_of_stream(&report))?;
    }
    Ok(Exit::Success)
}

pub(crate) fn text(file: &str, what: &str) -> crate::Result<String> {
    match file {
        "-" => input::standard_input(what),
        file => input::file(Path::new(file), what),
    }
}

/// A bar that shows how many texts have been embedded, and what moves it.
pub(crate) fn progress() -> (indicatif::ProgressBar, impl FnMut(usize, usize) + Send) {
    let bar = output::progress("embedding", Some(0), Unit::Items);
    let shown = bar.clone();
    let progress = move |done: usize, all: usize| {
        shown.set_length(all as u64);
        shown.set_position(done as u64);
    };
    (bar, progress)
}

fn text_of_pairs(report: &PairReport) -> String {
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
        let scores = &policy.scores;
        let best = scores.best_f1.map(|best| format!(", best F1 {:.3} at {:.3}", best.f1, best.threshold));
        let _ = write!(
            text,
            "\n\n{}\nROC-AUC {}, average precision {}{}\n{}\n{}",
            policy.policy.bold(),
            number(scores.roc_auc),
            number(scores.average_precision),
            best.unwrap_or_default(),
            match policy.threshold {
                Some(threshold) => format!(
                    "At {threshold:.4}: {} of the same and {} of the different ones accepted, {} of the hits false (95 %: up to {})",
                    percent(policy.accepted_positive),
                    percent(policy.accepted_negative),
                    percent(policy.false_hits_per_hit),
                    percent(Some(policy.false_hits_per_hit_upper95)),
                ),
                None => "The calibration data are insufficient for the budget".into(),
            },
            thresholds_table(&scores.thresholds)
        );
    }
    text
}

fn text_of_stream(report: &StreamReport) -> String {
    let mut text = output::fields(&[
        ("model", report.model.clone()),
        ("cached questions", units::count(report.cached as u64)),
        ("queries", units::count(report.queries as u64)),
        ("answerable", percent(Some(report.answerable))),
        ("budget", percent(Some(report.budget))),
    ]);
    let columns = [
        Column::Left("POLICY"),
        Column::Right("THRESHOLD"),
        Column::Right("HITS"),
        Column::Right("FALSE HITS"),
        Column::Right("UPPER 95 %"),
        Column::Right("ANSWERED RIGHT"),
        Column::Right("P50 MS"),
        Column::Right("P99 MS"),
        Column::Left("BUDGET"),
    ];
    let rows = report.policies.iter().map(|policy| {
        vec![
            policy.policy.to_owned(),
            policy.threshold.map_or_else(|| "–".into(), |threshold| format!("{threshold:.4}")),
            percent(Some(policy.hit_rate)),
            percent(policy.false_hits_per_hit),
            percent(Some(policy.false_hits_per_hit_upper95)),
            percent(policy.correct_on_positives),
            format!("{:.3}", policy.p50_ms),
            format!("{:.3}", policy.p99_ms),
            match policy.budget {
                Kept::Within => "kept",
                Kept::Exceeded => "exceeded",
                Kept::Insufficient => "insufficient data",
            }
            .to_owned(),
        ]
    });
    let _ = write!(text, "\n\n{}", table(&columns, rows));
    let columns = [
        Column::Left("STAGE"),
        Column::Right("RUNS PER QUERY"),
        Column::Right("P50 µS"),
        Column::Right("P99 µS"),
    ];
    let rows = report.stages.iter().map(|stage| {
        vec![
            stage.stage.to_owned(),
            format!("{:.2}", stage.runs_per_query),
            format!("{:.1}", stage.p50_us),
            format!("{:.1}", stage.p99_us),
        ]
    });
    let _ = write!(text, "\n\n{}", table(&columns, rows));
    text
}

fn thresholds_table(rows: &[super::metrics::ThresholdRow]) -> String {
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
