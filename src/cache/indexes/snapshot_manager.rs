//! Keeping indexes between runs, and while no one searches them.
//!
//! Building graphs takes long, more than a tenth of a millisecond for each entry; reading entries takes only
//! some microseconds each. So if one process owns the store, only indexes that have graphs are saved; a
//! smaller one is read again, which is as quick and makes no file. If processes share the store, entries are
//! fetched one by one, so smaller indexes are worth a file, too. Loading compares what was saved with what
//! the store lists.
//!
//! A local store numbers its fills, and a snapshot's name gives its scope and the number of fills that it
//! has: an entry with a lower number was not stored again since, so its embedding is the one that the index
//! has. A snapshot belongs to the clock of its corpus; a snapshot from another store with the same scopes is
//! not used. Nor is a snapshot with more fills than the store had when it was opened, unless it was saved
//! since: the store was put back to an earlier state, and gives these numbers to other fills.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use super::ScopeIndex;
use crate::error::Result;
use crate::index::{Saved, SegmentedIndex, Snapshots, VectorIndex as _};
use crate::key::{Corpus, EntryId, ScopeId};
use crate::store::Store;

/// Smaller indexes of a shared store are not saved: loading them from the store is as quick.
const LEAST_SAVED: usize = 1_000;
/// How many snapshots of a scope are kept, so that one is left if the newest is damaged.
const KEPT: usize = 2;

/// Where indexes are kept.
pub(crate) struct SnapshotManager {
    snapshots: Snapshots,
    /// Names the model of the embeddings.
    model: String,
    /// For a local store, the snapshots of each scope by the number of fills that they have, ascending.
    kept: Mutex<HashMap<ScopeId, Vec<u64>>>,
}

