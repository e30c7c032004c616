//! Callers' feedback on answers, by the similarity at which they were served.
//!
//! Feedback comes later and names only an entry, so the last similarity of each entry is remembered for a
//! while.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache as BoundedCache;
use wellspring::cache::{Hit, Tier};
use wellspring::judgement::Feedback;
use wellspring::key::EntryId;
use wellspring::metrics::{SIMILARITY_BUCKETS, similarity_bucket};

/// How many entries are remembered with the similarity at which they were served.
const REMEMBERED: u64 = 10_000;
const REMEMBERED_FOR: Duration = Duration::from_hours(1);

/// Callers' feedback on answers.
pub struct FeedbackCounts {
    /// The similarity of entries that were last served to other wordings.
    served: BoundedCache<EntryId, f32>,
    right: Counts,
    wrong: Counts,
}

/// Feedback on answers to the same question, and on answers to other wordings by similarity.
pub(crate) struct Counts {
    exact: AtomicU64,
    /// One count per hundredth of similarity.
    semantic: [AtomicU64; SIMILARITY_BUCKETS],
}

impl Counts {
    fn new() -> Self {
        Self { exact: AtomicU64::new(0), semantic: [const { AtomicU64::new(0) }; SIMILARITY_BUCKETS] }
    }

    /// Counts one answer that was served at `similarity`, which is none for an answer to the same question.
    fn increment(&self, similarity: Option<f32>) {
        let count =
            similarity.map_or(&self.exact, |similarity| &self.semantic[similarity_bucket(similarity)]);
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn exact(&self) -> u64 {
        self.exact.load(Ordering::Relaxed)
    }

    pub(crate) fn total(&self) -> u64 {
        self.exact() + self.by_similarity().iter().sum::<u64>()
    }

    pub(crate) fn by_similarity(&self) -> Vec<u64> {
        self.semantic.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

impl FeedbackCounts {
    pub(super) fn new() -> Self {
        let served = BoundedCache::builder().max_capacity(REMEMBERED).time_to_live(REMEMBERED_FOR).build();
        Self { served, right: Counts::new(), wrong: Counts::new() }
    }

    /// Remembers how `hit` was found.
    pub fn served(&self, hit: &Hit) {
        match hit.tier {
            Tier::Semantic { similarity, .. } => self.served.insert(hit.entry.id, similarity),
            // An entry that is not remembered was served to the same question. Most hits are of this kind, and
            // to look is cheaper than to write.
            _ if self.served.contains_key(&hit.entry.id) => self.served.invalidate(&hit.entry.id),
            _ => {}
        }
    }

    /// Counts feedback on the answer of `entry`, at the similarity at which it was last served.
    pub fn judged(&self, entry: EntryId, feedback: Feedback) {
        let counts = match feedback {
            Feedback::Right => &self.right,
            Feedback::Wrong => &self.wrong,
        };
        counts.increment(self.served.get(&entry));
    }

    pub(crate) fn right(&self) -> &Counts {
        &self.right
    }

    pub(crate) fn wrong(&self) -> &Counts {
        &self.wrong
    }
}

impl fmt::Debug for FeedbackCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedbackCounts").field("served", &self.served.entry_count()).finish_non_exhaustive()
    }
}
