use async_trait::async_trait;
use wellspring::embed::{Embedded, ModelInfo};
use wellspring::embedding::Embedding;
use wellspring::verify::{Calibration, Guard, Guards};

use super::*;

/// Places a text on the unit circle by the angle in degrees that it starts with.
#[derive(Debug)]
struct Circle(ModelInfo);

#[async_trait]
impl Embedder for Circle {
    fn model(&self) -> &ModelInfo {
        &self.0
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<Embedded>> {
        texts
            .iter()
            .map(|text| {
                let Ok(degrees) = text.split(' ').next().unwrap_or_default().parse::<f32>() else {
                    return Ok(Embedded::TooLong);
                };
                let (sin, cos) = degrees.to_radians().sin_cos();
                Ok(Embedded::Vector(Embedding::new(&[cos, sin])?))
            })
            .collect()
    }
}

fn pair(a: &str, b: &str, is_same: bool) -> Pair {
    Pair { a: a.into(), b: b.into(), is_same, weight: 1.0, is_measured: true, domain: None }
}

const TERMS: Terms = Terms { budget: 0.1, similarity: 0.9 };

async fn report(policies: &[Policy], pairs: &[Pair], calibrate_on: Option<&[Pair]>) -> Result<PairReport> {
    let embedder = Circle(ModelInfo::new("circle", "1", 2));
    let examiner = Examiner {
        guards: Guards::none().with(Guard::Negation),
        calibration: Calibration::bundled(),
        scorer: None,
    };
    let mut calls = Vec::new();
    let mut progress = |done, all| calls.push((done, all));
    let report = evaluate(&embedder, &examiner, policies, pairs, calibrate_on, TERMS, &mut progress).await?;
    let (done, all) = calls[calls.len() - 1];
    assert_eq!((calls[0], done), ((0, all), all));
    Ok(report)
}

#[tokio::test]
async fn policies_stand_side_by_side() {
    let pairs =
        [pair("0", "20", true), pair("0", "10 not", false), pair("0", "80", false), pair("long", "0", true)];
    let report = report(&[Policy::Threshold, Policy::Guards], &pairs, None).await.unwrap();
    assert_eq!((report.pairs, report.positives, report.negatives, report.too_long), (4, 2, 2, 1));
    let [threshold, guards] = &report.policies[..] else { panic!("two policies") };
    assert_eq!(report.first, threshold.scores);
    // The negated question is the nearest; only the guard ranks it below the true one.
    assert_eq!(threshold.scores.roc_auc, Some(0.25));
    assert_eq!(guards.scores.roc_auc, Some(0.625));
    // At the similarity of the settings, .9, both pairs that are at most 20 degrees apart are accepted.
    assert_eq!((threshold.accepted_positive, threshold.accepted_negative), (Some(0.5), Some(0.5)));
    assert_eq!((guards.accepted_positive, guards.accepted_negative), (Some(0.5), Some(0.0)));
}

#[tokio::test]
async fn a_threshold_is_frozen_on_other_data() {
    let data: Vec<_> =
        (0..200_u16).map(|n| pair("0", &format!("{}", f32::from(n) / 10.0), n < 100)).collect();
    let pairs = [pair("0", "5", true), pair("0", "15", false)];
    let report = report(&[Policy::Threshold], &pairs, Some(&data)).await.unwrap();
    let policy = &report.policies[0];
    // Pairs up to somewhat more than 10 degrees keep 10 % by the bound.
    let threshold = policy.threshold.unwrap();
    assert!((0.98..0.9849).contains(&threshold), "{threshold}");
    assert_eq!((policy.accepted_positive, policy.accepted_negative), (Some(1.0), Some(0.0)));
}

#[tokio::test]
async fn data_that_show_too_little_freeze_no_threshold() {
    let data = [pair("0", "5", true), pair("0", "15", false)];
    let report = report(&[Policy::Threshold], &data, Some(&data)).await.unwrap();
    let policy = &report.policies[0];
    assert_eq!((policy.threshold, policy.accepted_positive), (None, Some(0.0)));
    assert!((policy.false_hits_per_hit_upper95 - 1.0).abs() < 1e-9);
}

#[tokio::test]
async fn the_report_has_the_keys_that_scripts_read() {
    let pairs: Vec<_> = (0..600_u16).map(|n| pair(&n.to_string(), "7", n < 20)).collect();
    let report = report(&[Policy::Threshold, Policy::Guards], &pairs, None).await.unwrap();
    let json = serde_json::to_value(report).unwrap();
    for key in ["roc_auc", "average_precision", "best_f1", "pairs", "positives", "negatives"] {
        assert!(!json[key].is_null(), "{key}");
    }
    assert_eq!(json["policies"][1]["policy"], "guards");
    for key in ["threshold", "accepted_positive", "accepted_negative", "p50_ms", "p99_ms"] {
        assert!(json["policies"][0][key].is_number(), "{key}");
    }
    for key in ["0.90", "0.95", "0.99"] {
        assert!(json["policies"][0]["recall_at_precision"].get(key).is_some(), "{key}");
    }
    let row = &json["thresholds"][0];
    for key in ["threshold", "accepted_positive", "accepted_negative", "precision", "recall", "hit_rate"] {
        assert!(row[key].is_number(), "{key}");
    }
    assert!(row["false_hits_per_hit"].is_number() && row["false_hits_per_hit_upper95"].is_number());
}

#[tokio::test]
async fn domains_have_figures_of_their_own() {
    let about = |domain: &str, pair: Pair| Pair { domain: Some(domain.into()), ..pair };
    let pairs = [
        about("fine", pair("0", "5", true)),
        about("fine", pair("0", "60", false)),
        about("bad", pair("0", "80", true)),
        about("bad", pair("0", "10", false)),
        pair("0", "90", true),
    ];
    let report = report(&[Policy::Threshold], &pairs, None).await.unwrap();
    let rows = report.policies[0].domains.iter();
    let rows: Vec<_> = rows.map(|one| (one.name(), one.hits, one.right_of_answerable, one.roc_auc)).collect();
    assert_eq!(
        rows,
        [("bad", 1, Some(0.0), Some(0.0)), ("fine", 1, Some(1.0), Some(1.0)), ("(none)", 0, Some(0.0), None)]
    );
    assert_eq!(report.policies[0].domains[1].verdict(), "too few hits");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["policies"][0]["domains"][0]["domain"], "bad");
    let without = [pair("0", "5", true)];
    let json =
        serde_json::to_value(self::report(&[Policy::Threshold], &without, None).await.unwrap()).unwrap();
    assert_eq!(json["policies"][0].get("domains"), None);
}

#[tokio::test]
async fn nothing_to_evaluate_is_an_error() {
    assert!(report(&[Policy::Threshold], &[], None).await.unwrap_err().is_invalid_input());
    assert!(report(&[], &[pair("0", "1", true)], None).await.unwrap_err().is_invalid_input());
    let vcache = report(&[Policy::VCache], &[pair("0", "1", true)], None).await.unwrap_err();
    assert!(vcache.is_invalid_input() && vcache.to_string().contains("eval stream"), "{vcache}");
}
