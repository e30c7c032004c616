//! The books of a store that only one process owns: which entries there are, what they depend on, what the
//! clocks say about them, and which ones must be removed for lack of room or because their time is over.
//!
//! Both local stores are built on it: the memory store keeps its payloads in it, the embedded store keeps
//! them on disk. It keeps to one order: an entry becomes findable last and is forgotten first, and the
//! listener hears of a forgotten entry before the same id can come back.
//!
//! Cleaning up is spread out. An invalidation only advances the clock and detaches the set of dependants,
//! which costs the same for one entry and for a million; [`Ledger::drain`] then removes them in bounded
//! steps. Until then they already count as dead, because every read asks the clock.

mod books;
mod cleaning;
mod reports;
#[cfg(test)]
mod tests;
mod weight;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;

pub(super) use self::books::Resident;
use self::books::{Books, Shared, death};
use self::weight::{capacity, weight};
use crate::clock::Clock;
use crate::entry::{Change, DocumentVersion, Entry, any_change_of};
use crate::error::{Error, Result};
use crate::key::{Corpus, EntryId};
use crate::store::invalidation_clock::InvalidationClock;
use crate::store::{ChangeListener, ChangeOutcome, DeadReason, Eviction, Limits, RefusedReason, Snapshot};

type Evicted<P> = Vec<(EntryId, Shared<P>)>;

pub(super) struct Ledger<P> {
    /// The same entries as in the books, with the policy that decides which of them is evicted first.
    residents: moka::sync::Cache<EntryId, Shared<P>>,
    /// Entries that moka evicted but the books still list. moka's listener adds to it; that may run inside
    /// any call, so it must not take the lock of the books.
    evicted: Arc<Mutex<Evicted<P>>>,
    books: RwLock<Books<P>>,
    listener: RwLock<Option<Arc<dyn ChangeListener>>>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    evictions: AtomicU64,
    expirations: AtomicU64,
}

impl<P> fmt::Debug for Ledger<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl<P: Send + Sync + 'static> Ledger<P> {
    pub(super) fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let evicted = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&evicted);
        let residents = moka::sync::Cache::builder()
            .max_capacity(capacity(limits))
            .weigher(move |_, resident: &Shared<P>| weight(limits, resident.bytes))
            .eviction_policy(match limits.eviction {
                Eviction::LeastRecentlyUsed => EvictionPolicy::lru(),
                Eviction::LeastFrequentlyUsed => EvictionPolicy::tiny_lfu(),
            })
            .eviction_listener(move |id: Arc<EntryId>, resident, cause| {
                if cause == RemovalCause::Size {
                    lock(&sink).push((*id, resident));
                }
            })
            .build();
        Self {
            residents,
            evicted,
            books: RwLock::new(Books {
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

    /// The clock's snapshot, and the entry or why it must not be served; none if there is no such entry.
    pub(super) fn lookup(
        &self,
        corpus: &Corpus,
        id: EntryId,
    ) -> (Snapshot, Option<Result<Shared<P>, DeadReason>>) {
        let resident = self.residents.get(&id);
        let now = self.clock.now();
        let (snapshot, death) = self.with_clock(corpus, |clock| {
            let death = resident.as_ref().map(|resident| death(clock, resident, now));
            (clock.snapshot(), death)
        });
        let found = resident.zip(death).map(|(resident, death)| match death {
            Some(reason) => Err(reason),
            None => Ok(resident),
        });
        (snapshot, found)
    }

    /// Runs `read` on the corpus' clock, which is created if there was none.
    pub(super) fn with_clock<T>(&self, corpus: &Corpus, read: impl FnOnce(&InvalidationClock) -> T) -> T {
        if let Some(books) = self.read().corpora.get(corpus) {
            return read(&books.clock);
        }
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
    pub(super) fn would_take(&self, snapshot: Snapshot, entry: &Entry) -> Result<bool> {
        let dependencies = entry.check()?;
        Ok(self.with_clock(&entry.corpus, |clock| {
            clock.refusal(snapshot, &dependencies, entry.documents()).is_none()
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
    pub(super) fn refusal(&self, resident: &Resident<P>, entry: &Entry) -> Option<RefusedReason> {
        // From here on the clock is kept, because it is written together with the entry.
        let mut books = self.write();
        let clock = &books.corpus(&resident.corpus).clock;
        clock.refusal(resident.snapshot, &resident.dependencies, entry.documents())
    }

    /// Lists an entry, unless the fill must be refused. Entries are evicted if there is no room for it.
    pub(super) fn fill(&self, entry: &Entry, resident: Resident<P>) -> Result<(), RefusedReason> {
        let mut books = self.write();
        let clock = &books.corpus(&resident.corpus).clock;
        if let Some(reason) = clock.refusal(resident.snapshot, &resident.dependencies, entry.documents()) {
            return Err(reason);
        }
        self.list(&mut books, entry.id, Arc::new(resident));
        Ok(())
    }

    /// Lists an entry that was admitted before. If a change ended it since then, it is dead, and the next
    /// [`drain`](Self::drain) finds it.
    #[cfg(feature = "embedded")]
    pub(super) fn insert(&self, id: EntryId, resident: Resident<P>) {
        let mut books = self.write();
        let clock = &books.corpus(&resident.corpus).clock;
        if clock.death(resident.snapshot, &resident.dependencies).is_some() {
            books.detached.push_back(Box::new(std::iter::once(id)));
        }
        self.list(&mut books, id, Arc::new(resident));
    }

    fn list(&self, books: &mut Books<P>, id: EntryId, resident: Shared<P>) {
        books.link(id, Arc::clone(&resident));
        self.residents.insert(id, resident);
    }

    /// Applies `changes` to the clock and detaches the entries that they end. The outcomes are in the order
    /// of the changes.
    pub(super) fn invalidate(&self, corpus: &Corpus, changes: &[Change]) -> Vec<ChangeOutcome> {
        let mut books = self.write();
        changes
            .iter()
            .map(|change| {
                if books.corpus(corpus).clock.is_unchanged(change) {
                    ChangeOutcome::Unchanged
                } else {
                    ChangeOutcome::Dropped(books.invalidate(corpus, change))
                }
            })
            .collect()
    }

    pub(super) fn begin_update(&self, corpus: &Corpus, document: &str) {
        self.write().corpus(corpus).clock.hold(document);
    }

    /// Ends a hold and applies `change` in one step, so that no one can look in between.
    pub(super) fn end_update(&self, corpus: &Corpus, document: &str, change: &Change) -> ChangeOutcome {
        let mut books = self.write();
        books.corpus(corpus).clock.release(document);
        ChangeOutcome::Dropped(books.invalidate(corpus, change))
    }

    pub(super) fn record_hit(&self, id: EntryId) {
        if let Some(resident) = self.residents.get(&id) {
            resident.hits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Installs a clock that was read from disk.
    #[cfg(feature = "embedded")]
    pub(super) fn restore_clock(&self, corpus: Corpus, clock: InvalidationClock) {
        self.write().corpora.insert(corpus, books::CorpusBooks::new(clock));
    }

    fn read(&self) -> RwLockReadGuard<'_, Books<P>> {
        // Every change to the books is complete before anything that can panic runs, so the books are sound
        // even if the lock is poisoned.
        self.books.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Books<P>> {
        self.books.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
