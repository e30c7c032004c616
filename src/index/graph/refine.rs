//! Better links for a graph that has been built.
//!
//! `hnsw_rs` takes as long for a careful build as for finding its way through locks and allocations four times over. So it
//! builds with few candidates, and every row is then linked anew: a walk over the frozen links, which is several times as
//! fast, finds what is near to it, and of that it keeps what leads in different directions (the second pass and the robust
//! pruning of `DiskANN`, Subramanya et al. 2019). The links are better than those of a careful build and come sooner.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{BASE_LINKS, Graph, NO_ROW, Walk, present, row_number};
use crate::index::nearest::Candidate;
use crate::index::rows::{Rows, Unpacked};

/// How many candidates for links a walk holds.
const EF: usize = 128;
/// How much nearer to a chosen row than to its own a candidate has to be, to be left out.
const ALPHA: f32 = 1.1;
/// How many rows a thread takes at a time.
const AT_ONCE: usize = 64;

impl Graph {
    /// Links every row of the base layer anew. What was done is of no use if `stop` was set.
    pub(super) fn refine(&mut self, rows: &Rows, whole: &Unpacked, threads: usize, stop: &AtomicBool) {
        let mut chosen = vec![NO_ROW; self.base.len()];
        let graph = &*self;
        for_each_row(&mut chosen, threads, stop, Walk::default, |walk, row, links| {
            choose(whole, row, graph.near(walk, rows, whole, row), links);
        });
        let back = Backlinks::of(&chosen);
        for_each_row(
            &mut self.base,
            threads,
            stop,
            || (),
            |(), row, links| {
                let own = present(&chosen[row as usize * BASE_LINKS..][..BASE_LINKS]);
                let mut linked: Vec<u32> = own.chain(back.to(row).iter().copied()).collect();
                linked.sort_unstable();
                linked.dedup();
                links.fill(NO_ROW);
                if linked.len() <= BASE_LINKS {
                    links[..linked.len()].copy_from_slice(&linked);
                    return;
                }
                let similar = |&other: &u32| Candidate::new(whole.similarity(row, other), other);
                choose(whole, row, linked.iter().map(similar).collect(), links);
            },
        );
    }

    /// The rows near to `row`, without itself.
    fn near(&self, walk: &mut Walk, rows: &Rows, whole: &Unpacked, row: u32) -> Vec<Candidate> {
        let codes = whole.factor(row);
        walk.begin(rows.len(), EF, f32::NEG_INFINITY);
        // Whose links are mostly near.
        walk.open(rows, [row]);
        walk.unseen.clear();
        walk.open(rows, self.links(row));
        self.visit(walk, rows, &codes, |_| true);
        while let Some(nearest) = walk.next() {
            walk.open(rows, self.links(nearest.row()));
            self.visit(walk, rows, &codes, |_| true);
        }
        let found = walk.best.found.iter().map(Candidate::row);
        found.map(|other| Candidate::new(whole.similarity(row, other), other)).collect()
    }
}

/// Puts those of `near` into `links`, nearest first, that are not much nearer to one that was put there before.
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

/// From which rows links lead to each row.
struct Backlinks {
    /// Where the rows of each row begin, and the end of the last.
    starts: Vec<usize>,
    rows: Vec<u32>,
}

impl Backlinks {
    fn of(links: &[u32]) -> Self {
        let len = links.len() / BASE_LINKS;
        let from_each = || (0..).zip(links.chunks_exact(BASE_LINKS));
        let mut starts = vec![0; len + 2];
        for to in from_each().flat_map(|(_, links)| present(links)) {
            starts[to as usize + 2] += 1;
        }
        for row in 2..starts.len() {
            starts[row] += starts[row - 1];
        }
        // Filling moves each start to the one of the next row.
        let mut rows = vec![NO_ROW; starts.last().copied().unwrap_or_default()];
        for (from, links) in from_each() {
            for to in present(links) {
                let place = &mut starts[to as usize + 1];
                rows[*place] = from;
                *place += 1;
            }
        }
        Self { starts, rows }
    }

    fn to(&self, row: u32) -> &[u32] {
        &self.rows[self.starts[row as usize]..self.starts[row as usize + 1]]
    }
}

/// Hands the place of each row's links to `work`, on several threads, each with a state of its own. Ends early if `stop` is
/// set.
fn for_each_row<S>(
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
