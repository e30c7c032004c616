//! The expensive look at a pair of questions: a model that reads both at once.

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;

/// What a scorer says of a pair of questions.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Scored {
    /// The log-odds that one answer serves both, as the model sees it: no probability until it is calibrated.
    Logit(f32),
    /// The model would see only a part of the pair, so it says nothing.
    TooLong,
    /// The model would see its unknown token in place of a part of the pair, so it says nothing.
    Unreadable,
}

/// Scores pairs of questions by whether one answer serves both.
///
/// Scores of different scorers are never compared: a calibration belongs to the scorer that it names.
#[async_trait]
pub trait PairScorer: fmt::Debug + Send + Sync {
    /// The model and what tells two of its versions apart, such as `question-verifier@754bb70bff48`.
    fn name(&self) -> &str;

    /// Scores `cached`, a question that was answered, for `asked`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if too much waits already; others if the model fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the work, so that a caller may limit its time.
    async fn score(&self, asked: &str, cached: &str) -> Result<Scored>;
}
