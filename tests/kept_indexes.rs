//! Indexes of a store on disk that are kept between runs: a start reads what changed since, and finds what the store has.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::StreamExt as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use wellspring::embed::FakeEmbedder;
use wellspring::store::{
    ChangeListener, ChangeOutcome, Fetched, Filled, Listed, Snapshot, StoreStatus, StoredEntry,
};
use wellspring::{
    Cache, Change, Corpus, Dependency, DocumentVersion, EmbeddedStore, Embedding, Entry, EntryId, Lookup,
    Query, Result, Store, Threshold,
};

const DIMENSIONS: usize = 16;
/// Enough for a graph, which is what is kept.
const ENTRIES: usize = 8_300;

/// A store on disk that counts the embeddings that are read from it.
#[derive(Debug)]
struct Watched {
    inner: EmbeddedStore,
    read: Arc<AtomicUsize>,
}

#[async_trait]
impl Store for Watched {
    async fn lookup(&self, corpus: &Corpus, id: EntryId) -> Result<Fetched> {
        self.inner.lookup(corpus, id).await
    }

    async fn fill(&self, snapshot: Snapshot, entry: Arc<Entry>) -> Result<Filled> {
        self.inner.fill(snapshot, entry).await
    }

    async fn invalidate(&self, corpus: &Corpus, changes: &[Change]) -> Result<Vec<ChangeOutcome>> {
        self.inner.invalidate(corpus, changes).await
    }

    async fn begin_update(&self, corpus: &Corpus, document: &str) -> Result<()> {
        self.inner.begin_update(corpus, document).await
    }

    async fn end_update(
        &self,
        corpus: &Corpus,
        document: &str,
        version: Option<DocumentVersion>,
    ) -> Result<ChangeOutcome> {
        self.inner.end_update(corpus, document, version).await
    }

    async fn dependants(&self, corpus: &Corpus, change: &Change) -> Result<Vec<StoredEntry>> {
        self.inner.dependants(corpus, change).await
    }

    async fn scan(&self, after: Option<EntryId>, limit: usize) -> Result<Vec<StoredEntry>> {
        self.inner.scan(after, limit).await
    }

    async fn list(&self, after: Option<EntryId>, limit: usize) -> Result<Vec<Listed>> {
        self.inner.list(after, limit).await
    }

    fn fills(&self) -> Option<u64> {
        self.inner.fills()
    }

    async fn embeddings(&self, corpus: &Corpus, ids: &[EntryId]) -> Result<Vec<Option<Embedding>>> {
        self.read.fetch_add(ids.len(), Ordering::SeqCst);
        self.inner.embeddings(corpus, ids).await
    }

    fn record_hit(&self, corpus: &Corpus, id: EntryId) {
        self.inner.record_hit(corpus, id);
    }

    fn listen(&self, listener: Arc<dyn ChangeListener>) {
        self.inner.listen(listener);
    }

    async fn status(&self) -> Result<StoreStatus> {
        self.inner.status().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

/// The cache on the store of this name, and how many embeddings it read at its start.
async fn open(folder: &Path, store: &str, keeps: bool) -> (Cache, usize) {
    let read = Arc::new(AtomicUsize::new(0));
    let inner = EmbeddedStore::open(folder.join(store)).unwrap();
    let store = Watched { inner, read: Arc::clone(&read) };
    let mut builder = Cache::builder(FakeEmbedder::new(DIMENSIONS), store)
        .similarity_threshold(0.999)
        .verifier(Threshold::new());
    if keeps {
        builder = builder.index_snapshots(folder.join("indexes"));
    }
    (builder.build().await.unwrap(), read.load(Ordering::SeqCst))
}

/// Closes a cache. Its graphs are kept if it keeps any, and only then waited for.
async fn close(cache: Cache, keeps: bool) {
    if keeps {
        cache.settle().await.unwrap();
    }
    cache.close().await.unwrap();
}

/// The embedding of a number, far from that of any other.
fn embedding(number: usize) -> Vec<f32> {
    let mut random = StdRng::seed_from_u64(number as u64);
    (0..DIMENSIONS).map(|_| random.random_range(-1.0..1.0)).collect()
}

/// Stores the answer to a question under the embedding of `meaning`.
async fn fill(cache: &Cache, question: usize, meaning: usize) {
    let query = Query::new(format!("question {question}?")).embedding(embedding(meaning)).renew();
    let Ok(Lookup::Miss(permit)) = cache.lookup(query).await else { panic!("not a miss") };
    drop(permit.fill(format!("{question}"), [Dependency::document(format!("d{question}"))]).await);
}

/// Which question's answer is found by the embedding of `meaning`.
async fn found(cache: &Cache, meaning: usize) -> Option<usize> {
    match cache.lookup(Query::new("Asked in other words?").embedding(embedding(meaning))).await.unwrap() {
        Lookup::Hit(hit) => Some(hit.answer().text.parse().unwrap()),
        _ => None,
    }
}

#[tokio::test]
async fn a_start_reads_what_changed_since_the_index_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, _) = open(folder.path(), "store", true).await;
    let fills = futures::stream::iter(0..ENTRIES).map(|number| fill(&cache, number, number));
    fills.buffer_unordered(256).collect::<()>().await;
    close(cache, true).await;

    let (cache, read) = open(folder.path(), "store", true).await;
    assert_eq!(read, 0, "all of it was kept");
    assert_eq!(found(&cache, 5).await, Some(5));
    close(cache, true).await;

    // As after a crash: the store goes on, and what is kept does not.
    let (cache, read) = open(folder.path(), "store", false).await;
    assert_eq!(read, ENTRIES, "nothing was to be used");
    let gone: Vec<Change> = (0..10).chain([ENTRIES - 1]).map(|n| Change::document(format!("d{n}"))).collect();
    cache.invalidate(&Corpus::default(), &gone).await.unwrap();
    fill(&cache, 20, ENTRIES + 20).await;
    fill(&cache, ENTRIES, ENTRIES).await;
    close(cache, false).await;

    let (cache, read) = open(folder.path(), "store", true).await;
    assert_eq!(read, 2, "one that is new, and one that has another embedding");
    assert_eq!(found(&cache, 5).await, None, "it was invalidated");
    assert_eq!(found(&cache, 20).await, None, "this is not its embedding any more");
    assert_eq!(found(&cache, ENTRIES + 20).await, Some(20));
    assert_eq!(found(&cache, ENTRIES).await, Some(ENTRIES));
    assert_eq!(found(&cache, 30).await, Some(30));
    close(cache, true).await;

    // The same question in the same scope has the same id in every store.
    let (cache, _) = open(folder.path(), "other", false).await;
    fill(&cache, 30, 1).await;
    close(cache, false).await;
    let (cache, read) = open(folder.path(), "other", true).await;
    assert_eq!(read, 1, "what is kept of another store is of no use");
    assert_eq!((found(&cache, 30).await, found(&cache, 1).await), (None, Some(30)));
    close(cache, true).await;
    let names = std::fs::read_dir(folder.path().join("indexes")).unwrap();
    let left = names.filter(|name| name.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(left, 0, "a scope without graphs needs no files");
}
