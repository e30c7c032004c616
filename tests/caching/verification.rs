//! How a cache asks its verifier, and how the default verifier decides.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::embedder::WordEmbedder;
use async_trait::async_trait;
use wellspring::verify::{
    Budgets, Calibration, Candidate, Check, Outcome, Screening, Stage, Verdict, Verifier,
};
use wellspring::{
    Cache, Corpus, FillOutcome, Hit, Lookup, MatchPolicy, MemoryStore, Pipeline, Query, Result, Scope,
};

/// Four questions near each other, and one near all of them.
const CACHED: [&str; 4] = [
    "how do i open the blue door of the house",
    "how do i open the red door of the house",
    "how do i open the black door of the house",
    "how do i open the white door of the house",
];
const ASKED: &str = "how do i open the green door of the house";

/// The verdict of a verifier on the cached question that names a colour.
type Opinion = fn(&str) -> (Outcome, f32);

/// Screens by an opinion, verifies what contains `right`, and keeps what it was asked.
#[derive(Debug)]
struct Recorder {
    opinion: Opinion,
    right: &'static str,
    hangs: bool,
    verified: Arc<Mutex<Vec<String>>>,
    match_policies: Arc<Mutex<Vec<MatchPolicy>>>,
}

impl Recorder {
    fn new(opinion: Opinion, right: &'static str) -> Self {
        Self { opinion, right, hangs: false, verified: Arc::default(), match_policies: Arc::default() }
    }
}

#[async_trait]
impl Verifier for Recorder {
    fn floor(&self, _criterion: MatchPolicy) -> f32 {
        0.3
    }

    fn screen(&self, candidate: &Candidate<'_>) -> Screening {
        self.match_policies.lock().unwrap().push(candidate.match_policy);
        let (outcome, confidence) = (self.opinion)(candidate.cached_question);
        Screening::new(Stage::Custom, outcome, confidence)
    }

    async fn verify(&self, candidate: Candidate<'_>) -> Result<Verdict> {
        self.verified.lock().unwrap().push(candidate.cached_question.to_owned());
        if self.hangs {
            std::future::pending::<()>().await;
        }
        let right = candidate.cached_question.contains(self.right);
        let confidence = if candidate.cached_question.contains("black") { 0.95 } else { 0.9 };
        Ok(Verdict::from_checks(confidence, vec![Check::new("recorder", right, "as asked")]))
    }
}

async fn filled(verifier: Recorder) -> Cache {
    // On a busy machine, one that answers takes its time, too.
    let timeout = if verifier.hangs { Duration::from_millis(50) } else { Duration::from_mins(1) };
    let embedder = Arc::new(WordEmbedder::default());
    let builder = Cache::builder_from(embedder, Arc::new(MemoryStore::default())).verifier(verifier);
    let cache = builder.verify_timeout(timeout).build().await.unwrap();
    for question in CACHED {
        fill(&cache, question).await;
    }
    cache
}

async fn fill(cache: &Cache, question: &str) {
    let Lookup::Miss(permit) = cache.lookup(Query::new(question).renew()).await.unwrap() else {
        panic!("no permit for {question}")
    };
    assert!(matches!(permit.fill("an answer", vec![]).await, FillOutcome::Stored(_)));
}

async fn hit(cache: &Cache, question: &str) -> Option<Hit> {
    match cache.lookup(Query::new(question)).await.unwrap() {
        Lookup::Hit(hit) => Some(hit),
        _ => None,
    }
}

/// The first of them in another spelling, which has the same embedding: nothing else is as near.
fn same_words() -> String {
    format!("{}?", CACHED[0])
}

fn by_colour(question: &str) -> (Outcome, f32) {
    let confidence = match question {
        _ if question.contains("white") => 0.8,
        _ if question.contains("red") => 0.7,
        _ if question.contains("black") => 0.6,
        _ => 0.5,
    };
    (Outcome::Undecided, confidence)
}

