//! What is compared: ways to decide whether a near neighbour is the same question.

use std::sync::Arc;

use clap::ValueEnum;
use serde::Serialize;

use super::examined::Examined;
use crate::verify::Calibration;

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
}

impl Policy {
    /// The name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::Guards => "guards",
            Self::Verifier => "verifier",
            Self::Learned => "learned",
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
    /// How sure the policy is that the pair is the same question; none if it is vetoed or has no similarity.
    pub(super) fn score(&self, pair: &Examined) -> Option<f32> {
        let similarity = pair.similarity?;
        match self.policy {
            Policy::Threshold => Some(similarity),
            _ if pair.is_vetoed => None,
            Policy::Guards => Some(similarity),
            _ if pair.is_screened => None,
            Policy::Verifier | Policy::Learned => Some(self.probability(pair)),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a probability")]
    fn probability(&self, pair: &Examined) -> f32 {
        let features = &pair.features;
        pair.logit
            .map_or_else(|| self.calibration.cheap(features), |logit| self.calibration.full(features, logit))
            as f32
    }

    /// How long the policy took for the pair, in microseconds, without embedding.
    pub(super) fn micros(&self, pair: &Examined) -> f64 {
        let Cost { guards, features, scorer } = pair.cost;
        match self.policy {
            Policy::Threshold => 0.0,
            Policy::Guards => guards,
            Policy::Verifier | Policy::Learned => guards + features + scorer,
        }
    }
}

/// How long each stage took for a pair, in microseconds; 0 for one that did not run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Cost {
    pub(super) guards: f64,
    pub(super) features: f64,
    pub(super) scorer: f64,
}
