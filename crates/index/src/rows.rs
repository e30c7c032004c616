//! Quantised vectors in rows, each under the id of its entry.
//!
//! A component is kept as a code of 8 bits, an integer in `-127..=127`, so a row takes a quarter of the space
//! of `f32`. The value of one code step is chosen for each row so that the product of the codes with the
//! row's own vector is exactly one. That removes the part of the rounding error along the vector from every
//! similarity. The part across it remains, and matters less the nearer a query is (the estimator of `RaBitQ`,
//! Gao and Long 2024, arXiv:2405.12497). Among 100,000 question embeddings it finds the true nearest in 99.6
//! % of searches; a step of a 127th of the greatest component finds it in 99.1 %.
//!
//! The upper and the lower four bits of the codes are stored in separate planes. A walk through a graph waits
//! for memory most of the time, so it reads the upper plane alone, three cache lines for 384 dimensions. A
//! scan, and the ranking of a walk's candidates, read both.
//!
//! Rows are stored without gaps: a removal moves the last row into the gap, so that a scan never meets a dead
//! one.
//! This module knows no locks and no tombstones.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::ops::Range;

use hashbrown::HashTable;

use super::dot::{BLOCK, Block, Factor, SHIFT, dot_of_rows, prefetch};
use super::memory::in_large_pages;
use super::nearest::{Candidate, Nearest};
use super::{Id, Neighbor};
use crate::embedding::Embedding;

/// How many extra candidates beyond `k` are ranked by whole codes and the query's exact components. The upper
/// plane alone can swap neighbours whose similarities differ by less than about 0.02.
const RERANKED: usize = 24;

/// The greatest code.
const GREATEST: f32 = 127.0;

/// How many rows one call of the kernel takes: their products stay in the first-level cache.
const AT_ONCE: usize = 64;

/// The value of one step in the upper plane, in steps of a whole code.
const UPPER: i32 = 16;

/// The vector that is searched for, in the two forms that a search needs.
pub(super) struct Query<'a> {
    exact: &'a [f32],
    codes: Factor,
}

impl<'a> Query<'a> {
    pub(super) fn new(embedding: &'a Embedding) -> Self {
        Self { exact: embedding.as_slice(), codes: Factor::new(codes_for(embedding.as_slice())) }
    }

    pub(super) fn codes(&self) -> &Factor {
        &self.codes
    }
}

/// A vector in the form in which rows store it.
pub(super) struct Quantised {
    /// Shifted, [`BLOCK`] in each block.
    codes: Vec<Block>,
    scale: f32,
}

impl Quantised {
    pub(super) fn new(embedding: &Embedding) -> Self {
        let components = embedding.as_slice();
        let codes: Vec<Block> = codes_for(components).collect();
        let scale = 1.0 / sum_of_products(components, codes.iter().copied());
        Self { codes, scale }
    }
}

#[derive(Clone)]
pub(super) struct Rows {
    dimensions: usize,
    ids: Vec<Id>,
    /// The row of each id.
    row_of: HashTable<u32>,
    hasher: RandomState,
    /// Halves of the shifted codes, two in each byte, in whole blocks for each row.
    upper: Vec<Block>,
    lower: Vec<Block>,
    /// The value of one code step of each row.
    scales: Vec<f32>,
}

impl Rows {
    /// An empty collection, which takes no memory.
    pub(super) fn new(dimensions: usize) -> Self {
        Self::with_capacity(dimensions, 0)
    }

    pub(super) fn with_capacity(dimensions: usize, rows: usize) -> Self {
        Self {
            dimensions,
            ids: Vec::with_capacity(rows),
            row_of: HashTable::with_capacity(rows),
            hasher: RandomState::new(),
            upper: Vec::with_capacity(rows * blocks_of(dimensions)),
            lower: Vec::with_capacity(rows * blocks_of(dimensions)),
            scales: Vec::with_capacity(rows),
        }
    }