#[tokio::test]
async fn all_that_is_undecided_is_verified_the_likeliest_first_and_the_surest_is_served() {
    // First one is right; then all are, and the verifier is most confident of the black one.
    for (right, served) in [("red", CACHED[1]), ("door", CACHED[2])] {
        let recorder = Recorder::new(by_colour, right);
        let verified = Arc::clone(&recorder.verified);
        let cache = filled(recorder).await;
        let hit = hit(&cache, ASKED).await.unwrap();
        assert_eq!(&*hit.entry.question, served);
        assert_eq!(*verified.lock().unwrap(), [CACHED[3], CACHED[1], CACHED[2], CACHED[0]]);
        assert_eq!(cache.metrics().verifications["custom"]["undecided"], 4);
        let explained = cache.explain(Query::new(ASKED)).await.unwrap();
        assert_eq!(explained.served, Some(hit.entry.id), "the explanation decides as the lookup did");
        let exactly = cache.explain(Query::new(ASKED).exact_only()).await.unwrap();
        assert_eq!((exactly.served, exactly.candidates.len(), exactly.threshold), (None, 0, None));
        assert_eq!(exactly.decision, "miss: exact matches only, as was asked for");
    }
}

#[tokio::test]
async fn what_is_clear_at_once_spares_the_verification() {
    fn black_is_clear(question: &str) -> (Outcome, f32) {
        if question.contains("black") { (Outcome::Accepted, 0.95) } else { (Outcome::Undecided, 0.9) }
    }
    let recorder = Recorder::new(black_is_clear, "white");
    let verified = Arc::clone(&recorder.verified);
    let cache = filled(recorder).await;
    assert_eq!(&*hit(&cache, ASKED).await.unwrap().entry.question, CACHED[2]);
    assert!(verified.lock().unwrap().is_empty());
    let explained = cache.explain(Query::new(ASKED)).await.unwrap();
    let served = explained.candidates.iter().find(|near| Some(near.entry) == explained.served).unwrap();
    assert_eq!(served.screened, Outcome::Accepted);
}

/// Knows which colours are the same, and is nearly sure that green is each of them.
#[derive(Debug)]
struct Colours {
    same: &'static [[&'static str; 2]],
}

#[async_trait]
impl Verifier for Colours {
    fn floor(&self, _: MatchPolicy) -> f32 {
        0.3
    }

    fn threshold(&self, _: &Candidate<'_>) -> Option<f32> {
        Some(0.85)
    }

    async fn verify(&self, candidate: Candidate<'_>) -> Result<Verdict> {
        let names =
            |colour: &str| candidate.question.contains(colour) || candidate.cached_question.contains(colour);
        let is_same = self.same.iter().any(|[one, other]| names(one) && names(other));
        let confidence = if is_same { 0.95 } else { 0.1 };
        Ok(Verdict::from_checks(confidence, vec![Check::new("colours", is_same, "by name")]))
    }
}

/// The lookup, and its explanation, which must agree.
async fn looked_up(same: &'static [[&'static str; 2]]) -> (Option<Hit>, wellspring::cache::Explanation) {
    let embedder = Arc::new(WordEmbedder::default());
    let builder = Cache::builder_from(embedder, Arc::new(MemoryStore::default())).verifier(Colours { same });
    let cache = builder.build().await.unwrap();
    for question in CACHED {
        fill(&cache, question).await;
    }
    let explained = cache.explain(Query::new(ASKED)).await.unwrap();
    let hit = hit(&cache, ASKED).await;
    assert_eq!(hit.as_ref().map(|hit| hit.entry.id), explained.served, "{}", explained.decision);
    let rejected = cache.metrics().verifications.get("rivals").map_or(0, |outcomes| outcomes["rejected"]);
    assert_eq!(rejected, u64::from(hit.is_none()));
    (hit, explained)
}

