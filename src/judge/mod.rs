//! Judges: besides the callers, they are asked whether an answer serves a question.
//!
//! A judge sees both questions and the answer and takes its time; no caller ever waits for it. It may be a
//! closure ([`judge_with`]) or a language model ([`LlmJudge`], feature `remote`). A budget of calls limits
//! what it is asked, and the most valuable cases are asked first.

pub(crate) mod budget;
#[cfg(feature = "remote")]
mod llm;
pub(crate) mod queue;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

#[cfg(feature = "remote")]
pub use self::llm::{DEFAULT_BATCH, DEFAULT_PROMPT, LlmJudge, LlmJudgeBuilder};
use crate::error::{BoxError, Error, ErrorKind, Result};

/// What a judge is asked about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Case {
    /// The new question.
    pub question: Arc<str>,
    /// The question that was answered before.
    pub cached_question: Arc<str>,
    /// Its answer.
    pub answer: Arc<str>,
}

impl Case {
    /// A case.
    pub fn new(
        question: impl Into<Arc<str>>,
        cached_question: impl Into<Arc<str>>,
        answer: impl Into<Arc<str>>,
    ) -> Self {
        Self { question: question.into(), cached_question: cached_question.into(), answer: answer.into() }
    }
}

/// A judge's ruling on a case.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Ruling {
    /// Whether the answer serves the question.
    pub serves: bool,
    /// How sure the judge is of that, in `0.0..=1.0`.
    pub confidence: f32,
}

impl Ruling {
    /// A ruling. `confidence` is clamped to `0.0..=1.0`; NaN counts as 0.
    pub fn new(serves: bool, confidence: f32) -> Self {
        let confidence = if confidence.is_nan() { 0.0 } else { confidence.clamp(0.0, 1.0) };
        Self { serves, confidence }
    }
}

impl From<bool> for Ruling {
    /// A plain yes or no is certain.
    fn from(serves: bool) -> Self {
        Self::new(serves, 1.0)
    }
}

impl From<f32> for Ruling {
    /// The probability that the answer serves the question.
    fn from(probability: f32) -> Self {
        let serves = probability >= 0.5;
        Self::new(serves, if serves { probability } else { 1.0 - probability })
    }
}

/// Says whether an answer serves a question.
#[async_trait]
pub trait AnswerJudge: fmt::Debug + Send + Sync {
    /// The name of the judge, such as that of a model: its rulings are listed and
    /// [revoked](crate::Cache::revoke) by it.
    #[expect(clippy::unnecessary_literal_bound, reason = "a custom judge may compute its name")]
    fn name(&self) -> &str {
        "judge"
    }

    /// The most cases that one call of [`judge_all`](Self::judge_all) is given, 1 by default.
    fn batch(&self) -> usize {
        1
    }

    /// Whether the answer serves the question asked as well as the one that it was made for.
    ///
    /// # Errors
    ///
    /// If the judge cannot say. Nothing is learned then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the case.
    async fn judge(&self, case: &Case) -> Result<Ruling>;

    /// Whether two answers to `question` say the same, so that one
    /// [confirms](crate::Admission::confirmations()) the other. None, the default, means that this judge does
    /// not compare answers: then only answers with the same text are the same.
    ///
    /// # Errors
    ///
    /// If the judge cannot say. The answers are not the same then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the comparison.
    async fn is_same(&self, _question: &str, _one: &str, _other: &str) -> Result<Option<Ruling>> {
        Ok(None)
    }

    /// Rules on several cases, in their order, as [`judge`](Self::judge) does. By default it judges one after
    /// the other.
    ///
    /// If the number of rulings differs from the number of cases, none of them counts. A case without a
    /// ruling is put to the judge again, alone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the cases.
    async fn judge_all(&self, cases: &[Case]) -> Vec<Result<Ruling>> {
        let mut rulings = Vec::with_capacity(cases.len());
        for case in cases {
            rulings.push(self.judge(case).await);
        }
        rulings
    }
}

/// A judge made from a closure that returns yes or no, the probability of yes, or a [`Ruling`].
pub fn judge_with<F, Fut, R>(judge: F) -> impl AnswerJudge + 'static
where
    F: Fn(Case) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, BoxError>> + Send + 'static,
    R: Into<Ruling> + 'static,
{
    Closure(judge)
}

struct Closure<F>(F);

impl<F> fmt::Debug for Closure<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closure")
    }
}

#[async_trait]
impl<F, Fut, R> AnswerJudge for Closure<F>
where
    F: Fn(Case) -> Fut + Send + Sync,
    Fut: Future<Output = Result<R, BoxError>> + Send,
    R: Into<Ruling>,
{
    async fn judge(&self, case: &Case) -> Result<Ruling> {
        let judged = (self.0)(case.clone()).await.map(Into::into);
        judged.map_err(|error| Error::new(ErrorKind::Upstream, "the judge failed").with_source(error))
    }
}

