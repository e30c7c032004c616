//! A circuit breaker: after some failures in a row, nothing is tried for a while.
//!
//! Nygard, "Release It!" (2007). What half-opens it is a probe in the background, so that no caller has to wait for a
//! server that may still be away.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// This many failures in a row open it.
pub(super) const FAILURES: u32 = 3;
/// Between the first probes.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// Between later ones: a server that is back is noticed within this time.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// When it is open: when to probe next.
    probe_at: Option<Instant>,
}

/// Whether something may be tried.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Closed,
    Open,
    /// It is open, and the caller is the one to start a probe.
    Probe,
}

impl Breaker {
    pub(super) fn gate(&self) -> Gate {
        let mut state = self.lock();
        match state.probe_at {
            None => Gate::Closed,
            Some(at) if Instant::now() < at => Gate::Open,
            Some(_) => {
                // The next one is due whether or not this one ever reports.
                state.probe_at = Some(Instant::now() + pause(state.failures));
                Gate::Probe
            }
        }
    }

    pub(super) fn succeeded(&self) {
        *self.lock() = State::default();
    }

    pub(super) fn failed(&self) {
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES {
            state.probe_at = Some(Instant::now() + pause(state.failures));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to leave a server alone after this many failures. Random, so that many processes do not come back at the
/// same moment.
pub(super) fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(FAILURES).min(8);
    let pause = SHORTEST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    pause.mul_f64(rand::random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row_and_closes_by_a_probe() {
        let breaker = Breaker::default();
        breaker.failed();
        breaker.succeeded();
        for _ in 1..FAILURES {
            breaker.failed();
        }
        assert_eq!(breaker.gate(), Gate::Closed);
        breaker.failed();
        assert_eq!(breaker.gate(), Gate::Open);
        tokio::time::advance(LONGEST_PAUSE).await;
        assert_eq!(breaker.gate(), Gate::Probe);
        assert_eq!(breaker.gate(), Gate::Open, "one probe at a time");
        breaker.succeeded();
        assert_eq!(breaker.gate(), Gate::Closed);
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        assert!(pause(FAILURES) < SHORTEST_PAUSE);
        let long = pause(1_000_000);
        assert!(long >= LONGEST_PAUSE / 2 && long < LONGEST_PAUSE);
    }
}
