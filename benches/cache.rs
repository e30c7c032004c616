//! What a hit, a miss, a fill and an invalidation cost, with the bundled model and the store on disk.
//!
//! Each group has its reference in the same run: hits are compared with the embedding alone, writes with
//! one `fsync` in the same folder. 100,000 answers of 1 KB are stored under the vectors that
//! `WELLSPRING_BENCH_VECTORS` names, or synthetic ones.

#![expect(clippy::print_stdout, reason = "figures beside criterion's own")]

#[cfg(unix)]
#[path = "support/flame.rs"]
mod flame;
mod support;

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::StreamExt as _;
use tokio::runtime::Runtime;
use wellspring::embed::OnnxEmbedder;
use wellspring::{
    Answer, Cache, Change, Corpus, Dependency, EmbeddedStore, Embedder, Lookup, MemoryStore, Query, Scope,
    Store,
};

const ENTRIES: usize = 100_000;
/// Hits are decided by similarity and guards: the verifier's model is not part of what is measured here.
const PLAIN: f32 = 0.92;
const QUESTION: &str = "How long is the warranty of the second generation of the device in Norway?";
/// Another spelling of it: another key, nearly the same vector.
const REWORDED: &str = "how long is the warranty of the second generation of the device in norway";

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn document(number: usize) -> Vec<Dependency> {
    vec![Dependency::document(format!("document-{number}"))]
}

fn answer() -> Answer {
    Answer::new("x".repeat(1024))
}

async fn fill(cache: &Cache, query: Query, dependencies: Vec<Dependency>) {
    if let Lookup::Miss(permit) = cache.lookup(query).await.expect("a valid question") {
        permit.fill(answer(), dependencies).await;
    }
}

/// A cache of [`ENTRIES`] answers, in addition to [`QUESTION`]'s.
async fn full_cache(embedder: Arc<dyn Embedder>, store: impl Store + 'static) -> Cache {
    let cache = Cache::builder_from(embedder, Arc::new(store))
        .similarity_threshold(PLAIN)
        // One wording is asked for again and again, and must be embedded each time.
        .remember_embeddings(0)
        .build()
        .await
        .expect("a cache");
    let (vectors, source) = support::vectors(ENTRIES);
    let before = support::resident_bytes();
    futures::stream::iter(vectors.into_iter().enumerate())
        .for_each_concurrent(512, |(number, vector)| {
            let cache = &cache;
            async move {
                let query = Query::new(format!("question {number}?")).embedding(vector.as_slice());
                fill(cache, query.renew(), document(number % 1_000)).await;
            }
        })
        .await;
    fill(&cache, Query::new(QUESTION), document(0)).await;
    cache.wait_idle().await.expect("an idle cache");
    let per_entry = |bytes: usize| bytes as f64 / ENTRIES as f64;
    println!(
        "{ENTRIES} entries of 1 KB under {source}: index {:.0} bytes per entry, the whole process {:.0}",
        per_entry(cache.index_bytes()),
        per_entry(support::resident_bytes().saturating_sub(before)),
    );
    cache
}

async fn is_hit(cache: &Cache, query: Query) -> bool {
    matches!(cache.lookup(query).await, Ok(Lookup::Hit(_)))
}

fn lookups(c: &mut Criterion) {
    let runtime = runtime();
    let folder = tempfile::tempdir().expect("a folder");
    let embedder: Arc<dyn Embedder> = Arc::new(OnnxEmbedder::bundled().expect("run make setup first"));
    let store = EmbeddedStore::open(folder.path().join("store.redb")).expect("a store");
    let cache = runtime.block_on(full_cache(Arc::clone(&embedder), store));
    let mut group = c.benchmark_group("lookup");
    let text = [REWORDED.to_owned()];
    group.bench_function("embedding alone (reference)", |b| {
        b.to_async(&runtime).iter(|| async { embedder.embed(&text).await.expect("an embedding") });
    });
    group.bench_function("semantic hit, 10^5 entries on disk", |b| {
        b.to_async(&runtime).iter(|| async { assert!(is_hit(&cache, Query::new(REWORDED)).await) });
    });
    group.bench_function("exact hit, 10^5 entries on disk", |b| {
        b.to_async(&runtime).iter(|| async { assert!(is_hit(&cache, Query::new(QUESTION)).await) });
    });
    let known = support::vectors(1).0.remove(0);
    group.bench_function("semantic hit, embedding given", |b| {
        b.to_async(&runtime).iter(|| async {
            assert!(is_hit(&cache, Query::new("Question 0?").embedding(known.as_slice())).await);
        });
    });
    let (mut unknown, _) = support::vectors(ENTRIES + 1);
    let unknown = unknown.pop().expect("a vector");
    group.bench_function("miss, embedding given", |b| {
        b.to_async(&runtime).iter(|| async {
            let query = Query::new("Unknown?").embedding(unknown.as_slice()).similarity_threshold(0.999);
            assert!(!is_hit(&cache, query).await);
        });
    });
    group.finish();
    runtime.block_on(cache.close()).expect("closed");
}

/// One write of a page and its `fsync`: the least that a commit needs.
fn fsync(folder: &Path) -> Duration {
    let mut file = tempfile::NamedTempFile::new_in(folder).expect("a file");
    let started = Instant::now();
    file.seek(SeekFrom::Start(0)).expect("sought");
    file.write_all(&[1; 4096]).expect("written");
    file.as_file().sync_data().expect("synced");
    started.elapsed()
}

