//! The cache: where keys, embedder, index, verifier and store meet.
//!
//! [`Cache::get_or_fill`] does everything in one call. [`Cache::lookup`] and [`FillPermit::fill`] are its two
//! halves, for pipelines that cannot be put into a closure.
//!
//! The cache never breaks the pipeline that it is part of: if its store or embedder fails, lookups
//! [bypass](Lookup::Bypass) it, and answers are made as if there were no cache.

mod builder;
mod candidates;
mod claim;
mod confirmations;
mod corpus;
mod embedding;
mod explain;
mod feedback;
mod feedback_index;
mod fill;
mod get_or_fill;
mod indexes;
mod judging;
mod lookup;
mod principal;
mod put;
mod query;
mod refresh;
mod rivals;
mod runtime_settings;
mod shown;
mod since;
mod together;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::builder::{CacheBuilder, DEFAULT_CANDIDATES, DEFAULT_MEMO_BYTES};
pub use self::corpus::CorpusCache;
pub use self::explain::{EntryState, ExplainedCandidate, Explanation};
pub use self::feedback::FeedbackSource;
use self::feedback_index::FeedbackIndex;
pub use self::fill::{FillOutcome, FillPermit, PendingFill};
pub use self::get_or_fill::{Miss, Origin, Served};
use self::indexes::Indexes;
use self::judging::Judging;
pub use self::lookup::{BypassReason, Hit, Lookup, Tier};
pub use self::principal::{Principal, Visibility};
pub use self::query::{FollowUps, Query};
pub use self::refresh::Refresh;
use self::refresh::Refresher;
use self::runtime_settings::RuntimeSettings;
pub use self::since::Since;
use crate::clock::Clock;
use crate::embed::{Embedder, Memo};
use crate::entry::Entry;
use crate::error::Result;
use crate::flight::SingleFlight;
use crate::journal::Journal;
use crate::key::{Corpus, EntryId, ScopeId};
use crate::match_policy::MatchPolicy;
use crate::metrics::{CacheMetrics, Metrics};
use crate::policy::{Admission, EarlyRefresh};
use crate::store::{ConnectionStatus, Found, Store, StoreStatus, StoredEntry};
use crate::verify::Verifier;

/// A handle on a cache; clones share it.
#[derive(Clone)]
pub struct Cache {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) embedder: Arc<dyn Embedder>,
    /// The embeddings that the embedder made lately.
    pub(crate) memo: Memo,
    pub(crate) fingerprint: String,
    pub(crate) verifier: Arc<dyn Verifier>,
    pub(crate) indexes: Arc<Indexes>,
    pub(crate) feedback_index: Arc<FeedbackIndex>,
    pub(crate) flights: SingleFlight,
    pub(crate) refreshes: SingleFlight,
    pub(crate) runtime: RuntimeSettings,
    pub(crate) admission: Admission,
    pub(crate) metrics: CacheMetrics,
    pub(crate) journal: Journal,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Mutex<SmallRng>,
    pub(crate) settings: Settings,
    /// Random: distinguishes this process from others.
    pub(crate) process: [u8; 16],
    pub(crate) refresher: Option<Refresher>,
    pub(crate) judging: Option<Arc<Judging>>,
    pub(crate) ids: shown::Ids,
    /// Permits for fills that wait to be written in the background.
    pub(crate) write_behind: Option<Arc<Semaphore>>,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

/// The settings that apply to lookups.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) candidates: usize,
    pub(crate) follow_ups: FollowUps,
    /// The match policies of corpora that have their own.
    pub(crate) corpora: HashMap<Corpus, MatchPolicy>,
    pub(crate) embed_timeout: Duration,
    /// How long the verification of a lookup's candidates may take in all.
    pub(crate) verify_timeout: Duration,
    pub(crate) follow_timeout: Duration,
    /// How long a lookup waits for an index that is being loaded.
    pub(crate) index_wait: Duration,
    pub(crate) early_refresh: Option<EarlyRefresh>,
    pub(crate) refresh_on_invalidation: usize,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("store", &self.inner.store)
            .field("embedder", &self.inner.embedder)
            .finish_non_exhaustive()
    }
}

