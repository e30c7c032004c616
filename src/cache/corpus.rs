//! A cache as those see it who work with one corpus.

use std::future::Future;

use crate::cache::{Cache, FillOutcome, Lookup, Miss, Query, Served, Since};
use crate::entry::{Answer, Change, Dependency, DocumentVersion};
use crate::error::{BoxError, Result};
use crate::flight::SharedError;
use crate::invalidate::Invalidation;
use crate::key::Corpus;
use crate::store::StoredEntry;

/// A handle on a [`Cache`] that is bound to one corpus, so that calls need not name it. The corpus of a
/// query that it is given is replaced. Clones share the cache.
#[derive(Debug, Clone)]
pub struct CorpusCache {
    cache: Cache,
    corpus: Corpus,
}

impl Cache {
    /// A cheap handle that is bound to the corpus named `name`.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// let acme = cache.corpus("acme")?;
    /// let served = acme.get_or_fill("Where is the key?", async |_| Ok(("With the porter.", []))).await?;
    /// assert!(!served.is_hit());
    /// assert!(cache.corpus("").is_err());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Corpus::new`].
    pub fn corpus(&self, name: &str) -> Result<CorpusCache> {
        Ok(CorpusCache { cache: self.clone(), corpus: Corpus::new(name)? })
    }
}

impl CorpusCache {
    /// The corpus.
    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// As [`Cache::lookup`].
    ///
    /// # Errors
    ///
    /// As for [`Cache::lookup`].
    ///
    /// # Cancel safety
    ///
    /// As for [`Cache::lookup`].
    pub async fn lookup(&self, query: impl Into<Query>) -> Result<Lookup> {
        self.cache.lookup(self.query(query)).await
    }

    /// As [`Cache::lookup_or_wait`].
    ///
    /// # Errors
    ///
    /// As for [`Cache::lookup_or_wait`].
    ///
    /// # Cancel safety
    ///
    /// As for [`Cache::lookup_or_wait`].
    pub async fn lookup_or_wait(&self, query: impl Into<Query>) -> Result<Lookup, SharedError> {
        self.cache.lookup_or_wait(self.query(query)).await
    }

    /// As [`Cache::get_or_fill`].
    ///
    /// # Errors
    ///
    /// As for [`Cache::get_or_fill`].
    ///
    /// # Cancel safety
    ///
    /// As for [`Cache::get_or_fill`].
    pub async fn get_or_fill<F, Fut, A, D>(
        &self,
        query: impl Into<Query>,
        compute: F,
    ) -> Result<Served, SharedError>
    where
        F: FnOnce(Miss) -> Fut,
        Fut: Future<Output = Result<(A, D), BoxError>>,
        A: Into<Answer>,
        D: Into<Vec<Dependency>>,
    {
        self.cache.get_or_fill(self.query(query), compute).await
    }

    /// As [`Cache::put`].
    ///
    /// # Errors
    ///
    /// As for [`Cache::put`].
    ///
    /// # Cancel safety
    ///
    /// As for [`Cache::put`].
    pub async fn put(
        &self,
        query: impl Into<Query> + Send,
        answer: impl Into<Answer> + Send,
        dependencies: impl Into<Vec<Dependency>> + Send,
        since: Option<&Since>,
    ) -> Result<FillOutcome> {
        self.cache.put(self.query(query), answer, dependencies, since).await
    }

    /// As [`Cache::invalidate`].
    ///
    /// # Errors
    ///
    /// As for [`Cache::invalidate`].
    ///
    /// # Cancel safety
    ///
    /// As for [`Cache::invalidate`].
    pub async fn invalidate(&self, changes: &[Change]) -> Result<Invalidation> {
        self.cache.invalidate(&self.corpus, changes).await
    }

    /// Ends every answer that depends on `document`: [`invalidate`](Self::invalidate) for one change of
    /// which no version is known.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// // The document of this name in another corpus is another document.
    /// assert_eq!(cache.corpus("acme")?.invalidate_document("passwords.md").await?.dropped(), 0);
    /// assert_eq!(cache.corpus("default")?.invalidate_document("passwords.md").await?.dropped(), 1);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`Cache::invalidate`].
    ///
    /// # Cancel safety
    ///
    /// As for [`Cache::invalidate`].
    pub async fn invalidate_document(&self, document: &str) -> Result<Invalidation> {
        self.invalidate(&[Change::document(document)]).await
    }

    /// As [`Cache::begin_update`].
    ///
    /// # Errors
    ///
    /// As for [`Cache::begin_update`].
    ///
    /// # Cancel safety
    ///
    /// As for [`Cache::begin_update`].
    pub async fn begin_update(&self, document: &str) -> Result<()> {
        self.cache.begin_update(&self.corpus, document).await
    }

    /// As [`Cache::end_update`].
    ///
    /// # Errors
    ///
    /// As for [`Cache::end_update`].
    ///
    /// # Cancel safety
    ///
    /// As for [`Cache::end_update`].
    pub async fn end_update(&self, document: &str, version: Option<DocumentVersion>) -> Result<Invalidation> {
        self.cache.end_update(&self.corpus, document, version).await
    }

    /// As [`Cache::impact`].
    ///
    /// # Errors
    ///
    /// As for [`Cache::impact`].
    ///
    /// # Cancel safety
    ///
    /// As for [`Cache::impact`].
    pub async fn impact(&self, change: &Change) -> Result<Vec<StoredEntry>> {
        self.cache.impact(&self.corpus, change).await
    }

    fn query(&self, query: impl Into<Query>) -> Query {
        query.into().corpus(self.corpus.clone())
    }
}
