//! Whether the file can be written, and when writing is tried again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::backoff::Backoff;

/// The longest pause between two attempts to write a file that cannot be written. After an error the whole file
/// is checked, which takes a second or more for each gigabyte.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What the writer thread shares with all callers.
#[derive(Debug, Default)]
pub(super) struct Health {
    unwritable: Mutex<Option<String>>,
    pending: AtomicU64,
}

impl Health {
    /// Why the file cannot be written; none if it can.
    pub(super) fn unwritable(&self) -> Option<String> {
        self.unwritable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_unwritable(&self, why: Option<String>) {
        *self.unwritable.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// How many invalidations are not in the file yet.
    pub(super) fn pending(&self) -> u64 {
        self.pending.load(Ordering::Acquire)
    }

    pub(super) fn add_pending(&self, invalidations: u64) {
        self.pending.fetch_add(invalidations, Ordering::AcqRel);
    }

    pub(super) fn none_pending(&self) {
        self.pending.store(0, Ordering::Release);
    }
}

/// When writing the file is tried again.
#[derive(Debug)]
pub(super) struct Mending {
    backoff: Backoff,
    /// None if the file can be written.
    next: Option<Instant>,
    mended: Option<Instant>,
}

impl Default for Mending {
    fn default() -> Self {
        let backoff = Backoff::new(Duration::from_secs(1), LONGEST_PAUSE);
        Self { backoff, next: None, mended: None }
    }
}

impl Mending {
    pub(super) fn is_due(&self) -> bool {
        self.next.is_some_and(|next| Instant::now() >= next)
    }

    pub(super) fn is_needed(&self) -> bool {
        self.next.is_some()
    }

    /// Records that the file failed, for the first time or again. A file that was mended only recently counts
    /// as not mended.
    pub(super) fn failed(&mut self) {
        if self.next.is_none() && self.mended.is_none_or(|at| at.elapsed() >= LONGEST_PAUSE * 2) {
            self.backoff.reset();
        }
        self.next = Some(Instant::now() + self.backoff.next_pause());
    }

    pub(super) fn mended(&mut self) {
        self.next = None;
        self.mended = Some(Instant::now());
    }
}
