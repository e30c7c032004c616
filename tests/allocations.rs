//! Limits on what a lookup allocates: a copy of a payload, or a step that begins to allocate, exceeds them.
//!
//! Counted on the caller's thread, which does all the work of these lookups. Answers take 1 KB or 1 MB, and the
//! difference between the two is what was copied of the payload.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::pin::pin;
use std::sync::Arc;

use allocation_counter::{AllocationInfo, measure};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use wellspring::embed::FakeEmbedder;
use wellspring::{
    Admission, Answer, BoxError, Cache, Dependency, EmbeddedStore, Lookup, MemoryStore, Query, Served, Store,
    Threshold,
};

const DIMENSIONS: usize = 64;
const SMALL: usize = 1 << 10;
const LARGE: usize = 1 << 20;
const QUESTION: &str = "How long is the warranty of the second generation of the device in Norway?";
/// The most bytes that may differ without depending on the payload, such as a buffer that grows in steps.
const ROOM: u64 = 8 << 10;

/// A cache with one answer, whose text and metadata take `payload` bytes each, on a runtime of the calling thread.
struct World {
    runtime: Runtime,
    cache: Cache,
    _folder: TempDir,
}

/// What each kind of lookup allocates.
struct Costs {
    exact: AllocationInfo,
    semantic: AllocationInfo,
    miss: AllocationInfo,
}

impl World {
    fn new(open: impl AsyncFnOnce(&TempDir) -> Arc<dyn Store>, payload: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cache = runtime.block_on(async {
            let store = open(&folder).await;
            let builder = Cache::builder_from(Arc::new(FakeEmbedder::new(DIMENSIONS)), store)
                .verifier(Threshold::new())
                .admission(Admission::default().max_answer_bytes(LARGE));
            let cache = builder.similarity_threshold(0.9).build().await.unwrap();
            let query = Query::new(QUESTION).embedding(direction(0));
            let Ok(Lookup::Miss(permit)) = cache.lookup(query).await else { panic!("not a miss") };
            let answer = Answer::new("x".repeat(payload)).metadata("y".repeat(payload));
            permit.fill(answer, [Dependency::document("warranty.md")]).await;
            // The index of a store that processes share is loaded when it is first searched.
            let _ = cache.lookup(Query::new("Unknown?").embedding(direction(1))).await;
            cache.wait_idle().await.unwrap();
            cache
        });
        Self { runtime, cache, _folder: folder }
    }

    fn costs(&self) -> Costs {
        Costs {
            exact: self.hit(|| Query::new(QUESTION)),
            semantic: self.hit(|| Query::new("Guarantee period of the device?").embedding(direction(0))),
            miss: self.least(async || {
                let query = Query::new("Unknown?").embedding(direction(1));
                assert!(matches!(self.cache.lookup(query).await, Ok(Lookup::Miss(_))));
            }),
        }
    }

    fn hit(&self, query: impl Fn() -> Query) -> AllocationInfo {
        self.least(async || assert!(matches!(self.cache.lookup(query()).await, Ok(Lookup::Hit(_)))))
    }

    /// The least of many runs: now and then, one also does housekeeping.
    fn least(&self, work: impl AsyncFn()) -> AllocationInfo {
        let once = || {
            // By reference, because tokio boxes a large future.
            let mut work = pin!(work());
            measure(|| self.runtime.block_on(work.as_mut()))
        };
        (0..100).map(|_| once()).min_by_key(|cost| (cost.count_total, cost.bytes_total)).unwrap()
    }
}

/// A unit vector along an axis.
fn direction(axis: usize) -> [f32; DIMENSIONS] {
    let mut components = [0.0; DIMENSIONS];
    components[axis] = 1.0;
    components
}

async fn memory(_: &TempDir) -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}

async fn embedded(folder: &TempDir) -> Arc<dyn Store> {
    Arc::new(EmbeddedStore::open(folder.path().join("store.redb")).unwrap())
}

/// Fails if more is allocated than `most`, or if more of text and metadata is copied than `copies` times.
#[track_caller]
fn check(what: &str, [small, large]: [&AllocationInfo; 2], most: u64, copies: u64) {
    eprintln!("{what}: {} allocations, {} bytes; large: {large:?}", small.count_total, small.bytes_total);
    assert!(small.count_total <= most, "{what}: {} allocations, expected {most}", small.count_total);
    let copied = large.bytes_total.saturating_sub(small.bytes_total);
    let payload = 2 * (LARGE - SMALL) as u64;
    assert!(
        copied <= copies * payload + ROOM,
        "{what}: {copied} bytes are copied of {payload}, expected {copies} times"
    );
}

#[test]
fn lookups_in_memory_copy_nothing() {
    let [small, large] = [SMALL, LARGE].map(|payload| World::new(memory, payload).costs());
    check("exact hit", [&small.exact, &large.exact], 5, 0);
    check("semantic hit", [&small.semantic, &large.semantic], 13, 0);
    check("miss", [&small.miss, &large.miss], 11, 0);
}

#[test]
fn lookups_on_disk_copy_an_answer_once() {
    let [small, large] = [SMALL, LARGE].map(|payload| World::new(embedded, payload).costs());
    check("exact hit", [&small.exact, &large.exact], 25, 1);
    check("semantic hit", [&small.semantic, &large.semantic], 33, 1);
    check("miss", [&small.miss, &large.miss], 11, 0);
}

/// Besides the entry, [`Cache::get_or_fill`] once returned a deep copy of its metadata.
#[test]
fn the_whole_in_one_call_copies_nothing_either() {
    let [small, large] = [SMALL, LARGE].map(|payload| {
        let world = World::new(memory, payload);
        world.least(async || {
            let never = async |_| -> Result<(Answer, Vec<Dependency>), BoxError> { unreachable!() };
            let served: Result<Served, _> = world.cache.get_or_fill(Query::new(QUESTION), never).await;
            assert!(served.unwrap().is_hit());
        })
    });
    check("get_or_fill", [&small, &large], 7, 0);
}

#[cfg(feature = "valkey")]
mod on_a_server {
    use wellspring::store::ValkeyOptions;

    use super::*;
    use wellspring_test_support::servers::Flavour;
    use wellspring_test_support::valkey::{patient_now, shared_server};

    fn world(options: ValkeyOptions, payload: usize) -> World {
        let url = shared_server(Flavour::Valkey).url();
        World::new(
            async |folder| {
                let name = folder.path().file_name().unwrap().to_string_lossy().into_owned();
                let store = options.prefix(name + ":").connect(&url).await.unwrap();
                Arc::new(store) as Arc<dyn Store>
            },
            payload,
        )
    }

    #[test]
    fn lookups_of_what_the_process_has_copy_nothing() {
        let [small, large] = [SMALL, LARGE].map(|payload| world(patient_now(), payload).costs());
        check("exact hit", [&small.exact, &large.exact], 60, 0);
        check("semantic hit", [&small.semantic, &large.semantic], 110, 0);
        check("miss", [&small.miss, &large.miss], 70, 0);
    }

    #[test]
    fn lookups_of_what_the_server_sends_copy_it_out_of_the_reply() {
        let exact = [SMALL, LARGE].map(|payload| {
            let world = world(patient_now().memory_tier_bytes(0), payload);
            world.hit(|| Query::new(QUESTION))
        });
        check("exact hit", [&exact[0], &exact[1]], 65, 2);
    }
}
