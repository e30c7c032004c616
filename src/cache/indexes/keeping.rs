//! Filling the indexes from a store that one process owns, and keeping them between runs.
//!
//! What takes long at a start is to build graphs, not to read entries: about a millisecond each against some
//! microseconds. So the indexes that have graphs are saved, and a start takes them up and compares them with what the
//! store lists: entries that an index lacks, or that were stored since it was saved, are read from the store, and what
//! the store does not list is removed. A smaller index is read anew, which is as quick, and makes no file.
//!
//! Fills are numbered, and a snapshot's name tells its scope and the number of fills that it has: an entry with a lower
//! number was not stored since, so its embedding is the one that the index has. A snapshot belongs to the
//! clock of its corpus; that of another store with the same scopes is not used.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::loading::{FETCHED, SAVE_EVERY};
use super::{Indexes, ScopeIndex};
use crate::error::Result;
use crate::index::{Saved, Snapshots, VectorIndex as _};
use crate::key::{Corpus, EntryId, ScopeId};
use crate::store::{Listed, Store};

/// How many entries are listed at a time.
const LISTED: usize = 4_096;
/// How many snapshots of a scope are kept, so that one is left where the newest is damaged.
const KEPT: usize = 2;

/// Where indexes are kept. Holds no store: one that is not used any more is to be closed, and has the indexes for its
/// listener.
pub(crate) struct Keeper {
    snapshots: Snapshots,
    /// Names the model of the embeddings.
    model: String,
}

/// What is known of a scope while the store is compared with its index.
struct Comparison {
    index: Arc<ScopeIndex>,
    /// The index has every fill with a lower number, if it has its entry at all.
    fills: u64,
    /// The ids that the store listed, ascending; empty for an index that was not restored.
    listed: Option<Vec<EntryId>>,
    /// Entries whose embeddings are to be read.
    unread: Vec<EntryId>,
}

impl Keeper {
    pub(crate) fn new(snapshots: Snapshots, model: String) -> Self {
        Self { snapshots, model }
    }

    /// The snapshots of each scope with the fills that they have, the newest first.
    fn names(&self) -> HashMap<ScopeId, Vec<u64>> {
        let mut names: HashMap<_, Vec<u64>> = HashMap::new();
        match self.snapshots.names() {
            Ok(found) => {
                for (scope, fills) in found.iter().filter_map(|name| parse(name)) {
                    names.entry(scope).or_default().push(fills);
                }
            }
            Err(error) => tracing::warn!(%error, "snapshots of indexes cannot be listed"),
        }
        for fills in names.values_mut() {
            fills.sort_unstable();
            fills.reverse();
        }
        names
    }

    /// What a snapshot must be of: these embeddings, by this model, in this store.
    async fn label(&self, store: &dyn Store, corpus: &Corpus, scope: ScopeId) -> Result<Vec<u8>> {
        // No question has this id, but every lookup tells whose clock it was asked of.
        let snapshot = store.lookup(corpus, EntryId::from_bytes([0; 16])).await?.snapshot;
        Ok(format!("{scope} {:032x} {}", snapshot.incarnation, self.model).into_bytes())
    }

    /// Takes up the newest of these snapshots that can be used; returns the fills that it has.
    async fn restore(
        &self,
        store: &dyn Store,
        index: &Arc<ScopeIndex>,
        scope: ScopeId,
        fills: Vec<u64>,
    ) -> Result<Option<u64>> {
        let Some(now) = store.fills() else { return Ok(None) };
        let label = self.label(store, &index.corpus, scope).await?;
        let (index, snapshots) = (Arc::clone(index), self.snapshots.clone());
        let restoring = move || {
            // If the store was put back to an earlier state, numbers from later mean other fills.
            let mut known = fills.into_iter().filter(|&fills| fills <= now);
            known.find(|&fills| index.restore(&snapshots, &name(scope, fills), &label))
        };
        // It ends only with the runtime, or by a panic of its own.
        Ok(tokio::task::spawn_blocking(restoring).await.unwrap_or(None))
    }

    /// Saves an index that has every fill before `fills`, and removes what is older. Blocks.
    fn save(&self, index: &ScopeIndex, scope: ScopeId, label: &[u8], fills: u64) {
        let changes = index.changes.load(Ordering::Relaxed);
        if index.saved.load(Ordering::Relaxed) == changes {
            return;
        }
        let generations = self.snapshots.generations(&name(scope, fills));
        match generations.and_then(|generations| generations.save(&index.index(), label)) {
            Ok(Saved::Written { .. }) => index.saved.store(changes, Ordering::Relaxed),
            Ok(Saved::Refused) => {}
            Err(error) => tracing::warn!(%error, %scope, "the index of a scope cannot be saved"),
        }
    }

    /// Removes all snapshots of a scope but the newest `kept`. Blocks.
    fn tidy(&self, scope: ScopeId, fills: &[u64], kept: usize) {
        for &fills in fills.iter().skip(kept) {
            let generations = self.snapshots.generations(&name(scope, fills));
            if let Err(error) = generations.and_then(|generations| generations.remove()) {
                tracing::warn!(%error, %scope, "an old snapshot of an index cannot be removed");
            }
        }
    }
}

/// Under what a snapshot is saved.
fn name(scope: ScopeId, fills: u64) -> String {
    format!("{scope}{fills:016x}")
}

