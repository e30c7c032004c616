//! Floor, guards, cheap probability, scorer: the stages between a near neighbour and a hit.
//!
//! ```text
//! candidate -> floor -> guards -> cheap probability -> (only if that cannot decide) scorer -> decision
//! ```
//!
//! A similarity alone cannot say how likely a hit is wrong; a [`Calibration`] can, from the similarity, the
//! words of both questions and, if there is a model, the [`PairScorer`]'s logit. A candidate is served if its
//! probability reaches the threshold. At this threshold, no more than the accepted share of hits was wrong
//! during calibration.
//!
//! Everything before the scorer takes microseconds, and decides most candidates. The pipeline does not limit
//! the scorer's time: the cache does that for any verifier.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use super::calibration::{CalibratedStage, Calibration};
use super::features::Features;
use super::guards::Guards;
use super::learning::Learner;
use super::scorer::{PairScorer, Scored};
use super::stage::{Outcome, Screening, Stage, StageRun};
use super::text::Comparison;
use super::threshold::Threshold;
use super::{Budgets, Candidate, Check, Verdict, Verifier};
use crate::error::Result;
use crate::judgement::Judged;
use crate::key::{Corpus, ScopeId};
use crate::match_policy::MatchPolicy;

/// How many inputs an explanation names; they are those that weigh most.
const REASONS: usize = 4;

/// The verifier that keeps an error budget.
///
/// For a plain [`MatchPolicy::SimilarityThreshold`] it only compares the similarity and runs the guards.
#[derive(Debug, Clone)]
#[must_use]
pub struct Pipeline {
    floor: f32,
    guards: Guards,
    base: Base,
    /// The calibrations of corpora that have their own.
    corpora: HashMap<Corpus, Base>,
    scorer: Option<Arc<dyn PairScorer>>,
    learner: Option<Arc<Learner>>,
}

/// A calibration that was given to the pipeline.
#[derive(Debug, Clone)]
struct Base {
    calibration: Arc<Calibration>,
    /// Which rates it can show without a scorer and with one. What is learned from it by feedback shows the
    /// same rates.
    budgets: [Budgets; 2],
}

impl Base {
    fn new(calibration: Arc<Calibration>) -> Self {
        let budgets = [CalibratedStage::Cheap, CalibratedStage::Full].map(|last| calibration.budgets(last));
        Self { calibration, budgets }
    }
}

impl Pipeline {
    /// The default for the least similarity at which a candidate is checked. Of the paraphrases in the
    /// evaluation data, 98 % are above .70, and five of six wordings in the written corpus are above this
    /// value.
    pub const DEFAULT_FLOOR: f32 = 0.45;

    /// A pipeline with a calibration and without a scorer.
    pub fn new(calibration: impl Into<Arc<Calibration>>) -> Self {
        Self {
            floor: Self::DEFAULT_FLOOR,
            guards: Guards::default(),
            base: Base::new(calibration.into()),
            corpora: HashMap::new(),
            scorer: None,
            learner: Some(Arc::default()),
        }
    }

    /// The pipeline with the comparer that comes with Wellspring for the token states that `encoder` makes,
    /// such as [`OnnxEmbedder::shared`](crate::embed::OnnxEmbedder::shared), and with the comparer's
    /// calibration. Blocks for some milliseconds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if there is none for this encoder, or if a file is
    /// missing or altered.
    #[cfg(feature = "_local")]
    pub fn bundled(encoder: Arc<dyn crate::tokens::TokenEncoder>) -> Result<Self> {
        use crate::error::{Error, ErrorKind};

        let calibration = Calibration::bundled_for(encoder.name())?.ok_or_else(|| {
            let message = format!("no calibration comes with {}", encoder.name());
            Error::new(ErrorKind::Model, message)
        })?;
        Ok(Self::new(calibration).scorer(Arc::new(super::LateInteraction::bundled(encoder)?)))
    }

    /// Sets the scorer, which decides if the cheap stages cannot. Its scores must be those that the
    /// calibration was fitted on.
    pub fn scorer(mut self, scorer: Arc<dyn PairScorer>) -> Self {
        self.scorer = Some(scorer);
        self
    }

    /// Removes the scorer: candidates that the cheap stages cannot decide on are misses.
    pub fn without_scorer(mut self) -> Self {
        self.scorer = None;
        self
    }

    /// Sets the vetoes, [`Guards::default`] by default.
    pub fn guards(mut self, guards: Guards) -> Self {
        self.guards = guards;
        self
    }

    /// Sets the least similarity at which a candidate is checked, [`DEFAULT_FLOOR`](Self::DEFAULT_FLOOR) by
    /// default.
    pub fn floor(mut self, floor: f32) -> Self {
        self.floor = floor;
        self
    }

