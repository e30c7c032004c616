//! The data that an entry table keeps under its lock: entries, the sets of their dependants, and the clocks.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::clock::Timestamp;
use crate::entry::{Change, Entry, itself};
use crate::key::{Corpus, DependencyId, EntryId, ScopeId};
use crate::store::invalidation_clock::{InvalidationClock, MAX_TOMBSTONES};
use crate::store::{DeadReason, ReadVersion};

/// The entry table's data about an entry; `P` is the store's own part.
#[derive(Debug)]
pub(in crate::store) struct EntryMeta<P> {
    pub(in crate::store) corpus: Corpus,
    pub(in crate::store) scope: ScopeId,
    pub(in crate::store) read_version: ReadVersion,
    pub(in crate::store) dependencies: Box<[DependencyId]>,
    pub(in crate::store) expires_at: Timestamp,
    pub(in crate::store) bytes: u64,
    pub(in crate::store) hits: AtomicU64,
    pub(in crate::store) payload: P,
}

impl<P> EntryMeta<P> {
    /// Creates the data of `entry`. `dependencies` are its own, already checked.
    pub(in crate::store) fn new(
        entry: &Entry,
        read_version: ReadVersion,
        dependencies: Vec<DependencyId>,
        payload: P,
    ) -> Self {
        Self {
            corpus: entry.corpus.clone(),
            scope: entry.scope,
            read_version,
            dependencies: dependencies.into(),
            expires_at: entry.expires_at,
            bytes: entry.size() as u64,
            hits: AtomicU64::new(0),
            payload,
        }
    }
}

pub(super) type Shared<P> = Arc<EntryMeta<P>>;
/// Entries that may be dead.
pub(super) type Suspects = Box<dyn Iterator<Item = EntryId> + Send + Sync>;

/// Everything that changes together, under one lock.
pub(super) struct TableState<P> {
    pub(super) entries: BTreeMap<EntryId, Shared<P>>,
    pub(super) corpora: HashMap<Corpus, CorpusState>,
    /// Corpora in which nothing ever changed and nothing is stored, the oldest first. A corpus that was used
    /// after it was added is still in the list.
    pub(super) unused: VecDeque<Corpus>,
    pub(super) expiries: BTreeSet<(Timestamp, EntryId)>,
    pub(super) bytes: u64,
    /// Sets whose members may be dead; `drain` looks through them.
    pub(super) detached: VecDeque<Suspects>,
}

/// The most corpora that are known without having an entry or a change.
const MAX_UNUSED: usize = 1_000;

/// The state of one corpus.
#[derive(Debug)]
pub(super) struct CorpusState {
    /// Whether anything is stored or was ever changed; if so, the clock must be kept.
    is_used: bool,
    pub(super) clock: InvalidationClock,
    /// The entries that carry an id. An entry's own id is not listed: it names the entry itself.
    pub(super) dependants: HashMap<DependencyId, HashSet<EntryId>>,
    /// The entries of each scope that has some, in order, so that they can be listed page by page.
    pub(super) scopes: HashMap<ScopeId, BTreeSet<EntryId>>,
}

impl CorpusState {
    pub(super) fn new(clock: InvalidationClock) -> Self {
        Self { is_used: true, clock, dependants: HashMap::new(), scopes: HashMap::new() }
    }

    pub(super) fn entries(&self) -> usize {
        self.scopes.values().map(BTreeSet::len).sum()
    }
}

impl<P> TableState<P> {
    pub(super) fn corpus(&mut self, corpus: &Corpus) -> &mut CorpusState {
        // Not `entry`, which would clone the name on every call.
        if !self.corpora.contains_key(corpus) {
            let clock = InvalidationClock::new(rand::random());
            self.corpora.insert(corpus.clone(), CorpusState::new(clock));
        }
        let state = self.corpora.get_mut(corpus).expect("inserted above");
        state.is_used = true;
        state
    }

    /// The clock of a corpus that is only read. A corpus that never had an entry or a change is dropped after
    /// many other such corpora were read. A fill that began under its clock is then refused, because the next
    /// clock has another incarnation.
    pub(super) fn clock_to_read(&mut self, corpus: &Corpus) -> &InvalidationClock {
        if !self.corpora.contains_key(corpus) {
            let state = CorpusState::new(InvalidationClock::new(rand::random()));
            self.corpora.insert(corpus.clone(), CorpusState { is_used: false, ..state });
            self.let_go(corpus.clone());
        }
        &self.corpora[corpus].clock
    }

