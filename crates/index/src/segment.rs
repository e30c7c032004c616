//! A part of an index that takes no more insertions.
//!
//! Its rows and links never change, so it is searched without a lock. A removal only marks the row as dead,
//! and the mark is cleared if the same entry comes back unchanged. A segment either has a graph, or still
//! waits for one and is scanned.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::graph::{Graph, SCATTERING, Staying};
use super::rows::{Quantised, Query, Rows};
use super::{Id, Neighbor};

/// The number of rows in a graph up to which the `ef` of a search suffices; above it, the width grows with
/// the square root of the number of rows.
const EF_ROWS: f64 = 131_072.0;

/// A graph with a larger share of dead rows is not extended: too few of its links would remain useful.
const MAX_DEAD_SHARE: f64 = 0.5;

#[derive(Debug)]
pub(super) struct Segment {
    rows: Rows,
    graph: Option<Graph>,
    /// One bit per row. Relaxed accesses suffice: the index's lock orders a change before every search that
    /// begins after it.
    dead: Vec<AtomicU64>,
    live: AtomicUsize,
}

/// A segment as it was at one moment; it can be read without the index's lock while removals go on.
#[derive(Debug)]
pub(super) struct Captured {
    segment: Arc<Segment>,
    dead: Vec<u64>,
}

/// How many candidates a search holds in a graph of `rows` rows. At the same width, a search finds the
/// nearest row less often in a larger graph.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "neither is negative")]
fn width(ef: usize, rows: usize) -> usize {
    (ef as f64 * (rows as f64 / EF_ROWS).sqrt().max(1.0)) as usize
}

impl Captured {
    pub(super) fn rows(&self) -> &Rows {
        &self.segment.rows
    }

    pub(super) fn graph(&self) -> Option<&Graph> {
        self.segment.graph.as_ref()
    }

    /// One bit per row.
    pub(super) fn dead(&self) -> &[u64] {
        &self.dead
    }

    pub(super) fn live_ids(&self) -> impl Iterator<Item = Id> {
        let ids = self.segment.rows.ids().iter().enumerate();
        ids.filter(|&(row, _)| self.dead[row / 64] & 1 << (row % 64) == 0).map(|(_, &id)| id)
    }
}

impl Segment {
    pub(super) fn new(rows: Rows, graph: Option<Graph>) -> Self {
        let dead = (0..rows.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { dead, live: AtomicUsize::new(rows.len()), rows, graph }.prepared()
    }

    /// Restores a segment from its stored parts, with one bit of `dead` per row. Fails with the reason if the
    /// parts do not belong to one segment.
    pub(super) fn restore(rows: Rows, graph: Option<Graph>, dead: Vec<u64>) -> Result<Self, &'static str> {
        if rows.len() == 0 || dead.len() != rows.len().div_ceil(64) {
            return Err("a segment has not as many marks as rows");
        }
        let used = rows.len() % 64;
        if used > 0 && dead.last().is_some_and(|word| word >> used != 0) {
            return Err("a row that is not there is marked as dead");
        }
        let count: usize = dead.iter().map(|word| word.count_ones() as usize).sum();
        let dead = dead.into_iter().map(AtomicU64::new).collect();
        Ok(Self { dead, live: AtomicUsize::new(rows.len() - count), rows, graph }.prepared())
    }

    /// Prepares the segment for many searches.
    fn prepared(self) -> Self {
        if let Some(graph) = &self.graph {
            self.rows.prepare();
            graph.prepare();
        }
        self
    }

    /// Merges the live rows of `segments`, which share no id, into one segment with a graph: the largest
    /// graph of the segments, with all other rows linked to it. `None` if there are no live rows or if `stop`
    /// was set.
    pub(super) fn merge(segments: &[Arc<Self>], build_threads: usize, stop: &AtomicBool) -> Option<Self> {
        let len = segments.iter().map(|segment| segment.live()).sum();
        let mut rows = Rows::with_capacity(segments.first()?.rows.dimensions(), len);
        let has_lasted = |segment: &&Arc<Self>| segment.has_graph() && segment.dead_share() < MAX_DEAD_SHARE;
        let largest = segments.iter().filter(has_lasted).max_by_key(|segment| segment.live());
        let mut staying = Staying::default();
        if let Some(largest) = largest {
            staying = Staying::new(largest.rows.len(), |row| largest.is_live(row));
            for &row in staying.rows() {
                rows.push_from(&largest.rows, row);
            }
        }
        let others = segments.iter().filter(|segment| !largest.is_some_and(|it| Arc::ptr_eq(it, segment)));
        let mut coming: Vec<_> =
            others.flat_map(|segment| segment.live_rows().map(move |row| (&segment.rows, row))).collect();
        // Scattered, because rows that are linked in the same batch do not find each other, and rows that
        // arrived together are often similar.
        coming.sort_unstable_by_key(|&(_, row)| row.wrapping_mul(SCATTERING));
        for (others, row) in coming {
            rows.push_from(others, row);
        }
        let (none, graph) = (Graph::default(), largest.and_then(|segment| segment.graph.as_ref()));
        let graph = graph.unwrap_or(&none).extended(&staying, &rows, build_threads, stop)?;
        Some(Self::new(rows, Some(graph)))
    }

