//! Search in an index of 10^3, 10^4 and 10^5 entries, with its recall beside it.
//!
//! The reference is an exact scan over `f32` vectors in the same run; every figure is single-threaded, except for the
//! building of graphs. `WELLSPRING_BENCH_VECTORS` may name a file of real embeddings (little-endian `f32`, 384 per row,
//! in random order); otherwise the vectors are synthetic and clustered, and harder or easier than real ones.

mod support;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use support::DIMENSIONS;
use wellspring_index::{Embedding, FlatIndex, Id, SegmentedIndex, VectorIndex};

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
const QUERIES: usize = 1_000;

fn id(number: usize) -> Id {
    (number as u128).to_be_bytes()
}

fn number(id: Id) -> usize {
    usize::try_from(u128::from_be_bytes(id)).expect("it was made of a number")
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
        self.0.chunks_exact(DIMENSIONS).map(|row| dot(row, query.as_slice())).fold(-1.0, f32::max)
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    for (a, b) in a.chunks_exact(16).zip(b.chunks_exact(16)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>()
}

/// What each search returns, and the time of each, ascending.
fn measure<T>(queries: &[Embedding], search: impl Fn(&Embedding) -> T) -> (Vec<T>, Vec<Duration>) {
    let searches = queries.iter().map(|query| {
        let begin = Instant::now();
        (search(query), begin.elapsed())
    });
    let (found, mut times): (Vec<_>, Vec<_>) = searches.unzip();
    times.sort_unstable();
    (found, times)
}

fn median(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() / 2]
}

fn nearest(index: &dyn VectorIndex, query: &Embedding) -> Option<Id> {
    index.search(query, 1, -1.0).expect("the same dimensions").first().map(|found| found.id)
}

/// The share of searches that found an entry as near as the nearest.
fn recall(found: &[Option<Id>], queries: &[Embedding], truth: &[f32], entries: &[Embedding]) -> f64 {
    let is_right = |((found, query), truth): ((&Option<Id>, &Embedding), &f32)| {
        found.is_some_and(|found| {
            let entry = &entries[number(found) % entries.len()];
            dot(entry.as_slice(), query.as_slice()) + 1e-6 >= *truth
        })
    };
    found.iter().zip(queries).zip(truth).filter(|all| is_right(*all)).count() as f64 / truth.len() as f64
}

/// Fills an index; the time of one insertion, and of one entry until all graphs are built.
fn fill(index: &dyn VectorIndex, entries: &[Embedding], wait_idle: impl Fn()) -> (Duration, Duration) {
    let count = u32::try_from(entries.len()).expect("at most 10^5");
    let begin = Instant::now();
    for (number, entry) in entries.iter().enumerate() {
        index.insert(id(number), entry).expect("the same dimensions");
    }
    let inserted = begin.elapsed();
    wait_idle();
    (inserted / count, begin.elapsed() / count)
}

/// What replaces an entry that is removed.
#[derive(Clone, Copy, PartialEq)]
enum Comes {
    /// The same one a second later: an answer is made again after its document changed.
    Back,
    /// Another one.
    Another,
}

/// Removes 1 % of the entries and inserts as many each second, and searches meanwhile.
fn churn(
    index: &SegmentedIndex,
    (entries, queries, truth): (&[Embedding], &[Embedding], &[f32]),
    comes: Comes,
    undisturbed: Duration,
) {
    const STEPS: usize = 100;
    let (seconds, ended) = (support::setting("WELLSPRING_BENCH_CHURN_SECONDS", 20), AtomicBool::new(false));
    let replacing = || {
        let (begin, at_once) = (Instant::now(), entries.len() / 100 / STEPS);
        for step in 0.. {
            let numbers = step * at_once..(step + 1) * at_once;
            for number in numbers {
                match comes {
                    Comes::Back => {
                        index.remove(id(number % entries.len()));
                        if let Some(back) = number.checked_sub(entries.len() / 100) {
                            let back = back % entries.len();
                            index.insert(id(back), &entries[back]).expect("the same dimensions");
                        }
                    }
                    Comes::Another => {
                        index.remove(id(number));
                        let entry = &entries[number % entries.len()];
                        index.insert(id(number + entries.len()), entry).expect("the same dimensions");
                    }
                }
            }
            if ended.load(Ordering::Relaxed) {
                break;
            }
            let due = Duration::from_secs(1).mul_f64((step + 1) as f64 / STEPS as f64);
            std::thread::sleep(due.saturating_sub(begin.elapsed()));
        }
        if comes == Comes::Back {
            for (number, entry) in entries.iter().enumerate() {
                index.insert(id(number), entry).expect("the same dimensions");
            }
        }
    };
    let what =
        if comes == Comes::Back { "comes back as it was a second later" } else { "makes room for others" };
    eprintln!("{:>9}1 % goes each second and {what}:", "");
    std::thread::scope(|scope| {
        scope.spawn(replacing);
        let begin = Instant::now();
        for part in 1..=4 {
            let (mut times, mut share, mut rounds) = (Vec::new(), 0.0, 0);
            while begin.elapsed() < Duration::from_secs(seconds as u64) * part / 4 {
                let (found, round) = measure(queries, |query| nearest(index, query));
                times.extend(round);
                share += recall(&found, queries, truth, entries);
                rounds += 1;
            }
            times.sort_unstable();
            let p50 = median(&times);
            eprintln!(
                "{:>11}after {:>3.0} s: recall@1 {:.4}, p50 {p50:.1?} ({:.2} x), p99 {:.1?}, \
                 {} graphs, {} B/entry",
                "",
                begin.elapsed().as_secs_f64(),
                share / f64::from(rounds),
                p50.as_secs_f64() / undisturbed.as_secs_f64(),
                times[times.len() * 99 / 100],
                index.graphs(),
                index.memory_bytes() / entries.len(),
            );
        }
        ended.store(true, Ordering::Relaxed);
    });
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
        let (_, times) = measure(&queries[..300], |query| plain.nearest(query));
        let reference = median(&times);
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
            [("FlatIndex", &flat, &|| ()), ("SegmentedIndex", &segmented, &|| segmented.wait_idle())];
        for (name, index, wait_idle) in indexes {
            let (insert, built) = fill(index, entries, wait_idle);
            let (found, times) = measure(&queries, |query| nearest(index, query));
            let p50 = median(&times);
            eprintln!(
                "{size:>7}  {name:<15} {:>8.4} {p50:>10.1?} {:>7.1}x {insert:>11.1?} {built:>11.1?} {:>8}",
                recall(&found, &queries, &truth, entries),
                reference.as_secs_f64() / p50.as_secs_f64(),
                index.memory_bytes() / size,
            );
            if size == SIZES[SIZES.len() - 1] && name == "SegmentedIndex" {
                for comes in [Comes::Back, Comes::Another] {
                    churn(&segmented, (entries, &queries, &truth), comes, p50);
                }
            }
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
