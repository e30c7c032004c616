//! The index that grows: an exact scan for the newest entries, graphs for the rest.
//!
//! Insertions go to the *newest* rows, which every search scans. When the newest rows reach the scan limit
//! (or a lower limit if there is a graph already), they are *sealed* into a segment. A background thread
//! links them, together with all smaller segments, into the largest HNSW graph that is not too much larger.
//! So there are few graphs, each much larger than all smaller ones together, and nearly every entry is linked
//! once.
//!
//! Removals mark rows of a segment as dead. When a graph takes new entries, or too large a share of it is
//! dead, the dead rows are left out, and links to them are replaced by links to their neighbours. A search
//! walks the largest graph first, and walks the others only where they can add to the result. An entry that
//! comes back unchanged gets its old row again.
//!
//! # Guarantees
//!
//! - A live entry is live in exactly one place: in the newest rows or in one segment.
//! - A search reads the segments that existed when it began, then the newest rows, and begins again if
//!   segments were exchanged meanwhile. Entries move only from the newest rows into a segment, or from
//!   segments into another one. So a search misses no entry that is being moved, and no entry reappears after
//!   its removal.
//! - A build holds no lock. It reads sealed rows. Ids that are removed meanwhile are recorded, and are marked
//!   as dead in the new segment in the same step that replaces the old ones.
//! - While a graph is built, its entries are scanned: a search is slower, never less exact.
//! - Each index runs one build at a time. Dropping the index stops the build and waits for its end; that
//!   takes the time of a few insertions into the graph and of the release of its memory.
//!
//! # Limits
//!
//! Entries that arrive faster than they can be linked (about 6,000 per second and thread) wait in the newest
//! rows, at the cost of a longer scan. The same happens if many indexes outgrow the scan at once: a process
//! runs only [so many](turns) builds at a time.

mod build;
mod persist;
mod turns;

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLockReadGuard};

use self::build::Shared;
use super::rows::{Quantised, Query, Rows};
use super::segment::{Captured, Segment};
use super::{Id, Neighbor, VectorIndex, check_dimensions, nearest_first};
use crate::embedding::{Embedding, MAX_DIMENSIONS};
use crate::error::{Error, ErrorKind, Result};

/// An exact scan while there are few entries, and HNSW graphs in addition when there are many.
#[derive(Debug)]
pub struct SegmentedIndex {
    shared: Arc<Shared>,
}

/// Everything that an insertion, a removal or an exchange of segments changes.
#[derive(Debug)]
struct State {
    newest: Rows,
    /// Always replaced as a whole, so that a search can detect the change.
    segments: Arc<Vec<Arc<Segment>>>,
    build: Build,
    /// After a failed build: do not try again with fewer entries than this.
    retry_at: usize,
}

#[derive(Debug)]
enum Build {
    Idle,
    /// With the ids that were removed from segments since the input of the build was chosen.
    Running {
        removed: Vec<Id>,
    },
}

/// The settings of a [`SegmentedIndex`].
#[derive(Debug, Clone)]
#[must_use]
pub struct SegmentedIndexBuilder {
    dimensions: usize,
    scan_limit: usize,
    max_dead_share: f64,
    ef_search: usize,
    build_threads: usize,
}

impl SegmentedIndex {
    /// Settings for an index of embeddings of `dimensions` components.
    pub fn builder(dimensions: usize) -> SegmentedIndexBuilder {
        SegmentedIndexBuilder {
            dimensions,
            scan_limit: 8_192,
            max_dead_share: 0.2,
            ef_search: 72,
            build_threads: 1,
        }
    }

    /// Waits until no build is running or due.
    ///
    /// For benchmarks, tests and the end of an import; an index in use never needs it. If entries are inserted
    /// all the time, it may wait long.
    pub fn wait_idle(&self) {
        self.shared.wait_until_idle();
    }

    /// The number of graphs that a search walks, in addition to its scan.
    #[must_use]
    pub fn graphs(&self) -> usize {
        self.read().segments.iter().filter(|segment| segment.has_graph()).count()
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.shared.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then starts a build if the change made one due.
    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (result, is_due) = {
            let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
            let result = change(&mut state);
            (result, state.claim_build(&self.shared.settings))
        };
        if is_due {
            self.shared.spawn_build();
        }
        result
    }
}

impl VectorIndex for SegmentedIndex {
    fn insert(&self, id: Id, embedding: &Embedding) -> Result<()> {
        check_dimensions(self.shared.settings.dimensions, embedding)?;
        let vector = Quantised::new(embedding);
        self.update(|state| {
            // If a caller inserts an entry that the index already holds unchanged, the entry must not move
            // out of its graph.
            if state.holds(id, &vector) {
                return;
            }
            if state.revive(id, &vector) {
                return;
            }
            // In this order: a search reads the newest rows last, so it meets the old or the new vector.
            if !state.newest.insert(id, &vector) {
                state.remove_from_segments(id);
            }
        });
        Ok(())
    }

    fn remove(&self, id: Id) -> bool {
        self.update(|state| state.newest.remove(id) || state.remove_from_segments(id))
    }

    fn contains(&self, id: Id) -> bool {
        let state = self.read();
        state.newest.row_of(id).is_some() || state.segments.iter().any(|segment| segment.contains(id))
    }

    fn ids(&self) -> Vec<Id> {
        let state = self.read();
        let mut ids = state.newest.ids().to_vec();
        let segments = state.capture_segments();
        drop(state);
        ids.extend(segments.iter().flat_map(Captured::live_ids));
        ids
    }

