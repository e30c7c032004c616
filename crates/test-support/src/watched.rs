//! A store that records what indexes read from it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::Notify;
use wellspring::key::ScopeId;
use wellspring::store::{
    ChangeListener, ChangeOutcome, Fetched, Filled, ScopeCursor, ScopePage, Snapshot, StoreStatus,
    StoredEntry,
};
use wellspring::{
    Change, Corpus, DocumentVersion, Embedding, Entry, EntryId, Error, ErrorKind, Result, Store,
};

/// A store that counts the embeddings that are read from it, and can delay them or fail to list any.
#[derive(Debug)]
pub struct WatchedStore {
    inner: Arc<dyn Store>,
    pub read: AtomicUsize,
    pub lists_nothing: AtomicBool,
    /// A call that reads the embedding of one of these entries, even together with others, reads it at once
    /// but returns it only after the release.
    held: Mutex<HashSet<EntryId>>,
    released: Notify,
}

impl WatchedStore {
    pub fn new(inner: impl Store + 'static) -> Arc<Self> {
        let (inner, read, lists_nothing) = (Arc::new(inner), AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { inner, read, lists_nothing, held: Mutex::default(), released: Notify::new() })
    }

    /// How many embeddings were read since the last call.
    pub fn reads(&self) -> usize {
        self.read.swap(0, Ordering::SeqCst)
    }

    pub fn hold(&self, id: EntryId) {
        self.held.lock().unwrap().insert(id);
    }

    pub fn release(&self) {
        self.held.lock().unwrap().clear();
        self.released.notify_waiters();
    }

    async fn until_released(&self, ids: &[EntryId]) {
        loop {
            let released = self.released.notified();
            if ids.iter().all(|id| !self.held.lock().unwrap().contains(id)) {
                return;
            }
            released.await;
        }
    }
}

#[async_trait]
impl Store for WatchedStore {
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

    async fn scope_page(
        &self,
        corpus: &Corpus,
        scope: ScopeId,
        cursor: Option<ScopeCursor>,
    ) -> Result<ScopePage> {
        if self.lists_nothing.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Store, "the store lists nothing"));
        }
        self.inner.scope_page(corpus, scope, cursor).await
    }

    fn holds(&self, scope: ScopeId) -> bool {
        self.inner.holds(scope)
    }

    fn fills(&self) -> Option<u64> {
        self.inner.fills()
    }

    async fn embeddings(&self, corpus: &Corpus, ids: &[EntryId]) -> Result<Vec<Option<Embedding>>> {
        let embeddings = self.inner.embeddings(corpus, ids).await;
        self.read.fetch_add(ids.len(), Ordering::SeqCst);
        self.until_released(ids).await;
        embeddings
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
