//! The stages that a candidate passes, and the outcome of each.

use std::time::Duration;

use serde::Serialize;

/// A stage of the decision, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// What was learned about exactly this pair.
    Feedback,
    /// The least similarity at which a candidate is checked.
    Floor,
    /// The vetoes.
    Guards,
    /// A similarity, or a probability from similarity and words.
    Cheap,
    /// The model that reads both questions.
    Scorer,
    /// Other candidates that claim the same question.
    Rivals,
    /// The application's own verifier.
    Custom,
}

impl Stage {
    /// The stage's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Feedback => "feedback",
            Self::Floor => "floor",
            Self::Guards => "guards",
            Self::Cheap => "cheap",
            Self::Scorer => "scorer",
            Self::Rivals => "rivals",
            Self::Custom => "custom",
        }
    }
}

/// The outcome of a stage for a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The candidate may be served.
    Accepted,
    /// The candidate may not be served.
    Rejected,
    /// The next stage has to decide.
    Undecided,
    /// The stage took too long, which is a miss.
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

/// What the stages without a model decided on a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Screening {
    /// The last stage that ran.
    pub stage: Stage,
    /// Its outcome.
    pub outcome: Outcome,
    /// How likely the candidate is right so far, in `0.0..=1.0`: it sets the order in which undecided
    /// candidates are verified.
    pub confidence: f32,
}

impl Screening {
    /// The outcome of `stage`. `confidence` is clamped to `0.0..=1.0`; NaN counts as 0.
    pub fn new(stage: Stage, outcome: Outcome, confidence: f32) -> Self {
        let confidence = if confidence.is_nan() { 0.0 } else { confidence.clamp(0.0, 1.0) };
        Self { stage, outcome, confidence }
    }
}

/// The outcome of a stage, and how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StageRun {
    /// The stage.
    pub stage: Stage,
    /// The outcome.
    pub outcome: Outcome,
    /// How long it took, in microseconds.
    pub took_us: f64,
}

impl StageRun {
    /// The outcome of `stage`, which took `took`.
    pub fn new(stage: Stage, outcome: Outcome, took: Duration) -> Self {
        Self { stage, outcome, took_us: took.as_secs_f64() * 1e6 }
    }
}
