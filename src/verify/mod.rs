//! Between a near neighbour and a hit: is it the same question?
//!
//! A [`Verifier`] sees a candidate that the index found and says whether its answer may be served. It
//! sees the two questions and their similarity, never the answer and never the store. The default is the
//! [`Pipeline`]; the plain [`Threshold`] is what it is compared with.

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
mod scorer;
mod stage;
mod text;
mod threshold;
mod vcache;
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
pub use self::scorer::{PairScorer, Scored};
pub use self::stage::{Outcome, Screening, Stage, StageRun};
pub use self::threshold::Threshold;
pub use self::vcache::VCache;
#[cfg(feature = "_local")]
pub use self::worker::QUEUE_CAPACITY;
use crate::criterion::Criterion;
use crate::error::Result;
use crate::judgement::{EntryRecord, Judged};
use crate::key::{Corpus, ScopeId};

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
    pub criterion: Criterion,
    /// Similarities of questions that the entry's answer was judged for, with what was said; empty unless there is
    /// feedback.
    pub observations: &'a [(f32, bool)],
    /// How often the entry's answer was called right.
    pub right: u64,
    /// How often it was called wrong.
    pub wrong: u64,
    /// Where the entry is; none if that is not known.
    pub corpus: Option<&'a Corpus>,
    /// The scope that it is in; none if that is not known.
    pub scope: Option<ScopeId>,
}

impl<'a> Candidate<'a> {
    /// A candidate.
    pub fn new(
        question: &'a str,
        cached_question: &'a str,
        similarity: f32,
        criterion: impl Into<Criterion>,
    ) -> Self {
        Self {
            question,
            cached_question,
            similarity,
            criterion: criterion.into(),
            observations: &[],
            right: 0,
            wrong: 0,
            corpus: None,
            scope: None,
        }
    }

    /// Says in which corpus the entry is.
    #[must_use]
    pub fn in_corpus(mut self, corpus: &'a Corpus) -> Self {
        self.corpus = Some(corpus);
        self
    }

    /// Says in which scope the entry is.
    #[must_use]
    pub fn in_scope(mut self, scope: ScopeId) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Adds what was said of the entry's answer before, if anything was.
    #[must_use]
    pub fn record(mut self, record: Option<&'a EntryRecord>) -> Self {
        if let Some(record) = record {
            (self.right, self.wrong) = (record.right, record.wrong);
            self.observations = &record.observations;
        }
        self
    }

    /// Adds what was said of the entry's answer before.
    #[must_use]
    pub fn observations(mut self, observations: &'a [(f32, bool)]) -> Self {
        self.observations = observations;
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
    /// A check named `name` that came out as `passed`, with the reason.
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
    /// How sure that is, in `0.0..=1.0`. Uncalibrated unless the verifier says otherwise.
    pub confidence: f32,
    /// What was checked, in order, up to the first check that failed unless all were asked for.
    pub checks: Vec<Check>,
    /// The stages that ran, with their times; none if the verifier does not tell.
    pub stages: Vec<StageRun>,
}

impl Verdict {
    /// A verdict. `confidence` is moved into `0.0..=1.0`; what is not a number counts as none.
    pub fn new(accepted: bool, confidence: f32, checks: Vec<Check>, stages: Vec<StageRun>) -> Self {
        let confidence = if confidence.is_nan() { 0.0 } else { confidence.clamp(0.0, 1.0) };
        Self { accepted, confidence, checks, stages }
    }

    /// The stage that decided, and how.
    pub fn decided_by(&self) -> (Stage, Outcome) {
        let decided = if self.accepted { Outcome::Accepted } else { Outcome::Rejected };
        (self.stages.last().map_or(Stage::Custom, |run| run.stage), decided)
    }

    /// The verdict that follows from `checks`: the candidate is accepted if all of them passed.
    ///
    /// `confidence` is moved into `0.0..=1.0`; what is not a number counts as none.
    pub fn from_checks(confidence: f32, checks: Vec<Check>) -> Self {
        Self::new(checks.iter().all(|check| check.passed), confidence, checks, Vec::new())
    }
}

/// Decides whether the answer to a near neighbour answers the question.
#[async_trait]
pub trait Verifier: fmt::Debug + Send + Sync {
    /// The least similarity at which a candidate is worth a look: nothing below it is fetched. By default that of
    /// `criterion`; where a false-hit rate is asked for, every near neighbour is looked at, however far it is.
    fn floor(&self, criterion: Criterion) -> f32 {
        criterion.similarity().unwrap_or(-1.0)
    }

    /// Which false-hit rates it can show that it keeps in `corpus`; of none in particular if that is not known. Under any
    /// other, a cache looks for exact matches only, and says so. It is asked at every lookup, so it must be quick.
    ///
    /// By default it does not say, and is shown candidates whatever the rate.
    fn budgets(&self, _corpus: Option<&Corpus>) -> Budgets {
        Budgets::Unstated
    }

    /// What can be said of `candidate` in microseconds, without a model. What is undecided is
    /// [verified](Verifier::verify), the most confident first; where one is accepted, nothing is.
    ///
    /// By default everything is undecided, and the nearest comes first.
    fn screen(&self, candidate: &Candidate<'_>) -> Screening {
        Screening::new(Stage::Custom, Outcome::Undecided, candidate.similarity)
    }

    /// Decides on `candidate`, and may stop at the first check that fails.
    ///
    /// # Errors
    ///
    /// If the verifier is broken. The candidate is then not served.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the decision; nothing is kept of it.
    async fn verify(&self, candidate: Candidate<'_>) -> Result<Verdict>;

    /// Decides as [`verify`](Verifier::verify) does, but runs every check, so that a person sees all the
    /// reasons for and against.
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

    /// Hears what was said of pairs, each once and the oldest first: when the cache is built all that the store knows,
    /// from then on what is new. It is called behind the callers' backs and not again before it returned, so it
    /// may take its time. By default nothing is learned.
    ///
    /// # Errors
    ///
    /// If the verifier is broken. It is told what is new all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave out some of what was said.
    async fn learn(&self, _judged: Vec<Judged>) -> Result<()> {
        Ok(())
    }

    /// Forgets all that it [learned](Verifier::learn): what callers said was revoked. It hears anew what is left.
    fn forget(&self) {}
}
