//! Negative controls: each leaves out one part of the protocol, and the checker must notice.

use std::time::Duration;

use crate::crew::{Crew, Effort};
use crate::plan::{Habit, Plan};
use crate::support::servers::Server;

/// Makes a clock as opening a lost one does, but with the random bits that it had before.
const OPEN_WITH_A_USED_NONCE: &str = "
local c = redis.call('HMGET', KEYS[1], 'r', 'i')
redis.call('UNLINK', KEYS[1])
return redis.call('HSET', KEYS[1], 'r', c[1], 'i', c[2], 's', '0', 'f', '0')";

/// The longest that a control may take until it is caught.
const PATIENCE: Duration = Duration::from_mins(10);

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

#[test]
fn a_lost_clock_that_is_opened_with_a_used_nonce_is_caught() {
    let server = Server::start();
    let crew = Crew::start(effort(), Plan::at(vec![server.url()]));
    assert_caught(crew, |_| {
        let clocks: Vec<String> =
            redis::from_redis_value(server.command(&["KEYS", "wellspring:c:*"])).unwrap();
        for clock in clocks {
            server.command(&["EVAL", OPEN_WITH_A_USED_NONCE, "1", &clock]);
        }
    });
}
