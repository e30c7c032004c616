//! Bits that flip, files that end too soon, blocks that were never written.
//!
//! A damaged generation is always noticed: what is loaded is the one before, and it finds exactly what it
//! found when it was saved. Never a panic, and never more memory than a whole file of that size takes.

use std::fs;

use rand::RngExt;
use wellspring_index::{Embedding, Id, Neighbor, Restored, SegmentedIndex, Snapshots, VectorIndex};

use crate::snapshot::allocations::peak_of;
use crate::snapshot::{DIMENSIONS, LABEL, answers, clustered, mixed, random, settings, sorted};

const NAME: &str = "0";
const FLIPS: usize = 700;
const CUTS: usize = 300;
const BLOCKS: usize = 200;

struct Bench {
    folder: tempfile::TempDir,
    snapshots: Snapshots,
    queries: Vec<Embedding>,
    /// Of the older generation.
    ids: Vec<Id>,
    expected: Vec<Vec<Neighbor>>,
    /// The files of the older and the newer one.
    older: Vec<u8>,
    newer: Vec<u8>,
}

impl Bench {
    fn new(random: &mut rand::rngs::StdRng) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::open(folder.path()).unwrap();
        let (older, newer) = (mixed(random, 1), mixed(random, 1));
        let generations = snapshots.generations(NAME).unwrap();
        for index in [&older, &newer] {
            generations.save(index, LABEL).unwrap();
        }
        let queries = clustered(random, 3, DIMENSIONS);
        let expected = answers(&older, &queries);
        assert_ne!(answers(&newer, &queries), expected);
        let ids = sorted(older.ids());
        let mut bench =
            Self { folder, snapshots, queries, ids, expected, older: Vec::new(), newer: Vec::new() };
        bench.older = fs::read(bench.path(1)).unwrap();
        bench.newer = fs::read(bench.path(2)).unwrap();
        bench
    }

    fn path(&self, generation: u64) -> std::path::PathBuf {
        self.folder.path().join(NAME).join(format!("{generation:016x}.index"))
    }

    /// Loads with `newer` as the newer generation.
    fn load(&self, newer: &[u8]) -> Restored {
        fs::write(self.path(2), newer).unwrap();
        let generations = self.snapshots.generations(NAME).unwrap();
        let (restored, peak) = peak_of(|| generations.load(&settings(), LABEL).unwrap());
        // Beside the vectors, ids are kept in tables with room to spare, and what is read passes through buffers.
        let limit = 2 * (newer.len() + self.older.len()) + 2 * 256 * 1024;
        assert!(peak < limit, "{peak} bytes for files of {} and {}", newer.len(), self.older.len());
        restored
    }

    fn check_older(&self, index: &SegmentedIndex, what: &str) {
        assert_eq!(sorted(index.ids()), self.ids, "{what}");
        assert_eq!(answers(index, &self.queries), self.expected, "{what}");
    }

    /// Damages the newer generation, then both; checks that this is noticed.
    fn check(&self, damaged: &[u8], what: &str) {
        let restored = self.load(damaged);
        assert_eq!(restored.passed_over.len(), 1, "{what} went unnoticed");
        assert!(restored.passed_over[0].error.is_corrupt(), "{what}: {:?}", restored.passed_over);
        let (index, generation) = restored.index.expect(what);
        assert_eq!(generation, 1, "{what}");
        self.check_older(&index, what);
    }
}

#[test]
fn damage_is_noticed_and_the_generation_before_is_right() {
    let mut random = random();
    let bench = Bench::new(&mut random);
    let len = bench.newer.len();
    assert_eq!(bench.load(&bench.newer).index.unwrap().1, 2, "what is whole is loaded");
    for n in 0..FLIPS {
        let mut bytes = bench.newer.clone();
        // Headers, which are small, get a share of their own.
        let byte = if n % 4 == 0 { random.random_range(0..100) } else { random.random_range(0..len) };
        let bit = random.random_range(0..8);
        bytes[byte] ^= 1 << bit;
        bench.check(&bytes, &format!("flipping bit {bit} of byte {byte}"));
    }
    for n in 0..CUTS {
        let end = if n % 4 == 0 { random.random_range(0..100) } else { random.random_range(0..len) };
        bench.check(&bench.newer[..end], &format!("cutting to {end} bytes"));
    }
    let mut blocks = 0;
    while blocks < BLOCKS {
        let mut bytes = bench.newer.clone();
        let begin = random.random_range(0..len);
        let end = (begin + random.random_range(1..8_192)).min(len);
        match blocks % 3 {
            // Never written, of the file that was there before, or of anything.
            0 => bytes[begin..end].fill(0),
            1 => {
                let end = end.min(bench.older.len());
                bytes[begin.min(end)..end].copy_from_slice(&bench.older[begin.min(end)..end]);
            }
            _ => random.fill(&mut bytes[begin..end]),
        }
        if bytes != bench.newer {
            blocks += 1;
            bench.check(&bytes, &format!("bytes {begin} to {end}"));
        }
    }
}

#[test]
fn where_all_are_damaged_there_is_none() {
    let mut random = random();
    let bench = Bench::new(&mut random);
    for n in 0..100 {
        let mut both = [bench.older.clone(), bench.newer.clone()];
        for bytes in &mut both {
            let at = random.random_range(0..bytes.len());
            if n % 2 == 0 { bytes[at] ^= 1 << (n % 8) } else { bytes.truncate(at) }
        }
        fs::write(bench.path(1), &both[0]).unwrap();
        let restored = bench.load(&both[1]);
        assert!(restored.index.is_none() && restored.passed_over.len() == 2, "{restored:?}");
    }
}

#[test]
fn what_never_was_a_snapshot_is_none() {
    let mut random = random();
    let bench = Bench::new(&mut random);
    bench.check(b"", "an empty file");
    for len in [1, 19, 20, 21, 1_000, 100_000] {
        let mut bytes = vec![0; len];
        bench.check(&bytes, "zeros");
        bytes.fill(0xff);
        bench.check(&bytes, "ones");
        random.fill(&mut bytes[..]);
        bench.check(&bytes, "noise");
        let kept = len.min(20);
        bytes[..kept].copy_from_slice(&bench.newer[..kept]);
        bench.check(&bytes, "noise after the right beginning");
    }
    bench.check(&[&bench.newer[..], &bench.newer[..]].concat(), "the same twice");
    bench.check(&[&bench.newer[..], b"\0"].concat(), "one byte more");
}
