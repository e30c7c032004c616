//! Negative controls: each leaves out one part of the protocol, and the checker must notice.

use std::time::Duration;

use crate::crew::{Crew, Effort};
use crate::plan::{Habit, Plan};
use crate::support::servers::Server;

/// As long as a control may take until it is caught.
const PATIENCE: Duration = Duration::from_mins(1);

fn effort() -> Effort {
    Effort { seed: crate::seed(), workers: 3, time: PATIENCE, checks: 0 }
}

fn is_caught(habit: Habit) {
    let server = Server::start();
    let crew = Crew::start(effort(), Plan { habit, ..Plan::at(vec![server.url()]) });
    assert_caught(crew, |_| {});
}

/// Works and disturbs until something stale is noticed.
fn assert_caught(mut crew: Crew, mut disturb: impl FnMut(&mut Crew)) {
    while crew.goes_on() {
        crew.pass(10..50);
        disturb(&mut crew);
    }
    let outcome = crew.finish();
    let counts = outcome.counts;
    assert!(counts.stale > 0, "the checker did not notice: {counts:?}");
    eprintln!("caught after {:?} and {} answers: {:?}", outcome.time, counts.checked(), counts.first_stale);
}

#[test]
fn a_fill_without_the_fence_is_caught() {
    is_caught(Habit::NoFence);
}

#[test]
fn a_snapshot_taken_after_retrieval_is_caught() {
    is_caught(Habit::SnapshotAfterRetrieval);
}

#[test]
fn handing_the_leaders_answer_to_who_comes_late_is_caught() {
    is_caught(Habit::ShareTheLeadersAnswer);
}

#[test]
fn a_store_without_the_check_at_reading_is_caught() {
    is_caught(Habit::NoReadCheck);
}
