//! Floor, guards, cheap probability, scorer: the stages between a near neighbour and a hit.
//!
//! ```text
//! candidate -> floor -> guards -> cheap probability -> (only if that cannot decide) scorer -> decision
//! ```
//!
//! A similarity alone cannot say how likely a hit is wrong; a [`Calibration`] can, from the similarity, the words of
//! both questions and, where the model is there, the [`PairScorer`]'s logit. A candidate is served if its probability
//! reaches the threshold at which no more than the accepted share of hits was wrong when it was calibrated.
//!
//! Everything before the scorer takes microseconds, and decides most candidates. What the pipeline does not do: limit
//! the scorer's time, which the cache does for any verifier.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use super::calibration::{CalibratedStage, Calibration};
use super::features::Features;
use super::guards::Guards;
use super::scorer::{PairScorer, Scored};
use super::stage::{Outcome, Screening, Stage, StageRun};
use super::{Candidate, Check, Verdict, Verifier};
use crate::criterion::Criterion;
use crate::error::Result;

/// The least similarity at which a candidate is looked at unless another is set. Of paraphrases in the evaluation data,
/// 98 % lie above it.
const DEFAULT_FLOOR: f32 = 0.70;

/// How many of the inputs an explanation names, those that weigh most.
const REASONS: usize = 4;

/// The verifier that keeps an error budget.
///
/// For a plain [`Criterion::SimilarityThreshold`] it compares the similarity and runs the guards, no more.
#[derive(Debug, Clone)]
#[must_use]
pub struct Pipeline {
    floor: f32,
    guards: Guards,
    calibration: Arc<Calibration>,
    scorer: Option<Arc<dyn PairScorer>>,
}

impl Pipeline {
    /// The pipeline of a calibration, without a scorer.
    pub fn new(calibration: impl Into<Arc<Calibration>>) -> Self {
        Self {
            floor: DEFAULT_FLOOR,
            guards: Guards::default(),
            calibration: calibration.into(),
            scorer: None,
        }
    }

    /// The bundled calibration and the bundled cross-encoder, for the bundled embedding model. Blocks for about 0.2 s
    /// unless another cache of this process has the model already.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if the model or ONNX Runtime is not found, or if a file is missing
    /// or altered.
    #[cfg(feature = "_local")]
    pub fn bundled() -> Result<Self> {
        Ok(Self::new(Calibration::bundled()).scorer(super::CrossEncoder::shared()?))
    }

    /// Sets what decides where the cheap stages cannot. Its scores must be those that the calibration was fitted on.
    pub fn scorer(mut self, scorer: Arc<dyn PairScorer>) -> Self {
        self.scorer = Some(scorer);
        self
    }

    /// Leaves the scorer out: what the cheap stages cannot decide is a miss.
    pub fn without_scorer(mut self) -> Self {
        self.scorer = None;
        self
    }

    /// Sets the vetoes, [`Guards::default`] by default.
    pub fn guards(mut self, guards: Guards) -> Self {
        self.guards = guards;
        self
    }

    /// Sets the least similarity at which a candidate is looked at, 0.70 by default.
    pub fn floor(mut self, floor: f32) -> Self {
        self.floor = floor;
        self
    }

