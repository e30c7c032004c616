//! Nearest neighbours among the embeddings of one scope.
//!
//! The cache keeps one index per scope, so no search can cross scopes, and creates them by the
//! thousand, so an empty one costs next to nothing. [`SegmentedIndex`] is the one that it uses: an exact
//! scan while a scope is small, HNSW graphs when it has grown. [`FlatIndex`] is the exact scan alone.
//!
//! ```text
//! FlatIndex ───────────────┐
//! SegmentedIndex ─ Segment ┴─ Rows (quantised vectors) ─ dot (i8 kernels)
//!   │    │            └ Graph (frozen HNSW links)
//!   │    └ builder thread: hnsw_rs links a sample, Graph the rest
//!   └ Snapshots (files of a folder) ─ format (bytes of a file)
//! ```
//!
//! Nothing here knows texts, answers, time or freshness. An index can always be rebuilt from the
//! embeddings in the store; [`Snapshots`] on disk only spare a process that starts again the time to do so,
//! and what they hold is no more to be trusted than a cache of a cache.

mod dot;
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

use crate::embedding::Embedding;
use crate::error::{Error, Result};
use crate::key::EntryId;

pub use flat::FlatIndex;
pub use segmented::{SegmentedIndex, SegmentedIndexBuilder};
pub use snapshots::{Generations, PassedOver, Restored, Saved, Snapshots};

/// How far the similarity of a [`Neighbor`] may be from the exact one, because vectors are kept in eight bits per
/// component. For question embeddings of 384 dimensions it is 0.0003 on average.
pub const ERROR: f32 = 0.01;

/// An entry near to a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// The entry.
    pub id: EntryId,
    /// Cosine similarity to the query, in `-1.0..=1.0`, larger is nearer; within [`ERROR`].
    pub similarity: f32,
}

/// A set of embeddings of one dimension that can be searched by similarity.
///
/// All methods take `&self` and may run at the same time. A search sees every insertion and removal
/// that returned before it began; of those that run beside it, it sees any part.
pub trait VectorIndex: fmt::Debug + Send + Sync {
    /// Adds `embedding` under `id`, replacing what was there. Where that is the same, nothing changes.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the dimension is not the index's own.
    fn insert(&self, id: EntryId, embedding: &Embedding) -> Result<()>;

    /// Removes `id`; whether it was there.
    fn remove(&self, id: EntryId) -> bool;

    /// Whether `id` is there.
    fn contains(&self, id: EntryId) -> bool;

    /// The ids that were there at one moment of the call, each once, in no particular order.
    fn ids(&self) -> Vec<EntryId>;

    /// The `k` nearest entries whose similarity is at least `floor`, nearest first, each id once.
    ///
    /// The similarity is within [`ERROR`] of [`Embedding::similarity`]: one that is compared with a threshold
    /// is to be computed from the entry's own embedding, and the floor to be lower by as much. An approximate index may
    /// miss a near entry, but returns `k` of at least `floor = -1.0` whenever it holds as many.
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

    /// About how many bytes of memory the index takes.
    fn memory_bytes(&self) -> usize;
}

fn check_dimensions(expected: usize, embedding: &Embedding) -> Result<()> {
    let found = embedding.dimensions();
    if found == expected {
        return Ok(());
    }
    Err(Error::invalid(format!("embedding has {found} dimensions, the index holds {expected}")))
}

/// By similarity, and by id where it is equal, so that the order never depends on where entries lie.
fn nearest_first(a: &Neighbor, b: &Neighbor) -> Ordering {
    b.similarity.total_cmp(&a.similarity).then_with(|| a.id.cmp(&b.id))
}
