//! A judge that decides in the background what nothing else can: its budget, what it is asked first, how its decisions
//! are used, and how they are revoked.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::embedder::WordEmbedder;
use crate::support::{Bench, Kind, START, eventually};
use async_trait::async_trait;
use wellspring::clock::ManualClock;
use wellspring::judge::{AnswerJudge, Case, Ruling, judge_with};
use wellspring::judgement::Judge;
use wellspring::store::{Limits, MemoryStore};
use wellspring::{
    Cache, CacheBuilder, Change, Corpus, Dependency, Error, ErrorKind, Feedback, FillOutcome, Hit, Lookup,
    Query, Revocation, Scope, Shadow, Store,
};

const CACHED: &str = "how do i open the blue door of the house";
/// Near enough to be served.
const SERVED: &str = "how do i open the green door of the house";
const SERVED_WRONGLY: &str = "how do i open the blue door of the car";
/// Near enough only for a judge.
const NEAR: &str = "please open any door inside our blue house";
const NEAR_ALSO: &str = "which key will open a blue door in your house";
const NEAR_WRONGLY: &str = "please open any blue door inside our car";
/// Less near.
const FILLERS: [&str; 3] = ["may i open a shop", "how do i paint a fence", "where do i open an account"];

/// The cases that a judge was shown, as pairs of questions.
type Shown = Arc<Mutex<Vec<(String, String)>>>;

/// Approves exactly the pairs of questions that end in the same word.
fn same_ending(case: &Case) -> bool {
    let last = |text: &str| text.rsplit(' ').next().map(str::to_owned);
    last(&case.question) == last(&case.cached_question)
}

/// A closure with the given confidence.
fn judge(shown: &Shown, confidence: f32) -> impl AnswerJudge + use<> {
    let shown = Arc::clone(shown);
    judge_with(move |case: Case| {
        shown.lock().unwrap().push((case.question.to_string(), case.cached_question.to_string()));
        let ruling = Ruling::new(same_ending(&case), confidence);
        async move { Ok(ruling) }
    })
}

fn shadow(judge: impl AnswerJudge + 'static) -> Shadow {
    Shadow::new(judge).hits(0.0).near_miss_floor(0.2)
}

fn builder(store: Arc<dyn Store>, shadow: Shadow) -> CacheBuilder {
    let embedder = Arc::new(WordEmbedder::default());
    Cache::builder_from(embedder, store).similarity_threshold(0.6).shadow(shadow).seed(1)
}

async fn memory(shadow: Shadow) -> Cache {
    builder(Arc::new(MemoryStore::default()), shadow).build().await.unwrap()
}

async fn fill(cache: &Cache, question: &str) {
    fill_with(cache, Query::new(question), "an answer").await;
}

async fn fill_with(cache: &Cache, query: Query, answer: &str) {
    let Lookup::Miss(permit) = cache.lookup(query.renew()).await.unwrap() else { panic!("no permit") };
    let filled = permit.fill(answer, vec![Dependency::document("d")]).await;
    assert!(matches!(filled, FillOutcome::Stored(_)), "{filled:?}");
}

async fn hit(cache: &Cache, question: &str) -> Option<Hit> {
    match cache.lookup(Query::new(question)).await.unwrap() {
        Lookup::Hit(hit) => Some(hit),
        _ => None,
    }
}

/// Asks, and lets the judge decide what it may.
async fn ask(cache: &Cache, question: &str) -> Option<Hit> {
    let hit = hit(cache, question).await;
    cache.wait_idle().await.unwrap();
    hit
}

fn questions(shown: &Shown) -> Vec<String> {
    shown.lock().unwrap().iter().map(|(question, _)| question.clone()).collect()
}

async fn invalidate(cache: &Cache) {
    cache.invalidate(&Corpus::default(), &[Change::document("d")]).await.unwrap();
}