fn parse(name: &str) -> Option<(ScopeId, u64)> {
    let (scope, fills) = name.split_at_checked(32)?;
    Some((scope.parse().ok()?, (fills.len() == 16).then(|| u64::from_str_radix(fills, 16).ok())??))
}

impl Indexes {
    /// Makes the indexes hold what `store` lists. Before anything else uses them.
    pub(crate) async fn read_store(&self, store: &dyn Store) -> Result<()> {
        let mut names = self.keeper.as_ref().map(Keeper::names).unwrap_or_default();
        let mut scopes: HashMap<ScopeId, Comparison> = HashMap::new();
        let mut after = None;
        loop {
            let page = store.list(after, LISTED).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for Listed { id, corpus, scope, fill } in page {
                let comparison = if let Some(comparison) = scopes.get_mut(&scope) {
                    comparison
                } else {
                    let fills = names.remove(&scope).unwrap_or_default();
                    let Some(comparison) = self.compare(store, &corpus, scope, fills).await? else {
                        continue;
                    };
                    scopes.entry(scope).or_insert(comparison)
                };
                comparison.see(id, fill);
                if comparison.unread.len() >= FETCHED {
                    comparison.catch_up(store, self.dimensions).await?;
                }
            }
        }
        for comparison in scopes.values_mut() {
            comparison.catch_up(store, self.dimensions).await?;
            comparison.forget_unlisted();
        }
        Ok(())
    }

    async fn compare(
        &self,
        store: &dyn Store,
        corpus: &Corpus,
        scope: ScopeId,
        fills: Vec<u64>,
    ) -> Result<Option<Comparison>> {
        let Some(index) = self.scope(&mut self.write(), corpus, scope).cloned() else { return Ok(None) };
        let fills = match &self.keeper {
            Some(keeper) if !fills.is_empty() => keeper.restore(store, &index, scope, fills).await?,
            _ => None,
        };
        let listed = fills.map(|_| Vec::new());
        Ok(Some(Comparison { index, fills: fills.unwrap_or(0), listed, unread: Vec::new() }))
    }

    /// Saves, every 10 minutes until `shutdown`, what changed.
    pub(crate) fn keep(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        tasks: &TaskTracker,
        shutdown: CancellationToken,
    ) {
        if self.keeper.is_none() {
            return;
        }
        let (indexes, store) = (Arc::downgrade(self), Arc::downgrade(store));
        tasks.spawn(async move {
            // From before the pause, so that all that was stored by then is in the index after it.
            while let Some(fills) = store.upgrade().and_then(|store| store.fills()) {
                if shutdown.run_until_cancelled(tokio::time::sleep(SAVE_EVERY)).await.is_none() {
                    return;
                }
                let (Some(indexes), Some(store)) = (indexes.upgrade(), store.upgrade()) else { return };
                let saving = move || indexes.save_kept(&*store, fills);
                drop(tokio::task::spawn_blocking(saving).await);
            }
        });
    }

    /// Saves the indexes with graphs that changed since they were saved. All of them must have every fill before
    /// `fills`. Blocks.
    pub(super) fn save_kept(&self, store: &dyn Store, fills: u64) {
        let Some(keeper) = &self.keeper else { return };
        let runtime = tokio::runtime::Handle::current();
        let mut kept = Vec::new();
        for (scope, index) in self.all() {
            if index.index().graphs() == 0 {
                continue;
            }
            kept.push(scope);
            match runtime.block_on(keeper.label(store, &index.corpus, scope)) {
                Ok(label) => keeper.save(&index, scope, &label, fills),
                Err(error) => tracing::warn!(%error, %scope, "the index of a scope cannot be saved"),
            }
        }
        for (scope, fills) in keeper.names() {
            keeper.tidy(scope, &fills, if kept.contains(&scope) { KEPT } else { 0 });
        }
    }
}

impl Comparison {
    /// Notes an entry that the store has.
    fn see(&mut self, id: EntryId, fill: u64) {
        if let Some(listed) = &mut self.listed {
            listed.push(id);
        }
        if fill >= self.fills || !self.index.index().contains(id) {
            self.unread.push(id);
        }
    }

    /// Reads what is to be read.
    async fn catch_up(&mut self, store: &dyn Store, dimensions: usize) -> Result<()> {
        let unread = std::mem::take(&mut self.unread);
        for ids in unread.chunks(FETCHED) {
            let embeddings = store.embeddings(&self.index.corpus, ids).await?;
            for (&id, embedding) in ids.iter().zip(embeddings) {
                match embedding.filter(|embedding| embedding.dimensions() == dimensions) {
                    Some(embedding) => self.index.insert(id, &embedding),
                    None => self.index.remove(id),
                }
            }
        }
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Removes what the store does not have any more from an index that was restored.
    fn forget_unlisted(&self) {
        let Some(listed) = &self.listed else { return };
        for id in self.index.index().ids() {
            if listed.binary_search(&id).is_err() {
                self.index.remove(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_scope_and_fills() {
        let scope = ScopeId::from_bytes([0xab; 16]);
        assert_eq!(parse(&name(scope, 7)), Some((scope, 7)));
        // The name of a scope alone is what indexes of shared stores are kept under.
        assert_eq!(parse(&scope.to_string()), None);
        assert_eq!(parse(&format!("{}0", name(scope, 7))), None);
    }
}
