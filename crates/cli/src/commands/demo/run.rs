//! The `demo` command: sets the pipeline up, plays it, and shows what happened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use owo_colors::OwoColorize as _;
use wellspring::match_policy::DEFAULT_MAX_FALSE_HIT_RATE;
use wellspring::verify::Verifier;
use wellspring::{Cache, Corpus, EmbeddedStore, Embedder, MatchPolicy};

use super::answerer::{API_KEY_VARIABLE, Answerer, ExtractiveAnswerer, HttpLlm};
use super::corpus::DemoCorpus;
use super::freshness::FreshnessChecker;
use super::labels::Labels;
use super::observed::Observed;
use super::plan;
use super::play::{Player, Tally};
use super::report::{Report, Setting};
use super::retriever::Retriever;
use crate::commands::output;

/// Run a small but real RAG pipeline through the cache while its documents change
///
/// Paragraphs of `SQuAD` 2.0 are retrieved by meaning, and an extractive answerer, or a model that you name, answers
/// from them. Questions are asked as they were written and as people would speak them. Every answer states the versions
/// that it was made from, and every hit is checked against them.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// How many questions to ask
    #[arg(long, value_name = "N", default_value_t = 6_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    questions: u32,
    /// How many times documents are edited during the run
    #[arg(long, value_name = "N", default_value_t = 120)]
    edits: u32,
    /// How many questions are in flight at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: u16,
    /// How long the extractive answerer waits for each answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100, conflicts_with = "llm")]
    simulate_llm_ms: u64,
    /// Base URL of an OpenAI-compatible API that answers instead, such as `http://localhost:11434/v1`; its key is read
    /// from `WELLSPRING_LLM_API_KEY`
    #[arg(long, value_name = "URL", requires = "model")]
    llm: Option<String>,
    /// The name of the model at the API
    #[arg(long, value_name = "NAME", requires = "llm")]
    model: Option<String>,
    /// The accepted share of wrong hits on other wordings
    #[arg(long, value_name = "RATE", default_value_t = DEFAULT_MAX_FALSE_HIT_RATE)]
    max_false_hit_rate: f64,
    /// Serve every match at or above this similarity instead, without control of errors
    #[arg(long, value_name = "COSINE", conflicts_with = "max_false_hit_rate")]
    threshold: Option<f32>,
    /// The seed for the order of questions and edits
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Keep the answers in a new file, to inspect them afterwards
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
}

/// Runs the demo with `embedder` and `verifier`, and prints its report.
///
/// # Errors
///
/// If the pipeline cannot be set up, or if an answer was stale, which breaks the promise.
pub(crate) async fn run(
    args: &DemoArgs,
    embedder: Arc<dyn Embedder>,
    verifier: Arc<dyn Verifier>,
    json: bool,
) -> anyhow::Result<()> {
    let corpus = DemoCorpus::bundled()?;
    let answerer = answerer(args, &corpus)?;
    let folder = Folder::new(args.keep.as_deref())?;
    let store = Arc::new(EmbeddedStore::open(folder.file())?);
    let model = embedder.model().name.clone();

    let bar = progress("embedding the documents");
    let retriever = Retriever::index(Arc::clone(&embedder), &corpus.documents, &mut |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    })
    .await?;
    bar.finish_and_clear();

    let match_policy = args
        .threshold
        .map_or(MatchPolicy::MaxFalseHitRate(args.max_false_hit_rate), MatchPolicy::SimilarityThreshold);
    let verifier = Arc::new(Observed::new(verifier));
    let cache = Cache::builder_from(embedder, store)
        .match_policy(match_policy)
        .verifier_from(Arc::clone(&verifier) as _)
        .seed(args.seed)
        .build()
        .await?;
    if let Some(unshown) = cache.budgets(&Corpus::default()).unshown(match_policy) {
        output::note(format_args!("{} {unshown}", "warning:".yellow().bold()));
    }
    let asked = plan::plan(&corpus, args.questions as usize, args.seed);
    let player = Player {
        cache: cache.clone(),
        verifier,
        retriever: &retriever,
        answerer: &*answerer,
        labels: Labels::new(&corpus)?,
        checker: FreshnessChecker::default(),
        tally: Tally::default().into(),
        played: 0.into(),
        finished: false.into(),
    };
    let started = Instant::now();
    let (asking, editing, ()) = tokio::join!(
        player.ask_all(&asked, args.clients.into()),
        player.edit_all(&asked, args.edits as usize, args.seed),
        show_progress(&player, asked.len()),
    );
    asking.and(editing)?;

    let setting = Setting {
        documents: corpus.documents.len(),
        model,
        answerer: answerer.name(),
        simulated_llm: Duration::from_millis(if args.llm.is_some() { 0 } else { args.simulate_llm_ms }),
        clients: args.clients.into(),
        seed: args.seed,
        match_policy,
        elapsed: started.elapsed(),
        entries: cache.status().await?.entries,
        store: args.keep.clone(),
    };
    let report = Report::new(setting, &player.tally(), &cache.metrics());
    cache.close().await?;
    if json {
        anstream::println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        anstream::println!("{report}");
        show_next(args, &asked[0]);
    }
    if report.stale_answers + report.unmarked_answers > 0 {
        bail!(
            "{} answers were stale or could not be checked",
            report.stale_answers + report.unmarked_answers
        );
    }
    Ok(())
}

