//! Answers kept in this process, so that the server need not send again what it says is unchanged.
//!
//! An answer is named by its id and the random name of its fill: two fills of one question may carry the same snapshot,
//! and the later one is meant to be served.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::entry::Entry;
use crate::key::EntryId;
use crate::store::Snapshot;
use crate::store::valkey::Freshness;

/// What tells one fill from another of the same question.
pub(super) type FillName = [u8; 8];

#[derive(Clone)]
pub(super) struct Copy {
    pub(super) entry: Arc<Entry>,
    /// The name of the fill that stored it.
    pub(super) fill: FillName,
    /// The clock when the server last said that the entry is live.
    pub(super) validated: Snapshot,
    at: Instant,
    /// How often the tier was distrusted before.
    distrusts: u64,
}

pub(super) struct MemoryTier {
    copies: moka::sync::Cache<EntryId, Copy>,
    freshness: Freshness,
    /// Counts how often something changed that validations may have rested on.
    distrusts: AtomicU64,
}

impl std::fmt::Debug for MemoryTier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryTier").field("freshness", &self.freshness).finish_non_exhaustive()
    }
}

impl MemoryTier {
    pub(super) fn new(bytes: u64, freshness: Freshness) -> Self {
        let copies = moka::sync::Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, copy: &Copy| u32::try_from(copy.entry.size()).unwrap_or(u32::MAX))
            .build();
        Self { copies, freshness, distrusts: AtomicU64::new(0) }
    }

    pub(super) fn get(&self, id: EntryId) -> Option<Copy> {
        self.copies.get(&id)
    }

    /// To be read before the server is asked, and given to [`keep`](Self::keep) with what it said: a change that is
    /// heard of in between then counts.
    pub(super) fn distrusts(&self) -> u64 {
        self.distrusts.load(Ordering::Acquire)
    }

    /// Keeps an entry that the server just said to be live.
    pub(super) fn keep(&self, entry: Arc<Entry>, fill: FillName, validated: Snapshot, distrusts: u64) {
        let copy = Copy { fill, validated, at: Instant::now(), distrusts, entry };
        self.copies.insert(copy.entry.id, copy);
    }

    pub(super) fn forget(&self, id: EntryId) {
        self.copies.invalidate(&id);
    }

    /// Whether `copy` may be served without asking the server.
    pub(super) fn is_trusted(&self, copy: &Copy) -> bool {
        match self.freshness {
            Freshness::Validated => false,
            Freshness::Bounded(time) => copy.distrusts == self.distrusts() && copy.at.elapsed() < time,
        }
    }

    /// Has the server asked again before anything else is served.
    pub(super) fn distrust(&self) {
        self.distrusts.fetch_add(1, Ordering::AcqRel);
    }

    /// How long something may be served without asking; none if never.
    pub(super) fn bound(&self) -> Option<Duration> {
        match self.freshness {
            Freshness::Validated => None,
            Freshness::Bounded(time) => Some(time),
        }
    }
}
