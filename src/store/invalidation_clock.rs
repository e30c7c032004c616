//! The invalidation clock of one corpus, which decides whether an answer is fresh. Pure data.
//!
//! The clock counts invalidations. For every name that was invalidated, it remembers the count at the last
//! invalidation. An entry stored with read version `s` is live while none of its dependencies has a tombstone
//! above `s`. Wall time plays no part.
//!
//! Forgetting is safe in one direction only, and the *low-water mark* makes it so: an entry whose read
//! version lies below the low-water mark is dead whatever the tombstones say, so tombstones at or below the
//! low-water mark can be dropped.

use std::collections::HashMap;

use crate::entry::{Change, DocumentVersion, any_change_of, ids_of_document};
use crate::key::DependencyId;
use crate::store::{DeadReason, ReadVersion, RefusedReason};

/// The most tombstones that a clock keeps, about 50 MB. Above that, the older half is dropped, and every
/// entry that was stored before those tombstones dies with it.
pub(super) const MAX_TOMBSTONES: usize = 1 << 20;

/// The tombstone of a name that is held. It is above every read version, and a double, which the scripts on a
/// server use, represents it exactly.
pub(super) const HELD: u64 = (1 << 53) - 1;

#[derive(Debug, Clone)]
pub(super) struct InvalidationClock {
    pub(super) incarnation: u128,
    pub(super) sequence: u64,
    pub(super) low_water_mark: u64,
    pub(super) tombstones: HashMap<DependencyId, u64>,
    /// The registered version of each document, by the id of any change of it. A version is dropped together
    /// with its tombstone: a document whose tombstone fell below the low-water mark may have changed without
    /// a new version being reported.
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
            low_water_mark: 0,
            tombstones: HashMap::new(),
            versions: HashMap::new(),
            held: HashMap::new(),
        }
    }

    pub(super) fn read_version(&self) -> ReadVersion {
        ReadVersion { incarnation: self.incarnation, sequence: self.sequence }
    }

    /// Why something stored with `read_version` and these dependencies is dead; none if it is live.
    pub(super) fn death(
        &self,
        read_version: ReadVersion,
        dependencies: &[DependencyId],
    ) -> Option<DeadReason> {
        if read_version.incarnation != self.incarnation {
            return Some(DeadReason::ClockLost);
        }
        let mut death = (read_version.sequence < self.low_water_mark).then_some(DeadReason::Invalidated);
        // Most corpora have few tombstones, and a hit should not pay for a hash table that is empty.
        if self.tombstones.is_empty() {
            return death;
        }
        for dependency in dependencies {
            match self.tombstones.get(dependency) {
                // Goes before any other reason: it is what a report should say, and nothing could be stored
                // in place of the entry now.
                Some(&HELD) => return Some(DeadReason::Held),
                Some(&tombstone) if tombstone > read_version.sequence => {
                    death = Some(DeadReason::Invalidated);
                }
                _ => {}
            }
        }
        death
    }

    /// Why an answer may not be stored; none if it may.
    pub(super) fn refusal<'a>(
        &self,
        read_version: ReadVersion,
        dependencies: &[DependencyId],
        documents: impl Iterator<Item = (&'a str, Option<&'a DocumentVersion>)>,
    ) -> Option<RefusedReason> {
        // A read version that claims to include future changes would survive them.
        if read_version.sequence > self.sequence {
            return Some(RefusedReason::ClockLost);
        }
        match self.death(read_version, dependencies) {
            Some(DeadReason::ClockLost) => return Some(RefusedReason::ClockLost),
            Some(DeadReason::Held) => return Some(RefusedReason::Held),
            Some(_) => return Some(RefusedReason::DependencyChanged),
            None => {}
        }
        // Retrieval can lag behind the ingestion hook. The read version is then new, but the document is old.
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
        change.reported_document().is_some_and(|(document, version)| {
            let id = any_change_of(document);
            version.is_some_and(|version| self.versions.get(&id) == Some(version))
                && !self.held.contains_key(&id)
        })
    }

    /// Counts `change`: from now on, nothing that depends on it and was stored before is live.
    pub(super) fn apply(&mut self, change: &Change) {
        self.sequence += 1;
        if matches!(change, Change::Everything) {
            self.raise_low_water_mark(self.sequence);
            return;
        }
        for id in change.dependency_ids() {
            let tombstone = self.tombstones.entry(id).or_default();
            // Not simply replaced: a change of a held document does not end the hold, whose tombstone is
            // above every sequence.
            *tombstone = (*tombstone).max(self.sequence);
        }
        // After a change without a version, the registered version no longer applies. If the document later
        // returns to that version, that is a change, too.
        match change.reported_document() {
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
            self.tombstones.insert(id, HELD);
        }
    }

    /// Ends the hold on `document`. Until a change of it is applied, the document counts as never
    /// invalidated, so the caller must apply one before anything else can look.
    pub(super) fn release(&mut self, document: &str) {
        for id in ids_of_document(document) {
            self.held.remove(&id);
            self.tombstones.remove(&id);
        }
    }

    /// Drops the older half of the tombstones if there are more than `limit`, and returns whether it did.
    ///
    /// The low-water mark rises to the youngest tombstone dropped. Entries from before it die early, and no
    /// dead entry lives on.
    pub(super) fn compact(&mut self, limit: usize) -> bool {
        if self.tombstones.len() <= limit {
            return false;
        }
        let mut sequences: Vec<u64> =
            self.tombstones.values().copied().filter(|&tombstone| tombstone != HELD).collect();
        if sequences.is_empty() {
            return false;
        }
        let middle = sequences.len() / 2;
        let low_water_mark = *sequences.select_nth_unstable(middle).1;
        self.raise_low_water_mark(low_water_mark);
        true
    }

    fn raise_low_water_mark(&mut self, low_water_mark: u64) {
        self.low_water_mark = self.low_water_mark.max(low_water_mark);
        let tombstones = &mut self.tombstones;
        tombstones.retain(|_, &mut tombstone| tombstone > self.low_water_mark);
        self.versions.retain(|id, _| tombstones.contains_key(id));
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
        let before = clock.read_version();
        clock.apply(&Change::document("a"));
        assert_eq!(clock.death(before, &[id("a")]), Some(DeadReason::Invalidated));
        assert_eq!(clock.death(before, &[id("b")]), None);
        assert_eq!(clock.death(clock.read_version(), &[id("a")]), None);
    }

    #[test]
    fn another_incarnation_is_never_trusted() {
        let clock = InvalidationClock::new(7);
        let foreign = ReadVersion { incarnation: 8, sequence: u64::MAX };
        assert_eq!(clock.death(foreign, &[]), Some(DeadReason::ClockLost));
        assert_eq!(clock.refusal(foreign, &[], std::iter::empty()), Some(RefusedReason::ClockLost));
    }

    #[test]
    fn a_held_document_stays_held_through_changes_until_it_is_released() {
        let mut clock = InvalidationClock::new(7);
        clock.hold("a");
        clock.apply(&Change::document("a"));
        clock.apply(&Change::Everything);
        assert_eq!(clock.death(clock.read_version(), &[id("a")]), Some(DeadReason::Held));
        let during = clock.read_version();
        clock.release("a");
        clock.apply(&Change::document("a"));
        assert_eq!(clock.death(during, &[id("a")]), Some(DeadReason::Invalidated));
        assert_eq!(clock.death(clock.read_version(), &[id("a")]), None);
    }

    #[test]
    fn everything_needs_no_marks() {
        let mut clock = InvalidationClock::new(7);
        clock.apply(&Change::document("a"));
        let before = clock.read_version();
        clock.apply(&Change::Everything);
        assert!(clock.tombstones.is_empty());
        assert_eq!(clock.death(before, &[]), Some(DeadReason::Invalidated));
        assert_eq!(clock.death(clock.read_version(), &[id("a")]), None);
    }

    #[test]
    fn compaction_never_revives() {
        let mut clock = InvalidationClock::new(7);
        let read_versions: Vec<ReadVersion> = (0..100)
            .map(|n| {
                let read_version = clock.read_version();
                clock.apply(&Change::document(format!("d{n}")));
                read_version
            })
            .collect();
        assert!(clock.compact(50));
        assert!(clock.tombstones.len() <= 100, "half of the two tombstones of each document");
        for (n, read_version) in read_versions.iter().enumerate() {
            assert_eq!(clock.death(*read_version, &[id(&format!("d{n}"))]), Some(DeadReason::Invalidated));
        }
        assert_eq!(clock.death(clock.read_version(), &[id("d0")]), None);
    }

    #[test]
    fn an_answer_from_another_version_than_the_registered_one_is_refused() {
        let mut clock = InvalidationClock::new(7);
        clock.apply(&Change::document_version("a", "2"));
        let refusal = |version: &str| {
            let read = [Dependency::document_version("a", version)];
            let Dependency::Document { id: document, version } = &read[0] else { unreachable!() };
            clock.refusal(
                clock.read_version(),
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
    fn a_version_is_forgotten_by_a_change_that_reports_none() {
        let reported = Change::document_version("a", "2");
        for unreported in [Change::document("a"), Change::Everything] {
            let mut clock = InvalidationClock::new(7);
            clock.apply(&reported);
            clock.apply(&unreported);
            assert!(!clock.is_unchanged(&reported), "{unreported:?}");
        }
    }
}
