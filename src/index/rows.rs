//! Quantised vectors in rows, each under the id of its entry.
//!
//! A component is kept in sixteen bits, split into two planes of `i8`. The *coarse* plane alone is what
//! a scan or a walk reads, 384 bytes for 384 dimensions; the *fine* plane is added for the few
//! candidates that are worth an exact look. So a row takes half of what `f32` would, and yet the
//! similarity that a caller compares with a threshold is within 1e-4 of the `f32` one, and
//! typically within 1e-6.
//!
//! Rows lie densely: a removal moves the last row into the gap, so that a scan never meets a dead one.
//! This module knows no locks and no tombstones.

use std::collections::HashMap;
use std::fmt;

use super::Neighbor;
use super::dot::{dot, dot_rows, prefetch};
use super::nearest::{Candidate, Nearest};
use crate::embedding::Embedding;
use crate::key::EntryId;

/// How many candidates beyond the wanted ones are ranked exactly. The coarse plane swaps neighbours
/// whose similarities differ by less than about 0.003; with eight, every one of 2,000 searches among
/// 100,000 question embeddings found the true nearest.
const RERANKED: usize = 8;

/// The greatest magnitude of a component in sixteen bits: its coarse part is then at most 127.
const STEPS: f32 = 127.0 * 256.0;

/// How many rows one call of the kernel takes: their products stay in the first cache.
const BLOCK: usize = 64;

/// What is searched for, in the two forms that a search needs.
pub(super) struct Query<'a> {
    exact: &'a [f32],
    coarse: Vec<i8>,
}

impl<'a> Query<'a> {
    pub(super) fn new(embedding: &'a Embedding) -> Self {
        let exact = embedding.as_slice();
        let mut coarse = Vec::with_capacity(exact.len());
        quantise(exact, |part, _| coarse.push(part));
        Self { exact, coarse }
    }
}

/// A vector in the form in which it is kept.
pub(super) struct Quantised {
    coarse: Vec<i8>,
    fine: Vec<i8>,
    scale: f32,
}

impl Quantised {
    pub(super) fn new(embedding: &Embedding) -> Self {
        let mut coarse = Vec::with_capacity(embedding.dimensions());
        let mut fine = Vec::with_capacity(embedding.dimensions());
        let scale = quantise(embedding.as_slice(), |high, low| {
            coarse.push(high);
            fine.push(low);
        });
        Self { coarse, fine, scale }
    }
}

#[derive(Clone)]
pub(super) struct Rows {
    dimensions: usize,
    ids: Vec<EntryId>,
    row_of: HashMap<EntryId, u32>,
    coarse: Vec<i8>,
    fine: Vec<i8>,
    /// What one step of a row's sixteen bits is worth.
    scales: Vec<f32>,
}

impl Rows {
    /// No rows and no memory taken.
    pub(super) fn new(dimensions: usize) -> Self {
        Self::with_capacity(dimensions, 0)
    }

    pub(super) fn with_capacity(dimensions: usize, rows: usize) -> Self {
        Self {
            dimensions,
            ids: Vec::with_capacity(rows),
            row_of: HashMap::with_capacity(rows),
            coarse: Vec::with_capacity(rows * dimensions),
            fine: Vec::with_capacity(rows * dimensions),
            scales: Vec::with_capacity(rows),
        }
    }

    pub(super) fn dimensions(&self) -> usize {
        self.dimensions
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Rows as they were written down. Fails, saying why, if they are none that [`Rows::insert`] makes.
    pub(super) fn restore(
        dimensions: usize,
        ids: Vec<EntryId>,
        scales: Vec<f32>,
        coarse: Vec<i8>,
        fine: Vec<i8>,
    ) -> Result<Self, &'static str> {
        let is_whole = |plane: &[i8]| plane.len() == ids.len() * dimensions;
        if scales.len() != ids.len() || !is_whole(&coarse) || !is_whole(&fine) {
            return Err("rows have parts of different lengths");
        }
        let mut row_of = HashMap::with_capacity(ids.len());
        for (row, &id) in ids.iter().enumerate() {
            let row = u32::try_from(row).map_err(|_| "there are too many rows")?;
            if row_of.insert(id, row).is_some() {
                return Err("an id has two rows");
            }
        }
        // Such a part is never made, and the sixteen bits that it belongs to could overflow.
        if coarse.contains(&i8::MIN) {
            return Err("a component is out of range");
        }
        let rows = Self { dimensions, ids, row_of, coarse, fine, scales };
        if (0..).take(rows.len()).all(|row| rows.is_of_unit_length(row)) {
            Ok(rows)
        } else {
            Err("a vector is not of unit length")
        }
    }

    /// The id of each row.
    pub(super) fn ids(&self) -> &[EntryId] {
        &self.ids
    }

    pub(super) fn scales(&self) -> &[f32] {
        &self.scales
    }

    pub(super) fn coarse(&self) -> &[i8] {
        &self.coarse
    }

    pub(super) fn fine(&self) -> &[i8] {
        &self.fine
    }

