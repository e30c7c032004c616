//! One flight per question: if several callers ask the same at the same time, one makes the answer.
//!
//! The first to [join](SingleFlight::join) leads, the others wait for it to land. A landing never carries an
//! answer. It only says where to look, so that a follower who joined after an invalidation returned is not
//! given what the leader read before the invalidation: the follower asks the store, and the store asks the
//! clock.
//!
//! A leader that is dropped lands too, and one of its followers leads next.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::error::BoxError;
use crate::key::EntryId;

/// What is in flight: a question, and the bits of its criterion.
pub(crate) type FlightKey = (EntryId, u64);

/// How a flight ended.
#[derive(Debug, Clone)]
pub(crate) enum Landing {
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

type Flights = Arc<Mutex<HashMap<FlightKey, watch::Receiver<Option<Landing>>>>>;

/// How many counters of landings the keys share.
const STRIPES: usize = 256;

#[derive(Debug)]
pub(crate) struct SingleFlight {
    flights: Flights,
    /// How many flights landed, by the key's first byte.
    landings: Arc<[AtomicU64; STRIPES]>,
}

impl Default for SingleFlight {
    fn default() -> Self {
        Self { flights: Flights::default(), landings: Arc::new([const { AtomicU64::new(0) }; STRIPES]) }
    }
}

/// The role of a caller in a flight.
pub(crate) enum Role {
    Leader(Leader),
    Follower(Follower),
}

impl SingleFlight {
    /// Changes whenever a flight of `key` lands. A caller that reads it, finds no answer, and then reads the
    /// same value can be sure that no flight stored an answer in between.
    pub(crate) fn landings(&self, key: FlightKey) -> u64 {
        self.landings[stripe(key)].load(Ordering::Acquire)
    }

    /// Joins the flight of `key`, or opens it.
    pub(crate) fn join(&self, key: FlightKey) -> Role {
        let mut flights = lock(&self.flights);
        if let Some(landing) = flights.get(&key) {
            return Role::Follower(Follower { landing: landing.clone() });
        }
        let (sender, receiver) = watch::channel(None);
        flights.insert(key, receiver);
        let landings = Arc::clone(&self.landings);
        Role::Leader(Leader { key, flights: Arc::clone(&self.flights), landings, sender })
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
    landings: Arc<[AtomicU64; STRIPES]>,
    sender: watch::Sender<Option<Landing>>,
}

impl Leader {
    /// Ends the flight. The next caller opens another.
    pub(crate) fn land(self, landing: Landing) {
        self.finish(landing);
    }

    fn finish(&self, landing: Landing) {
        // Removed from the table first: no one may join a flight that has landed. Counted while the lock is
        // held, so that the next leader sees the count.
        let mut flights = lock(&self.flights);
        flights.remove(&self.key);
        self.landings[stripe(self.key)].fetch_add(1, Ordering::Release);
        drop(flights);
        self.sender.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(landing);
            }
            first
        });
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if self.sender.borrow().is_none() {
            self.finish(Landing::Abandoned);
        }
    }
}

/// A caller that waits for the leader.
pub(crate) struct Follower {
    landing: watch::Receiver<Option<Landing>>,
}

impl Follower {
    /// Waits until the flight has landed. Safe to drop at any time.
    pub(crate) async fn landing(mut self) -> Landing {
        match self.landing.wait_for(Option::is_some).await {
            Ok(landing) => landing.clone().unwrap_or(Landing::Abandoned),
            Err(_) => Landing::Abandoned,
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
        leader.land(Landing::Stored);
        assert!(matches!(waiting.landing().await, Landing::Stored));
        assert!(flight.try_lead(KEY).is_some(), "a flight that landed is over");
    }

    #[tokio::test]
    async fn a_dropped_leader_hands_over() {
        let flight = SingleFlight::default();
        let leader = flight.try_lead(KEY).unwrap();
        let waiting = follower(&flight);
        let before = flight.landings(KEY);
        drop(leader);
        assert_ne!(flight.landings(KEY), before);
        assert!(matches!(waiting.landing().await, Landing::Abandoned));
        assert!(lock(&flight.flights).is_empty(), "nothing is left behind");
    }

    #[tokio::test]
    async fn a_late_drop_does_not_end_the_next_flight() {
        let flight = SingleFlight::default();
        flight.try_lead(KEY).unwrap().land(Landing::Refused);
        let next = flight.try_lead(KEY).unwrap();
        let waiting = follower(&flight);
        next.land(Landing::Stored);
        assert!(matches!(waiting.landing().await, Landing::Stored));
    }
}
