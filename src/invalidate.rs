//! Ending answers whose documents changed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cache::Cache;
use crate::entry::{Change, DocumentVersion, Entry};
use crate::error::Result;
use crate::journal::Event;
use crate::key::Corpus;
use crate::store::{ChangeOutcome, StoredEntry};

/// For how many changes of one call the answers that they end are looked up, to be made again. Each change
/// takes a request to the store, and the call waits for it.
const LOOKED_INTO: usize = 256;

/// What an invalidation did.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Invalidation {
    /// What each change did, in the order of the changes.
    pub outcomes: Vec<ChangeOutcome>,
    /// How long it took until it was in force.
    #[serde(rename = "elapsed_us", serialize_with = "as_micros")]
    pub elapsed: Duration,
}

fn as_micros<S: serde::Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(elapsed.as_secs_f64() * 1e6)
}

impl Invalidation {
    /// How many entries are no longer served. An entry that several changes of one call end may count for each.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// assert_eq!(cache.invalidate_document("passwords.md").await?.dropped(), 1);
    /// assert_eq!(cache.invalidate_document("passwords.md").await?.dropped(), 0, "it is gone already");
    /// # Ok(()) });
    /// ```
    pub fn dropped(&self) -> u64 {
        self.outcomes.iter().copied().map(ChangeOutcome::dropped).sum()
    }

    /// Whether no stored answer depended on any of the changes. Often a sign that the ingestion hook and
    /// retrieval use different ids.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// let done = cache.invalidate_document("/var/docs/passwords.md").await?;
    /// assert!(done.matched_nothing(), "answers name it passwords.md");
    /// # Ok(()) });
    /// ```
    pub fn matched_nothing(&self) -> bool {
        self.outcomes.contains(&ChangeOutcome::Dropped(0)) && self.dropped() == 0
    }

    /// Whether every change reported a version that was already known.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Change, Corpus};
    ///
    /// let change = [Change::document_version("passwords.md", "v2")];
    /// assert!(!cache.invalidate(&Corpus::default(), &change).await?.is_unchanged());
    /// assert!(cache.invalidate(&Corpus::default(), &change).await?.is_unchanged());
    /// # Ok(()) });
    /// ```
    pub fn is_unchanged(&self) -> bool {
        self.outcomes.iter().all(|outcome| *outcome == ChangeOutcome::Unchanged)
    }
}

impl Cache {
    /// Ends every answer that depends on one of `changes` in `corpus`.
    ///
    /// Once this returns, no lookup that starts later is served such an answer, and no such answer that was
    /// begun before is stored. Call it after the change is visible to retrieval; if retrieval lags behind,
    /// put [`begin_update`](Self::begin_update) and [`end_update`](Self::end_update) around the change.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Change, Corpus, Lookup};
    ///
    /// let changes = [Change::document("passwords.md"), Change::tag("prices")];
    /// assert_eq!(cache.invalidate(&Corpus::default(), &changes).await?.dropped(), 1);
    /// assert!(matches!(cache.lookup("How do I reset my password?").await?, Lookup::Miss(_)));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a name that is not valid, more than 10,000 chunks of one document or more than
    /// 1,000,000 changes: then nothing was changed. Others if the invalidation is not certain to be in force:
    /// try again until it succeeds, which is safe. [`Error::not_in_force`](crate::Error::not_in_force)
    /// returns the changes that are not in force.
    ///
    /// # Cancel safety
    ///
    /// If dropped, each change may be applied or not; call it again.
    pub async fn invalidate(&self, corpus: &Corpus, changes: &[Change]) -> Result<Invalidation> {
        let ended = self.to_refresh(corpus, changes).await;
        let started = Instant::now();
        let outcomes = self.inner.store.invalidate(corpus, changes).await;
        if let Ok(outcomes) = &outcomes {
            let events =
                changes.iter().zip(outcomes).map(|(change, outcome)| Event::invalidated(change, *outcome));
            self.record(corpus, events);
        }
        self.report(started, outcomes, ended)
    }

    /// Ends every answer that depends on `document` of the default corpus: [`invalidate`](Self::invalidate)
    /// for one change of which no version is known. For other corpora, see [`Cache::corpus`].
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// assert_eq!(cache.invalidate_document("passwords.md").await?.dropped(), 1);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`invalidate`](Self::invalidate).
    ///
    /// # Cancel safety
    ///
    /// As for [`invalidate`](Self::invalidate).
    pub async fn invalidate_document(&self, document: &str) -> Result<Invalidation> {
        self.invalidate(&Corpus::default(), &[Change::document(document)]).await
    }