    pub(super) fn row_of(&self, id: EntryId) -> Option<u32> {
        self.row_of.get(&id).copied()
    }

    /// Adds the vector, in place of the one that `id` had; whether it had one.
    pub(super) fn insert(&mut self, id: EntryId, vector: &Quantised) -> bool {
        debug_assert_eq!(vector.coarse.len(), self.dimensions);
        let replaced = self.remove(id);
        self.coarse.extend_from_slice(&vector.coarse);
        self.fine.extend_from_slice(&vector.fine);
        self.push_id(id, vector.scale);
        replaced
    }

    /// Whether the row holds exactly `vector`.
    pub(super) fn holds(&self, row: u32, vector: &Quantised) -> bool {
        self.scales[row as usize].to_bits() == vector.scale.to_bits()
            && self.coarse_row(row) == vector.coarse
            && self.fine_row(row) == vector.fine
    }

    /// Removes `id`; whether it was there. The last row takes the place of the removed one.
    pub(super) fn remove(&mut self, id: EntryId) -> bool {
        let Some(row) = self.row_of.remove(&id) else { return false };
        let gap = row as usize;
        let last = self.len() - 1;
        self.ids.swap_remove(gap);
        self.scales.swap_remove(gap);
        for plane in [&mut self.coarse, &mut self.fine] {
            plane.copy_within(last * self.dimensions.., gap * self.dimensions);
            plane.truncate(last * self.dimensions);
        }
        if gap != last {
            self.row_of.insert(self.ids[gap], row);
        }
        true
    }

    /// Appends a row of another collection, whose id is not in this one.
    pub(super) fn push_from(&mut self, other: &Self, row: u32) {
        let row = row as usize;
        let span = row * self.dimensions..(row + 1) * self.dimensions;
        self.coarse.extend_from_slice(&other.coarse[span.clone()]);
        self.fine.extend_from_slice(&other.fine[span]);
        self.push_id(other.ids[row], other.scales[row]);
    }

    #[expect(clippy::cast_possible_truncation, reason = "2^32 rows would take more than 100 GB")]
    fn push_id(&mut self, id: EntryId, scale: f32) {
        let row = self.ids.len() as u32;
        let earlier = self.row_of.insert(id, row);
        debug_assert!(earlier.is_none(), "an id has one row");
        self.ids.push(id);
        self.scales.push(scale);
    }

    /// The `k` nearest live rows of at least `floor`, found by reading every row.
    pub(super) fn scan(
        &self,
        query: &Query,
        k: usize,
        floor: f32,
        is_live: impl Fn(u32) -> bool,
    ) -> Vec<Neighbor> {
        let mut nearest = Nearest::new(Self::candidates_for(k));
        let mut products = [0; BLOCK];
        let mut row = 0;
        for block in self.coarse.chunks(BLOCK * self.dimensions) {
            let products = &mut products[..block.len() / self.dimensions];
            dot_rows(&query.coarse, block, products);
            for &mut product in products {
                let similarity = self.coarse_similarity(product, row);
                if similarity > nearest.threshold() && is_live(row) {
                    nearest.offer(Candidate { similarity, row });
                }
                row += 1;
            }
        }
        self.rank(query, nearest.into_sorted(), k, floor)
    }

    /// How many candidates to pick by the coarse plane so that the best `k` are among them.
    pub(super) fn candidates_for(k: usize) -> usize {
        if k == 0 { 0 } else { k.saturating_add(RERANKED) }
    }

    /// The best `k` of `candidates` (nearest first) of at least `floor`, by exact similarity.
    pub(super) fn rank(
        &self,
        query: &Query,
        candidates: Vec<Candidate>,
        k: usize,
        floor: f32,
    ) -> Vec<Neighbor> {
        let mut neighbors: Vec<Neighbor> = candidates
            .into_iter()
            .take(Self::candidates_for(k))
            .map(|candidate| Neighbor {
                id: self.ids[candidate.row as usize],
                similarity: self.similarity(query, candidate.row),
            })
            .filter(|neighbor| neighbor.similarity >= floor)
            .collect();
        neighbors.sort_unstable_by(super::nearest_first);
        neighbors.truncate(k);
        neighbors
    }

    /// How near a row is by its coarse plane, in units that are the same for all rows of one query.
    pub(super) fn nearness(&self, query: &Query, row: u32) -> f32 {
        self.coarse_similarity(dot(&query.coarse, self.coarse_row(row)), row)
    }

    /// The cosine similarity of two rows by their coarse planes.
    pub(super) fn similarity_of_rows(&self, a: u32, b: u32) -> f32 {
        let product = dot(self.coarse_row(a), self.coarse_row(b));
        product as f32 * (self.scales[a as usize] * 256.0) * (self.scales[b as usize] * 256.0)
    }

    pub(super) fn prefetch(&self, row: u32) {
        prefetch(self.coarse_row(row));
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // The map keeps one control byte beside each pair and leaves an eighth of its places free.
        let pair = size_of::<(EntryId, u32)>() + 1;
        self.coarse.capacity()
            + self.fine.capacity()
            + self.scales.capacity() * size_of::<f32>()
            + self.ids.capacity() * size_of::<EntryId>()
            + self.row_of.capacity() * pair * 8 / 7
    }

