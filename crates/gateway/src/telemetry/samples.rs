//! Recent history: one sample every few seconds, of which only the newest are kept.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use wellspring::clock::{Clock as _, SystemClock, Timestamp};
use wellspring::metrics::{LATENCY_BOUNDS_US, Metrics};

use crate::Gateway;

/// The time between samples.
pub(crate) const EVERY: Duration = Duration::from_secs(2);
/// How many samples are kept: ten minutes' worth.
const KEPT: usize = 300;

/// What happened between two samples.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    /// The end of the sample's time span.
    at: Timestamp,
    exact_hits: u64,
    semantic_hits: u64,
    misses: u64,
    bypasses: u64,
    /// Half of the hits were faster than this, in microseconds; none if there was no hit.
    hit_p50_us: Option<u64>,
    hit_p99_us: Option<u64>,
    /// What a miss costs on top of the upstream's answer.
    miss_p99_us: Option<u64>,
    in_flight: usize,
}

/// The newest samples.
#[derive(Debug, Default)]
pub(crate) struct Samples(Mutex<VecDeque<Sample>>);

impl Samples {
    /// All samples, the oldest first.
    pub(crate) fn all(&self) -> Vec<Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Takes samples of `gateway` for as long as it is polled.
    pub(crate) async fn take(gateway: &Gateway) {
        let mut timer = tokio::time::interval(EVERY);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        timer.tick().await;
        let mut before = gateway.cache().metrics();
        loop {
            timer.tick().await;
            let now = gateway.cache().metrics();
            let sample = Sample::between(&before, &now, gateway.in_flight());
            let mut samples = gateway.telemetry().samples().0.lock().unwrap_or_else(PoisonError::into_inner);
            if samples.len() == KEPT {
                samples.pop_front();
            }
            samples.push_back(sample);
            drop(samples);
            before = now;
        }
    }
}

impl Sample {
    fn between(before: &Metrics, now: &Metrics, in_flight: usize) -> Self {
        let bypasses = |metrics: &Metrics| metrics.bypasses.values().sum::<u64>();
        let grown = |times: &[&str]| {
            let mut buckets = [0; LATENCY_BOUNDS_US.len() + 1];
            for time in times {
                let (Some(now), Some(before)) = (now.latency.get(time), before.latency.get(time)) else {
                    continue;
                };
                for (sum, (now, before)) in buckets.iter_mut().zip(now.buckets.iter().zip(before.buckets)) {
                    *sum += now.saturating_sub(before);
                }
            }
            buckets
        };
        let (hit, miss) = (grown(&["exact_hit", "semantic_hit"]), grown(&["miss"]));
        Self {
            at: SystemClock.now(),
            exact_hits: now.exact_hits - before.exact_hits,
            semantic_hits: now.semantic_hits - before.semantic_hits,
            misses: now.misses - before.misses,
            bypasses: bypasses(now) - bypasses(before),
            hit_p50_us: quantile(&hit, 0.5),
            hit_p99_us: quantile(&hit, 0.99),
            miss_p99_us: quantile(&miss, 0.99),
            in_flight,
        }
    }
}

/// The time below which the share `quantile` lies, in microseconds, assuming an even spread within each
/// bucket.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between two bounds")]
fn quantile(buckets: &[u64; LATENCY_BOUNDS_US.len() + 1], quantile: f64) -> Option<u64> {
    let count: u64 = buckets.iter().sum();
    let rank = quantile * count as f64;
    let mut below = 0;
    for (index, &inside) in buckets.iter().enumerate().filter(|(_, inside)| **inside > 0) {
        if (below + inside) as f64 >= rank {
            let lower = index.checked_sub(1).map_or(0, |index| LATENCY_BOUNDS_US[index]);
            let upper = LATENCY_BOUNDS_US.get(index).copied().unwrap_or(lower * 2);
            let share = (rank - below as f64) / inside as f64;
            return Some(lower + (share * (upper - lower) as f64) as u64);
        }
        below += inside;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_in_their_bucket() {
        let mut buckets = [0; LATENCY_BOUNDS_US.len() + 1];
        assert_eq!(quantile(&buckets, 0.5), None);
        buckets[2] = 98;
        buckets[6] = 2;
        assert!((51..=100).contains(&quantile(&buckets, 0.5).unwrap()));
        assert!((1_001..=2_500).contains(&quantile(&buckets, 0.99).unwrap()));
    }
}
