//! What happened, in one process or in all of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is counted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Answers served from the cache and checked, by tier.
    pub(crate) exact: u64,
    pub(crate) semantic: u64,
    /// Those of them that waited for another caller.
    pub(crate) coalesced: u64,
    /// Answers that the caller made itself.
    pub(crate) made: u64,
    /// Of those, the ones that were stored.
    pub(crate) stored: u64,
    pub(crate) bypassed: BTreeMap<String, u64>,
    pub(crate) llm_failed: u64,
    pub(crate) gave_up: u64,
    /// Invalidations that returned, and those that were incomplete.
    pub(crate) invalidated: u64,
    pub(crate) incomplete: u64,
    pub(crate) stale: u64,
    pub(crate) first_stale: Option<String>,
    /// Errors of the cache that reached a caller.
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    /// The longest time that the cache took, beside the caller's own answer, when it was bypassed.
    pub(crate) bypass_us: u64,
    /// The same, however it ended.
    pub(crate) wait_us: u64,
}

impl Counts {
    /// Answers that were checked.
    pub(crate) fn checked(&self) -> u64 {
        self.exact + self.semantic
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.exact += other.exact;
        self.semantic += other.semantic;
        self.coalesced += other.coalesced;
        self.made += other.made;
        self.stored += other.stored;
        for (reason, count) in &other.bypassed {
            *self.bypassed.entry(reason.clone()).or_default() += count;
        }
        self.llm_failed += other.llm_failed;
        self.gave_up += other.gave_up;
        self.invalidated += other.invalidated;
        self.incomplete += other.incomplete;
        self.stale += other.stale;
        self.errors += other.errors;
        self.first_stale = self.first_stale.take().or_else(|| other.first_stale.clone());
        self.first_error = self.first_error.take().or_else(|| other.first_error.clone());
        self.bypass_us = self.bypass_us.max(other.bypass_us);
        self.wait_us = self.wait_us.max(other.wait_us);
    }
}
