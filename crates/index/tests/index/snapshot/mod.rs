//! Snapshots of indexes: the loaded index is the saved one, whatever happens to the process or the file.
//!
//! `WELLSPRING_SEED` sets the seed, which is printed. It gives each test the same vectors and the same
//! damage again; where a kill meets the process is up to the machine.

mod allocations;
mod beside_changes;
mod crash;
mod damage;
mod earlier;
mod folder;
mod round_trip;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use wellspring_index::{Embedding, Id, Neighbor, SegmentedIndex, SegmentedIndexBuilder, VectorIndex};

const DIMENSIONS: usize = 24;
const LABEL: &[u8] = b"model 1";

fn random() -> StdRng {
    let seed = std::env::var("WELLSPRING_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed = seed.unwrap_or_else(rand::random);
    eprintln!("WELLSPRING_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

fn id(number: usize) -> Id {
    (number as u128).to_be_bytes()
}

fn sorted(mut ids: Vec<Id>) -> Vec<Id> {
    ids.sort_unstable();
    ids
}

/// Vectors around common centres, as questions lie around topics.
fn clustered(random: &mut StdRng, len: usize, dimensions: usize) -> Vec<Embedding> {
    let mut noise = || -> Vec<f32> { (0..dimensions).map(|_| random.random_range(-1.0..1.0)).collect() };
    let centres: Vec<_> = (0..len.div_ceil(20)).map(|_| noise()).collect();
    let around = |n: usize, noise: Vec<f32>| -> Vec<f32> {
        centres[n % centres.len()].iter().zip(noise).map(|(centre, noise)| centre + 0.7 * noise).collect()
    };
    (0..len).map(|n| Embedding::new(&around(n, noise())).unwrap()).collect()
}

/// Graphs from 64 entries on, and none that is built again because of a few dead rows.
fn settings() -> SegmentedIndexBuilder {
    SegmentedIndex::builder(DIMENSIONS).scan_limit(64).max_dead_share(1.0)
}

fn saved(index: &SegmentedIndex) -> Vec<u8> {
    let mut bytes = Vec::new();
    let written = index.save(LABEL, &mut bytes).unwrap();
    assert_eq!(written, bytes.len() as u64);
    bytes
}

fn load(settings: SegmentedIndexBuilder, bytes: &[u8]) -> wellspring_index::Result<SegmentedIndex> {
    settings.load(LABEL, bytes, bytes.len() as u64)
}

/// What some searches find, wide ones and narrow ones.
fn answers(index: &SegmentedIndex, queries: &[Embedding]) -> Vec<Vec<Neighbor>> {
    let shapes = [(1, -1.0), (5, 0.3), (40, -1.0), (10_000, -1.0)];
    let search = |query| shapes.map(|(k, floor)| index.search(query, k, floor).unwrap());
    queries.iter().flat_map(search).collect()
}

/// An index with several graphs, dead rows in them and newest rows; `scale` multiplies its 703 entries.
fn mixed(random: &mut StdRng, scale: usize) -> SegmentedIndex {
    let index = settings().scan_limit(7 * scale).build().unwrap();
    for (number, vector) in clustered(random, 703 * scale, DIMENSIONS).iter().enumerate() {
        index.insert(id(number), vector).unwrap();
        if number % (7 * scale) == 7 * scale - 1 {
            index.wait_idle();
        }
    }
    for number in (0..703 * scale).step_by(9) {
        assert!(index.remove(id(number)));
    }
    index.wait_idle();
    index
}
