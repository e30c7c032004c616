//! Between a near neighbour and a hit: is it the same question?
//!
//! A [`Verifier`] sees a candidate that the index found and decides whether its answer may be served. It sees
//! the two questions and their similarity, never the answer and never the store. The default is the
//! [`Pipeline`]; the plain [`Threshold`] is the baseline to compare it with.

mod budgets;
mod calibration;
#[cfg(feature = "_local")]
mod cross_encoder;
mod features;
mod follow_up;
mod guards;
#[cfg(feature = "_local")]
mod late_interaction;
mod learning;
mod pipeline;
mod rivals;
mod scorer;
mod stage;
mod text;
mod threshold;
#[cfg(feature = "_local")]
mod worker;

use std::fmt;

use async_trait::async_trait;
use serde::Serialize;

pub use self::budgets::{Budgets, Unshown};
pub use self::calibration::{CalibratedStage, Calibration, LEAST_PER_LABEL, Sample, wilson_upper95};
#[cfg(feature = "_local")]
pub use self::cross_encoder::{BUNDLED_VERIFIER, CrossEncoder, CrossEncoderOptions};
pub use self::features::Features;
pub use self::follow_up::is_follow_up;
pub use self::guards::{Guard, Guards};
#[cfg(feature = "_local")]
pub use self::late_interaction::{BUNDLED_COMPARER, LateInteraction, comparer_for};
pub use self::pipeline::Pipeline;
pub use self::rivals::{RIVAL_FROM, beside_rivals};
pub use self::scorer::{PairScorer, Scored};
pub use self::stage::{Outcome, Screening, Stage, StageRun};
pub use self::threshold::Threshold;
#[cfg(feature = "_local")]
pub use self::worker::QUEUE_CAPACITY;
use crate::error::Result;
use crate::judgement::{EntryRecord, Judged};
use crate::key::{Corpus, ScopeId};
use crate::match_policy::MatchPolicy;

/// A near neighbour of a question.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Candidate<'a> {
    /// The question asked, normalised.
    pub question: &'a str,
    /// The question that was answered, normalised.
    pub cached_question: &'a str,
    /// Cosine similarity of their embeddings, in `-1.0..=1.0`.
    pub similarity: f32,
    /// What the caller accepts.
    pub match_policy: MatchPolicy,
    /// How often the entry's answer was judged right.
    pub right: u64,
    /// How often it was judged wrong.
    pub wrong: u64,
    /// The corpus of the entry; none if it is not known.
    pub corpus: Option<&'a Corpus>,
    /// The scope of the entry; none if it is not known.
    pub scope: Option<ScopeId>,
}

impl<'a> Candidate<'a> {
    /// A candidate.
    pub fn new(
        question: &'a str,
        cached_question: &'a str,
        similarity: f32,
        match_policy: impl Into<MatchPolicy>,
    ) -> Self {
        Self {
            question,
            cached_question,
            similarity,
            match_policy: match_policy.into(),
            right: 0,
            wrong: 0,
            corpus: None,
            scope: None,
        }
    }

    /// Sets the corpus of the entry.
    #[must_use]
    pub fn in_corpus(mut self, corpus: &'a Corpus) -> Self {
        self.corpus = Some(corpus);
        self
    }

    /// Sets the scope of the entry.
    #[must_use]
    pub fn in_scope(mut self, scope: ScopeId) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Adds earlier judgements of the entry's answer, if there are any.
    #[must_use]
    pub fn record(mut self, record: Option<&'a EntryRecord>) -> Self {
        if let Some(record) = record {
            (self.right, self.wrong) = (record.right, record.wrong);
        }
        self
    }
}

/// One verifier's opinion, with its reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// What was checked, such as `threshold` or `numbers`.
    pub name: &'static str,
    /// Whether the candidate passed.
    pub passed: bool,
    /// Why, for people.
    pub detail: String,
}

impl Check {
    /// A check named `name` with the result `passed` and the reason.
    pub fn new(name: &'static str, passed: bool, detail: impl Into<String>) -> Self {
        Self { name, passed, detail: detail.into() }
    }
}

/// The decision on a candidate.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// Whether the answer may be served.
    pub accepted: bool,
    /// How sure the decision is, in `0.0..=1.0`. Uncalibrated unless the verifier says otherwise.
    pub confidence: f32,
    /// The checks in order, up to the first one that failed unless all were requested.
    pub checks: Vec<Check>,
    /// The stages that ran, with their times; none if the verifier does not report them.
    pub stages: Vec<StageRun>,
}

