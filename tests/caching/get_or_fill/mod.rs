//! `Cache::get_or_fill` and its halves, as callers see them.

mod cancellation;
mod faults;
mod flights;
mod lifetimes;
mod matching;
mod putting;
mod remembered;
mod together;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wellspring::store::{Limits, Store};
use wellspring::{Answer, BoxError, Cache, CacheBuilder, Dependency, Lookup, Query, Served, SharedError};

use crate::support::embedder::WordEmbedder;
use crate::support::{Bench, Kind};

/// A cache with the parts that it was put together from.
struct Fixture {
    cache: Cache,
    embedder: Arc<WordEmbedder>,
    store: Arc<dyn Store>,
    bench: Bench,
}

impl Fixture {
    async fn new(kind: Kind) -> Self {
        Self::with(kind, |builder| builder).await
    }

    async fn with(kind: Kind, set: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Self {
        let bench = Bench::new(kind);
        let store = bench.open(Limits::default());
        Self::on(bench, store, set).await
    }

    async fn on(bench: Bench, store: Arc<dyn Store>, set: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Self {
        let embedder = Arc::new(WordEmbedder::default());
        let builder = Cache::builder_from(Arc::clone(&embedder) as _, Arc::clone(&store));
        // Nothing is calibrated for the embedder, so that a false-hit rate would serve exact matches only.
        let builder = builder.similarity_threshold(0.92);
        let cache = set(builder.clock(Arc::clone(&bench.clock) as _).seed(1)).build().await.unwrap();
        Self { cache, embedder, store, bench }
    }

    async fn stored(&self) -> u64 {
        self.store.status().await.unwrap().entries
    }
}

/// Counts how often it was called.
#[derive(Debug, Default, Clone)]
struct Llm(Arc<AtomicUsize>);

impl Llm {
    fn calls(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Asks the cache, and answers `text` from document `a` if it is called.
    async fn ask(&self, cache: &Cache, query: Query, text: &str) -> Result<Served, SharedError> {
        cache
            .get_or_fill(query, async |_| {
                self.0.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                made(text)
            })
            .await
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a closure that can fail returns")]
fn made(text: &str) -> Result<(Answer, Vec<Dependency>), BoxError> {
    Ok((Answer::new(text), vec![Dependency::document("a")]))
}

/// Asks for and expects a hit, which it returns.
async fn hit(cache: &Cache, query: Query) -> wellspring::Hit {
    match cache.lookup(query).await.unwrap() {
        Lookup::Hit(hit) => hit,
        other => panic!("not a hit: {other:?}"),
    }
}

/// Whether `query` is a miss that this caller may fill.
async fn is_free(cache: &Cache, query: Query) -> bool {
    matches!(cache.lookup(query).await.unwrap(), Lookup::Miss(permit) if permit.is_leader())
}
