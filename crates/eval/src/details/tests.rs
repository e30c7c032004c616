use std::sync::Arc;

use wellspring::verify::{CalibratedStage, Calibration, Features};

use super::*;
use crate::cost::Cost;

fn judge(policy: Policy) -> Judge {
    Judge::new(policy, Arc::new(Calibration::default()), CalibratedStage::Full)
}

fn pair(similarity: f32) -> Examined {
    let features = Features::of("how do i enable it?", "how can i enable it?", similarity);
    let (similarity, cost) = (Some(similarity), Cost::default());
    Examined { similarity, veto: None, features, logit: None, is_screened: false, is_unread: false, cost }
}

fn vetoed(similarity: f32) -> Examined {
    Examined { veto: Some(Check::new("negation", false, "not")), ..pair(similarity) }
}

fn near(pair: &Examined, is_right: bool) -> Near<'_> {
    let score = pair.similarity.unwrap();
    Near { question: "cached", pair, score, confidence: score, is_right }
}

fn case<'a>(
    offered: impl Into<Option<&'a Examined>>,
    expected: Option<&'a Examined>,
    is_right: bool,
) -> Case<'a> {
    let offered: Option<&Examined> = offered.into();
    let offers = offered.map(|pair| near(pair, is_right)).into_iter().collect();
    Case { asked: "asked", offers, expected: expected.map(|pair| ("right", Some(pair))), domain: None }
}

#[test]
fn what_went_wrong_is_sorted_by_kind_and_by_how_much() {
    let pairs: Vec<Examined> = [0.95, 0.97, 0.99, 0.7, 0.85].map(pair).into();
    let no = vetoed(0.98);
    let far = Case { asked: "asked", offers: Vec::new(), expected: Some(("right", None)), domain: None };
    let cases = [
        case(&pairs[0], None, false),
        case(&pairs[1], Some(&pairs[3]), false),
        case(&pairs[2], Some(&pairs[2]), true),
        case(&pairs[3], Some(&pairs[3]), true),
        case(&pairs[4], Some(&pairs[4]), true),
        case(None, Some(&no), false),
        far,
    ];
    let details = Details::of(&judge(Policy::Guards), Some(0.9), &cases);
    let at = details.at.unwrap();
    assert_eq!((at.hit_rate, at.false_hits_per_hit), (3.0 / 7.0, 2.0 / 3.0));
    let scores = |examples: &[Example]| examples.iter().map(|one| one.score).collect::<Vec<_>>();
    assert_eq!((details.false_hits, scores(&details.worst)), (2, vec![Some(0.97), Some(0.95)]));
    assert_eq!(details.worst[0].expected.as_deref(), Some("right"));
    assert_eq!(details.worst[1].expected, None);
    assert_eq!(scores(&details.nearly), [Some(0.85), Some(0.7)]);
    assert_eq!((details.refused.len(), details.refused[0].why.name), (1, "negation"));
    let missed: Vec<_> = details.missed.iter().map(|(cause, count)| (&**cause, *count)).collect();
    assert_eq!(missed, [("below the threshold", 2), ("guard: negation", 1), ("not among the candidates", 1)]);
    assert_eq!(details.misses(), 4);
    assert!(details.reliability.is_empty(), "a similarity is no probability");
    assert_eq!(details.calibration_error, None);
}

#[test]
fn without_a_threshold_nothing_is_served_and_nothing_missed() {
    let pair = pair(0.95);
    let details = Details::of(&judge(Policy::Guards), None, &[case(&pair, Some(&pair), true)]);
    assert_eq!((details.at, details.misses(), details.curve.len()), (None, 0, 1));
}

#[test]
fn reasons_are_those_of_the_decision() {
    let scored = Examined { logit: Some(-3.0), ..pair(0.9) };
    let judge = judge(Policy::Verifier);
    let miss = judge.why(&scored, 2.0);
    assert_eq!((miss.name, miss.passed), ("scorer", false));
    let probability = judge.score(&scored).unwrap();
    assert!(
        miss.detail.starts_with(&format!("probability {probability:.4}, 2.0000 is needed (logit -3.000;"))
    );
    assert!(
        miss.detail.contains(" -") && !miss.detail.contains('+'),
        "only what speaks against it: {miss:?}"
    );
    let hit = judge.why(&scored, 0.0);
    assert!(hit.passed && hit.detail.contains('+') && !hit.detail.contains(", similarity -"), "{hit:?}");
    assert_eq!(judge.why(&vetoed(0.9), 0.5).detail, "not");
    let floored = Examined { is_screened: true, ..pair(0.4) };
    assert_eq!(judge.why(&floored, 0.5).name, "floor");
    assert_eq!(judge.cause(&floored), "below the floor");
}

#[test]
fn what_is_served_is_what_a_lookup_comes_to_first() {
    let pairs: Vec<Examined> = [0.8, 0.9].map(pair).into();
    let offers = vec![near(&pairs[0], true), near(&pairs[1], false)];
    let case = Case { asked: "asked", offers, expected: Some(("right", Some(&pairs[0]))), domain: None };
    assert_eq!(case.served(Some(0.85)).map(|near| near.is_right), Some(false));
    assert_eq!(case.served(Some(0.5)).map(|near| near.is_right), Some(true));
    assert!(case.served(Some(0.95)).is_none() && case.served(None).is_none());
    assert_eq!(case.surest().map(|near| near.score), Some(0.9));
    let details = Details::of(&judge(Policy::Guards), Some(0.5), &[case]);
    assert_eq!((details.false_hits, details.misses(), details.curve.len()), (0, 0, 2));
}

#[test]
fn what_needs_no_scorer_is_explained_without_it() {
    let pair = Examined { logit: Some(-9.0), ..pair(0.9) };
    let judge = judge(Policy::Verifier);
    let cheap = judge.calibration.cheap(&pair.features);
    let why = judge.clone().with_enough(Some(cheap)).why(&pair, 0.99);
    assert_eq!((why.name, why.passed), ("cheap", true));
    assert!(why.detail.starts_with(&format!("probability {cheap:.4}, {cheap:.4} is needed")), "{why:?}");
    assert!(!why.detail.contains("logit -9"), "{why:?}");
    let unread = Examined { logit: None, is_unread: true, ..pair };
    assert_eq!((judge.why(&unread, 0.5).name, judge.why(&unread, 0.5).passed), ("scorer", false));
    assert_eq!(judge.cause(&unread), "not readable for the scorer");
}

#[test]
fn no_more_than_some_examples_are_kept() {
    let pairs: Vec<Examined> = (0..40_u8).map(|n| pair(0.9 + f32::from(n) / 1_000.0)).collect();
    let cases: Vec<_> = pairs.iter().map(|pair| case(pair, None, false)).collect();
    let details = Details::of(&judge(Policy::Verifier), Some(0.0), &cases);
    assert_eq!((details.false_hits, details.worst.len()), (40, EXAMPLES));
    assert_eq!(details.worst[0].similarity, pairs[39].similarity);
    assert_eq!(details.reliability.iter().map(|bin| bin.count).sum::<u64>(), 40);
    // None of them is right.
    let confidence: f32 = pairs.iter().filter_map(|pair| pair.similarity).sum();
    assert!((details.calibration_error.unwrap() - f64::from(confidence) / 40.0).abs() < 1e-4);
}
