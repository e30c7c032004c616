//! What a caller accepts when another question's answer is served: an error rate, or a plain similarity.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The greatest accepted share of wrong answers among hits on other wordings, unless a caller sets another
/// one.
pub const DEFAULT_MAX_FALSE_HIT_RATE: f64 = 0.02;

/// When the answer to another question may be served.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MatchPolicy {
    /// As long as no more than this share of such hits is wrong, in `0.0..1.0` and not 0. How well the rate
    /// is kept depends on how well the calibration fits the questions: measure it on yours. Where nothing can
    /// show that the rate is kept, no such answer is served, see [`Cache::budgets`](crate::Cache::budgets).
    MaxFalseHitRate(f64),
    /// From this cosine similarity up, in `-1.0..=1.0`, whatever share of the answers is then right. The
    /// guards still veto.
    SimilarityThreshold(f32),
}

impl Default for MatchPolicy {
    fn default() -> Self {
        Self::MaxFalseHitRate(DEFAULT_MAX_FALSE_HIT_RATE)
    }
}

/// A plain similarity.
impl From<f32> for MatchPolicy {
    fn from(threshold: f32) -> Self {
        Self::SimilarityThreshold(threshold)
    }
}

impl MatchPolicy {
    /// Checks that the value is in its range.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is not.
    pub fn checked(self) -> Result<Self> {
        let is_valid = match self {
            Self::MaxFalseHitRate(rate) => rate > 0.0 && rate < 1.0,
            Self::SimilarityThreshold(threshold) => (-1.0..=1.0).contains(&threshold),
        };
        match self {
            _ if is_valid => Ok(self),
            Self::MaxFalseHitRate(rate) => {
                Err(Error::invalid(format!("false-hit rate {rate} is not between 0 and 1")))
            }
            Self::SimilarityThreshold(threshold) => {
                Err(Error::invalid(format!("similarity threshold {threshold} is not in -1.0..=1.0")))
            }
        }
    }

    /// The least similarity that is accepted; none if the match policy is an error rate. The similarity that
    /// keeps a rate differs between embedding models, so no default could stand in for it.
    pub fn similarity(self) -> Option<f32> {
        match self {
            Self::SimilarityThreshold(threshold) => Some(threshold),
            Self::MaxFalseHitRate(_) => None,
        }
    }

    /// The match policy as one number: different match policies have different numbers.
    pub(crate) fn bits(self) -> u64 {
        match self {
            // The two never collide: a normal positive double has a bit set in its high half.
            Self::SimilarityThreshold(threshold) => threshold.to_bits().into(),
            Self::MaxFalseHitRate(rate) => rate.to_bits(),
        }
    }
}

impl std::fmt::Display for MatchPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MaxFalseHitRate(rate) => write!(f, "at most {} % false hits", rate * 100.0),
            Self::SimilarityThreshold(threshold) => write!(f, "similarity {threshold:.3} and up"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_named() {
        for wrong in [0.0, 1.0, -0.1, f64::NAN] {
            let error = MatchPolicy::MaxFalseHitRate(wrong).checked().unwrap_err();
            assert!(error.is_invalid_input() && error.to_string().contains("false-hit rate"), "{error}");
        }
        for wrong in [1.1, -1.1, f32::NAN] {
            let error = MatchPolicy::from(wrong).checked().unwrap_err();
            assert!(error.is_invalid_input() && error.to_string().contains("similarity"), "{error}");
        }
        assert!(MatchPolicy::default().checked().is_ok() && MatchPolicy::from(-1.0).checked().is_ok());
    }

    #[test]
    fn a_rate_and_a_similarity_of_one_value_differ() {
        assert_ne!(MatchPolicy::from(0.02).bits(), MatchPolicy::MaxFalseHitRate(0.02).bits());
        assert_eq!(MatchPolicy::default().bits(), MatchPolicy::MaxFalseHitRate(0.02).bits());
    }
}
