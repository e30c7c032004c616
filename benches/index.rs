//! Search in an index of 10^3, 10^4 and 10^5 entries, with its recall beside it.
//!
//! The reference is an exact scan over `f32` vectors in the same run; every figure is single-threaded but
//! the building of graphs. `WELLSPRING_BENCH_VECTORS` may name a file of real embeddings (little-endian
//! `f32`, 384 per row, in random order); otherwise the vectors are synthetic and clustered, and harder
//! or easier than real ones.

mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use support::DIMENSIONS;
use wellspring::embedding::Embedding;
use wellspring::index::{FlatIndex, SegmentedIndex, VectorIndex};
use wellspring::key::EntryId;

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
const QUERIES: usize = 1_000;

fn id(number: usize) -> EntryId {
    EntryId::from_bytes((number as u128).to_be_bytes())
}

/// The vectors that are indexed and those that are searched for, disjoint, and where they come from.
fn vectors() -> (Vec<Embedding>, Vec<Embedding>, String) {
    let entries = SIZES[SIZES.len() - 1];
    let (mut vectors, source) = support::vectors(entries + QUERIES);
    let queries = vectors.split_off(entries);
    (vectors, queries, source)
}

/// The plain form of a search: every `f32` of every vector, one after the other in memory.
struct PlainScan(Vec<f32>);

impl PlainScan {
    fn new(entries: &[Embedding]) -> Self {
        Self(entries.iter().flat_map(Embedding::as_slice).copied().collect())
    }

    fn nearest(&self, query: &Embedding) -> f32 {
        let dot = |row: &[f32]| {
            let mut sums = [0.0_f32; 16];
            for (a, b) in row.chunks_exact(16).zip(query.as_slice().chunks_exact(16)) {
                for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
                    *sum += a * b;
                }
            }
            sums.iter().sum::<f32>()
        };
        self.0.chunks_exact(DIMENSIONS).map(dot).fold(-1.0, f32::max)
    }
}

/// The best similarity for each query, with the median time of a search.
fn measure(queries: &[Embedding], search: impl Fn(&Embedding) -> f32) -> (Vec<f32>, Duration) {
    let searches = queries.iter().map(|query| {
        let begin = Instant::now();
        (search(query), begin.elapsed())
    });
    let (found, mut times): (Vec<_>, Vec<_>) = searches.unzip();
    times.sort_unstable();
    (found, times[times.len() / 2])
}

fn nearest(index: &dyn VectorIndex, query: &Embedding) -> f32 {
    index.search(query, 1, -1.0).expect("the same dimensions").first().map_or(-1.0, |found| found.similarity)
}

fn recall(found: &[f32], truth: &[f32]) -> f64 {
    let right = found.iter().zip(truth).filter(|(found, truth)| *found + 1e-5 >= **truth).count();
    right as f64 / truth.len() as f64
}

/// Fills an index; the time of one insertion, and of one entry until all graphs are built.
fn fill(index: &dyn VectorIndex, entries: &[Embedding], settle: impl Fn()) -> (Duration, Duration) {
    let count = u32::try_from(entries.len()).expect("at most 10^5");
    let begin = Instant::now();
    for (number, entry) in entries.iter().enumerate() {
        index.insert(id(number), entry).expect("the same dimensions");
    }
    let inserted = begin.elapsed();
    settle();
    (inserted / count, begin.elapsed() / count)
}

fn search(criterion: &mut Criterion) {
    let (entries, queries, source) = vectors();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    eprintln!("\nvectors: {source}; graphs built with {threads} threads; {QUERIES} queries, k = 1");
    eprintln!(
        "{:>7}  {:<15} {:>7} {:>10} {:>8} {:>11} {:>11} {:>8}",
        "entries", "index", "recall@1", "p50", "speed-up", "insert", "till built", "B/entry"
    );
    let mut group = criterion.benchmark_group("index_search");
    group.sample_size(20).measurement_time(Duration::from_secs(2));
    for size in SIZES {
        let entries = &entries[..size];
        let plain = PlainScan::new(entries);
        // 300 searches settle the median of a scan that always does the same.
        let (_, reference) = measure(&queries[..300], |query| plain.nearest(query));
        let truth: Vec<f32> = queries.iter().map(|query| plain.nearest(query)).collect();
        let row = DIMENSIONS * size_of::<f32>();
        eprintln!(
            "{size:>7}  {:<15} {:>8.4} {reference:>10.1?} {:>7.1}x {:>11} {:>11} {row:>8}",
            "f32 scan", 1.0, 1.0, "-", "-"
        );

        let flat = FlatIndex::new(DIMENSIONS);
        let segmented =
            SegmentedIndex::builder(DIMENSIONS).build_threads(threads).build().expect("valid settings");
        let indexes: [(&str, &dyn VectorIndex, &dyn Fn()); 2] =
            [("FlatIndex", &flat, &|| ()), ("SegmentedIndex", &segmented, &|| segmented.settle())];
        for (name, index, settle) in indexes {
            let (insert, built) = fill(index, entries, settle);
            let (found, p50) = measure(&queries, |query| nearest(index, query));
            eprintln!(
                "{size:>7}  {name:<15} {:>8.4} {p50:>10.1?} {:>7.1}x {insert:>11.1?} {built:>11.1?} {:>8}",
                recall(&found, &truth),
                reference.as_secs_f64() / p50.as_secs_f64(),
                index.memory_bytes() / size,
            );
            let mut next = queries.iter().cycle();
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| black_box(nearest(index, next.next().expect("a cycle does not end"))));
            });
        }
        eprintln!("{:>9}graphs in the SegmentedIndex: {}", "", segmented.graphs());
    }
    group.finish();
}

criterion_group!(benches, search);
criterion_main!(benches);
