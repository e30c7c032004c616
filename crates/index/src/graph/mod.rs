//! The links of an HNSW graph over rows, frozen into flat arrays.
//!
//! `hnsw_rs` keeps every link in its own allocation behind locks, and a search spends most of its time there;
//! the frozen form is several times as fast and takes a seventh of the memory. So `hnsw_rs` links only a
//! sample of the rows. The other rows are linked to the frozen graph, [in batches](build), by
//! [walks](linking) over it.
//!
//! Guarantees that every row can be found: the rows that no walk from the entry row reaches are listed when
//! the graph is built, and every search reads them. So a search wide enough to hold all rows is exact.
//!
//! A graph never changes. A walk passes through rows that have died since, but does not return them.
//! [`super::segmented`] decides when to build a new graph from the live rows and the new ones, with the links
//! of this graph.

mod build;
mod linking;

use std::cell::Cell;
use std::collections::BinaryHeap;

pub(super) use self::build::{SCATTERING, Staying};
use super::dot::{Factor, prefetch};
use super::memory::in_large_pages;
use super::nearest::{Candidate, Nearest};
use super::rows::{Query, Rows};

/// Links per row above the base layer; the base layer has twice as many.
pub(super) const LINKS: usize = 16;
pub(super) const BASE_LINKS: usize = 2 * LINKS;
/// While all rows found are below its floor, a walk follows this many of the nearest.
const LEADING: usize = 32;
/// The most layers above the base: as many as `hnsw_rs` makes.
const MAX_LAYERS: usize = 16;
/// Fills the places of absent links.
const NO_ROW: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(super) struct Graph {
    /// [`BASE_LINKS`] places per row, the unused ones last.
    base: Vec<u32>,
    /// The layers above the base, lowest first.
    upper: Vec<Layer>,
    /// A row of the highest layer.
    entry: u32,
    /// Rows that cannot be reached from the entry row.
    unreached: Vec<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Layer {
    /// The rows of the layer, ascending.
    pub(super) rows: Vec<u32>,
    /// [`LINKS`] places per row of the layer.
    pub(super) links: Vec<u32>,
}

impl Graph {
    /// Restores a graph from its stored parts, with as many rows as `base` has links for. Fails with the
    /// reason if a search could follow a link out of the graph.
    pub(super) fn restore(base: Vec<u32>, upper: Vec<Layer>, entry: u32) -> Result<Self, &'static str> {
        let len = base.len() / BASE_LINKS;
        let is_row = |row: u32| (row as usize) < len;
        let lead_to_rows = |links: &[u32]| links.iter().all(|&row| is_row(row) || row == NO_ROW);
        if !is_row(entry) {
            return Err("a graph begins at no row");
        }
        if upper.len() > MAX_LAYERS {
            return Err("a graph has too many layers");
        }
        // The rows are ascending, so the last is the greatest.
        if !upper.iter().all(|layer| {
            layer.links.len() == layer.rows.len() * LINKS
                && layer.rows.is_sorted_by(|a, b| a < b)
                && layer.rows.last().is_none_or(|&row| is_row(row))
        }) {
            return Err("a layer of a graph has no order");
        }
        if !lead_to_rows(&base) || !upper.iter().all(|layer| lead_to_rows(&layer.links)) {
            return Err("a link leads to no row");
        }
        let mut graph = Self { base, upper, entry, unreached: Vec::new() };
        graph.unreached = graph.find_unreached();
        Ok(graph)
    }

    pub(super) fn base(&self) -> &[u32] {
        &self.base
    }

    pub(super) fn upper(&self) -> &[Layer] {
        &self.upper
    }

    pub(super) fn entry(&self) -> u32 {
        self.entry
    }

    fn find_unreached(&self) -> Vec<u32> {
        let len = self.base.len() / BASE_LINKS;
        let mut reached = RowSet::default();
        reached.reset(len);
        reached.insert(self.entry);
        let mut open = vec![self.entry];
        while let Some(row) = open.pop() {
            open.extend(self.links(row).filter(|&linked| reached.insert(linked)));
        }
        (0..row_number(len)).filter(|&row| reached.insert(row)).collect()
    }

    /// The nearest live rows by the upper plane, in no particular order: at least `ef`, or all that there
    /// are. Does not search for rows below `floor`: of these it returns only the ones that it meets while it
    /// looks for nearer ones.
    pub(super) fn search(
        &self,
        rows: &Rows,
        query: &Query,
        ef: usize,
        floor: f32,
        is_live: impl Fn(u32) -> bool,
    ) -> Vec<Candidate> {
        let mut walk = WALK.take();
        walk.begin(rows.len(), ef, floor);
        // Starts from the entry row too, and not only from where the layers above lead: reachability was
        // determined from the entry row.
        walk.open(rows, [self.descend(rows, query.codes()), self.entry]);
        self.visit(&mut walk, rows, query.codes(), &is_live);
        while let Some(nearest) = walk.next() {
            walk.open(rows, self.links(nearest.row()));
            self.visit(&mut walk, rows, query.codes(), &is_live);
        }
        walk.open(rows, self.unreached.iter().copied());
        self.visit(&mut walk, rows, query.codes(), &is_live);
        let found = walk.best.found.iter().collect();
        WALK.set(walk);
        found
    }

    /// Follows the layers above the base to a row near the query.
    fn descend(&self, rows: &Rows, codes: &Factor) -> u32 {
        let mut products = Vec::with_capacity(LINKS);
        let mut nearest = |linked: &[u32]| rows.candidates(codes, linked, &mut products).max();
        let mut best = nearest(&[self.entry]).unwrap_or_default();
        let mut linked = Vec::with_capacity(LINKS);
        for layer in self.upper.iter().rev() {
            loop {
                linked.clear();
                linked.extend(layer.links(best.row()).inspect(|&row| rows.prefetch(row)));
                let Some(nearer) = nearest(&linked).filter(|nearer| *nearer > best) else { break };
                best = nearer;
            }
        }
        best.row()
    }

    /// Computes how near the opened rows are.
    fn visit(&self, walk: &mut Walk, rows: &Rows, codes: &Factor, is_live: impl Fn(u32) -> bool) {
        for candidate in rows.candidates(codes, &walk.unseen, &mut walk.products) {
            if walk.best.would_follow(candidate) {
                // The row's links may be followed soon.
                prefetch(self.places_of(candidate.row()));
                walk.frontier.push(candidate);
                if is_live(candidate.row()) {
                    walk.best.offer(candidate);
                }
            }
        }
        walk.unseen.clear();
    }

    fn places_of(&self, row: u32) -> &[u32] {
        &self.base[row as usize * BASE_LINKS..][..BASE_LINKS]
    }

    fn links(&self, row: u32) -> impl Iterator<Item = u32> {
        present(self.places_of(row))
    }

    /// Prepares the graph for many walks.
    pub(super) fn prepare(&self) {
        in_large_pages(&self.base);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let upper: usize =
            self.upper.iter().map(|layer| layer.rows.capacity() + layer.links.capacity()).sum();
        (self.base.capacity() + upper + self.unreached.capacity()) * size_of::<u32>()
    }
}

