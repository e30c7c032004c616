//! Between a near neighbour and a hit: is it the same question?
//!
//! A [`Verifier`] sees a candidate that the index found and says whether its answer may be served. It
//! sees the two questions and their similarity, never the answer and never the store.

mod guards;
mod threshold;

use std::fmt;

use async_trait::async_trait;
use serde::Serialize;

pub use self::guards::{Guard, Guards};
pub use self::threshold::Threshold;
use crate::error::Result;

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
    /// The least similarity that the caller accepts.
    pub threshold: f32,
}

impl<'a> Candidate<'a> {
    /// A candidate.
    pub fn new(question: &'a str, cached_question: &'a str, similarity: f32, threshold: f32) -> Self {
        Self { question, cached_question, similarity, threshold }
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
}

impl Verdict {
    /// The verdict that follows from `checks`: the candidate is accepted if all of them passed.
    ///
    /// `confidence` is moved into `0.0..=1.0`; what is not a number counts as none.
    pub fn from_checks(confidence: f32, checks: Vec<Check>) -> Self {
        let confidence = if confidence.is_nan() { 0.0 } else { confidence.clamp(0.0, 1.0) };
        Self { accepted: checks.iter().all(|check| check.passed), confidence, checks }
    }
}

/// Decides whether the answer to a near neighbour answers the question.
#[async_trait]
pub trait Verifier: fmt::Debug + Send + Sync {
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
}
