//! Links for rows of the base layer.
//!
//! A walk over the existing links finds the rows near a row. Of those, the row is linked to the ones that
//! lead in different directions (the robust pruning of `DiskANN`, Subramanya et al. 2019). Each link also
//! gets a link back; if a row then has too many links, the same pruning keeps the best. These links are
//! better than those of a careful build by `hnsw_rs`, and take less time to find.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{BASE_LINKS, Graph, NO_ROW, Walk, present, row_number};
use crate::nearest::Candidate;
use crate::rows::{Rows, Unpacked};

/// How many candidates for links a walk holds.
const EF: usize = 128;
/// A candidate is left out if it is this many times nearer to a row that was already chosen than to the row
/// being linked.
/// Above 1, so that some longer links stay, by which a walk gets near in few steps.
const ALPHA: f32 = 1.1;
/// How many rows a thread takes at a time.
const AT_ONCE: usize = 64;

impl Graph {
    /// Links the rows of `batch`. If `stop` was set, the result must not be used.
    pub(super) fn link(
        &mut self,
        batch: Range<u32>,
        rows: &Rows,
        whole: &Unpacked,
        threads: usize,
        stop: &AtomicBool,
    ) {
        // First every row of the batch chooses its links, while the graph stays as it is; only then is
        // anything written. So the threads need no locks, and the result does not depend on how the rows are
        // shared out among them. The price is that rows of one batch do not find each other, which is why
        // batches begin small.
        let mut chosen = vec![NO_ROW; batch.len() * BASE_LINKS];
        let graph = &*self;
        for_each_row(&mut chosen, threads, stop, Walk::default, |walk, number, links| {
            let row = batch.start + number;
            choose(whole, row, graph.near(walk, rows, whole, row), links);
        });
        self.base[batch.start as usize * BASE_LINKS..][..chosen.len()].copy_from_slice(&chosen);
        let back = backlinks(batch.start, &chosen);
        // By target: all links back to a row are weighed at once, by one thread, against those that it has.
        let groups: Vec<&[(u32, u32)]> = back.chunk_by(|(to, _), (other, _)| to == other).collect();
        let mut kept = vec![NO_ROW; groups.len() * BASE_LINKS];
        let graph = &*self;
        for_each_row(&mut kept, threads, stop, Vec::new, |linked, number, links| {
            let group = groups[number as usize];
            let (row, _) = group[0];
            linked.clear();
            linked.extend(graph.links(row).chain(group.iter().map(|&(_, from)| from)));
            keep(whole, row, linked, links);
        });
        for (group, links) in groups.iter().zip(kept.chunks_exact(BASE_LINKS)) {
            let (row, _) = group[0];
            self.base[row as usize * BASE_LINKS..][..BASE_LINKS].copy_from_slice(links);
        }
    }

    /// The rows near `row`, without `row` itself.
    fn near(&self, walk: &mut Walk, rows: &Rows, whole: &Unpacked, row: u32) -> Vec<Candidate> {
        let codes = whole.factor(row);
        walk.begin(rows.len(), EF, f32::NEG_INFINITY);
        walk.open(rows, [row]);
        walk.unseen.clear();
        // If the row has links already, they mostly lead to near rows.
        walk.open(rows, self.links(row));
        if walk.unseen.is_empty() {
            walk.open(rows, [self.descend(rows, &codes)]);
        }
        self.visit(walk, rows, &codes, |_| true);
        while let Some(nearest) = walk.next() {
            walk.open(rows, self.links(nearest.row()));
            self.visit(walk, rows, &codes, |_| true);
        }
        let found = walk.best.found.iter().map(Candidate::row);
        found.map(|other| Candidate::new(whole.similarity(row, other), other)).collect()
    }
}

/// Writes `linked` into the link places of `row`; if they do not all fit, writes only the best.
pub(super) fn keep(whole: &Unpacked, row: u32, linked: &mut Vec<u32>, links: &mut [u32]) {
    linked.sort_unstable();
    linked.dedup();
    linked.retain(|&other| other != row);
    links.fill(NO_ROW);
    if linked.len() <= links.len() {
        links[..linked.len()].copy_from_slice(linked);
        return;
    }
    let similar = |&other: &u32| Candidate::new(whole.similarity(row, other), other);
    choose(whole, row, linked.iter().map(similar).collect(), links);
}

/// Fills `links` from `near`, nearest first; skips a row that is much nearer to a row already chosen.
fn choose(whole: &Unpacked, row: u32, mut near: Vec<Candidate>, links: &mut [u32]) {
    near.sort_unstable_by(|a, b| b.cmp(a));
    let mut count = 0;
    for candidate in near {
        if count == links.len() {
            break;
        }
        let other = candidate.row();
        let distance = 1.0 - candidate.similarity();
        let leads_elsewhere = |&kept: &u32| ALPHA * (1.0 - whole.similarity(other, kept)) > distance;
        if other != row && links[..count].iter().all(leads_elsewhere) {
            links[count] = other;
            count += 1;
        }
    }
}

/// The reverse of `links`, which belong to the rows from `first` on: pairs of target and source, in order.
fn backlinks(first: u32, links: &[u32]) -> Vec<(u32, u32)> {
    let from_each = (first..).zip(links.chunks_exact(BASE_LINKS));
    let mut back: Vec<_> =
        from_each.flat_map(|(from, links)| present(links).map(move |to| (to, from))).collect();
    back.sort_unstable();
    back
}

/// Calls `work` with each row's link places and the row's number, on several threads, each with its own
/// state. Ends early if `stop` is set.
pub(super) fn for_each_row<S>(
    links: &mut [u32],
    threads: usize,
    stop: &AtomicBool,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, u32, &mut [u32]) + Sync,
) {
    let parts = Mutex::new(links.chunks_mut(AT_ONCE * BASE_LINKS).enumerate());
    let run = || {
        let mut state = state();
        while !stop.load(Ordering::Relaxed) {
            let part = parts.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((number, part)) = part else { break };
            let rows = row_number(number * AT_ONCE)..;
            for (row, links) in rows.zip(part.chunks_exact_mut(BASE_LINKS)) {
                work(&mut state, row, links);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
}
