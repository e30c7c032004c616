//! What a hit, a fill and an invalidation cost on a server, and what a restart costs.
//!
//! A server of its own on the loopback interface, and references in the same run: a hit is compared with a bare GET of
//! the same payload over a connection of the same library, and the effect of a large invalidation on other clients with
//! their PINGs before it. `WELLSPRING_BENCH_ENTRIES` sets the size of the largest invalidation and of the index that is
//! loaded (default 100,000; with a million, filling and linking take about half an hour).

#![expect(clippy::print_stdout, reason = "figures beside criterion's own")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use futures::StreamExt as _;
use redis::AsyncCommands as _;
use tokio::runtime::Runtime;
use wellspring::clock::{Clock as _, SystemClock};
use wellspring::embed::FakeEmbedder;
use wellspring::key::CacheKey;
use wellspring::store::{Coordination as _, Found, Store as _, ValkeyOptions, ValkeyStore};
use wellspring::{Answer, Cache, Change, Corpus, Dependency, Embedding, Entry, Lookup, Query, Scope};
use wellspring_test_support::servers::Server;

/// How many documents the entries of the largest invalidation depend on, each of them on all: one measurement each.
const SHARED: usize = 5;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn entries() -> usize {
    let entries = std::env::var("WELLSPRING_BENCH_ENTRIES").ok();
    entries.map_or(100_000, |entries| entries.parse().expect("WELLSPRING_BENCH_ENTRIES is a number"))
}

/// The machine may be busy filling; what is measured is well below these.
fn options() -> ValkeyOptions {
    ValkeyStore::options()
        .command_timeout(Duration::from_secs(10))
        .invalidate_timeout(Duration::from_secs(30))
}

fn scope() -> wellspring::key::ScopeId {
    Scope::new().id(&Corpus::default(), "bench").expect("a scope")
}

fn entry(question: &str, documents: &[String], embedding: Option<Embedding>) -> Entry {
    let key = CacheKey::new(Corpus::default(), scope(), question).expect("a question");
    let now = SystemClock.now();
    Entry {
        id: key.exact,
        corpus: key.corpus,
        scope: key.scope,
        tenant: None,
        question: key.text,
        embedding,
        answer: Answer::new("x".repeat(1024)),
        dependencies: documents.iter().map(Dependency::document).collect(),
        created_at: now,
        expires_at: now.saturating_add(Duration::from_hours(24)),
        recompute: Duration::from_secs(1),
    }
}

async fn fill(store: &ValkeyStore, entry: Entry) {
    let read_version = store.lookup(&entry.corpus, entry.id).await.expect("a lookup").read_version;
    store.fill(read_version, Arc::new(entry)).await.expect("a fill");
}

async fn fill_many(store: &ValkeyStore, count: usize, documents: &[String]) {
    futures::stream::iter(0..count)
        .for_each_concurrent(128, |n| fill(store, entry(&format!("{documents:?} {n}"), documents, None)))
        .await;
}

fn hits(c: &mut Criterion) {
    let runtime = runtime();
    let server = Server::start();
    let mut group = c.benchmark_group("valkey");
    let (bare, kept, bounded) = runtime.block_on(async {
        let bare = options().memory_tier_bytes(0).connect(&server.url()).await.expect("a store");
        let kept = options().connect(&server.url()).await.expect("a store");
        let bounded = wellspring::store::Freshness::Bounded(Duration::from_hours(1));
        let bounded = options().freshness(bounded).connect(&server.url()).await.expect("a store");
        (bare, kept, bounded)
    });
    // The embedding is part of what a hit carries.
    let (vectors, _) = support::vectors(1);
    let stored = entry("how long is the warranty", &["a".into()], Some(vectors[0].clone()));
    runtime.block_on(fill(&bare, stored.clone()));
    let client = redis::Client::open(server.url()).expect("an address");
    let connection = runtime.block_on(client.get_multiplexed_async_connection()).expect("a connection");
    let bytes = vec![b'x'; 1024 + 4 * support::DIMENSIONS + 300];
    runtime.block_on(connection.clone().set::<_, _, ()>("bare", bytes)).expect("SET");

    group.bench_function("GET of the same payload", |b| {
        b.to_async(&runtime).iter(async || {
            let bytes: Vec<u8> = connection.clone().get("bare").await.expect("GET");
            assert!(bytes.len() > 1024);
        });
    });
    for (name, store) in
        [("exact hit", &bare), ("exact hit, payload in memory", &kept), ("exact hit, bounded", &bounded)]
    {
        group.bench_function(name, |b| {
            b.to_async(&runtime).iter(async || {
                let fetched = store.lookup(&stored.corpus, stored.id).await.expect("a lookup");
                assert!(matches!(fetched.found, Found::Live(_)));
            });
        });
    }
    group.bench_function("miss with claim", |b| {
        b.to_async(&runtime).iter(async || {
            let (fetched, _) = bare
                .lookup_or_claim(&stored.corpus, wellspring::EntryId::from_bytes([9; 16]))
                .await
                .expect("a lookup");
            assert!(matches!(fetched.found, Found::Absent));
        });
    });
    group.bench_function("fill", |b| {
        b.to_async(&runtime).iter(async || fill(&bare, stored.clone()).await);
    });
    group.finish();
}

