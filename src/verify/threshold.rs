//! The plain threshold on cosine similarity.
//!
//! This is the baseline that every semantic cache has. It cannot distinguish "enable 2FA" from "disable 2FA",
//! whose embeddings are nearly the same; [`Guards`](super::Guards) catches the cheapest of such cases.

use async_trait::async_trait;

use super::{Budgets, Candidate, Check, Outcome, Screening, Stage, Verdict, Verifier};
use crate::error::Result;
use crate::key::Corpus;

/// Accepts a candidate whose similarity reaches the caller's threshold.
///
/// If the caller asks for a false-hit rate, it accepts nothing: a similarity alone cannot show one. The
/// confidence is the similarity, which is *not* a probability: at a cosine of 0.9, far more than one answer
/// in ten can be wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Threshold;

impl Threshold {
    /// The plain threshold.
    pub fn new() -> Self {
        Self
    }

    /// Compares the similarity with the threshold. NaN never passes.
    pub(super) fn check(candidate: &Candidate<'_>) -> Check {
        let Some(threshold) = candidate.match_policy.similarity() else {
            let detail = "without a calibration for the embedding model no similarity shows a false-hit rate";
            return Check::new("threshold", false, detail);
        };
        let passed = candidate.similarity >= threshold;
        let relation = if passed { "reaches" } else { "is below" };
        Check {
            name: "threshold",
            passed,
            detail: format!("similarity {:.4} {relation} the threshold {threshold:.4}", candidate.similarity),
        }
    }
}

#[async_trait]
impl Verifier for Threshold {
    fn budgets(&self, _corpus: Option<&Corpus>) -> Budgets {
        Budgets::Uncalibrated
    }

    fn screen(&self, candidate: &Candidate<'_>) -> Screening {
        let accepted =
            candidate.match_policy.similarity().is_some_and(|threshold| candidate.similarity >= threshold);
        let outcome = if accepted { Outcome::Accepted } else { Outcome::Rejected };
        Screening::new(Stage::Cheap, outcome, candidate.similarity)
    }

    async fn verify(&self, candidate: Candidate<'_>) -> Result<Verdict> {
        let check = Self::check(&candidate);
        Ok(Verdict::from_checks(candidate.similarity, vec![check]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::match_policy::MatchPolicy;

    async fn verdict(similarity: f32, threshold: f32) -> Verdict {
        Threshold::new().verify(Candidate::new("a", "b", similarity, threshold)).await.unwrap()
    }

    #[tokio::test]
    async fn reaching_the_threshold_is_enough() {
        let verdict = verdict(0.85, 0.85).await;
        assert!(verdict.accepted);
        assert!((verdict.confidence - 0.85).abs() < f32::EPSILON);
        assert_eq!(verdict.checks[0].detail, "similarity 0.8500 reaches the threshold 0.8500");
    }

    #[tokio::test]
    async fn below_the_threshold_nothing_is_served() {
        let verdict = verdict(0.8499, 0.85).await;
        assert!(!verdict.accepted);
        assert_eq!(verdict.checks[0].name, "threshold");
        assert_eq!(verdict.checks[0].detail, "similarity 0.8499 is below the threshold 0.8500");
    }

    #[tokio::test]
    async fn what_is_not_a_number_never_passes() {
        assert!(!verdict(f32::NAN, 0.85).await.accepted);
        assert!(!verdict(0.9, f32::NAN).await.accepted);
        assert!(verdict(f32::NAN, 0.85).await.confidence.abs() < f32::EPSILON);
    }

    #[tokio::test]
    async fn a_false_hit_rate_is_no_similarity() {
        let candidate = Candidate::new("a", "b", 1.0, MatchPolicy::MaxFalseHitRate(0.5));
        assert_eq!(Threshold::new().screen(&candidate).outcome, Outcome::Rejected);
        let verdict = Threshold::new().verify(candidate).await.unwrap();
        assert!(!verdict.accepted);
        assert!(verdict.checks[0].detail.contains("without a calibration"), "{verdict:?}");
        assert!(!Threshold::new().budgets(None).can_show(candidate.match_policy));
    }

    #[tokio::test]
    async fn confidence_stays_in_its_range() {
        assert!(verdict(-0.5, -1.0).await.confidence.abs() < f32::EPSILON);
    }
}
