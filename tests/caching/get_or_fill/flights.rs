//! One flight per question.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, Semaphore};
use wellspring::policy::DeclinedReason;
use wellspring::store::RefusedReason;
use wellspring::{
    Answer, Change, Corpus, Dependency, FillOutcome, Lookup, Origin, Principal, Query, Scope, Visibility,
};

use crate::get_or_fill::{Fixture, Llm, is_free, made};
use crate::support::{Kind, eventually};

const QUESTION: &str = "How do I reset my password?";

/// Lets other tasks of this thread go on until they wait for something: callers have joined a flight then.
pub(super) async fn joined() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

async fn ten_thousand_make_one_call(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    let llm = Llm::default();
    let callers: Vec<_> = (0..10_000)
        .map(|_| {
            let (cache, llm) = (fixture.cache.clone(), llm.clone());
            tokio::spawn(async move { llm.ask(&cache, Query::new(QUESTION), "answer").await.unwrap() })
        })
        .collect();
    let mut hits = 0;
    for caller in callers {
        let served = caller.await.unwrap();
        assert_eq!(&*served.answer.text, "answer");
        hits += usize::from(served.is_hit());
    }
    assert_eq!((llm.calls(), hits), (1, 9_999));
    assert!(fixture.embedder.calls.load(Ordering::SeqCst) <= 1, "followers do not embed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_callers_make_one_call_in_memory() {
    ten_thousand_make_one_call(Kind::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_callers_make_one_call_on_disk() {
    ten_thousand_make_one_call(Kind::Embedded).await;
}

#[tokio::test]
async fn a_cancelled_leader_hands_over() {
    let fixture = Fixture::new(Kind::Memory).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let leading = Arc::new(Notify::new());
    let (cache, started, signal) = (fixture.cache.clone(), Arc::clone(&calls), Arc::clone(&leading));
    let leader = tokio::spawn(async move {
        let forever = async |_| {
            started.fetch_add(1, Ordering::SeqCst);
            signal.notify_one();
            std::future::pending::<()>().await;
            made("never")
        };
        drop(cache.get_or_fill(Query::new(QUESTION), forever).await);
    });
    leading.notified().await;
    let followers = (0..50).map(|_| {
        fixture.cache.get_or_fill(Query::new(QUESTION), async |_| {
            calls.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            made("second")
        })
    });
    let followers = futures::future::join_all(followers);
    let cancel = async {
        joined().await;
        assert_eq!(calls.load(Ordering::SeqCst), 1, "followers wait");
        leader.abort();
    };
    let (answers, ()) = tokio::join!(followers, cancel);
    assert!(answers.into_iter().all(|served| &*served.unwrap().answer.text == "second"));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn nobody_waits_for_one_whose_answer_is_not_stored() {
    let fixture = Fixture::new(Kind::Memory).await;
    let nobody = || Query::new(QUESTION).principal(Principal::new("nobody").visibility(Visibility::NoOne));
    let looked_up = fixture.cache.lookup(nobody()).await.unwrap();
    let waited = fixture.cache.lookup_or_wait(nobody()).await.unwrap();
    let (Lookup::Miss(first), Lookup::Miss(second)) = (looked_up, waited) else {
        panic!("nothing is stored")
    };
    assert!(!first.is_leader() && !second.is_leader());
    // Both permits are still held.
    let Lookup::Miss(permit) = fixture.cache.lookup_or_wait(Query::new(QUESTION)).await.unwrap() else {
        panic!("nothing is stored");
    };
    assert!(permit.is_leader());
    // One whose answer is not stored still waits for those whose answers are.
    let llm = Llm::default();
    let fill = async {
        joined().await;
        permit.fill("answer", [Dependency::document("a")]).await
    };
    let (served, filled) = tokio::join!(llm.ask(&fixture.cache, nobody(), "another"), fill);
    assert!(matches!(filled, FillOutcome::Stored(_)), "{filled:?}");
    assert_eq!((&*served.unwrap().answer.text, llm.calls()), ("answer", 0));
}

#[tokio::test]
async fn a_failing_leader_reports_its_waiters_and_stores_nothing() {
    let fixture = Fixture::new(Kind::Memory).await;
    let calls = AtomicUsize::new(0);
    let gate = Semaphore::new(0);
    let callers = (0..20).map(|_| {
        fixture.cache.get_or_fill(Query::new(QUESTION), async |_| {
            calls.fetch_add(1, Ordering::SeqCst);
            drop(gate.acquire().await);
            Err::<(Answer, Vec<Dependency>), _>(std::io::Error::other("out of tokens").into())
        })
    });
    let callers = futures::future::join_all(callers);
    let release = async {
        joined().await;
        gate.add_permits(1);
    };
    let (errors, ()) = tokio::join!(callers, release);
    for error in errors {
        let error = error.unwrap_err();
        assert_eq!(error.downcast_ref::<std::io::Error>().unwrap().to_string(), "out of tokens");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(fixture.stored().await, 0);
    // A caller that asks later tries for itself.
    let llm = Llm::default();
    let served = llm.ask(&fixture.cache, Query::new(QUESTION), "answer").await.unwrap();
    assert!(matches!(served.origin, Origin::Made(FillOutcome::Stored(_))));
}

#[tokio::test]
async fn followers_of_a_refused_answer_look_again() {
    let fixture = Fixture::new(Kind::Memory).await;
    let content = AtomicUsize::new(1);
    let (read, gate) = (Notify::new(), Semaphore::new(0));
    let leader = fixture.cache.get_or_fill(Query::new(QUESTION), async |_| {
        let text = content.load(Ordering::SeqCst).to_string();
        read.notify_one();
        drop(gate.acquire().await);
        made(&text)
    });
    let calls = AtomicUsize::new(0);
    let others = async {
        read.notified().await;
        let join_early = |_| {
            fixture.cache.get_or_fill(Query::new(QUESTION), async |_| {
                calls.fetch_add(1, Ordering::SeqCst);
                made(&content.load(Ordering::SeqCst).to_string())
            })
        };
        let early = futures::future::join_all((0..10).map(join_early));
        let update = async {
            joined().await;
            content.store(2, Ordering::SeqCst);
            fixture.cache.invalidate(&Corpus::default(), &[Change::document("a")]).await.unwrap();
            let late = futures::future::join_all((0..10).map(join_early));
            let release = async {
                joined().await;
                gate.add_permits(1);
            };
            tokio::join!(late, release).0
        };
        let (early, late) = tokio::join!(early, update);
        early.into_iter().chain(late).collect::<Vec<_>>()
    };
    let (leader, others) = tokio::join!(leader, others);
    let leader = leader.unwrap();
    // The leader's own caller asked before the change; no one else is given its answer.
    assert_eq!(&*leader.answer.text, "1");
    let refused = FillOutcome::Refused(RefusedReason::DependencyChanged);
    assert_eq!(format!("{:?}", leader.origin), format!("{:?}", Origin::Made(refused)));
    for other in others {
        assert_eq!(&*other.unwrap().answer.text, "2");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1, "one of them made it for all");
}

#[tokio::test]
async fn callers_of_what_is_not_kept_do_not_queue() {
    let fixture = Fixture::new(Kind::Memory).await;
    let personal = Query::new(QUESTION).scope(Scope::new().private());
    for (query, text, reason) in [
        (Query::new(QUESTION), " ", DeclinedReason::Empty),
        (personal, "yours", DeclinedReason::PrivateWithoutTenant),
    ] {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let callers = (0..100).map(|_| {
            fixture.cache.get_or_fill(query.clone(), async |_| {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                joined().await;
                running.fetch_sub(1, Ordering::SeqCst);
                made(text)
            })
        });
        for served in futures::future::join_all(callers).await {
            let outcome = FillOutcome::Declined(reason);
            assert_eq!(format!("{:?}", served.unwrap().origin), format!("{:?}", Origin::Made(outcome)));
        }
        assert!(most.into_inner() >= 50, "they wait for one another");
        assert_eq!(fixture.stored().await, 0);
    }
}

#[tokio::test]
async fn a_private_error_is_not_shared() {
    // Callers without a tenant shared a flight, so one got the error of another.
    let fixture = Fixture::new(Kind::Memory).await;
    let personal = Query::new(QUESTION).scope(Scope::new().private());
    let callers = (0..10).map(|n| {
        fixture.cache.get_or_fill(personal.clone(), async move |_| {
            joined().await;
            Err::<(Answer, Vec<Dependency>), _>(std::io::Error::other(format!("about {n}")).into())
        })
    });
    for (n, error) in futures::future::join_all(callers).await.into_iter().enumerate() {
        assert_eq!(error.unwrap_err().to_string(), format!("about {n}"));
    }
}

#[tokio::test]
async fn who_asks_for_exactly_its_question_is_not_served_a_near_one() {
    // A follower was served the near answer that its leader had found, regardless of its own match policy.
    let fixture = Fixture::with(Kind::Memory, |builder| builder.similarity_threshold(0.6)).await;
    let llm = Llm::default();
    llm.ask(&fixture.cache, Query::new("reset my password today please"), "near").await.unwrap();
    let query = || Query::new("reset my password today kindly");
    let both = (0..20).map(|n| {
        let query = if n % 2 == 0 { query() } else { query().exact_only() };
        llm.ask(&fixture.cache, query, "exact")
    });
    for (n, served) in futures::future::join_all(both).await.into_iter().enumerate() {
        let served = served.unwrap();
        assert!(n % 2 == 0 || &*served.answer.text == "exact", "{:?}", served.origin);
    }
}

#[tokio::test]
async fn a_permit_in_hand_is_the_flight() {
    let fixture = Fixture::new(Kind::Memory).await;
    let query = || Query::new(QUESTION);
    let wellspring::Lookup::Miss(permit) = fixture.cache.lookup(query()).await.unwrap() else {
        panic!("the cache is empty");
    };
    assert!(permit.is_leader());
    assert!(!is_free(&fixture.cache, query()).await);
    let llm = Llm::default();
    let (cache, waiting) = (fixture.cache.clone(), llm.clone());
    let follower = tokio::spawn(async move { waiting.ask(&cache, query(), "own").await.unwrap() });
    joined().await;
    assert!(!follower.is_finished());
    permit.fill("filled", vec![Dependency::document("a")]).await;
    assert_eq!(&*follower.await.unwrap().answer.text, "filled");
    assert_eq!(llm.calls(), 0);
    // Dropped instead, it lets the next one lead.
    let other = || Query::new("another question entirely");
    drop(fixture.cache.lookup(other()).await.unwrap());
    assert!(is_free(&fixture.cache, other()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panicking_closure_hands_over() {
    let fixture = Fixture::new(Kind::Memory).await;
    let cache = fixture.cache.clone();
    let panics = tokio::spawn(async move {
        let closure = async |_| {
            tokio::task::yield_now().await;
            assert_eq!(1, 2, "the caller's bug");
            made("never")
        };
        drop(cache.get_or_fill(Query::new(QUESTION), closure).await);
    });
    assert!(panics.await.unwrap_err().is_panic());
    eventually("the flight is over", async || is_free(&fixture.cache, Query::new(QUESTION)).await).await;
}
