//! Shows which budgets a calibration that was fitted to labelled pairs can support.

use serde::Serialize;
use wellspring::match_policy::MatchPolicy;
use wellspring::verify::{CalibratedStage, Calibration};

/// The budgets that are reported for a calibration.
const BUDGETS: [f64; 4] = [0.01, 0.02, 0.05, 0.10];

/// The budgets that a calibration can show.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// Pairs of the same question that it was fitted to.
    pub positives: u64,
    /// Pairs of different questions that it was fitted to.
    pub negatives: u64,
    /// By budget, ascending.
    pub budgets: Vec<Budget>,
    /// The smallest budget that can be shown, rounded up; none if none can be.
    pub least_max_false_hit_rate: Option<f64>,
}

/// What a calibration can show for one budget.
#[derive(Debug, Serialize)]
pub struct Budget {
    /// The greatest share of false hits among hits on other wordings.
    pub max_false_hit_rate: f64,
    /// The lowest probability to accept with the scorer; none where the data cannot show the budget with it.
    pub threshold: Option<f64>,
    /// The lowest probability to accept by features alone.
    pub threshold_without_scorer: Option<f64>,
    /// `sufficient` or `insufficient` data; `unconfirmed` where there are too few: the threshold is then that
    /// of the calibration that was moved, raised as far as the data contradict it.
    pub verdict: &'static str,
}

impl Report {
    /// Reports on `calibration`.
    pub fn of(calibration: &Calibration) -> Self {
        let budgets = calibration.budgets(CalibratedStage::Full);
        let budget = |max_false_hit_rate: f64| {
            let match_policy = MatchPolicy::MaxFalseHitRate(max_false_hit_rate);
            let threshold = calibration.threshold(CalibratedStage::Full, max_false_hit_rate);
            Budget {
                max_false_hit_rate,
                threshold,
                threshold_without_scorer: calibration.threshold(CalibratedStage::Cheap, max_false_hit_rate),
                verdict: match budgets.can_show(match_policy) {
                    _ if calibration.is_shown(max_false_hit_rate) => "sufficient",
                    true => "unconfirmed",
                    false => "insufficient",
                },
            }
        };
        Self {
            name: calibration.name.clone(),
            positives: calibration.positives,
            negatives: calibration.negatives,
            budgets: BUDGETS.into_iter().map(budget).collect(),
            least_max_false_hit_rate: budgets.least(),
        }
    }
}
