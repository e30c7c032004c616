//! Who writes to the cache, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wellspring::{Change, Corpus, Dependency, FillOutcome, Lookup, Origin, Query, Refresh};

use crate::invalidation_strategies::{Llm, change, exactly, hit, is_hit, process, process_with, server};
use crate::support::eventually;
use crate::support::servers::Flavour;
use crate::support::valkey::patient_now;

on_every_server!(cache_aside, read_through, write_through, write_behind);

async fn cache_aside(flavour: Flavour) {
    let server = server(flavour);
    let (one, two) = (process(&server).await, process(&server).await);
    let Lookup::Miss(permit) = one.lookup(Query::new("How long is a pass valid?")).await.unwrap() else {
        panic!("nothing is stored");
    };
    assert!(permit.embedding().is_some(), "retrieval can use it");
    let outcome = permit.fill("A year.", vec![Dependency::document("passes")]).await;
    assert!(matches!(outcome, FillOutcome::Stored(_)), "{outcome:?}");
    // By another wording, in another process, once its index is there.
    eventually("the other process finds it by meaning", async || {
        let found = two.lookup(Query::new("how long is a pass valid")).await.unwrap();
        matches!(found, Lookup::Hit(hit) if &*hit.answer().text == "A year.")
    })
    .await;
}

async fn read_through(flavour: Flavour) {
    let server = server(flavour);
    let (one, two) = (process(&server).await, process(&server).await);
    let llm = Llm::default();
    let from = vec![Dependency::document("a")];
    for (cache, is_hit) in [(&one, false), (&one, true), (&two, true)] {
        let served = llm.ask(cache, exactly("question"), "answer", from.clone()).await;
        assert_eq!((served.is_hit(), &*served.answer.text), (is_hit, "answer"));
    }
    assert_eq!(llm.calls(), 1);
    change(&two, &[Change::document("a")]).await;
    assert!(!llm.ask(&one, exactly("question"), "answer", from).await.is_hit());
}

async fn write_through(flavour: Flavour) {
    let server = server(flavour);
    let content = Arc::new(AtomicUsize::new(1));
    let source = Arc::clone(&content);
    let refresh = move |_: Refresh| {
        let text = source.load(Ordering::SeqCst).to_string();
        async move { Ok((text, vec![Dependency::document("a")])) }
    };
    let writer = process_with(&server.url(), patient_now(), |builder| {
        builder.refresh_with(refresh).refresh_on_invalidation(10)
    })
    .await;
    let reader = process(&server).await;
    let llm = Llm::default();
    let first = llm.ask(&reader, exactly("question"), "1", vec![Dependency::document("a")]).await;
    let Origin::Made(FillOutcome::Stored(id)) = first.origin else { panic!("{:?}", first.origin) };
    content.store(2, Ordering::SeqCst);
    assert_eq!(change(&writer, &[Change::document("a")]).await.dropped(), 1);
    // From here on it is the new answer or none. Only a look: a caller that asks would make the answer, and then no
    // other would.
    let seen = reader.entry(&Corpus::default(), id).await.unwrap();
    assert!(seen.is_none_or(|stored| &*stored.entry.answer.text == "2"));
    eventually("it is written again before anyone asks", async || writer.metrics().refreshed == 1).await;
    assert_eq!(&*hit(&reader, "question").await.unwrap().answer().text, "2");
    assert_eq!(llm.calls(), 1);
    writer.close().await.unwrap();
}

async fn write_behind(flavour: Flavour) {
    let server = server(flavour);
    let writer = process_with(&server.url(), patient_now(), |builder| builder.write_behind(1_000)).await;
    let reader = process(&server).await;
    for n in 0..500 {
        let served = Llm::default().ask(&writer, exactly(&format!("question {n}")), "answer", vec![]).await;
        assert!(matches!(served.origin, Origin::Made(FillOutcome::Queued(_))), "{:?}", served.origin);
    }
    // Fenced like any other fill, although no one is there to be notified.
    let Lookup::Miss(permit) = writer.lookup(exactly("late")).await.unwrap() else { panic!("not stored") };
    change(&reader, &[Change::document("a")]).await;
    permit.fill("old", vec![Dependency::document("a")]).await;
    writer.close().await.unwrap();
    for n in 0..500 {
        assert!(is_hit(&reader, &format!("question {n}")).await, "closing writes what waits");
    }
    assert!(!is_hit(&reader, "late").await);
}
