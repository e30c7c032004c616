//! The entries of a store that only one process owns: which there are, what they depend on, what the
//! clocks say about them, and which ones must be removed for lack of room or because their time is over.
//!
//! Both local stores are built on it: the memory store keeps its payloads in it, the embedded store keeps
//! them on disk. It keeps to one order: an entry becomes findable last and is forgotten first, and the
//! listener hears of a forgotten entry before the same id can come back.
//!
//! Cleaning up is spread out. An invalidation only advances the clock and detaches the set of dependants,
//! which costs the same for one entry and for a million; [`EntryTable::drain`] then removes them in bounded
//! steps. Until then they already count as dead, because every read asks the clock.

mod cleaning;
mod reports;
mod state;
#[cfg(test)]
mod tests;
mod weight;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;

pub(super) use self::state::EntryMeta;
use self::state::{Shared, TableState, death};
use self::weight::{capacity, weight};
use crate::clock::Clock;
use crate::entry::{Change, DocumentVersion, Entry, any_change_of};
use crate::error::{Error, Result};
use crate::key::{Corpus, EntryId};
use crate::store::invalidation_clock::InvalidationClock;
use crate::store::{ChangeListener, ChangeOutcome, DeadReason, Eviction, Limits, ReadVersion, RefusedReason};

type Evicted<P> = Vec<(EntryId, Shared<P>)>;

pub(super) struct EntryTable<P> {
    /// The same entries as in the table, with the policy that decides which of them is evicted first.
    eviction_cache: moka::sync::Cache<EntryId, Shared<P>>,
    /// Entries that moka evicted but the table still lists. moka's listener adds to it; that may run inside
    /// any call, so it must not take the lock of the table.
    evicted: Arc<Mutex<Evicted<P>>>,
    state: RwLock<TableState<P>>,
    listener: RwLock<Option<Arc<dyn ChangeListener>>>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    evictions: AtomicU64,
    expirations: AtomicU64,
}

