//! `wellspring impact`: what an invalidation would end.

use std::collections::HashSet;

use clap::Args;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use wellspring::store::StoredEntry;

use crate::commands::context::Context;
use crate::commands::entry_view::{EntryJson, entries};
use crate::commands::exit::Exit;
use crate::commands::target::{TargetArgs, TargetOptions};
use crate::commands::{output, units};

/// Show which answers a change would end, without ending them
///
/// The targets are those of `invalidate`. The answers with the most hits come first.
#[derive(Debug, Args)]
pub(crate) struct ImpactArgs {
    /// The most answers to show; all of them are counted
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    options: TargetOptions,
}

#[derive(Serialize)]
struct Impact<'a> {
    answers: u64,
    hits: u64,
    entries: Vec<EntryJson<'a>>,
}

pub(crate) async fn run(args: ImpactArgs, context: &Context) -> anyhow::Result<Exit> {
    let changes = args.targets.changes(&args.options, Vec::new())?;
    let store = context.store().await?;
    let mut seen = HashSet::new();
    let mut ended: Vec<StoredEntry> = Vec::new();
    for change in &changes {
        let dependants = store.dependants(&args.options.corpus, change).await?;
        ended.extend(dependants.into_iter().filter(|stored| seen.insert(stored.entry.id)));
    }
    store.close().await?;
    ended.sort_by_key(|stored| (std::cmp::Reverse(stored.hits), stored.entry.id));
    let (answers, hits) = (ended.len() as u64, ended.iter().map(|stored| stored.hits).sum());
    ended.truncate(args.limit);
    if context.json {
        output::json(&Impact { answers, hits, entries: ended.iter().map(Into::into).collect() })?;
    } else if answers == 0 {
        output::line("no cached answer would be dropped")?;
    } else {
        output::line(entries(&ended))?;
        let would = format!("{} would be dropped", units::counted(answers, "answer"));
        output::line(format_args!("\n{}, hit {} so far", would.bold(), units::counted(hits, "time")))?;
    }
    Ok(Exit::Success)
}