/// PINGs until `stop` is set; the worst and the median of their times.
fn pings(server: &Server, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<(Duration, Duration)> {
    let client = redis::Client::open(server.url()).expect("an address");
    std::thread::spawn(move || {
        let mut connection = client.get_connection().expect("a connection");
        let mut took = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let started = Instant::now();
            redis::cmd("PING").exec(&mut connection).expect("PING");
            took.push(started.elapsed());
            std::thread::sleep(Duration::from_micros(200));
        }
        took.sort_unstable();
        (*took.last().expect("a PING"), took[took.len() / 2])
    })
}

fn watched<T>(server: &Server, work: impl FnOnce() -> T) -> (T, Duration, Duration) {
    let stop = Arc::new(AtomicBool::new(false));
    let pings = pings(server, Arc::clone(&stop));
    std::thread::sleep(Duration::from_millis(20));
    let result = work();
    stop.store(true, Ordering::Relaxed);
    let (worst, median) = pings.join().expect("PINGs");
    (result, worst, median)
}

fn invalidations(_: &mut Criterion) {
    let runtime = runtime();
    let server = Server::start();
    let store = runtime.block_on(options().connect(&server.url())).expect("a store");
    let ((), worst, median) = watched(&server, || std::thread::sleep(Duration::from_secs(1)));
    println!("PING alone: median {median:.1?}, worst {worst:.1?}");
    println!(
        "{:>12} {:>12} {:>12} {:>14} {:>14}",
        "dependants", "invalidate", "drained in", "PING median", "PING worst"
    );
    for (count, rounds) in [(1, 200), (1_000, 20), (entries(), 1)] {
        let mut took = Vec::new();
        let (mut drained, mut worst, mut median) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        for round in 0..rounds {
            // All entries depend on each of these.
            let shared = if rounds == 1 { SHARED } else { 1 };
            let documents: Vec<String> = (0..shared).map(|n| format!("{count}-{round}-{n}")).collect();
            runtime.block_on(fill_many(&store, count, &documents));
            for (n, document) in documents.iter().enumerate() {
                let work = || {
                    runtime.block_on(async {
                        let started = Instant::now();
                        let changes = [Change::document(document)];
                        store.invalidate(&Corpus::default(), &changes).await.expect("in force");
                        let invalidated = started.elapsed();
                        store.status().await.expect("a status");
                        (invalidated, started.elapsed())
                    })
                };
                // The first removes the entries: how this affects others, and how long the next ones take alone.
                if n == 0 && rounds == 1 {
                    let ((_, all), ping_worst, ping_median) = watched(&server, work);
                    (drained, worst, median) = (all, ping_worst, ping_median);
                } else {
                    took.push(work().0);
                }
            }
        }
        took.sort_unstable();
        println!(
            "{count:>12} {:>12.1?} {drained:>12.1?} {median:>14.1?} {worst:>14.1?}",
            took[took.len() / 2]
        );
    }
}

