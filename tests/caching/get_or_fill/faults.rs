//! The cache never breaks the pipeline that it stands in.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use wellspring::store::{Limits, MemoryStore};
use wellspring::{BypassReason, Change, Corpus, Dependency, FillOutcome, Lookup, Origin, Query};

use crate::get_or_fill::{Fixture, Llm, hit, made};
use crate::support::faulty::{Fault, FaultyStore};
use crate::support::{Bench, Kind};

fn bypassed(served: &wellspring::Served) -> Option<BypassReason> {
    match served.origin {
        Origin::Bypassed(reason) => Some(reason),
        _ => None,
    }
}

#[tokio::test]
async fn a_broken_store_is_bypassed() {
    let bench = Bench::new(Kind::Memory);
    let store = FaultyStore::new(Fault::Breaks, MemoryStore::new(Limits::default()));
    let fixture = Fixture::on(bench, Arc::clone(&store) as _, |builder| builder).await;
    let llm = Llm::default();
    store.broken.store(true, Ordering::SeqCst);
    let callers = (0..20).map(|_| llm.ask(&fixture.cache, Query::new("question"), "answer"));
    for served in futures::future::join_all(callers).await {
        let served = served.unwrap();
        assert_eq!(&*served.answer.text, "answer");
        assert_eq!(bypassed(&served), Some(BypassReason::Store));
    }
    assert_eq!(llm.calls(), 20);
    let looked_up = fixture.cache.lookup(Query::new("question")).await.unwrap();
    assert!(matches!(looked_up, Lookup::Bypass(BypassReason::Store)));
    assert!(fixture.cache.invalidate(&Corpus::default(), &[Change::Everything]).await.is_err());

    // It breaks between the miss and the fill.
    store.broken.store(false, Ordering::SeqCst);
    let served = fixture.cache.get_or_fill(Query::new("question"), async |_| {
        store.broken.store(true, Ordering::SeqCst);
        made("answer")
    });
    assert!(matches!(served.await.unwrap().origin, Origin::Made(FillOutcome::Failed(_))));
    store.broken.store(false, Ordering::SeqCst);
    let served = llm.ask(&fixture.cache, Query::new("question"), "answer").await.unwrap();
    assert!(matches!(served.origin, Origin::Made(FillOutcome::Stored(_))));
    assert_eq!(fixture.cache.metrics().bypasses["store"], 21);
    assert_eq!(fixture.cache.metrics().failed_fills, 1);
}

#[tokio::test]
async fn a_broken_embedder_leaves_the_exact_hits() {
    let fixture = Fixture::new(Kind::Memory).await;
    let llm = Llm::default();
    llm.ask(&fixture.cache, Query::new("known"), "answer").await.unwrap();
    fixture.embedder.broken.store(true, Ordering::SeqCst);
    assert!(llm.ask(&fixture.cache, Query::new("known"), "other").await.unwrap().is_hit());
    let served = llm.ask(&fixture.cache, Query::new("unknown"), "answer").await.unwrap();
    assert_eq!(bypassed(&served), Some(BypassReason::Embedder));
    assert_eq!((llm.calls(), fixture.stored().await), (2, 1));
    // An exact lookup does not need the embedder.
    let exact = Query::new("unknown").exact_only();
    let served = llm.ask(&fixture.cache, exact, "answer").await.unwrap();
    assert!(matches!(served.origin, Origin::Made(FillOutcome::Stored(_))));
}

#[tokio::test(start_paused = true)]
async fn a_slow_embedder_is_waited_for_no_longer_than_was_set() {
    let limit = Duration::from_millis(40);
    let fixture = Fixture::with(Kind::Memory, |builder| builder.embed_timeout(limit)).await;
    fixture.embedder.hangs.store(true, Ordering::SeqCst);
    let started = tokio::time::Instant::now();
    let served = Llm::default().ask(&fixture.cache, Query::new("question"), "answer").await.unwrap();
    assert_eq!(bypassed(&served), Some(BypassReason::Embedder));
    assert_eq!(started.elapsed(), limit);
}