impl Cache {
    /// A builder of a cache that embeds with `embedder` and keeps its answers in `store`.
    ///
    /// ```
    /// # wellspring_test_support::example::run(async || {
    /// use wellspring::embed::FakeEmbedder;
    /// use wellspring::{Cache, MemoryStore};
    ///
    /// // For tests. `OnnxEmbedder::bundled()?` loads the model that Wellspring comes with.
    /// let cache = Cache::builder(FakeEmbedder::new(64), MemoryStore::default()).build().await?;
    /// assert_eq!(cache.status().await?.entries, 0);
    /// # Ok(()) });
    /// ```
    pub fn builder(embedder: impl Embedder + 'static, store: impl Store + 'static) -> CacheBuilder {
        CacheBuilder::new(Arc::new(embedder), Arc::new(store))
    }

    /// The same for parts that are shared.
    ///
    /// ```
    /// # wellspring_test_support::example::run(async || {
    /// use std::sync::Arc;
    /// use wellspring::embed::FakeEmbedder;
    /// use wellspring::{Cache, MemoryStore};
    ///
    /// let embedder = Arc::new(FakeEmbedder::new(64));
    /// let cache = Cache::builder_from(embedder.clone(), Arc::new(MemoryStore::default())).build().await?;
    /// cache.lookup("Where is the key?").await?;
    /// assert_eq!(embedder.embedded(), 1);
    /// # Ok(()) });
    /// ```
    pub fn builder_from(embedder: Arc<dyn Embedder>, store: Arc<dyn Store>) -> CacheBuilder {
        CacheBuilder::new(embedder, store)
    }

    /// What the cache did since it was built.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// cache.lookup("How do I reset my password?").await?;
    /// assert_eq!(cache.metrics().exact_hits, 1);
    /// # Ok(()) });
    /// ```
    pub fn metrics(&self) -> Metrics {
        self.inner.metrics.read()
    }

