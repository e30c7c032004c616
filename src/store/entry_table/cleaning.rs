//! Removing entries: for lack of room, because a change ended them, and because their time is over.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::state::{TableState, death};
use super::{EntryTable, lock};
use crate::key::EntryId;

/// The most entries that one call of [`EntryTable::drain`] or [`EntryTable::sweep`] removes, so that no one
/// waits long for the lock.
const STEP: usize = 32;

impl<P: Send + Sync + 'static> EntryTable<P> {
    /// Enforces the limits now, and returns the entries evicted since the last call.
    pub(in crate::store) fn evict(&self) -> Vec<EntryId> {
        // Without the lock of the table: moka may have much to do here, and lookups need the clock behind
        // that lock.
        self.eviction_cache.run_pending_tasks();
        let evicted = std::mem::take(&mut *lock(&self.evicted));
        if evicted.is_empty() {
            return Vec::new();
        }
        let mut state = self.write();
        let gone = evicted
            .into_iter()
            // An entry that was stored again under the same id meanwhile is a different one, and stays.
            .filter(|(id, old)| state.entries.get(id).is_some_and(|listed| Arc::ptr_eq(listed, old)))
            .map(|(id, _)| id)
            .collect();
        let gone = self.forget(&mut state, gone);
        self.evictions.fetch_add(gone.len() as u64, Ordering::Relaxed);
        gone
    }

    /// Looks through up to [`STEP`] detached entries and forgets the dead. Returns them, and whether
    /// there is more to do.
    pub(in crate::store) fn drain(&self) -> (Vec<EntryId>, bool) {
        // Almost always there is nothing to do, and then no one needs to wait.
        if self.read().detached.is_empty() {
            return (Vec::new(), false);
        }
        let now = self.clock.now();
        let mut guard = self.write();
        let state = &mut *guard;
        let mut dead = Vec::new();
        for _ in 0..STEP {
            let Some(set) = state.detached.front_mut() else { break };
            let Some(id) = set.next() else {
                state.detached.pop_front();
                continue;
            };
            let Some(meta) = state.entries.get(&id) else { continue };
            let clock = state.corpora.get(&meta.corpus).map(|corpus| &corpus.clock);
            // A newer answer may have been stored under the same id.
            if clock.is_some_and(|clock| death(clock, meta, now).is_some()) {
                dead.push(id);
            }
        }
        let gone = self.forget(state, dead);
        (gone, !state.detached.is_empty())
    }

    /// Forgets up to [`STEP`] expired entries. Returns them, and whether there may be more.
    pub(in crate::store) fn sweep(&self) -> (Vec<EntryId>, bool) {
        let now = self.clock.now();
        // Almost always nothing is due, and then no one needs to wait.
        if self.read().expiries.first().is_none_or(|&(at, _)| at > now) {
            return (Vec::new(), false);
        }
        let mut state = self.write();
        let due: Vec<EntryId> =
            state.expiries.iter().take_while(|&&(at, _)| at <= now).take(STEP).map(|&(_, id)| id).collect();
        let gone = self.forget(&mut state, due);
        self.expirations.fetch_add(gone.len() as u64, Ordering::Relaxed);
        let more = gone.len() == STEP;
        (gone, more)
    }

    /// Removes entries from the table, notifies the listener, and returns them.
    fn forget(&self, state: &mut TableState<P>, ids: Vec<EntryId>) -> Vec<EntryId> {
        if ids.is_empty() {
            return ids;
        }
        let mut gone = Vec::with_capacity(ids.len());
        for &id in &ids {
            self.eviction_cache.invalidate(&id);
            let Some(meta) = state.unlink(id) else { continue };
            state.retire(&meta.corpus);
            gone.push((id, meta.scope));
        }
        if let Some(listener) = &*self.listener.read().unwrap_or_else(PoisonError::into_inner) {
            // While the lock is held: a fill of the same id waits for it, so its insertion into the index
            // comes after this removal.
            listener.removed(&gone);
        }
        ids
    }
}
