//! Building a graph, and extending an older one.
//!
//! `hnsw_rs` links a sample of the rows (Malkov and Yashunin 2016, with its own pruning). Its upper layers,
//! frozen into flat arrays, become the layers above the base, and its base links become the first links of
//! the base layer. All other rows are [linked](super::linking) in batches by walks over the frozen graph.
//! That takes a fraction of the time, because `hnsw_rs` keeps every link in its own allocation behind locks.
//!
//! Rows that are added to a graph are linked in the same way, so the cost of growth depends only on the new
//! rows. When rows are removed, links to them are replaced by links to their neighbours (the consolidation of
//! `FreshDiskANN`, Singh et al. 2021).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hnsw_rs::prelude::{Distance, Hnsw};

use super::linking::{for_each_row, keep};
use super::{BASE_LINKS, Graph, LINKS, Layer, MAX_LAYERS, NO_ROW, row_number};
use crate::rows::{Rows, Unpacked};

/// When the layers above the base are built, about one of this many rows is in them ...
const SAMPLED: u32 = 16;
/// ... and they are built again when fewer than one of this many rows is in them, because the graph has grown
/// or they have lost rows.
const SPARSE: usize = 32;
/// How many candidates for links `hnsw_rs` holds while it inserts a row.
const EF_CONSTRUCTION: usize = 80;
/// Consecutive numbers multiplied by it are spread evenly over all of 32 bits (the golden ratio).
pub(crate) const SCATTERING: u32 = 0x9E37_79B1;
/// A batch has at most about one row for every this many new rows before it. Rows of one batch do not find
/// each other, and rows that arrive together are often similar.
const BATCH: usize = 8;

/// The rows of a graph that stay when the graph is extended. They become the first rows of the new graph, in
/// the same order.
#[derive(Debug, Default)]
pub(crate) struct Staying {
    /// The new row of each old one; [`NO_ROW`] for a row that is removed.
    places: Vec<u32>,
    /// The old row of each new one.
    rows: Vec<u32>,
}

impl Staying {
    /// Of `len` old rows.
    pub(crate) fn new(len: usize, stays: impl Fn(u32) -> bool) -> Self {
        let rows: Vec<u32> = (0..row_number(len)).filter(|&row| stays(row)).collect();
        let mut places = vec![NO_ROW; len];
        for (place, &row) in (0..).zip(&rows) {
            places[row as usize] = place;
        }
        Self { places, rows }
    }

    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }

    fn place(&self, row: u32) -> Option<u32> {
        Some(self.places[row as usize]).filter(|&place| place != NO_ROW)
    }
}

impl Graph {
    /// Links `rows` with `threads` threads. The first rows are the `staying` rows of this graph, which keep
    /// their links. `None` if there are no rows or if `stop` was set; a stop takes effect within the time of
    /// a few insertions.
    pub(crate) fn extended(
        &self,
        staying: &Staying,
        rows: &Rows,
        threads: usize,
        stop: &AtomicBool,
    ) -> Option<Self> {
        if rows.len() == 0 {
            return None;
        }
        let (whole, stayed) = (Unpacked::new(rows), staying.rows.len());
        let upper: Vec<Layer> = self.upper.iter().map(|layer| layer.carried(staying)).collect();
        let mut graph = if upper.first().is_none_or(|layer| layer.rows.len() * SPARSE < rows.len()) {
            Self::of_sample(&whole, rows.len(), threads, stop)
        } else {
            Self::new(vec![NO_ROW; rows.len() * BASE_LINKS], upper)
        };
        let places = &mut graph.base[..stayed * BASE_LINKS];
        for_each_row(places, threads, stop, Vec::new, |linked, row, links| {
            self.carry(staying, row, linked);
            keep(&whole, row, linked, links);
        });
        let mut next = stayed;
        while next < rows.len() && !stop.load(Ordering::Relaxed) {
            let end = rows.len().min(next + 1 + (next - stayed) / BATCH);
            graph.link(row_number(next)..row_number(end), rows, &whole, threads, stop);
            next = end;
        }
        graph.unreached = graph.find_unreached();
        (!stop.load(Ordering::Relaxed)).then_some(graph)
    }

