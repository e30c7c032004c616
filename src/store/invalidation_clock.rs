//! The invalidation clock of one corpus: what decides whether an answer is fresh. Pure data.
//!
//! The clock counts invalidations and remembers, for every name that was invalidated, the count at its
//! last time. An entry stored with snapshot `s` is live while no dependency of it is marked above `s`.
//! No wall time takes part.
//!
//! Forgetting is safe in one direction only. The *floor* makes it so: an entry whose snapshot lies below
//! the floor is dead whatever the marks say, so marks at or below the floor can be dropped.

use std::collections::HashMap;

use crate::entry::{Change, DocumentVersion, any_change_of, ids_of_document};
use crate::key::DependencyId;
use crate::store::{DeadReason, RefusedReason, Snapshot};

/// The most marks that a clock keeps, about 50 MB. Above it the older half goes, and with it every entry
/// that was stored before.
pub(super) const MAX_MARKS: usize = 1 << 20;

/// The mark of a name that is held: above every snapshot, and exact in a double for the scripts of a
/// server.
pub(super) const HELD: u64 = (1 << 53) - 1;

#[derive(Debug, Clone)]
pub(super) struct InvalidationClock {
    pub(super) incarnation: u128,
    pub(super) sequence: u64,
    pub(super) floor: u64,
    pub(super) marks: HashMap<DependencyId, u64>,
    /// The registered version of each document, by the id of any change of it. A version goes with the
    /// mark that came with it: what the floor ended may have changed without a version being told.
    pub(super) versions: HashMap<DependencyId, DocumentVersion>,
    /// The documents held, by the id of any change of them.
    pub(super) held: HashMap<DependencyId, String>,
}

impl InvalidationClock {
    /// A clock that nothing was stored under. `incarnation` must be fresh and random: one that was used
    /// before would trust what was stored under it.
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
        // What claims to know of changes that are yet to come would survive them.
        if snapshot.sequence > self.sequence {
            return Some(RefusedReason::ClockLost);
        }
        match self.death(snapshot, dependencies) {
            Some(DeadReason::ClockLost) => return Some(RefusedReason::ClockLost),
            Some(DeadReason::Held) => return Some(RefusedReason::Held),
            Some(_) => return Some(RefusedReason::DependencyChanged),
            None => {}
        }
        // Retrieval can lag behind the ingestion hook: the snapshot is then new and the document old.
        for (document, version) in documents {
            let registered = version.and_then(|_| self.versions.get(&any_change_of(document)));
            if registered.is_some_and(|registered| Some(registered) != version) {
                return Some(RefusedReason::VersionMismatch);
            }
        }
        None
    }

    /// Whether `change` tells a document's version that is registered already.
    ///
    /// A held document is being changed, whatever version is told.
    pub(super) fn is_unchanged(&self, change: &Change) -> bool {
        change.document_told().is_some_and(|(document, version)| {
            let id = any_change_of(document);
            version.is_some_and(|version| self.versions.get(&id) == Some(version))
                && !self.held.contains_key(&id)
        })
    }

    /// Counts `change`: from now on, nothing from before it is live.
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
        // A version that is not told is not the registered one any more, and when the document returns
        // to that one, it does change.
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

    /// Ends the hold on `document`. Until a change of it is applied, it counts as never invalidated:
    /// the caller applies one before anything else can look.
    pub(super) fn release(&mut self, document: &str) {
        for id in ids_of_document(document) {
            self.held.remove(&id);
            self.marks.remove(&id);
        }
    }

    /// Drops the older half of the marks if there are more than `limit`; whether it did.
    ///
    /// The floor rises to the youngest mark dropped: entries from before it die early, none lives on.
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