    /// Sets whether the calibration learns from feedback, separately in each scope; it does by default.
    pub fn learning(mut self, learns: bool) -> Self {
        self.learner = learns.then(Arc::default);
        self
    }

    /// Gives a corpus its own calibration, such as one fitted on labelled questions from it.
    pub fn calibration_in(mut self, corpus: Corpus, calibration: impl Into<Arc<Calibration>>) -> Self {
        self.corpora.insert(corpus, Base::new(calibration.into()));
        self
    }

    /// The calibration that decides in a scope of a corpus: the one that was learned there, or else the one
    /// that was given to the corpus, or else that of the pipeline.
    pub fn calibration(&self, corpus: Option<&Corpus>, scope: Option<ScopeId>) -> Arc<Calibration> {
        let learned = self.learner.as_ref().and_then(|learner| learner.calibration(corpus, scope));
        learned.unwrap_or_else(|| Arc::clone(&self.base(corpus).calibration))
    }

    fn base(&self, corpus: Option<&Corpus>) -> &Base {
        corpus.and_then(|corpus| self.corpora.get(corpus)).unwrap_or(&self.base)
    }

    fn least_similarity(&self, match_policy: MatchPolicy) -> f32 {
        match match_policy {
            MatchPolicy::SimilarityThreshold(threshold) => threshold,
            MatchPolicy::MaxFalseHitRate(_) => self.floor,
        }
    }

    /// The scorer, if the calibration uses it.
    fn scorer_of(&self, calibration: &Calibration) -> Option<&dyn PairScorer> {
        self.scorer.as_deref().filter(|_| calibration.uses_scorer())
    }

    /// The last stage that runs with `calibration`.
    fn last_stage(&self, calibration: &Calibration) -> CalibratedStage {
        if self.scorer_of(calibration).is_some() { CalibratedStage::Full } else { CalibratedStage::Cheap }
    }

    /// Whether the similarity is high enough for a check.
    fn floor_check(&self, candidate: &Candidate<'_>) -> Check {
        let least = self.least_similarity(candidate.match_policy).into();
        let check = Threshold::check(&Candidate { match_policy: least, ..*candidate });
        match candidate.match_policy {
            MatchPolicy::MaxFalseHitRate(_) => Check { name: Stage::Floor.name(), ..check },
            MatchPolicy::SimilarityThreshold(_) => check,
        }
    }

    /// What the cheap probability decides on a candidate that no guard vetoed.
    fn cheap(&self, calibration: &Calibration, features: &Features, rate: f64) -> (Outcome, f64) {
        let probability = calibration.cheap(features);
        let outcome = match calibration.cheap_threshold(self.last_stage(calibration), rate) {
            Some(threshold) if probability >= threshold => Outcome::Accepted,
            _ if self.scorer_of(calibration).is_none() || probability < calibration.scorer_from() => {
                Outcome::Rejected
            }
            _ => Outcome::Undecided,
        };
        (outcome, probability)
    }

    fn cheap_check(
        &self,
        calibration: &Calibration,
        features: &Features,
        rate: f64,
    ) -> (Outcome, f64, Check) {
        let (outcome, probability) = self.cheap(calibration, features, rate);
        let reasons = calibration.reasons(features, None, REASONS);
        let inputs: Vec<String> = reasons.iter().map(|(name, value)| format!("{name} {value:+.1}")).collect();
        let last = self.last_stage(calibration);
        let least = calibration.least_budget(CalibratedStage::Cheap);
        let threshold = match calibration.cheap_threshold(last, rate) {
            Some(threshold) => format!("{threshold:.4} is needed"),
            None => not_shown(least.map(|least| least / Calibration::cheap_budget(last, 1.0))),
        };
        let detail = format!(
            "probability {probability:.4}, {threshold} (log-odds by {}{})",
            inputs.join(", "),
            self.learned_from(calibration)
        );
        (outcome, probability, Check::new(Stage::Cheap.name(), outcome == Outcome::Accepted, detail))
    }

    /// For reasons: what the calibration was learned from, if it was learned.
    fn learned_from(&self, calibration: &Calibration) -> String {
        let mut given = std::iter::once(&self.base).chain(self.corpora.values());
        if given.any(|base| std::ptr::eq(calibration, &raw const *base.calibration)) {
            String::new()
        } else {
            format!("; learned from {}", calibration.fitted_on)
        }
    }

