//! A store around another one, for tests that need some of its calls to do something else.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use wellspring::judgement::{JudgementCursor, Logged};
use wellspring::key::ScopeId;
use wellspring::store::{
    ChangeListener, ChangeOutcome, Claim, ClaimEnd, ClaimToken, ConnectionStatus, Coordination, Fetched,
    Filled, JudgementLog, ReadVersion, ScopeCursor, ScopePage, StoreStatus, StoredEntry,
};
use wellspring::{Change, Corpus, DocumentVersion, Embedding, Entry, EntryId, Result, Store};

/// What an [`Intercepted`] store does besides calling the store inside it. A hook that is not overridden does
/// nothing.
#[async_trait]
pub trait Intercept: fmt::Debug + Send + Sync {
    /// Runs before each call that can fail, except `close`. The call fails with its error.
    fn before(&self) -> Result<()> {
        Ok(())
    }

    /// Runs before a page of a scope is listed, after [`before`](Self::before).
    fn before_page(&self) -> Result<()> {
        Ok(())
    }

    /// Returns the read version that `store` gets in place of the caller's.
    async fn before_fill(
        &self,
        _store: &dyn Store,
        read_version: ReadVersion,
        _entry: &Entry,
    ) -> Result<ReadVersion> {
        Ok(read_version)
    }

    /// Sees what became of a fill.
    fn after_fill(&self, _entry: Arc<Entry>, _filled: Filled) {}

    /// Returns what the caller gets in place of what a lookup of `id` fetched.
    fn after_lookup(&self, _id: EntryId, fetched: Fetched) -> Fetched {
        fetched
    }

    /// Runs after the embeddings of `ids` were read, before the caller gets them.
    async fn after_embeddings(&self, _ids: &[EntryId]) {}
}

/// A store that passes every call on to another one, with the hooks `I` around it. It dereferences to the
/// hooks.
#[derive(Debug)]
pub struct Intercepted<I> {
    inner: Arc<dyn Store>,
    hooks: I,
}

impl<I: Intercept> Intercepted<I> {
    pub fn around(inner: impl Store + 'static, hooks: I) -> Arc<Self> {
        Arc::new(Self { inner: Arc::new(inner), hooks })
    }

    /// The store, before a call that can fail.
    fn inner(&self) -> Result<&dyn Store> {
        self.hooks.before()?;
        Ok(&*self.inner)
    }

    /// The coordination of the store inside, for calls that come through this store's own.
    fn shared(&self) -> &dyn Coordination {
        self.inner.coordination().expect("this store has it only if the one inside does")
    }
}

impl<I> Deref for Intercepted<I> {
    type Target = I;

    fn deref(&self) -> &I {
        &self.hooks
    }
}

#[async_trait]
impl<I: Intercept> Store for Intercepted<I> {
    async fn lookup(&self, corpus: &Corpus, id: EntryId) -> Result<Fetched> {
        Ok(self.hooks.after_lookup(id, self.inner()?.lookup(corpus, id).await?))
    }

    async fn fill(&self, read_version: ReadVersion, entry: Arc<Entry>) -> Result<Filled> {
        let inner = self.inner()?;
        let read_version = self.hooks.before_fill(inner, read_version, &entry).await?;
        let filled = inner.fill(read_version, Arc::clone(&entry)).await?;
        self.hooks.after_fill(entry, filled);
        Ok(filled)
    }

    async fn would_take(&self, read_version: ReadVersion, entry: &Entry) -> Result<bool> {
        self.inner()?.would_take(read_version, entry).await
    }

    async fn versions(
        &self,
        corpus: &Corpus,
        id: EntryId,
        documents: &[&str],
    ) -> Result<Vec<Option<DocumentVersion>>> {
        self.inner()?.versions(corpus, id, documents).await
    }

    async fn invalidate(&self, corpus: &Corpus, changes: &[Change]) -> Result<Vec<ChangeOutcome>> {
        self.inner()?.invalidate(corpus, changes).await
    }

