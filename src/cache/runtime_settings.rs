//! Settings that may change while the cache is in use.

use std::sync::{Arc, PoisonError, RwLock};

use crate::cache::{Cache, Inner};
use crate::error::Result;
use crate::journal::Record;
use crate::key::Corpus;
use crate::match_policy::MatchPolicy;
use crate::policy::Ttls;
use crate::verify::Budgets;

/// Settings that may change while the cache is in use.
#[derive(Debug)]
pub(crate) struct RuntimeSettings {
    match_policy: RwLock<MatchPolicy>,
    ttls: RwLock<Arc<Ttls>>,
}

impl RuntimeSettings {
    pub(crate) fn new(match_policy: MatchPolicy, ttls: Ttls) -> Self {
        Self { match_policy: RwLock::new(match_policy), ttls: RwLock::new(Arc::new(ttls)) }
    }

    pub(crate) fn match_policy(&self) -> MatchPolicy {
        *self.match_policy.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ttls(&self) -> Arc<Ttls> {
        Arc::clone(&self.ttls.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    /// Warns about every setting that leaves only exact matches; otherwise no one would know why there are no
    /// other hits.
    pub(super) fn warn_of_unshown(&self) {
        self.warn_of(self.runtime.match_policy(), None);
        for (corpus, &match_policy) in &self.settings.corpora {
            self.warn_of(match_policy, Some(corpus));
        }
    }

    fn warn_of(&self, match_policy: MatchPolicy, corpus: Option<&Corpus>) {
        let Some(unshown) = self.verifier.budgets(corpus).unshown(match_policy) else { return };
        if let Some(corpus) = corpus {
            tracing::warn!(%corpus, "{unshown}");
        } else {
            tracing::warn!("{unshown}");
        }
    }
}

impl Cache {
    /// When another question's answer is served, unless query, scope or corpus say otherwise.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::MatchPolicy;
    ///
    /// assert_eq!(cache.match_policy(), MatchPolicy::SimilarityThreshold(0.9));
    /// # Ok(()) });
    /// ```
    pub fn match_policy(&self) -> MatchPolicy {
        self.inner.runtime.match_policy()
    }

    /// The least similarity at which another question is looked at. None if no other question is, because the
    /// [match policy](Self::match_policy) is a false-hit rate that cannot be shown.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// assert_eq!(cache.least_similarity(), Some(0.9));
    /// # Ok(()) });
    /// ```
    pub fn least_similarity(&self) -> Option<f32> {
        let match_policy = self.match_policy();
        let can_show = self.inner.verifier.budgets(None).can_show(match_policy);
        can_show.then(|| self.inner.verifier.floor(match_policy))
    }

    /// Which false-hit rates can be shown in `corpus`. Under any other rate, of the cache, a corpus, a scope
    /// or a query, only exact matches are served.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use wellspring::verify::{Calibration, Pipeline};
    /// use wellspring::{Corpus, MatchPolicy};
    ///
    /// let cache = builder.verifier(Pipeline::new(Calibration::bundled())).build().await?;
    /// let budgets = cache.budgets(&Corpus::default());
    /// if let Some(unshown) = budgets.unshown(MatchPolicy::MaxFalseHitRate(0.000_001)) {
    ///     // "max_false_hit_rate = 0.000001 cannot be shown by the calibration in force: …"
    ///     println!("{unshown}");
    /// }
    /// if let Some(least) = budgets.least() {
    ///     cache.set_match_policy(MatchPolicy::MaxFalseHitRate(least))?;
    /// }
    /// assert!(budgets.can_show(cache.match_policy()));
    /// # Ok(()) });
    /// ```
    pub fn budgets(&self, corpus: &Corpus) -> Budgets {
        self.inner.verifier.budgets(Some(corpus))
    }

    /// Sets when another question's answer is served, for lookups that start from now on. A false-hit rate
    /// that [cannot be shown](Self::budgets) is logged as a warning.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::MatchPolicy;
    ///
    /// cache.set_match_policy(MatchPolicy::SimilarityThreshold(0.95))?;
    /// assert!(cache.set_match_policy(MatchPolicy::SimilarityThreshold(2.0)).is_err());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is out of range.
    pub fn set_match_policy(&self, match_policy: MatchPolicy) -> Result<()> {
        let match_policy = match_policy.checked()?;
        *self.inner.runtime.match_policy.write().unwrap_or_else(PoisonError::into_inner) = match_policy;
        self.inner.warn_of(match_policy, None);
        Ok(())
    }

    /// Sets the times to live of answers that are stored from now on. Stored answers keep theirs.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use std::time::Duration;
    /// use wellspring::{ContentType, Ttls};
    ///
    /// cache.set_ttls(Ttls::default().of(ContentType::Documentation, Duration::from_hours(1)));
    /// # Ok(()) });
    /// ```
    pub fn set_ttls(&self, ttls: Ttls) {
        *self.inner.runtime.ttls.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ttls);
    }

    /// The newest invalidations, holds and refused fills of this process, the newest first; at most
    /// [`journal::CAPACITY`](crate::journal::CAPACITY).
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// cache.invalidate_document("passwords.md").await?;
    /// assert_eq!(cache.journal(10).len(), 1);
    /// # Ok(()) });
    /// ```
    pub fn journal(&self, limit: usize) -> Vec<Record> {
        self.inner.journal.newest(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{FillOutcome, Lookup, Query};
    use crate::embed::FakeEmbedder;
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn a_criterion_that_is_set_says_whether_others_are_looked_at() {
        let cache = Cache::builder(FakeEmbedder::new(64), MemoryStore::default()).build().await.unwrap();
        let Lookup::Miss(permit) = cache.lookup(Query::new("who has the key")).await.unwrap() else {
            panic!("the cache is empty")
        };
        assert!(matches!(permit.fill("the porter", vec![]).await, FillOutcome::Stored(_)));
        let is_hit =
            async || matches!(cache.lookup(Query::new("Who has the key?")).await, Ok(Lookup::Hit(_)));
        // Nothing is calibrated for the fake embedder, and the first lookup counts.
        assert!(!is_hit().await);
        assert_eq!((cache.least_similarity(), cache.metrics().unshown_budgets), (None, 2));
        cache.set_match_policy(MatchPolicy::SimilarityThreshold(0.9)).unwrap();
        assert!(is_hit().await);
        assert_eq!((cache.least_similarity(), cache.metrics().unshown_budgets), (Some(0.9), 2));
        assert!(cache.set_match_policy(MatchPolicy::MaxFalseHitRate(1.0)).unwrap_err().is_invalid_input());
    }
}
