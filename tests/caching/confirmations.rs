//! Principals whose answers are served to others once enough principals have the same answer.

use std::sync::Arc;

use async_trait::async_trait;
use wellspring::embed::FakeEmbedder;
use wellspring::judge::{AnswerJudge, Case, Ruling};
use wellspring::{
    Admission, Cache, Change, Corpus, Dependency, Error, ErrorKind, FillOutcome, FillPermit, Lookup,
    MemoryStore, Principal, Query, Result, Shadow, Visibility,
};

const QUESTION: &str = "where is the key";

/// A judge for which answers with the same last word say the same, unless they say "unsure".
#[derive(Debug)]
struct ByLastWord;

#[async_trait]
impl AnswerJudge for ByLastWord {
    async fn judge(&self, _: &Case) -> Result<Ruling> {
        Err(Error::new(ErrorKind::Upstream, "it compares only"))
    }

    async fn is_same(&self, question: &str, one: &str, other: &str) -> Result<Option<Ruling>> {
        assert_eq!(question, QUESTION);
        let last = |text: &str| text.rsplit(' ').next().map(str::to_owned);
        let confidence = if one.contains("unsure") || other.contains("unsure") { 0.5 } else { 0.99 };
        Ok(Some(Ruling::new(last(one) == last(other), confidence)))
    }
}

async fn cache(confirmations: u32, shadow: Option<Shadow>) -> Cache {
    let builder = Cache::builder(FakeEmbedder::new(64), MemoryStore::default()).similarity_threshold(0.9);
    let builder = builder.admission(Admission::default().confirmations(confirmations));
    shadow.into_iter().fold(builder, wellspring::CacheBuilder::shadow).build().await.unwrap()
}

async fn permit(cache: &Cache, principal: Principal) -> FillPermit {
    match cache.lookup(Query::new(QUESTION).principal(principal).renew()).await.unwrap() {
        Lookup::Miss(permit) => permit,
        other => panic!("no permit but {other:?}"),
    }
}

async fn fill(cache: &Cache, principal: &str, answer: &str) {
    let filled =
        permit(cache, Principal::new(principal)).await.fill(answer, [Dependency::document("d")]).await;
    assert!(matches!(filled, FillOutcome::Stored(_)), "{filled:?}");
    cache.wait_idle().await.unwrap();
}

/// What a caller that is not a principal is served.
async fn everybody_gets(cache: &Cache) -> Option<Arc<str>> {
    match cache.lookup(Query::new(QUESTION)).await.unwrap() {
        Lookup::Hit(hit) => Some(Arc::clone(&hit.answer().text)),
        _ => None,
    }
}

#[tokio::test]
async fn a_judge_says_which_answers_are_the_same() {
    let cache = cache(2, Some(Shadow::new(ByLastWord).calls_per_hour(3_600))).await;
    fill(&cache, "alice", "it is in the drawer").await;
    fill(&cache, "eve", "it is under the mat").await;
    fill(&cache, "dave", "unsure, perhaps the drawer").await;
    assert_eq!(everybody_gets(&cache).await, None);
    fill(&cache, "bob", "look into the drawer").await;
    assert_eq!(everybody_gets(&cache).await.as_deref(), Some("look into the drawer"));
}

#[tokio::test]
async fn without_a_budget_only_equal_texts_are_the_same() {
    let cache = cache(2, Some(Shadow::new(ByLastWord).calls_per_hour(0))).await;
    fill(&cache, "alice", "it is in the drawer").await;
    fill(&cache, "bob", "look into the drawer").await;
    assert_eq!(everybody_gets(&cache).await, None);
    fill(&cache, "carol", "look into the drawer").await;
    assert!(everybody_gets(&cache).await.is_some());
}

#[tokio::test]
async fn an_answer_that_was_made_before_a_change_confirms_none_and_is_confirmed_by_none() {
    let cache = cache(2, None).await;
    let changed = async || cache.invalidate(&Corpus::default(), &[Change::document("d")]).await.unwrap();
    fill(&cache, "alice", "in the drawer").await;
    let late = permit(&cache, Principal::new("bob")).await;
    changed().await;
    // Bob read a document that did not change; Alice's answer ended with the one that did.
    assert!(matches!(late.fill("in the drawer", [Dependency::document("e")]).await, FillOutcome::Stored(_)));
    assert_eq!(everybody_gets(&cache).await, None);
    // Carol began before the change, and the answers that confirm hers depend on what changed.
    let late = permit(&cache, Principal::new("carol")).await;
    changed().await;
    fill(&cache, "dave", "at the porter's").await;
    let filled = late.fill("at the porter's", [Dependency::document("e")]).await;
    assert!(matches!(filled, FillOutcome::Stored(_)), "{filled:?}");
    assert_eq!(everybody_gets(&cache).await, None, "the clock of all has gone on since she began");
    fill(&cache, "carol", "at the porter's").await;
    assert!(everybody_gets(&cache).await.is_some());
}

#[tokio::test]
async fn many_principals_at_once_are_all_counted() {
    let cache = cache(20, None).await;
    let fills = (0..20).map(|n| {
        let cache = cache.clone();
        async move { fill(&cache, &format!("principal {n}"), "in the drawer").await }
    });
    futures::future::join_all(fills).await;
    assert!(everybody_gets(&cache).await.is_some());
    let metrics = cache.metrics();
    assert_eq!(metrics.confirmed_fills + metrics.unconfirmed_fills, 20);
}

#[tokio::test]
async fn each_reach_serves_whom_it_says() {
    let cache = cache(1, None).await;
    let served = async |question: &str, principal: Option<&str>| {
        let query = Query::new(question);
        let query = match principal {
            Some(name) => query.principal(Principal::new(name).visibility(Visibility::Own)),
            None => query,
        };
        matches!(cache.lookup(query).await.unwrap(), Lookup::Hit(_))
    };
    let own = permit(&cache, Principal::new("eve").visibility(Visibility::Own)).await;
    own.fill("under the mat", vec![]).await;
    assert!(served(QUESTION, Some("eve")).await && served("Where is the key?", Some("eve")).await);
    assert!(!served(QUESTION, None).await && !served(QUESTION, Some("bob")).await);
    let nobodys = permit(&cache, Principal::new("nobody").visibility(Visibility::NoOne)).await;
    assert!(matches!(nobodys.fill("under the mat", vec![]).await, FillOutcome::Declined(_)));
    let exact = permit(&cache, Principal::new("eve").visibility(Visibility::SameQuestion)).await;
    exact.fill("in the drawer", vec![]).await;
    assert!(served(QUESTION, None).await && served(QUESTION, Some("bob")).await);
    assert!(!served("Where is the key?", None).await && !served("Where is the key?", Some("bob")).await);
    let all = permit(&cache, Principal::new("alice")).await;
    all.fill("in the drawer", vec![]).await;
    assert!(served("Where is the key?", None).await && served("Where is the key?", Some("bob")).await);
}