    /// Asks the scorer.
    async fn score(
        &self,
        calibration: &Calibration,
        scorer: &dyn PairScorer,
        candidate: &Candidate<'_>,
        features: &Features,
        rate: f64,
    ) -> Result<(f64, Check)> {
        let check = |passed, detail: String| Check::new(Stage::Scorer.name(), passed, detail);
        let logit = match scorer.score(candidate.question, candidate.cached_question).await? {
            Scored::Logit(logit) => logit,
            Scored::TooLong => return Ok((0.0, check(false, "the pair is too long for the model".into()))),
            Scored::Unreadable => {
                return Ok((0.0, check(false, "the model does not know all characters of the pair".into())));
            }
        };
        let probability = calibration.full(features, logit);
        let threshold = calibration.threshold(CalibratedStage::Full, rate);
        let passed = threshold.is_some_and(|threshold| probability >= threshold);
        let needed = match threshold {
            Some(threshold) => format!("{threshold:.4} is needed"),
            None => not_shown(calibration.least_budget(CalibratedStage::Full)),
        };
        let detail = format!(
            "probability {probability:.4}, {needed} (logit {logit:.3} of {}{})",
            scorer.name(),
            self.learned_from(calibration)
        );
        Ok((probability, check(passed, detail)))
    }

    /// Runs the stages: all of them if `all`, otherwise up to the one that decides.
    async fn run(&self, candidate: Candidate<'_>, all: bool) -> Result<Verdict> {
        let mut stages = Vec::with_capacity(3);
        let started = Instant::now();
        let mut checks = vec![self.floor_check(&candidate)];
        let is_near = checks[0].passed;
        let comparison =
            (all || is_near).then(|| Comparison::of(candidate.question, candidate.cached_question));
        if let Some(comparison) = &comparison {
            checks.extend(self.guards.checks(comparison, |check| !all && !check.passed));
        }
        let passes = checks.iter().all(|check| check.passed);
        let (MatchPolicy::MaxFalseHitRate(rate), Some(comparison)) = (candidate.match_policy, comparison)
        else {
            let outcome = if passes { Outcome::Accepted } else { Outcome::Rejected };
            stages.push(StageRun::new(Stage::Guards, outcome, started.elapsed()));
            return Ok(Verdict::new(passes, candidate.similarity, checks, stages));
        };
        let outcome = if passes { Outcome::Undecided } else { Outcome::Rejected };
        stages.push(StageRun::new(Stage::Guards, outcome, started.elapsed()));
        if !passes && !all {
            return Ok(Verdict::new(false, candidate.similarity, checks, stages));
        }
        let started = Instant::now();
        let calibration = self.calibration(candidate.corpus, candidate.scope);
        let features = Features::compared(&comparison, candidate.similarity)
            .with_record(candidate.right, candidate.wrong);
        // Its words are no longer needed, and must not be kept while waiting for the scorer.
        drop(comparison);
        let (outcome, mut probability, cheap) = self.cheap_check(&calibration, &features, rate);
        let mut accepted = outcome == Outcome::Accepted;
        checks.push(cheap);
        stages.push(StageRun::new(Stage::Cheap, outcome, started.elapsed()));
        if let Some(scorer) = self.scorer_of(&calibration).filter(|_| all || outcome == Outcome::Undecided) {
            let started = Instant::now();
            let (scored, check) = self.score(&calibration, scorer, &candidate, &features, rate).await?;
            let says = if check.passed { Outcome::Accepted } else { Outcome::Rejected };
            stages.push(StageRun::new(Stage::Scorer, says, started.elapsed()));
            if outcome == Outcome::Undecided {
                (accepted, probability) = (check.passed, scored);
            }
            checks.push(check);
        }
        Ok(Verdict::new(accepted && passes, lossy(probability), checks, stages))
    }
}

