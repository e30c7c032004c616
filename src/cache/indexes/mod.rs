//! One vector index for each scope.
//!
//! Indexes are hints: they propose candidates, and the store decides whether an entry may be served. A
//! proposal may be missing for a moment after a fill, or be of an entry that is gone.
//!
//! Of a store that one process owns, everything is indexed when the cache is built, with the help of snapshots that are
//! [kept](keeping) between runs. Of one that processes share, a scope is [loaded](loading) when it is first searched,
//! follows the store's change stream from then on, and is unloaded when nobody searches it.

mod keeping;
mod loading;

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) use self::keeping::Keeper;
pub(crate) use self::loading::Loader;
use self::loading::{Loading, Progress};
use crate::embedding::Embedding;
use crate::entry::Entry;
use crate::error::Result;
use crate::index::{Neighbor, SegmentedIndex, Snapshots, VectorIndex};
use crate::key::{Corpus, EntryId, ScopeId};
use crate::store::{ChangeListener, Store};

pub(crate) struct Indexes {
    dimensions: usize,
    by_scope: RwLock<Scopes>,
    /// None for a store that one process owns.
    loader: Option<Loader>,
    /// None for a store that processes share, and where no indexes are kept.
    keeper: Option<Keeper>,
}

type Scopes = HashMap<ScopeId, Arc<ScopeIndex>>;

struct ScopeIndex {
    corpus: Corpus,
    dimensions: usize,
    /// Replaced once, by what a snapshot holds.
    index: RwLock<Arc<SegmentedIndex>>,
    loading: Loading,
    /// Insertions and removals since it was made.
    changes: AtomicU64,
    /// As many of them as the last snapshot has.
    saved: AtomicU64,
}

impl fmt::Debug for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Indexes").field("dimensions", &self.dimensions).finish_non_exhaustive()
    }
}

impl Indexes {
    pub(crate) fn new(dimensions: usize, loader: Option<Loader>, keeper: Option<Keeper>) -> Self {
        Self { dimensions, by_scope: RwLock::default(), loader, keeper }
    }

    /// Makes `entry` findable by meaning, if it has an embedding of this model.
    pub(crate) fn insert(&self, entry: &Entry) {
        if let Some(embedding) = &entry.embedding {
            self.add(&entry.corpus, entry.scope, entry.id, embedding);
        }
    }

    fn add(&self, corpus: &Corpus, scope: ScopeId, id: EntryId, embedding: &Embedding) {
        // A scope names its model, so this only skips entries that no query of this cache can reach.
        if embedding.dimensions() != self.dimensions {
            return;
        }
        let scopes = self.read();
        if let Some(scope) = scopes.get(&scope) {
            scope.insert(id, embedding);
            return;
        }
        drop(scopes);
        let mut scopes = self.write();
        if let Some(scope) = self.scope(&mut scopes, corpus, scope) {
            scope.insert(id, embedding);
        }
    }

