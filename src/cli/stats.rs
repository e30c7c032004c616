//! `wellspring stats`: what the store holds and what its hits saved.

use std::sync::Arc;

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
use crate::store::{Store, StoreStatus};

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
        Some(dimensions) => index_bytes(Arc::clone(&store), dimensions).await?,
        None => 0,
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
    let share = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
    let fields = output::fields(&[
        ("store", store.location.clone()),
        (
            "answers",
            format!(
                "{} of {} ({:.1} %)",
                units::count(store.entries),
                units::count(store.max_entries),
                share(store.entries, store.max_entries)
            ),
        ),
        (
            "size",
            format!(
                "{} of {} ({:.1} %)",
                units::bytes(store.bytes),
                units::bytes(store.max_bytes),
                share(store.bytes, store.max_bytes)
            ),
        ),
        ("index", format!("{} in memory while in use", units::bytes(*index_bytes))),
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
    ]);
    if store.corpora.is_empty() {
        return fields;
    }
    let columns = [
        Column::Left("CORPUS"),
        Column::Right("ANSWERS"),
        Column::Right("CHANGES"),
        Column::Rest("HELD DOCUMENTS"),
    ];
    let rows = store.corpora.iter().map(|corpus| {
        let held = if corpus.held.is_empty() { "none".into() } else { corpus.held.join(", ") };
        vec![corpus.corpus.to_string(), units::count(corpus.entries), units::count(corpus.sequence), held]
    });
    format!("{fields}\n\n{}", table(&columns, rows))
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
