//! One vector index for each scope.
//!
//! Indexes are hints: they propose candidates, and the store decides whether an entry may be served. A
//! proposal may be missing for a moment after a fill, or be of an entry that is gone.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::embedding::Embedding;
use crate::entry::Entry;
use crate::error::Result;
use crate::index::{Neighbor, SegmentedIndex, VectorIndex};
use crate::key::{EntryId, ScopeId};
use crate::store::ChangeListener;

pub(crate) struct Indexes {
    dimensions: usize,
    by_scope: RwLock<Scopes>,
}

type Scopes = HashMap<ScopeId, Arc<SegmentedIndex>>;

impl fmt::Debug for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Indexes").field("dimensions", &self.dimensions).finish_non_exhaustive()
    }
}

impl Indexes {
    pub(crate) fn new(dimensions: usize) -> Self {
        Self { dimensions, by_scope: RwLock::default() }
    }

    /// Makes `entry` findable by meaning, if it has an embedding of this model.
    pub(crate) fn insert(&self, entry: &Entry) {
        let Some(embedding) = &entry.embedding else { return };
        // A scope names its model, so this only skips entries that no query of this cache can reach.
        if embedding.dimensions() != self.dimensions {
            return;
        }
        let scopes = self.read();
        if let Some(index) = scopes.get(&entry.scope) {
            insert_into(index, entry.id, embedding);
            return;
        }
        drop(scopes);
        let mut scopes = self.write();
        let index = match scopes.entry(entry.scope) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => match SegmentedIndex::builder(self.dimensions).build() {
                Ok(index) => slot.insert(Arc::new(index)),
                Err(error) => return tracing::error!(%error, "a scope cannot be searched by meaning"),
            },
        };
        insert_into(index, entry.id, embedding);
    }

    pub(crate) fn remove(&self, scope: ScopeId, id: EntryId) {
        self.removed(&[(id, scope)]);
    }

    /// The `k` nearest entries of `scope` with at least `floor` similarity, nearest first.
    pub(crate) fn search(
        &self,
        scope: ScopeId,
        query: &Embedding,
        k: usize,
        floor: f32,
    ) -> Result<Vec<Neighbor>> {
        // The lock is not held while searching, or a new scope would have to wait for it.
        let index = self.read().get(&scope).cloned();
        index.map_or(Ok(Vec::new()), |index| index.search(query, k, floor))
    }

    fn read(&self) -> RwLockReadGuard<'_, Scopes> {
        self.by_scope.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Scopes> {
        self.by_scope.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no index is being built.
    pub(crate) fn settle(&self) {
        // The lock is not held while waiting, or nobody could fill meanwhile.
        let scopes: Vec<ScopeId> = self.read().keys().copied().collect();
        for scope in scopes {
            let Some(index) = self.read().get(&scope).cloned() else { continue };
            index.settle();
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let scopes = self.read();
        scopes.values().map(|index| index.memory_bytes()).sum()
    }
}

fn insert_into(index: &SegmentedIndex, id: EntryId, embedding: &Embedding) {
    if let Err(error) = index.insert(id, embedding) {
        tracing::error!(%error, "an entry cannot be found by meaning");
    }
}

impl ChangeListener for Indexes {
    fn removed(&self, entries: &[(EntryId, ScopeId)]) {
        let scopes = self.read();
        let mut emptied = Vec::new();
        for (id, scope) in entries {
            if let Some(index) = scopes.get(scope) {
                index.remove(*id);
                if index.is_empty() {
                    emptied.push(*scope);
                }
            }
        }
        drop(scopes);
        if !emptied.is_empty() {
            let mut scopes = self.write();
            // Insertions hold the lock, so an index that is empty now stays so until it is gone.
            for scope in emptied {
                if scopes.get(&scope).is_some_and(|index| index.is_empty()) {
                    scopes.remove(&scope);
                }
            }
        }
    }
}
