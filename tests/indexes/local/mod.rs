//! The indexes of a store that one process owns: loaded when a scope is first searched, unloaded when it is idle, kept
//! between runs where they have graphs.

mod keeping;
mod loading;
mod unloading;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use wellspring::embed::FakeEmbedder;
use wellspring::{
    Cache, CacheBuilder, Change, Corpus, Dependency, EmbeddedStore, Lookup, Query, Scope, Store, Threshold,
    Tier,
};

use crate::support::eventually;
use crate::support::watched::WatchedStore;

const DIMENSIONS: usize = 16;
/// Enough for a graph; only graphs are kept.
const ENTRIES: usize = 8_300;

/// A cache, and the store that it is on.
struct Run {
    cache: Cache,
    store: Arc<WatchedStore>,
}

impl Run {
    /// Opens the store of this name.
    async fn open(folder: &Path, store: &str, set: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Self {
        Self::on(EmbeddedStore::open(folder.join(store)).unwrap(), set).await
    }

    async fn on(store: impl Store + 'static, set: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Self {
        let store = WatchedStore::new(store);
        let embedder = Arc::new(FakeEmbedder::new(DIMENSIONS));
        let builder = Cache::builder_from(embedder, Arc::clone(&store) as _)
            .similarity_threshold(0.999)
            .verifier(Threshold::new())
            .index_wait(Duration::from_mins(1));
        Self { cache: set(builder).build().await.unwrap(), store }
    }

    async fn close(self) {
        self.cache.close().await.unwrap();
    }

    /// Stores the answer to a question under the embedding of `meaning`, without a search.
    async fn fill(&self, scope: &str, question: usize, meaning: usize) {
        let query = Query::new(format!("question {question}?")).embedding(embedding(meaning)).renew();
        let query = query.scope(Scope::new().tenant(scope));
        let Ok(Lookup::Miss(permit)) = self.cache.lookup(query).await else { panic!("not a miss") };
        drop(permit.fill(format!("{question}"), [Dependency::document(format!("d{question}"))]).await);
    }

    /// Does this for each of these questions, under its own number.
    async fn fill_all(&self, scope: &str, questions: std::ops::Range<usize>) {
        let fills = futures::stream::iter(questions).map(|number| self.fill(scope, number, number));
        fills.buffer_unordered(256).collect::<()>().await;
    }

    /// Which question's answer is found by the embedding of `meaning`.
    async fn found(&self, scope: &str, meaning: usize) -> Option<usize> {
        let query = Query::new("Asked in other words?").embedding(embedding(meaning));
        match self.cache.lookup(query.scope(Scope::new().tenant(scope))).await.unwrap() {
            Lookup::Hit(hit) => Some(hit.answer().text.parse().unwrap()),
            _ => None,
        }
    }

    /// Ends the answers to these questions, in every scope.
    async fn invalidate(&self, questions: impl IntoIterator<Item = usize>) {
        let gone: Vec<_> = questions.into_iter().map(|n| Change::document(format!("d{n}"))).collect();
        self.cache.invalidate(&Corpus::default(), &gone).await.unwrap();
    }

    /// Whether one index is in memory at least.
    fn has_indexes(&self) -> bool {
        self.cache.index_bytes() > 0
    }
}

/// The embedding of a number, far from that of any other.
fn embedding(number: usize) -> Vec<f32> {
    let mut random = StdRng::seed_from_u64(number as u64);
    (0..DIMENSIONS).map(|_| random.random_range(-1.0..1.0)).collect()
}