#[tokio::test]
async fn two_that_ask_different_things_cannot_both_be_the_one_that_is_asked() {
    let (hit, _) = looked_up(&[["green", "blue"]]).await;
    assert_eq!(&*hit.unwrap().entry.question, CACHED[0]);
    // Green cannot be blue and red, if blue is not red.
    let (hit, explained) = looked_up(&[["green", "blue"], ["green", "red"]]).await;
    assert!(hit.is_none());
    let details = explained.candidates.iter().flat_map(|candidate| &candidate.checks);
    let details: Vec<_> = details.filter(|check| check.name == "rivals").map(|check| &check.detail).collect();
    assert!(
        details.len() == 2 && details.iter().any(|detail| detail.contains("0.8500 is needed")),
        "{details:?}"
    );
    // A paraphrase that was stored, too, is no rival.
    let (hit, _) = looked_up(&[["green", "blue"], ["green", "red"], ["blue", "red"]]).await;
    assert!(hit.unwrap().entry.question.contains("door"));
}

#[tokio::test]
async fn a_verifier_that_hangs_makes_a_miss_and_holds_nobody_up() {
    let recorder = Recorder { hangs: true, ..Recorder::new(by_colour, "red") };
    let verified = Arc::clone(&recorder.verified);
    let cache = filled(recorder).await;
    assert!(hit(&cache, ASKED).await.is_none());
    assert_eq!(verified.lock().unwrap().len(), 1, "the limit is for all candidates together");
    assert_eq!(cache.metrics().verifications["scorer"]["timed_out"], 1);
}

#[tokio::test]
async fn query_scope_corpus_and_cache_say_what_is_accepted_in_this_order() {
    let recorder = Recorder::new(|_| (Outcome::Rejected, 0.0), "");
    let match_policies = Arc::clone(&recorder.match_policies);
    let corpus = Corpus::new("faq").unwrap();
    let rate = MatchPolicy::MaxFalseHitRate;
    let embedder = Arc::new(WordEmbedder::default());
    let cache = Cache::builder_from(embedder, Arc::new(MemoryStore::default()))
        .verifier(recorder)
        .corpus_match_policy(corpus.clone(), rate(0.03))
        .build()
        .await
        .unwrap();
    let accepted = async |query: Query| {
        let Lookup::Miss(permit) = cache.lookup(query.clone().renew()).await.unwrap() else { panic!() };
        permit.fill("an answer", vec![]).await;
        match_policies.lock().unwrap().clear();
        let near = query.clone();
        let _ = cache.explain(near).await.unwrap();
        match_policies.lock().unwrap().first().copied()
    };
    // A neighbour to look at, in each place.
    let ask = |question: &str, scope: Scope| Query::new(question).scope(scope);
    for query in [Query::new(CACHED[0]), Query::new(CACHED[0]).corpus(corpus.clone())] {
        accepted(query).await;
    }
    assert_eq!(accepted(ask(ASKED, Scope::new())).await, Some(rate(0.02)));
    assert_eq!(accepted(ask(ASKED, Scope::new()).corpus(corpus.clone())).await, Some(rate(0.03)));
    let strict = Scope::new().max_false_hit_rate(0.01);
    assert_eq!(accepted(ask(ASKED, strict.clone()).corpus(corpus.clone())).await, Some(rate(0.01)));
    let query = ask(ASKED, strict).corpus(corpus).similarity_threshold(0.9);
    assert_eq!(accepted(query).await, Some(MatchPolicy::SimilarityThreshold(0.9)));
    cache.set_match_policy(rate(0.1)).unwrap();
    assert_eq!(accepted(ask(ASKED, Scope::new())).await, Some(rate(0.1)));
    for wrong in [Query::new(ASKED).max_false_hit_rate(0.0), Query::new(ASKED).similarity_threshold(2.0)] {
        assert!(cache.lookup(wrong).await.unwrap_err().is_invalid_input());
    }
}