/// For reasons: that a stage accepts nothing at the requested rate, only from `least` on.
fn not_shown(least: Option<f64>) -> String {
    match least.and_then(|least| Budgets::From(least).least()) {
        Some(least) => format!("no probability shows a false-hit rate below {least}"),
        None => "no probability shows a false-hit rate".into(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a confidence needs no more digits")]
pub(super) fn lossy(probability: f64) -> f32 {
    probability as f32
}

#[async_trait]
impl Verifier for Pipeline {
    fn floor(&self, match_policy: MatchPolicy) -> f32 {
        self.least_similarity(match_policy)
    }

    fn budgets(&self, corpus: Option<&Corpus>) -> Budgets {
        self.base(corpus).budgets[usize::from(self.scorer.is_some())]
    }

    fn screen(&self, candidate: &Candidate<'_>) -> Screening {
        // NaN is not near, either.
        let is_near = candidate.similarity >= self.least_similarity(candidate.match_policy);
        if !is_near {
            return Screening::new(Stage::Floor, Outcome::Rejected, candidate.similarity);
        }
        let comparison = Comparison::of(candidate.question, candidate.cached_question);
        if self.guards.vetoes(&comparison) {
            return Screening::new(Stage::Guards, Outcome::Rejected, candidate.similarity);
        }
        let MatchPolicy::MaxFalseHitRate(rate) = candidate.match_policy else {
            return Screening::new(Stage::Guards, Outcome::Accepted, candidate.similarity);
        };
        let features = Features::compared(&comparison, candidate.similarity)
            .with_record(candidate.right, candidate.wrong);
        let (outcome, probability) =
            self.cheap(&self.calibration(candidate.corpus, candidate.scope), &features, rate);
        Screening::new(Stage::Cheap, outcome, lossy(probability))
    }

    fn threshold(&self, candidate: &Candidate<'_>) -> Option<f32> {
        let MatchPolicy::MaxFalseHitRate(rate) = candidate.match_policy else { return None };
        let calibration = self.calibration(candidate.corpus, candidate.scope);
        self.scorer_of(&calibration)?;
        calibration.threshold(CalibratedStage::Full, rate).map(lossy)
    }

    async fn verify(&self, candidate: Candidate<'_>) -> Result<Verdict> {
        self.run(candidate, false).await
    }

    async fn explain(&self, candidate: Candidate<'_>) -> Result<Verdict> {
        self.run(candidate, true).await
    }

    fn forget(&self) {
        if let Some(learner) = &self.learner {
            learner.forget();
        }
    }

    async fn learn(&self, judged: Vec<Judged>) -> Result<()> {
        match &self.learner {
            Some(learner) => {
                let base = |corpus: &Corpus| Arc::clone(&self.base(Some(corpus)).calibration);
                learner.learn(base, self.scorer.as_deref(), judged).await
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Gives every pair the same score and counts how often it is called.
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

    fn candidate(similarity: f32, match_policy: MatchPolicy) -> Candidate<'static> {
        Candidate::new("how do i enable it?", "how can i enable it?", similarity, match_policy)
    }

    const BUDGET: MatchPolicy = MatchPolicy::MaxFalseHitRate(0.05);

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
        assert_eq!(pipeline.screen(&candidate(0.4, BUDGET)).stage, Stage::Floor);
        assert!(!pipeline.verify(candidate(0.4, BUDGET)).await.unwrap().accepted);
        assert_eq!(scorer.asked.load(Ordering::Relaxed), 0);
        let unsure = unsure(&pipeline);
        let verdict = pipeline.verify(unsure).await.unwrap();
        let features = Features::of(unsure.question, unsure.cached_question, unsure.similarity);
        let probability = pipeline.base.calibration.full(&features, 9.0);
        let threshold = pipeline.base.calibration.threshold(CalibratedStage::Full, 0.05);
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
        // What a guard finds still counts for the probability; only the veto is gone.
        let lenient = pipeline.guards(Guards::none());
        assert_ne!(lenient.screen(&pair).stage, Stage::Guards);
    }

    #[tokio::test]
    async fn a_rate_that_cannot_be_shown_is_reported_with_the_least_that_can() {
        let pipeline = Pipeline::new(Calibration::bundled()).scorer(always(Scored::Logit(20.0)));
        let pair = candidate(0.99, MatchPolicy::MaxFalseHitRate(1e-6));
        assert!(
            !pipeline.budgets(None).can_show(pair.match_policy) && pipeline.budgets(None).can_show(BUDGET)
        );
        let explained = pipeline.explain(pair).await.unwrap();
        assert!(!explained.accepted);
        let least = |stage, share: f64| {
            let least = pipeline.base.calibration.least_budget(stage).unwrap();
            Budgets::From(least / share).least().unwrap()
        };
        // Beside the scorer, the cheap stage has a part of the budget.
        let beside = Calibration::cheap_budget(CalibratedStage::Full, 1.0);
        for (name, stage, share) in
            [("cheap", CalibratedStage::Cheap, beside), ("scorer", CalibratedStage::Full, 1.0)]
        {
            let check = explained.checks.iter().find(|check| check.name == name).unwrap();
            let message = format!("no probability shows a false-hit rate below {}", least(stage, share));
            assert!(!check.passed && check.detail.contains(&message), "{check:?}");
        }
        // Without the scorer, its stage shows nothing.
        let without = pipeline.clone().without_scorer().budgets(None);
        assert_eq!(without.least(), Some(least(CalibratedStage::Cheap, 1.0)));
    }

    #[tokio::test]
    async fn screening_and_verification_agree() {
        let pipeline = Pipeline::new(Calibration::bundled()).scorer(always(Scored::Logit(0.0)));
        for hundredths in 50..=100_u8 {
            for match_policy in [BUDGET, MatchPolicy::MaxFalseHitRate(0.3), 0.8.into()] {
                let candidate = candidate(f32::from(hundredths) / 100.0, match_policy);
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