impl Layer {
    /// Empty for a row outside this layer: `hnsw_rs` may link to one from above.
    fn links(&self, row: u32) -> impl Iterator<Item = u32> {
        let links = match self.rows.binary_search(&row) {
            Ok(place) => &self.links[place * LINKS..][..LINKS],
            Err(_) => &[],
        };
        present(links)
    }
}

thread_local! {
    /// The memory of a thread's last search, which its next one reuses.
    static WALK: Cell<Walk> = Cell::default();
}

/// What a search has met.
#[derive(Default)]
struct Walk {
    seen: RowSet,
    /// Met, but not looked at yet.
    unseen: Vec<u32>,
    /// Looked at, but their links are not followed yet.
    frontier: BinaryHeap<Candidate>,
    best: Best,
    products: Vec<i32>,
}

/// The nearest live rows that a search has met.
#[derive(Default)]
struct Best {
    found: Nearest,
    /// Rows below it do not count ...
    floor: Candidate,
    /// ... but the nearest few of them may lead to some that do.
    leading: Nearest,
}

impl Walk {
    fn begin(&mut self, rows: usize, ef: usize, floor: f32) {
        self.seen.reset(rows);
        self.frontier.clear();
        self.best.reset(ef, floor);
    }

    /// The nearest row whose links are not followed yet, if following them may improve the result.
    fn next(&mut self) -> Option<Candidate> {
        self.frontier.pop().filter(|&nearest| self.best.would_follow(nearest))
    }

    /// Adds the rows of `met` that were not seen before to those to look at next. Prefetches their codes at
    /// once, so that the waits for memory overlap.
    fn open(&mut self, rows: &Rows, met: impl IntoIterator<Item = u32>) {
        for row in met {
            if self.seen.insert(row) {
                rows.prefetch(row);
                self.unseen.push(row);
            }
        }
    }
}

impl Best {
    fn reset(&mut self, ef: usize, floor: f32) {
        self.found.reset(ef);
        self.floor = Candidate::new(floor, NO_ROW);
        self.leading.reset(if floor == f32::NEG_INFINITY { 0 } else { LEADING });
    }

    fn would_follow(&self, candidate: Candidate) -> bool {
        self.found.would_keep(candidate) && (candidate > self.floor || self.leading.would_keep(candidate))
    }

    fn offer(&mut self, candidate: Candidate) {
        self.found.offer(candidate);
        self.leading.offer(candidate);
    }
}

fn present(links: &[u32]) -> impl Iterator<Item = u32> {
    links.iter().copied().take_while(|&row| row != NO_ROW)
}

#[expect(clippy::cast_possible_truncation, reason = "came from a row, which is a u32")]
fn row_number(row: usize) -> u32 {
    row as u32
}

/// Row numbers, one bit each.
#[derive(Default)]
struct RowSet {
    words: Vec<u64>,
    /// Which words are not zero.
    used: Vec<u32>,
}

