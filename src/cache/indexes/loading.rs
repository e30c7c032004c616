//! Loading the index of a scope from a store that processes share, and unloading it.
//!
//! Loading compares: the ids that the store lists are fetched if the index lacks them, and ids that it does not list any
//! more are forgotten. So it does for a new index, for one that missed events, and for one from a local snapshot. The
//! index is searched meanwhile, with what it has.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Indexes, ScopeIndex};
use crate::error::Result;
use crate::index::{Snapshots, VectorIndex as _};
use crate::key::ScopeId;
use crate::store::Store;

/// How many scopes are loaded at the same time.
const CONCURRENT_LOADS: usize = 4;
/// How many embeddings are fetched at a time.
pub(super) const FETCHED: usize = 256;
/// How soon loading is tried again after it failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Smaller indexes are not saved: loading them from the store is as quick.
const LEAST_SAVED: usize = 1_000;
/// How often indexes that changed are saved.
pub(super) const SAVE_EVERY: Duration = Duration::from_mins(10);

/// What loads indexes.
pub(crate) struct Loader {
    store: Arc<dyn Store>,
    /// Where indexes are kept between runs, and what names the model of their embeddings.
    snapshots: Option<(Snapshots, String)>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    places: Arc<Semaphore>,
    since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not loaded, or not any more.
    Due,
    Running,
    Done,
}

/// How far the loading of an index is, and when it was last wanted.
#[derive(Debug)]
pub(super) struct Loading {
    progress: watch::Sender<Progress>,
    retry_at: Mutex<Option<Instant>>,
    /// In milliseconds since the loader was made.
    searched: AtomicU64,
    /// Whether a snapshot was looked for.
    restored: AtomicBool,
}

impl Default for Loading {
    fn default() -> Self {
        Self {
            progress: watch::Sender::new(Progress::Due),
            retry_at: Mutex::default(),
            searched: AtomicU64::default(),
            restored: AtomicBool::default(),
        }
    }
}

impl Loading {
    pub(super) fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Waits until loading ended, well or not.
    pub(super) async fn ended(&self) {
        // It cannot fail: the sender lives as long as this.
        let _ = self.progress.subscribe().wait_for(|progress| *progress != Progress::Running).await;
    }

    /// Has the index compared with the store at its next search.
    pub(super) fn expire(&self) {
        // While it is being loaded already, it may have missed what comes late.
        self.progress.send_replace(Progress::Due);
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
        *retry_at = begins.then(|| Instant::now() + RETRY_AFTER);
        begins
    }

    fn end(&self, result: &Result<()>) {
        self.progress.send_if_modified(|progress| {
            // One that expired meanwhile is due again.
            let is_running = *progress == Progress::Running;
            if is_running {
                *progress = if result.is_ok() { Progress::Done } else { Progress::Due };
            }
            is_running
        });
    }
}

impl Loader {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        snapshots: Option<(Snapshots, String)>,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let places = Arc::new(Semaphore::new(CONCURRENT_LOADS));
        Self { store, snapshots, tasks, shutdown, places, since: Instant::now() }
    }

    /// Notes that `scope` is searched, and starts to load it if that is due.
    pub(super) fn touch(&self, index: &Arc<ScopeIndex>, scope: ScopeId) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        index.loading.searched.store(now, Ordering::Relaxed);
        if index.loading.progress() != Progress::Due || !index.loading.begin() {
            return;
        }
        let (store, places, index) = (Arc::clone(&self.store), Arc::clone(&self.places), Arc::clone(index));
        let (shutdown, snapshots) = (self.shutdown.clone(), self.snapshots.clone());
        self.tasks.spawn(async move {
            let work = async {
                // It is never closed.
                let _place = places.acquire_owned().await;
                if let Some((snapshots, model)) = snapshots
                    && !index.loading.restored.swap(true, Ordering::Relaxed)
                {
                    let index = Arc::clone(&index);
                    // It ends only with the runtime, or by a panic of its own.
                    drop(
                        tokio::task::spawn_blocking(move || restore(&snapshots, &model, &index, scope)).await,
                    );
                }
                load(&*store, &index, scope).await
            };
            let result = shutdown.run_until_cancelled(work).await.unwrap_or(Ok(()));
            if let Err(error) = &result {
                tracing::warn!(%error, %scope, "the index of a scope cannot be loaded yet");
            }
            index.loading.end(&result);
        });
    }
}

