//! What the cache learns from feedback.

use std::sync::Arc;

use crate::support::embedder::WordEmbedder;
use crate::support::{Bench, Kind};
use wellspring::judgement::Revocation;
use wellspring::key::Scope;
use wellspring::store::Limits;
use wellspring::verify::Calibration;
use wellspring::{
    BypassReason, Cache, Corpus, Dependency, Feedback, FeedbackSource, FillOutcome, FollowUps, Hit, Lookup,
    Pipeline, Query, Store,
};

/// Near each other by their words, though the answers differ.
const CACHED: &str = "how do i open the blue door of the house";
const ASKED: &str = "how do i open the green door of the house";

async fn cache(store: Arc<dyn Store>) -> Cache {
    let embedder = Arc::new(WordEmbedder::default());
    Cache::builder_from(embedder, store).similarity_threshold(0.6).seed(1).build().await.unwrap()
}

async fn fill(cache: &Cache, question: &str) {
    let Lookup::Miss(permit) = cache.lookup(Query::new(question).renew()).await.unwrap() else {
        panic!("no permit for {question}")
    };
    let filled = permit.fill("an answer", vec![Dependency::document("d")]).await;
    assert!(matches!(filled, FillOutcome::Stored(_)), "{filled:?}");
}

async fn hit(cache: &Cache, question: &str) -> Option<Hit> {
    match cache.lookup(Query::new(question)).await.unwrap() {
        Lookup::Hit(hit) => Some(hit),
        _ => None,
    }
}

#[tokio::test]
async fn a_wrong_answer_is_removed_and_never_served_again_for_the_question() {
    let cache = cache(Arc::new(wellspring::MemoryStore::default())).await;
    fill(&cache, CACHED).await;
    let served = hit(&cache, ASKED).await.expect("near enough to be served");
    cache.feedback(&served, Feedback::Wrong).await.unwrap();
    assert!(hit(&cache, CACHED).await.is_none(), "the answer is removed");
    // The same answer again, and for its own question it is right.
    fill(&cache, CACHED).await;
    assert!(hit(&cache, CACHED).await.is_some());
    assert!(hit(&cache, ASKED).await.is_none(), "the pair is remembered");
    let explained = cache.explain(Query::new(ASKED)).await.unwrap();
    assert_eq!(explained.served, None);
    assert_eq!(explained.candidates[0].checks[0].name, "feedback");
    assert_eq!(cache.metrics().feedback["wrong"], 1);
    assert!(cache.metrics().verifications["feedback"]["rejected"] >= 1);
}

#[tokio::test]
async fn what_was_learned_survives_a_restart() {
    let bench = Bench::new(Kind::Embedded);
    let open = || Arc::new(bench.embedded(Limits::default()));
    let first = cache(open()).await;
    fill(&first, CACHED).await;
    let served = hit(&first, ASKED).await.unwrap();
    first.feedback(&served, Feedback::Wrong).await.unwrap();
    fill(&first, CACHED).await;
    first.close().await.unwrap();
    drop((first, served));
    let second = cache(open()).await;
    assert!(hit(&second, CACHED).await.is_some());
    assert!(hit(&second, ASKED).await.is_none());
}

#[tokio::test]
async fn success_and_failure_are_counted_by_entry() {
    let cache = cache(Arc::new(wellspring::MemoryStore::default())).await;
    fill(&cache, CACHED).await;
    let entry = hit(&cache, CACHED).await.unwrap().entry.id;
    let corpus = Corpus::default();
    for feedback in [Feedback::Right, Feedback::Right, Feedback::Wrong] {
        assert!(cache.remember_feedback(&corpus, entry, Some(ASKED), feedback).await.unwrap());
    }
    assert!(cache.remember_feedback(&corpus, entry, None, Feedback::Right).await.unwrap());
    let record = cache.record_of(entry);
    assert_eq!((record.right, record.wrong), (3, 1));
    assert_eq!(cache.judgements(None, 10).await.unwrap().len(), 4);
}

#[tokio::test]
async fn feedback_on_what_is_gone_says_so() {
    let cache = cache(Arc::new(wellspring::MemoryStore::default())).await;
    fill(&cache, CACHED).await;
    let entry = hit(&cache, CACHED).await.unwrap().entry.id;
    let corpus = Corpus::default();
    assert!(cache.feedback_on(&corpus, entry, Some(ASKED), Feedback::Wrong).await.unwrap());
    assert!(!cache.feedback_on(&corpus, entry, Some(ASKED), Feedback::Wrong).await.unwrap());
}

