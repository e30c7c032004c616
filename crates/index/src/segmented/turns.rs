//! Limits how many indexes of a process build at a time.
//!
//! A process may have thousands of indexes. Their builds share half of its processors, so searches can use the
//! other half however many indexes grow at once. At least one build can always run.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How soon a waiting build notices that it is no longer wanted.
const PATIENCE: Duration = Duration::from_millis(100);

static TAKEN: Mutex<usize> = Mutex::new(0);
static GIVEN_BACK: Condvar = Condvar::new();

/// The right to build, released when dropped.
pub(super) struct Turn(());

impl Turn {
    /// Waits for a turn; none if `is_stopped` became true first.
    pub(super) fn wait(is_stopped: impl Fn() -> bool) -> Option<Self> {
        let limit = thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2));
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken >= limit {
            if is_stopped() {
                return None;
            }
            (taken, _) = GIVEN_BACK.wait_timeout(taken, PATIENCE).unwrap_or_else(PoisonError::into_inner);
        }
        *taken += 1;
        Some(Self(()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        GIVEN_BACK.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_is_given_back_is_taken_by_one_who_waits() {
        let mut turns: Vec<Turn> = Vec::new();
        // Other tests in this process may hold turns of their own.
        while let Some(turn) = Turn::wait(|| true) {
            turns.push(turn);
        }
        assert!(Turn::wait(|| true).is_none(), "all are taken");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| Turn::wait(|| false).is_some());
            turns.pop();
            assert!(waiting.join().unwrap());
        });
    }
}