/// Makes the index hold what the store lists.
async fn load(store: &dyn Store, index: &ScopeIndex, scope: ScopeId) -> Result<()> {
    let corpus = &index.corpus;
    // What is stored from now on comes through the stream. What the index held before that may be gone.
    store.follow(corpus).await?;
    let before = index.index().ids();
    let mut listed = HashSet::new();
    let mut cursor = None;
    loop {
        let page = store.scope_page(corpus, scope, cursor).await?;
        let missing: Vec<_> = page
            .ids
            .iter()
            .copied()
            .filter(|id| listed.insert(*id) && !index.index().contains(*id))
            .collect();
        for missing in missing.chunks(FETCHED) {
            let embeddings = store.embeddings(corpus, missing).await?;
            for (id, embedding) in missing.iter().zip(embeddings) {
                if let Some(embedding) = embedding {
                    index.insert(*id, &embedding);
                }
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    for id in before.into_iter().filter(|id| !listed.contains(id)) {
        index.remove(id);
    }
    Ok(())
}

/// Takes what the last snapshot of the scope holds for its index. What was put into the index so far is fetched again
/// by the comparison that follows.
fn restore(snapshots: &Snapshots, model: &str, index: &ScopeIndex, scope: ScopeId) {
    index.restore(snapshots, &scope.to_string(), &label(model, scope));
}

/// What a snapshot must be of. A scope is of one corpus.
fn label(model: &str, scope: ScopeId) -> Vec<u8> {
    format!("{scope} {model}").into_bytes()
}

impl Loader {
    /// Saves the index if it changed since the last time. Blocks.
    fn save(&self, index: &ScopeIndex, scope: ScopeId) {
        let Some((snapshots, model)) = &self.snapshots else { return };
        let changes = index.changes.load(Ordering::Relaxed);
        if index.loading.progress() != Progress::Done
            || index.saved.load(Ordering::Relaxed) == changes
            || index.index().len() < LEAST_SAVED
        {
            return;
        }
        let generations = snapshots.generations(&scope.to_string());
        let saved =
            generations.and_then(|generations| generations.save(&index.index(), &label(model, scope)));
        match saved {
            Ok(_) => index.saved.store(changes, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, %scope, "the index of a scope cannot be saved"),
        }
    }
}

impl Indexes {
    /// Unloads, from now on, scopes that nobody searched for as long as `after`.
    pub(crate) fn unload_idle(self: &Arc<Self>, after: Duration) {
        let Some(loader) = &self.loader else { return };
        let (indexes, shutdown) = (Arc::downgrade(self), loader.shutdown.clone());
        loader.tasks.spawn(async move {
            let pause = (after / 4).clamp(Duration::from_millis(100), SAVE_EVERY / 2);
            let mut saved = Instant::now();
            while shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
                let Some(indexes) = indexes.upgrade() else { return };
                let is_due = saved.elapsed() >= SAVE_EVERY;
                if is_due {
                    saved = Instant::now();
                }
                let work = move || {
                    indexes.unload(after);
                    if is_due {
                        indexes.save_loaded();
                    }
                };
                drop(tokio::task::spawn_blocking(work).await);
            }
        });
    }

    fn unload(&self, after: Duration) {
        let Some(loader) = &self.loader else { return };
        let oldest = loader.since.elapsed().saturating_sub(after);
        let oldest = u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX);
        let mut unloaded = Vec::new();
        self.write().retain(|id, scope| {
            let is_idle = scope.loading.progress() != Progress::Running
                && scope.loading.searched.load(Ordering::Relaxed) < oldest;
            if is_idle {
                unloaded.push((*id, Arc::clone(scope)));
            }
            !is_idle
        });
        // Without the lock: a large index takes its time.
        for (scope, index) in unloaded {
            loader.save(&index, scope);
        }
    }

    /// Saves what changed since the last time, if there is a place for it. Blocks.
    pub(super) fn save_loaded(&self) {
        let Some(loader) = &self.loader else { return };
        for (scope, index) in self.all() {
            loader.save(&index, scope);
        }
    }
}