#[cfg(all(unix, feature = "valkey"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_share_a_store_learn_from_each_other() {
    let bench = Bench::new(Kind::Valkey(crate::support::servers::Flavour::Valkey));
    let (one, other) =
        (cache(bench.open(Limits::default())).await, cache(bench.open(Limits::default())).await);
    fill(&one, CACHED).await;
    let mut served = None;
    crate::support::eventually("a hit", async || {
        served = hit(&one, ASKED).await;
        served.is_some()
    })
    .await;
    one.feedback(&served.unwrap(), Feedback::Wrong).await.unwrap();
    fill(&one, CACHED).await;
    crate::support::eventually("the other process has learned", async || {
        cache_knows(&other, ASKED).await && hit(&other, ASKED).await.is_none()
    })
    .await;
}

/// Whether the cache refuses the nearest candidate because of what it learned.
#[cfg(all(unix, feature = "valkey"))]
async fn cache_knows(cache: &Cache, question: &str) -> bool {
    let explained = cache.explain(Query::new(question)).await.unwrap();
    explained.candidates.iter().any(|near| near.checks.first().is_some_and(|check| check.name == "feedback"))
}

#[tokio::test]
async fn a_follow_up_is_matched_in_its_conversation_only() {
    const FOLLOW_UP: &str = "and how much does it cost?";
    let cache = cache(Arc::new(wellspring::MemoryStore::default())).await;
    let bypassed = cache.lookup(Query::new(FOLLOW_UP)).await.unwrap();
    assert!(matches!(bypassed, Lookup::Bypass(BypassReason::FollowUp)), "{bypassed:?}");
    let of = |conversation: &str| Query::new(FOLLOW_UP).conversation(conversation);
    let Lookup::Miss(permit) = cache.lookup(of("1")).await.unwrap() else { panic!("no permit") };
    assert!(matches!(permit.fill("9 euros", vec![]).await, FillOutcome::Stored(_)));
    assert!(matches!(cache.lookup(of("1")).await.unwrap(), Lookup::Hit(_)));
    assert!(matches!(cache.lookup(of("2")).await.unwrap(), Lookup::Miss(_)));
    // A question that stands alone is shared, whatever the conversation.
    fill(&cache, CACHED).await;
    assert!(matches!(cache.lookup(Query::new(CACHED).conversation("2")).await.unwrap(), Lookup::Hit(_)));
}

#[tokio::test]
async fn follow_ups_can_be_matched_as_any_question() {
    let embedder = Arc::new(WordEmbedder::default());
    let store = Arc::new(wellspring::MemoryStore::default());
    let cache = Cache::builder_from(embedder, store).follow_ups(FollowUps::Match).build().await.unwrap();
    fill(&cache, "and in Germany?").await;
    assert!(hit(&cache, "and in Germany?").await.is_some());
}

