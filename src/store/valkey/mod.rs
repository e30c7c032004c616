//! A store on Valkey or Redis, shared by any number of processes.
//!
//! Answers are hashes, and the invalidation clocks beside them decide whether they are live. Each bucket of a
//! corpus has one clock. Scripts open, ask and advance the clocks, so a lookup is one round trip and nothing
//! can come between finding an entry and asking its clock. If the server lost a clock, or has one from before
//! a restart or a failover, that clock is never trusted again: everything that was stored under it is gone.
//!
//! # Guarantees
//!
//! Once an invalidation has returned, no lookup that starts later, in any process, is served an answer that
//! it ended, whatever the server evicts, forgets, or takes over. There is one exception. A process may be cut
//! off together with an old primary, which was replaced meanwhile and does not know it yet. That primary may
//! serve old answers to that process until it learns of its replacement (at most the cluster's node timeout).
//!
//! If the servers are away, lookups fail within [`command_timeout`](ValkeyOptions::command_timeout). Once the
//! servers have been silent for three times as long, lookups fail at once until they are back. If the servers
//! are slow, or the machine has more to do than it has cores for, lookups wait for as long as a hit is worth.
//! An invalidation that cannot be completed is reported as [`Incomplete`](ErrorKind::Incomplete), kept in an
//! outbox and tried again; meanwhile this process serves nothing from the buckets that it concerns.
//!
//! A hold ([`Store::begin_update`]) lasts as long as the clocks in which it is kept. If the server loses
//! those clocks meanwhile, answers made from the old version are served until the update ends, and not after.
//!
//! # What only saves memory and time
//!
//! The sets of dependants, the change stream, the contents of the memory tier and the announcements are
//! hints. Each of them may be lost.
//!
//! Counts of dropped entries are taken from the sets: they may include entries that had already expired or
//! been evicted.

mod address;
mod background;
mod bulk;
mod claims;
mod doctor;
mod fill;
mod invalidation;
mod judgements;
mod keys;
mod layout;
mod link;
mod listing;
mod lookup;
mod operation;
mod options;
mod outbox;
mod plan;
mod record;
mod reply;
mod script;
mod secret;
mod status;
mod stream;
mod tier;
mod versions;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::address::ValkeyAddress;
pub(crate) use self::invalidation::unannounced;
use self::keys::{Bucket, Keys};
use self::link::Link;
pub(crate) use self::link::ValkeyServer;
use self::listing::Listing;
pub use self::options::{Freshness, ValkeyOptions};
use self::outbox::Outbox;
use self::stream::Follower;
use self::tier::MemoryTier;
use crate::embedding::Embedding;
use crate::entry::{Change, DocumentVersion, Entry};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Corpus, EntryId, ScopeId};
use crate::store::{
    ChangeListener, ChangeOutcome, ConnectionStatus, Coordination, Fetched, Filled, ReadVersion, ScopeCursor,
    ScopePage, Store, StoreStatus, StoredEntry, closed,
};

/// A store on Valkey (or Redis 7 and later): a single server, a group behind sentinels, or a cluster.
///
/// ```no_run
/// # async fn example() -> wellspring::Result<()> {
/// use wellspring::store::ValkeyStore;
///
/// let store = ValkeyStore::options().outbox("/var/lib/app/outbox").connect("valkey://localhost").await?;
/// # Ok(())
/// # }
/// ```
pub struct ValkeyStore {
    inner: Arc<Inner>,
}

struct Inner {
    address: ValkeyAddress,
    options: ValkeyOptions,
    keys: Keys,
    /// The connection for commands that callers wait for.
    link: Link,
    /// The connection for work that may wait: invalidations and their replicas, cleaning up, reports.
    control: Link,
    tier: MemoryTier,
    outbox: Arc<Outbox>,
    /// Distinguishes the events of this process in the change stream from those of others.
    origin: u128,
    hits: Mutex<HashMap<(Corpus, EntryId), u64>>,
    listener: RwLock<Option<Arc<dyn ChangeListener>>>,
    follower: Follower,
    listing: Mutex<Option<Listing>>,
    /// Corpora that this process has put on the server's list.
    listed: Mutex<std::collections::HashSet<Corpus>>,
    /// Set once the server's layout was found to be this one.
    checked: tokio::sync::OnceCell<()>,
    drains: mpsc::UnboundedSender<background::BackgroundTask>,
    /// The clocks that wait for their old tombstones to be dropped.
    compacting: Mutex<std::collections::HashSet<(Corpus, u16)>>,
    retry: tokio::sync::Notify,
    /// Held while the outbox is processed.
    retrying: tokio::sync::Mutex<()>,
    /// Claims end where callers drop them, which may be on a thread without a runtime.
    runtime: tokio::runtime::Handle,
    tasks: TaskTracker,
    /// The tasks that closing waits for: claims being ended, announcements, and events of the change stream.
    awaited: TaskTracker,
    shutdown: CancellationToken,
}

impl fmt::Debug for ValkeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValkeyStore")
            .field("address", &self.inner.address)
            .field("options", &self.inner.options)
            .finish_non_exhaustive()
    }
}

impl ValkeyStore {
    /// Settings of a store; call [`connect`](ValkeyOptions::connect) on them.
    pub fn options() -> ValkeyOptions {
        ValkeyOptions::default()
    }

