//! `wellspring stats`: what the store holds and what its hits saved.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use clap::Args;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use wellspring::embedding::Embedding;
use wellspring::error::Result;
use wellspring::index::{SegmentedIndex, VectorIndex as _};
use wellspring::judgement::{Feedback, Judge};
use wellspring::key::{EntryId, ScopeId};
use wellspring::store::{ConnectionStatus, CorpusStatus, ServerStatus, Store, StoreStatus};

use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::judgements;
use crate::commands::matching::Matching;
use crate::commands::output::{self, Column, table};
use crate::commands::pages::Pages;
use crate::commands::units;
use crate::config::JudgeConfig;

/// Show what the store holds, how much its hits saved, and what is accepted as a hit
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {}

#[derive(Serialize)]
struct Stats {
    store: StoreStatus,
    /// The connection of this command; none if the store is local.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<ConnectionStatus>,
    index_bytes: u64,
    saved: Saved,
    judged: Judged,
    /// How many answers are to questions in a script that the embedding model does not know, by script: they
    /// are found by exact match only.
    unknown_scripts: BTreeMap<&'static str, u64>,
    /// None if the calibration or the description of the embedding model cannot be read.
    matching: Option<Matching>,
}

/// The decisions of judges that are in force.
#[derive(Debug, Default, Serialize)]
struct Judged {
    approved: u64,
    refused: u64,
}

impl Judged {
    async fn of(store: &dyn Store) -> Result<Self> {
        let mut judged = Self::default();
        for (_, judgement) in judgements::in_force(store).await? {
            match (judgement.judge, judgement.feedback) {
                (Judge::Caller, _) => {}
                (_, Feedback::Right) => judged.approved += 1,
                (_, Feedback::Wrong) => judged.refused += 1,
            }
        }
        Ok(judged)
    }

    fn text(&self, judge: &JudgeConfig) -> String {
        let Self { approved, refused } = self;
        let by = match &judge.model {
            Some(model) => {
                format!("{model}, at most {} an hour: ", units::counted(judge.calls_per_hour.into(), "call"))
            }
            None if approved + refused == 0 => return String::new(),
            None => String::new(),
        };
        format!("{by}{} approved, {} refused", units::count(*approved), units::count(*refused))
    }
}

/// What the hits saved, for the entries that are stored now.
#[derive(Debug, Default, Serialize)]
struct Saved {
    hits: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    cost_usd: f64,
}

pub(crate) async fn run(_: StatsArgs, context: &Context) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let contents = store.status().await?;
    let mut saved = Saved::default();
    let mut indexes = Indexes::default();
    // The contents of the store are shown whatever is wrong with the settings; the doctor reports that.
    let matching = Matching::of(&context.config).await.ok();
    let mut unknown_scripts = BTreeMap::new();
    let mut pages = Pages::of(&*store);
    while let Some(page) = pages.next().await? {
        for stored in page {
            let usage = stored.entry.answer.usage.unwrap_or_default();
            saved.hits += stored.hits;
            saved.prompt_tokens += stored.hits.saturating_mul(usage.prompt_tokens);
            saved.completion_tokens += stored.hits.saturating_mul(usage.completion_tokens);
            let question = &stored.entry.question;
            if let Some(script) = matching.as_ref().and_then(|matching| matching.unknown_script(question)) {
                *unknown_scripts.entry(script).or_default() += 1;
            }
            saved.cost_usd += stored.hits as f64 * usage.cost_microusd as f64 / 1e6;
            // With a shared store, each process has the indexes of the scopes that it searches.
            if let Some(embedding) = &stored.entry.embedding
                && store.coordination().is_none()
            {
                indexes.insert(stored.entry.scope, stored.entry.id, embedding)?;
            }
        }
    }
    let judged = Judged::of(&*store).await?;
    let connection = store.connection();
    store.close().await?;
    let index_bytes = indexes.memory_bytes();
    let stats = Stats { store: contents, connection, index_bytes, saved, judged, unknown_scripts, matching };
    if context.json {
        output::json(&stats)?;
    } else {
        output::line(text(&stats, &context.config.judge))?;
    }
    Ok(Exit::Success)
}

