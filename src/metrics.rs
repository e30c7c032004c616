//! What the cache counts: one small struct per subsystem, read together as [`Metrics`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// A count that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts by reason.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<BTreeMap<String, u64>>);

impl Counters {
    /// Counts one of `reason`, under its name in JSON.
    pub(crate) fn increment(&self, reason: &impl Serialize) {
        let name = match serde_json::to_value(reason) {
            Ok(serde_json::Value::String(name)) => name,
            _ => "other".to_owned(),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
    }

    fn values(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Durations from a microsecond to a minute, to two significant digits.
#[derive(Debug)]
pub(crate) struct Histogram(Mutex<hdrhistogram::Histogram<u64>>);

impl Default for Histogram {
    fn default() -> Self {
        let histogram = hdrhistogram::Histogram::new_with_bounds(1, MAX_NANOS, 2);
        Self(Mutex::new(histogram.expect("constant bounds are valid")))
    }
}

const MAX_NANOS: u64 = 60_000_000_000;

/// The upper bounds of [`Latency::buckets`], in microseconds. Longer times are in one more bucket.
pub const LATENCY_BOUNDS_US: [u64; 19] = [
    25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// The least similarity that has its own bucket in [`Metrics::similarities`]; lower ones are counted with it.
pub const SIMILARITY_FLOOR: f32 = 0.6;
/// How many hundredths lie between the floor and 1.
pub const SIMILARITY_BUCKETS: usize = 40;

/// The bucket of [`Metrics::similarities`] that `similarity` belongs to.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped before")]
pub fn similarity_bucket(similarity: f32) -> usize {
    let hundredths = ((similarity - SIMILARITY_FLOOR) * 100.0 + 1e-3).max(0.0);
    (hundredths as usize).min(SIMILARITY_BUCKETS - 1)
}

/// Counts by hundredth of similarity.
#[derive(Debug)]
pub(crate) struct BySimilarity([AtomicU64; SIMILARITY_BUCKETS]);

impl Default for BySimilarity {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; SIMILARITY_BUCKETS])
    }
}

impl BySimilarity {
    pub(crate) fn increment(&self, similarity: f32) {
        self.0[similarity_bucket(similarity)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn values(&self) -> Vec<u64> {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

impl Histogram {
    pub(crate) fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(MAX_NANOS).clamp(1, MAX_NANOS);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(nanos);
    }

    fn summary(&self) -> Latency {
        let histogram = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let micros = |nanos: u64| nanos as f64 / 1_000.0;
        let mut buckets = [0; LATENCY_BOUNDS_US.len() + 1];
        for step in histogram.iter_recorded() {
            let micros = step.value_iterated_to() / 1_000;
            buckets[LATENCY_BOUNDS_US.partition_point(|&bound| bound < micros)] +=
                step.count_since_last_iteration();
        }
        Latency {
            buckets,
            count: histogram.len(),
            mean_us: histogram.mean() / 1_000.0,
            p50_us: micros(histogram.value_at_quantile(0.5)),
            p99_us: micros(histogram.value_at_quantile(0.99)),
            max_us: micros(histogram.max()),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct LookupMetrics {
    pub(crate) exact_hits: Counter,
    pub(crate) semantic_hits: Counter,
    pub(crate) coalesced: Counter,
    pub(crate) misses: Counter,
    pub(crate) bypasses: Counters,
    pub(crate) rejected: Counter,
    pub(crate) unshown_budgets: Counter,
    pub(crate) unknown_scripts: Counters,
    pub(crate) remembered: Counter,
    pub(crate) similarities: BySimilarity,
    pub(crate) prompt_tokens_saved: Counter,
    pub(crate) completion_tokens_saved: Counter,
    pub(crate) cost_saved_microusd: Counter,
    pub(crate) exact_hit: Histogram,
    pub(crate) semantic_hit: Histogram,
    pub(crate) miss: Histogram,
    pub(crate) embed: Histogram,
    pub(crate) search: Histogram,
    pub(crate) store: Histogram,
    pub(crate) verify: Histogram,
}

/// Counts by stage of verification and outcome.
#[derive(Debug, Default)]
pub(crate) struct ByStage(Mutex<BTreeMap<&'static str, BTreeMap<&'static str, u64>>>);

impl ByStage {
    pub(crate) fn increment(&self, stage: &'static str, outcome: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(stage).or_default().entry(outcome).or_default() += 1;
    }

    fn values(&self) -> BTreeMap<&'static str, BTreeMap<&'static str, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug, Default)]
pub(crate) struct VerificationMetrics {
    pub(crate) outcomes: ByStage,
    pub(crate) screen: Histogram,
    pub(crate) feedback: Counters,
    pub(crate) judged: Counters,
    pub(crate) unjudged: Counter,
    pub(crate) judge_calls: Counter,
    pub(crate) judge_dropped: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct FillMetrics {
    pub(crate) stored: Counter,
    pub(crate) refused: Counters,
    pub(crate) declined: Counters,
    pub(crate) failed: Counter,
    pub(crate) confirmed: Counter,
    pub(crate) unconfirmed: Counter,
    pub(crate) fill: Histogram,
    pub(crate) compute: Histogram,
    pub(crate) compute_failed: Counter,
    pub(crate) refreshed: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct InvalidationMetrics {
    pub(crate) changes: Counter,
    pub(crate) unchanged: Counter,
    pub(crate) unmatched: Counter,
    pub(crate) dropped: Counter,
    pub(crate) failed: Counter,
    pub(crate) invalidate: Histogram,
}

#[derive(Debug, Default)]
pub(crate) struct CacheMetrics {
    pub(crate) lookup: LookupMetrics,
    pub(crate) verification: VerificationMetrics,
    pub(crate) fill: FillMetrics,
    pub(crate) invalidation: InvalidationMetrics,
}

impl CacheMetrics {
    pub(crate) fn read(&self) -> Metrics {
        let Self { lookup, verification, fill, invalidation } = self;
        Metrics {
            exact_hits: lookup.exact_hits.value(),
            semantic_hits: lookup.semantic_hits.value(),
            coalesced_hits: lookup.coalesced.value(),
            misses: lookup.misses.value(),
            bypasses: lookup.bypasses.values(),
            rejected_candidates: lookup.rejected.value(),
            unshown_budgets: lookup.unshown_budgets.value(),
            unknown_scripts: lookup.unknown_scripts.values(),
            remembered_embeddings: lookup.remembered.value(),
            verifications: verification.outcomes.values(),
            feedback: verification.feedback.values(),
            judged: verification.judged.values(),
            unjudged: verification.unjudged.value(),
            judge_calls: verification.judge_calls.value(),
            judge_dropped: verification.judge_dropped.value(),
            similarities: lookup.similarities.values(),
            prompt_tokens_saved: lookup.prompt_tokens_saved.value(),
            completion_tokens_saved: lookup.completion_tokens_saved.value(),
            cost_saved_usd: lookup.cost_saved_microusd.value() as f64 / 1e6,
            stored: fill.stored.value(),
            refused: fill.refused.values(),
            declined: fill.declined.values(),
            failed_fills: fill.failed.value(),
            confirmed_fills: fill.confirmed.value(),
            unconfirmed_fills: fill.unconfirmed.value(),
            failed_computations: fill.compute_failed.value(),
            refreshed: fill.refreshed.value(),
            changes: invalidation.changes.value(),
            unchanged: invalidation.unchanged.value(),
            unmatched: invalidation.unmatched.value(),
            dropped: invalidation.dropped.value(),
            failed_invalidations: invalidation.failed.value(),
            latency: BTreeMap::from([
                ("compute", fill.compute.summary()),
                ("embed", lookup.embed.summary()),
                ("exact_hit", lookup.exact_hit.summary()),
                ("fill", fill.fill.summary()),
                ("invalidate", invalidation.invalidate.summary()),
                ("miss", lookup.miss.summary()),
                ("screen", verification.screen.summary()),
                ("search", lookup.search.summary()),
                ("semantic_hit", lookup.semantic_hit.summary()),
                ("store", lookup.store.summary()),
                ("verify", lookup.verify.summary()),
            ]),
        }
    }
}

/// What this process's cache has done since it was built. The store's own sizes are in
/// [`StoreStatus`](crate::store::StoreStatus).
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Metrics {
    /// Hits on the same question.
    pub exact_hits: u64,
    /// Hits on another wording.
    pub semantic_hits: u64,
    /// The hits among these that waited for another caller's answer.
    pub coalesced_hits: u64,
    /// Lookups that found nothing.
    pub misses: u64,
    /// Lookups that did not use the cache, by reason.
    pub bypasses: BTreeMap<String, u64>,
    /// Near neighbours that the verifier did not accept.
    pub rejected_candidates: u64,
    /// Lookups without an exact hit whose false-hit rate [cannot be shown](crate::verify::Unshown): other
    /// wordings were not looked at.
    pub unshown_budgets: u64,
    /// Lookups without an exact hit whose question has a letter of a script that the embedding model does not
    /// know, by script: other wordings were not looked at.
    pub unknown_scripts: BTreeMap<String, u64>,
    /// Embeddings that were reused, because the embedder had lately embedded the same text.
    pub remembered_embeddings: u64,
    /// The results of verification for candidates, by stage and outcome.
    pub verifications: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Callers' feedback on served answers: `right` and `wrong`.
    pub feedback: BTreeMap<String, u64>,
    /// The judge's decisions: `right`, `wrong`, and `unsure` if its "yes" was not certain enough.
    pub judged: BTreeMap<String, u64>,
    /// Pairs that the judge failed on every time that they were put to it.
    pub unjudged: u64,
    /// Calls of the judge, including those that failed.
    pub judge_calls: u64,
    /// Near misses and sampled hits that were not judged because the queue had no room.
    pub judge_dropped: u64,
    /// Hits on another wording by similarity, in hundredths from [`SIMILARITY_FLOOR`] up.
    #[serde(skip)]
    pub similarities: Vec<u64>,
    /// Prompt tokens that hits did not send again.
    pub prompt_tokens_saved: u64,
    /// Completion tokens that hits did not ask for again.
    pub completion_tokens_saved: u64,
    /// Costs that hits saved, in US dollars.
    pub cost_saved_usd: f64,
    /// Answers stored.
    pub stored: u64,
    /// Answers not stored because they may be stale, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Answers not worth storing, by reason.
    pub declined: BTreeMap<String, u64>,
    /// Answers that the store failed to store.
    pub failed_fills: u64,
    /// Answers stored for everyone because enough principals got the same answer.
    pub confirmed_fills: u64,
    /// Answers stored only for the principal that has them, until others have the same.
    pub unconfirmed_fills: u64,
    /// Closures that returned no answer.
    pub failed_computations: u64,
    /// Answers made again in the background.
    pub refreshed: u64,
    /// Changes reported.
    pub changes: u64,
    /// Changes that reported a version that was already known.
    pub unchanged: u64,
    /// Changes that no stored answer depended on.
    pub unmatched: u64,
    /// Entries dropped by changes.
    pub dropped: u64,
    /// Calls of `invalidate` that failed.
    pub failed_invalidations: u64,
    /// Times by stage. `miss` is the cost of a miss without the answer, `compute` the cost of the answer.
    pub latency: BTreeMap<&'static str, Latency>,
}

/// The distribution of a time, in microseconds, to two significant digits.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[non_exhaustive]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Their mean.
    pub mean_us: f64,
    /// Half were quicker.
    pub p50_us: f64,
    /// 99 % were quicker.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
    /// How many are in each bucket of [`LATENCY_BOUNDS_US`]; a bucket begins above the previous bound.
    #[serde(skip)]
    pub buckets: [u64; LATENCY_BOUNDS_US.len() + 1],
}
