//! Checks that the evaluation serves the same answers as a cache, on the same questions.

use std::time::Duration;

use async_trait::async_trait;
use wellspring::embed::{Embedded, ModelInfo};
use wellspring::embedding::Embedding;
use wellspring::match_policy::MatchPolicy;
use wellspring::verify::{Calibration, Guards, PairScorer, Pipeline, Scored};
use wellspring::{Cache, Dependency, FillOutcome, FollowUps, Lookup, MemoryStore};

use super::*;
use crate::queries;

const DIMENSIONS: usize = 256;
const CANDIDATES: usize = 4;

const SUBJECTS: [&str; 8] = [
    "open the blue door of the old house behind the garden",
    "open the red door of the old house behind the garden",
    "reset the password of the router in the office upstairs",
    "cancel the monthly plan of my account before it renews",
    "find the population of the old town of Oslo in 2019",
    "find the population of the old town of Oslo in 2021",
    "grow tomatoes on a balcony that gets little sun",
    "repair the chain of a bicycle without special tools",
];

const CACHED_AS: [&str; 4] = ["how do i", "how can i", "what is the way to", "please tell me how to"];
const ASKED_AS: [&str; 5] =
    ["how could i", "is there a way to", "how should i", "tell me how i", "how would i best"];

/// Places a text by its words, so that texts with most words in common are near.
///
/// Components are whole numbers up to 127, and each text has one of 127, so the index stores them exactly:
/// otherwise its rounding could swap neighbours that are nearly equally near.
#[derive(Debug)]
struct Words(ModelInfo);