#[tokio::test]
async fn an_approved_near_miss_is_served_from_then_on() {
    let cache = memory(shadow(judge(&Shown::default(), 1.0))).await;
    fill(&cache, CACHED).await;
    assert!(ask(&cache, NEAR).await.is_none());
    let served = hit(&cache, NEAR).await.expect("it is approved");
    assert_eq!(&*served.entry.question, CACHED);
    assert_eq!(cache.metrics().verifications["feedback"]["accepted"], 1);
    // A caller's feedback overrides the judge.
    cache.remember_feedback(&Corpus::default(), served.entry.id, Some(NEAR), Feedback::Wrong).await.unwrap();
    assert!(hit(&cache, NEAR).await.is_none());
}

#[tokio::test]
async fn what_the_judge_calls_wrong_is_not_served_again_and_the_answer_stays() {
    let cache = memory(shadow(judge(&Shown::default(), 1.0)).hits(1.0).near_misses(0.0)).await;
    fill(&cache, CACHED).await;
    assert!(ask(&cache, SERVED_WRONGLY).await.is_some(), "the judge comes too late for the first");
    assert!(hit(&cache, SERVED_WRONGLY).await.is_none());
    assert!(hit(&cache, CACHED).await.is_some());
    assert!(hit(&cache, SERVED).await.is_some(), "only the pair is out");
    assert!(ask(&cache, NEAR).await.is_none());
    assert!(hit(&cache, NEAR).await.is_none(), "near misses are not judged");
    assert_eq!(cache.metrics().judged["wrong"], 1);
}

#[tokio::test]
async fn no_share_and_no_budget_show_the_judge_nothing() {
    for shadow in [
        |shown: &Shown| shadow(judge(shown, 1.0)).near_misses(0.0),
        |shown: &Shown| shadow(judge(shown, 1.0)).hits(1.0).calls_per_hour(0),
    ] {
        let shown = Shown::default();
        let cache = memory(shadow(&shown)).await;
        fill(&cache, CACHED).await;
        assert!(ask(&cache, SERVED).await.is_some());
        assert!(ask(&cache, NEAR).await.is_none());
        assert!(questions(&shown).is_empty());
        cache.close().await.unwrap();
    }
}

#[tokio::test]
async fn the_budget_holds_and_goes_to_what_is_asked_for_most() {
    let (shown, clock) = (Shown::default(), Arc::new(ManualClock::new(START)));
    // Two calls at once, and one more every five minutes.
    let shadow = shadow(judge(&shown, 1.0)).calls_per_hour(12);
    let store = MemoryStore::with_clock(Limits::default(), Arc::clone(&clock) as _);
    let cache = builder(Arc::new(store), shadow).clock(Arc::clone(&clock) as _).build().await.unwrap();
    fill(&cache, CACHED).await;
    for question in FILLERS {
        assert!(ask(&cache, question).await.is_none(), "{question}");
    }
    assert_eq!(questions(&shown).len(), 2, "the budget is spent");
    let status = cache.judge_status().unwrap();
    assert_eq!(
        (&*status.name, status.calls_per_hour, status.calls_left, status.waiting),
        ("judge", 12, 0, 1)
    );
    for question in [NEAR_WRONGLY, NEAR, NEAR_WRONGLY] {
        assert!(ask(&cache, question).await.is_none());
    }
    assert_eq!(cache.judge_status().unwrap().waiting, 3);
    for wanted in [NEAR_WRONGLY, NEAR] {
        clock.advance(Duration::from_mins(5));
        cache.wait_idle().await.unwrap();
        let questions = questions(&shown);
        if wanted == NEAR_WRONGLY {
            // It was asked twice, so it comes before a question that was asked once, however near.
            assert_eq!(questions[2..], [NEAR_WRONGLY]);
        }
        assert!(questions.len() <= 4);
    }
    assert_eq!(cache.metrics().judge_calls, 4);
}

