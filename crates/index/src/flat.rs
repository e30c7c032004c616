//! The exact index: every search reads every entry.
//!
//! Guarantees that the nearest entries are found, whatever the data. A scan of 8,000 entries of 384
//! dimensions takes about 0.1 ms, and the time grows in proportion. So this index is for few entries, and is the
//! reference for measuring others. An empty one takes no memory.
//!
//! Searches run side by side; an insertion or removal waits for those in progress.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::rows::{Quantised, Query, Rows};
use super::{Id, Neighbor, VectorIndex, check_dimensions};
use crate::embedding::Embedding;
use crate::error::Result;

/// An exact scan over quantised vectors.
#[derive(Debug)]
pub struct FlatIndex {
    dimensions: usize,
    rows: RwLock<Rows>,
}

impl FlatIndex {
    /// An empty index of embeddings of `dimensions` components.
    #[must_use]
    pub fn new(dimensions: usize) -> Self {
        Self { dimensions, rows: RwLock::new(Rows::new(dimensions)) }
    }

    // A panic cannot leave half-written rows for a later call to read: the worst case is a failed memory
    // allocation, which ends the process.
    fn read(&self) -> RwLockReadGuard<'_, Rows> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Rows> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VectorIndex for FlatIndex {
    fn insert(&self, id: Id, embedding: &Embedding) -> Result<()> {
        check_dimensions(self.dimensions, embedding)?;
        let vector = Quantised::new(embedding);
        self.write().insert(id, &vector);
        Ok(())
    }

    fn remove(&self, id: Id) -> bool {
        self.write().remove(id)
    }

    fn contains(&self, id: Id) -> bool {
        self.read().row_of(id).is_some()
    }

    fn ids(&self) -> Vec<Id> {
        self.read().ids().to_vec()
    }

    fn search(&self, query: &Embedding, k: usize, floor: f32) -> Result<Vec<Neighbor>> {
        check_dimensions(self.dimensions, query)?;
        Ok(self.read().scan(&Query::new(query), k, floor, |_| true))
    }

    fn len(&self) -> usize {
        self.read().len()
    }

    fn memory_bytes(&self) -> usize {
        self.read().memory_bytes()
    }
}
