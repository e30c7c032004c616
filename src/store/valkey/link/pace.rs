//! How long to wait for a reply.
//!
//! The limit depends on how long replies take, what a hit is worth, and how late this process itself runs.
//!
//! On a machine that has more to do than it has cores for, everything is late: a reply that usually takes one
//! millisecond takes a hundred, and the timer that should end the wait also fires late. Neither means that
//! the server is away.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use crate::store::ConnectionStatus;

/// The limit is this many times the duration of the slowest recent reply.
const MARGIN: u32 = 2;
/// A hit is worth this fraction of the time that making its answer takes.
const WORTH: u32 = 10;
/// The weight of a new value in a mean is one in this many (RFC 6298 uses the same for round trips).
const WEIGHT: u64 = 8;
/// The slowest value is remembered for at least this time, and for at most twice as long.
const LATELY: Duration = Duration::from_secs(10);
/// A timer that fires late by more than this fraction of its time shows that this process did not run.
const SLACK: u32 = 4;

/// What is known of the times on one link.
#[derive(Debug)]
pub(in crate::store::valkey) struct Pace {
    /// The smallest limit, and the largest.
    floor: Duration,
    ceiling: Duration,
    round_trip: Mean,
    slowest: Slowest,
    /// How late this process ran.
    delay: Slowest,
    /// How long making an answer takes.
    cost: Mean,
    late_replies: AtomicU64,
    late_wakeups: AtomicU64,
}

/// There was no reply in time.
#[derive(Debug)]
pub(super) struct TimedOut {
    /// Whether this process itself ran late, so that the delay says nothing about the server.
    pub(super) starved: bool,
}

impl Pace {
    pub(super) fn new(floor: Duration, ceiling: Duration) -> Self {
        Self {
            floor,
            ceiling: ceiling.max(floor),
            round_trip: Mean::default(),
            slowest: Slowest::default(),
            delay: Slowest::default(),
            cost: Mean::default(),
            late_replies: AtomicU64::new(0),
            late_wakeups: AtomicU64::new(0),
        }
    }

    /// How long to wait for a reply now.
    pub(in crate::store::valkey) fn limit(&self) -> Duration {
        (self.slowest.get() * MARGIN).clamp(self.floor, self.worth())
    }

    /// The longest wait that pays.
    pub(super) fn worth(&self) -> Duration {
        match self.cost.get() {
            Duration::ZERO => self.ceiling,
            cost => (cost / WORTH).clamp(self.floor, self.ceiling),
        }
    }

    /// Waits for `reply` for `limit`.
    ///
    /// Time in which this process did not run does not count, so the wait may become as long as a hit is
    /// worth. A reply that arrived in the meantime is accepted, however late it is read.
    pub(super) async fn in_time<T>(
        &self,
        limit: Duration,
        reply: impl Future<Output = T>,
    ) -> Result<T, TimedOut> {
        let mut reply = pin!(reply);
        let asked = Instant::now();
        let most = asked + limit.max(self.worth());
        let mut until = asked + limit;
        loop {
            let timed_out = async {
                sleep_until(until).await;
                self.delayed(until.elapsed());
                // Another task reads what the connection received meanwhile, and must run first.
                yield_now().await;
                yield_now().await;
                until.elapsed()
            };
            let late = tokio::select! {
                biased;
                reply = &mut reply => {
                    self.took(asked.elapsed());
                    return Ok(reply);
                }
                late = timed_out => late,
            };
            let starved = late * SLACK > limit;
            if !starved || Instant::now() >= most {
                let count = if starved { &self.late_wakeups } else { &self.late_replies };
                count.fetch_add(1, Ordering::Relaxed);
                return Err(TimedOut { starved });
            }
            until = (Instant::now() + limit).min(most);
        }
    }

    pub(super) fn took(&self, round_trip: Duration) {
        self.round_trip.add(round_trip);
        self.slowest.add(round_trip);
    }

    /// Records that this process ran this much later than it should have.
    pub(in crate::store::valkey) fn delayed(&self, delay: Duration) {
        self.delay.add(delay);
    }

    /// Records how long making an answer took. Zero stands for an unknown time, and is ignored.
    pub(in crate::store::valkey) fn cost(&self, cost: Duration) {
        if !cost.is_zero() {
            self.cost.add(cost);
        }
    }