    async fn begin_update(&self, corpus: &Corpus, document: &str) -> Result<()> {
        self.inner()?.begin_update(corpus, document).await
    }

    async fn end_update(
        &self,
        corpus: &Corpus,
        document: &str,
        version: Option<DocumentVersion>,
    ) -> Result<ChangeOutcome> {
        self.inner()?.end_update(corpus, document, version).await
    }

    async fn dependants(&self, corpus: &Corpus, change: &Change) -> Result<Vec<StoredEntry>> {
        self.inner()?.dependants(corpus, change).await
    }

    async fn scan(&self, after: Option<EntryId>, limit: usize) -> Result<Vec<StoredEntry>> {
        self.inner()?.scan(after, limit).await
    }

    async fn scope_page(
        &self,
        corpus: &Corpus,
        scope: ScopeId,
        cursor: Option<ScopeCursor>,
    ) -> Result<ScopePage> {
        let inner = self.inner()?;
        self.hooks.before_page()?;
        inner.scope_page(corpus, scope, cursor).await
    }

    async fn embeddings(&self, corpus: &Corpus, ids: &[EntryId]) -> Result<Vec<Option<Embedding>>> {
        let embeddings = self.inner()?.embeddings(corpus, ids).await;
        self.hooks.after_embeddings(ids).await;
        embeddings
    }

    fn holds(&self, scope: ScopeId) -> bool {
        self.inner.holds(scope)
    }

    fn fills(&self) -> Option<u64> {
        self.inner.fills()
    }

    fn record_hit(&self, corpus: &Corpus, id: EntryId) {
        self.inner.record_hit(corpus, id);
    }

    fn listen(&self, listener: Arc<dyn ChangeListener>) {
        self.inner.listen(listener);
    }

    async fn status(&self) -> Result<StoreStatus> {
        self.inner()?.status().await
    }

    async fn ready(&self) -> Result<()> {
        self.inner()?.ready().await
    }

    fn connection(&self) -> Option<ConnectionStatus> {
        self.inner.connection()
    }

    fn coordination(&self) -> Option<&dyn Coordination> {
        self.inner.coordination().map(|_| self as &dyn Coordination)
    }

    async fn secret(&self, offered: [u8; 32]) -> Result<[u8; 32]> {
        self.inner()?.secret(offered).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[async_trait]
impl<I: Intercept> Coordination for Intercepted<I> {
    async fn lookup_or_claim(&self, corpus: &Corpus, id: EntryId) -> Result<(Fetched, Claim)> {
        self.hooks.before()?;
        let (fetched, claim) = self.shared().lookup_or_claim(corpus, id).await?;
        Ok((self.hooks.after_lookup(id, fetched), claim))
    }

    async fn claim(&self, corpus: &Corpus, id: EntryId) -> Result<Claim> {
        self.hooks.before()?;
        self.shared().claim(corpus, id).await
    }

    async fn renew_claim(&self, corpus: &Corpus, id: EntryId, token: ClaimToken) -> Result<bool> {
        self.hooks.before()?;
        self.shared().renew_claim(corpus, id, token).await
    }

    fn end_claim(&self, corpus: &Corpus, id: EntryId, token: ClaimToken, end: ClaimEnd) {
        self.shared().end_claim(corpus, id, token, end);
    }

    fn claim_life(&self) -> Duration {
        self.shared().claim_life()
    }

    async fn follow(&self, corpus: &Corpus) -> Result<()> {
        self.hooks.before()?;
        self.shared().follow(corpus).await
    }
}

#[async_trait]
impl<I: Intercept> JudgementLog for Intercepted<I> {
    async fn record_judgement(&self, logged: &Logged) -> Result<()> {
        self.inner()?.record_judgement(logged).await
    }

    async fn judgements(
        &self,
        after: Option<JudgementCursor>,
        limit: usize,
    ) -> Result<Vec<(JudgementCursor, Logged)>> {
        self.inner()?.judgements(after, limit).await
    }
}