#[async_trait]
impl Embedder for Words {
    fn model(&self) -> &ModelInfo {
        &self.0
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<Embedded>> {
        texts.iter().map(|text| Ok(Embedded::Vector(Embedding::new(&place(text))?))).collect()
    }
}

fn place(text: &str) -> Vec<f32> {
    let mut components = vec![0.0_f32; DIMENSIONS];
    for word in text.to_lowercase().split_whitespace() {
        let hash = hash(word.bytes());
        let place = usize::try_from(hash).unwrap() % (DIMENSIONS - 1);
        components[1 + place] = (60 + hash / 1_000 % 67) as f32;
    }
    components[0] = 127.0;
    components
}

fn hash(bytes: impl Iterator<Item = u8>) -> u32 {
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Scores pairs by their letters: nearly at random, but always the same for the same pair. Some pairs it
/// cannot read.
#[derive(Debug)]
struct LetterScorer;

#[async_trait]
impl PairScorer for LetterScorer {
    fn name(&self) -> &'static str {
        "letters"
    }

    async fn score(&self, asked: &str, cached: &str) -> Result<Scored> {
        let hash = hash(asked.bytes().chain(cached.bytes()));
        let logit = (hash % 1_000) as f32 / 100.0 - 4.0;
        Ok(if hash.is_multiple_of(17) { Scored::TooLong } else { Scored::Logit(logit) })
    }
}

/// The cached questions and those asked.
fn questions() -> (Vec<Cached>, Vec<Query>) {
    let all = |forms: &[&str]| -> Vec<String> {
        let of = |form: &&str| SUBJECTS.map(|subject| format!("{form} {subject}"));
        forms.iter().flat_map(of).collect()
    };
    let cached: Vec<String> = (0..)
        .zip(all(&CACHED_AS))
        .map(|(id, question): (usize, String)| format!("{{\"id\":{id},\"q\":\"{question}\"}}"))
        .collect();
    let cached = queries::cached(&cached.join("\n")).unwrap();
    let asked: Vec<String> =
        all(&ASKED_AS).iter().map(|question| format!("{{\"q\":\"{question}\"}}")).collect();
    let asked = queries::queries(&asked.join("\n"), &cached).unwrap();
    (cached, asked)
}

/// A cache that holds `cached`.
async fn filled(cached: &[Cached], pipeline: Pipeline, match_policy: MatchPolicy) -> Cache {
    let embedder = Arc::new(Words(ModelInfo::new("words", "1", DIMENSIONS)));
    let long = Duration::from_mins(1);
    let cache = Cache::builder_from(embedder, Arc::new(MemoryStore::default()))
        .verifier(pipeline)
        .match_policy(match_policy)
        .candidates(CANDIDATES)
        .follow_ups(FollowUps::Match)
        .verify_timeout(long)
        .index_wait(long)
        .seed(1)
        .build()
        .await
        .unwrap();
    for entry in cached {
        let Lookup::Miss(permit) =
            cache.lookup(wellspring::Query::new(&*entry.question).renew()).await.unwrap()
        else {
            panic!("no permit for {}", entry.question)
        };
        let filled = permit.fill("an answer", vec![Dependency::document("d")]).await;
        assert!(matches!(filled, FillOutcome::Stored(_)), "{filled:?}");
    }
    cache
}

/// Compares the two; returns how many hits there are, and how many of them are not the nearest question.
async fn compare(
    policy: Policy,
    match_policy: MatchPolicy,
    scorer: Option<Arc<dyn PairScorer>>,
) -> (usize, usize) {
    let (cached, asked) = questions();
    let terms = match match_policy {
        MatchPolicy::MaxFalseHitRate(budget) => Terms { budget, similarity: 1.0 },
        MatchPolicy::SimilarityThreshold(similarity) => Terms { budget: 0.1, similarity },
        _ => panic!("no terms for {match_policy:?}"),
    };
    let guards = Guards::default();
    let mut pipeline = Pipeline::new(Calibration::bundled()).guards(guards).learning(false);
    if let Some(scorer) = &scorer {
        pipeline = pipeline.scorer(Arc::clone(scorer));
    }
    let cache = filled(&cached, pipeline, match_policy).await;

    let examiner = Examiner { guards, calibration: Calibration::bundled(), scorer };
    let stream = Stream {
        cached: &cached,
        queries: &asked,
        calibrate_on: None,
        candidates: CANDIDATES,
        hit_rate: None,
    };
    let embedder = Words(ModelInfo::new("words", "1", DIMENSIONS));
    let texts = cached.iter().map(|entry| &*entry.question).chain(asked.iter().map(|query| &*query.question));
    let embeddings = Embeddings::of(&embedder, texts, &mut |_, _| ()).await.unwrap();
    let judges = judges(&[policy], None, &examiner, terms).unwrap();
    let (judge, threshold) = &judges[0];
    let calibrations = [Arc::clone(&judge.calibration)];
    let looked = Looked::of(&examiner, stream, &asked, &embeddings, &calibrations).await.unwrap();

    // The nearest question of each query, as `asked` gives it for policies that look at no other.
    let all = looked.asked();
    let (mut hits, mut others) = (0, 0);
    for ((case, query), looked_up) in looked.cases(judge, stream).iter().zip(&asked).zip(&all) {
        let lookup = cache.lookup(wellspring::Query::new(&*query.question)).await.unwrap();
        let served = if let Lookup::Hit(hit) = &lookup { Some(&*hit.entry.question) } else { None };
        let evaluated = case.served(*threshold).map(|near| near.question);
        assert_eq!(evaluated, served, "{policy:?} by {match_policy:?} on {}", query.question);
        hits += usize::from(served.is_some());
        let nearest = looked_up.nearest.map(|(at, _)| &*cached[at].question);
        others += usize::from(served.is_some() && served != nearest);
    }
    (hits, others)
}

#[tokio::test]
async fn what_the_evaluation_serves_is_what_a_lookup_serves() {
    let (mut hits, mut others) = (0, 0);
    for budget in [0.02, 0.05, 0.1, 0.3] {
        let match_policy = MatchPolicy::MaxFalseHitRate(budget);
        let scorer: Arc<dyn PairScorer> = Arc::new(LetterScorer);
        for scorer in [Some(scorer), None] {
            let (more, more_others) = compare(Policy::Verifier, match_policy, scorer).await;
            (hits, others) = (hits + more, others + more_others);
        }
    }
    assert!(hits > 0 && others > 0, "{hits} hits, {others} of them not the nearest: too easy a comparison");
    for similarity in [0.7, 0.85] {
        let (hits, _) = compare(Policy::Guards, MatchPolicy::SimilarityThreshold(similarity), None).await;
        assert!(hits > 0, "none at {similarity}");
    }
}
