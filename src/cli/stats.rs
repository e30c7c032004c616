//! `wellspring stats`: what the store holds and what its hits saved.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::output::{self, Column, table};
use crate::cli::pages::Pages;
use crate::cli::units;
use crate::embed::{Embedded, Embedder, ModelInfo};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{CorpusStatus, ServerStatus, Store, StoreStatus};

/// Show what the store holds and what its hits saved
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {}

#[derive(Serialize)]
struct Stats {
    store: StoreStatus,
    index_bytes: u64,
    saved: Saved,
}

/// What the hits on the entries that are stored now saved.
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
    let mut dimensions = None;
    let mut pages = Pages::of(&*store);
    while let Some(page) = pages.next().await? {
        for stored in page {
            let usage = stored.entry.answer.usage.unwrap_or_default();
            saved.hits += stored.hits;
            saved.prompt_tokens += stored.hits.saturating_mul(usage.prompt_tokens);
            saved.completion_tokens += stored.hits.saturating_mul(usage.completion_tokens);
            saved.cost_usd += stored.hits as f64 * usage.cost_microusd as f64 / 1e6;
            dimensions = dimensions.or(stored.entry.embedding.as_ref().map(crate::Embedding::dimensions));
        }
    }
    let index_bytes = match dimensions {
        // Those over a shared store are loaded scope by scope, as each process needs them.
        Some(dimensions) if !store.is_shared() => index_bytes(Arc::clone(&store), dimensions).await?,
        _ => 0,
    };
    store.close().await?;
    let stats = Stats { store: contents, index_bytes, saved };
    if context.json {
        output::json(&stats)?;
    } else {
        output::line(text(&stats))?;
    }
    Ok(Exit::Success)
}

fn text(stats: &Stats) -> String {
    let Stats { store, index_bytes, saved } = stats;
    let index = match index_bytes {
        0 => String::new(),
        bytes => format!("{} in memory while in use", units::bytes(*bytes)),
    };
    // What a server uses is told with the server.
    let size = match &store.servers[..] {
        [] => filled(store.bytes, store.max_bytes, units::bytes),
        _ => String::new(),
    };
    let pending = match store.pending_invalidations {
        0 => String::new(),
        pending => format!("{} not in force yet", units::counted(pending, "invalidation")),
    };
    let mut text = output::fields(&[
        ("store", store.location.clone()),
        ("answers", filled(store.entries, store.max_entries, units::count)),
        ("size", size),
        ("index", index),
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
        ("pending", pending),
    ]);
    for server in &store.servers {
        text = format!("{text}\n\n{}", self::server(server));
    }
    if !store.corpora.is_empty() {
        text = format!("{text}\n\n{}", corpora(&store.corpora));
    }
    text
}

/// How much there is of what there may be, of which 0 is no limit.
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
    // Only a shared store has a stream.
    let has_events = corpora.iter().any(|corpus| corpus.events.is_some());
    let mut columns = vec![
        Column::Left("CORPUS"),
        Column::Right("ANSWERS"),
        Column::Right("CHANGES"),
        Column::Right("MARKS"),
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
            units::count(corpus.marks),
            held,
        ];
        if has_events {
            row.insert(4, corpus.events.map(units::count).unwrap_or_default());
        }
        row
    });
    table(&columns, rows)
}

/// What the indexes over the store's entries take.
async fn index_bytes(store: Arc<dyn Store>, dimensions: usize) -> Result<u64> {
    let cache = crate::Cache::builder_from(Arc::new(NoModel::new(dimensions)), store).build().await?;
    Ok(cache.index_bytes() as u64)
}

/// Stands in for the model, so that the sizes can be told where the model is not at hand.
#[derive(Debug)]
struct NoModel(ModelInfo);

impl NoModel {
    fn new(dimensions: usize) -> Self {
        Self(ModelInfo::new("none", "none", dimensions))
    }
}

#[async_trait]
impl Embedder for NoModel {
    fn model(&self) -> &ModelInfo {
        &self.0
    }

    async fn embed(&self, _: &[String]) -> Result<Vec<Embedded>> {
        Err(Error::new(ErrorKind::Model, "no model is loaded"))
    }
}