    /// What the stages before the scorer are made of.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    fn least_similarity(&self, criterion: Criterion) -> f32 {
        match criterion {
            Criterion::SimilarityThreshold(threshold) => threshold,
            Criterion::MaxFalseHitRate(_) => self.floor,
        }
    }

    /// What the guards say, after the floor.
    fn vetoes(&self, candidate: &Candidate<'_>, stop: impl Fn(&Check) -> bool) -> Vec<Check> {
        let least = self.least_similarity(candidate.criterion);
        let mut checks = self.guards.checks(&Candidate { criterion: least.into(), ..*candidate }, stop);
        if let (Criterion::MaxFalseHitRate(_), Some(floor)) = (candidate.criterion, checks.first_mut()) {
            floor.name = Stage::Floor.name();
        }
        checks
    }

    /// What the cheap probability says of a candidate that no guard vetoed.
    fn cheap(&self, features: &Features, rate: f64) -> (Outcome, f64) {
        let probability = self.calibration.cheap(features);
        let outcome = match self.calibration.threshold(CalibratedStage::Cheap, rate) {
            Some(threshold) if probability >= threshold => Outcome::Accepted,
            _ if self.scorer.is_none() || probability < self.calibration.scorer_from() => Outcome::Rejected,
            _ => Outcome::Undecided,
        };
        (outcome, probability)
    }

    fn cheap_check(&self, features: &Features, rate: f64) -> (Outcome, Check) {
        let (outcome, probability) = self.cheap(features, rate);
        let reasons = self.calibration.reasons(features, None, REASONS);
        let inputs: Vec<String> = reasons.iter().map(|(name, value)| format!("{name} {value:+.1}")).collect();
        let threshold = match self.calibration.threshold(CalibratedStage::Cheap, rate) {
            Some(threshold) => format!("{threshold:.4} is needed"),
            None => "no probability is enough".into(),
        };
        let detail = format!("probability {probability:.4}, {threshold} (log-odds by {})", inputs.join(", "));
        (outcome, Check::new(Stage::Cheap.name(), outcome == Outcome::Accepted, detail))
    }

    /// Asks the scorer.
    async fn score(
        &self,
        scorer: &dyn PairScorer,
        candidate: &Candidate<'_>,
        features: &Features,
        rate: f64,
    ) -> Result<(f32, Check)> {
        let check = |passed, detail: String| Check::new(Stage::Scorer.name(), passed, detail);
        let logit = match scorer.score(candidate.question, candidate.cached_question).await? {
            Scored::Logit(logit) => logit,
            Scored::TooLong => return Ok((0.0, check(false, "the pair is too long for the model".into()))),
            Scored::Unreadable => {
                return Ok((0.0, check(false, "the model does not know all characters of the pair".into())));
            }
        };
        let probability = self.calibration.full(features, logit);
        let threshold = self.calibration.threshold(CalibratedStage::Full, rate);
        let passed = threshold.is_some_and(|threshold| probability >= threshold);
        let needed = match threshold {
            Some(threshold) => format!("{threshold:.4} is needed"),
            None => "the calibration has too few data for this rate".into(),
        };
        let detail =
            format!("probability {probability:.4}, {needed} (logit {logit:.3} of {})", scorer.name());
        Ok((lossy(probability), check(passed, detail)))
    }

    /// Runs the stages; all of them if `all`, else up to the one that decides.
    async fn run(&self, candidate: Candidate<'_>, all: bool) -> Result<Verdict> {
        let mut stages = Vec::with_capacity(3);
        let started = Instant::now();
        let mut checks = self.vetoes(&candidate, |check| !all && !check.passed);
        let vetoed = checks.iter().any(|check| !check.passed);
        let plain = if vetoed { Outcome::Rejected } else { Outcome::Accepted };
        let Criterion::MaxFalseHitRate(rate) = candidate.criterion else {
            stages.push(StageRun::new(Stage::Guards, plain, started.elapsed()));
            return Ok(Verdict::new(!vetoed, candidate.similarity, checks, stages));
        };
        let outcome = if vetoed { Outcome::Rejected } else { Outcome::Undecided };
        stages.push(StageRun::new(Stage::Guards, outcome, started.elapsed()));
        if vetoed && !all {
            return Ok(Verdict::new(false, candidate.similarity, checks, stages));
        }
        let started = Instant::now();
        let features = Features::of(candidate.question, candidate.cached_question, candidate.similarity);
        let (outcome, cheap) = self.cheap_check(&features, rate);
        let probability = lossy(self.calibration.cheap(&features));
        checks.push(cheap);
        stages.push(StageRun::new(Stage::Cheap, outcome, started.elapsed()));
        let mut decision = (outcome == Outcome::Accepted, probability);
        if let Some(scorer) = self.scorer.as_deref().filter(|_| all || outcome == Outcome::Undecided) {
            let started = Instant::now();
            let (probability, check) = self.score(scorer, &candidate, &features, rate).await?;
            let scored = if check.passed { Outcome::Accepted } else { Outcome::Rejected };
            stages.push(StageRun::new(Stage::Scorer, scored, started.elapsed()));
            if outcome == Outcome::Undecided {
                decision = (check.passed, probability);
            }
            checks.push(check);
        }
        Ok(Verdict::new(decision.0 && !vetoed, decision.1, checks, stages))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a confidence needs no more digits")]
fn lossy(probability: f64) -> f32 {
    probability as f32
}

#[async_trait]
impl Verifier for Pipeline {
    fn floor(&self, criterion: Criterion) -> f32 {
        self.least_similarity(criterion)
    }

    fn screen(&self, candidate: &Candidate<'_>) -> Screening {
        let checks = self.vetoes(candidate, |check| !check.passed);
        if let Some(last) = checks.last().filter(|check| !check.passed) {
            let stage = if checks.len() == 1 { Stage::Floor } else { Stage::Guards };
            debug_assert!(!last.passed);
            return Screening::new(stage, Outcome::Rejected, candidate.similarity);
        }
        let Criterion::MaxFalseHitRate(rate) = candidate.criterion else {
            return Screening::new(Stage::Guards, Outcome::Accepted, candidate.similarity);
        };
        let features = Features::of(candidate.question, candidate.cached_question, candidate.similarity);
        let (outcome, probability) = self.cheap(&features, rate);
        Screening::new(Stage::Cheap, outcome, lossy(probability))
    }

    async fn verify(&self, candidate: Candidate<'_>) -> Result<Verdict> {
        self.run(candidate, false).await
    }

    async fn explain(&self, candidate: Candidate<'_>) -> Result<Verdict> {
        self.run(candidate, true).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Gives every pair one score and counts how often it is asked.
    #[derive(Debug)]
    struct Always {
        scored: Scored,
        asked: AtomicUsize,
    }

    #[async_trait]
    impl PairScorer for Always {
        fn name(&self) -> &'static str {
            "always"
        }

        async fn score(&self, _asked: &str, _cached: &str) -> Result<Scored> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Ok(self.scored)
        }
    }

    fn always(scored: Scored) -> Arc<Always> {
        Arc::new(Always { scored, asked: AtomicUsize::new(0) })
    }

    fn candidate(similarity: f32, criterion: Criterion) -> Candidate<'static> {
        Candidate::new("how do i enable it?", "how can i enable it?", similarity, criterion)
    }

    const BUDGET: Criterion = Criterion::MaxFalseHitRate(0.05);

    /// A pair and a similarity that the cheap stages cannot decide on.
    fn unsure(pipeline: &Pipeline) -> Candidate<'static> {
        [
            ("who ruled the old town in the war?", "who governed the old city during the war?"),
            ("where can i see the manual of the printer?", "where is the printer manual to be found?"),
            ("how do i enable it?", "how can i enable it?"),
        ]
        .iter()
        .flat_map(|(asked, cached)| {
            (70..100_u8)
                .map(|hundredths| Candidate::new(asked, cached, f32::from(hundredths) / 100.0, BUDGET))
        })
        .find(|candidate| pipeline.screen(candidate).outcome == Outcome::Undecided)
        .expect("some similarity is between clearly the same and clearly not")
    }

    #[tokio::test]
    async fn the_scorer_decides_only_where_the_cheap_stages_cannot() {
        let scorer = always(Scored::Logit(9.0));
        let pipeline = Pipeline::new(Calibration::bundled()).scorer(scorer.clone());
        assert_eq!(pipeline.screen(&candidate(0.6, BUDGET)).stage, Stage::Floor);
        assert!(!pipeline.verify(candidate(0.6, BUDGET)).await.unwrap().accepted);
        assert_eq!(scorer.asked.load(Ordering::Relaxed), 0);
        let unsure = unsure(&pipeline);
        let verdict = pipeline.verify(unsure).await.unwrap();
        let features = Features::of(unsure.question, unsure.cached_question, unsure.similarity);
        let probability = pipeline.calibration.full(&features, 9.0);
        let threshold = pipeline.calibration.threshold(CalibratedStage::Full, 0.05);
        assert_eq!(
            verdict.accepted,
            threshold.is_some_and(|threshold| probability >= threshold),
            "{verdict:?}"
        );
        let stages: Vec<_> = verdict.stages.iter().map(|run| run.stage).collect();
        assert_eq!(stages, [Stage::Guards, Stage::Cheap, Stage::Scorer]);
        assert_eq!(scorer.asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn what_the_scorer_does_not_see_whole_is_not_served() {
        for scored in [Scored::TooLong, Scored::Unreadable, Scored::Logit(-9.0)] {
            let pipeline = Pipeline::new(Calibration::bundled()).scorer(always(scored));
            assert!(!pipeline.verify(unsure(&pipeline)).await.unwrap().accepted, "{scored:?}");
        }
    }

    #[tokio::test]
    async fn without_a_scorer_what_is_undecided_is_a_miss() {
        let pipeline = Pipeline::new(Calibration::bundled()).scorer(always(Scored::Logit(9.0)));
        let unsure = unsure(&pipeline);
        let pipeline = pipeline.without_scorer();
        assert_eq!(pipeline.screen(&unsure).outcome, Outcome::Rejected);
        assert!(!pipeline.verify(unsure).await.unwrap().accepted);
    }

    #[tokio::test]
    async fn a_plain_threshold_needs_neither_calibration_nor_scorer() {
        let scorer = always(Scored::Logit(-9.0));
        let pipeline = Pipeline::new(Calibration::bundled()).scorer(scorer.clone());
        assert_eq!(pipeline.screen(&candidate(0.9, 0.85.into())).outcome, Outcome::Accepted);
        assert!(pipeline.verify(candidate(0.9, 0.85.into())).await.unwrap().accepted);
        assert!(!pipeline.verify(candidate(0.84, 0.85.into())).await.unwrap().accepted);
        assert_eq!(scorer.asked.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_veto_holds_whatever_the_scorer_says_and_can_be_switched_off() {
        let pair = Candidate::new("who won in 2018?", "who won in 2019?", 0.95, BUDGET);
        let pipeline = Pipeline::new(Calibration::bundled()).scorer(always(Scored::Logit(20.0)));
        assert_eq!(pipeline.screen(&pair).stage, Stage::Guards);
        assert!(!pipeline.verify(pair).await.unwrap().accepted);
        let explained = pipeline.explain(pair).await.unwrap();
        assert!(!explained.accepted);
        assert!(explained.checks.iter().any(|check| check.name == "scorer"));
        assert!(explained.checks.iter().any(|check| check.name == "numbers" && !check.passed));
        // What a guard knows still counts for the probability; only the veto is gone.
        let lenient = pipeline.guards(Guards::none());
        assert_ne!(lenient.screen(&pair).stage, Stage::Guards);
    }

    #[tokio::test]
    async fn screening_and_verification_agree() {
        let pipeline = Pipeline::new(Calibration::bundled()).scorer(always(Scored::Logit(0.0)));
        for hundredths in 50..=100_u8 {
            for criterion in [BUDGET, Criterion::MaxFalseHitRate(0.3), 0.8.into()] {
                let candidate = candidate(f32::from(hundredths) / 100.0, criterion);
                let screened = pipeline.screen(&candidate).outcome;
                let accepted = pipeline.verify(candidate).await.unwrap().accepted;
                match screened {
                    Outcome::Accepted => assert!(accepted, "{candidate:?}"),
                    Outcome::Rejected => assert!(!accepted, "{candidate:?}"),
                    _ => {}
                }
            }
        }
    }
}
