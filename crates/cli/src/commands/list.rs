//! `wellspring list`: the stored answers.

use std::cmp::Reverse;

use clap::{Args, ValueEnum};
use owo_colors::OwoColorize as _;
use serde::Serialize;
use wellspring::key::Corpus;
use wellspring::store::StoredEntry;

use crate::commands::context::Context;
use crate::commands::entry_view::{EntryJson, age, content_type, dependencies, entries, left};
use crate::commands::exit::Exit;
use crate::commands::pages::Pages;
use crate::commands::{output, units};

/// List stored answers
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// The most answers to show
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Only answers of this corpus
    #[arg(long, value_name = "NAME")]
    corpus: Option<Corpus>,
    /// Which answers come first
    #[arg(long, value_name = "ORDER", value_enum, default_value_t)]
    sort: Order,
    /// Also show the beginning of each answer, and what it was derived from
    #[arg(long, short)]
    long: bool,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Order {
    /// The answers with the most hits
    #[default]
    Hits,
    /// The answers stored last
    Newest,
    /// The answers that expire next
    Expiring,
}

#[derive(Serialize)]
struct Listing<'a> {
    total: u64,
    entries: Vec<EntryJson<'a>>,
}

pub(crate) async fn run(args: ListArgs, context: &Context) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let mut total = 0;
    let mut shown: Vec<StoredEntry> = Vec::new();
    let mut pages = Pages::of(&*store);
    while let Some(page) = pages.next().await? {
        let wanted =
            |stored: &StoredEntry| args.corpus.as_ref().is_none_or(|name| *name == stored.entry.corpus);
        let page = page.into_iter().filter(wanted);
        let before = shown.len();
        shown.extend(page);
        total += (shown.len() - before) as u64;
        // After each page, so that a large store does not fill the memory.
        args.sort.first(&mut shown, args.limit);
    }
    store.close().await?;
    if context.json {
        output::json(&Listing { total, entries: shown.iter().map(Into::into).collect() })?;
    } else if total == 0 {
        output::line("no answers are stored")?;
    } else {
        let text = if args.long { long(&shown) } else { entries(&shown) };
        output::line(text)?;
        if (shown.len() as u64) < total {
            let rest = format!("\n{} of {}, see --limit", shown.len(), units::counted(total, "answer"));
            output::line(rest.dimmed())?;
        }
    }
    Ok(Exit::Success)
}

impl Order {
    /// Keeps only the first `limit` of `entries`, in order.
    fn first(self, entries: &mut Vec<StoredEntry>, limit: usize) {
        match self {
            Self::Hits => entries.sort_by_key(|stored| (Reverse(stored.hits), stored.entry.id)),
            Self::Newest => entries.sort_by_key(|stored| (Reverse(stored.entry.created_at), stored.entry.id)),
            Self::Expiring => entries.sort_by_key(|stored| (stored.entry.expires_at, stored.entry.id)),
        }
        entries.truncate(limit);
    }
}

fn long(entries: &[StoredEntry]) -> String {
    let blocks: Vec<String> = entries
        .iter()
        .map(|stored| {
            let entry = &stored.entry;
            let from = dependencies(&entry.dependencies).join(", ");
            let fields = output::fields(&[
                ("answer", first_line(&entry.answer.text)),
                ("stored", format!("{} ago, {} left", age(entry), left(entry))),
                ("hits", units::count(stored.hits)),
                ("type", content_type(entry.answer.content_type).to_owned()),
                ("corpus", entry.corpus.to_string()),
                ("scope", entry.scope.to_string()),
                ("from", from),
            ]);
            let title = format!("{}  {}", units::short(entry.id), entry.question.bold());
            format!("{title}\n{}", indented(&fields))
        })
        .collect();
    blocks.join("\n\n")
}

/// The beginning of a text, on one line.
fn first_line(text: &str) -> String {
    const SHOWN: usize = 100;
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.len() < text.trim_end().len() => format!("{line} …"),
        None => line.to_owned(),
    }
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}
