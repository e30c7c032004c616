use async_trait::async_trait;
use serde_json::json;
use wellspring::embed::{Embedded, ModelInfo};
use wellspring::embedding::Embedding;
use wellspring::verify::{Calibration, Guard, Guards};

use super::*;
use crate::queries;

/// Places all texts at one point, except those longer than 120 bytes.
#[derive(Debug)]
struct OnePoint(ModelInfo);

#[async_trait]
impl Embedder for OnePoint {
    fn model(&self) -> &ModelInfo {
        &self.0
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<Embedded>> {
        let place = |text: &String| match text.len() {
            0..=120 => Ok(Embedded::Vector(Embedding::new(&[1.0, 0.0])?)),
            _ => Ok(Embedded::TooLong),
        };
        texts.iter().map(place).collect()
    }
}

const CACHED: &str = "\
    {\"id\":1,\"q\":\"How do I export my data to Oslo in 2019?\"}\n\
    {\"id\":2,\"q\":\"Who governs New Zealand?\"}\n\
    {\"id\":3,\"q\":\"Which metals does vinegar dissolve?\"}\n\
    {\"id\":4,\"q\":\"When were the 24 hours of Le Mans first held?\"}";

fn cached() -> Vec<Cached> {
    queries::cached(CACHED).unwrap()
}

async fn report(policies: &[Policy], plan: Plan) -> Result<AdversarialReport> {
    let embedder = OnePoint(ModelInfo::new("point", "1", 2));
    let guards = Guards::none().with(Guard::Numbers);
    let examiner = Examiner { guards, calibration: Calibration::bundled(), scorer: None };
    let terms = Terms { budget: 0.02, similarity: 0.9 };
    evaluate(&embedder, &examiner, policies, &cached(), plan, terms, &mut |_, _| ()).await
}

#[test]
fn attacks_follow_from_the_seed() {
    let all = cached();
    let of = |count, seed| attacks(&all, Plan { count, seed });
    assert_eq!(of(4, 1), of(4, 1));
    assert_ne!(of(4, 1), of(4, 2));
    let one = of(1, 1);
    assert!(!one.is_empty() && one.iter().all(|attack| attack.cached == one[0].cached));
    // The question asked is never the cached one, and the other question has no key word in common with it.
    for attack in of(4, 1) {
        assert!(all.iter().all(|entry| entry.question != attack.asked), "{}", attack.asked);
    }
    for entry in &all {
        let other = other(&entry.question, &all, &mut StdRng::seed_from_u64(3)).unwrap();
        assert_ne!(other, entry.question);
    }
    assert_eq!(other(&all[0].question, &all[..1], &mut StdRng::seed_from_u64(3)), None);
}

#[tokio::test]
async fn each_kind_and_policy_is_reported_by_how_many_are_served() {
    let plan = Plan { count: 10, seed: 1 };
    let report = report(&[Policy::Threshold, Policy::Guards], plan).await.unwrap();
    assert_eq!((report.cached, report.attacked, report.seed), (4, 4, 1));
    let names: Vec<_> = report.kinds.iter().map(|kind| kind.kind).collect();
    assert_eq!(names, Kind::ALL.map(Kind::name));
    // All are at one point: a similarity serves every text that is not too long for the model.
    for kind in report.kinds.iter().chain([&report.all]) {
        assert_eq!(kind.policies[0].served, kind.made - kind.too_long, "{}", kind.kind);
    }
    let of = |kind: Kind| report.kinds.iter().find(|one| one.kind == kind.name()).unwrap();
    let numbers = of(Kind::OtherNumber);
    assert_eq!((numbers.made, numbers.policies[0].served, numbers.policies[1].served), (2, 2, 0));
    assert!((numbers.policies[1].share_upper95 - wilson_upper95(0, 2)).abs() < 1e-12);
    let example = &numbers.policies[0].examples[0];
    assert!(example.cached != example.asked && (example.confidence - 1.0).abs() < 1e-6, "{example:?}");
    assert_eq!(report.all.made, report.kinds.iter().map(|kind| kind.made).sum::<usize>());
    assert!(report.all.policies[0].examples.is_empty());
    assert!(report.all.policies[1].served < report.all.policies[0].served);
}

#[tokio::test]
async fn the_report_has_the_keys_that_scripts_read() {
    let report = report(&[Policy::Threshold], Plan { count: 2, seed: 7 }).await.unwrap();
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["seed"], &json["kinds"][0]["kind"]), (&json!(7), &json!("key_words_appended")));
    assert_eq!(json["thresholds"][0]["policy"], "threshold");
    for key in ["served", "share_upper95"] {
        assert!(json["all"]["policies"][0][key].is_number(), "{key}");
    }
}

#[tokio::test]
async fn what_cannot_be_attacked_is_an_error() {
    let plan = Plan { count: 1, seed: 1 };
    for policies in [&[Policy::VCache][..], &[Policy::Learned], &[]] {
        assert!(report(policies, plan).await.unwrap_err().is_invalid_input());
    }
    assert!(report(&[Policy::Threshold], Plan { count: 0, seed: 1 }).await.unwrap_err().is_invalid_input());
}
