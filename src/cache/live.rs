//! Settings that may change while the cache is in use.

use std::sync::{Arc, PoisonError, RwLock};

use crate::cache::Cache;
use crate::criterion::Criterion;
use crate::error::Result;
use crate::journal::Record;
use crate::policy::Ttls;

/// Settings that may change while the cache is in use.
#[derive(Debug)]
pub(crate) struct Live {
    criterion: RwLock<Criterion>,
    ttls: RwLock<Arc<Ttls>>,
}

impl Live {
    pub(crate) fn new(criterion: Criterion, ttls: Ttls) -> Self {
        Self { criterion: RwLock::new(criterion), ttls: RwLock::new(Arc::new(ttls)) }
    }

    pub(crate) fn criterion(&self) -> Criterion {
        *self.criterion.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ttls(&self) -> Arc<Ttls> {
        Arc::clone(&self.ttls.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Cache {
    /// When another question's answer is served, unless query, scope or corpus say otherwise.
    pub fn criterion(&self) -> Criterion {
        self.inner.live.criterion()
    }

    /// The least similarity at which another question is looked at.
    pub fn least_similarity(&self) -> f32 {
        self.inner.verifier.floor(self.inner.live.criterion())
    }

    /// Sets when another question's answer is served, for lookups that start from now on.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is out of range.
    pub fn set_criterion(&self, criterion: Criterion) -> Result<()> {
        let criterion = criterion.checked()?;
        *self.inner.live.criterion.write().unwrap_or_else(PoisonError::into_inner) = criterion;
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
