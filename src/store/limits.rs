//! How much a local store may hold.

use serde::{Deserialize, Serialize};

/// How much a local store may hold, and what it evicts first when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum number of entries, 1,000,000 by default.
    pub max_entries: u64,
    /// The maximum size of all entries together in bytes, 1 GiB by default.
    pub max_bytes: u64,
    /// What is evicted first, the least recently used entry by default.
    pub eviction: Eviction,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_entries: 1_000_000, max_bytes: 1 << 30, eviction: Eviction::LeastRecentlyUsed }
    }
}

impl Limits {
    /// Sets the maximum number of entries.
    #[must_use]
    pub fn max_entries(mut self, max_entries: u64) -> Self {
        self.max_entries = max_entries;
        self
    }

    /// Sets the maximum size of all entries together, in bytes.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Sets what is evicted first.
    #[must_use]
    pub fn eviction(mut self, eviction: Eviction) -> Self {
        self.eviction = eviction;
        self
    }
}

/// What is evicted first when a store is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Eviction {
    /// The entry that was not hit for the longest time.
    #[default]
    LeastRecentlyUsed,
    /// The entry that is hit least often (W-TinyLFU, Einziger et al., <https://arxiv.org/abs/1512.00727>). A
    /// new entry is not kept if it is asked for less often than those it would displace.
    LeastFrequentlyUsed,
}
