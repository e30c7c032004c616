//! Negative controls: each leaves out one part of the protocol, and the checker must notice.

use std::sync::Arc;
use std::time::Duration;

use wellspring::store::{Limits, MemoryStore};

use crate::simulation::{Habit, Simulation};
use crate::support::faulty::{Fault, FaultyStore};
use crate::support::{Bench, Kind};
use crate::world::World;

/// The longest that a control may take until it is caught; most take milliseconds.
const PATIENCE: Duration = Duration::from_mins(10);

async fn is_caught(habit: Habit, fault: Option<Fault>) {
    let seed = crate::seed();
    let bench = Bench::new(Kind::Memory);
    let simulation = match fault {
        None => Simulation::new(seed, bench, Limits::default(), habit).await,
        Some(fault) => {
            let inner = MemoryStore::with_clock(Limits::default(), Arc::clone(&bench.clock) as _);
            let store = FaultyStore::new(fault, inner);
            Simulation::on(seed, bench, Limits::default(), habit, store, World::default()).await
        }
    };
    simulation.run(PATIENCE, false).await;
    let counts = simulation.world.counts();
    assert!(counts.stale > 0, "the checker did not notice: {counts:?}");
}

#[tokio::test]
async fn a_snapshot_taken_after_retrieval_is_caught() {
    is_caught(Habit::SnapshotAfterRetrieval, None).await;
}

#[tokio::test]
async fn a_store_without_the_fence_is_caught() {
    is_caught(Habit::Sound, Some(Fault::NoFence)).await;
}

#[tokio::test]
async fn a_store_without_the_check_at_reading_is_caught() {
    is_caught(Habit::Sound, Some(Fault::NoReadCheck)).await;
}

#[tokio::test]
async fn handing_the_leaders_answer_to_who_comes_late_is_caught() {
    is_caught(Habit::ShareTheLeadersAnswer, None).await;
}
