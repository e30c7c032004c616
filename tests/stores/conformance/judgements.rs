//! The log of judgements on answers.

use wellspring::judgement::{Feedback, Judge, Logged, Revocation};
use wellspring::store::Limits;

use crate::support::{Bench, about, entry};

on_every_store!(the_log_is_read_in_order_and_from_any_place, what_was_said_outlives_the_store_that_heard_it);

/// A judgement, made as a store would get one, and for every third number a revocation.
fn judgement(number: u16) -> Logged {
    if number % 3 == 2 {
        return Logged::Revocation { revoke: Revocation::everything().by(format!("model {number}")) };
    }
    let (asked, cached) = (entry(&format!("asked {number}"), vec![]), about("cached", "d"));
    let json = serde_json::json!({
        "corpus": cached.corpus, "scope": cached.scope, "asked": asked.id, "cached": cached.id,
        "question": asked.question, "cached_question": cached.question, "similarity": 0.5,
        "feedback": Feedback::Wrong, "judge": Judge::NearMiss, "at": number, "confidence": 0.5, "by": "a model",
    });
    Logged::Judgement(serde_json::from_value(json).unwrap())
}

async fn the_log_is_read_in_order_and_from_any_place(bench: Bench) {
    let store = bench.open(Limits::default());
    assert!(store.judgements(None, 10).await.unwrap().is_empty());
    for number in 0..5 {
        store.record_judgement(&judgement(number)).await.unwrap();
    }
    let all = store.judgements(None, 10).await.unwrap();
    assert_eq!(
        all.iter().map(|(_, said)| said.clone()).collect::<Vec<_>>(),
        (0..5).map(judgement).collect::<Vec<_>>()
    );
    let first = store.judgements(None, 2).await.unwrap();
    assert_eq!(first, all[..2]);
    let rest = store.judgements(Some(first[1].0), 10).await.unwrap();
    assert_eq!(rest, all[2..]);
    assert!(store.judgements(Some(all[4].0), 10).await.unwrap().is_empty());
}

async fn what_was_said_outlives_the_store_that_heard_it(bench: Bench) {
    let first = bench.open(Limits::default());
    first.record_judgement(&judgement(1)).await.unwrap();
    first.close().await.unwrap();
    drop(first);
    if bench.kind == crate::support::Kind::Memory {
        return;
    }
    let second = bench.open(Limits::default());
    second.record_judgement(&judgement(2)).await.unwrap();
    let said: Vec<_> = second.judgements(None, 10).await.unwrap().into_iter().map(|(_, said)| said).collect();
    assert_eq!(said, [judgement(1), judgement(2)]);
}