#[tokio::test]
async fn a_question_that_cannot_be_looked_up_is_still_answered() {
    let fixture = Fixture::new(Kind::Memory).await;
    let llm = Llm::default();
    for question in ["", " \n\t", "nul\0", &"x".repeat(100_000)] {
        let served = llm.ask(&fixture.cache, Query::new(question), "answer").await.unwrap();
        assert_eq!(bypassed(&served), Some(BypassReason::InvalidQuery));
        assert!(fixture.cache.lookup(Query::new(question)).await.unwrap_err().is_invalid_input());
    }
    let served = llm.ask(&fixture.cache, Query::new("question").no_store(), "answer").await.unwrap();
    assert_eq!(bypassed(&served), Some(BypassReason::NoStore));
    assert_eq!((llm.calls(), fixture.stored().await), (5, 0));
}

#[tokio::test]
async fn invalid_dependencies_are_the_fills_error_and_no_ones_else() {
    let fixture = Fixture::new(Kind::Memory).await;
    let too_many: Vec<_> = (0..300).map(|n| Dependency::Tag(n.to_string())).collect();
    let served =
        fixture.cache.get_or_fill(Query::new("question"), async |_| Ok(("answer", too_many.clone())));
    let served = served.await.unwrap();
    assert_eq!(&*served.answer.text, "answer");
    let Origin::Made(FillOutcome::Failed(error)) = served.origin else { panic!("{:?}", served.origin) };
    assert!(error.is_invalid_input(), "{error}");
    assert_eq!(fixture.stored().await, 0);
}

#[tokio::test]
async fn answers_go_on_after_the_cache_was_closed() {
    for kind in [Kind::Memory, Kind::Embedded] {
        let fixture = Fixture::new(kind).await;
        let llm = Llm::default();
        llm.ask(&fixture.cache, Query::new("question"), "answer").await.unwrap();
        fixture.cache.close().await.unwrap();
        fixture.cache.close().await.unwrap();
        let served = llm.ask(&fixture.cache, Query::new("question"), "answer").await.unwrap();
        assert_eq!(bypassed(&served), Some(BypassReason::Store));
    }
}

#[tokio::test]
async fn closing_writes_what_waits_to_be_written_behind() {
    let fixture = Fixture::with(Kind::Embedded, |builder| builder.write_behind(100)).await;
    let Fixture { cache, store, bench, .. } = fixture;
    for n in 0..50 {
        let outcome = cache
            .get_or_fill(Query::new(format!("question number{n}")).exact_only(), async |_| made("answer"))
            .await
            .unwrap();
        assert!(matches!(outcome.origin, Origin::Made(FillOutcome::Queued(_))), "{:?}", outcome.origin);
    }
    cache.close().await.unwrap();
    drop((cache, store));
    let store = bench.open(Limits::default());
    assert_eq!(store.status().await.unwrap().entries, 50);
    let again = Fixture::on(bench, store, |builder| builder).await;
    hit(&again.cache, Query::new("question number7").exact_only()).await;
}

#[tokio::test]
async fn a_full_store_leaves_no_ghosts_in_the_index() {
    // Under least-frequently-used eviction a new answer may go at once. Its embedding was put into the
    // index afterwards, and stayed there for good.
    let bench = Bench::new(Kind::Memory);
    let eviction = wellspring::store::Eviction::LeastFrequentlyUsed;
    let store = bench.open(Limits::default().max_entries(4).eviction(eviction));
    let fixture = Fixture::on(bench, store, |builder| builder).await;
    let llm = Llm::default();
    for n in 0..100 {
        llm.ask(&fixture.cache, Query::new(format!("unlike{n} any{n} other{n}")), "answer").await.unwrap();
        llm.ask(&fixture.cache, Query::new("asked again and again"), "answer").await.unwrap();
    }
    let explanation = fixture.cache.explain(Query::new("what is there")).await.unwrap();
    assert!(explanation.candidates.len() <= 4, "{:?}", explanation.candidates);
}

#[tokio::test]
async fn a_permit_that_is_kept_and_never_filled_stalls_nobody_for_ever() {
    let bench = Bench::new(Kind::Memory);
    let store = Arc::new(MemoryStore::new(Limits::default()));
    let fixture =
        Fixture::on(bench, store, |builder| builder.follow_timeout(Duration::from_millis(20))).await;
    let llm = Llm::default();
    let kept = fixture.cache.lookup(Query::new("question")).await.unwrap();
    assert!(matches!(&kept, Lookup::Miss(permit) if permit.is_leader()));
    let served = llm.ask(&fixture.cache, Query::new("question"), "answer").await.unwrap();
    assert!(matches!(served.origin, Origin::Made(FillOutcome::Stored(_))));
    drop(kept);
}
