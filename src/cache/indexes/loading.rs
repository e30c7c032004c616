//! Loading the index of a scope from the store.
//!
//! Loading compares: it fetches ids that the store lists if the index lacks them or may have an outdated
//! state of them, and forgets ids that the store no longer lists. This is the same for a new index, for one
//! that missed events, and for one from a local snapshot. Meanwhile, the index is searched with what it has.
//!
//! Scopes are loaded a page at a time, and a few pages at once: a small scope does not wait for the end of a
//! large one.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ScopeIndex, SnapshotManager};
use crate::error::{Error, ErrorKind, Result};
use crate::index::VectorIndex as _;
use crate::key::{EntryId, ScopeId};
use crate::store::{ScopeCursor, Store};

/// How many pages are loaded at the same time.
const CONCURRENT_LOADS: usize = 4;
/// How many embeddings are fetched at a time.
const FETCHED: usize = 256;
/// How soon loading is tried again after it failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Loads indexes.
pub(crate) struct Loader {
    /// Weak: a store that is no longer used must be closed, and the store itself holds the indexes as its
    /// listener.
    pub(super) store: Weak<dyn Store>,
    pub(super) snapshot_manager: Option<Arc<SnapshotManager>>,
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
    places: Arc<Semaphore>,
    since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not loaded, or no longer.
    Due,
    Running,
    /// Running, and due again when it ends: it may miss late changes.
    Outdated,
    Done,
}

/// How far the loading of an index has come, and when the index was last searched.
#[derive(Debug)]
pub(super) struct Loading {
    progress: watch::Sender<Progress>,
    retry_at: Mutex<Option<Instant>>,
    /// In milliseconds since the loader was made.
    searched: AtomicU64,
    /// Whether it was already checked for a snapshot.
    restored: AtomicBool,
    /// Up to this fill number, the index agrees with the store. Normally that holds for all fills, because
    /// the index is notified of them; an index from a snapshot was not notified of later fills.
    pub(super) known: AtomicU64,
}

/// A scope that is being loaded, until dropped.
struct Load {
    index: Arc<ScopeIndex>,
    scope: ScopeId,
    /// The ids that the index had when the listing began, without those listed since.
    unlisted: HashSet<EntryId>,
    cursor: Option<ScopeCursor>,
    is_complete: bool,
}

impl Default for Loading {
    fn default() -> Self {
        Self {
            progress: watch::Sender::new(Progress::Due),
            retry_at: Mutex::default(),
            searched: AtomicU64::default(),
            restored: AtomicBool::default(),
            known: AtomicU64::new(u64::MAX),
        }
    }
}

impl Loading {
    pub(super) fn is_running(&self) -> bool {
        matches!(*self.progress.borrow(), Progress::Running | Progress::Outdated)
    }

    pub(super) fn is_done(&self) -> bool {
        *self.progress.borrow() == Progress::Done
    }

    /// When it was last searched, in time since the loader was made.
    pub(super) fn searched(&self) -> Duration {
        Duration::from_millis(self.searched.load(Ordering::Relaxed))
    }

    /// Waits until loading has ended, whether it succeeded or not.
    pub(super) async fn ended(&self) {
        let has_ended = |progress: &Progress| matches!(progress, Progress::Due | Progress::Done);
        // It cannot fail: the sender lives as long as this.
        let _ = self.progress.subscribe().wait_for(has_ended).await;
    }

    /// Makes the next search compare the index with the store.
    pub(super) fn expire(&self) {
        self.progress.send_modify(|progress| {
            *progress = match progress {
                Progress::Due | Progress::Done => Progress::Due,
                Progress::Running | Progress::Outdated => Progress::Outdated,
            }
        });
    }

    /// Whether the caller is to load it.
    fn begin(&self) -> bool {
        let mut retry_at = self.retry_at.lock().unwrap_or_else(PoisonError::into_inner);
        if retry_at.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        let begins = self.progress.send_if_modified(|progress| {
            let is_due = *progress == Progress::Due;
            if is_due {
                *progress = Progress::Running;
            }
            is_due
        });
        // Counted from the beginning and whatever the result, so that a store that reports gaps all the time
        // is not compared all the time.
        *retry_at = begins.then(|| Instant::now() + RETRY_AFTER);
        begins
    }

    fn end(&self, is_complete: bool) {
        self.progress.send_modify(|progress| {
            let is_done = is_complete && *progress == Progress::Running;
            *progress = if is_done { Progress::Done } else { Progress::Due };
        });
    }
}

