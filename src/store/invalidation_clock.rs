//! The invalidation clock of one corpus, which decides whether an answer is fresh. Pure data.
//!
//! The clock counts invalidations. For every name that was invalidated, it remembers the count at the last
//! invalidation. An entry stored with snapshot `s` is live while none of its dependencies is marked above
//! `s`. Wall time plays no part.
//!
//! Forgetting is safe in one direction only, and the *floor* makes it so: an entry whose snapshot lies below
//! the floor is dead whatever the marks say, so marks at or below the floor can be dropped.

use std::collections::HashMap;

use crate::entry::{Change, DocumentVersion, any_change_of, ids_of_document};
use crate::key::DependencyId;
use crate::store::{DeadReason, RefusedReason, Snapshot};

/// The most marks that a clock keeps, about 50 MB. Above that, the older half is dropped, and every entry
/// that was stored before those marks dies with it.
pub(super) const MAX_MARKS: usize = 1 << 20;

/// The mark of a name that is held. It is above every snapshot, and a double, which the scripts on a server
/// use, represents it exactly.
pub(super) const HELD: u64 = (1 << 53) - 1;

#[derive(Debug, Clone)]
pub(super) struct InvalidationClock {
    pub(super) incarnation: u128,
    pub(super) sequence: u64,
    pub(super) floor: u64,
    pub(super) marks: HashMap<DependencyId, u64>,
    /// The registered version of each document, by the id of any change of it. A version is dropped together
    /// with its mark: a document whose mark fell below the floor may have changed without a new version being
    /// reported.
    pub(super) versions: HashMap<DependencyId, DocumentVersion>,
    /// The documents that are held, by the id of any change of them.
    pub(super) held: HashMap<DependencyId, String>,
}

impl InvalidationClock {
    /// A clock under which nothing was stored yet. `incarnation` must be fresh and random: a clock with a
    /// reused one would trust what was stored under the earlier clock.
    pub(super) fn new(incarnation: u128) -> Self {
        Self {
            incarnation,
            sequence: 0,
            floor: 0,
            marks: HashMap::new(),
            versions: HashMap::new(),
            held: HashMap::new(),
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot { incarnation: self.incarnation, sequence: self.sequence }
    }

    /// Why something stored with `snapshot` and these dependencies is dead; none if it is live.
    pub(super) fn death(&self, snapshot: Snapshot, dependencies: &[DependencyId]) -> Option<DeadReason> {
        if snapshot.incarnation != self.incarnation {
            return Some(DeadReason::ClockLost);
        }
        let mut death = (snapshot.sequence < self.floor).then_some(DeadReason::Invalidated);
        // Most corpora have few marks, and a hit should not pay for a hash table that is empty.
        if self.marks.is_empty() {
            return death;
        }
        for dependency in dependencies {
            match self.marks.get(dependency) {
                Some(&HELD) => return Some(DeadReason::Held),
                Some(&mark) if mark > snapshot.sequence => death = Some(DeadReason::Invalidated),
                _ => {}
            }
        }
        death
    }

    /// Why an answer may not be stored; none if it may.
    pub(super) fn refusal<'a>(
        &self,
        snapshot: Snapshot,
        dependencies: &[DependencyId],
        documents: impl Iterator<Item = (&'a str, Option<&'a DocumentVersion>)>,
    ) -> Option<RefusedReason> {
        // A snapshot that claims to include future changes would survive them.
        if snapshot.sequence > self.sequence {
            return Some(RefusedReason::ClockLost);
        }
        match self.death(snapshot, dependencies) {
            Some(DeadReason::ClockLost) => return Some(RefusedReason::ClockLost),
            Some(DeadReason::Held) => return Some(RefusedReason::Held),
            Some(_) => return Some(RefusedReason::DependencyChanged),
            None => {}
        }
        // Retrieval can lag behind the ingestion hook. The snapshot is then new, but the document is old.
        for (document, version) in documents {
            let registered = version.and_then(|_| self.versions.get(&any_change_of(document)));
            if registered.is_some_and(|registered| Some(registered) != version) {
                return Some(RefusedReason::VersionMismatch);
            }
        }
        None
    }

    /// Whether `change` reports a document version that is already registered.
    ///
    /// A held document counts as changing, whatever version is reported.
    pub(super) fn is_unchanged(&self, change: &Change) -> bool {
        change.document_told().is_some_and(|(document, version)| {
            let id = any_change_of(document);
            version.is_some_and(|version| self.versions.get(&id) == Some(version))
                && !self.held.contains_key(&id)
        })
    }

    /// Counts `change`: from now on, nothing that depends on it and was stored before is live.
    pub(super) fn apply(&mut self, change: &Change) {
        self.sequence += 1;
        if matches!(change, Change::Everything) {
            self.raise_floor(self.sequence);
            return;
        }
        for id in change.dependency_ids() {
            let mark = self.marks.entry(id).or_default();
            *mark = (*mark).max(self.sequence);
        }
        // After a change without a version, the registered version no longer applies. If the document later
        // returns to that version, that is a change, too.
        match change.document_told() {
            Some((document, Some(version))) => {
                self.versions.insert(any_change_of(document), version.clone());
            }
            Some((document, None)) => drop(self.versions.remove(&any_change_of(document))),
            None => {}
        }
    }