    fn scope<'a>(
        &self,
        scopes: &'a mut Scopes,
        corpus: &Corpus,
        scope: ScopeId,
    ) -> Option<&'a Arc<ScopeIndex>> {
        match scopes.entry(scope) {
            Slot::Occupied(slot) => Some(slot.into_mut()),
            Slot::Vacant(slot) => match SegmentedIndex::builder(self.dimensions).build() {
                Ok(index) => Some(slot.insert(Arc::new(ScopeIndex {
                    corpus: corpus.clone(),
                    dimensions: self.dimensions,
                    index: RwLock::new(Arc::new(index)),
                    loading: Loading::default(),
                    changes: AtomicU64::new(0),
                    saved: AtomicU64::new(0),
                }))),
                Err(error) => {
                    tracing::error!(%error, "a scope cannot be searched by meaning");
                    None
                }
            },
        }
    }

    pub(crate) fn remove(&self, scope: ScopeId, id: EntryId) {
        self.removed(&[(id, scope)]);
    }

    /// The `k` nearest entries of `scope` with at least `floor` similarity, nearest first. Has the scope loaded if it
    /// is not.
    pub(crate) fn search(
        &self,
        corpus: &Corpus,
        scope: ScopeId,
        query: &Embedding,
        k: usize,
        floor: f32,
    ) -> Result<Vec<Neighbor>> {
        // The lock is not held while searching, or a new scope would have to wait for it.
        let index = self.present(corpus, scope);
        index.map_or(Ok(Vec::new()), |scope| scope.index().search(query, k, floor))
    }

    /// Waits until `scope` is loaded, or cannot be.
    pub(crate) async fn loaded(&self, corpus: &Corpus, scope: ScopeId) {
        let Some(index) = self.present(corpus, scope).filter(|_| self.loader.is_some()) else { return };
        index.loading.ended().await;
    }

    /// Waits until no scope is being loaded.
    pub(crate) async fn all_loaded(&self) {
        let scopes: Vec<_> = self.read().values().cloned().collect();
        for scope in scopes {
            if scope.loading.progress() == Progress::Running {
                scope.loading.ended().await;
            }
        }
    }

    /// The index of a scope, and the start of its loading where that is due. Local stores have all there is.
    fn present(&self, corpus: &Corpus, scope: ScopeId) -> Option<Arc<ScopeIndex>> {
        let found = self.read().get(&scope).cloned();
        let Some(loader) = &self.loader else { return found };
        let index = match found {
            Some(index) => index,
            None => Arc::clone(self.scope(&mut self.write(), corpus, scope)?),
        };
        loader.touch(&index, scope);
        Some(index)
    }

    fn read(&self) -> RwLockReadGuard<'_, Scopes> {
        self.by_scope.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Scopes> {
        self.by_scope.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// As they are now: the lock is not held while they are worked on, or nobody could fill meanwhile.
    fn all(&self) -> Vec<(ScopeId, Arc<ScopeIndex>)> {
        self.read().iter().map(|(scope, index)| (*scope, Arc::clone(index))).collect()
    }

    /// Waits until no index is being built.
    pub(crate) fn settle(&self) {
        for (_, scope) in self.all() {
            scope.index().settle();
        }
    }

    /// Saves what changed since the last time, if there is a place for it. All that `store` took must be in the indexes.
    /// Blocks.
    pub(crate) fn save_all(&self, store: &dyn Store) {
        self.save_loaded();
        if let Some(fills) = store.fills() {
            self.save_kept(store, fills);
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

    fn insert(&self, id: EntryId, embedding: &Embedding) {
        if let Err(error) = self.index().insert(id, embedding) {
            tracing::error!(%error, "an entry cannot be found by meaning");
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes what the newest snapshot that can be used holds; whether there is one. Blocks.
    fn restore(&self, snapshots: &Snapshots, name: &str, label: &[u8]) -> bool {
        let settings = SegmentedIndex::builder(self.dimensions);
        let restored = snapshots.generations(name).and_then(|generations| generations.load(&settings, label));
        match restored {
            Ok(restored) => {
                for passed_over in restored.passed_over {
                    tracing::warn!(error = %passed_over.error, %name, "a snapshot of an index cannot be used");
                }
                let Some((found, _)) = restored.index else { return false };
                *self.index.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
                true
            }
            Err(error) => {
                tracing::warn!(%error, %name, "snapshots of an index cannot be read");
                false
            }
        }
    }

    fn remove(&self, id: EntryId) {
        if self.index().remove(id) {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl ChangeListener for Indexes {
    fn removed(&self, entries: &[(EntryId, ScopeId)]) {
        let scopes = self.read();
        let mut emptied = Vec::new();
        for (id, scope) in entries {
            if let Some(found) = scopes.get(scope) {
                found.remove(*id);
                if self.loader.is_none() && found.index().is_empty() {
                    emptied.push(*scope);
                }
            }
        }
        drop(scopes);
        // What is loaded on demand is unloaded when it is idle.
        if !emptied.is_empty() {
            let mut scopes = self.write();
            // Insertions hold the lock, so an index that is empty now stays so until it is gone.
            for scope in emptied {
                if scopes.get(&scope).is_some_and(|found| found.index().is_empty()) {
                    scopes.remove(&scope);
                }
            }
        }
    }

    fn stored(&self, corpus: &Corpus, scope: ScopeId, id: EntryId, embedding: &Embedding) {
        // A scope that this process does not search is none of its business.
        if embedding.dimensions() == self.dimensions
            && let Some(found) = self.read().get(&scope)
            && found.corpus == *corpus
        {
            found.insert(id, embedding);
        }
    }

    fn fell_behind(&self, corpus: &Corpus) {
        for scope in self.read().values().filter(|scope| scope.corpus == *corpus) {
            scope.loading.expire();
        }
    }
}