    /// Adds an unused corpus to the list, and drops the oldest one once there are many.
    fn let_go(&mut self, corpus: Corpus) {
        if self.unused.len() == MAX_UNUSED
            && let Some(oldest) = self.unused.pop_front()
            && self.corpora.get(&oldest).is_some_and(|state| !state.is_used)
        {
            self.corpora.remove(&oldest);
        }
        self.unused.push_back(corpus);
    }

    /// Lists an entry in place of the earlier one with the same id.
    pub(super) fn link(&mut self, id: EntryId, meta: Shared<P>) {
        self.unlink(id);
        self.bytes += meta.bytes;
        self.expiries.insert((meta.expires_at, id));
        let corpus = self.corpus(&meta.corpus);
        corpus.scopes.entry(meta.scope).or_default().insert(id);
        for &dependency in &meta.dependencies {
            if dependency != itself(id) {
                corpus.dependants.entry(dependency).or_default().insert(id);
            }
        }
        self.entries.insert(id, meta);
    }

    pub(super) fn unlink(&mut self, id: EntryId) -> Option<Shared<P>> {
        let meta = self.entries.remove(&id)?;
        self.bytes -= meta.bytes;
        self.expiries.remove(&(meta.expires_at, id));
        let corpus = self.corpus(&meta.corpus);
        if let Some(scope) = corpus.scopes.get_mut(&meta.scope) {
            scope.remove(&id);
            if scope.is_empty() {
                corpus.scopes.remove(&meta.scope);
            }
        }
        for dependency in &meta.dependencies {
            // A set that a change has detached is gone from here. It may still name the entry, and `drain`
            // passes over names that are no longer listed.
            if let Some(set) = corpus.dependants.get_mut(dependency) {
                set.remove(&id);
                if set.is_empty() {
                    corpus.dependants.remove(dependency);
                }
            }
        }
        Some(meta)
    }

    /// Counts a corpus as unused if its last entry is gone and nothing in it ever changed. Changes are never
    /// forgotten, and neither are the versions that were reported.
    pub(super) fn retire(&mut self, corpus: &Corpus) {
        let Some(state) = self.corpora.get_mut(corpus) else { return };
        if state.is_used
            && state.scopes.is_empty()
            && state.clock.sequence == 0
            && state.clock.held.is_empty()
        {
            state.is_used = false;
            self.let_go(corpus.clone());
        }
    }

    /// Applies a change, detaches the entries that it ends, and returns how many they were.
    pub(super) fn invalidate(&mut self, corpus: &Corpus, change: &Change) -> u64 {
        let named = match change {
            Change::Entry(id) => Some(*id).filter(|id| self.lists(corpus, *id)),
            _ => None,
        };
        let state = self.corpus(corpus);
        state.clock.apply(change);
        let (dropped, ended): (usize, Suspects) = match change {
            Change::Everything => {
                let dropped = state.entries();
                // Taken as a whole, so that the lock is held no longer for a million entries than for one.
                // The sets of dependants stay: each entry leaves them when it is unlinked.
                (dropped, Box::new(std::mem::take(&mut state.scopes).into_values().flatten()))
            }
            Change::Entry(_) => (named.iter().len(), Box::new(named.into_iter())),
            change => {
                let mut ended = HashSet::new();
                for id in change.dependency_ids() {
                    let mut set = state.dependants.remove(&id).unwrap_or_default();
                    // The smaller set is moved into the larger, so that a large set is not copied.
                    if set.len() > ended.len() {
                        std::mem::swap(&mut set, &mut ended);
                    }
                    ended.extend(set);
                }
                (ended.len(), Box::new(ended.into_iter()))
            }
        };
        if state.clock.compact(MAX_TOMBSTONES) {
            // This is rare: some of the entries are dead now, but no list shows which.
            let suspects = state.scopes.clone();
            self.detached.push_back(Box::new(suspects.into_values().flatten()));
        }
        if dropped > 0 {
            self.detached.push_back(ended);
        }
        dropped as u64
    }

    /// Whether `corpus` has the entry and no change of the whole corpus has ended it.
    pub(super) fn lists(&self, corpus: &Corpus, id: EntryId) -> bool {
        let Some(meta) = self.entries.get(&id).filter(|meta| meta.corpus == *corpus) else {
            return false;
        };
        let scopes = self.corpora.get(corpus).map(|state| &state.scopes);
        scopes.and_then(|scopes| scopes.get(&meta.scope)).is_some_and(|scope| scope.contains(&id))
    }
}

/// Why an entry must not be served; none if it is live.
pub(super) fn death<P>(clock: &InvalidationClock, meta: &EntryMeta<P>, now: Timestamp) -> Option<DeadReason> {
    let expired = (meta.expires_at <= now).then_some(DeadReason::Expired);
    clock.death(meta.read_version, &meta.dependencies).or(expired)
}