/// What callers notice of a server that stops answering, dies, and comes back.
fn outages(_: &mut Criterion) {
    let runtime = runtime();
    println!("{:>12} {:>16} {:>16} {:>12}", "server", "first lookups", "later, median", "hits after");
    for is_killed in [false, true] {
        let server = Server::start();
        runtime.block_on(async {
            let store = ValkeyStore::options().connect(&server.url()).await.expect("a store");
            let cache = Cache::builder(FakeEmbedder::new(8), store).build().await.expect("a cache");
            let ask = async || {
                let started = Instant::now();
                let found = cache.lookup(Query::new("question").exact_only()).await.expect("no error");
                let took = started.elapsed();
                match found {
                    Lookup::Hit(_) => (took, true),
                    Lookup::Miss(permit) => {
                        permit.fill("answer", vec![Dependency::document("a")]).await;
                        (took, false)
                    }
                    _ => (took, false),
                }
            };
            ask().await;
            assert!(ask().await.1, "a hit");
            if is_killed {
                server.kill();
            } else {
                server.stop();
            }
            let mut took = Vec::new();
            for _ in 0..200 {
                took.push(ask().await.0);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let first = took[..5].iter().max().copied().unwrap_or_default();
            took.sort_unstable();
            if is_killed {
                server.restart();
            } else {
                server.cont();
            }
            let started = Instant::now();
            while !ask().await.1 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let name = if is_killed { "kill -9" } else { "SIGSTOP" };
            let median = took[took.len() / 2];
            println!("{name:>12} {first:>16.1?} {median:>16.1?} {:>12.1?}", started.elapsed());
        });
    }
}

fn starting_again(_: &mut Criterion) {
    let runtime = runtime();
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let count = entries();
    let (vectors, source) = support::vectors(count.min(100_000));
    println!("{count} entries with vectors of {source}");
    let build = || {
        runtime.block_on(async {
            let store = options().connect(&server.url()).await.expect("a store");
            let builder = Cache::builder(FakeEmbedder::new(support::DIMENSIONS), store);
            let builder = builder.index_snapshots(folder.path()).index_wait(Duration::from_hours(2));
            builder.build().await.expect("a cache")
        })
    };
    let vector = |n: usize| {
        // Beyond what there is, others near to them.
        let mut components = vectors[n % vectors.len()].as_slice().to_vec();
        components[n / vectors.len()] += 0.3 * (n / vectors.len()) as f32;
        components
    };
    let query = |n: usize| Query::new(format!("question {n}")).embedding(vector(n));
    let cache = build();
    let started = Instant::now();
    runtime.block_on(async {
        futures::stream::iter(0..count)
            .for_each_concurrent(128, |n| {
                let (cache, query) = (&cache, query(n).similarity_threshold(1.0).exact_only());
                async move {
                    if let Lookup::Miss(permit) = cache.lookup(query).await.expect("a question") {
                        permit.fill("x".repeat(1024), vec![Dependency::document("a")]).await;
                    }
                }
            })
            .await;
    });
    println!("filled in {:.1?}", started.elapsed());
    // Its first search compares what it filled with what the server lists.
    runtime.block_on(async { drop(cache.lookup(query(0).similarity_threshold(0.999)).await) });
    runtime.block_on(cache.wait_idle()).expect("an index");
    println!("filled and linked in {:.1?}", started.elapsed());
    let started = Instant::now();
    runtime.block_on(cache.close()).expect("a snapshot");
    println!("saved in {:.1?}", started.elapsed());
    drop(cache);

    let started = Instant::now();
    let cache = build();
    let hit = runtime.block_on(cache.lookup(Query::new("question 7").exact_only())).expect("a question");
    assert!(matches!(hit, Lookup::Hit(_)), "an exact hit");
    println!("first exact hit after {:.1?}", started.elapsed());
    let near = Query::new("near to question 7").embedding(vector(7)).similarity_threshold(0.99);
    let hit = runtime.block_on(cache.lookup(near)).expect("a question");
    assert!(matches!(hit, Lookup::Hit(_)), "a semantic hit");
    println!("first semantic hit after {:.1?}", started.elapsed());
}

criterion_group!(benches, hits, outages, invalidations, starting_again);
criterion_main!(benches);