impl Loader {
    pub(crate) fn new(
        store: &Arc<dyn Store>,
        snapshot_manager: Option<SnapshotManager>,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let (store, snapshot_manager) = (Arc::downgrade(store), snapshot_manager.map(Arc::new));
        let places = Arc::new(Semaphore::new(CONCURRENT_LOADS));
        Self { store, snapshot_manager, tasks, shutdown, places, since: Instant::now() }
    }

    /// The time since it was made.
    pub(super) fn now(&self) -> Duration {
        self.since.elapsed()
    }

    /// Notes that `scope` is searched, and starts to load it if that is due.
    pub(super) fn touch(&self, index: &Arc<ScopeIndex>, scope: ScopeId) {
        let now = u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX);
        index.loading.searched.store(now, Ordering::Relaxed);
        if *index.loading.progress.borrow() != Progress::Due {
            return;
        }
        let Some(store) = self.store.upgrade().filter(|_| index.loading.begin()) else { return };
        let (index, unlisted) = (Arc::clone(index), HashSet::new());
        let load = Load { index, scope, unlisted, cursor: None, is_complete: false };
        let (places, snapshot_manager, shutdown) =
            (Arc::clone(&self.places), self.snapshot_manager.clone(), self.shutdown.clone());
        self.tasks.spawn(async move {
            if let Err(error) = load.run(store, snapshot_manager, &places, &shutdown).await {
                tracing::warn!(%error, %scope, "the index of a scope cannot be loaded yet");
            }
        });
    }
}

impl Load {
    /// Makes the index hold what the store lists.
    async fn run(
        mut self,
        store: Arc<dyn Store>,
        snapshot_manager: Option<Arc<SnapshotManager>>,
        places: &Semaphore,
        shutdown: &CancellationToken,
    ) -> Result<()> {
        if let Some(snapshot_manager) = snapshot_manager
            && !self.index.loading.restored.swap(true, Ordering::Relaxed)
        {
            // It is never closed.
            let _place = places.acquire().await;
            snapshot_manager.restore(&*store, &self.index, self.scope).await?;
        }
        while !self.is_complete && !shutdown.is_cancelled() {
            let _place = places.acquire().await;
            if store.coordination().is_some() {
                let page = shutdown.run_until_cancelled(self.page(&*store)).await;
                let Some(page) = page else { return Ok(()) };
                self = page?;
            } else {
                // Not cancelled, because a read of a local store must not outlive its closing.
                let store = Arc::clone(&store);
                let page = move || Handle::current().block_on(self.page(&*store));
                self = tokio::task::spawn_blocking(page).await.map_err(broken)??;
            }
        }
        // Before those who wait for the index go on: they may open the store's file again.
        drop(store);
        Ok(())
    }

    /// Compares the next page.
    async fn page(mut self, store: &dyn Store) -> Result<Self> {
        let corpus = &self.index.corpus;
        if self.cursor.is_none() {
            // From now on, the store reports what other processes store.
            if let Some(coordination) = store.coordination() {
                coordination.follow(corpus).await?;
            }
            *self.index.changed() = Some(HashSet::new());
            self.unlisted = self.index.index().ids().into_iter().map(EntryId::from_bytes).collect();
        }
        let page = store.scope_page(corpus, self.scope, self.cursor).await?;
        let (index, known) = (self.index.index(), self.index.loading.known.load(Ordering::Relaxed));
        let mut unread = Vec::new();
        for listed in page.entries {
            self.unlisted.remove(&listed.id);
            // An index that follows the store needs only what it lacks. One from a snapshot may also hold an
            // older vector of an entry that was stored again, which shows in the number of its fill.
            if listed.fill >= known || !index.contains(*listed.id.as_bytes()) {
                unread.push(listed.id);
            }
        }
        for ids in unread.chunks(FETCHED) {
            let embeddings = store.embeddings(corpus, ids).await?;
            for (&id, embedding) in ids.iter().zip(embeddings) {
                self.index.apply_loaded(id, embedding.as_ref());
            }
        }
        self.cursor = page.next;
        if self.cursor.is_none() {
            for id in self.unlisted.drain() {
                self.index.apply_loaded(id, None);
            }
            self.is_complete = true;
        }
        Ok(self)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // In this order: as soon as this load has ended, another may begin, and what that one notes must not
        // be forgotten here.
        *self.index.changed() = None;
        self.index.loading.end(self.is_complete);
    }
}

fn broken(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Store, "loading an index failed unexpectedly").with_source(error)
}
