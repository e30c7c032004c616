use async_trait::async_trait;
use wellspring::embed::{Embedded, ModelInfo};
use wellspring::embedding::Embedding;
use wellspring::verify::{Calibration, Guard, Guards};

use super::*;
use crate::queries;

/// Places a text on the unit circle by the angle in degrees that it starts with.
#[derive(Debug)]
struct Circle(ModelInfo);

#[async_trait]
impl Embedder for Circle {
    fn model(&self) -> &ModelInfo {
        &self.0
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<Embedded>> {
        let place = |text: &String| {
            let degrees: f32 = text.split(' ').next().unwrap_or_default().parse().unwrap();
            let (sin, cos) = degrees.to_radians().sin_cos();
            Ok(Embedded::Vector(Embedding::new(&[cos, sin])?))
        };
        texts.iter().map(place).collect()
    }
}

const CACHED: &str = "{\"id\":\"a\",\"q\":\"0 here\"}\n{\"id\":\"b\",\"q\":\"90 there\"}";
const QUERIES: &str = "{\"q\":\"2 here\",\"expect\":\"a\"}\n{\"q\":\"88 there\",\"expect\":\"b\"}\n\
                       {\"q\":\"3 not here\",\"expect\":null}\n{\"q\":\"40 anywhere\",\"expect\":null}";

async fn report(hit_rate: Option<f64>, calibrate_on: Option<&str>) -> StreamReport {
    report_of(&[Policy::Threshold, Policy::Guards], QUERIES, hit_rate, calibrate_on).await.unwrap()
}

async fn report_of(
    policies: &[Policy],
    asked: &str,
    hit_rate: Option<f64>,
    calibrate_on: Option<&str>,
) -> Result<StreamReport> {
    let embedder = Circle(ModelInfo::new("circle", "1", 2));
    let examiner = Examiner {
        guards: Guards::none().with(Guard::Negation),
        calibration: Calibration::bundled(),
        scorer: None,
    };
    let cached = queries::cached(CACHED).unwrap();
    let asked = queries::queries(asked, &cached).unwrap();
    let data = calibrate_on.map(|text| queries::queries(text, &cached).unwrap());
    let stream =
        Stream { cached: &cached, queries: &asked, calibrate_on: data.as_deref(), candidates: 2, hit_rate };
    let terms = Terms { budget: 0.1, similarity: 0.99 };
    evaluate(&embedder, &examiner, policies, stream, terms, &mut |_, _| ()).await
}

#[tokio::test]
async fn hits_are_counted_by_what_they_should_have_been() {
    let report = report(None, None).await;
    assert_eq!((report.cached, report.queries), (2, 4));
    assert!((report.answerable - 0.5).abs() < 1e-9);
    let [threshold, guards] = &report.policies[..] else { panic!("two policies") };
    // At .99, all except the one at 40 degrees are hits; the negated one is false.
    assert!((threshold.hit_rate - 0.75).abs() < 1e-9);
    assert_eq!(threshold.false_hits_per_hit, Some(1.0 / 3.0));
    assert!((threshold.errors_per_request - 0.25).abs() < 1e-9);
    assert_eq!((threshold.correct_on_positives, threshold.budget), (Some(1.0), BudgetVerdict::Exceeded));
    assert_eq!((guards.false_hits_per_hit, guards.correct_on_positives), (Some(0.0), Some(1.0)));
    assert_eq!(guards.budget, BudgetVerdict::Insufficient);
}

#[tokio::test]
async fn a_hit_rate_sets_the_threshold_without_looking_at_labels() {
    let report = report(Some(0.5), None).await;
    assert!(report.policies.iter().all(|policy| (policy.hit_rate - 0.5).abs() < 1e-9));
}

#[tokio::test]
async fn thresholds_can_be_frozen_on_other_queries() {
    let data: Vec<String> = (0..100)
        .map(|n| {
            let (degrees, expect) = (f64::from(n) / 10.0, if n < 50 { "\"a\"" } else { "null" });
            format!("{{\"q\":\"{degrees} x\",\"expect\":{expect}}}")
        })
        .collect();
    let report = report(None, Some(&data.join("\n"))).await;
    // Fifty right ones, up to 4.9 degrees; a few additional wrong ones keep 10 % by the bound.
    let threshold = report.policies[0].threshold.unwrap();
    assert!((0.9955..0.9964).contains(&threshold), "{threshold}");
}

#[tokio::test]
async fn the_report_has_the_keys_that_scripts_read() {
    let json = serde_json::to_value(report(None, None).await).unwrap();
    for key in [
        "threshold",
        "hit_rate",
        "false_hits_per_hit",
        "false_hits_per_hit_upper95",
        "errors_per_request",
        "correct_on_positives",
        "p50_ms",
        "p99_ms",
    ] {
        assert!(json["policies"][0][key].is_number(), "{key}");
    }
    assert_eq!(json["policies"][0]["policy"], "threshold");
    assert_eq!(json["stages"][0]["stage"], "guards");
}

/// Questions near the first cached one: those within 10 degrees ask the same.
fn easy(count: usize) -> String {
    let query = |n: usize| {
        let (degrees, expect) = if n.is_multiple_of(3) { (30 + n % 20, "null") } else { (n % 10, "\"a\"") };
        format!("{{\"q\":\"{degrees} no {n}\",\"expect\":{expect}}}")
    };
    (0..count).map(query).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn vcache_learns_on_the_stream_and_has_no_threshold() {
    let policies = [Policy::Threshold, Policy::VCache];
    let four = report_of(&policies, &easy(4), None, None).await.unwrap();
    assert!(four.policies[1].hit_rate < 1e-9, "the first four of an entry explore");
    let long = report_of(&policies, &easy(1_500), None, None).await.unwrap();
    let [_, vcache] = &long.policies[..] else { panic!("two policies") };
    assert_eq!((vcache.policy, vcache.threshold), ("vcache", None));
    assert!(vcache.hit_rate > 0.3, "{}", vcache.hit_rate);
    assert!(vcache.errors_per_request <= 0.1, "the budget is one of requests: {}", vcache.errors_per_request);
    assert!(vcache.curve.len() > 2 && vcache.p99_ms > 0.0);
    let again = report_of(&policies, &easy(1_500), None, None).await.unwrap();
    assert_eq!(again.policies[1].curve, vcache.curve);
    assert!((again.policies[1].errors_per_request - vcache.errors_per_request).abs() < 1e-12);
}

#[tokio::test]
async fn domains_have_figures_of_their_own() {
    let asked = "{\"q\":\"2 here\",\"expect\":\"a\",\"domain\":\"fine\"}\n\
                 {\"q\":\"3 not here\",\"expect\":null,\"domain\":\"bad\"}\n\
                 {\"q\":\"88 there\",\"expect\":\"b\",\"domain\":\"fine\"}\n\
                 {\"q\":\"40 anywhere\",\"expect\":null,\"domain\":\"fine\"}";
    let report = report_of(&[Policy::Threshold, Policy::VCache], asked, None, None).await.unwrap();
    let row = |policy: usize, place: usize| {
        let one = &report.policies[policy].domains[place];
        (one.name().to_owned(), one.count, one.hits, one.right_of_answerable, one.roc_auc)
    };
    assert_eq!(row(0, 0), ("bad".into(), 1, 1, None, None));
    assert_eq!(row(0, 1), ("fine".into(), 3, 2, Some(1.0), Some(1.0)));
    assert_eq!(row(1, 0).2, 0, "vcache explores first");
    assert_eq!(report.policies[1].roc_auc, None);
}

#[tokio::test]
async fn no_hit_rate_can_be_set_for_vcache() {
    let error = report_of(&[Policy::VCache], QUERIES, Some(0.5), None).await.unwrap_err();
    assert!(error.is_invalid_input() && error.to_string().contains("no threshold"), "{error}");
}

#[tokio::test]
async fn details_follow_the_figures() {
    let report = report(None, None).await;
    let [threshold, guards] = &report.details[..] else { panic!("two policies") };
    assert_eq!((threshold.false_hits, threshold.misses()), (1, 0));
    assert_eq!(threshold.worst[0].asked, "3 not here");
    assert_eq!(guards.false_hits, 0);
    assert!((threshold.at.unwrap().hit_rate - report.policies[0].hit_rate).abs() < 1e-12);
}