impl<P> fmt::Debug for EntryTable<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryTable").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl<P: Send + Sync + 'static> EntryTable<P> {
    pub(super) fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let evicted = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&evicted);
        let eviction_cache = moka::sync::Cache::builder()
            .max_capacity(capacity(limits))
            .weigher(move |_, meta: &Shared<P>| weight(limits, meta.bytes))
            .eviction_policy(match limits.eviction {
                Eviction::LeastRecentlyUsed => EvictionPolicy::lru(),
                Eviction::LeastFrequentlyUsed => EvictionPolicy::tiny_lfu(),
            })
            .eviction_listener(move |id: Arc<EntryId>, meta, cause| {
                if cause == RemovalCause::Size {
                    lock(&sink).push((*id, meta));
                }
            })
            .build();
        Self {
            eviction_cache,
            evicted,
            state: RwLock::new(TableState {
                entries: BTreeMap::new(),
                corpora: HashMap::new(),
                unused: VecDeque::new(),
                expiries: BTreeSet::new(),
                bytes: 0,
                detached: VecDeque::new(),
            }),
            listener: RwLock::default(),
            clock,
            limits,
            evictions: AtomicU64::new(0),
            expirations: AtomicU64::new(0),
        }
    }

    pub(super) fn listen(&self, listener: Arc<dyn ChangeListener>) {
        *self.listener.write().unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }

    /// The clock's read version, and the entry or why it must not be served; none if there is no such entry.
    pub(super) fn lookup(
        &self,
        corpus: &Corpus,
        id: EntryId,
    ) -> (ReadVersion, Option<Result<Shared<P>, DeadReason>>) {
        // Taken without the lock, and from moka, because a read there is what counts as a use. If the entry
        // is replaced meanwhile, the old one is judged: by its own read version, and by a clock that knows at
        // least every change that returned before this call.
        let meta = self.eviction_cache.get(&id);
        let now = self.clock.now();
        let (read_version, death) = self.with_clock(corpus, |clock| {
            let death = meta.as_ref().map(|meta| death(clock, meta, now));
            (clock.read_version(), death)
        });
        let found = meta.zip(death).map(|(meta, death)| match death {
            Some(reason) => Err(reason),
            None => Ok(meta),
        });
        (read_version, found)
    }

    /// Runs `read` on the corpus' clock, which is created if there was none.
    pub(super) fn with_clock<T>(&self, corpus: &Corpus, read: impl FnOnce(&InvalidationClock) -> T) -> T {
        if let Some(state) = self.read().corpora.get(corpus) {
            return read(&state.clock);
        }
        // Another thread may have created it between the two locks, so `clock_to_read` looks again: a second
        // clock would have another incarnation, and end what was stored under the first.
        read(self.write().clock_to_read(corpus))
    }

    /// Returns an error for an entry that is larger than the whole store. Listing it would push out every
    /// other entry and still exceed the limit.
    pub(super) fn check_size(&self, entry: &Entry) -> Result<()> {
        let (bytes, limit) = (entry.size() as u64, self.limits.max_bytes);
        if bytes > limit {
            return Err(Error::invalid(format!("answer takes {bytes} bytes, the whole store has {limit}")));
        }
        Ok(())
    }

    /// Whether a fill of `entry` would not be refused.
    pub(super) fn would_take(&self, read_version: ReadVersion, entry: &Entry) -> Result<bool> {
        let dependencies = entry.check()?;
        Ok(self.with_clock(&entry.corpus, |clock| {
            clock.refusal(read_version, &dependencies, entry.documents()).is_none()
        }))
    }

    /// The registered version of each document.
    pub(super) fn versions(&self, corpus: &Corpus, documents: &[&str]) -> Vec<Option<DocumentVersion>> {
        self.with_clock(corpus, |clock| {
            documents.iter().map(|document| clock.versions.get(&any_change_of(document)).cloned()).collect()
        })
    }

    /// Why a fill must be refused; none if it need not be.
    #[cfg(feature = "embedded")]
    pub(super) fn refusal(&self, meta: &EntryMeta<P>, entry: &Entry) -> Option<RefusedReason> {
        // From here on the clock is kept, because it is written together with the entry.
        let mut state = self.write();
        let clock = &state.corpus(&meta.corpus).clock;
        clock.refusal(meta.read_version, &meta.dependencies, entry.documents())
    }

    /// Lists an entry, unless the fill must be refused. Entries are evicted if there is no room for it.
    pub(super) fn fill(&self, entry: &Entry, meta: EntryMeta<P>) -> Result<(), RefusedReason> {
        let mut state = self.write();
        let clock = &state.corpus(&meta.corpus).clock;
        if let Some(reason) = clock.refusal(meta.read_version, &meta.dependencies, entry.documents()) {
            return Err(reason);
        }
        self.list(&mut state, entry.id, Arc::new(meta));
        Ok(())
    }

    /// Lists an entry that was admitted before. If a change ended it since then, it is dead, and the next
    /// [`drain`](Self::drain) finds it.
    #[cfg(feature = "embedded")]
    pub(super) fn insert(&self, id: EntryId, meta: EntryMeta<P>) {
        let mut state = self.write();
        let clock = &state.corpus(&meta.corpus).clock;
        if clock.death(meta.read_version, &meta.dependencies).is_some() {
            state.detached.push_back(Box::new(std::iter::once(id)));
        }
        self.list(&mut state, id, Arc::new(meta));
    }

    fn list(&self, state: &mut TableState<P>, id: EntryId, meta: Shared<P>) {
        state.link(id, Arc::clone(&meta));
        self.eviction_cache.insert(id, meta);
    }

    /// Applies `changes` to the clock and detaches the entries that they end. The outcomes are in the order
    /// of the changes.
    pub(super) fn invalidate(&self, corpus: &Corpus, changes: &[Change]) -> Vec<ChangeOutcome> {
        let mut state = self.write();
        changes
            .iter()
            .map(|change| {
                if state.corpus(corpus).clock.is_unchanged(change) {
                    ChangeOutcome::Unchanged
                } else {
                    ChangeOutcome::Dropped(state.invalidate(corpus, change))
                }
            })
            .collect()
    }

    pub(super) fn begin_update(&self, corpus: &Corpus, document: &str) {
        self.write().corpus(corpus).clock.hold(document);
    }

    /// Ends a hold and applies `change` in one step, so that no one can look in between.
    pub(super) fn end_update(&self, corpus: &Corpus, document: &str, change: &Change) -> ChangeOutcome {
        let mut state = self.write();
        state.corpus(corpus).clock.release(document);
        ChangeOutcome::Dropped(state.invalidate(corpus, change))
    }

    pub(super) fn record_hit(&self, id: EntryId) {
        if let Some(meta) = self.eviction_cache.get(&id) {
            meta.hits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Installs a clock that was read from disk.
    #[cfg(feature = "embedded")]
    pub(super) fn restore_clock(&self, corpus: Corpus, clock: InvalidationClock) {
        self.write().corpora.insert(corpus, state::CorpusState::new(clock));
    }

    fn read(&self) -> RwLockReadGuard<'_, TableState<P>> {
        // Every change to the table is complete before anything that can panic runs, so the table is sound
        // even if the lock is poisoned.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, TableState<P>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