impl SnapshotManager {
    /// Where the indexes of `store` are kept; none if it neither counts its fills nor is shared, because
    /// nothing would show what is out of date. Removes snapshots from a later state of the store. Blocks.
    pub(crate) fn new(snapshots: Snapshots, model: String, store: &dyn Store) -> Option<Self> {
        let mut kept: HashMap<_, Vec<u64>> = HashMap::new();
        if let Some(now) = store.fills() {
            let names = snapshots.names().unwrap_or_else(|error| {
                tracing::warn!(%error, "snapshots of indexes cannot be listed");
                Vec::new()
            });
            let mut names: Vec<_> = names.iter().filter_map(|name| parse(name)).collect();
            names.sort_unstable_by_key(|&(_, fills)| fills);
            for (scope, fills) in names {
                if fills <= now {
                    kept.entry(scope).or_default().push(fills);
                } else {
                    remove(&snapshots, scope, fills);
                }
            }
        } else if store.coordination().is_none() {
            return None;
        }
        Some(Self { snapshots, model, kept: Mutex::new(kept) })
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<ScopeId, Vec<u64>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The label that a snapshot must have: for these embeddings, by this model, in this store.
    async fn label(&self, store: &dyn Store, corpus: &Corpus, scope: ScopeId) -> Result<Vec<u8>> {
        if store.coordination().is_some() {
            return Ok(format!("{scope} {}", self.model).into_bytes());
        }
        // No question has this id, but every lookup returns a read version of the clock.
        let read_version = store.lookup(corpus, EntryId::from_bytes([0; 16])).await?.read_version;
        Ok(format!("{scope} {:032x} {}", read_version.incarnation, self.model).into_bytes())
    }

    /// Loads the newest snapshot of the scope that can be used. What was put into the index so far is fetched
    /// again by the comparison that follows.
    pub(super) async fn restore(
        self: Arc<Self>,
        store: &dyn Store,
        index: &Arc<ScopeIndex>,
        scope: ScopeId,
    ) -> Result<()> {
        let names: Vec<_> = if store.coordination().is_some() {
            vec![(name(scope, None), u64::MAX)]
        } else {
            let kept = self.kept().get(&scope).cloned().unwrap_or_default();
            kept.into_iter().rev().map(|fills| (name(scope, Some(fills)), fills)).collect()
        };
        if names.is_empty() {
            return Ok(());
        }
        let label = self.label(store, &index.corpus, scope).await?;
        let index = Arc::clone(index);
        let restoring = move || {
            let mut names = names.into_iter();
            let found = names.find(|(name, _)| index.restore(&self.snapshots, name, &label));
            if let Some((_, fills)) = found {
                index.loading.known.store(fills, Ordering::Relaxed);
            }
        };
        // It fails only if the runtime ends, or if it panics itself.
        drop(tokio::task::spawn_blocking(restoring).await);
        Ok(())
    }

    /// Saves the index if it changed since the last time and is worth saving. Returns whether there is a
    /// snapshot of all of it. If fills are counted, the index must have every fill before `fills`. Blocks.
    pub(super) fn save(
        &self,
        store: &dyn Store,
        index: &ScopeIndex,
        scope: ScopeId,
        fills: Option<u64>,
    ) -> bool {
        // An index that was not compared yet may have outdated entries.
        if !index.loading.is_done() {
            return false;
        }
        let is_worth_it = match fills {
            Some(_) => index.index().graphs() > 0,
            None => index.index().len() >= LEAST_SAVED,
        };
        if !is_worth_it {
            self.keep(scope, 0);
            return false;
        }
        // Read before the index is written: what changes meanwhile counts as not saved.
        let changes = index.changes.load(Ordering::Relaxed);
        if index.saved.load(Ordering::Relaxed) == changes {
            return true;
        }
        let saved = Handle::current().block_on(self.label(store, &index.corpus, scope)).and_then(|label| {
            Ok(self.snapshots.generations(&name(scope, fills))?.save(&index.index(), &label)?)
        });
        match saved {
            Ok(Saved::Written { .. }) => {
                index.saved.store(changes, Ordering::Relaxed);
                if let Some(fills) = fills {
                    let mut kept = self.kept();
                    let kept = kept.entry(scope).or_default();
                    kept.retain(|&other| other != fills);
                    kept.push(fills);
                }
                self.keep(scope, KEPT);
                true
            }
            // This process may not save here.
            Ok(_) => false,
            Err(error) => {
                tracing::warn!(%error, %scope, "the index of a scope cannot be saved");
                false
            }
        }
    }

    /// Removes the snapshots of scopes that are gone. Blocks.
    pub(super) fn forget(&self, is_gone: impl Fn(ScopeId) -> bool) {
        let scopes: Vec<_> = self.kept().keys().copied().collect();
        for scope in scopes.into_iter().filter(|scope| is_gone(*scope)) {
            self.keep(scope, 0);
        }
    }

    /// Removes all snapshots of a scope but the newest `count`.
    fn keep(&self, scope: ScopeId, count: usize) {
        let mut kept = self.kept();
        let Some(fills) = kept.get_mut(&scope) else { return };
        let old: Vec<_> = fills.drain(..fills.len().saturating_sub(count)).collect();
        if fills.is_empty() {
            kept.remove(&scope);
        }
        drop(kept);
        for fills in old {
            remove(&self.snapshots, scope, fills);
        }
    }
}

impl ScopeIndex {
    /// Loads the newest snapshot of this name that can be used. Returns whether there is one. Blocks.
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
}

fn remove(snapshots: &Snapshots, scope: ScopeId, fills: u64) {
    let generations = snapshots.generations(&name(scope, Some(fills)));
    if let Err(error) = generations.and_then(|generations| generations.remove()) {
        tracing::warn!(%error, %scope, "an old snapshot of an index cannot be removed");
    }
}

/// The name that a snapshot is saved under; for a shared store, the scope alone.
fn name(scope: ScopeId, fills: Option<u64>) -> String {
    fills.map_or_else(|| scope.to_string(), |fills| format!("{scope}{fills:016x}"))
}

fn parse(name: &str) -> Option<(ScopeId, u64)> {
    let (scope, fills) = name.split_at_checked(32)?;
    Some((scope.parse().ok()?, (fills.len() == 16).then(|| u64::from_str_radix(fills, 16).ok())??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_holds_scope_and_fills() {
        let scope = ScopeId::from_bytes([0xab; 16]);
        assert_eq!(parse(&name(scope, Some(7))), Some((scope, 7)));
        assert_eq!(parse(&name(scope, None)), None);
        assert_eq!(parse(&format!("{}0", name(scope, Some(7)))), None);
    }
}