    fn new(base: Vec<u32>, upper: Vec<Layer>) -> Self {
        let entry = upper.iter().rev().find_map(|layer| layer.rows.first()).copied().unwrap_or(0);
        Self { base, upper, entry, unreached: Vec::new() }
    }

    /// A graph of `len` rows in which `hnsw_rs` has linked only a sample.
    fn of_sample(whole: &Unpacked, len: usize, threads: usize, stop: &AtomicBool) -> Self {
        // The sample is spread evenly and includes the first row.
        let is_sampled = |row: &u32| row.wrapping_mul(SCATTERING) <= u32::MAX / SAMPLED;
        let sample: Vec<u32> = (0..row_number(len)).filter(is_sampled).collect();
        let built = Hnsw::new(LINKS, sample.len(), MAX_LAYERS, EF_CONSTRUCTION, RowDistance(whole));
        let insert = |row: u32| built.insert((&[row], row as usize));
        // The first is inserted alone, because hnsw_rs has no entry row to start from until that insertion
        // has ended.
        insert(sample[0]);
        let next = AtomicUsize::new(1);
        let run = || {
            while !stop.load(Ordering::Relaxed) {
                let Some(&row) = sample.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                insert(row);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(run);
            }
            run();
        });
        Self::freeze(&built, len)
    }

    fn freeze(built: &Hnsw<u32, RowDistance>, len: usize) -> Self {
        let mut base = vec![NO_ROW; len * BASE_LINKS];
        let mut upper: Vec<Vec<(u32, [u32; LINKS])>> = Vec::new();
        for level in 0..MAX_LAYERS {
            // hnsw_rs lists a point once, under its highest layer.
            for point in built.get_point_indexation().get_layer_iterator(level) {
                let row = row_number(point.get_origin_id());
                for (layer, neighbours) in point.get_neighborhood_id().iter().take(level + 1).enumerate() {
                    if layer == 0 {
                        copy_links(&mut base[row as usize * BASE_LINKS..][..BASE_LINKS], neighbours);
                    }
                    let mut links = [NO_ROW; LINKS];
                    copy_links(&mut links, neighbours);
                    if layer == upper.len() {
                        upper.push(Vec::new());
                    }
                    upper[layer].push((row, links));
                }
            }
        }
        Self::new(base, upper.into_iter().map(Layer::new).collect())
    }

    /// The links of a row that stays: a link to a removed row is replaced by the links of that row.
    fn carry(&self, staying: &Staying, row: u32, linked: &mut Vec<u32>) {
        linked.clear();
        for other in self.links(staying.rows[row as usize]) {
            match staying.place(other) {
                Some(place) => linked.push(place),
                None => linked.extend(self.links(other).filter_map(|other| staying.place(other))),
            }
        }
    }
}

impl Layer {
    pub(super) fn new(mut linked: Vec<(u32, [u32; LINKS])>) -> Self {
        linked.sort_unstable_by_key(|&(row, _)| row);
        let (rows, links): (Vec<_>, Vec<_>) = linked.into_iter().unzip();
        Self { rows, links: links.into_flattened() }
    }

    /// The layer without the removed rows.
    fn carried(&self, staying: &Staying) -> Self {
        let linked = self.rows.iter().filter_map(|&row| {
            let mut links = [NO_ROW; LINKS];
            let stay = self.links(row).filter_map(|other| staying.place(other));
            links.iter_mut().zip(stay).for_each(|(place, other)| *place = other);
            Some((staying.place(row)?, links))
        });
        Self::new(linked.collect())
    }
}

/// `hnsw_rs` sees only the row number of a vector; the vector stays where it is.
struct RowDistance<'a>(&'a Unpacked<'a>);

impl Distance<u32> for RowDistance<'_> {
    fn eval(&self, a: &[u32], b: &[u32]) -> f32 {
        // hnsw_rs panics on a negative distance, and rounding can raise a similarity above one.
        (1.0 - self.0.similarity(a[0], b[0])).max(0.0)
    }
}

fn copy_links(places: &mut [u32], neighbours: &[hnsw_rs::hnsw::Neighbour]) {
    for (place, neighbour) in places.iter_mut().zip(neighbours) {
        *place = row_number(neighbour.d_id);
    }
}