fn writes(c: &mut Criterion) {
    let runtime = runtime();
    let folder = tempfile::tempdir().expect("a folder");
    let mut group = c.benchmark_group("fill");
    let number = AtomicU64::new(0);
    let question = || Query::new(format!("question {}?", number.fetch_add(1, Ordering::Relaxed)));
    let embedding = support::vectors(1).0.remove(0);
    let embedder: Arc<dyn Embedder> = Arc::new(OnnxEmbedder::bundled().expect("run make setup first"));
    group.bench_function("fsync of a page (reference)", |b| {
        b.iter_custom(|iterations| (0..iterations).map(|_| fsync(folder.path())).sum());
    });
    let on_disk = EmbeddedStore::open(folder.path().join("store.redb")).expect("a store");
    let stores: [(&str, Arc<dyn Store>); 2] =
        [("on disk", Arc::new(on_disk)), ("in memory", Arc::new(MemoryStore::default()))];
    for (name, store) in stores {
        let builder = Cache::builder_from(Arc::clone(&embedder), store).similarity_threshold(PLAIN);
        let cache = runtime.block_on(builder.build()).expect("a cache");
        group.bench_function(BenchmarkId::new("fill", name), |b| {
            b.to_async(&runtime).iter_batched(
                || question().embedding(embedding.as_slice()).renew(),
                |query| fill(&cache, query, document(1)),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// What an invalidation costs, by the number of dependants and of scopes that they are spread over.
fn invalidate(c: &mut Criterion) {
    let runtime = runtime();
    let folder = tempfile::tempdir().expect("a folder");
    let embedder: Arc<dyn Embedder> = Arc::new(wellspring::embed::FakeEmbedder::new(8));
    let mut group = c.benchmark_group("invalidate");
    group.sample_size(10).warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(1));
    group.bench_function("fsync of a page (reference)", |b| {
        b.iter_custom(|iterations| (0..iterations).map(|_| fsync(folder.path())).sum());
    });
    for (dependants, scopes) in [(1, 1), (1_000, 1), (100_000, 1), (1_000, 1_000)] {
        let store =
            EmbeddedStore::open(folder.path().join(format!("{dependants}-{scopes}.redb"))).expect("a store");
        let builder = Cache::builder_from(Arc::clone(&embedder), Arc::new(store)).similarity_threshold(PLAIN);
        let cache = runtime.block_on(builder.build()).expect("a cache");
        let id = BenchmarkId::from_parameter(format!("{dependants} dependants in {scopes} scopes"));
        group.bench_function(id, |b| {
            b.iter_custom(|iterations| {
                (0..iterations).map(|_| runtime.block_on(one_invalidation(&cache, dependants, scopes))).sum()
            });
        });
    }
    group.finish();
}

async fn one_invalidation(cache: &Cache, dependants: usize, scopes: usize) -> Duration {
    futures::stream::iter(0..dependants)
        .for_each_concurrent(512, |number| async move {
            let scope = Scope::new().tenant(format!("tenant {}", number % scopes));
            let query = Query::new(format!("question {number}?")).scope(scope).exact_only();
            fill(cache, query, document(0)).await;
        })
        .await;
    cache.wait_idle().await.expect("an idle cache");
    let started = Instant::now();
    let changes = [Change::document("document-0")];
    let invalidation = cache.invalidate(&Corpus::default(), &changes).await.expect("invalidated");
    let elapsed = started.elapsed();
    assert_eq!(invalidation.dropped(), dependants as u64);
    cache.wait_idle().await.expect("an idle cache");
    elapsed
}

fn concurrency(c: &mut Criterion) {
    const CALLERS: u64 = 1_000;
    let runtime = runtime();
    let embedder: Arc<dyn Embedder> = Arc::new(OnnxEmbedder::bundled().expect("run make setup first"));
    let builder = Cache::builder_from(embedder, Arc::new(MemoryStore::default())).similarity_threshold(PLAIN);
    let cache = runtime.block_on(builder.build()).expect("a cache");
    let number = AtomicU64::new(0);
    let mut group = c.benchmark_group("get_or_fill");
    group.throughput(Throughput::Elements(CALLERS)).sample_size(20);
    group.bench_function("1,000 callers of one new question", |b| {
        b.to_async(&runtime).iter(|| async {
            let question = format!("question {}?", number.fetch_add(1, Ordering::Relaxed));
            let calls = AtomicU64::new(0);
            let callers = (0..CALLERS).map(|_| {
                cache.get_or_fill(Query::new(&*question).similarity_threshold(1.0), async |_| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    Ok((answer(), document(0)))
                })
            });
            futures::future::join_all(callers).await;
            assert_eq!(calls.load(Ordering::Relaxed), 1);
        });
    });
    group.finish();
}

#[cfg(unix)]
fn settings() -> Criterion {
    Criterion::default().with_profiler(flame::FlameGraphs::default())
}

#[cfg(not(unix))]
fn settings() -> Criterion {
    Criterion::default()
}

criterion_group! {
    name = benches;
    config = settings();
    targets = lookups, writes, invalidate, concurrency
}
criterion_main!(benches);
