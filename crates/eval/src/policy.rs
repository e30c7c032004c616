//! The policies that are compared: ways to decide whether a near neighbour is the same question.

use std::sync::Arc;

use serde::Serialize;
use wellspring::verify::{CalibratedStage, Calibration};

use super::examined::Examined;

/// A way to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The similarity.
    Threshold,
    /// The similarity, if no configured guard vetoes.
    Guards,
    /// The probability of the bundled calibration, with the scorer.
    Verifier,
    /// The same, calibrated on the data that thresholds are chosen on.
    Learned,
    /// The observations of each cached question: where its answer was right and wrong; on streams only.
    #[serde(rename = "vcache")]
    VCache,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Self; 5] = [Self::Threshold, Self::Guards, Self::Verifier, Self::Learned, Self::VCache];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::Guards => "guards",
            Self::Verifier => "verifier",
            Self::Learned => "learned",
            Self::VCache => "vcache",
        }
    }

    /// Whether it cannot work without labelled data.
    pub(super) fn learns(self) -> bool {
        matches!(self, Self::Learned | Self::VCache)
    }

    /// Whether it asks the scorer.
    pub fn scores(self) -> bool {
        matches!(self, Self::Verifier | Self::Learned)
    }
}

/// A policy with the data that it decides by.
#[derive(Debug, Clone)]
pub(super) struct Judge {
    pub(super) policy: Policy,
    /// Unused by a policy that does not score.
    pub(super) calibration: Arc<Calibration>,
    /// The stage whose probability is compared with a threshold: the cheap one where there is no scorer.
    pub(super) stage: CalibratedStage,
    /// The cheap probability that is enough without asking the scorer; none if no probability is enough, or
    /// if the scorer is asked about every pair.
    pub(super) enough: Option<f64>,
}

impl Judge {
    /// A policy that asks the scorer about every pair that it may serve.
    pub(super) fn new(policy: Policy, calibration: Arc<Calibration>, stage: CalibratedStage) -> Self {
        Self { policy, calibration, stage, enough: None }
    }

    /// Sets `enough` as the cheap probability that needs no scorer, if there is a scorer.
    pub(super) fn with_enough(self, enough: Option<f64>) -> Self {
        let enough = enough.filter(|_| self.policy.scores() && self.stage == CalibratedStage::Full);
        Self { enough, ..self }
    }

    /// How sure the policy is that the pair is the same question; none if it is vetoed or has no similarity,
    /// or if the policy does not judge by pairs.
    pub(super) fn score(&self, pair: &Examined) -> Option<f32> {
        let similarity = pair.similarity?;
        match self.policy {
            Policy::VCache => None,
            Policy::Threshold => Some(similarity),
            _ if pair.is_vetoed() => None,
            Policy::Guards => Some(similarity),
            _ if pair.is_screened || pair.is_unread => None,
            Policy::Verifier | Policy::Learned => Some(self.probability(pair)),
        }
    }

    /// How sure it would be without its vetoes; for a policy that gives no probabilities, the same as its
    /// score.
    pub(super) fn rank(&self, pair: &Examined) -> Option<f32> {
        if self.policy.scores() { pair.similarity.map(|_| self.probability(pair)) } else { self.score(pair) }
    }

    /// The probability with the scorer, or that of the cheap stages where the scorer was not asked.
    pub(super) fn probability(&self, pair: &Examined) -> f32 {
        let full = |logit| lossy(self.calibration.full(&pair.features, logit));
        pair.logit.map_or_else(|| self.cheap(pair), full)
    }

    /// The probability of the cheap stages.
    pub(super) fn cheap(&self, pair: &Examined) -> f32 {
        lossy(self.calibration.cheap(&pair.features))
    }
}

/// A probability as policies compare it.
#[expect(clippy::cast_possible_truncation, reason = "a probability needs no more digits")]
pub(super) fn lossy(probability: f64) -> f32 {
    probability as f32
}
