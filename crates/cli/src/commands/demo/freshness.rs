//! Checks every answer that is served against the versions that were current when it was asked for.
//!
//! It trusts neither the cache nor the order of events in this program: an answer is stale if it was made
//! from a version of a document for which a newer version's invalidation had returned before the question
//! was asked.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::read_marker::{self, Version};

/// What the updater did, and when it was in force.
#[derive(Debug, Default)]
pub(super) struct FreshnessChecker {
    /// By document: each new version, with the time at which its invalidation had returned.
    in_force: Mutex<HashMap<String, Vec<(Version, Instant)>>>,
}

/// What the check of an answer found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// No document that the answer was made from had a newer version in force.
    Fresh,
    /// One of them had a newer version in force.
    Stale,
    /// The answer does not say what it was made from.
    Unknown,
}

impl FreshnessChecker {
    /// Notes that the invalidation for `version` of `document` has returned.
    pub(super) fn invalidated(&self, document: &str, version: Version) {
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        in_force.entry(document.to_owned()).or_default().push((version, Instant::now()));
    }

    /// Checks an answer to a question that was asked at `asked`.
    pub(super) fn check(&self, answer: &str, asked: Instant) -> Freshness {
        let Some(read) = read_marker::parse(answer) else { return Freshness::Unknown };
        let in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let is_stale = read.iter().any(|read| {
            in_force.get(&read.id).is_some_and(|versions| {
                versions.iter().any(|&(version, since)| version > read.version && since < asked)
            })
        });
        if is_stale { Freshness::Stale } else { Freshness::Fresh }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_stale_once_a_newer_version_was_in_force_before_the_question() {
        let checker = FreshnessChecker::default();
        let answer = "The gmina.\n[read Warsaw#28@v1, Warsaw#1@v1]";
        let before = Instant::now();
        checker.invalidated("Warsaw#1", Version::new(2));
        assert_eq!(checker.check(answer, before), Freshness::Fresh, "asked before the change was in force");
        assert_eq!(checker.check(answer, Instant::now()), Freshness::Stale);
        let newer = "The gmina.\n[read Warsaw#28@v1, Warsaw#1@v2]";
        assert_eq!(checker.check(newer, Instant::now()), Freshness::Fresh);
        assert_eq!(checker.check("no marker", before), Freshness::Unknown);
    }
}
