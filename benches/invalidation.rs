//! What it costs to report many changed documents in one call, and how this affects other callers.
//!
//! For each kind of store, documents that nothing depends on, and documents that one answer each depends on, are
//! reported in one call. Meanwhile, another connection (or another task, if there is no server) looks up one answer
//! again and again; its times are given with and without the call, so that they can be compared on a machine of any
//! speed. `server` is the time that the server's main thread was busy for each document, until the answers that
//! depended on it were cleaned up. `WELLSPRING_BENCH_DOCUMENTS` sets the sizes of the calls (default
//! `1000,10000,100000`), `WELLSPRING_BENCH_STORES` the stores (default `memory,embedded,valkey/1,valkey/16,valkey/64`,
//! by the number of buckets).

#![expect(clippy::print_stdout, reason = "the figures")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio::runtime::Runtime;
use wellspring::clock::{Clock as _, SystemClock};
use wellspring::key::CacheKey;
use wellspring::store::{Found, Store, ValkeyStore};
use wellspring::{Answer, Change, Corpus, Dependency, EmbeddedStore, Entry, EntryId, MemoryStore, Scope};
use wellspring_test_support::servers::Server;

/// How long lookups are timed while no call runs.
const ALONE: Duration = Duration::from_secs(1);

fn setting(name: &str, default: &str) -> Vec<String> {
    let value = std::env::var(name).unwrap_or_else(|_| default.to_owned());
    value.split(',').map(str::to_owned).collect()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// A store, and another connection to it for lookups meanwhile.
struct Stores {
    store: Arc<dyn Store>,
    beside: Arc<dyn Store>,
    server: Option<Server>,
    _folder: tempfile::TempDir,
}

impl Stores {
    fn open(runtime: &Runtime, kind: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        if let Some(buckets) = kind.strip_prefix("valkey/") {
            let buckets = buckets.parse().expect("a number of buckets");
            let server = Server::start();
            let connect = || {
                let options = ValkeyStore::options().buckets(buckets).memory_tier_bytes(0);
                let options = options.command_timeout(Duration::from_secs(10));
                let store = runtime.block_on(options.connect(&server.url())).expect("a store");
                Arc::new(store) as Arc<dyn Store>
            };
            return Self { store: connect(), beside: connect(), server: Some(server), _folder: folder };
        }
        let store: Arc<dyn Store> = match kind {
            "memory" => Arc::new(MemoryStore::default()),
            "embedded" => Arc::new(EmbeddedStore::open(folder.path().join("store")).expect("a store")),
            other => panic!("no store is called {other}"),
        };
        Self { beside: Arc::clone(&store), store, server: None, _folder: folder }
    }

    /// How long the server's main thread has been busy so far.
    fn busy(&self) -> Option<Duration> {
        let server = self.server.as_ref()?;
        let seconds = |field| server.info(field)?.parse::<f64>().ok();
        let (user, system) = ("used_cpu_user_main_thread", "used_cpu_sys_main_thread");
        Some(Duration::from_secs_f64(seconds(user)? + seconds(system)?))
    }
}

fn entry(question: &str, document: &str) -> Entry {
    let scope = Scope::new().id(&Corpus::default(), "bench").expect("a scope");
    let key = CacheKey::new(Corpus::default(), scope, question).expect("a question");
    let now = SystemClock.now();
    Entry {
        id: key.exact,
        corpus: key.corpus,
        scope: key.scope,
        tenant: None,
        question: key.text,
        embedding: None,
        answer: Answer::new("x".repeat(256)),
        dependencies: vec![Dependency::document(document)],
        created_at: now,
        expires_at: now.saturating_add(Duration::from_hours(24)),
        recompute: Duration::from_secs(1),
    }
}

async fn fill(store: &dyn Store, entry: Entry) {
    let read_version = store.lookup(&entry.corpus, entry.id).await.expect("a lookup").read_version;
    store.fill(read_version, Arc::new(entry)).await.expect("a fill");
}

/// The median and the 99th percentile of what lookups of `id` take until `stop`.
fn lookups(store: &dyn Store, id: EntryId, stop: &AtomicBool) -> (Duration, Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut took = Vec::new();
    while took.is_empty() || !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        let found = runtime.block_on(store.lookup(&Corpus::default(), id)).expect("a lookup").found;
        took.push(started.elapsed());
        assert!(matches!(found, Found::Live(_)), "{found:?}");
        std::thread::sleep(Duration::from_micros(100));
    }
    took.sort_unstable();
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

/// The same while `work` runs.
fn beside<T>(stores: &Stores, id: EntryId, work: impl FnOnce() -> T) -> (T, (Duration, Duration)) {
    let stop = Arc::new(AtomicBool::new(false));
    let (store, reported) = (Arc::clone(&stores.beside), Arc::clone(&stop));
    let lookups = std::thread::spawn(move || lookups(&*store, id, &reported));
    let result = work();
    stop.store(true, Ordering::Relaxed);
    (result, lookups.join().expect("lookups"))
}

fn measure(runtime: &Runtime, kind: &str, count: usize, with_dependants: bool) {
    let stores = Stores::open(runtime, kind);
    let document = |n: usize| format!("document {n}");
    let hit = entry("beside", "another document");
    let id = hit.id;
    runtime.block_on(async {
        fill(&*stores.store, hit).await;
        if with_dependants {
            let entries = (0..count).map(|n| entry(&format!("question {n}"), &document(n)));
            futures::stream::iter(entries)
                .for_each_concurrent(128, |entry| fill(&*stores.store, entry))
                .await;
        }
    });
    let ((), alone) = beside(&stores, id, || std::thread::sleep(ALONE));
    let changes: Vec<Change> = (0..count).map(|n| Change::document_version(document(n), "2")).collect();
    let busy = stores.busy();
    let ((took, dropped), meanwhile) = beside(&stores, id, || {
        let started = Instant::now();
        let outcomes = runtime.block_on(stores.store.invalidate(&Corpus::default(), &changes));
        let took = started.elapsed();
        let dropped = outcomes
            .expect("in force")
            .into_iter()
            .filter(|outcome| matches!(outcome, wellspring::store::ChangeOutcome::Dropped(1..)));
        (took, dropped.count())
    });
    assert_eq!(dropped, if with_dependants { count } else { 0 });
    // All but the one that is looked up. A status takes the server a few commands for each bucket.
    while runtime.block_on(stores.store.status()).expect("a status").entries > 1 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let server = stores
        .busy()
        .zip(busy)
        .map(|(after, before)| after.saturating_sub(before) / u32::try_from(count).unwrap_or(1));
    let ratio = |(with, without): (Duration, Duration)| with.as_secs_f64() / without.as_secs_f64();
    println!(
        "{kind:>10} {count:>9} {:>10} {took:>10.1?} {:>12.0} {:>10} {:>9.0?} {:>9.0?} {:>9.0?} {:>9.0?} {:>6.1} {:>6.1}",
        if with_dependants { "one each" } else { "none" },
        count as f64 / took.as_secs_f64(),
        server.map_or("-".to_owned(), |server| format!("{server:.1?}")),
        alone.0,
        alone.1,
        meanwhile.0,
        meanwhile.1,
        ratio((meanwhile.0, alone.0)),
        ratio((meanwhile.1, alone.1)),
    );
}

fn main() {
    let runtime = runtime();
    println!(
        "{:>10} {:>9} {:>10} {:>10} {:>12} {:>10} {:>19} {:>19} {:>13}",
        "store",
        "documents",
        "dependants",
        "call",
        "documents/s",
        "server",
        "hit p50, p99 alone",
        "beside it",
        "ratios"
    );
    for kind in setting("WELLSPRING_BENCH_STORES", "memory,embedded,valkey/1,valkey/16,valkey/64") {
        for count in setting("WELLSPRING_BENCH_DOCUMENTS", "1000,10000,100000") {
            let count = count.parse().expect("a number of documents");
            for with_dependants in [false, true] {
                measure(&runtime, &kind, count, with_dependants);
            }
        }
    }
}