    /// Holds `document`.
    pub(super) fn hold(&mut self, document: &str) {
        self.held.insert(any_change_of(document), document.to_owned());
        for id in ids_of_document(document) {
            self.marks.insert(id, HELD);
        }
    }

    /// Ends the hold on `document`. Until a change of it is applied, the document counts as never
    /// invalidated, so the caller must apply one before anything else can look.
    pub(super) fn release(&mut self, document: &str) {
        for id in ids_of_document(document) {
            self.held.remove(&id);
            self.marks.remove(&id);
        }
    }

    /// Drops the older half of the marks if there are more than `limit`, and returns whether it did.
    ///
    /// The floor rises to the youngest mark dropped. Entries from before it die early, and no dead entry
    /// lives on.
    pub(super) fn compact(&mut self, limit: usize) -> bool {
        if self.marks.len() <= limit {
            return false;
        }
        let mut sequences: Vec<u64> = self.marks.values().copied().filter(|&mark| mark != HELD).collect();
        if sequences.is_empty() {
            return false;
        }
        let middle = sequences.len() / 2;
        let floor = *sequences.select_nth_unstable(middle).1;
        self.raise_floor(floor);
        true
    }

    fn raise_floor(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
        let marks = &mut self.marks;
        marks.retain(|_, &mut mark| mark > self.floor);
        self.versions.retain(|id, _| marks.contains_key(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Dependency;

    fn id(document: &str) -> DependencyId {
        any_change_of(document)
    }

    #[test]
    fn a_change_ends_what_came_before_and_spares_what_comes_after() {
        let mut clock = InvalidationClock::new(7);
        let before = clock.snapshot();
        clock.apply(&Change::document("a"));
        assert_eq!(clock.death(before, &[id("a")]), Some(DeadReason::Invalidated));
        assert_eq!(clock.death(before, &[id("b")]), None);
        assert_eq!(clock.death(clock.snapshot(), &[id("a")]), None);
    }

    #[test]
    fn another_incarnation_is_never_trusted() {
        let clock = InvalidationClock::new(7);
        let foreign = Snapshot { incarnation: 8, sequence: u64::MAX };
        assert_eq!(clock.death(foreign, &[]), Some(DeadReason::ClockLost));
        assert_eq!(clock.refusal(foreign, &[], std::iter::empty()), Some(RefusedReason::ClockLost));
    }

    #[test]
    fn a_held_document_stays_held_through_changes_until_it_is_released() {
        let mut clock = InvalidationClock::new(7);
        clock.hold("a");
        clock.apply(&Change::document("a"));
        clock.apply(&Change::Everything);
        assert_eq!(clock.death(clock.snapshot(), &[id("a")]), Some(DeadReason::Held));
        let during = clock.snapshot();
        clock.release("a");
        clock.apply(&Change::document("a"));
        assert_eq!(clock.death(during, &[id("a")]), Some(DeadReason::Invalidated));
        assert_eq!(clock.death(clock.snapshot(), &[id("a")]), None);
    }

    #[test]
    fn everything_needs_no_marks() {
        let mut clock = InvalidationClock::new(7);
        clock.apply(&Change::document("a"));
        let before = clock.snapshot();
        clock.apply(&Change::Everything);
        assert!(clock.marks.is_empty());
        assert_eq!(clock.death(before, &[]), Some(DeadReason::Invalidated));
        assert_eq!(clock.death(clock.snapshot(), &[id("a")]), None);
    }

    #[test]
    fn compaction_never_revives() {
        let mut clock = InvalidationClock::new(7);
        let snapshots: Vec<Snapshot> = (0..100)
            .map(|n| {
                let snapshot = clock.snapshot();
                clock.apply(&Change::document(format!("d{n}")));
                snapshot
            })
            .collect();
        assert!(clock.compact(50));
        assert!(clock.marks.len() <= 100, "half of the two marks of each document");
        for (n, snapshot) in snapshots.iter().enumerate() {
            assert_eq!(clock.death(*snapshot, &[id(&format!("d{n}"))]), Some(DeadReason::Invalidated));
        }
        assert_eq!(clock.death(clock.snapshot(), &[id("d0")]), None);
    }

    #[test]
    fn an_answer_from_another_version_than_the_registered_one_is_refused() {
        let mut clock = InvalidationClock::new(7);
        clock.apply(&Change::document_version("a", "2"));
        let refusal = |version: &str| {
            let read = [Dependency::document_version("a", version)];
            let Dependency::Document { id: document, version } = &read[0] else { unreachable!() };
            clock.refusal(
                clock.snapshot(),
                &[id("a")],
                std::iter::once((document.as_str(), version.as_ref())),
            )
        };
        assert_eq!(refusal("1"), Some(RefusedReason::VersionMismatch));
        assert_eq!(refusal("2"), None);
        assert!(clock.is_unchanged(&Change::document_version("a", "2")));
        assert!(!clock.is_unchanged(&Change::document_version("a", "1")));
        assert!(!clock.is_unchanged(&Change::document("a")));
    }

    #[test]
    fn a_version_is_forgotten_by_a_change_that_tells_none() {
        let told = Change::document_version("a", "2");
        for untold in [Change::document("a"), Change::Everything] {
            let mut clock = InvalidationClock::new(7);
            clock.apply(&told);
            clock.apply(&untold);
            assert!(!clock.is_unchanged(&told), "{untold:?}");
        }
    }
}