/// The verdicts of the stages on the nearest answer to `question`.
async fn reasons(cache: &Cache, question: &str) -> String {
    let explained = cache.explain(Query::new(question)).await.unwrap();
    explained.candidates[0].checks.iter().map(|check| &*check.detail).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn feedback_moves_the_calibration_of_its_scope_and_a_restart_brings_it_back() {
    let bench = Bench::new(Kind::Embedded);
    let open = async |learns: bool| {
        let pipeline = Pipeline::new(Calibration::bundled()).floor(0.2).learning(learns);
        let store = Arc::new(bench.embedded(Limits::default()));
        Cache::builder_from(Arc::new(WordEmbedder::default()), store)
            .verifier(pipeline)
            .build()
            .await
            .unwrap()
    };
    let first = open(true).await;
    fill(&first, CACHED).await;
    let Lookup::Hit(own) = first.lookup(Query::new(CACHED)).await.unwrap() else { panic!("not stored") };
    assert!(!reasons(&first, ASKED).await.contains("learned from"));
    for n in 0..20 {
        for (ending, feedback) in [("house", Feedback::Right), ("car", Feedback::Wrong)] {
            let asked = format!("how do i open the blue door number {n} of the {ending}");
            let corpus = Corpus::default();
            assert!(first.remember_feedback(&corpus, own.entry.id, Some(&asked), feedback).await.unwrap());
        }
    }
    let learned = async |cache: &Cache| reasons(cache, ASKED).await.contains("learned from 40 judgements");
    crate::support::eventually("it is learned", async || learned(&first).await).await;
    first.close().await.unwrap();
    let entry = own.entry.id;
    drop((first, own));
    let second = open(true).await;
    crate::support::eventually("it is learned again", async || learned(&second).await).await;
    second.close().await.unwrap();
    drop(second);
    let unwilling = open(false).await;
    let read = async || {
        let record = unwilling.record_of(entry);
        record.right + record.wrong == 40
    };
    crate::support::eventually("the judgements are read", read).await;
    assert!(!reasons(&unwilling, ASKED).await.contains("learned from"));
}

#[tokio::test]
async fn what_callers_said_can_be_taken_back_and_what_is_left_still_counts() {
    let bench = Bench::new(Kind::Embedded);
    let open = async || {
        let pipeline = Pipeline::new(Calibration::bundled()).floor(0.2);
        let store = Arc::new(bench.embedded(Limits::default()));
        let cache = Cache::builder_from(Arc::new(WordEmbedder::default()), store).verifier(pipeline);
        cache.build().await.unwrap()
    };
    let first = open().await;
    fill(&first, CACHED).await;
    let entry = hit(&first, CACHED).await.unwrap().entry.id;
    let corpus = Corpus::default();
    let say = async |by: &str, asked: &str, feedback| {
        let source = FeedbackSource::new().name(by).alone();
        assert!(first.feedback_from(source, &corpus, entry, Some(asked), feedback).await.unwrap());
    };
    for n in 0..20 {
        for (ending, feedback) in [("house", Feedback::Right), ("car", Feedback::Wrong)] {
            say("eve", &format!("how do i open the blue door number {n} of the {ending}"), feedback).await;
        }
    }
    // Both are about one pair, and eve's is the last; one is only bob's.
    say("bob", ASKED, Feedback::Wrong).await;
    say("eve", ASKED, Feedback::Wrong).await;
    let other = "how do i open the red door of the house";
    say("eve", other, Feedback::Wrong).await;
    let forbidden = async |cache: &Cache, asked: &str| {
        let explained = cache.explain(Query::new(asked)).await.unwrap();
        explained.candidates[0].checks.iter().any(|check| check.name == "feedback" && !check.passed)
    };
    let near = "how do i open the black door of the house";
    let learned = async |cache: &Cache| reasons(cache, near).await.contains("learned from");
    crate::support::eventually("it is learned", async || learned(&first).await).await;
    assert!(forbidden(&first, ASKED).await && forbidden(&first, other).await);
    assert_eq!(first.record_of(entry).wrong, 23);
    first.revoke(Revocation::feedback().by("eve")).await.unwrap();
    let check = async |cache: &Cache| {
        crate::support::eventually("it is forgotten", async || !learned(cache).await).await;
        assert!(forbidden(cache, ASKED).await, "bob said so, too");
        assert!(!forbidden(cache, other).await);
        let record = cache.record_of(entry);
        assert_eq!((record.right, record.wrong), (0, 1));
        assert_eq!(cache.judgements(None, 100).await.unwrap().len(), 1);
    };
    check(&first).await;
    first.close().await.unwrap();
    drop(first);
    check(&open().await).await;
}

#[tokio::test]
async fn nothing_is_learned_from_one_tenant_for_another() {
    let pipeline = Pipeline::new(Calibration::bundled()).floor(0.2);
    let store = Arc::new(wellspring::MemoryStore::default());
    let cache = Cache::builder_from(Arc::new(WordEmbedder::default()), store).verifier(pipeline);
    let cache = cache.build().await.unwrap();
    let of = |question: &str, tenant: &str| Query::new(question).scope(Scope::new().tenant(tenant));
    let mut entries = Vec::new();
    for tenant in ["eve", "acme"] {
        let Lookup::Miss(permit) = cache.lookup(of(CACHED, tenant)).await.unwrap() else { panic!("a hit") };
        let FillOutcome::Stored(entry) = permit.fill("an answer", vec![]).await else { panic!("not stored") };
        entries.push(entry);
    }
    for n in 0..150 {
        let feedback = if n < 20 { Feedback::Right } else { Feedback::Wrong };
        let asked = format!("how do i open the blue door number {n} of the house");
        let source = FeedbackSource::new().name("eve").alone();
        let corpus = Corpus::default();
        assert!(cache.feedback_from(source, &corpus, entries[0], Some(&asked), feedback).await.unwrap());
    }
    let says = async |tenant: &str| {
        let explained = cache.explain(of(ASKED, tenant)).await.unwrap();
        explained.candidates[0].checks.iter().map(|check| check.detail.clone()).collect::<Vec<_>>().join(" ")
    };
    crate::support::eventually("it is learned", async || says("eve").await.contains("learned from")).await;
    assert!(!says("acme").await.contains("learned from"));
}

#[tokio::test]
async fn a_caller_who_shares_an_entry_counts_once_for_it() {
    let cache = cache(Arc::new(wellspring::MemoryStore::default())).await;
    fill(&cache, CACHED).await;
    let entry = hit(&cache, CACHED).await.unwrap().entry.id;
    let say = async |source: FeedbackSource, n: u32| {
        let (corpus, asked) = (Corpus::default(), format!("how do i open door {n}"));
        let said = cache.feedback_from(source, &corpus, entry, Some(&asked), Feedback::Wrong).await;
        assert!(said.unwrap());
    };
    for n in 0..30 {
        say(FeedbackSource::new().name("eve"), n).await;
    }
    assert_eq!(cache.record_of(entry).wrong, 1);
    for n in 0..3 {
        say(FeedbackSource::new(), n).await;
        say(FeedbackSource::new().name("bob").alone(), n).await;
    }
    assert_eq!(cache.record_of(entry).wrong, 1 + 1 + 3);
}