#[tokio::test]
async fn an_embedding_model_without_a_calibration_gives_exact_matches_until_a_similarity_is_set() {
    let embedder = Arc::new(WordEmbedder::default());
    let cache = Cache::builder_from(embedder, Arc::new(MemoryStore::default())).build().await.unwrap();
    fill(&cache, CACHED[0]).await;
    assert_eq!(cache.budgets(&Corpus::default()), Budgets::Uncalibrated);
    assert_eq!(cache.least_similarity(), None);
    assert!(hit(&cache, CACHED[0]).await.is_some(), "the same question");
    let nearest = same_words();
    for rate in [0.001, 0.02, 0.999] {
        cache.set_match_policy(MatchPolicy::MaxFalseHitRate(rate)).unwrap();
        assert!(hit(&cache, &nearest).await.is_none(), "{rate}");
    }
    assert_eq!(cache.metrics().unshown_budgets, 3);
    let explained = cache.explain(Query::new(nearest.as_str())).await.unwrap();
    assert_eq!((explained.served, explained.threshold), (None, None));
    assert!(
        explained
            .decision
            .starts_with("miss: max_false_hit_rate = 0.999 cannot be shown without a calibration"),
        "{}",
        explained.decision
    );
    assert!(explained.candidates[0].checks[0].detail.contains("without a calibration"), "{explained:?}");
    // A threshold that is set is used unchanged, for one query or for all.
    let query = Query::new(nearest.as_str()).similarity_threshold(0.9);
    assert!(matches!(cache.lookup(query).await.unwrap(), Lookup::Hit(_)));
    cache.set_match_policy(0.9.into()).unwrap();
    assert!(hit(&cache, &nearest).await.is_some());
    assert_eq!(cache.least_similarity(), Some(0.9));
    assert_eq!(cache.metrics().unshown_budgets, 3);
}

#[tokio::test]
async fn a_budget_that_cannot_be_shown_is_reported_and_counted_wherever_it_is_set() {
    let embedder = Arc::new(WordEmbedder::default());
    let (faq, unshown) = (Corpus::new("faq").unwrap(), MatchPolicy::MaxFalseHitRate(0.000_1));
    let cache = Cache::builder_from(embedder, Arc::new(MemoryStore::default()))
        .verifier(Pipeline::new(Calibration::bundled()))
        .max_false_hit_rate(0.5)
        .corpus_match_policy(faq.clone(), unshown)
        .build()
        .await
        .unwrap();
    let least = cache.budgets(&faq).least().unwrap();
    for corpus in [Corpus::default(), faq.clone()] {
        let query = Query::new(CACHED[0]).corpus(corpus).renew();
        let Lookup::Miss(permit) = cache.lookup(query).await.unwrap() else { panic!("a renewal") };
        permit.fill("an answer", vec![]).await;
    }
    let asked = || Query::new(same_words());
    for (query, is_shown) in [
        (asked(), true),
        (asked().max_false_hit_rate(least), true),
        (asked().corpus(faq.clone()).similarity_threshold(0.99), true),
        (asked().match_policy(unshown), false),
        (asked().scope(Scope::new().max_false_hit_rate(0.000_1)), false),
        (asked().corpus(faq), false),
    ] {
        let before = cache.metrics();
        let found = cache.lookup(query.clone()).await.unwrap();
        let after = cache.metrics();
        assert_eq!(after.unshown_budgets - before.unshown_budgets, u64::from(!is_shown), "{query:?}");
        let explained = cache.explain(query).await.unwrap();
        assert_eq!((explained.unshown.is_none(), explained.threshold.is_some()), (is_shown, is_shown));
        if is_shown {
            continue;
        }
        assert!(matches!(found, Lookup::Miss(_)));
        assert_eq!(after.verifications, before.verifications, "no one looked at the neighbour");
        let decision = format!("the lowest that it can show is {least}");
        assert!(explained.decision.ends_with(&decision), "{}", explained.decision);
        let nearest = &explained.candidates[0];
        let check = nearest.checks.iter().find(|check| check.name == "cheap").unwrap();
        let detail = format!("no probability shows a false-hit rate below {least}");
        assert!(!nearest.accepted && check.detail.contains(&detail), "{check:?}");
    }
}

