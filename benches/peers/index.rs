//! The index compared with usearch, which a user would take instead: the same vectors and queries in one run.
//!
//! `cargo bench -p wellspring-peers --bench index`. Both are built with all threads and searched by one, in turns of
//! 300 queries, so that other work on the machine affects both. Recall@1 is against an exact `f32` scan.
//!
//! `WELLSPRING_BENCH_VECTORS` may name a file of real embeddings (little-endian `f32`, 384 per row, in random order);
//! otherwise the vectors are synthetic and clustered. `WELLSPRING_BENCH_ENTRIES` (default 100,000) says how many are
//! indexed; 3,000 more are searched for.

#![expect(clippy::print_stdout, reason = "a table is what it is for")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use usearch::{Index, IndexOptions, MetricKind, ScalarKind};
use wellspring_index::{Embedding, Id, SegmentedIndex, SegmentedIndexBuilder, VectorIndex};

#[path = "../../crates/index/benches/support/mod.rs"]
mod support;

use support::DIMENSIONS;

const QUERIES: usize = 3_000;
/// How often each query is searched for.
const ROUNDS: usize = 3;
/// How many searches of one index follow each other.
const TURN: usize = 300;
/// The widths of a search: of usearch, and of Wellspring for about the same recall.
const WIDTHS: [(usize, usize); 4] = [(32, 28), (48, 44), (64, 64), (96, 96)];

fn id(number: usize) -> Id {
    (number as u128).to_be_bytes()
}

fn number(id: Id) -> usize {
    usize::try_from(u128::from_be_bytes(id)).expect("made of a usize")
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The greatest similarity to any of the entries.
fn nearest<'a>(entries: impl Iterator<Item = &'a Embedding>, query: &Embedding) -> f32 {
    let dot = |entry: &Embedding| {
        let mut sums = [0.0_f32; 16];
        let pairs = entry.as_slice().chunks_exact(16).zip(query.as_slice().chunks_exact(16));
        for (a, b) in pairs {
            for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
                *sum += a * b;
            }
        }
        sums.iter().sum::<f32>()
    };
    entries.map(dot).fold(-1.0, f32::max)
}

/// Calls `work` with each number below `count`, on all threads.
fn on_all_threads(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
                numbers.take_while(|&number| number < count).for_each(&work);
            });
        }
    });
}

fn build_usearch(entries: &[Embedding]) -> Index {
    let options = IndexOptions {
        dimensions: DIMENSIONS,
        metric: MetricKind::IP,
        quantization: ScalarKind::BF16,
        connectivity: 16,
        ..IndexOptions::default()
    };
    let index = Index::new(&options).expect("valid options");
    index.reserve_capacity_and_threads(entries.len(), threads()).expect("memory");
    on_all_threads(entries.len(), |number| {
        index.add(number as u64, entries[number].as_slice()).expect("added");
    });
    index
}

fn settings(entries: usize) -> SegmentedIndexBuilder {
    SegmentedIndex::builder(DIMENSIONS).build_threads(threads()).scan_limit(entries)
}

fn build(entries: &[Embedding]) -> SegmentedIndex {
    let index = settings(entries.len()).build().expect("valid settings");
    for (number, entry) in entries.iter().enumerate() {
        index.insert(id(number), entry).expect("the same dimensions");
    }
    index.wait_idle();
    index
}

/// The same index with another width of search.
fn with_width(saved: &[u8], entries: usize, ef: usize) -> SegmentedIndex {
    settings(entries).ef_search(ef).load(b"", saved, saved.len() as u64).expect("what was saved")
}

/// How long each search took, and how many found what an exact scan finds.
struct Searches {
    times: Vec<Duration>,
    right: usize,
}

impl Searches {
    const fn new() -> Self {
        Self { times: Vec::new(), right: 0 }
    }

    fn run(&mut self, search: impl FnOnce() -> Option<f32>, truth: f32) {
        let begin = Instant::now();
        let found = search();
        self.times.push(begin.elapsed());
        self.right += usize::from(found.is_some_and(|found| found + 1e-5 >= truth));
    }

    fn recall(&self) -> f64 {
        self.right as f64 / self.times.len() as f64
    }

    fn quantile(&mut self, share: usize) -> f64 {
        self.times.sort_unstable();
        self.times[(self.times.len() - 1) * share / 100].as_secs_f64() * 1e6
    }
}

