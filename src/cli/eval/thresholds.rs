//! Where the threshold of a policy comes from.

use std::sync::Arc;

use super::policy::{Judge, Policy};
use crate::error::Result;
use crate::verify::{CalibratedStage, Calibration, Sample, wilson_upper95};

/// What is given for choosing thresholds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// The greatest share of false hits that is accepted.
    pub(super) budget: f64,
    /// The similarity threshold of the settings, for policies without a budget.
    pub(super) similarity: f32,
}

/// Labelled data for choosing thresholds.
pub(super) trait Calibrating {
    /// The pairs, for fitting; those that are the best candidate of their question measure.
    fn samples(&self) -> Vec<Sample>;

    /// The score of what the policy would serve, with whether it is right, for each question that has one.
    fn scores(&self, judge: &Judge) -> Vec<(f32, bool)>;
}

/// Each policy with what it decides by, and its threshold; none where the data cannot show the budget.
///
/// With calibration data, every policy gets the least threshold that keeps the budget on them by the upper end of the
/// 95 % interval; without, the one of the settings.
///
/// # Errors
///
/// If a calibration is asked for and the data are too few.
pub(super) fn judges(
    policies: &[Policy],
    data: Option<&dyn Calibrating>,
    calibration: &Arc<Calibration>,
    terms: Terms,
) -> Result<Vec<(Judge, Option<f32>)>> {
    policies.iter().map(|&policy| judge(policy, data, calibration, terms)).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a probability")]
fn judge(
    policy: Policy,
    data: Option<&dyn Calibrating>,
    calibration: &Arc<Calibration>,
    terms: Terms,
) -> Result<(Judge, Option<f32>)> {
    let by_settings = |calibration: &Calibration| calibration.threshold(CalibratedStage::Full, terms.budget);
    let Some(data) = data else {
        let threshold = match policy {
            Policy::Threshold | Policy::Guards => Some(terms.similarity),
            Policy::Verifier | Policy::Learned => by_settings(calibration).map(|threshold| threshold as f32),
            Policy::VCache => None,
        };
        return Ok((Judge { policy, calibration: Arc::clone(calibration) }, threshold));
    };
    if policy == Policy::Learned {
        let calibration =
            calibration.refit("learned", "the calibration data of this evaluation", &data.samples())?;
        // The thresholds come from scores of models that have not seen the pair.
        let threshold = by_settings(&calibration).map(|threshold| threshold as f32);
        return Ok((Judge { policy, calibration: Arc::new(calibration) }, threshold));
    }
    let judge = Judge { policy, calibration: Arc::clone(calibration) };
    let threshold = least_threshold(data.scores(&judge), terms.budget);
    Ok((judge, threshold))
}

/// The least score from which on at most `budget` of the accepted are wrong, by the upper end of the interval.
fn least_threshold(mut scores: Vec<(f32, bool)>, budget: f64) -> Option<f32> {
    scores.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let (mut hits, mut wrong, mut least) = (0_u64, 0_u64, None);
    for equal in scores.chunk_by(|(a, _), (b, _)| a.total_cmp(b).is_eq()) {
        hits += equal.len() as u64;
        wrong += equal.iter().filter(|(_, is_same)| !is_same).count() as u64;
        if wilson_upper95(wrong, hits) <= budget {
            least = Some(equal[0].0);
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_threshold_keeps_the_budget_by_its_bound() {
        let scores = |count: u16, wrong_from: u16| {
            (0..count).map(|n| (1.0 - f32::from(n) / f32::from(count), n < wrong_from)).collect::<Vec<_>>()
        };
        // 0 of 200 wrong has an upper bound of 1.9 %.
        let threshold = least_threshold(scores(400, 300), 0.02).unwrap();
        assert!((0.2..0.26).contains(&threshold), "{threshold}");
        assert_eq!(least_threshold(scores(100, 100), 0.02), None);
        assert_eq!(least_threshold(Vec::new(), 0.5), None);
    }
}
