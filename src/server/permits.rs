//! Permits that wait for their answers between two requests: a lookup hands out a name, a fill gives it back.
//!
//! A permit that nobody comes back for is dropped after a while, which lets somebody else make the answer.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache as Waiting;

use crate::cache::FillPermit;

/// Permits that wait for their answers.
pub struct Permits {
    waiting: Waiting<String, Arc<Mutex<Option<FillPermit>>>>,
}

impl Permits {
    pub(super) fn new(most: u64, ttl: Duration) -> Self {
        Self { waiting: Waiting::builder().max_capacity(most).time_to_live(ttl).build() }
    }

    /// Keeps `permit`; returns the name to ask for it by, which nobody can guess.
    pub fn keep(&self, permit: FillPermit) -> String {
        let name = hex::encode(rand::random::<[u8; 16]>());
        self.waiting.insert(name.clone(), Arc::new(Mutex::new(Some(permit))));
        name
    }

    /// The permit named `name`, once; none if it was asked for before or waited too long.
    pub fn take(&self, name: &str) -> Option<FillPermit> {
        let kept = self.waiting.remove(name)?;
        kept.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits").field("waiting", &self.waiting.entry_count()).finish()
    }
}
