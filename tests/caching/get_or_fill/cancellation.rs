//! Futures that are dropped at any of their awaits.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use wellspring::{Change, Corpus, Lookup, Query, Tier};

use crate::get_or_fill::{Fixture, is_free, made};
use crate::support::Kind;

const QUESTIONS: usize = 20;

/// Polls a future so many times, then drops it; whether it got done.
fn poll_then_drop(polls: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..polls).any(|_| matches!(future.as_mut().poll(&mut context), Poll::Ready(_)))
}

fn query(n: usize) -> Query {
    Query::new(format!("question number{n} about subject{n} and matter{n}")).similarity_threshold(0.9)
}

async fn leaves_nothing_behind(kind: Kind, times: usize) {
    let fixture = Fixture::new(kind).await;
    let cache = &fixture.cache;
    let mut random = SmallRng::seed_from_u64(4);
    let (mut dropped, mut done) = (0, 0);
    while dropped < times {
        let (n, polls) = (random.random_range(0..QUESTIONS), random.random_range(1..6));
        let slow = random.random_range(0..3);
        let make = async || {
            for _ in 0..slow {
                tokio::task::yield_now().await;
            }
            made("answer")
        };
        // Meanwhile, a second caller asks the same question, sometimes as the leader and sometimes as a follower.
        let beside = cache.get_or_fill(query(n), async |_| make().await);
        let got_done = match random.random_range(0..4) {
            0 => poll_then_drop(polls, async {
                if let Ok(Lookup::Miss(permit)) = cache.lookup(query(n)).await {
                    let (answer, dependencies) = make().await.unwrap();
                    drop(permit.fill(answer, dependencies).await);
                }
            }),
            1 => poll_then_drop(polls, cache.invalidate(&Corpus::default(), &[Change::document("a")])),
            _ => poll_then_drop(polls, async {
                let own = cache.get_or_fill(query(n), async |_| make().await);
                tokio::join!(beside, own)
            }),
        };
        *if got_done { &mut done } else { &mut dropped } += 1;
        assert!(done <= 100 * times, "hardly anything is dropped before it is done");
    }
    cache.invalidate(&Corpus::default(), &[Change::Everything]).await.unwrap();
    for n in 0..QUESTIONS {
        // A fill that was dropped halfway continues by itself, and ends.
        let freed = async {
            while !is_free(cache, query(n)).await {
                tokio::task::yield_now().await;
            }
        };
        let freed = tokio::time::timeout(Duration::from_mins(1), freed).await;
        assert!(freed.is_ok(), "a flight of question {n} is left behind");
    }
    // And everything works as before.
    for n in 0..QUESTIONS {
        let served = cache.get_or_fill(query(n), async |_| made("new")).await.unwrap();
        assert_eq!(&*served.answer.text, "new");
    }
    assert_eq!(fixture.stored().await, QUESTIONS as u64);
}

#[tokio::test]
async fn twenty_thousand_dropped_futures_leave_nothing_behind() {
    leaves_nothing_behind(Kind::Memory, 20_000).await;
}

#[tokio::test]
async fn dropped_futures_leave_nothing_behind_on_disk() {
    leaves_nothing_behind(Kind::Embedded, 2_000).await;
}

// A fill that was dropped after it reached the store was stored, but never came into the index.
#[tokio::test]
async fn a_fill_that_is_dropped_on_its_way_can_be_found_by_meaning() {
    let fixture = Fixture::new(Kind::Embedded).await;
    let asked = |text: &str| fixture.cache.lookup(Query::new(text).similarity_threshold(0.5));
    let Lookup::Miss(permit) = asked("how long is the warranty").await.unwrap() else { panic!("not a miss") };
    assert!(!poll_then_drop(1, permit.fill("two years", [])), "it went to another thread");
    let stored = async {
        while fixture.cache.metrics().stored == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), stored).await.expect("it is stored all the same");
    let found = asked("how long is the warranty then").await.unwrap();
    assert!(matches!(found, Lookup::Hit(hit) if matches!(hit.tier, Tier::Semantic { .. })));
}
