//! The expensive check of a pair of questions: a model that reads both at once.

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;

/// A scorer's result for a pair of questions.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Scored {
    /// The log-odds that one answer serves both, according to the model: not a probability until it is
    /// calibrated.
    Logit(f32),
    /// The model would see only a part of the pair, so there is no score.
    TooLong,
    /// The model would see its unknown token in place of a part of the pair, so there is no score.
    Unreadable,
}

/// Scores pairs of questions by whether one answer serves both.
///
/// Scores of different scorers are never compared: a calibration belongs to the scorer that it names.
#[async_trait]
pub trait PairScorer: fmt::Debug + Send + Sync {
    /// The name of the model and of its version, such as `question-verifier@754bb70bff48`.
    fn name(&self) -> &str;

    /// Scores whether the answer to `cached`, a question that was answered before, serves `asked`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if too many pairs are waiting already; others if the
    /// model fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the work, so that a caller may limit its time.
    async fn score(&self, asked: &str, cached: &str) -> Result<Scored>;
}