    /// What the store holds.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// assert_eq!(cache.status().await?.entries, 1);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn status(&self) -> Result<StoreStatus> {
        self.inner.store.status().await
    }

    /// Makes sure that lookups reach the store now, over the connection that they use.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// if let Err(error) = cache.ready().await {
    ///     println!("answers are made without the cache: {error}");
    /// }
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// That of the store, if they do not: then they [bypass](Lookup::Bypass) the cache.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn ready(&self) -> Result<()> {
        self.inner.store.ready().await
    }

    /// The state of the connection to a shared store; none if the store is local.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// assert!(cache.store_connection().is_none(), "a store in memory is local");
    /// # Ok(()) });
    /// ```
    pub fn store_connection(&self) -> Option<ConnectionStatus> {
        self.inner.store.connection()
    }

    /// About how many bytes of memory the loaded vector indexes take.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// println!("{} KiB", cache.index_bytes() / 1024);
    /// # Ok(()) });
    /// ```
    pub fn index_bytes(&self) -> usize {
        self.inner.indexes.memory_bytes()
    }

    /// Up to `limit` live entries whose ids follow `after`, ordered by id, over all corpora.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// let mut after = None;
    /// loop {
    ///     let page = cache.entries(after, 100).await?;
    ///     let Some(last) = page.last() else { break };
    ///     after = Some(last.entry.id);
    ///     for stored in &page {
    ///         println!("{} was hit {} times", stored.entry.question, stored.hits);
    ///     }
    /// }
    /// # assert!(after.is_some());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn entries(&self, after: Option<EntryId>, limit: usize) -> Result<Vec<StoredEntry>> {
        self.inner.store.scan(after, limit).await
    }

    /// The live entry `id`, if there is one. Does not count as a hit.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Corpus, Query};
    ///
    /// let id = cache.entry_id(&Query::new("How do I reset my password?"))?;
    /// let stored = cache.entry(&Corpus::default(), id).await?.ok_or("it is gone")?;
    /// assert_eq!(&*stored.entry.answer.text, "In the settings.");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn entry(&self, corpus: &Corpus, id: EntryId) -> Result<Option<StoredEntry>> {
        let change = crate::entry::Change::Entry(id);
        Ok(self.inner.store.dependants(corpus, &change).await?.pop())
    }

    /// The id of `scope` in `corpus`, which its entries have as their [scope](Entry::scope).
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Corpus, Scope};
    ///
    /// let acme = cache.scope_id(&Corpus::default(), &Scope::new().tenant("acme"))?;
    /// let of_acme = cache.entries(None, 100).await?.into_iter().filter(|stored| stored.entry.scope == acme);
    /// assert_eq!(of_acme.count(), 0);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the scope is not valid.
    pub fn scope_id(&self, corpus: &Corpus, scope: &crate::key::Scope) -> Result<ScopeId> {
        scope.id(corpus, &self.inner.fingerprint)
    }

    /// Waits until background work is done: removing what was invalidated, expired or evicted, building
    /// indexes, and asking the judge what it may be asked now. For the end of an import, for benchmarks and
    /// for tests.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// cache.invalidate_document("passwords.md").await?;
    /// cache.wait_idle().await?;
    /// assert_eq!(cache.status().await?.entries, 0);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn wait_idle(&self) -> Result<()> {
        self.inner.store.status().await?;
        let indexes = Arc::clone(&self.inner.indexes);
        indexes.all_loaded().await;
        // It fails only if the runtime ends, or if it panics itself.
        drop(tokio::task::spawn_blocking(move || indexes.wait_idle()).await);
        if let Some(judging) = &self.inner.judging {
            self.inner.shutdown.run_until_cancelled(judging.wait_idle()).await;
        }
        Ok(())
    }

    /// Ends background refreshes, writes the fills that wait, and closes the store. Answers filled later are
    /// not stored.
    ///
    /// Without it, dropping the last handle abandons refreshes and answers that wait to be written; answers
    /// that were stored stay stored.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::Lookup;
    ///
    /// cache.close().await?;
    /// // Whoever still has a handle makes answers without the cache.
    /// assert!(matches!(cache.lookup("Where is the key?").await?, Lookup::Bypass(_)));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// If something could not be written.
    ///
    /// # Cancel safety
    ///
    /// If dropped, some of the work is left undone; call it again.
    pub async fn close(&self) -> Result<()> {
        self.inner.shutdown.cancel();
        // In this order: the fills that wait are written, so that the indexes have all that the store has
        // taken; and the store is still open when they are saved, because a snapshot is labelled with its
        // clock.
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        let (indexes, store) = (Arc::clone(&self.inner.indexes), Arc::clone(&self.inner.store));
        drop(tokio::task::spawn_blocking(move || indexes.save_all(&*store)).await);
        self.inner.store.close().await
    }
}

impl Inner {
    /// A number uniform in `0.0..1.0`.
    pub(crate) fn random(&self) -> f64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// Makes an entry that was just stored findable by meaning, unless it is already gone: a full store may
    /// evict it at once, before the index has anything to forget.
    pub(crate) async fn index(&self, entry: &Entry) {
        if entry.embedding.is_none() {
            return;
        }
        self.indexes.insert(entry);
        // A store that others share does not evict at once, and asking it would be a round trip.
        if self.store.coordination().is_none()
            && let Ok(Found::Absent) =
                self.store.lookup(&entry.corpus, entry.id).await.map(|fetched| fetched.found)
        {
            self.unindex(&entry.corpus, entry.scope, entry.id).await;
        }
    }

    /// Removes an entry that the store does not have from the index, and puts it back if it is live after
    /// all, because it may have been filled just then.
    pub(crate) async fn unindex(&self, corpus: &Corpus, scope: ScopeId, id: EntryId) {
        self.indexes.remove(scope, id);
        if let Ok(Found::Live(entry)) = self.store.lookup(corpus, id).await.map(|fetched| fetched.found) {
            self.indexes.insert(&entry);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn seeded(seed: Option<u64>) -> SmallRng {
    seed.map_or_else(|| SmallRng::seed_from_u64(rand::random()), SmallRng::seed_from_u64)
}
