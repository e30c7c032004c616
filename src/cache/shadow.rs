//! Showing a judge some of what was served, and some of what was not, behind the callers' backs.
//!
//! No caller waits for it, and what comes while enough is being judged is left out: a sample is all that is needed. What
//! the judge says goes the way of all feedback, but it removes no answer: it tells of pairs, not of answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::cache::Cache;
use crate::cache::query::Prepared;
use crate::embedding::Embedding;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::judge::{Case, Shadow};
use crate::judgement::{Feedback, Judge};
use crate::key::CacheKey;
use crate::store::Found;

/// A judge, and how many cases it has.
#[derive(Debug)]
pub(crate) struct Sampling {
    shadow: Shadow,
    places: Arc<Semaphore>,
}

impl Sampling {
    pub(crate) fn new(shadow: Shadow) -> Self {
        let places = Arc::new(Semaphore::new(shadow.max_concurrent.min(Semaphore::MAX_PERMITS)));
        Self { shadow, places }
    }
}

impl Cache {
    /// Has a hit on another wording judged, if it is its turn.
    pub(super) fn maybe_judge_hit(&self, prepared: &Prepared, entry: &Arc<Entry>, similarity: f32) {
        let Some((sampling, place)) = self.sample(|shadow| shadow.hits) else { return };
        let (cache, key, entry) = (self.clone(), prepared.key.clone(), Arc::clone(entry));
        self.spawn(async move {
            cache.judge_pair(&sampling, &key, &entry, similarity, Judge::Shadow).await;
            drop(place);
        });
    }

    /// Has the nearest neighbour of a miss judged, if it is its turn.
    pub(super) fn maybe_judge_miss(&self, prepared: &Prepared, embedding: &Embedding) {
        let Some((sampling, place)) = self.sample(|shadow| shadow.near_misses) else { return };
        let (cache, key, embedding) = (self.clone(), prepared.key.clone(), embedding.clone());
        self.spawn(async move {
            let floor = sampling.shadow.near_miss_floor;
            let inner = &cache.inner;
            // One more, for the question's own entry may be stored by now.
            let scope = (&key.corpus, key.scope);
            let near = inner.indexes.search(scope, &embedding, 2, floor, Duration::ZERO).await;
            let near = near.unwrap_or_default();
            if let Some(near) = near.iter().find(|near| near.id != key.exact)
                && !inner.lessons.forbid(key.exact, near.id)
                && let Ok(fetched) = inner.store.lookup(&key.corpus, near.id).await
                && let Found::Live(entry) = fetched.found
            {
                cache.judge_pair(&sampling, &key, &entry, near.similarity, Judge::NearMiss).await;
            }
            drop(place);
        });
    }

    fn sample(&self, share: impl Fn(&Shadow) -> f64) -> Option<(Arc<Sampling>, OwnedSemaphorePermit)> {
        let sampling = self.inner.sampling.as_ref()?;
        if self.inner.random() >= share(&sampling.shadow) {
            return None;
        }
        let place = Arc::clone(&sampling.places).try_acquire_owned().ok()?;
        Some((Arc::clone(sampling), place))
    }

    async fn judge_pair(
        &self,
        sampling: &Sampling,
        asked: &CacheKey,
        entry: &Entry,
        similarity: f32,
        judge: Judge,
    ) {
        if let Err(error) = self.try_judge_pair(sampling, asked, entry, similarity, judge).await {
            tracing::warn!(%error, "a pair was not judged");
            self.inner.metrics.verification.unjudged.increment();
        }
    }

    async fn try_judge_pair(
        &self,
        sampling: &Sampling,
        asked: &CacheKey,
        entry: &Entry,
        similarity: f32,
        judge: Judge,
    ) -> Result<()> {
        let case =
            Case::new(Arc::clone(&asked.text), Arc::clone(&entry.question), Arc::clone(&entry.answer.text));
        let judged = tokio::time::timeout(sampling.shadow.timeout, sampling.shadow.judge.judge(&case)).await;
        let is_right =
            judged.map_err(|_| Error::new(ErrorKind::Timeout, "the judge took longer than its limit"))??;
        let feedback = if is_right { Feedback::Right } else { Feedback::Wrong };
        self.inner.metrics.verification.judged.increment(&feedback);
        let judgement = self.inner.judgement(asked, entry, Some(similarity), feedback, judge);
        self.inner.lessons.learn(&judgement).await
    }
}
