//! One vector index for each scope.
//!
//! Indexes are hints: they propose candidates, and the store decides whether an entry may be served. A
//! candidate may be missing for a moment after a fill, or may be an entry that is gone.
//!
//! A scope is [loaded](loading) when it is first searched, from what was [kept](snapshot_manager) of it where
//! possible. It follows fills and removals from then on, and is [unloaded](unloading) when no one searches
//! it. So a start reads no entries, and a scope that no one asks takes no memory here.
//!
//! Nothing is lost on the way. An index is put into the map before its entries are read from the store: a
//! fill that finds the index there goes into it, and a fill that came too early for that is already in the
//! store, because it is stored first. While an index is loaded, it notes the changes that it is notified of,
//! which are newer than what is being read. A fill or a search that still holds an index which was unloaded
//! does no harm: the store has what the index had, and the next search loads it.
//!
//! ```text
//! no index ── first search ──> Due ── a search, a second after the last attempt began ──> Running
//!   ^                           ^                                                          │   │
//!   │                           ├── failed, or the cache is closing ───────────────────────┤   │ the whole
//!   │                           ├── ends <── Outdated <── changes may have been missed ────┘   │ scope was
//!   │                           └── changes may have been missed ───────── Done <──────────────┘ compared
//!   └── unloaded: not running, and either not searched for long or, in a local store, empty
//! ```
//!
//! Why in this order:
//!
//! - *A fill stores, then inserts; a removal leaves the store, then the index.* So whoever meets an id that
//!   the store lacks may remove it, and looks once more afterwards, because it may have been filled just then.
//! - *Loading follows the change stream, then notes changes, then lists.* What other processes store after
//!   the listing has passed is only in the stream; what was noted is newer than what is read after it.
//! - *What the listing lacks is removed at its end*, and only if it was there at the start: an entry that came
//!   meanwhile may have a place that the listing had passed.
//! - *A snapshot is restored before the comparison*, which then fetches only what the snapshot may have
//!   missed. The number of fills that names a snapshot is read before the index is saved: the index may have
//!   more than its name says, which costs a fetch, but must not have less.

mod loading;
mod snapshot_manager;
mod unloading;

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

pub(crate) use self::loading::Loader;
use self::loading::Loading;
pub(crate) use self::snapshot_manager::SnapshotManager;
use crate::embedding::Embedding;
use crate::entry::Entry;
use crate::error::Result;
use crate::index::{SegmentedIndex, VectorIndex};
use crate::key::{Corpus, EntryId, ScopeId};
use crate::store::ChangeListener;

pub(crate) struct Indexes {
    dimensions: usize,
    by_scope: RwLock<Scopes>,
    loader: Loader,
}

type Scopes = HashMap<ScopeId, Arc<ScopeIndex>>;

struct ScopeIndex {
    corpus: Corpus,
    dimensions: usize,
    /// Replaced once, by what a snapshot holds.
    index: RwLock<Arc<SegmentedIndex>>,
    loading: Loading,
    /// The ids of the changes that the index was notified of since the current load began; none while it is
    /// not being loaded. Held while the index is changed, so that what was read never replaces what was
    /// notified.
    changed: Mutex<Option<HashSet<EntryId>>>,
    /// Insertions and removals since it was made.
    changes: AtomicU64,
    /// How many of these changes the last snapshot has.
    saved: AtomicU64,
}

impl fmt::Debug for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Indexes").field("dimensions", &self.dimensions).finish_non_exhaustive()
    }
}

impl Indexes {
    pub(crate) fn new(dimensions: usize, loader: Loader) -> Self {
        Self { dimensions, by_scope: RwLock::default(), loader }
    }

    /// Makes `entry`, which is stored, findable by meaning, if it has an embedding of this model.
    pub(crate) fn insert(&self, entry: &Entry) {
        if let Some(embedding) = &entry.embedding {
            self.stored(&entry.corpus, entry.scope, entry.id, embedding);
        }
    }

    pub(crate) fn remove(&self, scope: ScopeId, id: EntryId) {
        self.removed(&[(id, scope)]);
    }

    /// The `k` nearest entries of `scope` with at least `floor` similarity, and how similar they are, nearest
    /// first. If the scope is not loaded, starts to load it and waits up to `wait` for that; then it searches
    /// what is loaded so far.
    pub(crate) async fn search(
        &self,
        (corpus, scope): (&Corpus, ScopeId),
        query: &Embedding,
        k: usize,
        floor: f32,
        wait: Duration,
    ) -> Result<Vec<(EntryId, f32)>> {
        let Some(scope) = self.present(corpus, scope) else { return Ok(Vec::new()) };
        // A scope that is being loaded would be searched in part only. Beyond `wait`, a miss is better than a
        // caller who waits.
        if scope.loading.is_running() {
            let _ = tokio::time::timeout(wait, scope.loading.ended()).await;
        }
        // The lock is not held while searching, or a new scope would have to wait for it.
        let found = scope.index().search(query, k, floor)?;
        Ok(found.into_iter().map(|found| (EntryId::from_bytes(found.id), found.similarity)).collect())
    }

