//! How a cache on disk grows: time and memory by the number of entries and of scopes, under churn, and at a start.
//!
//! Everything is measured in one run and printed as tables. The embeddings are given, so that the model takes no time.
//!
//! | variable | default | |
//! |---|---|---|
//! | `WELLSPRING_BENCH_ENTRIES` | 100,000 | entries of one scope; at a million, its graphs take long to build |
//! | `WELLSPRING_BENCH_SCOPES` | 1,000 | scopes of 100 entries each |
//! | `WELLSPRING_BENCH_CHURN_SECONDS` | 20 | how long 1 % of the entries are invalidated and filled again each second |
//! | `WELLSPRING_BENCH_FOLDER` | | where the one scope's store is and stays; if it has the entries already, they are not filled again |
//! | `WELLSPRING_BENCH_VECTORS` | | real embeddings, see `support`; without it they are synthetic |
//!
//! Beyond 100,000 entries, embeddings are mixtures of two of the first 100,000, weighted 1 to 0.3, with noise of a
//! fifth of their length: as near to one another as those of questions, and all different.

#![expect(clippy::print_stdout, reason = "tables are what it is for")]

mod support;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use wellspring::embed::FakeEmbedder;
use wellspring::{
    Cache, Change, Corpus, Dependency, EmbeddedStore, Embedding, Limits, Lookup, Query, Scope, Threshold,
};

use self::support::{DIMENSIONS, resident_bytes, setting};

/// Entries depend on one of as many documents.
const DOCUMENTS: usize = 1_000;
/// How many lookups of a kind are timed.
const TIMED: usize = 2_000;
/// How many scopes are searched for the first time after a start.
const SEARCHED: usize = 500;
/// After how long they are idle.
const IDLE: Duration = Duration::from_secs(5);
/// Embeddings that no entry has, for misses.
const UNKNOWN: usize = 2_000;
const ENTRIES_PER_SCOPE: usize = 100;
/// Set for another process of this program, to say what to start.
const START: &str = "WELLSPRING_BENCH_START";
const SNAPSHOTS: &str = "WELLSPRING_BENCH_START_SNAPSHOTS";
const COUNT: &str = "WELLSPRING_BENCH_START_ENTRIES";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        if let Some(folder) = std::env::var_os(START) {
            let is_of_scopes = std::env::var_os(SNAPSHOTS).is_none();
            return if is_of_scopes { start_of_scopes(&folder).await } else { start(&folder).await };
        }
        entries(setting("WELLSPRING_BENCH_ENTRIES", 100_000)).await;
        scopes(setting("WELLSPRING_BENCH_SCOPES", 1_000)).await;
    });
}

/// Embeddings by number.
struct Vectors {
    base: Vec<Embedding>,
    unknown: Vec<Embedding>,
}

impl Vectors {
    fn new(count: usize) -> Self {
        let (mut base, source) = support::vectors(count.min(100_000) + UNKNOWN);
        println!("embeddings: {source}\n");
        let unknown = base.split_off(base.len() - UNKNOWN);
        Self { base, unknown }
    }

    fn of(&self, number: usize) -> Embedding {
        if number < self.base.len() {
            return self.base[number].clone();
        }
        let mut random = StdRng::seed_from_u64(number as u64);
        let other = &self.base[random.random_range(0..self.base.len())];
        let mixed: Vec<f32> = self.base[number % self.base.len()]
            .as_slice()
            .iter()
            .zip(other.as_slice())
            .map(|(a, b)| a + 0.3 * b + random.random_range(-0.02..0.02))
            .collect();
        Embedding::new(&mixed).expect("not zero")
    }
}

/// Opens the store and the cache in `folder`, and reports the time and memory of each step.
async fn open(folder: &Path, snapshots: bool) -> (Cache, [(Duration, usize); 2]) {
    let (started, before) = (Instant::now(), resident_bytes());
    let limits = Limits::default().max_entries(u64::from(u32::MAX)).max_bytes(1 << 40);
    let store = EmbeddedStore::options().limits(limits).open(folder.join("store.redb")).expect("a store");
    let opened = (started.elapsed(), resident_bytes().saturating_sub(before));
    let (started, before) = (Instant::now(), resident_bytes());
    let mut builder = Cache::builder(FakeEmbedder::new(DIMENSIONS), store)
        .similarity_threshold(0.92)
        .verifier(Threshold::new())
        .index_wait(Duration::from_hours(1))
        .unload_idle_scopes(if snapshots { Duration::from_hours(1) } else { IDLE });
    if snapshots {
        builder = builder.index_snapshots(folder.join("indexes"));
    }
    let cache = builder.build().await.expect("a cache");
    (cache, [opened, (started.elapsed(), resident_bytes().saturating_sub(before))])
}

