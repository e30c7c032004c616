//! What counts as the same question.

use std::sync::atomic::Ordering;

use wellspring::{Corpus, Lookup, Namespace, Query, Scope, Tier};

use crate::get_or_fill::{Fixture, Llm, hit, is_free};
use crate::support::Kind;
use crate::support::embedder::{DIMENSIONS, LONGEST, embed};

/// The similarity of [`STORED`] and [`NEAR`] lies between 0.7 and 0.95, that of strangers below 0.5.
const STORED: &str = "how can I reset the forgotten password of my account";
const NEAR: &str = "how can I reset the forgotten password of an account";
const STRANGER: &str = "which trains leave for Bern on Sundays";

async fn with_one_answer(threshold: f32) -> Fixture {
    let fixture = Fixture::with(Kind::Memory, |builder| builder.similarity_threshold(threshold)).await;
    Llm::default().ask(&fixture.cache, Query::new(STORED), "answer").await.unwrap();
    fixture
}

async fn is_hit(fixture: &Fixture, query: Query) -> bool {
    matches!(fixture.cache.lookup(query).await.unwrap(), Lookup::Hit(_))
}

#[tokio::test]
async fn the_tiers_say_how_an_answer_was_found() {
    let fixture = with_one_answer(0.7).await;
    let similarity = embed(STORED).similarity(&embed(NEAR));
    assert!((0.7..0.95).contains(&similarity), "{similarity}");
    assert_eq!(hit(&fixture.cache, Query::new(format!("  {STORED}\n"))).await.tier, Tier::Exact);
    let Tier::Semantic { similarity: found, .. } = hit(&fixture.cache, Query::new(NEAR)).await.tier else {
        panic!("the wording differs");
    };
    assert!((found - similarity).abs() < 1e-4);
    assert!(is_free(&fixture.cache, Query::new(STRANGER)).await);
    assert!(is_free(&fixture.cache, Query::new(NEAR).exact_only()).await);
}

#[tokio::test]
async fn the_threshold_of_a_query_counts_over_that_of_its_scope_and_that_over_the_caches() {
    for (of_cache, of_scope, of_query, expected) in [
        (0.99, None, None, false),
        (0.7, None, None, true),
        (0.99, Some(0.7), None, true),
        (0.7, Some(0.99), None, false),
        (0.99, Some(0.99), Some(0.7), true),
        (0.7, Some(0.7), Some(0.99), false),
    ] {
        let fixture = with_one_answer(of_cache).await;
        let scope = of_scope.map_or_else(Scope::new, |of_scope| Scope::new().similarity_threshold(of_scope));
        let mut query = Query::new(NEAR).scope(scope);
        if let Some(of_query) = of_query {
            query = query.similarity_threshold(of_query);
        }
        assert_eq!(is_hit(&fixture, query).await, expected, "{of_cache} {of_scope:?} {of_query:?}");
    }
}

#[tokio::test]
async fn no_hit_crosses_a_scope_or_a_corpus() {
    let fixture = with_one_answer(0.7).await;
    let others = [
        Query::new(STORED).scope(Scope::new().tenant("t")),
        Query::new(STORED).scope(Scope::new().namespace(Namespace::new("docs").unwrap())),
        Query::new(STORED).scope(Scope::new().parameter("model", "large")),
        Query::new(STORED).scope(Scope::new().tenant("t").private()),
        Query::new(STORED).corpus(Corpus::new("other").unwrap()),
    ];
    for query in others {
        assert!(is_free(&fixture.cache, query.clone()).await, "{query:?}");
        // Each has its own answers.
        Llm::default().ask(&fixture.cache, query.clone(), "own").await.unwrap();
        assert_eq!(&*hit(&fixture.cache, query).await.answer().text, "own");
    }
    assert_eq!(&*hit(&fixture.cache, Query::new(STORED)).await.answer().text, "answer");
}

#[tokio::test]
async fn numbers_that_differ_veto_a_hit() {
    let fixture = Fixture::with(Kind::Memory, |builder| builder.similarity_threshold(0.5)).await;
    let question = |year| Query::new(format!("how much revenue was reported for the fiscal year {year}"));
    Llm::default().ask(&fixture.cache, question(2023), "much").await.unwrap();
    assert!(is_free(&fixture.cache, question(2024)).await);
    assert_eq!(fixture.cache.metrics().rejected_candidates, 1);
    let wording = Query::new("how much revenue was stated for the fiscal year 2023");
    assert!(is_hit(&fixture, wording).await);
}

#[tokio::test]
async fn a_question_too_long_for_the_model_is_matched_exactly_only() {
    let fixture = Fixture::with(Kind::Memory, |builder| builder.similarity_threshold(0.5)).await;
    let long = "word ".repeat(LONGEST);
    let Lookup::Miss(permit) = fixture.cache.lookup(Query::new(&*long)).await.unwrap() else {
        panic!("the cache is empty");
    };
    assert!(permit.embedding().is_none());
    permit.fill("answer", vec![]).await;
    assert_eq!(hit(&fixture.cache, Query::new(&*long)).await.tier, Tier::Exact);
    assert!(is_free(&fixture.cache, Query::new("word word")).await);
}

#[tokio::test]
async fn an_embedding_that_is_given_is_used() {
    let fixture = with_one_answer(0.7).await;
    let calls = fixture.embedder.calls.load(Ordering::SeqCst);
    let given: Vec<f32> = embed(STORED).as_slice().iter().map(|component| component * 7.0).collect();
    let found = hit(&fixture.cache, Query::new("said in other words").embedding(given.clone())).await;
    assert!(matches!(found.tier, Tier::Semantic { similarity, .. } if similarity > 0.999));
    // A miss hands it back.
    let own = embed(STRANGER);
    let query = Query::new(STRANGER).embedding(own.as_slice());
    let Lookup::Miss(permit) = fixture.cache.lookup(query).await.unwrap() else { panic!("a stranger") };
    assert!(permit.embedding().unwrap().similarity(&own) > 0.999);
    drop(permit);
    assert_eq!(fixture.embedder.calls.load(Ordering::SeqCst), calls);
}

#[tokio::test]
async fn an_embedding_that_cannot_be_one_is_an_error() {
    let fixture = with_one_answer(0.7).await;
    let mut not_a_number = vec![1.0; DIMENSIONS];
    not_a_number[3] = f32::NAN;
    for bad in [vec![], vec![1.0; DIMENSIONS + 1], vec![0.0; DIMENSIONS], not_a_number] {
        let error = fixture.cache.lookup(Query::new(NEAR).embedding(bad.clone())).await.unwrap_err();
        assert!(error.is_invalid_input(), "{error}");
        let llm = Llm::default();
        let served = llm.ask(&fixture.cache, Query::new(NEAR).embedding(bad), "own").await.unwrap();
        assert!(!served.is_hit());
        assert_eq!((llm.calls(), fixture.stored().await), (1, 1));
    }
}
