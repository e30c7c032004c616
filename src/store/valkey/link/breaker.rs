//! A circuit breaker: after some failures in a row, nothing is tried for a while.
//!
//! See Nygard, "Release It!" (2007). A probe in the background half-opens the breaker, so that no caller has
//! to wait for a server that may still be away.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;

/// The number of failures in a row that open the breaker.
const FAILURES: u32 = 3;
/// The longest pause between probes: a server that is back is noticed within this time.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// The pauses between probes, and between attempts to connect.
pub(super) const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), LONGEST_PAUSE);

#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// When the last of the failures was noticed.
    failed_at: Option<Instant>,
    /// When to probe next, if the breaker is open.
    probe_at: Option<Instant>,
    /// The time until which a probe may be under way.
    probing_until: Option<Instant>,
}

/// Whether a command may be tried.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Closed,
    Open,
    /// The breaker is open, and this caller must start a probe.
    Probe,
}

impl Breaker {
    /// Whether the caller may try.
    pub(super) fn gate(&self) -> Gate {
        let mut state = self.lock();
        match state.probe_at {
            None => Gate::Closed,
            Some(at) if Instant::now() < at => Gate::Open,
            Some(_) => {
                // The next probe is due whether or not this one ever reports.
                state.probe_at = Some(Instant::now() + BACKOFF.after(state.failures - FAILURES));
                Gate::Probe
            }
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().probe_at.is_some()
    }

    /// Returns whether the caller should probe. No other caller does then. A probe takes `limit` at most.
    pub(super) fn starts_probe(&self, limit: Duration) -> bool {
        let (mut state, now) = (self.lock(), Instant::now());
        let is_free = state.probing_until.is_none_or(|until| until < now);
        if is_free {
            state.probing_until = Some(now + limit);
        }
        is_free
    }

    /// Closes the breaker, and returns whether it was open.
    pub(super) fn succeeded(&self) -> bool {
        std::mem::take(&mut *self.lock()).probe_at.is_some()
    }

    /// Records that a command tried at `since` failed, and returns whether that opened the breaker.
    ///
    /// A command that was tried before the last failure was noticed does not count: all such commands met the
    /// same silence, however many they are.
    pub(super) fn failed(&self, since: Instant) -> bool {
        let (mut state, now) = (self.lock(), Instant::now());
        if state.failed_at.is_some_and(|at| since < at) {
            return false;
        }
        state.failed_at = Some(now);
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES {
            state.probe_at = Some(now + BACKOFF.after(state.failures - FAILURES));
        }
        state.failures == FAILURES
    }

    /// Records that a probe has ended.
    pub(super) fn probed(&self) {
        self.lock().probing_until = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row_and_closes_by_a_probe() {
        let breaker = Breaker::default();
        breaker.failed(Instant::now());
        breaker.succeeded();
        for _ in 1..FAILURES {
            breaker.failed(Instant::now());
        }
        assert_eq!(breaker.gate(), Gate::Closed);
        assert!(breaker.failed(Instant::now()));
        assert_eq!(breaker.gate(), Gate::Open);
        tokio::time::advance(LONGEST_PAUSE).await;
        assert_eq!(breaker.gate(), Gate::Probe);
        assert_eq!(breaker.gate(), Gate::Open, "one probe at a time");
        assert!(breaker.succeeded());
        assert_eq!(breaker.gate(), Gate::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_meet_one_silence_are_one_failure() {
        // Eight lookups that were under way at once had opened the breaker in one hiccup of the machine.
        let breaker = Breaker::default();
        for silence in 1..=FAILURES {
            let asked = Instant::now();
            tokio::time::advance(Duration::from_millis(40)).await;
            assert_eq!(breaker.gate(), Gate::Closed, "silence {silence}");
            (0..8).for_each(|_| _ = breaker.failed(asked));
        }
        assert_eq!(breaker.gate(), Gate::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_one_probe_at_a_time_and_none_lasts_for_ever() {
        let (breaker, limit) = (Breaker::default(), Duration::from_secs(1));
        assert!(breaker.starts_probe(limit) && !breaker.starts_probe(limit));
        breaker.probed();
        assert!(breaker.starts_probe(limit));
        tokio::time::advance(2 * limit).await;
        assert!(breaker.starts_probe(limit), "one that was dropped reports nothing");
    }
}
