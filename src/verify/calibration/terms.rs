//! From features to the terms that a logistic model weighs.
//!
//! To each feature belong hinges, so that its effect may bend, and its products with the few features that
//! change the meaning of all others: the similarity, the overlap, the length and, if there is one, the logit
//! of the cross-encoder. This is how a swapped word in a short question differs from one in a long question.

use super::CalibratedStage;
use crate::verify::features::Features;

/// Logits are divided by this, so that they have the same scale as the features.
const LOGIT_SCALE: f32 = 5.0;

/// The name of the logit among the terms.
const LOGIT: &str = "logit";

/// Where the effect of a feature may bend.
const HINGES: &[(&str, &[f32])] = &[
    ("similarity", &[0.6, 0.7, 0.8, 0.9]),
    ("missing_asked", &[0.4, 0.9, 1.6]),
    ("missing_cached", &[0.4, 0.9, 1.6]),
    ("overlap", &[0.4, 0.6, 0.8]),
    ("function_words", &[0.2, 0.4]),
    ("length", &[1.2, 1.7]),
    ("letters", &[0.4, 0.6, 0.8]),
];

/// Where the effect of the scaled logit may bend.
const LOGIT_HINGES: &[f32] = &[-1.6, -1.2, -0.8, -0.4, 0.0, 0.4, 0.8];

/// The features that all others are multiplied with, each less this value, which is in the middle of its
/// range.
const FACTORS: &[(&str, f32)] = &[("similarity", 0.8), ("overlap", 0.7), ("length", 1.5)];

/// The names of the terms of a stage, in their order.
pub(super) fn names(stage: CalibratedStage) -> Vec<String> {
    let mut names: Vec<String> = base(stage).map(str::to_owned).collect();
    for (feature, knots) in HINGES {
        names.extend(knots.iter().map(|knot| format!("{feature}>{knot}")));
    }
    if stage == CalibratedStage::Full {
        names.extend(LOGIT_HINGES.iter().map(|knot| format!("{LOGIT}>{knot}")));
    }
    let factors =
        FACTORS.iter().map(|&(factor, _)| factor).chain((stage == CalibratedStage::Full).then_some(LOGIT));
    for factor in factors {
        names.extend(base(stage).map(|name| format!("{factor}*{name}")));
    }
    names
}

/// Whether a term is a function of the similarity alone.
pub(super) fn is_similarity(name: &str) -> bool {
    name.strip_prefix("similarity").is_some_and(|rest| rest.is_empty() || rest.starts_with('>'))
}

fn base(stage: CalibratedStage) -> impl Iterator<Item = &'static str> {
    Features::names().iter().copied().chain((stage == CalibratedStage::Full).then_some(LOGIT))
}

/// The terms of a pair: of [`CalibratedStage::Full`] if there is a logit, of [`CalibratedStage::Cheap`] if
/// there is none.
pub(super) fn values(features: &Features, logit: Option<f32>) -> Vec<f64> {
    let logit = logit.map(|logit| logit / LOGIT_SCALE);
    let mut base: Vec<f32> = features.values().to_vec();
    base.extend(logit);
    let mut terms = base.clone();
    for (feature, knots) in HINGES {
        let value = features.value(feature).unwrap_or_default();
        terms.extend(knots.iter().map(|knot| (value - knot).max(0.0)));
    }
    if let Some(logit) = logit {
        terms.extend(LOGIT_HINGES.iter().map(|knot| (logit - knot).max(0.0)));
    }
    let factors = FACTORS.iter().map(|(factor, middle)| features.value(factor).unwrap_or_default() - middle);
    for factor in factors.chain(logit) {
        terms.extend(base.iter().map(|value| factor * value));
    }
    terms.into_iter().map(f64::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_term_has_one_name() {
        let features = Features::of("Who founded Warsaw?", "Who founded Krakow?", 0.9);
        for (stage, logit) in [(CalibratedStage::Cheap, None), (CalibratedStage::Full, Some(-3.0))] {
            let mut names = names(stage);
            assert_eq!(names.len(), values(&features, logit).len());
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), values(&features, logit).len());
        }
    }

    #[test]
    fn what_hinges_and_factors_name_exists() {
        for name in HINGES.iter().map(|(name, _)| name).chain(FACTORS.iter().map(|(name, _)| name)) {
            assert!(Features::names().contains(name), "{name}");
        }
    }
}