#[tokio::test]
async fn an_approval_needs_the_confidence_that_is_asked_for() {
    for (confidence, is_approved) in [(0.89, false), (0.9, true)] {
        let shown = Shown::default();
        let cache = memory(shadow(judge(&shown, confidence))).await;
        fill(&cache, CACHED).await;
        assert!(ask(&cache, NEAR).await.is_none());
        assert_eq!(ask(&cache, NEAR).await.is_some(), is_approved);
        assert_eq!(questions(&shown), [NEAR], "it is not asked again and again");
        let verdict = if is_approved { "right" } else { "unsure" };
        assert_eq!(cache.metrics().judged[verdict], 1);
        assert_eq!(cache.judgements(None, 10).await.unwrap().len(), usize::from(is_approved));
    }
    // A closure may say how likely it is.
    let likely = |case: Case| async move { Ok(if same_ending(&case) { 0.95 } else { 0.2 }) };
    let cache = memory(shadow(judge_with(likely))).await;
    fill(&cache, CACHED).await;
    for question in [NEAR, NEAR_WRONGLY] {
        assert!(ask(&cache, question).await.is_none());
    }
    assert!(hit(&cache, NEAR).await.is_some() && hit(&cache, NEAR_WRONGLY).await.is_none());
    let judged = cache.judgements(None, 10).await.unwrap();
    let said: Vec<_> = judged.iter().map(|(_, one)| (one.feedback, one.confidence.unwrap())).collect();
    assert_eq!(said, [(Feedback::Right, 0.95), (Feedback::Wrong, 0.8)]);
}

#[tokio::test]
async fn an_approved_answer_is_served_only_while_it_is_fresh() {
    let cache = memory(shadow(judge(&Shown::default(), 1.0))).await;
    fill(&cache, CACHED).await;
    assert!(ask(&cache, NEAR).await.is_none());
    assert!(hit(&cache, NEAR).await.is_some());
    invalidate(&cache).await;
    assert!(hit(&cache, NEAR).await.is_none(), "its document changed");
    cache.begin_update(&Corpus::default(), "d").await.unwrap();
    assert!(hit(&cache, NEAR).await.is_none());
    cache.end_update(&Corpus::default(), "d", None).await.unwrap();
    // The approval is for the questions, so the new answer is served like the old one.
    fill_with(&cache, Query::new(CACHED), "a new answer").await;
    assert_eq!(&*hit(&cache, NEAR).await.unwrap().entry.answer.text, "a new answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_approved_answer_is_served_once_a_change_was_reported() {
    let cache = memory(shadow(judge(&Shown::default(), 1.0))).await;
    fill(&cache, CACHED).await;
    assert!(ask(&cache, NEAR).await.is_none());
    // The revision that answers are made from, and the one below which none may be served any more.
    let (made, reported) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let ended = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (cache, reported, ended) = (cache.clone(), Arc::clone(&reported), Arc::clone(&ended));
            tokio::spawn(async move {
                let mut hits = 0_u32;
                while !ended.load(Ordering::SeqCst) {
                    let least = reported.load(Ordering::SeqCst);
                    if let Some(hit) = hit(&cache, NEAR).await {
                        let revision = hit.entry.answer.text.parse::<usize>().unwrap_or(0);
                        assert!(revision >= least, "revision {revision} after {least} was reported");
                        hits += 1;
                    }
                    tokio::task::yield_now().await;
                }
                hits
            })
        })
        .collect();
    for revision in 1..=300 {
        made.store(revision, Ordering::SeqCst);
        invalidate(&cache).await;
        reported.store(revision, Ordering::SeqCst);
        fill_with(&cache, Query::new(CACHED), &made.load(Ordering::SeqCst).to_string()).await;
        tokio::task::yield_now().await;
    }
    ended.store(true, Ordering::SeqCst);
    let mut hits = 0;
    for reader in readers {
        hits += reader.await.unwrap();
    }
    assert!(hits > 0, "nothing was served meanwhile");
}

