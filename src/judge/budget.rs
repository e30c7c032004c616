//! The budget of judge calls: a token bucket.
//!
//! It goes by wall time. If the clock is set back, nothing stops; if it is set forward, the bucket is filled
//! and no more.

use std::time::Duration;

use crate::clock::Timestamp;

/// How much of an hour's calls may be saved up and spent at once: ten minutes' worth.
const BURST: f64 = 1.0 / 6.0;
const HOUR_MS: f64 = 3_600_000.0;

/// What is left of the budget. It starts full.
#[derive(Debug)]
pub(crate) struct Budget {
    per_hour: u32,
    calls: f64,
    at: Timestamp,
}

impl Budget {
    pub(crate) fn new(per_hour: u32, now: Timestamp) -> Self {
        Self { per_hour, calls: most(per_hour), at: now }
    }

    /// Spends one call. If none is left, returns how long it takes until there is one, or none if there never
    /// is.
    pub(crate) fn spend(&mut self, now: Timestamp) -> Result<(), Option<Duration>> {
        self.refill(now);
        if self.calls >= 1.0 {
            self.calls -= 1.0;
            return Ok(());
        }
        if self.per_hour == 0 {
            return Err(None);
        }
        let wait = (1.0 - self.calls) * HOUR_MS / f64::from(self.per_hour);
        Err(Some(Duration::from_secs_f64(wait.ceil() / 1_000.0)))
    }

    /// How long it takes until the budget is full; none if it is full now.
    pub(crate) fn until_full(&mut self, now: Timestamp) -> Option<Duration> {
        self.refill(now);
        let missing = most(self.per_hour) - self.calls;
        (missing > 0.0)
            .then(|| Duration::from_secs_f64((missing * HOUR_MS / f64::from(self.per_hour)).ceil() / 1_000.0))
    }

    /// Gives back a call that was not made.
    pub(crate) fn give_back(&mut self) {
        self.calls = (self.calls + 1.0).min(most(self.per_hour));
    }

    /// The calls that may be made at once.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is small and not negative"
    )]
    pub(crate) fn left(&mut self, now: Timestamp) -> u32 {
        self.refill(now);
        self.calls as u32
    }

    fn refill(&mut self, now: Timestamp) {
        let passed = now.saturating_since(self.at).as_secs_f64() * 1_000.0;
        self.at = now;
        self.calls = (self.calls + passed * f64::from(self.per_hour) / HOUR_MS).min(most(self.per_hour));
    }
}

/// The most calls that can be saved up; at least one, or there would never be any.
fn most(per_hour: u32) -> f64 {
    if per_hour == 0 { 0.0 } else { (f64::from(per_hour) * BURST).max(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn spent(budget: &mut Budget, now: Timestamp) -> u32 {
        let mut calls = 0;
        while budget.spend(now).is_ok() {
            calls += 1;
        }
        calls
    }

    #[test]
    fn a_burst_spends_ten_minutes_worth_and_the_rest_comes_with_time() {
        let start = Timestamp::from_millis(1_000_000_000);
        let mut budget = Budget::new(120, start);
        assert_eq!((budget.left(start), spent(&mut budget, start)), (20, 20));
        assert_eq!(budget.spend(start), Err(Some(MINUTE / 2)));
        let mut now = start;
        let mut hour = 0;
        for _ in 0..60 {
            now = now.saturating_add(MINUTE);
            hour += spent(&mut budget, now);
        }
        assert_eq!(hour, 120);
        // A quiet day saves up no more than a burst.
        now = now.saturating_add(1_440 * MINUTE);
        assert_eq!(spent(&mut budget, now), 20);
        budget.give_back();
        assert_eq!(spent(&mut budget, now), 1);
    }

    #[test]
    fn few_calls_come_and_none_never_do() {
        let start = Timestamp::from_millis(1_000_000_000);
        let mut few = Budget::new(2, start);
        assert_eq!(spent(&mut few, start), 1);
        assert_eq!(few.spend(start), Err(Some(30 * MINUTE)));
        assert_eq!(few.spend(start.saturating_add(30 * MINUTE)), Ok(()));
        let mut none = Budget::new(0, start);
        assert_eq!(none.spend(start.saturating_add(1_440 * MINUTE)), Err(None));
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing() {
        let start = Timestamp::from_millis(1_000_000_000);
        let mut budget = Budget::new(60, start);
        assert_eq!(spent(&mut budget, start), 10);
        let back = Timestamp::from_millis(500_000_000);
        assert_eq!(spent(&mut budget, back), 0);
        assert_eq!(spent(&mut budget, back.saturating_add(3 * MINUTE)), 3);
    }
}
