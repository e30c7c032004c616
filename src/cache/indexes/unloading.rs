//! Unloading the indexes of scopes that no one searches, and saving those that changed.
//!
//! An index with graphs takes long to build. So if one process owns the store, such an index stays in memory
//! unless it was saved. If processes share the store, an index is unloaded in any case: it is saved where
//! possible, and others may have saved it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Indexes, ScopeIndex};
use crate::index::VectorIndex as _;
use crate::store::Store;

/// How often indexes that changed are saved.
const SAVE_EVERY: Duration = Duration::from_mins(10);
/// An index with this many entries has graphs, or will have them soon.
const LINKED: usize = 8_192;

impl Indexes {
    /// From now on, unloads scopes that no one searched for as long as `after`, and saves changed indexes
    /// every 10 minutes.
    pub(crate) fn unload_idle(self: &Arc<Self>, after: Duration) {
        let (indexes, store) = (Arc::downgrade(self), self.loader.store.clone());
        let shutdown = self.loader.shutdown.clone();
        self.loader.tasks.spawn(async move {
            let pause = (after / 4).clamp(Duration::from_millis(100), SAVE_EVERY / 2);
            let mut saved = Instant::now();
            // Read before the pause, so that all that was stored by then is in the indexes after it.
            while let Some(fills) = store.upgrade().map(|store| store.fills()) {
                if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                    return;
                }
                let (Some(indexes), Some(store)) = (indexes.upgrade(), store.upgrade()) else { return };
                let is_due = saved.elapsed() >= SAVE_EVERY;
                if is_due {
                    saved = Instant::now();
                }
                let work = move || {
                    indexes.unload(&*store, after, fills);
                    if is_due {
                        indexes.save(&*store, fills);
                    }
                };
                // It fails only if the runtime ends, or if it panics itself.
                drop(tokio::task::spawn_blocking(work).await);
            }
        });
    }

    fn unload(&self, store: &dyn Store, after: Duration, fills: Option<u64>) {
        let oldest = self.loader.now().saturating_sub(after);
        let is_idle = |index: &ScopeIndex| {
            // An empty index is loaded again quickly from a local store. From a shared one it would be a
            // round trip.
            let is_empty =
                store.coordination().is_none() && index.loading.is_done() && index.index().is_empty();
            !index.loading.is_running() && (is_empty || index.loading.searched() < oldest)
        };
        // Saved first and without the lock, because a large index takes its time.
        for (scope, index) in self.all().into_iter().filter(|(_, index)| is_idle(index)) {
            let is_saved = self
                .loader
                .snapshot_manager
                .as_ref()
                .is_some_and(|snapshot_manager| snapshot_manager.save(store, &index, scope, fills));
            let is_quick = index.index().graphs() == 0 && index.index().len() < LINKED;
            if !(is_saved || is_quick || store.coordination().is_some()) {
                continue;
            }
            let mut scopes = self.write();
            if scopes.get(&scope).is_some_and(|index| is_idle(index)) {
                scopes.remove(&scope);
            }
            // `index` is dropped after the lock: that may have to wait for the end of a build.
            drop(scopes);
        }
    }

    /// Saves what changed since the last time, if there is a place for it. The indexes must have all that
    /// `store` has taken. Blocks.
    pub(crate) fn save_all(&self, store: &dyn Store) {
        self.save(store, store.fills());
    }

    fn save(&self, store: &dyn Store, fills: Option<u64>) {
        let Some(snapshot_manager) = &self.loader.snapshot_manager else { return };
        for (scope, index) in self.all() {
            snapshot_manager.save(store, &index, scope, fills);
        }
        snapshot_manager.forget(|scope| !self.read().contains_key(&scope) && !store.holds(scope));
    }
}