    /// Holds `document`: until [`end_update`](Self::end_update), nothing that depends on it is served or
    /// stored. For documents whose new version takes time to become visible to retrieval.
    ///
    /// If the process dies in between, the document stays held; [`Cache::status`] lists it.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Corpus, Lookup};
    ///
    /// let corpus = Corpus::default();
    /// cache.begin_update(&corpus, "passwords.md").await?;
    /// // Change the document, and wait until retrieval sees the new version. Until then:
    /// assert!(!matches!(cache.lookup("How do I reset my password?").await?, Lookup::Hit(_)));
    /// cache.end_update(&corpus, "passwords.md", None).await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`invalidate`](Self::invalidate).
    ///
    /// # Cancel safety
    ///
    /// As for [`invalidate`](Self::invalidate).
    pub async fn begin_update(&self, corpus: &Corpus, document: &str) -> Result<()> {
        self.inner.store.begin_update(corpus, document).await?;
        self.record(corpus, std::iter::once(Event::Held { document: document.to_owned() }));
        Ok(())
    }

    /// Ends the hold on `document`, invalidates it and registers its version if one is given.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::Corpus;
    ///
    /// let corpus = Corpus::default();
    /// cache.begin_update(&corpus, "passwords.md").await?;
    /// cache.end_update(&corpus, "passwords.md", Some("v2".into())).await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`invalidate`](Self::invalidate).
    ///
    /// # Cancel safety
    ///
    /// As for [`invalidate`](Self::invalidate).
    pub async fn end_update(
        &self,
        corpus: &Corpus,
        document: &str,
        version: Option<DocumentVersion>,
    ) -> Result<Invalidation> {
        let started = Instant::now();
        let outcome = self.inner.store.end_update(corpus, document, version).await;
        if let Ok(outcome) = &outcome {
            let outcome = *outcome;
            self.record(corpus, std::iter::once(Event::Released { document: document.to_owned(), outcome }));
        }
        self.report(started, outcome.map(|outcome| vec![outcome]), Vec::new())
    }

    /// The entries that `change` would end, with how often each was hit, the most often first.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Change, Corpus};
    ///
    /// let ended = cache.impact(&Corpus::default(), &Change::tag("accounts")).await?;
    /// assert_eq!(&*ended[0].entry.question, "How do I reset my password?");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a name that is not valid; others if the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn impact(&self, corpus: &Corpus, change: &Change) -> Result<Vec<StoredEntry>> {
        let mut entries = self.inner.store.dependants(corpus, change).await?;
        entries.sort_by_key(|stored| (std::cmp::Reverse(stored.hits), stored.entry.id));
        Ok(entries)
    }

    /// The entries to be made again after `changes`; only the first changes are looked into. None if the
    /// store fails: the invalidation itself matters more.
    async fn to_refresh(&self, corpus: &Corpus, changes: &[Change]) -> Vec<Arc<Entry>> {
        let limit = self.inner.settings.refresh_on_invalidation;
        let mut entries: Vec<StoredEntry> = Vec::new();
        if limit == 0 {
            return Vec::new();
        }
        let mut seen = HashSet::new();
        for change in changes.iter().take(LOOKED_INTO) {
            let ended = self.impact(corpus, change).await.unwrap_or_default();
            entries.extend(ended.into_iter().filter(|stored| seen.insert(stored.entry.id)));
        }
        entries.sort_by_key(|stored| std::cmp::Reverse(stored.hits));
        entries.into_iter().take(limit).map(|stored| stored.entry).collect()
    }

    fn record(&self, corpus: &Corpus, events: impl ExactSizeIterator<Item = Event>) {
        self.inner.journal.record(self.inner.clock.now(), corpus, events);
    }

    fn report(
        &self,
        started: Instant,
        outcomes: Result<Vec<ChangeOutcome>>,
        ended: Vec<Arc<Entry>>,
    ) -> Result<Invalidation> {
        let metrics = &self.inner.metrics.invalidation;
        let elapsed = started.elapsed();
        let outcomes = outcomes.inspect_err(|_| metrics.failed.increment())?;
        metrics.invalidate.record(elapsed);
        metrics.changes.add(outcomes.len() as u64);
        for outcome in &outcomes {
            match outcome {
                ChangeOutcome::Unchanged => metrics.unchanged.increment(),
                ChangeOutcome::Dropped(0) => metrics.unmatched.increment(),
                ChangeOutcome::Dropped(entries) => metrics.dropped.add(*entries),
            }
        }
        self.refresh_ended(ended);
        Ok(Invalidation { outcomes, elapsed })
    }
}
