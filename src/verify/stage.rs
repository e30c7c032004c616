//! The stages that a candidate passes, and what each said.

use std::time::Duration;

use serde::Serialize;

/// A stage of the decision, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// What was learned of exactly this pair.
    Lessons,
    /// The least similarity at which a candidate is looked at.
    Floor,
    /// The vetoes.
    Guards,
    /// A similarity, or the probability that similarity and words give.
    Cheap,
    /// The model that reads both questions.
    Scorer,
    /// A verifier of the application's own.
    Custom,
}

impl Stage {
    /// The stage's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lessons => "lessons",
            Self::Floor => "floor",
            Self::Guards => "guards",
            Self::Cheap => "cheap",
            Self::Scorer => "scorer",
            Self::Custom => "custom",
        }
    }
}

/// What a stage said of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It may be served.
    Accepted,
    /// It may not.
    Rejected,
    /// The next stage has to say.
    Undecided,
    /// It took too long, which is a miss.
    TimedOut,
}

impl Outcome {
    /// The outcome's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Undecided => "undecided",
            Self::TimedOut => "timed_out",
        }
    }
}

/// What the stages without a model say of a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Screening {
    /// The last stage that ran.
    pub stage: Stage,
    /// What it said.
    pub outcome: Outcome,
    /// How likely the candidate is right so far, in `0.0..=1.0`: who comes first where several are undecided.
    pub confidence: f32,
}

impl Screening {
    /// What `stage` said. `confidence` is moved into `0.0..=1.0`; what is not a number counts as none.
    pub fn new(stage: Stage, outcome: Outcome, confidence: f32) -> Self {
        let confidence = if confidence.is_nan() { 0.0 } else { confidence.clamp(0.0, 1.0) };
        Self { stage, outcome, confidence }
    }
}

/// What a stage said, and how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StageRun {
    /// The stage.
    pub stage: Stage,
    /// What it said.
    pub outcome: Outcome,
    /// How long it took, in microseconds.
    pub took_us: f64,
}

impl StageRun {
    /// What `stage` said after `took`.
    pub fn new(stage: Stage, outcome: Outcome, took: Duration) -> Self {
        Self { stage, outcome, took_us: took.as_secs_f64() * 1e6 }
    }
}