async fn fill(cache: &Cache, query: Query, document: usize) {
    if let Ok(Lookup::Miss(permit)) = cache.lookup(query.renew()).await {
        let sources = [Dependency::document(format!("document-{document}"))];
        drop(permit.fill("x".repeat(1024), sources).await);
    }
}

async fn fill_all(cache: &Cache, vectors: &Vectors, numbers: impl Iterator<Item = usize>) {
    futures::stream::iter(numbers)
        .for_each_concurrent(512, |number| async move {
            let embedding = vectors.of(number);
            let query = Query::new(format!("question {number}?")).embedding(embedding.as_slice());
            fill(cache, query, number % DOCUMENTS).await;
        })
        .await;
}

async fn entries(count: usize) {
    println!("## {count} entries of 1 KB in one scope, on disk\n");
    let vectors = Vectors::new(count);
    let temporary = tempfile::tempdir().expect("a folder");
    let named = std::env::var_os("WELLSPRING_BENCH_FOLDER").map(PathBuf::from);
    let folder = named.as_deref().unwrap_or(temporary.path());
    let before = resident_bytes();
    let (cache, _) = open(folder, true).await;
    // An index that was searched is updated with every fill.
    misses(&cache, &vectors, &[0]).await;
    let started = Instant::now();
    println!("| | |\n|---|---|");
    if cache.status().await.expect("read").entries < count as u64 {
        fill_all(&cache, &vectors, 0..count).await;
        let filled = started.elapsed();
        cache.wait_idle().await.expect("an idle cache");
        println!("| filled | {:.0} /s |", count as f64 / filled.as_secs_f64());
        println!(
            "| graphs stand | {:.0} s after that |",
            started.elapsed().saturating_sub(filled).as_secs_f64()
        );
    }
    println!("| file | {:.0} bytes per entry |", file_bytes(folder) as f64 / count as f64);
    println!("| resident after filling | {} |", per(resident_bytes().saturating_sub(before), count));
    println!("| of it index | {} |\n", per(cache.index_bytes(), count));
    lookups(&cache, &vectors, count).await;
    invalidations(&cache, &vectors, count).await;
    churn(&cache, &vectors, count, folder).await;
    starts(cache, count, folder).await;
}

async fn lookups(cache: &Cache, vectors: &Vectors, count: usize) {
    println!("| lookup | p50 | p99 |\n|---|---|---|");
    let mut random = StdRng::seed_from_u64(7);
    let numbers: Vec<usize> = (0..TIMED).map(|_| random.random_range(0..count)).collect();
    let exact =
        timed(&numbers, async |number| is_hit(cache, Query::new(format!("question {number}?"))).await);
    row("exact hit", exact.await, TIMED);
    let semantic = timed(&numbers, async |number| {
        let embedding = vectors.of(number);
        is_hit(cache, Query::new(format!("reworded {number}?")).embedding(embedding.as_slice())).await
    });
    row("semantic hit, embedding given", semantic.await, TIMED);
    let unknown: Vec<usize> = (0..vectors.unknown.len()).collect();
    row("miss, embedding given", misses(cache, vectors, &unknown).await, 0);
    println!();
}

/// Lookups of embeddings that no entry has.
async fn misses(cache: &Cache, vectors: &Vectors, unknown: &[usize]) -> (Vec<Duration>, usize) {
    timed(unknown, async |number| {
        let query = Query::new(format!("unknown {number}?")).embedding(vectors.unknown[number].as_slice());
        is_hit(cache, query.similarity_threshold(0.9999)).await
    })
    .await
}

async fn is_hit(cache: &Cache, query: Query) -> bool {
    matches!(cache.lookup(query).await, Ok(Lookup::Hit(_)))
}

/// How long each took, and how many were hits.
async fn timed(numbers: &[usize], lookup: impl AsyncFn(usize) -> bool) -> (Vec<Duration>, usize) {
    let (mut times, mut hits) = (Vec::with_capacity(numbers.len()), 0);
    for &number in numbers {
        let started = Instant::now();
        hits += usize::from(lookup(number).await);
        times.push(started.elapsed());
    }
    times.sort_unstable();
    (times, hits)
}