    fn search(&self, query: &Embedding, k: usize, floor: f32) -> Result<Vec<Neighbor>> {
        check_dimensions(self.shared.settings.dimensions, query)?;
        let query = Query::new(query);
        loop {
            let segments = Arc::clone(&self.read().segments);
            let (ef, mut reach) = (self.shared.settings.ef_search, f32::NEG_INFINITY);
            let searches = segments.iter().map(|segment| segment.search(&query, k, floor, ef, &mut reach));
            let older: Vec<Neighbor> = searches.flatten().collect();
            let state = self.read();
            // The old handle is still held, so its address cannot be reused: equal addresses mean that
            // nothing changed.
            if Arc::ptr_eq(&segments, &state.segments) {
                let newest = state.newest.scan(&query, k, floor, |_| true);
                drop(state);
                return Ok(merge(older, newest, k));
            }
        }
    }

    fn len(&self) -> usize {
        self.read().len()
    }

    fn memory_bytes(&self) -> usize {
        let state = self.read();
        let segments: usize = state.segments.iter().map(|segment| segment.memory_bytes()).sum();
        size_of::<Shared>() + state.newest.memory_bytes() + segments
    }
}

/// An entry that was replaced during the search may be in both; the newest one counts.
fn merge(older: Vec<Neighbor>, newest: Vec<Neighbor>, k: usize) -> Vec<Neighbor> {
    if older.is_empty() {
        return newest;
    }
    let replaced: HashSet<Id> = newest.iter().map(|neighbor| neighbor.id).collect();
    let mut merged = newest;
    merged.extend(older.into_iter().filter(|neighbor| !replaced.contains(&neighbor.id)));
    merged.sort_unstable_by(nearest_first);
    merged.truncate(k);
    merged
}

impl State {
    fn len(&self) -> usize {
        self.newest.len() + self.segments.iter().map(|segment| segment.live()).sum::<usize>()
    }

    fn holds(&self, id: Id, vector: &Quantised) -> bool {
        match self.newest.row_of(id) {
            Some(row) => self.newest.holds(row, vector),
            None => self.segments.iter().any(|segment| segment.holds(id, vector)),
        }
    }

    /// Brings back an entry that was removed and has not changed. Its links are still there.
    fn revive(&self, id: Id, vector: &Quantised) -> bool {
        // Not during a build, which may have left the row out as dead already: the entry would vanish with
        // the exchange.
        matches!(self.build, Build::Idle)
            && self.newest.row_of(id).is_none()
            && !self.segments.iter().any(|segment| segment.contains(id))
            && self.segments.iter().any(|segment| segment.revive(id, vector))
    }

    fn capture_segments(&self) -> Vec<Captured> {
        self.segments.iter().map(Segment::capture).collect()
    }

    fn remove_from_segments(&mut self, id: Id) -> bool {
        let was_live = self.segments.iter().any(|segment| segment.remove(id));
        if let (true, Build::Running { removed }) = (was_live, &mut self.build) {
            // The build may have copied the row while it was live.
            removed.push(id);
        }
        was_live
    }
}

impl SegmentedIndexBuilder {
    /// How many entries are scanned before they are linked into a graph (default 8,192: about 0.1 ms). Once a
    /// graph exists, 1,024 new entries are enough to be linked to it, or this number if it is smaller.
    pub fn scan_limit(mut self, entries: usize) -> Self {
        self.scan_limit = entries;
        self
    }

    /// The share of dead rows above which a graph is rebuilt (default 0.2).
    pub fn max_dead_share(mut self, share: f64) -> Self {
        self.max_dead_share = share;
        self
    }

    /// How many candidates a search holds in a graph of up to 131,072 entries (default 72); in a larger one,
    /// the number grows with the square root of its size. With more candidates, a search finds more and takes
    /// longer: in a graph of 100,000 question embeddings, 32 find the nearest in 98.0 % of searches, 64 in
    /// 99.0 % in a third more time, and 128 in 99.5 % in twice the time.
    pub fn ef_search(mut self, candidates: usize) -> Self {
        self.ef_search = candidates;
        self
    }

    /// How many threads link a graph (default 1, so that a build leaves the other processors to the
    /// requests).
    pub fn build_threads(mut self, threads: usize) -> Self {
        self.build_threads = threads;
        self
    }

    /// The empty index.
    ///
    /// # Errors
    ///
    /// `Config` if the dimensions are not within `1..=`[`MAX_DIMENSIONS`], if the scan limit, the candidates
    /// or the threads are zero, or if the share is not above 0 and at most 1.
    pub fn build(self) -> Result<SegmentedIndex> {
        let fail = |message: String| Err(Error::new(ErrorKind::Config, message));
        if self.dimensions == 0 || self.dimensions > MAX_DIMENSIONS {
            return fail(format!("index has {} dimensions, expected 1 to {MAX_DIMENSIONS}", self.dimensions));
        }
        for (name, value) in [
            ("scan_limit", self.scan_limit),
            ("ef_search", self.ef_search),
            ("build_threads", self.build_threads),
        ] {
            if value == 0 {
                return fail(format!("index setting {name} is 0, expected at least 1"));
            }
        }
        if !(self.max_dead_share > 0.0 && self.max_dead_share <= 1.0) {
            return fail(format!(
                "index setting max_dead_share is {}, expected above 0 and at most 1",
                self.max_dead_share
            ));
        }
        Ok(SegmentedIndex { shared: Arc::new(Shared::new(self)) })
    }
}

impl Drop for SegmentedIndex {
    fn drop(&mut self) {
        self.shared.stop_build();
    }
}
