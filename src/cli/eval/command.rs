//! `wellspring eval`: measures policies on labelled questions.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::page::Page;
use super::policy::Policy;
use super::stream::{self, Stream};
use super::thresholds::Terms;
use super::{Examiner, pair_report, parse, queries, text};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::input;
use crate::cli::output::{self, Unit};
use crate::cli::whole_file::WholeFile;
use crate::criterion::Criterion;

/// The similarity that policies without a budget are compared at unless the settings have one. Nothing is served by it,
/// and every report shows it.
const COMPARED_AT: f32 = 0.92;

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
    /// Write the report as a page with plots and examples to this file, too
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

impl How {
    async fn examiner(&self, context: &Context) -> crate::Result<Examiner> {
        let config = &context.config;
        let scores = self.policies.iter().any(|policy| policy.scores());
        let scorer = if scores { config.open_scorer().await? } else { None };
        let calibration = config.open_calibration(scorer.as_deref()).await?;
        Ok(Examiner { guards: config.guards(), calibration, scorer })
    }

    fn terms(&self, context: &Context) -> crate::Result<Terms> {
        Criterion::MaxFalseHitRate(self.budget).checked()?;
        let similarity = context.config.criterion().similarity().unwrap_or(COMPARED_AT);
        Ok(Terms { budget: self.budget, similarity })
    }

    /// The file of the page, opened before anything that takes long.
    fn page(&self) -> anyhow::Result<Option<WholeFile>> {
        self.report.as_deref().map(WholeFile::create).transpose()
    }
}

pub(crate) async fn run(args: EvalArgs, context: &Context) -> anyhow::Result<Exit> {
    match args.data {
        Data::Pairs(args) => pairs(args, context).await,
        Data::Stream(args) => stream(args, context).await,
    }
}

async fn pairs(args: PairsArgs, context: &Context) -> anyhow::Result<Exit> {
    let terms = args.how.terms(context)?;
    let page = args.how.page()?;
    let pairs = parse(&content(&args.file, "the pairs")?)?;
    let calibrate_on = match &args.calibrate_on {
        Some(file) => Some(parse(&content(file, "the pairs")?)?),
        None => None,
    };
    let embedder = context.config.open_embedder().await?;
    let examiner = args.how.examiner(context).await?;
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
        output::line(text::of_pairs(&report))?;
    }
    let data = [("pairs", Some(&*args.file)), ("calibrated on", args.calibrate_on.as_deref())];
    write(page, || Page::of_pairs(&report, &data).render())
}

async fn stream(args: StreamArgs, context: &Context) -> anyhow::Result<Exit> {
    let terms = args.how.terms(context)?;
    let page = args.how.page()?;
    let cached = queries::cached(&content(&args.cached, "the cached questions")?)?;
    let asked = queries::queries(&content(&args.queries, "the queries")?, &cached)?;
    let calibrate_on = match &args.calibrate_on {
        Some(file) => Some(queries::queries(&content(file, "the queries")?, &cached)?),
        None => None,
    };
    let embedder = context.config.open_embedder().await?;
    let examiner = args.how.examiner(context).await?;
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
        output::line(text::of_stream(&report))?;
    }
    let data = [
        ("cached questions", Some(&*args.cached)),
        ("queries", Some(&*args.queries)),
        ("calibrated on", args.calibrate_on.as_deref()),
    ];
    write(page, || Page::of_stream(&report, &data).render())
}

fn write(page: Option<WholeFile>, render: impl FnOnce() -> String) -> anyhow::Result<Exit> {
    if let Some(mut page) = page {
        let path = page.path().display().to_string();
        page.write_all(render().as_bytes())?;
        page.finish()?;
        output::note(format_args!("report written to {path}"));
    }
    Ok(Exit::Success)
}

/// The content of `file`, or the standard input.
pub(crate) fn content(file: &str, what: &str) -> crate::Result<String> {
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