fn row(name: &str, (times, hits): (Vec<Duration>, usize), expected: usize) {
    let note = if hits == expected { String::new() } else { format!(" ({hits} of {} hit)", times.len()) };
    println!("| {name}{note} | {} | {} |", micros(&times, 0.5), micros(&times, 0.99));
}

fn micros(sorted: &[Duration], quantile: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the length")]
    let at = (sorted.len() as f64 * quantile) as usize;
    format!("{:.1} µs", sorted[at.min(sorted.len() - 1)].as_secs_f64() * 1e6)
}

async fn invalidations(cache: &Cache, vectors: &Vectors, count: usize) {
    const CHANGES: usize = 20;
    let mut times = Vec::new();
    for document in 0..CHANGES {
        let started = Instant::now();
        invalidate(cache, document).await;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    println!("| invalidation of a document | p50 | longest |\n|---|---|---|");
    let dependants = count / DOCUMENTS;
    println!("| {dependants} dependants | {} | {} |\n", micros(&times, 0.5), micros(&times, 1.0));
    fill_all(cache, vectors, (0..count).filter(|number| number % DOCUMENTS < CHANGES)).await;
}

async fn invalidate(cache: &Cache, document: usize) {
    let change = Change::document(format!("document-{document}"));
    cache.invalidate(&Corpus::default(), &[change]).await.expect("invalidated");
}

/// Invalidates and fills 1 % of the entries each second, and looks up unknown questions meanwhile.
async fn churn(cache: &Cache, vectors: &Vectors, count: usize, folder: &Path) {
    let seconds = setting("WELLSPRING_BENCH_CHURN_SECONDS", 20);
    println!(
        "| churn, after | filled | resident | index | file | miss p50 | p99 |\n|---|---|---|---|---|---|---|"
    );
    let (filled, next) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (started, report_every) = (Instant::now(), (seconds / 4).max(1));
    for second in 0..seconds {
        let due = Duration::from_secs(second as u64 + 1);
        let changing = async {
            for _ in 0..DOCUMENTS / 100 {
                let document = next.fetch_add(1, Ordering::Relaxed) % DOCUMENTS;
                invalidate(cache, document).await;
                let numbers = (document..count).step_by(DOCUMENTS);
                filled.fetch_add(numbers.len(), Ordering::Relaxed);
                fill_all(cache, vectors, numbers).await;
            }
        };
        let unknown: Vec<usize> = (0..50).map(|n| (second * 50 + n) % UNKNOWN).collect();
        let looking = async {
            let mut all = Vec::new();
            for number in unknown {
                tokio::time::sleep(Duration::from_millis(15)).await;
                all.extend(misses(cache, vectors, &[number]).await.0);
            }
            all.sort_unstable();
            all
        };
        let ((), times) = tokio::join!(changing, looking);
        if second.is_multiple_of(report_every) || second + 1 == seconds {
            println!(
                "| {:.0} s | {} | {:.0} MB | {:.0} MB | {:.0} MB | {} | {} |",
                started.elapsed().as_secs_f64(),
                filled.load(Ordering::Relaxed),
                resident_bytes() as f64 / 1e6,
                cache.index_bytes() as f64 / 1e6,
                file_bytes(folder) as f64 / 1e6,
                micros(&times, 0.5),
                micros(&times, 0.99),
            );
        }
        tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
    }
    println!();
}

/// Closes, and starts again with the snapshot of the index and without: in processes of their own, whose memory holds
/// nothing from before.
async fn starts(cache: Cache, count: usize, folder: &Path) {
    cache.wait_idle().await.expect("an idle cache");
    let started = Instant::now();
    cache.close().await.expect("closed");
    drop(cache);
    println!("closing and saving the index: {:.1} s\n", started.elapsed().as_secs_f64());
    println!(
        "| start | store opened | cache built | first hit by meaning | graphs stand | memory: store | index and pages |"
    );
    println!("|---|---|---|---|---|---|---|");
    for snapshots in ["with a snapshot", "without"] {
        restart(folder, count, Some(snapshots));
    }
    println!();
}

fn restart(folder: &Path, count: usize, snapshots: Option<&str>) {
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.env(START, folder).env(COUNT, count.to_string());
    child.envs(snapshots.map(|snapshots| (SNAPSHOTS, snapshots)));
    assert!(child.status().expect("started").success());
}

/// What [`starts`] runs in another process.
async fn start(folder: &OsStr) {
    let (name, count) = (std::env::var(SNAPSHOTS).expect("set"), setting(COUNT, 1));
    let (cache, [opened, built]) = open(Path::new(folder), name != "without").await;
    let entry = cache.entries(None, 1).await.expect("read").remove(0).entry;
    let query = Query::new("reworded?").embedding(entry.embedding.as_ref().expect("embedded").as_slice());
    let (started, before) = (Instant::now(), resident_bytes());
    assert!(is_hit(&cache, query).await, "what was stored is found by meaning");
    let hit = (started.elapsed(), resident_bytes().saturating_sub(before));
    cache.wait_idle().await.expect("an idle cache");
    println!(
        "| {name} | {:.2} s | {:.3} s | {:.2} s | {:.1} s later | {} | {} |",
        opened.0.as_secs_f64(),
        built.0.as_secs_f64(),
        hit.0.as_secs_f64(),
        started.elapsed().saturating_sub(hit.0).as_secs_f64(),
        per(opened.1, count),
        per(hit.1, count),
    );
    cache.close().await.expect("closed");
}

async fn scopes(count: usize) {
    println!("## {count} scopes of {ENTRIES_PER_SCOPE} entries each, on disk\n");
    let vectors = Vectors::new(count * ENTRIES_PER_SCOPE);
    let folder = tempfile::tempdir().expect("a folder");
    let (cache, _) = open(folder.path(), true).await;
    let (started, before) = (Instant::now(), resident_bytes());
    futures::stream::iter(0..count * ENTRIES_PER_SCOPE)
        .for_each_concurrent(512, |number| {
            let (cache, embedding) = (&cache, vectors.of(number));
            async move {
                let scope = Scope::new().tenant(format!("tenant {}", number % count));
                let query = Query::new(format!("question {number}?")).embedding(embedding.as_slice());
                fill(cache, query.scope(scope), number % DOCUMENTS).await;
            }
        })
        .await;
    let filled = started.elapsed();
    cache.wait_idle().await.expect("an idle cache");
    println!("| | |\n|---|---|");
    println!("| filled | {:.0} /s |", (count * ENTRIES_PER_SCOPE) as f64 / filled.as_secs_f64());
    println!(
        "| resident | {:.0} bytes per scope |",
        resident_bytes().saturating_sub(before) as f64 / count as f64
    );
    cache.close().await.expect("closed");
    drop(cache);
    restart(folder.path(), count, None);
}

/// What [`scopes`] runs in another process.
async fn start_of_scopes(folder: &OsStr) {
    let count = setting(COUNT, 1);
    let (cache, [opened, built]) = open(Path::new(folder), false).await;
    println!(
        "| start: store opened, cache built | {:.2} s, {:.4} s |",
        opened.0.as_secs_f64(),
        built.0.as_secs_f64()
    );
    println!("| memory of the process after it | {} |", per(resident_bytes(), count * ENTRIES_PER_SCOPE));
    let entries = cache.entries(None, 2 * SEARCHED).await.expect("read");
    let mut queries = HashMap::new();
    for entry in entries.into_iter().map(|stored| stored.entry) {
        let number: String = entry.question.chars().filter(char::is_ascii_digit).collect();
        let scope =
            Scope::new().tenant(format!("tenant {}", number.parse::<usize>().expect("a number") % count));
        let embedding = entry.embedding.as_ref().expect("embedded").as_slice().to_vec();
        queries.insert(entry.scope, Query::new("reworded?").embedding(embedding).scope(scope));
    }
    let queries: Vec<Query> = queries.into_values().take(SEARCHED).collect();
    let numbers: Vec<usize> = (0..queries.len()).collect();
    println!("\n| lookup | p50 | p99 |\n|---|---|---|");
    for name in ["first hit by meaning in a scope", "second"] {
        let times = timed(&numbers, async |number| is_hit(&cache, queries[number].clone()).await).await;
        row(name, times, queries.len());
    }
    let (loaded, started) = (cache.index_bytes(), Instant::now());
    println!("\nindex of a scope that was searched: {:.0} bytes", loaded as f64 / queries.len() as f64);
    while cache.index_bytes() > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "all are unloaded {:.1} s later, idle is what is not searched for {IDLE:?}\n",
        started.elapsed().as_secs_f64()
    );
    cache.close().await.expect("closed");
}

fn file_bytes(folder: &Path) -> u64 {
    std::fs::metadata(folder.join("store.redb")).map_or(0, |metadata| metadata.len())
}

fn per(bytes: usize, entries: usize) -> String {
    format!("{:.0} bytes per entry", bytes as f64 / entries as f64)
}
