//! One flight per question: if several callers ask the same at the same time, one makes the answer.
//!
//! The first to [join](SingleFlight::join) leads, the others wait for it to complete. An outcome never
//! carries an answer. It only says where to look, so that a follower who joined after an invalidation
//! returned is not given what the leader read before the invalidation: the follower asks the store, and the
//! store asks the clock.
//!
//! A leader that is dropped completes the flight too, and one of its followers leads next.
//!
//! ```text
//! what the leader did               outcome     the followers
//! stored its answer                 Stored      look it up
//! found another question's answer   Near        fetch that entry
//! its answer was fenced off         Refused     look again; one of them leads
//! was dropped                       Abandoned   look again; one of them leads
//! declined, bypassed, store failed  Unshared    make their own answers, all at once
//! its closure failed                Failed      fail with the same error
//! ```
//!
//! A flight leaves the table before its outcome is sent. Otherwise a caller could join a flight that is over,
//! hear that it must look again, and join it once more.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::error::BoxError;
use crate::key::EntryId;

/// What is in flight: a question, and the bits of its match policy.
pub(crate) type FlightKey = (EntryId, u64);

/// How a flight ended.
#[derive(Debug, Clone)]
pub(crate) enum FlightOutcome {
    /// The answer is stored: look it up.
    Stored,
    /// Another question's answer serves: look that entry up.
    Near {
        /// The entry.
        entry: EntryId,
        /// How near its question is.
        similarity: f32,
        /// How certain it is that the answer is right.
        confidence: f32,
    },
    /// There is an answer, but the clock refused it: try again.
    Refused,
    /// The leader is gone: someone else must lead.
    Abandoned,
    /// There is nothing to share, and waiting for one another would only serialise the callers.
    Unshared,
    /// Making the answer failed.
    Failed(SharedError),
}

/// The error of a closure that made no answer, shared by all who waited for it.
#[derive(Clone)]
pub struct SharedError(Arc<dyn std::error::Error + Send + Sync>);

impl SharedError {
    pub(crate) fn new(error: BoxError) -> Self {
        Self(error.into())
    }

    /// The closure's error, if it is an `E`.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SharedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

type Flights = Arc<Mutex<HashMap<FlightKey, watch::Receiver<Option<FlightOutcome>>>>>;

/// How many counters of completions the keys share.
/// They need not be exact: if a flight of another key with the same first byte completes, a leader looks once
/// more without need.
const STRIPES: usize = 256;

#[derive(Debug)]
pub(crate) struct SingleFlight {
    flights: Flights,
    /// How many flights completed, by the key's first byte.
    completions: Arc<[AtomicU64; STRIPES]>,
}

impl Default for SingleFlight {
    fn default() -> Self {
        Self { flights: Flights::default(), completions: Arc::new([const { AtomicU64::new(0) }; STRIPES]) }
    }
}

/// The role of a caller in a flight.
pub(crate) enum Role {
    Leader(Leader),
    Follower(Follower),
}

impl SingleFlight {
    /// Changes whenever a flight of `key` completes. A caller that reads it, finds no answer, and then reads
    /// the same value can be sure that no flight stored an answer in between.
    pub(crate) fn completions(&self, key: FlightKey) -> u64 {
        self.completions[stripe(key)].load(Ordering::Acquire)
    }

    /// Joins the flight of `key`, or opens it.
    pub(crate) fn join(&self, key: FlightKey) -> Role {
        let mut flights = lock(&self.flights);
        if let Some(outcome) = flights.get(&key) {
            return Role::Follower(Follower { outcome: outcome.clone() });
        }
        let (sender, receiver) = watch::channel(None);
        flights.insert(key, receiver);
        let completions = Arc::clone(&self.completions);
        Role::Leader(Leader { key, flights: Arc::clone(&self.flights), completions, sender })
    }

    /// Joins the flight of `key` if there is one.
    pub(crate) fn follow(&self, key: FlightKey) -> Option<Follower> {
        lock(&self.flights).get(&key).map(|outcome| Follower { outcome: outcome.clone() })
    }

    /// Leads the flight of `key` if no one does.
    pub(crate) fn try_lead(&self, key: FlightKey) -> Option<Leader> {
        match self.join(key) {
            Role::Leader(leader) => Some(leader),
            Role::Follower(_) => None,
        }
    }
}

/// The caller that makes the answer. Dropping it abandons the flight.
#[derive(Debug)]
#[must_use]
pub(crate) struct Leader {
    key: FlightKey,
    flights: Flights,
    completions: Arc<[AtomicU64; STRIPES]>,
    sender: watch::Sender<Option<FlightOutcome>>,
}

impl Leader {
    /// Ends the flight. The next caller opens another.
    pub(crate) fn complete(self, outcome: FlightOutcome) {
        self.finish(outcome);
    }

    fn finish(&self, outcome: FlightOutcome) {
        // Removed from the table first: no one may join a flight that has completed. Counted while the lock
        // is held, so that the next leader sees the count.
        let mut flights = lock(&self.flights);
        flights.remove(&self.key);
        self.completions[stripe(self.key)].fetch_add(1, Ordering::Release);
        drop(flights);
        self.sender.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(outcome);
            }
            first
        });
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if self.sender.borrow().is_none() {
            self.finish(FlightOutcome::Abandoned);
        }
    }
}

/// A caller that waits for the leader.
pub(crate) struct Follower {
    outcome: watch::Receiver<Option<FlightOutcome>>,
}

impl Follower {
    /// Waits until the flight has completed. Safe to drop at any time.
    pub(crate) async fn outcome(mut self) -> FlightOutcome {
        match self.outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(FlightOutcome::Abandoned),
            Err(_) => FlightOutcome::Abandoned,
        }
    }
}

fn stripe((id, _): FlightKey) -> usize {
    usize::from(id.as_bytes()[0])
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: FlightKey = (EntryId::from_bytes([1; 16]), 0);

    fn follower(flight: &SingleFlight) -> Follower {
        match flight.join(KEY) {
            Role::Follower(follower) => follower,
            Role::Leader(_) => panic!("no caller leads"),
        }
    }

    #[tokio::test]
    async fn followers_hear_how_the_flight_ended() {
        let flight = SingleFlight::default();
        let leader = flight.try_lead(KEY).unwrap();
        let waiting = follower(&flight);
        leader.complete(FlightOutcome::Stored);
        assert!(matches!(waiting.outcome().await, FlightOutcome::Stored));
        assert!(flight.try_lead(KEY).is_some(), "a flight that completed is over");
    }

    #[tokio::test]
    async fn a_dropped_leader_hands_over() {
        let flight = SingleFlight::default();
        let leader = flight.try_lead(KEY).unwrap();
        let waiting = follower(&flight);
        let before = flight.completions(KEY);
        drop(leader);
        assert_ne!(flight.completions(KEY), before);
        assert!(matches!(waiting.outcome().await, FlightOutcome::Abandoned));
        assert!(lock(&flight.flights).is_empty(), "nothing is left behind");
    }

    #[tokio::test]
    async fn a_late_drop_does_not_end_the_next_flight() {
        let flight = SingleFlight::default();
        flight.try_lead(KEY).unwrap().complete(FlightOutcome::Refused);
        let next = flight.try_lead(KEY).unwrap();
        let waiting = follower(&flight);
        next.complete(FlightOutcome::Stored);
        assert!(matches!(waiting.outcome().await, FlightOutcome::Stored));
    }
}
