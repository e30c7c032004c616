#![doc = include_str!("../README.md")]
//!
//! # Inside
//!
//! ```text
//! FlatIndex ───────────────┐
//! SegmentedIndex ─ Segment ┴─ Rows (quantised vectors) ─ dot (i8 kernels)
//!   │    │            └ Graph (frozen HNSW links)
//!   │    └ builder thread: hnsw_rs links a sample, Graph the rest
//!   └ Snapshots (files of a folder) ─ format (bytes of a file)
//! ```
//!
//! Nothing here knows what the embeddings were made of, or when they are out of date. An index can always be
//! built again from its embeddings. [`Snapshots`] on disk only save a restarted process the time to do so.

mod dot;
pub mod embedding;
mod error;
mod flat;
mod format;
mod graph;
mod memory;
mod nearest;
mod rows;
mod segment;
mod segmented;
mod snapshots;

use std::cmp::Ordering;
use std::fmt;

pub use embedding::{Embedding, MAX_DIMENSIONS};
pub use error::{Error, ErrorKind, Result};
pub use flat::FlatIndex;
pub use segmented::{SegmentedIndex, SegmentedIndexBuilder};
pub use snapshots::{Generations, PassedOver, Restored, Saved, Snapshots};

/// What an entry is known by: 16 bytes of the caller's choice, such as a UUID, a hash, or a number that is
/// padded with zeros.
pub type Id = [u8; 16];

/// The greatest difference between the similarity of a [`Neighbor`] and the exact one; vectors are kept in
/// eight bits per component. For question embeddings of 384 dimensions the difference is 0.0003 on average.
pub const ERROR: f32 = 0.01;

/// An entry near to a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// The entry.
    pub id: Id,
    /// Cosine similarity to the query, in `-1.0..=1.0`, larger is nearer; within [`ERROR`].
    pub similarity: f32,
}

/// A set of embeddings of one dimension that can be searched by similarity.
///
/// All methods take `&self` and may run at the same time. A search sees every insertion and removal that
/// returned before it began; it may see any part of those that run at the same time.
pub trait VectorIndex: fmt::Debug + Send + Sync {
    /// Adds `embedding` under `id`, replacing any existing one. If the existing one is the same, nothing
    /// changes.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the dimension is not the index's own.
    fn insert(&self, id: Id, embedding: &Embedding) -> Result<()>;

    /// Removes `id`; returns whether it was there.
    fn remove(&self, id: Id) -> bool;

    /// Whether `id` is there.
    fn contains(&self, id: Id) -> bool;

    /// The ids that were there at one moment during the call, each once, in no particular order.
    fn ids(&self) -> Vec<Id>;

    /// The `k` nearest entries whose similarity is at least `floor`, nearest first, each id once.
    ///
    /// The similarity is within [`ERROR`] of [`Embedding::similarity`]. To compare with a threshold, compute
    /// the similarity from the entry's own embedding, and lower the floor by as much. An approximate index
    /// may miss a near entry, but with `floor = -1.0` it returns `k` entries whenever it holds as many.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the dimension is not the index's own.
    fn search(&self, query: &Embedding, k: usize, floor: f32) -> Result<Vec<Neighbor>>;

    /// The number of entries.
    fn len(&self) -> usize;

    /// Whether there are no entries.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The approximate number of bytes of memory that the index takes.
    fn memory_bytes(&self) -> usize;
}

fn check_dimensions(expected: usize, embedding: &Embedding) -> Result<()> {
    let found = embedding.dimensions();
    if found == expected {
        return Ok(());
    }
    Err(Error::invalid(format!("embedding has {found} dimensions, the index holds {expected}")))
}

/// By similarity, then by id if it is equal, so that the order never depends on where entries are stored.
fn nearest_first(a: &Neighbor, b: &Neighbor) -> Ordering {
    b.similarity.total_cmp(&a.similarity).then_with(|| a.id.cmp(&b.id))
}