impl Verdict {
    /// A verdict. `confidence` is clamped to `0.0..=1.0`; NaN counts as 0.
    pub fn new(accepted: bool, confidence: f32, checks: Vec<Check>, stages: Vec<StageRun>) -> Self {
        let confidence = if confidence.is_nan() { 0.0 } else { confidence.clamp(0.0, 1.0) };
        Self { accepted, confidence, checks, stages }
    }

    /// The stage that decided, and how.
    pub fn decided_by(&self) -> (Stage, Outcome) {
        let decided = if self.accepted { Outcome::Accepted } else { Outcome::Rejected };
        (self.stages.last().map_or(Stage::Custom, |run| run.stage), decided)
    }

    /// The confidence as the probability that both ask the same: none where a veto decided.
    pub(crate) fn probability(&self) -> f32 {
        match self.decided_by() {
            (Stage::Floor | Stage::Guards, Outcome::Rejected) => 0.0,
            _ => self.confidence,
        }
    }

    /// The verdict that follows from `checks`: the candidate is accepted if all of them passed.
    ///
    /// `confidence` is clamped to `0.0..=1.0`; NaN counts as 0.
    pub fn from_checks(confidence: f32, checks: Vec<Check>) -> Self {
        Self::new(checks.iter().all(|check| check.passed), confidence, checks, Vec::new())
    }
}

/// Decides whether the answer to a near neighbour answers the question.
#[async_trait]
pub trait Verifier: fmt::Debug + Send + Sync {
    /// The least similarity at which a candidate is worth checking: nothing below it is fetched. By default
    /// that of `match_policy`; if a false-hit rate is requested, every near neighbour is checked, however far
    /// it is.
    fn floor(&self, match_policy: MatchPolicy) -> f32 {
        match_policy.similarity().unwrap_or(-1.0)
    }

    /// Which false-hit rates it can show that it keeps in `corpus`, which is none if it is not known. Under
    /// any other rate, a cache looks for exact matches only, and says so. This is called at every lookup, so
    /// it must be quick.
    ///
    /// By default it does not say, and candidates are passed to it whatever the rate.
    fn budgets(&self, _corpus: Option<&Corpus>) -> Budgets {
        Budgets::Unstated
    }

    /// What can be decided on `candidate` in microseconds, without a model. Undecided candidates are
    /// [verified](Verifier::verify), the most confident first; if one is accepted, none is verified.
    ///
    /// By default everything is undecided, and the nearest candidate comes first.
    fn screen(&self, candidate: &Candidate<'_>) -> Screening {
        Screening::new(Stage::Custom, Outcome::Undecided, candidate.similarity)
    }

    /// The least confidence at which [`verify`](Verifier::verify) accepts `candidate`, if its confidence is the
    /// probability that the candidate is right. Then it is weighed [beside others](beside_rivals) that are likely,
    /// too, and `verify` also says how likely two stored questions are the same.
    ///
    /// None by default: candidates are not weighed, and the one with the greatest confidence is served.
    fn threshold(&self, _candidate: &Candidate<'_>) -> Option<f32> {
        None
    }

    /// Decides on `candidate`, and may stop at the first check that fails.
    ///
    /// # Errors
    ///
    /// If the verifier is broken. The candidate is then not served.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the decision; nothing of it is kept.
    async fn verify(&self, candidate: Candidate<'_>) -> Result<Verdict>;

    /// Decides as [`verify`](Verifier::verify) does, but runs every check, to show people all the reasons for
    /// and against.
    ///
    /// # Errors
    ///
    /// Those of [`verify`](Verifier::verify).
    ///
    /// # Cancel safety
    ///
    /// That of [`verify`](Verifier::verify).
    async fn explain(&self, candidate: Candidate<'_>) -> Result<Verdict> {
        self.verify(candidate).await
    }

    /// Learns from judgements of pairs, each once and the oldest first: when the cache is built, from all
    /// that the store knows; from then on, from new ones. It is called in the background, and not again
    /// before it has returned, so it may take its time. By default nothing is learned.
    ///
    /// # Errors
    ///
    /// If the verifier is broken. It still gets the next judgements.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave out some of the judgements.
    async fn learn(&self, _judged: Vec<Judged>) -> Result<()> {
        Ok(())
    }

    /// Forgets everything that it [learned](Verifier::learn), because judgements were revoked. It gets the
    /// remaining ones again.
    fn forget(&self) {}
}
