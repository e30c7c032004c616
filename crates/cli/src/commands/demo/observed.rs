//! What a static threshold would have done with the same questions: a verifier that makes the decisions of
//! another one and remembers the questions that it was asked about.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::Serialize;
use wellspring::MatchPolicy;
use wellspring::error::Result;
use wellspring::key::Corpus;
use wellspring::verify::{Budgets, Candidate, Screening, Verdict, Verifier};

/// A near neighbour of a question.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Nearest {
    pub(super) question: String,
    pub(super) similarity: f32,
}

/// Makes the same decisions as the verifier that it wraps.
#[derive(Debug)]
pub(super) struct Observed {
    verifier: Arc<dyn Verifier>,
    /// The nearest question to each question that was asked and not yet [taken](Self::take).
    nearest: Mutex<HashMap<String, Nearest>>,
}

impl Observed {
    pub(super) fn new(verifier: Arc<dyn Verifier>) -> Self {
        Self { verifier, nearest: Mutex::default() }
    }

    /// The nearest stored question when `asked`, which is normalised, was looked up; none if nothing was
    /// near.
    pub(super) fn take(&self, asked: &str) -> Option<Nearest> {
        self.nearest().remove(asked)
    }

    fn nearest(&self) -> MutexGuard<'_, HashMap<String, Nearest>> {
        self.nearest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Verifier for Observed {
    fn forget(&self) {
        self.verifier.forget();
    }

    fn floor(&self, match_policy: MatchPolicy) -> f32 {
        self.verifier.floor(match_policy)
    }

    fn budgets(&self, corpus: Option<&Corpus>) -> Budgets {
        self.verifier.budgets(corpus)
    }

    fn screen(&self, candidate: &Candidate<'_>) -> Screening {
        let mut all = self.nearest();
        let known = all.get(candidate.question);
        if known.is_none_or(|known| known.similarity < candidate.similarity) {
            let question = candidate.cached_question.to_owned();
            let nearest = Nearest { question, similarity: candidate.similarity };
            all.insert(candidate.question.to_owned(), nearest);
        }
        drop(all);
        self.verifier.screen(candidate)
    }

    fn threshold(&self, candidate: &Candidate<'_>) -> Option<f32> {
        self.verifier.threshold(candidate)
    }

    async fn verify(&self, candidate: Candidate<'_>) -> Result<Verdict> {
        self.verifier.verify(candidate).await
    }

    async fn explain(&self, candidate: Candidate<'_>) -> Result<Verdict> {
        self.verifier.explain(candidate).await
    }
}

/// What a static threshold would have served if it gave as many hits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct StaticThreshold {
    pub(super) similarity: f32,
    pub(super) semantic_hits: usize,
    pub(super) false_hits: usize,
}

impl StaticThreshold {
    /// `nearest` has the similarity of every question's nearest neighbour and whether that neighbour's answer
    /// was right.
    pub(super) fn of_as_many_hits(mut nearest: Vec<(f32, bool)>, hits: usize) -> Option<Self> {
        nearest.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        nearest.truncate(hits);
        let &(similarity, _) = nearest.last()?;
        let false_hits = nearest.iter().filter(|(_, is_right)| !is_right).count();
        Some(Self { similarity, semantic_hits: nearest.len(), false_hits })
    }
}

#[cfg(test)]
mod tests {
    use wellspring::verify::Threshold;

    use super::*;

    #[test]
    fn the_threshold_is_that_of_the_last_hit() {
        let nearest = vec![(0.8, false), (0.95, true), (0.7, true), (0.9, false)];
        let found = StaticThreshold::of_as_many_hits(nearest.clone(), 3).unwrap();
        assert_eq!(found, StaticThreshold { similarity: 0.8, semantic_hits: 3, false_hits: 2 });
        assert_eq!(StaticThreshold::of_as_many_hits(nearest, 0), None);
    }

    #[test]
    fn the_nearest_is_remembered_once() {
        let observed = Observed::new(Arc::new(Threshold::new()));
        for (cached, similarity) in [("b", 0.8), ("c", 0.9), ("d", 0.7)] {
            observed.screen(&Candidate::new("a", cached, similarity, 0.5));
        }
        assert_eq!(observed.take("a"), Some(Nearest { question: "c".into(), similarity: 0.9 }));
        assert_eq!(observed.take("a"), None);
    }
}
