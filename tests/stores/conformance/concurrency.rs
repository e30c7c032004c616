//! Threads that fill, look up, hold and invalidate at once, with a checker.
//!
//! Each document has a counter that stands for its content. A writer raises it and then invalidates; a
//! filler takes a read version and then reads it. Any entry served must have been read at or after the
//! content whose invalidation had returned when its lookup began.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use wellspring::store::{Eviction, Found, Limits, Store};
use wellspring::{Answer, Change, Corpus, Dependency, Entry};

use crate::support::{Bench, PATIENCE, entry, found};

on_every_store!(no_interleaving_serves_what_was_invalidated, what_was_invalidated_is_cleaned_up);

const DOCUMENTS: usize = 6;
const QUESTIONS: usize = 24;
/// How many hits are checked at least, and how long it goes on at least.
const ENOUGH: u64 = 100;
const LEAST: Duration = Duration::from_millis(1_500);

#[derive(Default)]
struct World {
    content: [AtomicU64; DOCUMENTS],
    floor: [AtomicU64; DOCUMENTS],
    checked: AtomicU64,
}

impl World {
    /// The answer to question `n` as of now; its metadata states what it read.
    fn answer(&self, n: usize) -> Entry {
        let documents = [n % DOCUMENTS, (n / 3 + 1) % DOCUMENTS];
        let read = documents.map(|document| self.content[document].load(Ordering::SeqCst));
        let dependencies =
            documents.iter().map(|document| Dependency::document(format!("d{document}"))).collect();
        let metadata = serde_json::json!([documents, read]);
        Entry {
            answer: Answer::new(format!("{n}")).metadata(metadata),
            ..entry(&format!("question {n}"), dependencies)
        }
    }

    fn floors(&self) -> [u64; DOCUMENTS] {
        std::array::from_fn(|document| self.floor[document].load(Ordering::SeqCst))
    }

    fn check(&self, entry: &Entry, floors: [u64; DOCUMENTS]) {
        let (documents, read): ([usize; 2], [u64; 2]) =
            serde::Deserialize::deserialize(&*entry.answer.metadata).unwrap();
        for (document, read) in documents.into_iter().zip(read) {
            assert!(read >= floors[document], "{} read {read}, floor {}", entry.question, floors[document]);
        }
        self.checked.fetch_add(1, Ordering::Relaxed);
    }
}

async fn ask(store: &dyn Store, world: &World, random: &mut SmallRng) {
    let n = random.random_range(0..QUESTIONS);
    let floors = world.floors();
    let fetched = store.lookup(&Corpus::default(), world.answer(n).id).await.unwrap();
    if let Found::Live(entry) = &fetched.found {
        world.check(entry, floors);
        store.record_hit(&entry.corpus, entry.id);
        return;
    }
    // Read some time after the read version and some time before the fill.
    for _ in 0..random.random_range(0..3) {
        tokio::task::yield_now().await;
    }
    let answer = world.answer(n);
    for _ in 0..random.random_range(0..3) {
        tokio::task::yield_now().await;
    }
    store.fill(fetched.read_version, Arc::new(answer)).await.unwrap();
}

async fn update(store: &dyn Store, world: &World, random: &mut SmallRng) {
    let corpus = Corpus::default();
    let document = random.random_range(0..DOCUMENTS);
    let name = format!("d{document}");
    let hold = random.random_bool(0.3);
    if hold {
        store.begin_update(&corpus, &name).await.unwrap();
    }
    let content = world.content[document].fetch_add(1, Ordering::SeqCst) + 1;
    if hold {
        store.end_update(&corpus, &name, None).await.unwrap();
    } else if random.random_bool(0.05) {
        store.invalidate(&corpus, &[Change::Everything]).await.unwrap();
    } else {
        store.invalidate(&corpus, &[Change::document(name)]).await.unwrap();
    }
    world.floor[document].fetch_max(content, Ordering::SeqCst);
}

async fn no_interleaving_serves_what_was_invalidated(bench: Bench) {
    for eviction in [Eviction::LeastRecentlyUsed, Eviction::LeastFrequentlyUsed] {
        let bench = Bench::new(bench.kind);
        let store = bench.open(Limits::default().max_entries(QUESTIONS as u64 / 2).eviction(eviction));
        let world = Arc::new(World::default());
        let begun = Instant::now();
        let goes_on = move |world: &World| {
            let is_enough = world.checked.load(Ordering::Relaxed) >= ENOUGH;
            begun.elapsed() < if is_enough { LEAST } else { PATIENCE }
        };
        let tasks: Vec<_> = (0..8_u64)
            .map(|task| {
                let (store, world) = (Arc::clone(&store), Arc::clone(&world));
                tokio::spawn(async move {
                    let mut random = SmallRng::seed_from_u64(task);
                    while goes_on(&world) {
                        if task == 0 {
                            update(&*store, &world, &mut random).await;
                            for _ in 0..random.random_range(0..20) {
                                tokio::task::yield_now().await;
                            }
                        } else {
                            ask(&*store, &world, &mut random).await;
                        }
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let checked = world.checked.load(Ordering::Relaxed);
        assert!(checked >= ENOUGH, "only {checked} hits were checked");
        let status = store.status().await.unwrap();
        assert!(status.entries <= status.max_entries || !bench.kind.is_local(), "{status:?}");
        // The counts agree with what is served.
        let listed = store.scan(None, 1_000).await.unwrap();
        assert_eq!(listed.len() as u64, status.entries);
        for stored in listed {
            assert!(matches!(found(&*store, &stored.entry).await, Found::Live(_)));
        }
    }
}

async fn what_was_invalidated_is_cleaned_up(bench: Bench) {
    let store = bench.open(Limits::default());
    let (world, corpus) = (World::default(), Corpus::default());
    for round in 0..3 {
        let fills = (0..QUESTIONS).map(async |n| {
            let fetched = store.lookup(&Corpus::default(), world.answer(n).id).await.unwrap();
            store.fill(fetched.read_version, Arc::new(world.answer(n))).await.unwrap()
        });
        let changes: Vec<_> = (0..DOCUMENTS).map(|n| Change::document(format!("d{n}"))).collect();
        let (_, outcome) =
            tokio::join!(futures::future::join_all(fills), store.invalidate(&corpus, &changes));
        outcome.unwrap();
        store.invalidate(&corpus, &changes).await.unwrap();
        let status = store.status().await.unwrap();
        assert_eq!(status.entries, 0, "round {round}");
        assert!(status.bytes == 0 || !bench.kind.is_local(), "round {round}");
    }
}
