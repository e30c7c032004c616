use std::sync::Arc;

use async_trait::async_trait;
use wellspring::embed::{Embedded, ModelInfo};
use wellspring::embedding::Embedding;
use wellspring::verify::{Calibration, Features, Guards, PairScorer, Sample, Scored};

use super::*;

/// Places a text on the unit circle by the first number in it, in degrees.
#[derive(Debug)]
struct Circle(ModelInfo);

#[async_trait]
impl Embedder for Circle {
    fn model(&self) -> &ModelInfo {
        &self.0
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<Embedded>> {
        let place = |text: &String| {
            let Some(degrees) = text.split(' ').find_map(|word| word.parse::<f32>().ok()) else {
                return Ok(Embedded::TooLong);
            };
            let (sin, cos) = degrees.to_radians().sin_cos();
            Ok(Embedded::Vector(Embedding::new(&[cos, sin])?))
        };
        texts.iter().map(place).collect()
    }
}

/// Recognises the own question by its `same`.
#[derive(Debug)]
struct Reads;

#[async_trait]
impl PairScorer for Reads {
    fn name(&self) -> &'static str {
        "reads"
    }

    async fn score(&self, _asked: &str, cached: &str) -> Result<Scored> {
        Ok(Scored::Logit(if cached.contains("same") { 5.0 } else { -5.0 }))
    }
}

/// Decides by the logit alone: nothing else differs in the data that it was fitted on.
fn by_logit() -> Arc<Calibration> {
    let features = Features::of("how old is the house?", "how old was the house?", 0.9);
    let sample = |n: u8| {
        let is_same = n.is_multiple_of(2);
        Sample::new(features, Some(if is_same { 5.0 } else { -5.0 }), is_same)
    };
    let samples: Vec<Sample> = (0..60).map(sample).collect();
    Arc::new(Calibration::fit("test", "logits", &samples).unwrap())
}

/// In the first, the similarity is right; in the second, a twin is nearer; in the third, the words mislead as
/// well.
const WORDINGS: &str = "\
    {\"wording\":\"0 alpha beta\",\"question\":\"10 alpha beta same\",\"twins\":[\"40 gamma\",\"50 delta\"]}\n\
    {\"wording\":\"0 alpha beta\",\"question\":\"30 alpha beta same\",\"twins\":[\"20 gamma\"],\"domain\":\"d\"}\n\
    {\"wording\":\"0 alpha beta\",\"question\":\"60 other same\",\"twins\":[\"5 alpha beta\"],\"domain\":\"d\"}";

async fn report(policies: &[Policy], wordings: &str) -> Result<ControlReport> {
    let embedder = Circle(ModelInfo::new("circle", "1", 2));
    let scorer: Arc<dyn PairScorer> = Arc::new(Reads);
    let (guards, calibration) = (Guards::none(), by_logit());
    let examiner = Examiner { guards, calibration, scorer: Some(scorer) };
    evaluate(&embedder, &examiner, policies, &parse(wordings).unwrap(), &mut |_, _| ()).await
}

#[track_caller]
fn close(value: impl Into<Option<f64>>, expected: f64) {
    let value = value.into().unwrap();
    assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
}

#[tokio::test]
async fn what_reads_the_meaning_is_distinguished_from_what_reads_the_surface() {
    let report = report(&[Policy::Threshold, Policy::Verifier], WORDINGS).await.unwrap();
    assert_eq!((report.wordings, report.twins, report.too_long), (3, 4, 0));
    close(report.chance, (1.0 / 3.0 + 0.5 + 0.5) / 3.0);
    let [similarity, verifier, words] = &report.policies[..] else { panic!("two policies and the baseline") };
    assert_eq!(
        [similarity, verifier, words].map(|one| one.policy),
        ["threshold", "verifier", "word_overlap"]
    );
    close(similarity.all.ranked_first, 1.0 / 3.0);
    // Own at 10, 30 and 60 degrees; twins at 5, 20, 40 and 50: of 12 comparisons 3 + 2 + 0 are won.
    close(similarity.all.roc_auc, 5.0 / 12.0);
    close(verifier.all.ranked_first, 1.0);
    close(verifier.all.roc_auc, 1.0);
    close(words.all.ranked_first, 2.0 / 3.0);
}

#[tokio::test]
async fn domains_stand_by_how_often_the_own_question_ranks_first() {
    let report = report(&[Policy::Threshold], WORDINGS).await.unwrap();
    let domains = &report.policies[0].domains;
    let rows: Vec<_> = domains.iter().map(|one| (one.name(), one.wordings)).collect();
    assert_eq!(rows, [("d", 2), ("(none)", 1)]);
    close(domains[0].figures.ranked_first, 0.0);
    let json = serde_json::to_value(&report).unwrap();
    assert!(json["policies"][0]["ranked_first"].is_number() && json["policies"][1]["roc_auc"].is_number());
    assert_eq!(json["policies"][0]["domains"][0]["domain"], "d");
}

#[test]
fn ties_count_as_their_share() {
    close(first(&[Some(0.5), Some(0.5), Some(0.1), None]), 0.5);
    close(first(&[None, None, None, None]), 0.25);
    close(first(&[None, Some(0.1)]), 0.0);
    close(first(&[Some(0.1), None]), 1.0);
}

#[test]
fn the_overlap_knows_words_and_nothing_of_their_order() {
    assert!((word_overlap("Send it from A to B.", "from b to a send IT") - 1.0).abs() < 1e-6);
    assert!((word_overlap("How old is it?", "how tall is it") - 0.6).abs() < 1e-6);
    assert!(word_overlap("?", "!").abs() < 1e-6);
}

#[tokio::test]
async fn what_is_too_long_ranks_last_and_is_counted() {
    let wordings = "{\"wording\":\"0 a\",\"question\":\"long\",\"twins\":[\"90 b\"]}";
    let report = report(&[Policy::Threshold], wordings).await.unwrap();
    assert_eq!(report.too_long, 1);
    close(report.policies[0].all.ranked_first, 0.0);
}

#[tokio::test]
async fn policies_that_learn_are_refused() {
    for policy in [Policy::Learned, Policy::VCache] {
        assert!(report(&[policy], WORDINGS).await.unwrap_err().is_invalid_input());
    }
    assert!(report(&[Policy::Threshold], "").await.unwrap_err().is_invalid_input());
}
