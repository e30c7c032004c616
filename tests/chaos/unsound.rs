//! A store on real servers that leaves out a part of the protocol.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use wellspring::key::ScopeId;
use wellspring::store::{
    ChangeListener, ChangeOutcome, Claim, ClaimEnd, ClaimToken, Fetched, Filled, Found, ScopeCursor,
    ScopePage, Snapshot, Store, StoreStatus, StoredEntry, ValkeyStore,
};
use wellspring::{Change, Corpus, DocumentVersion, Embedding, Entry, EntryId, Result};

use crate::plan::Habit;

/// See [`Habit::NoFence`] and [`Habit::NoReadCheck`].
#[derive(Debug)]
pub(crate) struct UnsoundStore {
    inner: ValkeyStore,
    habit: Habit,
    /// What is served without the check at reading.
    kept: Mutex<HashMap<EntryId, Arc<Entry>>>,
}

impl UnsoundStore {
    pub(crate) fn new(inner: ValkeyStore, habit: Habit) -> Self {
        Self { inner, habit, kept: Mutex::default() }
    }

    fn unchecked(&self, id: EntryId, mut fetched: Fetched) -> Fetched {
        if let Some(entry) = self.kept.lock().unwrap().get(&id) {
            fetched.found = Found::Live(Arc::clone(entry));
        }
        fetched
    }
}

#[async_trait]
impl Store for UnsoundStore {
    async fn lookup(&self, corpus: &Corpus, id: EntryId) -> Result<Fetched> {
        Ok(self.unchecked(id, self.inner.lookup(corpus, id).await?))
    }

    async fn fill(&self, snapshot: Snapshot, entry: Arc<Entry>) -> Result<Filled> {
        let snapshot = match self.habit {
            Habit::NoFence => self.inner.lookup(&entry.corpus, entry.id).await?.snapshot,
            _ => snapshot,
        };
        let filled = self.inner.fill(snapshot, Arc::clone(&entry)).await?;
        if filled == Filled::Stored && self.habit == Habit::NoReadCheck {
            self.kept.lock().unwrap().insert(entry.id, entry);
        }
        Ok(filled)
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

    fn record_hit(&self, corpus: &Corpus, id: EntryId) {
        self.inner.record_hit(corpus, id);
    }

    fn listen(&self, listener: Arc<dyn ChangeListener>) {
        self.inner.listen(listener);
    }

    async fn status(&self) -> Result<StoreStatus> {
        self.inner.status().await
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn lookup_or_claim(&self, corpus: &Corpus, id: EntryId) -> Result<(Fetched, Claim)> {
        let (fetched, claim) = self.inner.lookup_or_claim(corpus, id).await?;
        Ok((self.unchecked(id, fetched), claim))
    }

    async fn claim(&self, corpus: &Corpus, id: EntryId) -> Result<Claim> {
        self.inner.claim(corpus, id).await
    }

    async fn renew_claim(&self, corpus: &Corpus, id: EntryId, token: ClaimToken) -> Result<bool> {
        self.inner.renew_claim(corpus, id, token).await
    }

    fn end_claim(&self, corpus: &Corpus, id: EntryId, token: ClaimToken, end: ClaimEnd) {
        self.inner.end_claim(corpus, id, token, end);
    }

    fn claim_life(&self) -> Duration {
        self.inner.claim_life()
    }

    async fn follow(&self, corpus: &Corpus) -> Result<()> {
        self.inner.follow(corpus).await
    }

    async fn scope_page(
        &self,
        corpus: &Corpus,
        scope: ScopeId,
        cursor: Option<ScopeCursor>,
    ) -> Result<ScopePage> {
        self.inner.scope_page(corpus, scope, cursor).await
    }

    async fn embeddings(&self, corpus: &Corpus, ids: &[EntryId]) -> Result<Vec<Option<Embedding>>> {
        self.inner.embeddings(corpus, ids).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