fn text(stats: &Stats, judge: &JudgeConfig) -> String {
    let Stats { store, connection, index_bytes, saved, judged, unknown_scripts, matching } = stats;
    let index = match index_bytes {
        0 => String::new(),
        bytes => format!("{} in memory while all scopes are in use", units::bytes(*bytes)),
    };
    // What a server uses is shown together with the server.
    let size = match &store.servers[..] {
        [] => filled(store.bytes, store.max_bytes, units::bytes),
        _ => String::new(),
    };
    let pending = match store.pending_invalidations {
        0 => String::new(),
        pending => format!("{} not in force yet", units::counted(pending, "invalidation")),
    };
    let warning = matching.as_ref().and_then(Matching::warning);
    let mut text = output::fields(&[
        ("store", store.location.clone()),
        ("answers", filled(store.entries, store.max_entries, units::count)),
        ("size", size),
        ("index", index),
        ("connection", connection.as_ref().map(self::connection).unwrap_or_default()),
        ("hits", units::count(saved.hits)),
        (
            "saved",
            format!(
                "{} prompt and {} completion tokens, {}",
                units::count(saved.prompt_tokens),
                units::count(saved.completion_tokens),
                units::dollars(saved.cost_usd)
            ),
        ),
        ("judge", judged.text(judge)),
        ("pending", pending),
        ("unwritable", store.unwritable.clone().unwrap_or_default()),
        ("models", matching.as_ref().map(Matching::models).unwrap_or_default()),
        ("exact only", exact_only(unknown_scripts)),
        ("accepted", matching.as_ref().map(Matching::accepted).unwrap_or_default()),
        ("warning", warning.map(|warning| warning.yellow().to_string()).unwrap_or_default()),
    ]);
    for server in &store.servers {
        text = format!("{text}\n\n{}", self::server(server));
    }
    if !store.corpora.is_empty() {
        text = format!("{text}\n\n{}", corpora(&store.corpora));
    }
    text
}

fn connection(connection: &ConnectionStatus) -> String {
    let millis = |micros: u64| format!("{:.1} ms", micros as f64 / 1e3);
    format!(
        "replies take {} (slowest {}), lookups wait up to {}, scheduling delay {}",
        millis(connection.round_trip_us),
        millis(connection.slowest_round_trip_us),
        millis(connection.command_timeout_us),
        millis(connection.scheduling_delay_us),
    )
}

/// How many answers are found by exact match only, by the script that the embedding model does not know.
fn exact_only(unknown_scripts: &BTreeMap<&'static str, u64>) -> String {
    let scripts =
        unknown_scripts.iter().map(|(script, count)| format!("{} in {script}", units::count(*count)));
    scripts.collect::<Vec<_>>().join(", ")
}

/// How full something is; a limit of 0 means no limit.
fn filled(part: u64, whole: u64, unit: impl Fn(u64) -> String) -> String {
    if whole == 0 {
        return unit(part);
    }
    format!("{} of {} ({:.1} %)", unit(part), unit(whole), 100.0 * part as f64 / whole as f64)
}

fn server(server: &ServerStatus) -> String {
    let memory = match server.max_memory {
        0 => format!("{}, no limit", units::bytes(server.used_memory)),
        most => filled(server.used_memory, most, units::bytes),
    };
    let replicas: Vec<String> = server
        .replicas
        .iter()
        .map(|replica| format!("{} {}, {} s ago", replica.address, replica.state, replica.lag_secs))
        .collect();
    let role = if server.role == "master" { "primary" } else { "replica" };
    let up = units::span(Duration::from_secs(server.uptime_secs));
    output::fields(&[
        ("server", server.address.clone()),
        ("version", format!("{} {}, {role}, up {up}", server.name, server.version)),
        ("memory", format!("{memory}, {}", server.policy)),
        ("evicted", units::counted(server.evicted_keys, "key")),
        ("expired", units::counted(server.expired_keys, "key")),
        ("replicas", if replicas.is_empty() { "none".into() } else { replicas.join("; ") }),
    ])
}

fn corpora(corpora: &[CorpusStatus]) -> String {
    // Only a shared store has a stream of events.
    let has_events = corpora.iter().any(|corpus| corpus.events.is_some());
    let mut columns = vec![
        Column::Left("CORPUS"),
        Column::Right("ANSWERS"),
        Column::Right("CHANGES"),
        Column::Right("TOMBSTONES"),
        Column::Rest("HELD DOCUMENTS"),
    ];
    if has_events {
        columns.insert(4, Column::Right("EVENTS"));
    }
    let rows = corpora.iter().map(|corpus| {
        let held = if corpus.held.is_empty() { "none".into() } else { corpus.held.join(", ") };
        let mut row = vec![
            corpus.corpus.to_string(),
            units::count(corpus.entries),
            units::count(corpus.sequence),
            units::count(corpus.tombstones),
            held,
        ];
        if has_events {
            row.insert(4, corpus.events.map(units::count).unwrap_or_default());
        }
        row
    });
    table(&columns, rows)
}

/// The indexes of all scopes, to report how much memory they use.
#[derive(Default)]
struct Indexes(HashMap<ScopeId, SegmentedIndex>);

impl Indexes {
    fn insert(&mut self, scope: ScopeId, id: EntryId, embedding: &Embedding) -> Result<()> {
        let index = match self.0.entry(scope) {
            Entry::Occupied(slot) => slot.into_mut(),
            Entry::Vacant(slot) => slot.insert(SegmentedIndex::builder(embedding.dimensions()).build()?),
        };
        Ok(index.insert(*id.as_bytes(), embedding)?)
    }

    fn memory_bytes(&self) -> u64 {
        self.0.values().map(|index| index.memory_bytes() as u64).sum()
    }
}
