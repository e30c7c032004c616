//! Times to live, and answers that are refreshed in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use wellspring::{
    Answer, Change, ContentType, Corpus, Dependency, EarlyRefresh, Namespace, Query, Refresh, Scope, Ttls,
};

use crate::get_or_fill::{Fixture, Llm, hit, is_free, made};
use crate::support::{HOUR, Kind, eventually};

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn each_type_lives_as_long_as_it_should_within_the_jitter() {
    let fixture = Fixture::new(Kind::Memory).await;
    let answer = || Answer::new("answer");
    for (answer, expected) in [
        (answer(), HOUR),
        (answer().content_type(ContentType::StaticFact), 24 * HOUR),
        (answer().content_type(ContentType::Documentation), 6 * HOUR),
        (answer().content_type(ContentType::UserData), HOUR),
        (answer().content_type(ContentType::RealTime), 2 * MINUTE),
        (Answer::negative("nothing found"), MINUTE),
        (answer().content_type(ContentType::StaticFact).ttl(7 * MINUTE), 7 * MINUTE),
    ] {
        let mut shares = Vec::new();
        for n in 0..60 {
            let query = || Query::new(format!("question number{n}")).exact_only().renew();
            let served = fixture
                .cache
                .get_or_fill(query(), async |_| Ok((answer.clone(), Vec::<Dependency>::new())))
                .await
                .unwrap();
            assert!(!served.is_hit());
            let entry =
                hit(&fixture.cache, Query::new(format!("question number{n}")).exact_only()).await.entry;
            let lifetime = entry.expires_at.saturating_since(entry.created_at);
            shares.push(lifetime.as_secs_f64() / expected.as_secs_f64());
        }
        let least = shares.iter().copied().fold(f64::MAX, f64::min);
        let most = shares.iter().copied().fold(0.0, f64::max);
        assert!((0.899..0.95).contains(&least), "{least} of {expected:?}");
        assert!((1.05..1.101).contains(&most), "{most} of {expected:?}");
    }
}

#[tokio::test]
async fn a_hit_does_not_extend_a_life() {
    let ttls = Ttls::default().general(MINUTE).jitter(0.0);
    let fixture = Fixture::with(Kind::Memory, |builder| builder.ttls(ttls)).await;
    Llm::default().ask(&fixture.cache, Query::new("question"), "answer").await.unwrap();
    for second in 0..59 {
        fixture.bench.clock.advance(Duration::from_secs(1));
        assert_eq!(hit(&fixture.cache, Query::new("question")).await.age, Duration::from_secs(second + 1));
    }
    fixture.bench.clock.advance(Duration::from_secs(1));
    assert!(is_free(&fixture.cache, Query::new("question")).await);
}

#[tokio::test]
async fn an_answer_near_its_end_is_made_anew_once() {
    let (calls, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (counted, waited_for) = (Arc::clone(&calls), Arc::clone(&gate));
    let refresh = move |refresh: Refresh| {
        assert_eq!(&*refresh.question, "question");
        counted.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&waited_for);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(("refreshed", vec![Dependency::document("a")]))
        }
    };
    let eager = EarlyRefresh::default().beta(1e12);
    let set = |builder: wellspring::CacheBuilder| builder.refresh_with(refresh).early_refresh(eager);
    let fixture = Fixture::with(Kind::Memory, set).await;
    let scope = Scope::new().namespace(Namespace::new("docs").unwrap());
    let query = || Query::new("question").scope(scope.clone());
    Llm::default().ask(&fixture.cache, query(), "first").await.unwrap();
    for round in 1..=3 {
        for _ in 0..100 {
            hit(&fixture.cache, query()).await;
        }
        eventually("a refresh began", async || calls.load(Ordering::SeqCst) == round).await;
        fixture.bench.clock.advance(Duration::from_secs(1));
        gate.add_permits(1);
        let refreshed = || fixture.cache.metrics().refreshed;
        eventually("it ended", async || refreshed() == round as u64).await;
        let stored = fixture.store.scan(None, 2).await.unwrap();
        assert_eq!(stored.len(), 1);
        assert_eq!(&*stored[0].entry.answer.text, "refreshed");
        // The answer's namespace came along once more with each refresh.
        assert_eq!(stored[0].entry.dependencies.len(), 2, "{:?}", stored[0].entry.dependencies);
        assert_eq!(calls.load(Ordering::SeqCst), round, "one hundred hits refresh once");
    }
    fixture.cache.close().await.unwrap();
}

#[tokio::test]
async fn what_a_change_ended_is_made_anew() {
    let content = Arc::new(AtomicUsize::new(1));
    let source = Arc::clone(&content);
    let refresh = move |_: Refresh| {
        let text = source.load(Ordering::SeqCst).to_string();
        async move { made(&text) }
    };
    let set = |builder: wellspring::CacheBuilder| builder.refresh_with(refresh).refresh_on_invalidation(10);
    let fixture = Fixture::with(Kind::Memory, set).await;
    let llm = Llm::default();
    llm.ask(&fixture.cache, Query::new("question"), "1").await.unwrap();
    content.store(2, Ordering::SeqCst);
    let done = fixture.cache.invalidate(&Corpus::default(), &[Change::document("a")]).await.unwrap();
    assert_eq!(done.dropped(), 1);
    eventually("it was made again", async || fixture.cache.metrics().refreshed == 1).await;
    assert_eq!(&*hit(&fixture.cache, Query::new("question")).await.answer().text, "2");
    assert_eq!(llm.calls(), 1);
    fixture.cache.close().await.unwrap();
}