    fn coarse_similarity(&self, product: i32, row: u32) -> f32 {
        product as f32 * self.scales[row as usize]
    }

    fn coarse_row(&self, row: u32) -> &[i8] {
        &self.coarse[row as usize * self.dimensions..][..self.dimensions]
    }

    fn fine_row(&self, row: u32) -> &[i8] {
        &self.fine[row as usize * self.dimensions..][..self.dimensions]
    }

    fn similarity(&self, query: &Query, row: u32) -> f32 {
        let (coarse, fine) = (self.coarse_row(row), self.fine_row(row));
        let product = |at: usize| query.exact[at] * steps(coarse[at], fine[at]);
        let dot = sum_in_lanes(self.dimensions, product) * self.scales[row as usize];
        dot.clamp(-1.0, 1.0)
    }

    fn is_of_unit_length(&self, row: u32) -> bool {
        let (coarse, fine) = (self.coarse_row(row), self.fine_row(row));
        let square = |at: usize| steps(coarse[at], fine[at]).powi(2);
        let scale = self.scales[row as usize];
        // Twice what quantising can do at most to a vector of the most dimensions.
        scale > 0.0 && (sum_in_lanes(self.dimensions, square) * scale * scale - 1.0).abs() < 0.01
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("dimensions", &self.dimensions)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// A component in sixteen bits.
fn steps(coarse: i8, fine: i8) -> f32 {
    f32::from(i16::from(coarse) * 256 + i16::from(fine))
}

/// The sum of a term for each component, as independent sums, so that the compiler may use as many lanes.
fn sum_in_lanes(dimensions: usize, term: impl Fn(usize) -> f32) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let whole = dimensions - dimensions % LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
    }
    sums.iter().sum::<f32>() + (whole..dimensions).map(term).sum::<f32>()
}

/// Hands the coarse and the fine part of each component to `push`; returns what one step is worth.
#[expect(clippy::cast_possible_truncation, reason = "steps are within -32,512..=32,512, parts within i8")]
fn quantise(components: &[f32], mut push: impl FnMut(i8, i8)) -> f32 {
    // An embedding is never all zero, so this is positive.
    let greatest = components.iter().fold(0.0_f32, |greatest, component| greatest.max(component.abs()));
    for component in components {
        // Divided first: the reciprocal of a tiny greatest component would be infinite. Rounded by hand:
        // before SSE4.1, `round` is a call.
        let steps = (component / greatest * STEPS + 0.5_f32.copysign(*component)) as i32;
        // Rounds to the nearest multiple of 256, so that the rest fits a signed byte.
        let coarse = (steps + 128) >> 8;
        push(coarse as i8, (steps - (coarse << 8)) as i8);
    }
    greatest / STEPS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: u8) -> EntryId {
        EntryId::from_bytes([number; 16])
    }

    proptest! {
        #[test]
        fn the_reported_similarity_is_almost_exact(
            (a, b) in (1_usize..400).prop_flat_map(|len| {
                let components = || prop::collection::vec(-1.0_f32..1.0, len);
                (components(), components())
            }),
        ) {
            let (Ok(a), Ok(b)) = (Embedding::new(&a), Embedding::new(&b)) else { return Ok(()) };
            let mut rows = Rows::new(a.dimensions());
            rows.insert(id(1), &Quantised::new(&a));
            let found = rows.scan(&Query::new(&b), 1, -1.0, |_| true);
            prop_assert!((found[0].similarity - a.similarity(&b)).abs() < 1e-4);
        }
    }

    #[test]
    fn a_removal_moves_only_the_last_row() {
        let vectors: Vec<_> =
            (1..=4_u8).map(|n| Embedding::new(&[f32::from(n), 1.0, -f32::from(n)]).unwrap()).collect();
        let mut rows = Rows::new(3);
        for (number, vector) in (1..).zip(&vectors) {
            assert!(!rows.insert(id(number), &Quantised::new(vector)));
        }
        assert!(rows.remove(id(2)));
        assert!(!rows.remove(id(2)));
        assert!(rows.remove(id(3)), "the last row");
        assert_eq!((rows.len(), rows.row_of(id(4)), rows.row_of(id(2))), (2, Some(1), None));
        let found = rows.scan(&Query::new(&vectors[3]), 1, 0.0, |_| true);
        assert_eq!(found[0].id, id(4));
        assert!(found[0].similarity > 0.999_99);
    }

    #[test]
    fn rows_that_are_not_live_are_passed_over() {
        let vector = Embedding::new(&[1.0, 0.0]).unwrap();
        let mut rows = Rows::new(2);
        rows.insert(id(1), &Quantised::new(&vector));
        rows.insert(id(2), &Quantised::new(&vector));
        let found = rows.scan(&Query::new(&vector), 5, -1.0, |row| row != 0);
        assert_eq!(found.iter().map(|neighbor| neighbor.id).collect::<Vec<_>>(), [id(2)]);
    }
}