    /// Restores rows from their stored parts. Fails with the reason if [`Rows::insert`] could not have made
    /// them.
    pub(super) fn restore(
        dimensions: usize,
        ids: Vec<Id>,
        scales: Vec<f32>,
        upper: Vec<Block>,
        lower: Vec<Block>,
    ) -> Result<Self, &'static str> {
        let is_whole = |plane: &[Block]| plane.len() == ids.len() * blocks_of(dimensions);
        if scales.len() != ids.len() || !is_whole(&upper) || !is_whole(&lower) {
            return Err("rows have parts of different lengths");
        }
        if u32::try_from(ids.len()).is_err() {
            return Err("there are too many rows");
        }
        let mut rows = Self { upper, lower, ..Self::new(dimensions) };
        rows.row_of.reserve(ids.len(), |_| unreachable!("nothing is there yet"));
        rows.ids.reserve_exact(ids.len());
        rows.scales.reserve_exact(ids.len());
        for (id, scale) in ids.into_iter().zip(scales) {
            if rows.row_of(id).is_some() {
                return Err("an id has two rows");
            }
            rows.push_id(id, scale);
        }
        if (0..).take(rows.len()).all(|row| rows.is_of_unit_length(row)) {
            Ok(rows)
        } else {
            Err("a vector is not of unit length")
        }
    }

    pub(super) fn dimensions(&self) -> usize {
        self.dimensions
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The id of each row.
    pub(super) fn ids(&self) -> &[Id] {
        &self.ids
    }

    pub(super) fn scales(&self) -> &[f32] {
        &self.scales
    }

    pub(super) fn upper(&self) -> &[Block] {
        &self.upper
    }

    pub(super) fn lower(&self) -> &[Block] {
        &self.lower
    }

    pub(super) fn row_of(&self, id: Id) -> Option<u32> {
        self.row_of.find(self.hasher.hash_one(id), |&row| self.ids[row as usize] == id).copied()
    }

    /// Adds the vector, replacing any that `id` had; returns whether it had one.
    pub(super) fn insert(&mut self, id: Id, vector: &Quantised) -> bool {
        debug_assert_eq!(vector.codes.len(), self.dimensions.div_ceil(BLOCK));
        let replaced = self.remove(id);
        for pair in vector.codes.chunks(2) {
            let (first, second) = (pair[0].0, pair.get(1).map_or([SHIFT; BLOCK], |block| block.0));
            let byte = |half: fn(u8, u8) -> u8| Block(std::array::from_fn(|at| half(first[at], second[at])));
            self.upper.push(byte(|first, second| first >> 4 | second & 0xF0));
            self.lower.push(byte(|first, second| first & 0x0F | second << 4));
        }
        self.push_id(id, vector.scale);
        replaced
    }

    /// Whether the row holds exactly `vector`.
    pub(super) fn holds(&self, row: u32, vector: &Quantised) -> bool {
        self.scales[row as usize].to_bits() == vector.scale.to_bits()
            && self.codes_of(row).eq(vector.codes.iter().copied())
    }

    /// Removes `id`; returns whether it was there. The last row moves into the removed row's place.
    pub(super) fn remove(&mut self, id: Id) -> bool {
        let hash = self.hasher.hash_one(id);
        let Ok(place) = self.row_of.find_entry(hash, |&row| self.ids[row as usize] == id) else {
            return false;
        };
        let (row, _) = place.remove();
        let last = row_number(self.len() - 1);
        if row != last {
            let hash = self.hasher.hash_one(self.ids[last as usize]);
            if let Some(moved) = self.row_of.find_mut(hash, |&row| row == last) {
                *moved = row;
            }
        }
        let (gap, blocks) = (row as usize, blocks_of(self.dimensions));
        self.ids.swap_remove(gap);
        self.scales.swap_remove(gap);
        for plane in [&mut self.upper, &mut self.lower] {
            plane.copy_within(last as usize * blocks.., gap * blocks);
            plane.truncate(last as usize * blocks);
        }
        true
    }

    /// Appends a row of another collection, whose id is not in this one.
    pub(super) fn push_from(&mut self, other: &Self, row: u32) {
        self.upper.extend_from_slice(&other.upper[other.blocks(row)]);
        self.lower.extend_from_slice(&other.lower[other.blocks(row)]);
        self.push_id(other.ids[row as usize], other.scales[row as usize]);
    }

    fn push_id(&mut self, id: Id, scale: f32) {
        debug_assert!(self.row_of(id).is_none(), "an id has one row");
        let row = row_number(self.ids.len());
        self.ids.push(id);
        self.scales.push(scale);
        let (hasher, ids) = (&self.hasher, &self.ids);
        self.row_of.insert_unique(hasher.hash_one(id), row, |&row| hasher.hash_one(ids[row as usize]));
    }

    /// The best `k` live rows with a similarity of at least `floor`, found by reading every row.
    pub(super) fn scan(
        &self,
        query: &Query,
        k: usize,
        floor: f32,
        is_live: impl Fn(u32) -> bool,
    ) -> Vec<Neighbor> {
        let mut nearest = Nearest::new(Self::candidates_for(k));
        let (mut upper, mut lower) = ([0; AT_ONCE], [0; AT_ONCE]);
        let mut row = 0;
        let blocks = blocks_of(self.dimensions);
        let excess = i32::from(SHIFT) * query.codes.sum();
        let planes = self.upper.chunks(AT_ONCE * blocks).zip(self.lower.chunks(AT_ONCE * blocks));
        for (upper_plane, lower_plane) in planes {
            query.codes.dot(upper_plane.chunks_exact(blocks), &mut upper);
            query.codes.dot(lower_plane.chunks_exact(blocks), &mut lower);
            for (upper, lower) in upper.iter().zip(&lower).take(upper_plane.len() / blocks) {
                let product = UPPER * upper + lower - excess;
                let candidate = Candidate::new(product as f32 * self.scales[row as usize], row);
                if nearest.would_keep(candidate) && is_live(row) {
                    nearest.offer(candidate);
                }
                row += 1;
            }
        }
        self.rank(query, nearest.into_vec(), k, floor)
    }

    /// How many candidates to pick by the query's codes so that the best `k` are among them.
    pub(super) fn candidates_for(k: usize) -> usize {
        if k == 0 { 0 } else { k.saturating_add(RERANKED) }
    }

    /// The best `k` of `candidates` with a similarity of at least `floor`, by the query's exact components.
    pub(super) fn rank(
        &self,
        query: &Query,
        mut candidates: Vec<Candidate>,
        k: usize,
        floor: f32,
    ) -> Vec<Neighbor> {
        let count = Self::candidates_for(k);
        if count < candidates.len() {
            candidates.select_nth_unstable_by(count, |a, b| b.cmp(a));
            candidates.truncate(count);
        }
        // A walk has not read the lower plane.
        for candidate in &candidates {
            prefetch(&self.lower[self.blocks(candidate.row())]);
        }
        let mut neighbors: Vec<Neighbor> = candidates
            .into_iter()
            .map(|candidate| Neighbor {
                id: self.ids[candidate.row() as usize],
                similarity: self.similarity(query, candidate.row()),
            })
            .filter(|neighbor| neighbor.similarity >= floor)
            .collect();
        neighbors.sort_unstable_by(super::nearest_first);
        neighbors.truncate(k);
        neighbors
    }

    /// Prefetches what [`Rows::candidates`] reads of a row.
    pub(super) fn prefetch(&self, row: u32) {
        prefetch(&self.upper[self.blocks(row)]);
        prefetch(std::slice::from_ref(&self.scales[row as usize]));
    }

    /// The nearness of each of the rows by the upper plane.
    pub(super) fn candidates<'a>(
        &'a self,
        codes: &Factor,
        rows: &'a [u32],
        products: &'a mut Vec<i32>,
    ) -> impl Iterator<Item = Candidate> + use<'a> {
        products.resize(rows.len(), 0);
        codes.dot(rows.iter().map(|&row| &self.upper[self.blocks(row)]), products);
        // Assumes the mean value for every lower half.
        let excess = (f32::from(SHIFT) - 7.5) * codes.sum() as f32;
        rows.iter().zip(&*products).map(move |(&row, &product)| {
            Candidate::new(((UPPER * product) as f32 - excess) * self.scales[row as usize], row)
        })
    }

    /// Prepares the rows for many walks.
    pub(super) fn prepare(&self) {
        in_large_pages(&self.upper);
        in_large_pages(&self.lower);
        in_large_pages(&self.scales);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        (self.upper.capacity() + self.lower.capacity()) * size_of::<Block>()
            + self.scales.capacity() * size_of::<f32>()
            + self.ids.capacity() * size_of::<Id>()
            + self.row_of.allocation_size()
    }

    /// Where a row's blocks lie in each plane.
    fn blocks(&self, row: u32) -> Range<usize> {
        let blocks = blocks_of(self.dimensions);
        row as usize * blocks..(row as usize + 1) * blocks
    }

    /// A row's shifted codes, [`BLOCK`] in each block.
    fn codes_of(&self, row: u32) -> impl Iterator<Item = Block> {
        let planes = self.upper[self.blocks(row)].iter().zip(&self.lower[self.blocks(row)]);
        let pairs = planes.flat_map(|(upper, lower)| {
            let code =
                |half: fn(u8, u8) -> u8| Block(std::array::from_fn(|at| half(upper.0[at], lower.0[at])));
            [code(|upper, lower| upper << 4 | lower & 0x0F), code(|upper, lower| upper & 0xF0 | lower >> 4)]
        });
        pairs.take(self.dimensions.div_ceil(BLOCK))
    }

    fn similarity(&self, query: &Query, row: u32) -> f32 {
        (sum_of_products(query.exact, self.codes_of(row)) * self.scales[row as usize]).clamp(-1.0, 1.0)
    }

    /// Whether the row's codes and scale could be those of a vector of length one.
    fn is_of_unit_length(&self, row: u32) -> bool {
        let codes: Vec<Block> = self.codes_of(row).collect();
        let scale = self.scales[row as usize];
        let square = dot_of_rows(&codes, &codes) as f32 * scale * scale;
        // The length is the reciprocal of the cosine between a vector and its codes. With the most components
        // and an error of half a step in each, the angle between them is up to 20 degrees.
        scale > 0.0 && (0.99..1.14).contains(&square)
    }
}

