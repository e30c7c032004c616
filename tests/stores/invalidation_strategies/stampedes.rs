//! Many processes that want the same answer at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::from_redis_value;
use tokio::sync::Semaphore;
use wellspring::{Cache, Change, Dependency, FillOutcome, Lookup, Principal, Query, Served, Visibility};

use crate::invalidation_strategies::{
    Llm, calls_of, change, exactly, keys, process, process_with, put, server,
};
use crate::support::servers::{Flavour, Server};
use crate::support::valkey::patient_now;
use crate::support::{PATIENCE, eventually};

on_every_server!(
    one_process_computes_and_the_others_wait,
    a_claim_is_renewed_while_the_answer_is_made,
    a_holder_that_dies_frees_its_claim,
    a_fill_after_the_claim_was_lost_is_fenced,
    who_is_in_line_hears_of_a_failure,
    a_permit_may_be_dropped_outside_of_a_runtime,
    one_whose_answer_is_not_stored_claims_nothing,
);

const QUESTION: &str = "How do I reset my password?";
const CLAIM_LIFE: Duration = Duration::from_millis(400);

fn claims(server: &Server) -> Vec<String> {
    keys(server, "wellspring:l:*")
}

/// An answer that takes until the gate opens.
#[derive(Clone)]
struct Slow {
    calls: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Slow {
    fn new() -> Self {
        Self { calls: Arc::default(), gate: Arc::new(Semaphore::new(0)) }
    }

    fn spawn(&self, cache: &Cache) -> tokio::task::JoinHandle<Served> {
        let (slow, cache) = (self.clone(), cache.clone());
        tokio::spawn(async move {
            let compute = async |_| {
                slow.calls.fetch_add(1, Ordering::SeqCst);
                slow.gate.acquire().await.unwrap().forget();
                Ok(("answer", vec![Dependency::document("a")]))
            };
            cache.get_or_fill(Query::new(QUESTION), compute).await.unwrap()
        })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

async fn one_process_computes_and_the_others_wait(flavour: Flavour) {
    let server = server(flavour);
    let processes = [process(&server).await, process(&server).await, process(&server).await];
    let slow = Slow::new();
    let callers: Vec<_> = (0..60).map(|n| slow.spawn(&processes[n % 3])).collect();
    eventually("one computes", async || slow.calls() == 1).await;
    eventually("each process asked for the claim", async || calls_of(&server, "set") >= 3).await;
    assert_eq!(slow.calls(), 1, "the others wait");
    // Enough for all, so that whoever did not wait is counted.
    slow.gate.add_permits(60);
    let mut hits = 0;
    for caller in callers {
        let served = caller.await.unwrap();
        assert_eq!(&*served.answer.text, "answer");
        hits += usize::from(served.is_hit());
    }
    assert_eq!((slow.calls(), hits), (1, 59));
    eventually("the claim is freed", async || claims(&server).is_empty()).await;
}

async fn a_claim_is_renewed_while_the_answer_is_made(flavour: Flavour) {
    // It is renewed three times in its life, so a busy machine has some time to do it.
    const LIFE: Duration = Duration::from_secs(9);
    let server = server(flavour);
    let process =
        async || process_with(&server.url(), patient_now().claim_life(LIFE), |builder| builder).await;
    let (one, two) = (process().await, process().await);
    let slow = Slow::new();
    let maker = slow.spawn(&one);
    eventually("one computes", async || slow.calls() == 1).await;
    let token: Vec<u8> = from_redis_value(server.command(&["GET", &claims(&server)[0]])).unwrap();
    assert_eq!(token.len(), 16, "a random token says whose it is");
    let other = slow.spawn(&two);
    let claim = &claims(&server)[0];
    let left = || from_redis_value::<i64>(server.command(&["PTTL", claim])).unwrap();
    let mut before = left();
    eventually("the claim is given a longer life while the answer is being made", async || {
        let (earlier, now) = (before, left());
        before = now;
        now > earlier
    })
    .await;
    let held: Vec<u8> = from_redis_value(server.command(&["GET", claim])).unwrap();
    assert_eq!(held, token);
    assert_eq!(slow.calls(), 1, "the other one waits");
    slow.gate.add_permits(2);
    assert!(!maker.await.unwrap().is_hit() && other.await.unwrap().is_hit());
}

async fn a_holder_that_dies_frees_its_claim(flavour: Flavour) {
    let server = server(flavour);
    // Who waited for one that lives would wait for an hour.
    let survivor = process_with(&server.url(), patient_now().claim_life(CLAIM_LIFE), |builder| {
        builder.follow_timeout(Duration::from_hours(1))
    })
    .await;
    let url = server.url();
    // A runtime that goes with all its tasks leaves what a process leaves that is killed.
    let dead = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let permit = runtime.block_on(async {
            let cache = process_with(&url, patient_now().claim_life(CLAIM_LIFE), |builder| builder).await;
            match cache.lookup(exactly(QUESTION)).await.unwrap() {
                Lookup::Miss(permit) => permit,
                other => panic!("nothing is stored: {other:?}"),
            }
        });
        std::mem::forget(permit);
        runtime.shutdown_background();
    });
    tokio::task::spawn_blocking(move || dead.join().unwrap()).await.unwrap();
    let llm = Llm::default();
    let served = llm.ask(&survivor, exactly(QUESTION), "answer", vec![]);
    let served = tokio::time::timeout(PATIENCE, served).await.expect("it waits for one that is dead");
    assert!(!served.is_hit() && llm.calls() == 1);
}

async fn a_fill_after_the_claim_was_lost_is_fenced(flavour: Flavour) {
    let server = server(flavour);
    let (one, two) = (process(&server).await, process(&server).await);
    let Lookup::Miss(permit) = one.lookup(exactly(QUESTION)).await.unwrap() else { panic!("not stored") };
    // Evicted, or run out while this process was asleep.
    server.command(&["DEL", &claims(&server)[0]]);
    change(&two, &[Change::document("a")]).await;
    put(&two, QUESTION, "new", vec![Dependency::document("a")]).await;
    let late = permit.fill("old", vec![Dependency::document("a")]).await;
    assert!(matches!(late, FillOutcome::Refused(_)), "{late:?}");
    assert_eq!(&*crate::invalidation_strategies::hit(&one, QUESTION).await.unwrap().answer().text, "new");
}

async fn who_is_in_line_hears_of_a_failure(flavour: Flavour) {
    let server = server(flavour);
    let (one, two) = (process(&server).await, process(&server).await);
    let slow = Slow::new();
    let Lookup::Miss(permit) = one.lookup(Query::new(QUESTION)).await.unwrap() else { panic!("not stored") };
    let asked = calls_of(&server, "set");
    let waiting = slow.spawn(&two);
    eventually("the other one asked for the claim", async || calls_of(&server, "set") > asked).await;
    assert_eq!(slow.calls(), 0);
    // The first one gives up, as it does when its LLM fails.
    drop(permit);
    eventually("the next one computes", async || slow.calls() == 1).await;
    slow.gate.add_permits(1);
    assert!(!waiting.await.unwrap().is_hit());
}

async fn a_permit_may_be_dropped_outside_of_a_runtime(flavour: Flavour) {
    // Ending a claim spawned a task, which panics where there is no runtime.
    let server = server(flavour);
    let cache = process(&server).await;
    let Lookup::Miss(permit) = cache.lookup(exactly(QUESTION)).await.unwrap() else { panic!("not stored") };
    std::thread::spawn(move || drop(permit)).join().unwrap();
    eventually("the claim is freed", async || claims(&server).is_empty()).await;
}

async fn one_whose_answer_is_not_stored_claims_nothing(flavour: Flavour) {
    let server = server(flavour);
    let (one, two) = (process(&server).await, process(&server).await);
    let nobody = Query::new(QUESTION).principal(Principal::new("nobody").visibility(Visibility::NoOne));
    let Lookup::Miss(held) = one.lookup(nobody).await.unwrap() else { panic!("nothing is stored") };
    assert!(claims(&server).is_empty());
    let Lookup::Miss(permit) = two.lookup_or_wait(Query::new(QUESTION)).await.unwrap() else {
        panic!("nothing is stored");
    };
    assert_eq!(claims(&server).len(), 1);
    drop((held, permit));
}
