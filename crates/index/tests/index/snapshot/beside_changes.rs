//! Saving during insertions, removals and searches: none of them waits, and the snapshot shows a single moment.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wellspring_index::{Embedding, SegmentedIndex, VectorIndex};

use crate::snapshot::{
    DIMENSIONS, LABEL, answers, clustered, id, load, mixed, random, saved, settings, sorted,
};

/// Uses the index whenever a part of its snapshot comes. If saving held the lock, this would never end.
struct Meddler<'a> {
    index: &'a SegmentedIndex,
    vectors: &'a [Embedding],
    bytes: Vec<u8>,
    calls: usize,
}

impl Write for Meddler<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let next = self.calls % self.vectors.len();
        self.index.insert(id(5_000 + next), &self.vectors[next]).unwrap();
        assert_eq!(self.index.search(&self.vectors[next], 1, 0.999).unwrap()[0].id, id(5_000 + next));
        self.index.remove(id(self.calls));
        if self.calls == 5 {
            // Replaces the segments that are being written.
            for (number, vector) in self.vectors.iter().enumerate() {
                self.index.insert(id(6_000 + number), vector).unwrap();
            }
            self.index.wait_idle();
        }
        self.calls += 1;
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn nothing_waits_for_a_save_and_no_later_change_is_in_it() {
    let mut random = random();
    // So large that it comes in many parts.
    let index = mixed(&mut random, 10);
    let vectors = clustered(&mut random, 600, DIMENSIONS);
    let (ids, found) = (sorted(index.ids()), answers(&index, &vectors[..10]));
    let mut meddler = Meddler { index: &index, vectors: &vectors, bytes: Vec::new(), calls: 0 };
    index.save(LABEL, &mut meddler).unwrap();
    assert!(meddler.calls > 20, "{} parts", meddler.calls);
    let loaded = load(settings(), &meddler.bytes).unwrap();
    assert_eq!(sorted(loaded.ids()), ids);
    assert_eq!(answers(&loaded, &vectors[..10]), found);
    assert_ne!(sorted(index.ids()), ids);
}

/// Ends the threads of a test, also when it panics.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Each thread inserts a next entry before it removes the one before, so at any moment one or two neighbouring ones are
/// there. A snapshot that took the newest rows and the marks at different moments would show none, or two that are far
/// apart, or one twice.
#[test]
fn a_snapshot_is_one_moment() {
    const THREADS: usize = 2;
    const KEPT: usize = 30;
    const LIMIT: Duration = Duration::from_mins(1);
    let vectors = clustered(&mut random(), 1_000, DIMENSIONS);
    let tiny = || SegmentedIndex::builder(DIMENSIONS).scan_limit(3).max_dead_share(0.1);
    let index = tiny().build().unwrap();
    for (number, vector) in vectors.iter().enumerate().take(KEPT) {
        index.insert(id(number), vector).unwrap();
    }
    let own = |thread: usize, turn: usize| id((thread + 1) * 1_000_000_000 + turn);
    for thread in 0..THREADS {
        index.insert(own(thread, 0), &vectors[0]).unwrap();
    }
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (index, vectors, is_done) = (&index, &vectors, &is_done);
            scope.spawn(move || {
                for turn in 1.. {
                    if is_done.load(Ordering::Relaxed) {
                        break;
                    }
                    index.insert(own(thread, turn), &vectors[turn % 1_000]).unwrap();
                    // Two are there while this lasts.
                    assert_eq!(index.search(&vectors[turn % 1_000], 100, 1.1).unwrap(), []);
                    assert!(index.remove(own(thread, turn - 1)));
                }
            });
        }
        let _done = SetWhenDropped(&is_done);
        let (mut seen, mut doubled) = (BTreeSet::new(), 0);
        let begin = Instant::now();
        // On a busy machine, the threads switch less often, so more snapshots are needed to see as many.
        for round in 0.. {
            if round >= 400 && seen.len() >= 50 && doubled >= 5 {
                break;
            }
            assert!(begin.elapsed() < LIMIT, "{} moments, {doubled} of them in between", seen.len());
            let loaded = load(tiny(), &saved(&index)).unwrap();
            let ids = sorted(loaded.ids());
            assert!(ids.is_sorted_by(|a, b| a < b), "an id twice");
            assert_eq!(ids[..KEPT], (0..KEPT).map(id).collect::<Vec<_>>());
            let numbers = ids[KEPT..].iter().map(|id| u128::from_be_bytes(*id));
            for thread in 1..=THREADS as u128 {
                let base = thread * 1_000_000_000;
                let own: Vec<u128> =
                    numbers.clone().filter(|number| (base..base + 1_000_000_000).contains(number)).collect();
                match own[..] {
                    [turn] => drop(seen.insert(turn)),
                    [turn, next] => {
                        assert_eq!(turn + 1, next);
                        seen.insert(turn);
                        doubled += 1;
                    }
                    _ => panic!("not one or two, but {own:?}"),
                }
            }
        }
    });
}