    pub(super) fn status(&self, up: bool) -> ConnectionStatus {
        ConnectionStatus {
            up,
            round_trip_us: micros(self.round_trip.get()),
            slowest_round_trip_us: micros(self.slowest.get()),
            command_timeout_us: micros(self.limit()),
            scheduling_delay_us: micros(self.delay.get()),
            late_replies: self.late_replies.load(Ordering::Relaxed),
            late_wakeups: self.late_wakeups.load(Ordering::Relaxed),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A mean in which older values count less and less; zero before the first value.
#[derive(Debug, Default)]
struct Mean(AtomicU64);

impl Mean {
    fn add(&self, value: Duration) {
        let value = micros(value).max(1);
        let next = |mean: u64| match mean {
            0 => value,
            mean => mean - mean / WEIGHT + value / WEIGHT,
        };
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |mean| Some(next(mean)));
    }

    fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// The greatest recent value.
#[derive(Debug, Default)]
struct Slowest(Mutex<Periods>);

#[derive(Debug, Default)]
struct Periods {
    /// When the current period began.
    since: Option<Instant>,
    current: Duration,
    before: Duration,
}

impl Slowest {
    fn add(&self, value: Duration) {
        self.with(|periods| periods.current = periods.current.max(value));
    }

    fn get(&self) -> Duration {
        self.with(|periods| periods.current.max(periods.before))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Periods) -> T) -> T {
        let mut periods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let age = periods.since.map_or(Duration::MAX, |since| now - since);
        if age >= LATELY {
            let before = if age < 2 * LATELY { periods.current } else { Duration::ZERO };
            *periods = Periods { since: Some(now), current: Duration::ZERO, before };
        }
        work(&mut periods)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::{advance, sleep};

    use super::*;

    const FLOOR: Duration = Duration::from_millis(40);
    const CEILING: Duration = Duration::from_secs(2);
    const LIMIT: Duration = FLOOR;

    fn pace() -> Pace {
        Pace::new(FLOOR, CEILING)
    }

    async fn reply_after(delay: Duration) {
        sleep(delay).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_follows_the_slowest_reply_lately() {
        let pace = pace();
        assert_eq!(pace.limit(), FLOOR);
        pace.in_time(CEILING, reply_after(Duration::from_millis(150))).await.unwrap();
        assert_eq!(pace.limit(), Duration::from_millis(300));
        for _ in 0..100 {
            pace.in_time(LIMIT, reply_after(Duration::from_millis(1))).await.unwrap();
        }
        assert!(pace.limit() >= Duration::from_millis(300), "quick replies between slow ones change nothing");
        advance(2 * LATELY).await;
        assert_eq!(pace.limit(), FLOOR);
        pace.in_time(10 * CEILING, reply_after(3 * CEILING)).await.unwrap();
        assert_eq!(pace.limit(), CEILING);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hit_is_worth_a_tenth_of_its_answer() {
        let pace = pace();
        assert_eq!(pace.worth(), CEILING, "nothing is known yet");
        pace.cost(Duration::ZERO);
        assert_eq!(pace.worth(), CEILING);
        pace.cost(Duration::from_secs(3));
        assert_eq!(pace.worth(), Duration::from_millis(300));
        pace.in_time(CEILING, reply_after(Duration::from_secs(1))).await.unwrap();
        assert_eq!(pace.limit(), Duration::from_millis(300));
        for _ in 0..100 {
            pace.cost(Duration::from_millis(1));
        }
        assert_eq!(pace.limit(), FLOOR, "what users asked for is granted, however cheap answers are");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_does_not_come_costs_the_limit_and_counts_against_the_server() {
        let pace = pace();
        let asked = Instant::now();
        assert!(!pace.in_time(LIMIT, pending::<()>()).await.unwrap_err().starved);
        assert_eq!(asked.elapsed(), LIMIT);
        assert_eq!(pace.status(true).late_replies, 1);
    }

    #[tokio::test]
    async fn a_reply_that_came_while_this_process_did_not_run_is_taken() {
        let pace = pace();
        let waiting = pace.in_time(LIMIT, async {
            // As if the process had been stopped from here.
            yield_now().await;
            std::thread::sleep(3 * LIMIT);
            // Other tasks read it first.
            yield_now().await;
            yield_now().await;
        });
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn time_in_which_this_process_did_not_run_does_not_count() {
        let pace = pace();
        let mut polls = 0;
        let stopped = std::future::poll_fn(move |_| {
            polls += 1;
            // At the first poll the timer is not set yet.
            if polls == 1 {
                std::thread::sleep(3 * LIMIT);
            }
            std::task::Poll::<()>::Pending
        });
        let timed_out = pace.in_time(LIMIT, stopped).await.unwrap_err();
        // The wait that began again ended on time, so the server had its whole limit.
        let status = pace.status(true);
        assert!(status.scheduling_delay_us >= 40_000, "{status:?}");
        assert_eq!(status.late_replies, u64::from(!timed_out.starved));
        assert!(pace.in_time(LIMIT, ready(())).await.is_ok());
    }
}