    /// The best `k` rows with a similarity of at least `floor`. Skips rows that cannot be among the nearest
    /// `ef` of all segments. `reach` carries that bound from one segment to the next: each search may raise
    /// it, and it starts at negative infinity.
    pub(super) fn search(
        &self,
        query: &Query,
        k: usize,
        floor: f32,
        ef: usize,
        reach: &mut f32,
    ) -> Vec<Neighbor> {
        let Some(graph) = &self.graph else {
            return self.rows.scan(query, k, floor, |row| self.is_live(row));
        };
        let ef = if k == 0 { 0 } else { width(ef, self.rows.len()).max(Rows::candidates_for(k)) };
        let candidates = graph.search(&self.rows, query, ef, *reach, |row| self.is_live(row));
        // Fewer than `ef` are all that this segment has above the bound so far, so they do not raise it.
        if candidates.len() >= ef
            && let Some(farthest) = candidates.iter().min()
        {
            *reach = reach.max(farthest.similarity());
        }
        self.rows.rank(query, candidates, k, floor)
    }

    /// Marks `id` as dead; returns whether it was live here.
    pub(super) fn remove(&self, id: Id) -> bool {
        let Some(row) = self.rows.row_of(id) else { return false };
        let bit = 1 << (row % 64);
        let was_live = self.dead[row as usize / 64].fetch_or(bit, Ordering::Relaxed) & bit == 0;
        if was_live {
            self.live.fetch_sub(1, Ordering::Relaxed);
        }
        was_live
    }

    /// Brings `id` back to life if it is dead here and its row holds exactly `vector`; returns whether it
    /// did. Must not be called while the segment is being merged, because the merge may have skipped the row
    /// already.
    pub(super) fn revive(&self, id: Id, vector: &Quantised) -> bool {
        let Some(row) = self.rows.row_of(id).filter(|&row| self.rows.holds(row, vector)) else {
            return false;
        };
        let bit = 1 << (row % 64);
        let was_dead = self.dead[row as usize / 64].fetch_and(!bit, Ordering::Relaxed) & bit != 0;
        if was_dead {
            self.live.fetch_add(1, Ordering::Relaxed);
        }
        was_dead
    }

    pub(super) fn contains(&self, id: Id) -> bool {
        self.rows.row_of(id).is_some_and(|row| self.is_live(row))
    }

    /// Whether `id` is live here with exactly `vector`.
    pub(super) fn holds(&self, id: Id, vector: &Quantised) -> bool {
        self.rows.row_of(id).is_some_and(|row| self.is_live(row) && self.rows.holds(row, vector))
    }

    /// A copy of this segment with its current dead marks.
    pub(super) fn capture(self: &Arc<Self>) -> Captured {
        let dead = self.dead.iter().map(|word| word.load(Ordering::Relaxed)).collect();
        Captured { segment: Arc::clone(self), dead }
    }

    pub(super) fn has_graph(&self) -> bool {
        self.graph.is_some()
    }

    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    pub(super) fn live_ids(&self) -> impl Iterator<Item = Id> {
        self.live_rows().map(|row| self.rows.ids()[row as usize])
    }

    fn live_rows(&self) -> impl Iterator<Item = u32> {
        (0_u32..).take(self.rows.len()).filter(|&row| self.is_live(row))
    }

    pub(super) fn dead_share(&self) -> f64 {
        1.0 - self.live() as f64 / self.rows.len() as f64
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let graph = self.graph.as_ref().map_or(0, Graph::memory_bytes);
        self.rows.memory_bytes() + graph + self.dead.capacity() * size_of::<AtomicU64>()
    }

    fn is_live(&self, row: u32) -> bool {
        self.dead[row as usize / 64].load(Ordering::Relaxed) & 1 << (row % 64) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::width;

    #[test]
    fn a_search_is_wider_in_a_large_graph() {
        let widths = [1_000, 131_072, 4 * 131_072, 1_000_000].map(|rows| width(72, rows));
        assert_eq!(widths, [72, 72, 144, 198]);
        assert_eq!(width(usize::MAX, 1), usize::MAX);
    }
}
