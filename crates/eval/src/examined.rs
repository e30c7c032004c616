//! A pair of questions with all the data that policies decide by.

use std::sync::Arc;
use std::time::Instant;

use wellspring::error::Result;
use wellspring::verify::{
    CalibratedStage, Calibration, Check, Features, Guards, PairScorer, Pipeline, Scored,
};

use super::cost::Cost;

/// The data about a cached question as the candidate for a question that is asked.
#[derive(Debug, Clone)]
pub(super) struct Examined {
    /// The similarity of their embeddings; none if one of them has none.
    pub(super) similarity: Option<f32>,
    /// The check of the configured guard that vetoes it.
    pub(super) veto: Option<Check>,
    pub(super) features: Features,
    /// The scorer's logit, if the scorer was asked and could read the pair.
    pub(super) logit: Option<f32>,
    /// Whether it was left out because the cheap stages find it unlikely: policies that score never serve it.
    pub(super) is_screened: bool,
    /// Whether the scorer was asked and could not read the pair.
    pub(super) is_unread: bool,
    pub(super) cost: Cost,
}

impl Examined {
    /// Whether a configured guard vetoes it.
    pub(super) fn is_vetoed(&self) -> bool {
        self.veto.is_some()
    }
}

/// Examines pairs.
#[derive(Debug)]
pub struct Examiner {
    /// The guards that may veto.
    pub guards: Guards,
    /// Computes probabilities from features and the scorer's logit.
    pub calibration: Arc<Calibration>,
    /// The scorer; none to work without one.
    pub scorer: Option<Arc<dyn PairScorer>>,
}

impl Examiner {
    /// Runs all cheap stages.
    pub(super) fn look(&self, asked: &str, cached: &str, similarity: Option<f32>) -> Examined {
        let started = Instant::now();
        let veto = self.guards.veto(asked, cached);
        let guards = micros(started);
        let started = Instant::now();
        let features = Features::of(asked, cached, similarity.unwrap_or(0.0));
        // Computed only to measure its time: each policy computes it again with its own calibration.
        let _ = std::hint::black_box(self.calibration.cheap(&features));
        let features_took = micros(started);
        let cost = Cost { guards, features: features_took, scorer: 0.0 };
        Examined { similarity, veto, features, logit: None, is_screened: false, is_unread: false, cost }
    }

    /// The last stage that decides by `calibration`: the cheap one if there is no scorer, or if the
    /// calibration does not use it.
    pub(super) fn stage(&self, calibration: &Calibration) -> CalibratedStage {
        let is_scored = self.scorer.is_some() && calibration.uses_scorer();
        if is_scored { CalibratedStage::Full } else { CalibratedStage::Cheap }
    }

    /// Also asks the scorer if a lookup would do so with one of `calibrations`; otherwise marks the pair as
    /// screened.
    ///
    /// # Errors
    ///
    /// If the scorer fails.
    pub(super) async fn screen(
        &self,
        pair: &mut Examined,
        asked: &str,
        cached: &str,
        calibrations: &[Arc<Calibration>],
    ) -> Result<()> {
        let likely = |one: &Arc<Calibration>| one.cheap(&pair.features) >= one.scorer_from();
        let is_near = pair.similarity >= Some(Pipeline::DEFAULT_FLOOR) && !pair.is_vetoed();
        // Without a scorer, nothing is too unlikely to have a probability.
        pair.is_screened = !(is_near && (self.scorer.is_none() || calibrations.iter().any(likely)));
        if pair.is_screened { Ok(()) } else { self.score(pair, asked, cached).await }
    }

    /// Also asks the scorer, if there is one.
    ///
    /// # Errors
    ///
    /// If the scorer fails.
    pub(super) async fn score(&self, pair: &mut Examined, asked: &str, cached: &str) -> Result<()> {
        let Some(scorer) = &self.scorer else { return Ok(()) };
        let started = Instant::now();
        match scorer.score(asked, cached).await? {
            Scored::Logit(logit) => pair.logit = Some(logit),
            _ => pair.is_unread = true,
        }
        pair.cost.scorer = micros(started);
        Ok(())
    }
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}
