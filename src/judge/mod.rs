//! Judges: who is asked, beside the requests, whether an answer serves a question.
//!
//! A judge sees both questions and the answer, takes its time, and is never waited for by a caller. It may be a closure
//! ([`judge_with`]) or a language model ([`LlmJudge`], feature `remote`).

#[cfg(feature = "remote")]
mod llm;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

#[cfg(feature = "remote")]
pub use self::llm::{DEFAULT_PROMPT, LlmJudge, LlmJudgeBuilder};
use crate::error::{Error, ErrorKind, Result};

/// What a judge is asked about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Case {
    /// The question asked.
    pub question: Arc<str>,
    /// The question that was answered.
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

/// Says whether an answer serves a question.
#[async_trait]
pub trait AnswerJudge: fmt::Debug + Send + Sync {
    /// Whether the answer serves the question asked as well as the one that it was made for.
    ///
    /// # Errors
    ///
    /// If the judge cannot say. Nothing is learned then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the case.
    async fn judge(&self, case: &Case) -> Result<bool>;
}

/// A judge made of a closure.
pub fn judge_with<F, Fut, E>(judge: F) -> impl AnswerJudge + 'static
where
    F: Fn(Case) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<bool, E>> + Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
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
impl<F, Fut, E> AnswerJudge for Closure<F>
where
    F: Fn(Case) -> Fut + Send + Sync,
    Fut: Future<Output = Result<bool, E>> + Send,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    async fn judge(&self, case: &Case) -> Result<bool> {
        let judged = (self.0)(case.clone()).await;
        judged.map_err(|error| Error::new(ErrorKind::Upstream, "the judge failed").with_source(error))
    }
}

/// How much of the traffic a judge is shown.
///
/// Some hits must be shown for as long as anything is learned: without them, what is known of served answers grows old.
#[derive(Debug, Clone)]
#[must_use]
pub struct Shadow {
    pub(crate) judge: Arc<dyn AnswerJudge>,
    pub(crate) hits: f64,
    pub(crate) near_misses: f64,
    pub(crate) near_miss_floor: f32,
    pub(crate) timeout: Duration,
    pub(crate) max_concurrent: usize,
}

impl Shadow {
    /// Shows `judge` 5 % of the hits on other wordings, and of the misses 2 % of those with a neighbour above a similarity
    /// of 0.60, two at a time.
    pub fn new(judge: impl AnswerJudge + 'static) -> Self {
        Self {
            judge: Arc::new(judge),
            hits: 0.05,
            near_misses: 0.02,
            near_miss_floor: 0.60,
            timeout: Duration::from_secs(30),
            max_concurrent: 2,
        }
    }

    pub(crate) fn is_valid(&self) -> bool {
        [self.hits, self.near_misses].iter().all(|share| (0.0..=1.0).contains(share))
            && (-1.0..=1.0).contains(&self.near_miss_floor)
    }

    /// Sets the share of hits on other wordings that is judged, in `0.0..=1.0`. A pair that is called wrong is not served
    /// again.
    pub fn hits(mut self, share: f64) -> Self {
        self.hits = share;
        self
    }

    /// Sets the share of misses whose nearest neighbour is judged, in `0.0..=1.0`. A pair that is approved is served from
    /// then on, though no lookup would find it.
    pub fn near_misses(mut self, share: f64) -> Self {
        self.near_misses = share;
        self
    }

    /// Sets the least similarity at which a neighbour of a miss is judged.
    pub fn near_miss_floor(mut self, floor: f32) -> Self {
        self.near_miss_floor = floor;
        self
    }

    /// Sets how long the judge may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how many cases are judged at a time; what comes while so many are is not judged.
    pub fn max_concurrent(mut self, cases: usize) -> Self {
        self.max_concurrent = cases;
        self
    }
}
