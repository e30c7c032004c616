//! `wellspring eval`: measures policies on labelled questions.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use wellspring::cache::DEFAULT_CANDIDATES;
use wellspring::clock::ManualClock;
use wellspring::embed::Embedder;
use wellspring::error::{Error, ErrorKind};
use wellspring::judge::DEFAULT_BATCH;
use wellspring::match_policy::MatchPolicy;
use wellspring::store::MemoryStore;
use wellspring::verify::Calibration;
use wellspring_eval::adversarial;
use wellspring_eval::examined::Examiner;
use wellspring_eval::pairs::parse;
use wellspring_eval::policy::Policy;
use wellspring_eval::replay::{self, Judging, Plan};
use wellspring_eval::review::Review;
use wellspring_eval::stream::{self, Stream};
use wellspring_eval::thresholds::Terms;
use wellspring_eval::{control, pair_report, queries};

use super::page::Page;
use super::text;
use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::input;
use crate::commands::output::{self, Unit};
use crate::commands::units;
use crate::commands::whole_file::WholeFile;
use crate::config::made_for;

/// The similarity at which policies without a budget are compared, unless the settings have one. It is not
/// used to serve anything, and every report shows it.
const COMPARED_AT: f32 = 0.92;

/// Measure on labelled questions how well policies distinguish them
#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    #[command(subcommand)]
    data: Data,
}

#[derive(Debug, Subcommand)]
enum Data {
    Pairs(PairsArgs),
    Stream(StreamArgs),
    Judge(JudgeArgs),
    Control(ControlArgs),
    Adversarial(AdversarialArgs),
}

/// Evaluate pairs: is the answer to the first question right for the second?
///
/// Each line of the file is {"a": "…", "b": "…", "label": 1}: whether the answer to question a answers question b. A
/// hit is a pair that is accepted; a false hit is a pair that is accepted but labelled 0. If lines name a "domain", the
/// report also has figures for each domain, the worst first.
#[derive(Debug, Args)]
struct PairsArgs {
    /// The pairs, as JSON lines; - reads standard input
    file: String,
    /// Choose thresholds on these pairs, and fit `learned` to them
    #[arg(long, value_name = "FILE")]
    calibrate_on: Option<String>,
    #[command(flatten)]
    how: How,
}

/// Evaluate a stream: queries against cached questions, as a cache meets them
///
/// Lines of --cached are {"id": "…", "q": "…"}; lines of --queries are {"q": "…", "expect": id or null}. If lines name
/// a "domain", the report also has figures for each domain.
#[derive(Debug, Args)]
struct StreamArgs {
    /// The cached questions, as JSON lines
    #[arg(long, value_name = "FILE")]
    cached: String,
    /// The queries, as JSON lines; - reads standard input
    #[arg(long, value_name = "FILE")]
    queries: String,
    /// Choose thresholds on these other queries, and fit `learned` to them
    #[arg(long, value_name = "FILE")]
    calibrate_on: Option<String>,
    /// Compare policies at this hit rate instead of at their thresholds
    #[arg(long, value_name = "SHARE", conflicts_with = "calibrate_on")]
    hit_rate: Option<f64>,
    #[command(flatten)]
    how: How,
}

/// Replay traffic: what does a judge add to the cache over time?
///
/// The same questions go through two caches with the current configuration, one of them with a simulated judge, which
/// knows the labels and is wrong at random. Time is simulated, too, so that answers expire and the budget of [judge]
/// refills. The files are those of `eval stream`. Questions are drawn from both files, and the answer to a cached
/// question is stored once it was made.
#[derive(Debug, Args)]
struct JudgeArgs {
    /// The cached questions, as JSON lines
    #[arg(long, value_name = "FILE")]
    cached: String,
    /// The queries, as JSON lines; - reads standard input
    #[arg(long, value_name = "FILE")]
    queries: String,
    /// Report after this many questions
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1_000, 10_000], value_parser = length)]
    questions: Vec<usize>,
    /// How many questions are asked in an hour
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    per_hour: u32,
    /// The share of cases in which the judge is right
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, value_parser = share)]
    judge_accuracy: f64,
    /// The calls that the judge may make in an hour [default: `judge.calls_per_hour`]
    #[arg(long, value_name = "N")]
    calls_per_hour: Option<u32>,
    /// How unequally questions are asked: the exponent of Zipf's law; 0 for equally often
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    zipf: f64,
    /// The seed for the questions and the judge's errors
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

