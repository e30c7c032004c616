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
mod weight;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::ops::Bound;
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
use crate::key::{Corpus, EntryId, ScopeId};
use crate::store::invalidation_clock::InvalidationClock;
use crate::store::{
    ChangeListener, ChangeOutcome, CorpusStatus, DeadReason, Eviction, Limits, Listed, RefusedReason,
    ScopeCursor, ScopePage, Snapshot, StoreStatus,
};

/// The most entries that one call of [`Ledger::drain`] or [`Ledger::sweep`] removes, so that no one waits
/// long for the lock.
pub(super) const STEP: usize = 32;
/// How many entries of a scope are listed at a time.
const LISTED: usize = 1_000;

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

    /// Enforces the limits now, and returns the entries evicted since the last call.
    pub(super) fn evict(&self) -> Vec<EntryId> {
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

    /// Looks through up to [`STEP`] detached entries and forgets the dead. Returns them, and whether
    /// there is more to do.
    pub(super) fn drain(&self) -> (Vec<EntryId>, bool) {
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
    pub(super) fn sweep(&self) -> (Vec<EntryId>, bool) {
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

    /// The live entries that `change` would end, ordered by id.
    pub(super) fn dependants(&self, corpus: &Corpus, change: &Change) -> Vec<(EntryId, Shared<P>)> {
        let books = self.read();
        let Some(of_corpus) = books.corpora.get(corpus) else { return Vec::new() };
        let ids: BTreeSet<EntryId> = match change {
            _ if of_corpus.clock.is_unchanged(change) => BTreeSet::new(),
            Change::Everything => of_corpus.scopes.values().flatten().copied().collect(),
            Change::Entry(id) => Some(*id).into_iter().filter(|id| books.lists(corpus, *id)).collect(),
            change => {
                let sets = change.dependency_ids();
                sets.iter().filter_map(|id| of_corpus.dependants.get(id)).flatten().copied().collect()
            }
        };
        self.live(&books, ids.into_iter()).collect()
    }

    /// Up to `limit` live entries whose ids follow `after`, ordered by id.
    pub(super) fn page(&self, after: Option<EntryId>, limit: usize) -> Vec<(EntryId, Shared<P>)> {
        let books = self.read();
        let ids = books.entries.range(following(after)).map(|(&id, _)| id);
        self.live(&books, ids).take(limit).collect()
    }

    /// Some of the live entries of a scope, ordered by id, each with the number that `fill` gives for it.
    pub(super) fn scope_page(
        &self,
        corpus: &Corpus,
        scope: ScopeId,
        cursor: Option<ScopeCursor>,
        fill: impl Fn(&Resident<P>) -> u64,
    ) -> ScopePage {
        let books = self.read();
        let listed = books.corpora.get(corpus).and_then(|books| books.scopes.get(&scope));
        let Some(listed) = listed else { return ScopePage::default() };
        let after = cursor.map(|ScopeCursor(id)| EntryId::from_bytes(id.to_be_bytes()));
        let live = self.live(&books, listed.range(following(after)).copied()).take(LISTED);
        let entries: Vec<_> = live.map(|(id, resident)| Listed { id, fill: fill(&resident) }).collect();
        let last = entries.last().filter(|_| entries.len() == LISTED);
        let next = last.map(|last| ScopeCursor(u128::from_be_bytes(*last.id.as_bytes())));
        ScopePage { entries, next }
    }

    /// Whether a scope has entries, in any corpus.
    pub(super) fn holds(&self, scope: ScopeId) -> bool {
        self.read().corpora.values().any(|books| books.scopes.contains_key(&scope))
    }

    fn live<'a>(
        &self,
        books: &'a Books<P>,
        ids: impl Iterator<Item = EntryId> + 'a,
    ) -> impl Iterator<Item = (EntryId, Shared<P>)> + 'a {
        let now = self.clock.now();
        ids.filter_map(move |id| {
            let resident = books.entries.get(&id)?;
            let clock = &books.corpora.get(&resident.corpus)?.clock;
            death(clock, resident, now).is_none().then(|| (id, Arc::clone(resident)))
        })
    }

    pub(super) fn record_hit(&self, id: EntryId) {
        if let Some(resident) = self.residents.get(&id) {
            resident.hits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An entry that is listed, dead or not.
    pub(super) fn listed(&self, id: EntryId) -> Option<Shared<P>> {
        self.read().entries.get(&id).cloned()
    }

    /// How often an entry was served; none if it is not listed.
    #[cfg(feature = "embedded")]
    pub(super) fn hits(&self, id: EntryId) -> Option<u64> {
        self.listed(id).map(|resident| resident.hits.load(Ordering::Relaxed))
    }

    /// The ledger's part of a status; the store adds its location.
    pub(super) fn status(&self) -> StoreStatus {
        let books = self.read();
        let mut corpora: Vec<CorpusStatus> = books
            .corpora
            .iter()
            .map(|(corpus, books)| {
                let mut held: Vec<String> = books.clock.held.values().cloned().collect();
                held.sort_unstable();
                CorpusStatus {
                    corpus: corpus.clone(),
                    entries: books.entries() as u64,
                    sequence: books.clock.sequence,
                    marks: books.clock.marks.len() as u64,
                    held,
                    events: None,
                }
            })
            .collect();
        corpora.sort_by(|a, b| a.corpus.cmp(&b.corpus));
        StoreStatus {
            location: String::new(),
            entries: corpora.iter().map(|corpus| corpus.entries).sum(),
            bytes: books.bytes,
            evictions: self.evictions.load(Ordering::Relaxed),
            expirations: self.expirations.load(Ordering::Relaxed),
            max_entries: self.limits.max_entries,
            max_bytes: self.limits.max_bytes,
            pending_invalidations: 0,
            unwritable: None,
            corpora,
            servers: Vec::new(),
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

fn following(after: Option<EntryId>) -> (Bound<EntryId>, Bound<EntryId>) {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::entry::Answer;
    use crate::key::{CacheKey, ScopeId};

    fn entry(corpus: &Corpus) -> Entry {
        let key = CacheKey::new(corpus.clone(), ScopeId::from_bytes([0; 16]), "a question").unwrap();
        Entry {
            id: key.exact,
            corpus: key.corpus,
            scope: key.scope,
            tenant: None,
            question: key.text,
            embedding: None,
            answer: Answer::new("an answer"),
            dependencies: Vec::new(),
            created_at: SystemClock.now(),
            expires_at: SystemClock.now().saturating_add(std::time::Duration::from_hours(1)),
            recompute: std::time::Duration::ZERO,
        }
    }

    #[test]
    fn corpora_that_were_only_looked_into_are_bounded_and_what_began_there_is_refused() {
        let ledger = Ledger::<()>::new(Limits::default(), Arc::new(SystemClock));
        let corpus = |name: &str| Corpus::new(name).unwrap();
        let (used, changed, idle) = (corpus("used"), corpus("changed"), corpus("idle"));
        let look = |corpus: &Corpus| ledger.lookup(corpus, entry(corpus).id);
        let fill = |corpus: &Corpus, snapshot| {
            let entry = entry(corpus);
            ledger.fill(&entry, Resident::new(&entry, snapshot, entry.dependency_ids().unwrap(), ()))
        };
        let (begun, of_changed) = (look(&idle).0, look(&changed).0);
        fill(&used, look(&used).0).unwrap();
        ledger.invalidate(&changed, &[Change::document("d")]);
        for n in 0..20_000 {
            look(&corpus(&format!("invented {n}")));
        }
        let known = ledger.status().corpora.len();
        assert!(known <= 1_002, "{known} corpora");
        assert!(look(&used).1.is_some_and(|found| found.is_ok()), "it has an entry");
        assert!(look(&changed).0.sequence > of_changed.sequence, "a change is never forgotten");
        assert_eq!(fill(&idle, begun), Err(RefusedReason::ClockLost));
        fill(&idle, look(&idle).0).unwrap();
    }

    #[test]
    fn corpora_whose_answers_are_gone_are_bounded_too() {
        let ledger = Ledger::<()>::new(Limits::default().max_entries(10), Arc::new(SystemClock));
        let fill = |name: &str| {
            let entry = entry(&Corpus::new(name).unwrap());
            let snapshot = ledger.lookup(&entry.corpus, entry.id).0;
            let filled =
                ledger.fill(&entry, Resident::new(&entry, snapshot, entry.dependency_ids().unwrap(), ()));
            ledger.evict();
            filled
        };
        for n in 0..5_000 {
            fill(&format!("invented {n}")).unwrap();
        }
        let known = ledger.status().corpora.len();
        assert!(known <= 1_020, "{known} corpora");
        // A corpus that is dropped and comes back works as well as any other.
        for _ in 0..3 {
            fill("again").unwrap();
            (0..20).for_each(|n| fill(&format!("other {n}")).unwrap());
        }
    }

    /// How many changes of documents that no answer depends on it takes until unrelated answers end.
    #[test]
    fn answers_outlive_half_a_million_changes_of_other_documents_and_not_many_more() {
        let ledger = Ledger::<()>::new(Limits::default(), Arc::new(SystemClock));
        let entry = entry(&Corpus::default());
        let snapshot = ledger.lookup(&entry.corpus, entry.id).0;
        let resident = Resident::new(&entry, snapshot, entry.dependency_ids().unwrap(), ());
        ledger.fill(&entry, resident).unwrap();
        let is_live = || ledger.lookup(&entry.corpus, entry.id).1.is_some_and(|found| found.is_ok());
        let mut documents = 0;
        while is_live() && documents < 1_000_000 {
            let change = |n| Change::document(format!("nobody asked {}", documents + n));
            ledger.invalidate(&entry.corpus, &(0..4_000).map(change).collect::<Vec<_>>());
            documents += 4_000;
        }
        assert_eq!(documents, 528_000, "2 of the 2^20 marks for each document");
    }
}
