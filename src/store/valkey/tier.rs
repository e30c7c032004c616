//! Answers kept in this process, so that the server need not send an unchanged answer again.
//!
//! A copy is identified by the id of its entry and the random name of its fill: two fills of one question may
//! carry the same read version, and then the later one must be served.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::entry::Entry;
use crate::key::EntryId;
use crate::store::ReadVersion;
use crate::store::valkey::Freshness;

/// The name that distinguishes one fill from another of the same question.
pub(super) type FillName = [u8; 8];

#[derive(Clone)]
pub(super) struct Copy {
    pub(super) entry: Arc<Entry>,
    /// The name of the fill that stored it.
    pub(super) fill: FillName,
    /// The clock when the server last confirmed that the entry is live.
    pub(super) validated: ReadVersion,
    at: Instant,
    /// The value of the tier's `distrusts` before that.
    distrusts: u64,
}

pub(super) struct MemoryTier {
    copies: moka::sync::Cache<EntryId, Copy>,
    freshness: Freshness,
    /// Counts the changes that earlier validations may not have seen.
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

    /// How often the tier was distrusted so far.
    ///
    /// Read this before the server is asked, and pass it to [`keep`](Self::keep) with the server's reply:
    /// then a change that is received in between counts.
    pub(super) fn distrusts(&self) -> u64 {
        self.distrusts.load(Ordering::Acquire)
    }

    /// Keeps an entry that the server has just confirmed to be live.
    pub(super) fn keep(&self, entry: Arc<Entry>, fill: FillName, validated: ReadVersion, distrusts: u64) {
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

    /// Makes the tier ask the server again before it serves any copy.
    pub(super) fn distrust(&self) {
        self.distrusts.fetch_add(1, Ordering::AcqRel);
    }

    /// How long a copy may be served without asking; none if never.
    pub(super) fn bound(&self) -> Option<Duration> {
        match self.freshness {
            Freshness::Validated => None,
            Freshness::Bounded(time) => Some(time),
        }
    }
}