fn length(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(length @ 1..=1_000_000) => Ok(length),
        _ => Err("expected a whole number from 1 to 1000000".into()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1".into())
}

/// Evaluate wordings: does the plain question that a wording asks rank above its near-twins?
///
/// Each line of the file is {"wording": "…", "question": "…", "twins": ["…", …]}: a wording, the plain question that it
/// asks, and plain questions that it nearly asks. A line may also name a "domain". For comparison, the report also
/// ranks by the overlap of words, as a model that reads no meaning would.
#[derive(Debug, Args)]
struct ControlArgs {
    /// The wordings, as JSON lines; - reads standard input
    file: String,
    /// The policies to compare: threshold, guards or verifier
    #[arg(long = "policy", value_delimiter = ',', default_values = ["threshold", "verifier"], value_parser = policy())]
    policies: Vec<Policy>,
}

/// Evaluate attacks: how many texts that are made to look like a cached question get its answer?
///
/// From each cached question, attacks are made that ask something else: another question followed by its key words, the
/// question itself followed by another question or an instruction, its negation, the question with another number or
/// name, or with swapped roles. Every attack that is served is a false hit. The same seed makes the same attacks.
#[derive(Debug, Args)]
struct AdversarialArgs {
    /// The cached questions, as JSON lines of {"id": "…", "q": "…"}; - reads standard input
    #[arg(long, value_name = "FILE")]
    cached: String,
    /// How many cached questions to attack
    #[arg(long, value_name = "N", default_value_t = 500)]
    count: usize,
    /// The seed for the attacked questions and the attacks
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The policies to compare: threshold, guards or verifier
    #[arg(long = "policy", value_delimiter = ',', default_values = ["threshold", "guards", "verifier"], value_parser = policy())]
    policies: Vec<Policy>,
    /// The largest share of false hits among hits that thresholds allow
    #[arg(long, value_name = "SHARE", default_value_t = 0.02)]
    budget: f64,
}

#[derive(Debug, Args)]
struct How {
    /// The policies to compare
    #[arg(long = "policy", value_delimiter = ',', default_values = ["threshold", "guards", "verifier"], value_parser = policy())]
    policies: Vec<Policy>,
    /// The largest share of false hits among hits
    #[arg(long, value_name = "SHARE", default_value_t = 0.02)]
    budget: f64,
    /// Also write the report to this file, as a page with plots and examples
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Write up to 200 of the most confident disagreements with the labels to this file, for a person to review:
    /// labelled pairs as JSON lines, with the probability and the results of the checks
    #[arg(long, value_name = "FILE.jsonl")]
    review: Option<PathBuf>,
}

/// A policy by its name.
fn policy() -> impl TypedValueParser<Value = Policy> {
    let named = Policy::ALL.map(|policy| {
        PossibleValue::new(policy.name()).help(match policy {
            Policy::Threshold => "The similarity",
            Policy::Guards => "The similarity, if no configured guard vetoes",
            Policy::Verifier => "The probability of the bundled calibration, with its scorer",
            Policy::Learned => "The same, calibrated on the data of --calibrate-on",
            Policy::VCache => "What each cached question was found right and wrong for (streams only)",
        })
    });
    let of_name = |name: String| Policy::ALL.into_iter().find(|policy| policy.name() == name);
    PossibleValuesParser::new(named).map(move |name| of_name(name).expect("no other name passes"))
}

/// What the policies need to examine pairs.
async fn examiner(
    policies: &[Policy],
    context: &Context,
    embedder: &Arc<dyn Embedder>,
) -> wellspring::Result<Examiner> {
    let config = &context.config;
    let scores = policies.iter().any(|policy| policy.scores());
    let scorer = if scores { config.open_scorer(embedder).await? } else { None };
    let calibration = config.open_calibration(embedder).await?;
    // If there is no calibration for the embedding model, this shows what the bundled model's calibration is
    // worth there.
    let calibration = made_for(calibration.unwrap_or_else(Calibration::bundled), scorer.as_deref())?;
    Ok(Examiner { guards: config.guards(), calibration, scorer })
}

fn terms(budget: f64, context: &Context) -> wellspring::Result<Terms> {
    MatchPolicy::MaxFalseHitRate(budget).checked()?;
    Ok(Terms { budget, similarity: context.config.match_policy().similarity().unwrap_or(COMPARED_AT) })
}

impl How {
    /// The files to write, opened before anything that takes long.
    fn files(&self) -> anyhow::Result<Files> {
        if self.review.is_some() && !self.policies.iter().any(|policy| policy.scores()) {
            let message = "--review needs a policy that gives a probability: verifier or learned";
            return Err(Error::new(ErrorKind::InvalidInput, message).into());
        }
        let open = |path: Option<&Path>| path.map(WholeFile::create).transpose();
        Ok(Files { page: open(self.report.as_deref())?, review: open(self.review.as_deref())? })
    }
}

/// What is written beside the report.
#[derive(Debug)]
struct Files {
    page: Option<WholeFile>,
    review: Option<WholeFile>,
}

impl Files {
    async fn write(
        self,
        render: impl FnOnce() -> String,
        review: Option<&Review>,
        examiner: &Examiner,
        terms: Terms,
    ) -> anyhow::Result<Exit> {
        if let Some(mut page) = self.page {
            let path = page.path().display().to_string();
            page.write_all(render().as_bytes())?;
            page.finish()?;
            output::note(format_args!("report written to {path}"));
        }
        if let (Some(mut file), Some(review)) = (self.review, review) {
            let path = file.path().display().to_string();
            let lines = review.lines(examiner, terms.budget).await?;
            for line in &lines {
                writeln!(file, "{line}")?;
            }
            file.finish()?;
            let found = units::counted(lines.len() as u64, "disagreement");
            output::note(format_args!("{found} with the labels written to {path}"));
        }
        Ok(Exit::Success)
    }
}

pub(crate) async fn run(args: EvalArgs, context: &Context) -> anyhow::Result<Exit> {
    match args.data {
        Data::Pairs(args) => pairs(args, context).await,
        Data::Stream(args) => stream(args, context).await,
        Data::Judge(args) => judge(args, context).await,
        Data::Control(args) => control(&args, context).await,
        Data::Adversarial(args) => adversarial(&args, context).await,
    }
}

async fn pairs(args: PairsArgs, context: &Context) -> anyhow::Result<Exit> {
    let terms = terms(args.how.budget, context)?;
    let files = args.how.files()?;
    let pairs = parse(&content(&args.file, "the pairs")?)?;
    let calibrate_on = match &args.calibrate_on {
        Some(file) => Some(parse(&content(file, "the pairs")?)?),
        None => None,
    };
    let embedder = context.config.open_embedder().await?;
    let examiner = examiner(&args.how.policies, context, &embedder).await?;
    let (bar, mut progress) = progress("embedding");
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
    let render = || Page::of_pairs(&report, &data).render();
    files.write(render, report.review.as_ref(), &examiner, terms).await
}

async fn stream(args: StreamArgs, context: &Context) -> anyhow::Result<Exit> {
    let terms = terms(args.how.budget, context)?;
    let files = args.how.files()?;
    let cached = queries::cached(&content(&args.cached, "the cached questions")?)?;
    let asked = queries::queries(&content(&args.queries, "the queries")?, &cached)?;
    let calibrate_on = match &args.calibrate_on {
        Some(file) => Some(queries::queries(&content(file, "the queries")?, &cached)?),
        None => None,
    };
    let embedder = context.config.open_embedder().await?;
    let examiner = examiner(&args.how.policies, context, &embedder).await?;
    let stream = Stream {
        cached: &cached,
        queries: &asked,
        calibrate_on: calibrate_on.as_deref(),
        candidates: DEFAULT_CANDIDATES,
        hit_rate: args.hit_rate,
    };
    let (bar, mut progress) = progress("embedding");
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
    let render = || Page::of_stream(&report, &data).render();
    files.write(render, report.review.as_ref(), &examiner, terms).await
}

async fn judge(args: JudgeArgs, context: &Context) -> anyhow::Result<Exit> {
    let cached = queries::cached(&content(&args.cached, "the cached questions")?)?;
    let asked = queries::queries(&content(&args.queries, "the queries")?, &cached)?;
    let config = &context.config;
    let mut lengths = args.questions;
    lengths.sort_unstable();
    lengths.dedup();
    #[expect(clippy::cast_possible_truncation, reason = "a confidence needs no more digits")]
    let judging = Judging {
        hits: config.judge.hits,
        near_misses: config.judge.near_misses,
        calls_per_hour: args.calls_per_hour.unwrap_or(config.judge.calls_per_hour),
        batch: DEFAULT_BATCH,
        min_confidence: config.judge.min_confidence as f32,
    };
    let JudgeArgs { per_hour, judge_accuracy: accuracy, zipf, seed, .. } = args;
    let plan = Plan { lengths, per_hour, accuracy, zipf, seed, judging };
    let embedder = config.open_embedder().await?;
    let model = embedder.model().fingerprint();
    let open = async |clock: Arc<ManualClock>| {
        let store = MemoryStore::with_clock(config.limits(), clock as _);
        config.cache_builder(Arc::clone(&embedder), Arc::new(store)).await
    };
    let (bar, mut progress) = progress("asking");
    let report = replay::evaluate(open, model, &cached, &asked, &plan, &mut progress).await;
    bar.finish_and_clear();
    let report = report?;
    if context.json {
        output::json(&report)?;
    } else {
        output::line(text::of_replay(&report))?;
    }
    Ok(Exit::Success)
}

async fn control(args: &ControlArgs, context: &Context) -> anyhow::Result<Exit> {
    let wordings = control::parse(&content(&args.file, "the wordings")?)?;
    let embedder = context.config.open_embedder().await?;
    let examiner = examiner(&args.policies, context, &embedder).await?;
    let (bar, mut progress) = progress("embedding");
    let report = control::evaluate(&*embedder, &examiner, &args.policies, &wordings, &mut progress).await;
    bar.finish_and_clear();
    let report = report?;
    if context.json {
        output::json(&report)?;
    } else {
        output::line(text::of_control(&report))?;
    }
    Ok(Exit::Success)
}

async fn adversarial(args: &AdversarialArgs, context: &Context) -> anyhow::Result<Exit> {
    let terms = terms(args.budget, context)?;
    let cached = queries::cached(&content(&args.cached, "the cached questions")?)?;
    let embedder = context.config.open_embedder().await?;
    let examiner = examiner(&args.policies, context, &embedder).await?;
    let plan = adversarial::Plan { count: args.count, seed: args.seed };
    let (bar, mut progress) = progress("embedding");
    let policies = &args.policies;
    let report =
        adversarial::evaluate(&*embedder, &examiner, policies, &cached, plan, terms, &mut progress).await;
    bar.finish_and_clear();
    let report = report?;
    if context.json {
        output::json(&report)?;
    } else {
        output::line(text::of_adversarial(&report))?;
    }
    Ok(Exit::Success)
}

/// The content of `file`, or the standard input.
pub(crate) fn content(file: &str, what: &str) -> wellspring::Result<String> {
    match file {
        "-" => input::standard_input(what),
        file => input::file(Path::new(file), what),
    }
}

/// A bar that shows how far `what` has come, and what moves it.
pub(crate) fn progress(what: &'static str) -> (indicatif::ProgressBar, impl FnMut(usize, usize) + Send) {
    let bar = output::progress(what, Some(0), Unit::Items);
    let shown = bar.clone();
    let progress = move |done: usize, all: usize| {
        shown.set_length(all as u64);
        shown.set_position(done as u64);
    };
    (bar, progress)
}
