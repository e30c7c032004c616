//! Chooses the threshold of a policy.

use std::sync::Arc;

use wellspring::error::Result;
use wellspring::verify::{CalibratedStage, Calibration, Sample, wilson_upper95};

use super::curve::{Step, Tally};
use super::examined::Examiner;
use super::policy::{Judge, Policy, lossy};

/// The requirements for choosing thresholds.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The greatest share of false hits that is accepted.
    pub budget: f64,
    /// The similarity threshold of the settings, for policies without a budget.
    pub similarity: f32,
}

/// Labelled data for choosing thresholds.
pub(super) trait Calibrating {
    /// The pairs, for fitting; only the best candidate of each question is used for measuring.
    fn samples(&self) -> Vec<Sample>;

    /// The results of the policy over all questions as its threshold falls.
    fn steps(&self, judge: &Judge) -> Vec<Step>;
}

/// Each policy with its calibration, and its threshold; none where the data cannot show the budget.
///
/// With calibration data, every policy gets the lowest threshold that keeps the budget on them by the upper
/// end of the 95 % interval; without data, it gets the threshold of the settings. If the scorer decides, the
/// same applies to the cheap probability that is enough without the scorer.
///
/// # Errors
///
/// If a calibration is asked for and the data are too few.
pub(super) fn judges(
    policies: &[Policy],
    data: Option<&dyn Calibrating>,
    examiner: &Examiner,
    terms: Terms,
) -> Result<Vec<(Judge, Option<f32>)>> {
    policies.iter().map(|&policy| judge(policy, data, examiner, terms)).collect()
}

fn judge(
    policy: Policy,
    data: Option<&dyn Calibrating>,
    examiner: &Examiner,
    terms: Terms,
) -> Result<(Judge, Option<f32>)> {
    let calibration = &examiner.calibration;
    let stage = examiner.stage(calibration);
    let Some(data) = data else {
        let (judge, by_calibration) = by_settings(policy, Arc::clone(calibration), stage, terms.budget);
        let threshold = match policy {
            Policy::Threshold | Policy::Guards => Some(terms.similarity),
            Policy::Verifier | Policy::Learned => by_calibration,
            Policy::VCache => None,
        };
        return Ok((judge, threshold));
    };
    if policy == Policy::Learned {
        let calibration =
            calibration.refit("learned", "the calibration data of this evaluation", &data.samples())?;
        let stage = examiner.stage(&calibration);
        // The thresholds come from scores of models that have not seen the pair.
        return Ok(by_settings(policy, Arc::new(calibration), stage, terms.budget));
    }
    let judge = Judge::new(policy, Arc::clone(calibration), stage);
    let enough = if judge.policy.scores() { least_enough(&judge, data, terms.budget) } else { None };
    let judge = judge.with_enough(enough);
    let threshold = least_threshold(data.steps(&judge), terms.budget);
    Ok((judge, threshold))
}

/// The policy with the thresholds of its calibration; a policy that does not score ignores them.
fn by_settings(
    policy: Policy,
    calibration: Arc<Calibration>,
    stage: CalibratedStage,
    budget: f64,
) -> (Judge, Option<f32>) {
    let enough = calibration.cheap_threshold(stage, budget);
    let threshold = calibration.threshold(stage, budget).map(lossy);
    (Judge::new(policy, calibration, stage).with_enough(enough), threshold)
}

/// The lowest cheap probability from which on the budget is kept on the samples for measuring.
fn least_enough(judge: &Judge, data: &dyn Calibrating, budget: f64) -> Option<f64> {
    let budget = Calibration::cheap_budget(judge.stage, budget);
    let samples = data.samples();
    let measured = samples.iter().filter(|sample| sample.is_measured);
    let cheap = |sample: &Sample| lossy(judge.calibration.cheap(&sample.features));
    let steps = measured.flat_map(|sample| Step::of(&[(cheap(sample), sample.is_same)]));
    least_threshold(steps.collect(), budget).map(f64::from)
}

/// The lowest score from which on at most `budget` of the accepted are wrong, by the upper end of the
/// interval.
fn least_threshold(mut steps: Vec<Step>, budget: f64) -> Option<f32> {
    steps.sort_by(|a, b| b.score.total_cmp(&a.score));
    let (mut tally, mut least) = (Tally::default(), None);
    for equal in steps.chunk_by(|a, b| a.score.total_cmp(&b.score).is_eq()) {
        tally.add(equal);
        if wilson_upper95(tally.wrong(), tally.hits()) <= budget {
            least = Some(equal[0].score);
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
            (0..count)
                .flat_map(|n| Step::of(&[(1.0 - f32::from(n) / f32::from(count), n < wrong_from)]))
                .collect::<Vec<_>>()
        };
        // 0 of 200 wrong has an upper bound of 1.9 %.
        let threshold = least_threshold(scores(400, 300), 0.02).unwrap();
        assert!((0.2..0.26).contains(&threshold), "{threshold}");
        assert_eq!(least_threshold(scores(100, 100), 0.02), None);
        assert_eq!(least_threshold(Vec::new(), 0.5), None);
    }
}
