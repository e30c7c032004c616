//! Removing entries: for lack of room, because a change ended them, and because their time is over.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::books::{Books, death};
use super::{Ledger, lock};
use crate::key::EntryId;

/// The most entries that one call of [`Ledger::drain`] or [`Ledger::sweep`] removes, so that no one waits
/// long for the lock.
const STEP: usize = 32;

impl<P: Send + Sync + 'static> Ledger<P> {
    /// Enforces the limits now, and returns the entries evicted since the last call.
    pub(in crate::store) fn evict(&self) -> Vec<EntryId> {
        self.residents.run_pending_tasks();
        let evicted = std::mem::take(&mut *lock(&self.evicted));
        if evicted.is_empty() {
            return Vec::new();
        }
        let mut books = self.write();
        let gone = evicted
            .into_iter()
            // An entry that was stored again under the same id meanwhile is a different one, and stays.
            .filter(|(id, old)| books.entries.get(id).is_some_and(|listed| Arc::ptr_eq(listed, old)))
            .map(|(id, _)| id)
            .collect();
        let gone = self.forget(&mut books, gone);
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
        let books = &mut *guard;
        let mut dead = Vec::new();
        for _ in 0..STEP {
            let Some(set) = books.detached.front_mut() else { break };
            let Some(id) = set.next() else {
                books.detached.pop_front();
                continue;
            };
            let Some(resident) = books.entries.get(&id) else { continue };
            let clock = books.corpora.get(&resident.corpus).map(|corpus| &corpus.clock);
            // A newer answer may have been stored under the same id.
            if clock.is_some_and(|clock| death(clock, resident, now).is_some()) {
                dead.push(id);
            }
        }
        let gone = self.forget(books, dead);
        (gone, !books.detached.is_empty())
    }

    /// Forgets up to [`STEP`] expired entries. Returns them, and whether there may be more.
    pub(in crate::store) fn sweep(&self) -> (Vec<EntryId>, bool) {
        let now = self.clock.now();
        // Almost always nothing is due, and then no one needs to wait.
        if self.read().expiries.first().is_none_or(|&(at, _)| at > now) {
            return (Vec::new(), false);
        }
        let mut books = self.write();
        let due: Vec<EntryId> =
            books.expiries.iter().take_while(|&&(at, _)| at <= now).take(STEP).map(|&(_, id)| id).collect();
        let gone = self.forget(&mut books, due);
        self.expirations.fetch_add(gone.len() as u64, Ordering::Relaxed);
        let more = gone.len() == STEP;
        (gone, more)
    }

    /// Removes entries from the books, notifies the listener, and returns them.
    fn forget(&self, books: &mut Books<P>, ids: Vec<EntryId>) -> Vec<EntryId> {
        if ids.is_empty() {
            return ids;
        }
        let mut gone = Vec::with_capacity(ids.len());
        for &id in &ids {
            self.residents.invalidate(&id);
            let Some(resident) = books.unlink(id) else { continue };
            books.retire(&resident.corpus);
            gone.push((id, resident.scope));
        }
        if let Some(listener) = &*self.listener.read().unwrap_or_else(PoisonError::into_inner) {
            listener.removed(&gone);
        }
        ids
    }
}
