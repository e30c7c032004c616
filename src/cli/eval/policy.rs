//! What is compared: ways to decide whether a near neighbour is the same question.

use std::sync::Arc;

use clap::ValueEnum;
use serde::Serialize;

use super::examined::Examined;
use crate::verify::{CalibratedStage, Calibration, Pipeline};

/// A way to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Policy {
    /// The similarity
    Threshold,
    /// The similarity, if no configured guard vetoes
    Guards,
    /// The probability of the bundled calibration, with the cross-encoder
    Verifier,
    /// The same, calibrated on the data of --calibrate-on
    Learned,
    /// What each cached question was found right and wrong for (streams only)
    #[value(name = "vcache")]
    #[serde(rename = "vcache")]
    VCache,
}

impl Policy {
    /// The name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::Guards => "guards",
            Self::Verifier => "verifier",
            Self::Learned => "learned",
            Self::VCache => "vcache",
        }
    }

    /// Whether it asks the cross-encoder.
    pub(super) fn scores(self) -> bool {
        matches!(self, Self::Verifier | Self::Learned)
    }
}

/// A policy with what it decides by.
#[derive(Debug, Clone)]
pub(super) struct Judge {
    pub(super) policy: Policy,
    /// Of no use to a policy that does not score.
    pub(super) calibration: Arc<Calibration>,
}

impl Judge {
    /// How sure the policy is that the pair is the same question; none if it is vetoed or has no similarity, or if the
    /// policy does not judge by pairs.
    pub(super) fn score(&self, pair: &Examined) -> Option<f32> {
        let similarity = pair.similarity?;
        match self.policy {
            Policy::VCache => None,
            Policy::Threshold => Some(similarity),
            _ if pair.is_vetoed() => None,
            Policy::Guards => Some(similarity),
            _ if pair.is_screened => None,
            Policy::Verifier | Policy::Learned => Some(self.probability(pair)),
        }
    }

    /// How sure it would be without its vetoes, which for a policy that gives no probability are all that it adds.
    pub(super) fn rank(&self, pair: &Examined) -> Option<f32> {
        if self.policy.scores() { pair.similarity.map(|_| self.probability(pair)) } else { self.score(pair) }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a probability")]
    pub(super) fn probability(&self, pair: &Examined) -> f32 {
        let features = &pair.features;
        pair.logit
            .map_or_else(|| self.calibration.cheap(features), |logit| self.calibration.full(features, logit))
            as f32
    }

    /// How long a lookup takes to decide on `candidates`, the nearest first, in microseconds: without embedding and
    /// search, and no longer than until one is accepted.
    pub(super) fn micros(&self, candidates: &[&Examined], threshold: Option<f32>, budget: f64) -> f64 {
        let floor = if self.policy.scores() { Some(Pipeline::DEFAULT_FLOOR) } else { threshold };
        let Some(floor) = floor else { return 0.0 };
        let enough = self.calibration.threshold(CalibratedStage::Cheap, budget);
        let (mut took, mut undecided) = (0.0, Vec::new());
        for pair in candidates.iter().filter(|pair| pair.similarity >= Some(floor)) {
            if self.policy == Policy::Threshold {
                return took;
            }
            took += pair.cost.guards;
            if pair.is_vetoed() {
                continue;
            }
            if self.policy == Policy::Guards {
                return took;
            }
            took += pair.cost.features;
            let cheap = self.calibration.cheap(&pair.features);
            if enough.is_some_and(|enough| cheap >= enough) {
                return took;
            }
            if !pair.is_screened && cheap >= self.calibration.scorer_from() {
                undecided.push((cheap, *pair));
            }
        }
        undecided.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        for (_, pair) in undecided {
            took += pair.cost.scorer;
            if self.score(pair).zip(threshold).is_some_and(|(score, least)| score >= least) {
                break;
            }
        }
        took
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::eval::cost::Cost;
    use crate::verify::{Check, Features};

    const COST: Cost = Cost { guards: 1.0, features: 10.0, scorer: 100.0 };

    fn pair(similarity: f32, is_vetoed: bool, logit: f32) -> Examined {
        let features = Features::of("who ruled the old town?", "who governed the old city?", similarity);
        let veto = is_vetoed.then(|| Check::new("numbers", false, "they differ"));
        let (similarity, logit) = (Some(similarity), Some(logit));
        Examined { similarity, veto, features, logit, is_screened: false, cost: COST }
    }

    #[track_caller]
    fn takes(policy: Policy, candidates: &[Examined], threshold: f32, micros: f64) {
        let judge = Judge { policy, calibration: Calibration::bundled() };
        let candidates: Vec<&Examined> = candidates.iter().collect();
        // No cheap probability shows so small a budget.
        let took = judge.micros(&candidates, Some(threshold), 1e-9);
        assert!((took - micros).abs() < 1e-9, "{took} is not {micros}");
    }

    #[test]
    fn a_lookup_stops_at_the_first_that_is_accepted() {
        let pairs =
            [pair(0.95, true, 9.0), pair(0.9, false, 9.0), pair(0.85, false, 9.0), pair(0.6, false, 9.0)];
        takes(Policy::Threshold, &pairs, 0.8, 0.0);
        takes(Policy::Guards, &pairs, 0.8, 2.0);
        // Vetoed ones have no features, what is below the floor is not looked at, and one score is enough.
        takes(Policy::Verifier, &pairs, 0.0, 3.0 + 20.0 + 100.0);
        takes(Policy::Verifier, &pairs, 1.1, 3.0 + 20.0 + 200.0);
        takes(Policy::Guards, &pairs, 0.99, 0.0);
    }

    #[test]
    fn what_the_cheap_probability_accepts_is_not_scored() {
        let judge = Judge { policy: Policy::Verifier, calibration: Calibration::bundled() };
        let features = Features::of("how do i enable it?", "how do i enable it?", 1.0);
        let same = Examined { features, ..pair(1.0, false, 9.0) };
        let loosest = (1..100).map(|percent| f64::from(percent) / 100.0).find(|&budget| {
            let least = judge.calibration.threshold(CalibratedStage::Cheap, budget);
            least.is_some_and(|least| judge.calibration.cheap(&features) >= least)
        });
        assert!((judge.micros(&[&same], Some(0.9), loosest.unwrap()) - 11.0).abs() < 1e-9);
    }
}