fn answerer(args: &DemoArgs, corpus: &DemoCorpus) -> anyhow::Result<Box<dyn Answerer>> {
    if let (Some(url), Some(model)) = (&args.llm, &args.model) {
        let key = std::env::var(API_KEY_VARIABLE).ok().filter(|key| !key.is_empty());
        return Ok(Box::new(HttpLlm::new(url, model, key)?));
    }
    let pretended = Duration::from_millis(args.simulate_llm_ms);
    Ok(Box::new(ExtractiveAnswerer::new(&corpus.documents, pretended)))
}

/// The place of the demo's store: a file that is kept, or a folder that is removed when this value is
/// dropped.
struct Folder {
    file: PathBuf,
    temporary: Option<PathBuf>,
}

impl Folder {
    fn new(keep: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(file) = keep {
            // Each run of the demo starts again with the first versions, and the versions of an old run would
            // refuse them.
            if file.exists() {
                bail!("{} exists; remove it or name another file", file.display());
            }
            return Ok(Self { file: file.to_owned(), temporary: None });
        }
        let folder = std::env::temp_dir().join(format!("wellspring-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create the folder {}", folder.display()))?;
        Ok(Self { file: folder.join("demo.redb"), temporary: Some(folder) })
    }

    fn file(&self) -> &Path {
        &self.file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(folder) = &self.temporary {
            // If it cannot be removed, the system cleans it up.
            drop(std::fs::remove_dir_all(folder));
        }
    }
}

fn progress(message: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:28} {bar:30} {pos}/{len}  {prefix}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    // Drawn on the standard error stream, and only if it is a terminal.
    ProgressBar::no_length().with_style(style).with_message(message)
}

/// Shows the progress until all is played.
async fn show_progress(player: &Player<'_>, questions: usize) {
    let bar = progress("asking, while documents change");
    bar.set_length(questions as u64);
    while !player.finished.load(std::sync::atomic::Ordering::SeqCst) {
        bar.set_position(player.played.load(std::sync::atomic::Ordering::Relaxed) as u64);
        bar.set_prefix(player.tally().to_string());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bar.finish_and_clear();
}

fn show_next(args: &DemoArgs, first: &plan::Asked<'_>) {
    match &args.keep {
        Some(file) => {
            let store = format!("--store embedded:{}", file.display());
            anstream::println!("inspect the answers that were kept:");
            anstream::println!("  wellspring {store} list");
            anstream::println!("  wellspring {store} impact --doc '{}'", first.question.document);
            anstream::println!("  wellspring {store} why \"{}\"", first.question.text.trim());
        }
        None => anstream::println!(
            "keep the answers with --keep demo.redb, ask a model with --llm URL --model NAME,\n\
             and wrap your own call: see get_or_fill in README.md"
        ),
    }
}
