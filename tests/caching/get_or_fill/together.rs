//! Several questions that are looked up at once, and questions of any length.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::select_all;
use wellspring::embed::{Embedded, ModelInfo};
use wellspring::key::MAX_QUESTION_BYTES;
use wellspring::store::Limits;
use wellspring::{
    BypassReason, Cache, Change, Corpus, Dependency, Embedder, Feedback, Lookup, MemoryStore, Query, Result,
    SharedError, Tier,
};

use crate::get_or_fill::flights::joined;
use crate::get_or_fill::{Fixture, Llm, hit};
use crate::support::Kind;
use crate::support::embedder::WordEmbedder;

/// Records how many texts came in each call.
#[derive(Debug, Default)]
struct Counted {
    words: WordEmbedder,
    sizes: Mutex<Vec<usize>>,
}

#[async_trait]
impl Embedder for Counted {
    fn model(&self) -> &ModelInfo {
        self.words.model()
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<Embedded>> {
        self.sizes.lock().unwrap().push(texts.len());
        self.words.embed(texts).await
    }
}

#[tokio::test]
async fn each_has_its_own_outcome_and_misses_are_embedded_together() {
    let embedder = std::sync::Arc::new(Counted::default());
    let store = std::sync::Arc::new(MemoryStore::new(Limits::default()));
    let cache = Cache::builder_from(std::sync::Arc::clone(&embedder) as _, store)
        .similarity_threshold(0.7)
        .build()
        .await
        .unwrap();
    let stored = "how can I reset the forgotten password of my account";
    Llm::default().ask(&cache, Query::new(stored), "answer").await.unwrap();
    embedder.sizes.lock().unwrap().clear();
    let queries = [
        Query::new(stored),
        Query::new("how can I reset the forgotten password of an account"),
        Query::new("which trains leave for Bern on Sundays"),
        Query::new("\0"),
        Query::new("and in Germany?"),
        Query::new("who wrote Faust").exact_only(),
        Query::new("what does the plan cost"),
    ];
    let found = cache.lookup_all(queries.to_vec()).await;
    assert!(matches!(&found[0], Ok(Lookup::Hit(hit)) if hit.tier == Tier::Exact), "{:?}", found[0]);
    assert!(matches!(&found[1], Ok(Lookup::Hit(hit)) if hit.tier != Tier::Exact), "{:?}", found[1]);
    for n in [2, 5, 6] {
        assert!(matches!(&found[n], Ok(Lookup::Miss(permit)) if permit.is_leader()), "{n}: {:?}", found[n]);
    }
    assert!(found[3].as_ref().unwrap_err().is_invalid_input());
    assert!(matches!(found[4], Ok(Lookup::Bypass(BypassReason::FollowUp))));
    // Neither the exact hit nor the question that is only looked up exactly.
    assert_eq!(*embedder.sizes.lock().unwrap(), [3]);
    embedder.words.broken.store(true, Ordering::SeqCst);
    let found = cache
        .lookup_all(vec![
            Query::new(stored),
            Query::new("what is the capital of France"),
            Query::new("which mountain is the highest"),
        ])
        .await;
    assert!(matches!(found[0], Ok(Lookup::Hit(_))));
    assert!(found[1..].iter().all(|found| matches!(found, Ok(Lookup::Bypass(BypassReason::Embedder)))));
}

#[tokio::test]
async fn a_question_of_any_length_is_matched_exactly() {
    // It was an error, so that long prompts were not cached at all.
    let fixture = Fixture::new(Kind::Memory).await;
    let llm = Llm::default();
    let long = "all work and no play ".repeat(MAX_QUESTION_BYTES / 10);
    let query = |text: &str| Query::new(text).exact_only();
    assert!(fixture.cache.lookup(Query::new(&long)).await.unwrap_err().is_invalid_input());
    llm.ask(&fixture.cache, query(&long), "dull").await.unwrap();
    let found = hit(&fixture.cache, query(&format!("  {long}\n"))).await;
    assert_eq!((found.tier, found.answer().text.as_ref()), (Tier::Exact, "dull"));
    assert!(found.entry.question.len() < 1_000 && found.entry.embedding.is_none());
    // Neither what differs at the end, nor what reads as it is kept.
    for other in [format!("{long}!"), found.entry.question.to_string()] {
        assert!(matches!(fixture.cache.lookup(query(&other)).await.unwrap(), Lookup::Miss(_)));
    }
    // The closure that makes the answer gets the whole question.
    let served = fixture
        .cache
        .get_or_fill(query(&format!("{long}!")), async |miss| {
            assert!(miss.question.len() > MAX_QUESTION_BYTES && miss.question.ends_with('!'));
            Ok(("other", vec![Dependency::document("d")]))
        })
        .await
        .unwrap();
    assert!(!served.is_hit());
    assert_eq!(hit(&fixture.cache, query(&format!("{long}!"))).await.answer().text.as_ref(), "other");
    // It is fenced, invalidated and judged like other answers.
    fixture.cache.invalidate(&Corpus::default(), &[Change::document("d")]).await.unwrap();
    assert!(matches!(fixture.cache.lookup(query(&format!("{long}!"))).await.unwrap(), Lookup::Miss(_)));
    fixture.cache.feedback(&found, Feedback::Right).await.unwrap();
    assert_eq!(fixture.cache.record_of(found.entry.id).right, 1);
    fixture.cache.feedback(&found, Feedback::Wrong).await.unwrap();
    assert!(matches!(fixture.cache.lookup(query(&long)).await.unwrap(), Lookup::Miss(_)));
    assert!(fixture.cache.explain(query(&long)).await.unwrap().candidates.is_empty());
    // A given embedding would have another question be answered by what only begins like it.
    let given = query(&long).embedding(vec![1.0; crate::support::embedder::DIMENSIONS]);
    llm.ask(&fixture.cache, given, "dull").await.unwrap();
    assert!(hit(&fixture.cache, query(&long)).await.entry.embedding.is_none());
}

#[tokio::test]
async fn renewing_an_exact_answer_keeps_it_exact() {
    // `renew` replaced `exact_only`, and the new answer was found by meaning.
    let fixture = Fixture::new(Kind::Memory).await;
    let query = || Query::new("who wrote Faust").exact_only().renew();
    match fixture.cache.lookup(query()).await.unwrap() {
        Lookup::Miss(permit) => {
            assert!(permit.embedding().is_none());
            permit.fill("Goethe", vec![]).await;
        }
        found => panic!("{found:?}"),
    }
    assert!(hit(&fixture.cache, Query::new("who wrote Faust")).await.entry.embedding.is_none());
}

/// A batch waited for each of its questions, so a question that came twice waited for itself, and two batches
/// waited for each other once each led a question that the other one asked, too.
#[tokio::test]
async fn who_leads_a_question_waits_for_no_other() {
    let limit = Duration::from_hours(1);
    let fixture = Fixture::with(Kind::Memory, |builder| builder.follow_timeout(limit)).await;
    let leads = |found: &Result<Lookup, SharedError>| match found {
        Ok(Lookup::Miss(permit)) => permit.is_leader(),
        other => panic!("{other:?}"),
    };
    let ask = |questions: [&str; 2]| {
        let (cache, queries) = (fixture.cache.clone(), questions.map(Query::new).to_vec());
        tokio::spawn(async move {
            let found = tokio::time::timeout(Duration::from_mins(1), cache.lookup_all_or_wait(queries)).await;
            found.expect("it waits for what does not come")
        })
    };
    let (one, other) = ("which trains leave for Bern on Sundays", "what does the plan cost");
    let twice = ask([one, one]).await.unwrap();
    assert_eq!(twice.iter().map(leads).collect::<Vec<_>>(), [true, false]);
    drop(twice);

    // Both wait for answers that others make, until each of them is to make one itself.
    let leader_of_one = fixture.cache.lookup(one).await.unwrap();
    let leader_of_other = fixture.cache.lookup(other).await.unwrap();
    let mut asking = vec![ask([one, other]), ask([other, one])];
    joined().await;
    assert!(asking.iter().all(|asking| !asking.is_finished()));
    drop(leader_of_one);
    joined().await;
    drop(leader_of_other);
    while !asking.is_empty() {
        let (found, _, rest) = select_all(asking).await;
        assert!(found.unwrap().iter().any(leads));
        asking = rest;
    }

    // Whoever leads nothing is given what others make.
    let Lookup::Miss(permit) = fixture.cache.lookup(one).await.unwrap() else { panic!("no miss") };
    let asking = ask([one, one]);
    joined().await;
    permit.fill("at nine", []).await;
    assert!(asking.await.unwrap().iter().all(|found| matches!(found, Ok(Lookup::Hit(_)))));
}