/// The whole codes of rows, unpacked while the rows are compared with each other.
pub(super) struct Unpacked<'a> {
    codes: Vec<Block>,
    scales: &'a [f32],
    blocks: usize,
}

impl<'a> Unpacked<'a> {
    pub(super) fn new(rows: &'a Rows) -> Self {
        let blocks = rows.dimensions.div_ceil(BLOCK);
        let mut codes = Vec::with_capacity(rows.len() * blocks);
        (0..row_number(rows.len())).for_each(|row| codes.extend(rows.codes_of(row)));
        Self { codes, scales: &rows.scales, blocks }
    }

    /// The cosine similarity of two rows.
    pub(super) fn similarity(&self, a: u32, b: u32) -> f32 {
        dot_of_rows(self.codes(a), self.codes(b)) as f32 * self.scales[a as usize] * self.scales[b as usize]
    }

    /// A row in the form that others are compared with.
    pub(super) fn factor(&self, row: u32) -> Factor {
        Factor::new(self.codes(row).iter().copied())
    }

    fn codes(&self, row: u32) -> &[Block] {
        &self.codes[row as usize * self.blocks..][..self.blocks]
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

/// How many blocks of a plane hold the halves of a row.
pub(super) fn blocks_of(dimensions: usize) -> usize {
    dimensions.div_ceil(2 * BLOCK)
}

#[expect(clippy::cast_possible_truncation, reason = "2^32 rows would take more than 100 GB")]
fn row_number(row: usize) -> u32 {
    row as u32
}

/// The shifted codes of a vector, [`BLOCK`] in each block.
fn codes_for(components: &[f32]) -> impl Iterator<Item = Block> {
    // An embedding is never all zero, so this is positive.
    let greatest = components.iter().fold(0.0_f32, |greatest, component| greatest.max(component.abs()));
    components.chunks(BLOCK).map(move |components| {
        let mut block = Block([SHIFT; BLOCK]);
        for (code, component) in block.0.iter_mut().zip(components) {
            // Divides first: the reciprocal of a tiny greatest component would be infinite.
            *code = shifted(component / greatest * GREATEST);
        }
        block
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "is within 1..=255")]
fn shifted(steps: f32) -> u8 {
    // Rounded by hand: before SSE4.1, `round` is a call.
    ((steps + 0.5_f32.copysign(steps)) as i32 + i32::from(SHIFT)) as u8
}

/// The product of components and codes, in independent sums so that the compiler may use as many lanes.
fn sum_of_products(components: &[f32], codes: impl Iterator<Item = Block>) -> f32 {
    const LANES: usize = 16;
    let product = |component: f32, code: u8| component * f32::from(i16::from(code) - i16::from(SHIFT));
    let (mut sums, mut rest) = ([0.0; LANES], 0.0);
    for (components, block) in components.chunks(BLOCK).zip(codes) {
        let (whole, last) = components.as_chunks::<LANES>();
        for (components, codes) in whole.iter().zip(block.0.as_chunks::<LANES>().0) {
            for lane in 0..LANES {
                sums[lane] += product(components[lane], codes[lane]);
            }
        }
        let codes = &block.0[whole.len() * LANES..];
        rest += last.iter().zip(codes).map(|(&component, &code)| product(component, code)).sum::<f32>();
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: u8) -> Id {
        [number; 16]
    }

    proptest! {
        #[test]
        fn the_reported_similarity_is_nearly_exact(
            (a, b) in (1_usize..400).prop_flat_map(|len| {
                let components = || prop::collection::vec(-1.0_f32..1.0, len);
                (components(), components())
            }),
        ) {
            let (Ok(a), Ok(b)) = (Embedding::new(&a), Embedding::new(&b)) else { return Ok(()) };
            let mut rows = Rows::new(a.dimensions());
            rows.insert(id(1), &Quantised::new(&a));
            let found = rows.scan(&Query::new(&b), 1, -1.0, |_| true);
            prop_assert!((found[0].similarity - a.similarity(&b)).abs() < crate::ERROR);
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
        // The value of a code step is chosen so that a vector has a similarity of one to itself.
        assert!((found[0].similarity - 1.0).abs() < 1e-6);
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