#[tokio::test]
async fn what_was_decided_is_listed_and_can_be_revoked() {
    let shown = Shown::default();
    let cache = memory(shadow(judge(&shown, 0.97))).await;
    fill(&cache, CACHED).await;
    for question in [NEAR, NEAR_WRONGLY, NEAR_ALSO] {
        assert!(ask(&cache, question).await.is_none());
    }
    for question in [NEAR, NEAR, NEAR_ALSO] {
        assert!(hit(&cache, question).await.is_some(), "{question}");
    }
    let judged = cache.judgements(None, 10).await.unwrap();
    assert_eq!(judged.len(), 3);
    let (_, first) = &judged[0];
    assert_eq!((&*first.question, &*first.cached_question, first.judge), (NEAR, CACHED, Judge::NearMiss));
    assert_eq!((first.confidence, first.by.as_deref()), (Some(0.97), Some("judge")));
    assert_eq!(cache.served_as_approved(first.asked, first.cached), 2);

    // One of them, by its pair: at once, and the judge is not asked again.
    assert_eq!(cache.revoke(Revocation::of_pair(first.asked, first.cached)).await.unwrap(), 1);
    assert!(ask(&cache, NEAR).await.is_none() && ask(&cache, NEAR).await.is_none());
    assert_eq!(questions(&shown).iter().filter(|question| *question == NEAR).count(), 1);
    assert!(hit(&cache, NEAR_ALSO).await.is_some());
    let left: Vec<_> = cache.judgements(None, 10).await.unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(left, [judged[1].0, judged[2].0]);
    // The record of the entry is as if it had not been approved.
    let record = cache.record_of(first.cached);
    assert_eq!((record.right, record.wrong), (1, 1));

    // All of a judge: what it decides later counts.
    assert_eq!(cache.revoke(Revocation::everything().by("another")).await.unwrap(), 0);
    assert!(hit(&cache, NEAR_ALSO).await.is_some());
    assert_eq!(cache.revoke(Revocation::everything().by("judge")).await.unwrap(), 2);
    assert!(cache.judgements(None, 10).await.unwrap().is_empty());
    assert!(ask(&cache, NEAR_ALSO).await.is_none());
    assert!(hit(&cache, NEAR_ALSO).await.is_some(), "it is approved again");
    // Later approvals are not affected by earlier decisions.
    let now = cache.judgements(None, 10).await.unwrap()[0].1.at;
    let later = wellspring::clock::Timestamp::from_millis(now.as_millis() + 1);
    assert_eq!(cache.revoke(Revocation::everything().since(later)).await.unwrap(), 0);
    assert_eq!(cache.revoke(Revocation::everything().since(now)).await.unwrap(), 1);
}

#[tokio::test]
async fn what_was_revoked_stays_so_after_a_restart_and_what_callers_say_is_not_touched() {
    let bench = Bench::new(Kind::Embedded);
    let open = async || {
        let store = Arc::new(bench.embedded(Limits::default()));
        builder(store, shadow(judge(&Shown::default(), 1.0)).near_misses(0.0)).build().await.unwrap()
    };
    let store = Arc::new(bench.embedded(Limits::default()));
    let first = builder(store, shadow(judge(&Shown::default(), 1.0))).build().await.unwrap();
    fill(&first, CACHED).await;
    for question in [NEAR, NEAR_ALSO] {
        assert!(ask(&first, question).await.is_none());
    }
    let served = hit(&first, SERVED).await.unwrap();
    let entry = served.entry.id;
    drop(served);
    first.remember_feedback(&Corpus::default(), entry, Some(SERVED), Feedback::Wrong).await.unwrap();
    first.close().await.unwrap();
    drop(first);

    let second = open().await;
    assert!(hit(&second, NEAR).await.is_some() && hit(&second, NEAR_ALSO).await.is_some());
    let judged = second.judgements(None, 10).await.unwrap();
    let (_, near) = judged.iter().find(|(_, one)| &*one.question == NEAR).unwrap();
    assert_eq!(second.revoke(Revocation::of_pair(near.asked, near.cached)).await.unwrap(), 1);
    second.close().await.unwrap();
    drop(second);

    let third = open().await;
    assert!(hit(&third, NEAR).await.is_none() && hit(&third, NEAR_ALSO).await.is_some());
    assert_eq!(third.revoke(Revocation::everything()).await.unwrap(), 1);
    assert!(hit(&third, NEAR_ALSO).await.is_none());
    assert!(hit(&third, SERVED).await.is_none(), "a caller called it wrong");
    third.close().await.unwrap();
    drop(third);
    let fourth = open().await;
    assert!(hit(&fourth, NEAR_ALSO).await.is_none() && hit(&fourth, SERVED).await.is_none());
    let left = fourth.judgements(None, 10).await.unwrap();
    assert_eq!(left.iter().map(|(_, one)| one.judge).collect::<Vec<_>>(), [Judge::Caller]);
}

