//! Stores with a fault: broken stores, and stores that leave out a part of the freshness protocol.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use wellspring::key::ScopeId;
use wellspring::store::{
    ChangeListener, ChangeOutcome, Fetched, Filled, Found, MemoryStore, ScopeCursor, ScopePage, Snapshot,
    Store, StoreStatus, StoredEntry,
};
use wellspring::{Change, Corpus, DocumentVersion, Entry, EntryId, Error, ErrorKind, Result};

/// What a [`FaultyStore`] does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Works correctly until it is [broken](FaultyStore::broken); then every call fails.
    Breaks,
    /// Fills are stored whatever changed since their snapshot. This is the cookbook's way of deleting the
    /// dependants, which does not notice a fill that comes later.
    NoFence,
    /// Entries are served without asking the clock.
    NoReadCheck,
}

/// A memory store with a fault.
#[derive(Debug)]
pub struct FaultyStore {
    inner: MemoryStore,
    fault: Fault,
    pub broken: AtomicBool,
    /// Entries that are served without the read check, and entries that were filled without the fence.
    kept: Mutex<HashMap<EntryId, Arc<Entry>>>,
}

impl FaultyStore {
    pub fn new(fault: Fault, inner: MemoryStore) -> Self {
        Self { inner, fault, broken: AtomicBool::new(false), kept: Mutex::default() }
    }

    fn check(&self) -> Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Store, "the store is broken"));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn lookup(&self, corpus: &Corpus, id: EntryId) -> Result<Fetched> {
        self.check()?;
        let mut fetched = self.inner.lookup(corpus, id).await?;
        if self.fault == Fault::NoReadCheck
            && let Some(entry) = self.kept.lock().unwrap().get(&id)
        {
            fetched.found = Found::Live(Arc::clone(entry));
        }
        Ok(fetched)
    }

    async fn fill(&self, snapshot: Snapshot, entry: Arc<Entry>) -> Result<Filled> {
        self.check()?;
        let snapshot = match self.fault {
            Fault::NoFence => self.inner.lookup(&entry.corpus, entry.id).await?.snapshot,
            _ => snapshot,
        };
        let filled = self.inner.fill(snapshot, Arc::clone(&entry)).await?;
        if filled == Filled::Stored && self.fault == Fault::NoReadCheck {
            self.kept.lock().unwrap().insert(entry.id, entry);
        }
        Ok(filled)
    }

    async fn invalidate(&self, corpus: &Corpus, changes: &[Change]) -> Result<Vec<ChangeOutcome>> {
        self.check()?;
        self.inner.invalidate(corpus, changes).await
    }

    async fn begin_update(&self, corpus: &Corpus, document: &str) -> Result<()> {
        self.check()?;
        self.inner.begin_update(corpus, document).await
    }

    async fn end_update(
        &self,
        corpus: &Corpus,
        document: &str,
        version: Option<DocumentVersion>,
    ) -> Result<ChangeOutcome> {
        self.check()?;
        self.inner.end_update(corpus, document, version).await
    }

    async fn dependants(&self, corpus: &Corpus, change: &Change) -> Result<Vec<StoredEntry>> {
        self.check()?;
        self.inner.dependants(corpus, change).await
    }

    async fn scan(&self, after: Option<EntryId>, limit: usize) -> Result<Vec<StoredEntry>> {
        self.check()?;
        self.inner.scan(after, limit).await
    }

    async fn scope_page(
        &self,
        corpus: &Corpus,
        scope: ScopeId,
        cursor: Option<ScopeCursor>,
    ) -> Result<ScopePage> {
        self.check()?;
        self.inner.scope_page(corpus, scope, cursor).await
    }

    fn record_hit(&self, corpus: &Corpus, id: EntryId) {
        self.inner.record_hit(corpus, id);
    }

    fn listen(&self, listener: Arc<dyn ChangeListener>) {
        self.inner.listen(listener);
    }

    async fn status(&self) -> Result<StoreStatus> {
        self.check()?;
        self.inner.status().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
