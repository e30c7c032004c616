//! What callers said of answers, by the similarity that they were served at.
//!
//! Feedback comes later and names an entry only, so the last similarity of each entry is remembered for a while.

use std::fmt;
use std::time::Duration;

use moka::sync::Cache as Remembered;

use crate::cache::{Hit, Tier};
use crate::judgement::Feedback;
use crate::key::EntryId;
use crate::metrics::BySimilarity;

/// How many entries are remembered with the similarity that they were served at.
const REMEMBERED: u64 = 10_000;
const REMEMBERED_FOR: Duration = Duration::from_hours(1);

/// What callers said of answers.
pub struct FeedbackCounts {
    served: Remembered<EntryId, Option<f32>>,
    right: Counts,
    wrong: Counts,
}

/// What was said of answers to the same question, and on those to other wordings by similarity.
#[derive(Default)]
pub(in crate::server) struct Counts {
    exact: crate::metrics::Counter,
    semantic: BySimilarity,
}

impl Counts {
    pub(in crate::server) fn exact(&self) -> u64 {
        self.exact.value()
    }

    pub(in crate::server) fn total(&self) -> u64 {
        self.exact() + self.by_similarity().iter().sum::<u64>()
    }

    pub(in crate::server) fn by_similarity(&self) -> Vec<u64> {
        self.semantic.values()
    }
}

impl FeedbackCounts {
    pub(super) fn new() -> Self {
        let served = Remembered::builder().max_capacity(REMEMBERED).time_to_live(REMEMBERED_FOR).build();
        Self { served, right: Counts::default(), wrong: Counts::default() }
    }

    /// Remembers how `hit` was found.
    pub fn served(&self, hit: &Hit) {
        let similarity = match hit.tier {
            Tier::Semantic { similarity, .. } => Some(similarity),
            Tier::Exact => None,
        };
        self.served.insert(hit.entry.id, similarity);
    }

    /// Counts what was said of the answer of `entry`, at the similarity that it was last served at.
    pub fn judged(&self, entry: EntryId, feedback: Feedback) {
        let counts = match feedback {
            Feedback::Right => &self.right,
            Feedback::Wrong => &self.wrong,
        };
        match self.served.get(&entry).flatten() {
            Some(similarity) => counts.semantic.increment(similarity),
            None => counts.exact.increment(),
        }
    }

    pub(in crate::server) fn right(&self) -> &Counts {
        &self.right
    }

    pub(in crate::server) fn wrong(&self) -> &Counts {
        &self.wrong
    }
}

impl fmt::Debug for FeedbackCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedbackCounts").field("served", &self.served.entry_count()).finish_non_exhaustive()
    }
}