fn nearest_in(index: &SegmentedIndex, entries: &[Embedding], query: &Embedding) -> Option<f32> {
    let found = index.search(query, 1, -1.0).expect("the same dimensions");
    found.first().map(|found| entries[number(found.id)].similarity(query))
}

fn nearest_in_usearch(index: &Index, entries: &[Embedding], query: &Embedding) -> Option<f32> {
    let found = index.search(query.as_slice(), 1).expect("the same dimensions");
    let number = |key: u64| usize::try_from(key).expect("a usize");
    found.keys.first().map(|&key| entries[number(key)].similarity(query))
}

fn main() {
    let count = std::env::var("WELLSPRING_BENCH_ENTRIES").map_or(Ok(100_000), |count| count.parse());
    let count: usize = count.expect("WELLSPRING_BENCH_ENTRIES is a number");
    let (mut entries, source) = support::vectors(count + QUERIES);
    let queries = entries.split_off(count);
    println!("{count} vectors: {source}; built by {} threads, searched by one", threads());
    let truth: Vec<f32> = queries.iter().map(|query| nearest(entries.iter(), query)).collect();

    let begin = Instant::now();
    let peer = build_usearch(&entries);
    let built_peer = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let index = build(&entries);
    let built = begin.elapsed().as_secs_f64();
    println!("\nbuild:   usearch {built_peer:.1} s, wellspring {built:.1} s = {:.2} x", built / built_peer);
    let (bytes_peer, bytes) = (peer.memory_usage() / count, index.memory_bytes() / count);
    println!("memory:  usearch {bytes_peer} B per vector (as it says itself), wellspring {bytes} B");

    let mut saved = Vec::new();
    index.save(b"", &mut saved).expect("saved to memory");
    drop(index);
    println!("\n        usearch bf16, M 16            wellspring");
    println!("  ef  recall@1     p50     p99     ef  recall@1     p50     p99    ratio of p50");
    for (ef_peer, ef) in WIDTHS {
        peer.change_expansion_search(ef_peer);
        let index = with_width(&saved, count, ef);
        let (mut theirs, mut ours) = (Searches::new(), Searches::new());
        let turns = || queries.chunks(TURN).zip(truth.chunks(TURN));
        for (queries, truth) in (0..ROUNDS).flat_map(|_| turns()) {
            for (query, &truth) in queries.iter().zip(truth) {
                theirs.run(|| nearest_in_usearch(&peer, &entries, query), truth);
            }
            for (query, &truth) in queries.iter().zip(truth) {
                ours.run(|| nearest_in(&index, &entries, query), truth);
            }
        }
        let (p50_peer, p50) = (theirs.quantile(50), ours.quantile(50));
        println!(
            "{ef_peer:>4}  {:>8.4} {p50_peer:>5.0} us {:>4.0} us   {ef:>4}  {:>8.4} {p50:>5.0} us {:>4.0} us    {:>8.2}",
            theirs.recall(),
            theirs.quantile(99),
            ours.recall(),
            ours.quantile(99),
            p50 / p50_peer,
        );
    }
    drop(peer);
    dead(&saved, &entries, &queries);
}

/// Recall and time if most rows are dead, before the graph is built again.
fn dead(saved: &[u8], entries: &[Embedding], queries: &[Embedding]) {
    println!("\n dead   recall@1     p50");
    let index = settings(entries.len())
        .max_dead_share(1.0)
        .load(b"", saved, saved.len() as u64)
        .expect("what was saved");
    let is_live = |number: usize, tenths: usize| number % 10 >= tenths;
    for tenths in [0, 5, 9] {
        for number in (0..entries.len()).filter(|&number| !is_live(number, tenths)) {
            index.remove(id(number));
        }
        let queries = &queries[..1_000];
        let live = || entries.iter().enumerate().filter(|&(number, _)| is_live(number, tenths));
        let truth: Vec<f32> =
            queries.iter().map(|query| nearest(live().map(|(_, entry)| entry), query)).collect();
        let mut searches = Searches::new();
        for (query, &truth) in queries.iter().zip(&truth) {
            searches.run(|| nearest_in(&index, entries, query), truth);
        }
        println!("{:>4} %   {:.4} {:>5.0} us", tenths * 10, searches.recall(), searches.quantile(50));
    }
}
