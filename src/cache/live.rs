//! Settings that may change while the cache is in use.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::cache::Cache;
use crate::cache::query::check_threshold;
use crate::error::Result;
use crate::journal::Record;
use crate::policy::Ttls;

/// Settings that may change while the cache is in use.
#[derive(Debug)]
pub(crate) struct Live {
    /// The bits of an `f32`.
    threshold: AtomicU32,
    ttls: RwLock<Arc<Ttls>>,
}

impl Live {
    pub(crate) fn new(threshold: f32, ttls: Ttls) -> Self {
        Self { threshold: threshold.to_bits().into(), ttls: RwLock::new(Arc::new(ttls)) }
    }

    pub(crate) fn threshold(&self) -> f32 {
        f32::from_bits(self.threshold.load(Ordering::Relaxed))
    }

    pub(crate) fn ttls(&self) -> Arc<Ttls> {
        Arc::clone(&self.ttls.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Cache {
    /// The least cosine similarity of another question whose answer is served.
    pub fn similarity_threshold(&self) -> f32 {
        self.inner.live.threshold()
    }

    /// Sets it for lookups that start from now on.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is not in `-1.0..=1.0`.
    pub fn set_similarity_threshold(&self, threshold: f32) -> Result<()> {
        check_threshold(threshold)?;
        self.inner.live.threshold.store(threshold.to_bits(), Ordering::Relaxed);
        Ok(())
    }

    /// Sets the times to live of answers that are stored from now on. What is stored keeps its own.
    pub fn set_ttls(&self, ttls: Ttls) {
        *self.inner.live.ttls.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ttls);
    }

    /// The newest invalidations, holds and refused fills of this process, the newest first; at most
    /// [`journal::CAPACITY`](crate::journal::CAPACITY).
    pub fn journal(&self, limit: usize) -> Vec<Record> {
        self.inner.journal.newest(limit)
    }
}