#[tokio::test]
async fn what_a_caller_confirmed_stays_when_the_judge_is_revoked() {
    let cache = memory(shadow(judge(&Shown::default(), 1.0))).await;
    fill(&cache, CACHED).await;
    assert!(ask(&cache, NEAR).await.is_none());
    let served = hit(&cache, NEAR).await.unwrap();
    cache.feedback(&served, Feedback::Right).await.unwrap();
    cache.revoke(Revocation::everything()).await.unwrap();
    assert!(hit(&cache, NEAR).await.is_some());
}

#[cfg(all(unix, feature = "valkey"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_share_a_store_hear_of_approvals_and_revocations() {
    let bench = Bench::new(Kind::Valkey(crate::support::servers::Flavour::Valkey));
    let open = async |share: f64| {
        let shadow = shadow(judge(&Shown::default(), 1.0)).near_misses(share);
        builder(bench.open(Limits::default()), shadow).build().await.unwrap()
    };
    let (one, other) = (open(1.0).await, open(0.0).await);
    fill(&one, CACHED).await;
    eventually("it is approved", async || ask(&one, NEAR).await.is_some()).await;
    eventually("the other process knows", async || hit(&other, NEAR).await.is_some()).await;
    assert_eq!(other.revoke(Revocation::everything().by("judge")).await.unwrap(), 1);
    assert!(hit(&other, NEAR).await.is_none());
    let is_approved = async || !one.judgements(None, 10).await.unwrap().is_empty();
    eventually("the first process has heard of it", async || !is_approved().await).await;
}

/// Takes several cases at once, and fails on all of them if one is about a car that it is not shown alone.
#[derive(Debug)]
struct Batches {
    sizes: Arc<Mutex<Vec<usize>>>,
    /// Gives one ruling too few instead.
    is_short: bool,
}

#[async_trait]
impl AnswerJudge for Batches {
    fn name(&self) -> &'static str {
        "batches"
    }

    fn batch(&self) -> usize {
        4
    }

    async fn judge(&self, case: &Case) -> wellspring::Result<Ruling> {
        Ok(same_ending(case).into())
    }

    async fn judge_all(&self, cases: &[Case]) -> Vec<wellspring::Result<Ruling>> {
        self.sizes.lock().unwrap().push(cases.len());
        let is_broken = cases.len() > 1 && cases.iter().any(|case| case.question.ends_with("car"));
        let ruling = |case| -> wellspring::Result<Ruling> {
            if is_broken && !self.is_short {
                return Err(Error::new(ErrorKind::Upstream, "no ruling"));
            }
            Ok(same_ending(case).into())
        };
        cases.iter().skip(usize::from(is_broken && self.is_short)).map(ruling).collect()
    }
}

#[tokio::test]
async fn cases_go_together_and_those_of_a_failed_call_come_again_alone() {
    for is_short in [false, true] {
        let (sizes, clock) = (Arc::new(Mutex::new(Vec::new())), Arc::new(ManualClock::new(START)));
        let batches = Batches { sizes: Arc::clone(&sizes), is_short };
        let store = MemoryStore::with_clock(Limits::default(), Arc::clone(&clock) as _);
        let shadow = shadow(batches).calls_per_hour(6);
        let cache = builder(Arc::new(store), shadow).clock(Arc::clone(&clock) as _).build().await.unwrap();
        fill(&cache, CACHED).await;
        // The one call of the budget, so that the others wait for each other.
        assert!(ask(&cache, FILLERS[0]).await.is_none());
        for question in [NEAR, NEAR_WRONGLY, NEAR_ALSO] {
            assert!(ask(&cache, question).await.is_none());
        }
        for _ in 0..6 {
            clock.advance(Duration::from_mins(10));
            cache.wait_idle().await.unwrap();
        }
        assert_eq!(*sizes.lock().unwrap(), [1, 3, 1, 1, 1]);
        assert!(hit(&cache, NEAR).await.is_some() && hit(&cache, NEAR_ALSO).await.is_some());
        assert_eq!((cache.metrics().judged["wrong"], cache.metrics().unjudged), (2, 0));
    }
}

