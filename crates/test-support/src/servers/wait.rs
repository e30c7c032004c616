//! Waits for a state that another process reaches.

use std::thread;
use std::time::{Duration, Instant};

/// Far longer than anything here takes, even where the tests have half a core.
const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until `reached`; panics if that takes longer than `PATIENCE`.
pub fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < deadline, "not reached within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
