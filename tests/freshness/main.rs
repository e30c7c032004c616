//! The promise itself: no answer is older than the documents that it derives from.
//!
//! Tasks ask, fill slowly, give up, update documents, hold them, let entries expire and restart the store,
//! all at random. The fake LLM writes the document versions that it read into its answer, and the checker
//! requires, for every answer that is served, that each version is at least the highest whose invalidation
//! had returned before the request began.
//!
//! `WELLSPRING_SEED` sets the seed, which is printed, and `WELLSPRING_CHECK_SECONDS` how long each run
//! takes. The seed gives each task the same steps again; how they interleave is up to threads and disks.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use wellspring_test_support as support;

mod controls;
mod kills;
mod simulation;
mod world;

use std::time::Duration;

use wellspring::store::{Eviction, Limits};

use crate::simulation::{Habit, Simulation};
use crate::support::{Bench, Kind};

fn seed() -> u64 {
    let seed = std::env::var("WELLSPRING_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed = seed.unwrap_or_else(rand::random);
    eprintln!("WELLSPRING_SEED={seed}");
    seed
}

fn run_time() -> Duration {
    let seconds = std::env::var("WELLSPRING_CHECK_SECONDS").ok().map(|seconds| seconds.parse());
    Duration::from_secs_f64(seconds.map_or(4.0, |seconds| seconds.expect("a number")))
}

fn tiny() -> Limits {
    Limits::default().max_entries(24)
}

/// Runs the simulation on what `bench` opens, and expects many hits of each tier and none of them stale.
async fn is_fresh(bench: Bench, limits: Limits) {
    let seed = seed();
    let restarts = bench.kind == Kind::Embedded;
    let mut simulation = Simulation::new(seed, bench, limits, Habit::Sound).await;
    simulation.enough = |counts| {
        counts.exact + counts.semantic >= 10_000
            && counts.exact >= 3_000
            && counts.semantic >= 1_000
            && counts.coalesced >= 50
            && counts.made >= 100
            && counts.changes >= 20
            && counts.dropped >= 20
    };
    simulation.run(run_time(), restarts).await;
    let counts = simulation.world.counts();
    eprintln!("{counts:?}");
    assert_eq!(counts.stale, 0, "{:?}", simulation.world.first_stale());
    assert_eq!(counts.bypassed, 0, "the cache was bypassed");
    assert!((simulation.enough)(&counts), "too little was checked: {counts:?}");
}

#[tokio::test]
async fn nothing_stale_from_memory_on_one_thread() {
    is_fresh(Bench::new(Kind::Memory), tiny()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nothing_stale_from_memory_on_several_threads() {
    is_fresh(Bench::new(Kind::Memory), tiny().eviction(Eviction::LeastFrequentlyUsed)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nothing_stale_from_disk_with_restarts() {
    is_fresh(Bench::new(Kind::Embedded), tiny()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nothing_stale_when_no_caller_waits_for_the_disk() {
    let bench = Bench::new(Kind::Embedded);
    let seed = seed();
    let mut simulation = Simulation::write_behind(seed, bench, tiny()).await;
    simulation.enough = |counts| counts.exact + counts.semantic >= 2_000;
    simulation.run(run_time() / 2, true).await;
    let counts = simulation.world.counts();
    assert_eq!(counts.stale, 0, "{:?}", simulation.world.first_stale());
    assert!((simulation.enough)(&counts), "too little was checked: {counts:?}");
}