    async fn open(address: ValkeyAddress, options: ValkeyOptions) -> Result<Self> {
        let path = options.outbox.clone();
        let outbox = tokio::task::spawn_blocking(move || Outbox::open(path.as_deref())).await;
        let outbox = outbox.map_err(|broken| {
            Error::new(ErrorKind::Store, "the outbox failed unexpectedly").with_source(broken)
        })??;
        let (pushes, heard) = mpsc::unbounded_channel();
        let tracks = options.freshness != Freshness::Validated;
        let limits = options.limits();
        let (link, control) = tokio::try_join!(
            Link::open(&address, options.certificates(), limits, tracks.then_some(pushes)),
            Link::open(&address, options.certificates(), options.patient_limits(), None),
        )?;
        // Without a limit: an invalidation that is in force must neither fail nor wait because cleaning up is
        // behind. Only names of sets and ids wait here.
        let (drains, to_drain) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            keys: Keys::new(options.prefix.clone(), options.buckets),
            tier: MemoryTier::new(options.memory_tier_bytes, options.freshness),
            outbox: Arc::new(outbox),
            origin: rand::random(),
            hits: Mutex::default(),
            listener: RwLock::default(),
            follower: Follower::default(),
            listing: Mutex::default(),
            listed: Mutex::default(),
            checked: tokio::sync::OnceCell::new(),
            drains,
            compacting: Mutex::default(),
            retry: tokio::sync::Notify::new(),
            retrying: tokio::sync::Mutex::default(),
            runtime: tokio::runtime::Handle::current(),
            tasks: TaskTracker::new(),
            awaited: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            address,
            options,
            link,
            control,
        });
        match inner.check_layout(&inner.link, inner.command_limit()).await {
            Err(error) if error.kind() == ErrorKind::Config => return Err(error),
            Err(error) => {
                let server = inner.address.to_string();
                tracing::warn!(server, %error, "the store is unavailable, so nothing is cached until it answers");
            }
            Ok(()) => {}
        }
        inner.start(to_drain, heard);
        Ok(Self { inner })
    }
}

impl Drop for ValkeyStore {
    fn drop(&mut self) {
        self.inner.shutdown.cancel();
    }
}

impl Inner {
    /// How long a command that callers wait for may take now.
    fn command_limit(&self) -> Duration {
        self.link.pace().limit()
    }

    fn check_open(&self) -> Result<()> {
        if self.shutdown.is_cancelled() { Err(closed()) } else { Ok(()) }
    }

    /// Fails while an invalidation of the bucket is not complete: what is stored there may be stale.
    fn check_bucket(&self, bucket: Bucket<'_>) -> Result<()> {
        if self.outbox.is_pending_in(bucket.corpus, bucket.number) {
            return Err(Error::new(ErrorKind::Incomplete, "an invalidation is not complete yet"));
        }
        Ok(())
    }

    fn listener(&self) -> Option<Arc<dyn ChangeListener>> {
        self.listener.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Store for ValkeyStore {
    async fn lookup(&self, corpus: &Corpus, id: EntryId) -> Result<Fetched> {
        Ok(self.inner.find(corpus, id, None).await?.0)
    }

    async fn fill(&self, read_version: ReadVersion, entry: Arc<Entry>) -> Result<Filled> {
        self.inner.fill(read_version, &entry).await
    }

    async fn would_take(&self, read_version: ReadVersion, entry: &Entry) -> Result<bool> {
        self.inner.would_take(read_version, entry).await
    }

    async fn versions(
        &self,
        corpus: &Corpus,
        id: EntryId,
        documents: &[&str],
    ) -> Result<Vec<Option<DocumentVersion>>> {
        self.inner.versions(corpus, id, documents).await
    }

    async fn invalidate(&self, corpus: &Corpus, changes: &[Change]) -> Result<Vec<ChangeOutcome>> {
        Change::check_all(changes)?;
        self.inner.invalidate_all(corpus, changes).await
    }

    async fn begin_update(&self, corpus: &Corpus, document: &str) -> Result<()> {
        Change::document(document).check()?;
        self.inner.hold(corpus, document).await
    }

    async fn end_update(
        &self,
        corpus: &Corpus,
        document: &str,
        version: Option<DocumentVersion>,
    ) -> Result<ChangeOutcome> {
        Change::Document { id: document.to_owned(), version: version.clone() }.check()?;
        self.inner.release(corpus, document, version).await
    }

    async fn dependants(&self, corpus: &Corpus, change: &Change) -> Result<Vec<StoredEntry>> {
        change.check()?;
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
        self.inner.scope_page(corpus, scope, cursor).await
    }

    async fn embeddings(&self, corpus: &Corpus, ids: &[EntryId]) -> Result<Vec<Option<Embedding>>> {
        self.inner.embeddings(corpus, ids).await
    }

    fn holds(&self, _scope: ScopeId) -> bool {
        true
    }

    fn fills(&self) -> Option<u64> {
        None
    }

    fn record_hit(&self, corpus: &Corpus, id: EntryId) {
        self.inner.record_hit(corpus, id);
    }

    fn listen(&self, listener: Arc<dyn ChangeListener>) {
        *self.inner.listener.write().unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }

    async fn status(&self) -> Result<StoreStatus> {
        self.inner.status().await
    }

    async fn ready(&self) -> Result<()> {
        self.inner.ready().await
    }

    fn connection(&self) -> Option<ConnectionStatus> {
        Some(self.inner.link.status())
    }

    fn coordination(&self) -> Option<&dyn Coordination> {
        Some(self)
    }

    async fn secret(&self, offered: [u8; 32]) -> Result<[u8; 32]> {
        self.inner.secret(offered).await
    }

    async fn close(&self) -> Result<()> {
        let inner = &self.inner;
        // Hits while the background still runs; then what others wait for: claims, events and announcements.
        // The rest is abandoned: cleaning up only saves memory, and the outbox is for the next process, if it
        // has a file.
        inner.flush_hits().await;
        inner.shutdown.cancel();
        inner.awaited.close();
        inner.awaited.wait().await;
        inner.tasks.close();
        inner.tasks.wait().await;
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
