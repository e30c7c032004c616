//! `wellspring invalidate`: ends answers whose documents changed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use wellspring::entry::Change;
use wellspring::error::Result;
use wellspring::key::Corpus;
use wellspring::store::{ChangeOutcome, Store};

use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::input::invalid;
use crate::commands::output::{self, Column, Unit, table};
use crate::commands::target::{TargetArgs, TargetOptions, describe, document};
use crate::commands::{input, named, units};

/// How many changes are applied between two updates of the progress.
const BATCH: usize = 5_000;
/// The most changes that are listed.
const LISTED: usize = 100;

/// Invalidate the answers that depend on something that changed
///
/// When the command returns, none of these answers is served. Run it after the change is visible to retrieval. If
/// retrieval lags behind, run begin-update before the change and end-update after it.
#[derive(Debug, Args)]
pub(crate) struct InvalidateArgs {
    /// Do not ask for confirmation of --everything
    #[arg(long, short)]
    yes: bool,
    /// A file of documents, one per line, written as for --doc; - reads standard input
    #[arg(long, value_name = "FILE", help_heading = "Targets")]
    docs_from: Option<PathBuf>,
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    options: TargetOptions,
}

#[derive(Serialize)]
struct Report<'a> {
    corpus: &'a Corpus,
    dropped: u64,
    elapsed_us: f64,
    changes: Vec<ReportedChange<'a>>,
}

#[derive(Serialize)]
struct ReportedChange<'a> {
    change: &'a Change,
    outcome: ChangeOutcome,
}

pub(crate) async fn run(args: InvalidateArgs, context: &Context) -> anyhow::Result<Exit> {
    let everything = args.targets.everything;
    let listed = args.docs_from.as_deref().map(documents_in).transpose()?.unwrap_or_default();
    let mut changes = args.targets.changes(&args.options, listed)?;
    let corpus = &args.options.corpus;
    let store = context.store().await?;
    for change in &mut changes {
        if let Change::Entry(id) = change {
            // If the servers are down, the change is kept for later, so a failed look-up is not an error
            // here.
            *id = named::entry(&*store, corpus, *id).await.unwrap_or(*id);
        }
    }
    if everything && !args.yes {
        let ask = format!("drop every answer of the corpus {corpus}?");
        if !output::confirm("--everything", &ask)? {
            output::note("nothing was changed");
            return Ok(Exit::Success);
        }
    }
    let started = Instant::now();
    let outcomes = apply(&*store, corpus, &changes).await?;
    let elapsed = started.elapsed();
    store.close().await?;
    report(corpus, &changes, &outcomes, elapsed, context.json)?;
    Ok(Exit::Success)
}

/// The documents that a file names, or the standard input if the path is `-`.
fn documents_in(path: &Path) -> Result<Vec<Change>> {
    let what = "the list of documents";
    let text = if path.as_os_str() == "-" { input::standard_input(what) } else { input::file(path, what) }?;
    let lines = text.lines().filter(|line| !line.is_empty());
    let changes: Vec<Change> = lines
        .map(|line| {
            let (id, version) = document(line);
            Change::Document { id, version }
        })
        .collect();
    if changes.is_empty() {
        return Err(invalid(format!("{what} is empty; write one document per line")));
    }
    Ok(changes)
}

/// Applies the changes in batches, so that there is progress to see, and stops at the first one that fails.
async fn apply(store: &dyn Store, corpus: &Corpus, changes: &[Change]) -> Result<Vec<ChangeOutcome>> {
    let total = changes.len();
    let bar = (total > BATCH).then(|| output::progress("invalidating", Some(total as u64), Unit::Items));
    let mut outcomes = Vec::with_capacity(total);
    for batch in changes.chunks(BATCH) {
        match store.invalidate(corpus, batch).await {
            Ok(done) => outcomes.extend(done),
            Err(error) => {
                if total > BATCH {
                    let (done, tried) = (outcomes.len(), outcomes.len() + batch.len());
                    output::note(format_args!(
                        "{done} of {total} changes are in force; those from {tried} on were not tried. It is safe to \
                         run the command again"
                    ));
                }
                return Err(error);
            }
        }
        if let Some(bar) = &bar {
            bar.inc(batch.len() as u64);
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(outcomes)
}

/// Reports what each change did.
pub(crate) fn report(
    corpus: &Corpus,
    changes: &[Change],
    outcomes: &[ChangeOutcome],
    elapsed: Duration,
    json: bool,
) -> anyhow::Result<()> {
    let dropped = outcomes.iter().copied().map(ChangeOutcome::dropped).sum();
    if json {
        let changes = changes.iter().zip(outcomes);
        let changes = changes.map(|(change, &outcome)| ReportedChange { change, outcome }).collect();
        return output::json(&Report { corpus, dropped, elapsed_us: elapsed.as_secs_f64() * 1e6, changes });
    }
    let rows = changes.iter().zip(outcomes).take(LISTED);
    let rows = rows.map(|(change, outcome)| vec![describe(change), verdict(*outcome)]);
    output::line(table(&[Column::Rest("CHANGED"), Column::Left("ANSWERS")], rows))?;
    if changes.len() > LISTED {
        output::line(format_args!("and {} more", units::count((changes.len() - LISTED) as u64)))?;
    }
    let total = units::counted(dropped, "answer");
    output::line(format_args!("\n{} in {}", format_args!("{total} dropped").bold(), units::elapsed(elapsed)))
}

fn verdict(outcome: ChangeOutcome) -> String {
    match outcome {
        ChangeOutcome::Dropped(0) => "matched no cached answers".into(),
        ChangeOutcome::Dropped(entries) => format!("{} dropped", units::count(entries)),
        _ => "unchanged (same version)".into(),
    }
}