#[tokio::test]
async fn a_batch_never_mixes_scopes() {
    let (sizes, clock) = (Arc::new(Mutex::new(Vec::new())), Arc::new(ManualClock::new(START)));
    let batches = Batches { sizes: Arc::clone(&sizes), is_short: false };
    let store = MemoryStore::with_clock(Limits::default(), Arc::clone(&clock) as _);
    let shadow = shadow(batches).calls_per_hour(6);
    let cache = builder(Arc::new(store), shadow).clock(Arc::clone(&clock) as _).build().await.unwrap();
    let tenant = |name: &str, question: &str| Query::new(question).scope(Scope::new().tenant(name));
    for name in ["a", "b"] {
        fill_with(&cache, tenant(name, CACHED), "an answer").await;
    }
    assert!(matches!(cache.lookup(tenant("a", FILLERS[0])).await.unwrap(), Lookup::Miss(_)));
    cache.wait_idle().await.unwrap();
    for question in [NEAR, NEAR_ALSO] {
        for name in ["a", "b"] {
            assert!(matches!(cache.lookup(tenant(name, question)).await.unwrap(), Lookup::Miss(_)));
            cache.wait_idle().await.unwrap();
        }
    }
    for _ in 0..2 {
        clock.advance(Duration::from_mins(10));
        cache.wait_idle().await.unwrap();
    }
    assert_eq!(*sizes.lock().unwrap(), [1, 2, 2]);
    for name in ["a", "b"] {
        assert!(matches!(cache.lookup(tenant(name, NEAR)).await.unwrap(), Lookup::Hit(_)));
    }
}

#[tokio::test]
async fn a_judge_that_fails_is_asked_three_times_and_then_left_alone() {
    let (calls, clock) = (Arc::new(AtomicUsize::new(0)), Arc::new(ManualClock::new(START)));
    let counted = Arc::clone(&calls);
    let failing = judge_with(move |_: Case| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Err::<bool, _>("away".into()) }
    });
    let store = MemoryStore::with_clock(Limits::default(), Arc::clone(&clock) as _);
    let cache =
        builder(Arc::new(store), shadow(failing)).clock(Arc::clone(&clock) as _).build().await.unwrap();
    fill(&cache, CACHED).await;
    assert!(ask(&cache, NEAR).await.is_none());
    for expected in [1, 2, 3, 3] {
        assert_eq!(calls.load(Ordering::SeqCst), expected, "it rests after each failure");
        clock.advance(Duration::from_mins(1));
        cache.wait_idle().await.unwrap();
    }
    assert_eq!((cache.metrics().judge_calls, cache.metrics().unjudged), (3, 1));
    assert_eq!(cache.judge_status().unwrap().waiting, 0);
    assert!(hit(&cache, NEAR).await.is_none());
}

#[tokio::test]
async fn a_cache_ends_though_something_waits_for_the_judge() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let cache =
        builder(Arc::clone(&store), shadow(judge(&Shown::default(), 1.0)).calls_per_hour(6)).build().await;
    let cache = cache.unwrap();
    fill(&cache, CACHED).await;
    for question in [NEAR, NEAR_ALSO] {
        assert!(ask(&cache, question).await.is_none());
    }
    assert_eq!(cache.judge_status().unwrap().waiting, 1);
    drop(cache);
    eventually("nothing holds the store", async || Arc::strong_count(&store) == 1).await;
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let base = || shadow(judge(&Shown::default(), 1.0));
        for wrong in [base().hits(1.5), base().min_confidence(1.1), base().max_concurrent(0)] {
            let refused = builder(Arc::new(MemoryStore::default()), wrong).build().await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Config);
        }
    });
}