#[cfg(feature = "onnx")]
mod bundled {
    use wellspring::embed::OnnxEmbedder;

    use super::*;

    async fn filled(questions: &[&str]) -> Cache {
        let cache = Cache::builder(OnnxEmbedder::bundled().unwrap(), MemoryStore::default())
            // Other tests use the machine, too; only the verdict is tested.
            .verify_timeout(Duration::from_mins(1))
            .build()
            .await
            .unwrap();
        for question in questions {
            fill(&cache, question).await;
        }
        cache
    }

    #[tokio::test]
    async fn twins_are_distinguished_from_paraphrases() {
        let cache = filled(&[
            "How do I enable two-factor authentication?",
            "When did the Normans conquer England?",
            "Which city is the capital of France?",
        ])
        .await;
        for same in
            ["What city is the capital of France", "When, I mean, when did the Normans conquer England?"]
        {
            assert!(hit(&cache, same).await.is_some(), "{same}");
        }
        for twin in [
            "How do I disable two-factor authentication?",
            "When did the Normans leave England?",
            "Why did the Normans conquer England?",
            "Which city is the capital of Germany?",
        ] {
            let explained = cache.explain(Query::new(twin)).await.unwrap();
            assert!(hit(&cache, twin).await.is_none(), "{twin}: {:#?}", explained.candidates[0]);
        }
    }

    #[tokio::test]
    async fn why_shows_every_stage_with_its_inputs_and_its_time() {
        let cache = filled(&["When did the Normans conquer England?"]).await;
        let explained =
            cache.explain(Query::new("In what year did the Normans conquer England?")).await.unwrap();
        let near = &explained.candidates[0];
        let names: Vec<_> = near.checks.iter().map(|check| check.name).collect();
        assert_eq!(names.first(), Some(&"floor"));
        assert!(
            names.contains(&"numbers") && names.contains(&"cheap") && names.contains(&"scorer"),
            "{names:?}"
        );
        let scorer = near.checks.iter().find(|check| check.name == "scorer").unwrap();
        assert!(
            scorer.detail.contains("logit") && scorer.detail.contains("question-comparer@"),
            "{scorer:?}"
        );
        assert_eq!(
            near.stages.iter().map(|run| run.stage).collect::<Vec<_>>(),
            [Stage::Guards, Stage::Cheap, Stage::Scorer]
        );
        assert!(near.stages.iter().all(|run| run.took_us > 0.0));
        // A pair that only the cross-encoder decides is refused with its explanation.
        let explained = cache.explain(Query::new("When did the Normans leave England?")).await.unwrap();
        let near = &explained.candidates[0];
        let last = near.checks.iter().rfind(|check| !check.passed).unwrap();
        assert_eq!(last.name, "scorer");
        assert!(explained.decision.ends_with(&last.detail), "{explained:?}");
    }

    #[tokio::test]
    async fn no_time_for_the_scorer_is_a_miss() {
        let cached = "Which city is the capital of France?";
        // At this rate, the stages without a model accept nothing.
        let asked = || Query::new("What city is the capital of France").max_false_hit_rate(0.01);
        assert!(matches!(filled(&[cached]).await.lookup(asked()).await.unwrap(), Lookup::Hit(_)));
        let cache = Cache::builder(OnnxEmbedder::bundled().unwrap(), MemoryStore::default())
            .verify_timeout(Duration::ZERO)
            .build()
            .await
            .unwrap();
        fill(&cache, cached).await;
        assert!(matches!(cache.lookup(asked()).await.unwrap(), Lookup::Miss(_)));
    }
}