impl RowSet {
    /// Clears the set, in time proportional to the rows in it, and makes it large enough for `rows`.
    fn reset(&mut self, rows: usize) {
        for word in self.used.drain(..) {
            self.words[word as usize] = 0;
        }
        let words = rows.div_ceil(64);
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
    }

    /// Adds the row; returns whether it was missing before.
    fn insert(&mut self, row: u32) -> bool {
        let (word, bit) = (&mut self.words[row as usize / 64], 1 << (row % 64));
        if *word == 0 {
            self.used.push(row / 64);
        }
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::embedding::Embedding;
    use crate::rows::Quantised;

    const ANY: f32 = f32::NEG_INFINITY;

    fn rows(vectors: impl IntoIterator<Item = [f32; 4]>) -> Rows {
        let mut rows = Rows::new(4);
        for (number, vector) in (0_u128..).zip(vectors) {
            let vector = Embedding::new(&vector).unwrap();
            rows.insert(number.to_be_bytes(), &Quantised::new(&vector));
        }
        rows
    }

    fn built(rows: &Rows, threads: usize, stop: &AtomicBool) -> Option<Graph> {
        Graph::default().extended(&Staying::default(), rows, threads, stop)
    }

    fn build(rows: &Rows) -> Graph {
        built(rows, 1, &AtomicBool::new(false)).unwrap()
    }

    /// Points on a spiral, all different.
    fn spiral(len: u16) -> Rows {
        rows((0..len).map(|n| {
            let angle = f32::from(n) * 0.1;
            [angle.cos(), angle.sin(), 0.3, f32::from(n) / f32::from(len)]
        }))
    }

    #[test]
    fn a_search_as_wide_as_the_graph_returns_every_row() {
        for len in [1, 2, 33, 700] {
            let rows = spiral(len);
            let target = Embedding::new(&[0.0, 1.0, 0.3, 0.5]).unwrap();
            let found = build(&rows).search(&rows, &Query::new(&target), usize::from(len), ANY, |_| true);
            assert_eq!(found.len(), usize::from(len));
        }
    }

    /// `hnsw_rs` links a vector only to its duplicates if there are many. So a group of duplicates has no
    /// link that leads out; once its members have displaced the links that led in, it has none that leads in
    /// either.
    #[test]
    fn crowds_of_equal_vectors_hide_nothing() {
        let corners = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.1]];
        let rows = rows((0..600).map(|n| corners[n % 3]));
        let graph = build(&rows);
        for corner in corners {
            let target = Embedding::new(&corner).unwrap();
            for live in 0..3 {
                let found = graph.search(&rows, &Query::new(&target), 600, ANY, |row| row % 3 == live);
                assert_eq!(found.len(), 200, "also where all of the nearest crowd are dead");
            }
        }
    }

    /// The layers above may lead to a row with no links out.
    #[test]
    fn a_dead_end_below_the_upper_layers_hides_nothing() {
        let rows = rows([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);
        let mut base = vec![NO_ROW; 3 * BASE_LINKS];
        base[..2].copy_from_slice(&[1, 2]);
        let leading_to_one = std::array::from_fn(|place| if place == 0 { 1 } else { NO_ROW });
        let upper = vec![Layer::new(vec![(0, leading_to_one), (1, [NO_ROW; LINKS])])];
        let graph = Graph::restore(base, upper, 0).unwrap();
        let target = Embedding::new(&[0.0, 1.0, 0.0, 0.0]).unwrap();
        assert_eq!(graph.descend(&rows, Query::new(&target).codes()), 1);
        assert_eq!(graph.search(&rows, &Query::new(&target), 3, ANY, |_| true).len(), 3);
    }

    #[test]
    fn a_walk_below_its_floor_is_short_and_one_above_finds_what_is_there() {
        let rows = spiral(2_000);
        let graph = build(&rows);
        let target = Embedding::new(&[0.0, 1.0, 0.3, 0.5]).unwrap();
        let search = |floor| {
            let mut found = graph.search(&rows, &Query::new(&target), 200, floor, |_| true);
            found.sort_by(|a, b| b.cmp(a));
            found
        };
        let all = search(ANY);
        assert_eq!(search(all[9].similarity())[..10], all[..10]);
        assert!(search(f32::INFINITY).len() < 100);
    }

    #[test]
    fn a_set_stop_ends_the_build() {
        assert!(built(&spiral(50), 2, &AtomicBool::new(true)).is_none());
        assert!(built(&rows([]), 1, &AtomicBool::new(false)).is_none());
    }

    #[test]
    fn several_threads_build_a_graph_as_complete() {
        let rows = spiral(500);
        let graph = built(&rows, 3, &AtomicBool::new(false)).unwrap();
        let target = Embedding::new(&[1.0, 0.0, 0.3, 0.0]).unwrap();
        assert_eq!(graph.search(&rows, &Query::new(&target), 500, ANY, |_| true).len(), 500);
    }
}