    /// Waits until no scope is being loaded.
    pub(crate) async fn all_loaded(&self) {
        for (_, scope) in self.all() {
            scope.loading.ended().await;
        }
    }

    /// The index of a scope; starts to load it if that is due.
    fn present(&self, corpus: &Corpus, scope: ScopeId) -> Option<Arc<ScopeIndex>> {
        let found = self.read().get(&scope).cloned();
        let index = match found {
            Some(index) => index,
            None => self.scope(corpus, scope)?,
        };
        self.loader.touch(&index, scope);
        Some(index)
    }

    fn scope(&self, corpus: &Corpus, scope: ScopeId) -> Option<Arc<ScopeIndex>> {
        match self.write().entry(scope) {
            Slot::Occupied(slot) => Some(Arc::clone(slot.get())),
            Slot::Vacant(slot) => match SegmentedIndex::builder(self.dimensions).build() {
                Ok(index) => Some(Arc::clone(slot.insert(Arc::new(ScopeIndex {
                    corpus: corpus.clone(),
                    dimensions: self.dimensions,
                    index: RwLock::new(Arc::new(index)),
                    loading: Loading::default(),
                    changed: Mutex::default(),
                    changes: AtomicU64::new(0),
                    saved: AtomicU64::new(0),
                })))),
                Err(error) => {
                    tracing::error!(%error, "a scope cannot be searched by meaning");
                    None
                }
            },
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Scopes> {
        self.by_scope.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Scopes> {
        self.by_scope.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// As they are now: the lock is not held while they are worked on, otherwise no one could fill meanwhile.
    fn all(&self) -> Vec<(ScopeId, Arc<ScopeIndex>)> {
        self.read().iter().map(|(scope, index)| (*scope, Arc::clone(index))).collect()
    }

    /// Waits until no index is being built.
    pub(crate) fn wait_idle(&self) {
        for (_, scope) in self.all() {
            scope.index().wait_idle();
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.read().values().map(|scope| scope.index().memory_bytes()).sum()
    }
}

impl ScopeIndex {
    fn index(&self) -> Arc<SegmentedIndex> {
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn changed(&self) -> MutexGuard<'_, Option<HashSet<EntryId>>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry that was just stored, or forgets one that was just removed.
    fn apply_change(&self, id: EntryId, embedding: Option<&Embedding>) {
        let mut changed = self.changed();
        if let Some(changed) = &mut *changed {
            changed.insert(id);
        }
        self.change(id, embedding);
    }

    /// The same for an entry that was read from the store, unless the index was notified of something newer.
    fn apply_loaded(&self, id: EntryId, embedding: Option<&Embedding>) {
        let changed = self.changed();
        if changed.as_ref().is_none_or(|changed| !changed.contains(&id)) {
            self.change(id, embedding);
        }
    }

    fn change(&self, id: EntryId, embedding: Option<&Embedding>) {
        // A scope names its model, so this only passes over entries that no query of this cache can reach.
        let is_changed = match embedding.filter(|embedding| embedding.dimensions() == self.dimensions) {
            Some(embedding) => match self.index().insert(*id.as_bytes(), embedding) {
                Ok(()) => true,
                Err(error) => {
                    tracing::error!(%error, "an entry cannot be found by meaning");
                    false
                }
            },
            None => self.index().remove(*id.as_bytes()),
        };
        self.changes.fetch_add(u64::from(is_changed), Ordering::Relaxed);
    }
}

impl ChangeListener for Indexes {
    fn removed(&self, entries: &[(EntryId, ScopeId)]) {
        let scopes = self.read();
        for (id, scope) in entries {
            if let Some(found) = scopes.get(scope) {
                found.apply_change(*id, None);
            }
        }
    }

    fn stored(&self, corpus: &Corpus, scope: ScopeId, id: EntryId, embedding: &Embedding) {
        // This process ignores scopes that it does not search. The lock is held, so that an index that is
        // found empty while no one may insert stays empty until it is unloaded.
        if let Some(found) = self.read().get(&scope)
            && found.corpus == *corpus
        {
            found.apply_change(id, Some(embedding));
        }
    }

    fn lagged(&self, corpus: &Corpus) {
        for scope in self.read().values().filter(|scope| scope.corpus == *corpus) {
            scope.loading.expire();
        }
    }
}