/// A judge, which cases it is shown, and how many calls that may take.
///
/// A random sample of hits is shown to it for as long as anything is learned: without them, the knowledge of
/// served answers would go stale. Near misses are shown to it by their value: first those that were asked for
/// most often, and among these the likeliest. Both wait for the budget in queues of this process.
#[derive(Debug, Clone)]
#[must_use]
pub struct Shadow {
    pub(crate) judge: Arc<dyn AnswerJudge>,
    pub(crate) hits: f64,
    pub(crate) near_misses: f64,
    pub(crate) near_miss_floor: f32,
    pub(crate) calls_per_hour: u32,
    pub(crate) min_confidence: f32,
    pub(crate) timeout: Duration,
    pub(crate) max_concurrent: usize,
}

impl Shadow {
    /// The default limit on the judge's calls in an hour.
    pub const DEFAULT_CALLS_PER_HOUR: u32 = 120;
    /// The default confidence that a judge needs to approve an answer.
    pub const DEFAULT_MIN_CONFIDENCE: f32 = 0.9;

    /// Shows `judge` 5 % of the hits on other wordings and every miss with a neighbour above a similarity of
    /// 0.60, within 120 calls an hour, two at a time.
    pub fn new(judge: impl AnswerJudge + 'static) -> Self {
        Self {
            judge: Arc::new(judge),
            hits: 0.05,
            near_misses: 1.0,
            near_miss_floor: 0.60,
            calls_per_hour: Self::DEFAULT_CALLS_PER_HOUR,
            min_confidence: Self::DEFAULT_MIN_CONFIDENCE,
            timeout: Duration::from_secs(30),
            max_concurrent: 2,
        }
    }

    pub(crate) fn is_valid(&self) -> bool {
        [self.hits, self.near_misses, f64::from(self.min_confidence)]
            .iter()
            .all(|share| (0.0..=1.0).contains(share))
            && (-1.0..=1.0).contains(&self.near_miss_floor)
            && self.max_concurrent > 0
    }

    /// Sets the share of hits on other wordings that is judged, in `0.0..=1.0`. A pair that is judged wrong
    /// is not served again.
    pub fn hits(mut self, share: f64) -> Self {
        self.hits = share;
        self
    }

    /// Sets the share of misses whose neighbours may be judged, in `0.0..=1.0`: 1 for all, which is the
    /// default, 0 for none. Up to three neighbours are judged, the likeliest. An approved answer is served
    /// for that question from then on, even though no lookup would find it otherwise.
    pub fn near_misses(mut self, share: f64) -> Self {
        self.near_misses = share;
        self
    }

    /// Sets the least similarity at which a neighbour of a miss is judged.
    pub fn near_miss_floor(mut self, floor: f32) -> Self {
        self.near_miss_floor = floor;
        self
    }

    /// Sets how many calls the judge may be asked for in an hour, 120 by default, for hits and near misses
    /// together. Unused calls are saved up for ten minutes at most, so that a burst spends no more than that
    /// at once. 0 allows none.
    ///
    /// Each process has its own budget. A call has as many cases as the judge takes [at
    /// once](AnswerJudge::batch).
    pub fn calls_per_hour(mut self, calls: u32) -> Self {
        self.calls_per_hour = calls;
        self
    }

    /// Sets how sure the judge must be to approve an answer, in `0.0..=1.0`, 0.9 by default. Nothing is
    /// learned from a "yes" that is less sure.
    pub fn min_confidence(mut self, confidence: f32) -> Self {
        self.min_confidence = confidence;
        self
    }

    /// Sets how long a call of the judge may take, 30 seconds by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how many calls run at a time, 2 by default.
    pub fn max_concurrent(mut self, calls: usize) -> Self {
        self.max_concurrent = calls;
        self
    }
}

/// A judge and what is waiting for it now.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct JudgeStatus {
    /// Its name.
    pub name: String,
    /// The calls that are allowed in an hour.
    pub calls_per_hour: u32,
    /// The calls that are allowed at once now.
    pub calls_left: u32,
    /// Sampled hits, and questions whose neighbours are waiting for the judge.
    pub waiting: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_is_a_ruling_that_is_as_sure_as_it_is_far_from_chance() {
        assert_eq!(Ruling::from(true), Ruling::new(true, 1.0));
        assert_eq!((Ruling::from(0.75).serves, Ruling::from(0.75).confidence), (true, 0.75));
        assert_eq!((Ruling::from(0.25).serves, Ruling::from(0.25).confidence), (false, 0.75));
        for unsure in [Ruling::new(true, f32::NAN), Ruling::from(f32::NAN)] {
            assert!(unsure.confidence.abs() < f32::EPSILON, "{unsure:?}");
        }
    }
}
