//! Looking several questions up at once.
//!
//! ```text
//! all exact, at the same time ──> misses embedded together ──> each by meaning, at the same time
//! ```
//!
//! Unlike a single question, a batch is not embedded beside its exact lookups: which of its questions need an
//! embedding is known only afterwards, and one call of the model for all of them costs less than one for each.
//!
//! A batch never waits for a flight: a question that comes twice would wait for itself. So it leads where no
//! one does; elsewhere its miss has a permit that is not the leader's.

use std::time::Instant;

use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt as _};

use crate::cache::lookup::{Exact, Lookup, Missed, Searched};
use crate::cache::query::Prepared;
use crate::cache::{Cache, Inner, Query};
use crate::embed::Embedded;
use crate::embedding::Embedding;
use crate::error::Result;
use crate::flight::SharedError;

/// How many questions the embedder is given at a time, each time within its time limit.
const EMBEDDED_AT_ONCE: usize = 32;

impl Cache {
    /// Looks for an answer to each of `queries`, as [`lookup`](Self::lookup) does, all at the same time; the
    /// results have the order of the queries. Questions that are compared by meaning are embedded together,
    /// up to 32 in one call of the embedder.
    ///
    /// If a question comes twice, one of its misses is the leader.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Lookup, Query};
    ///
    /// let queries = ["How do I reset my password?", "Where is the key?"].map(Query::new);
    /// let found = cache.lookup_all(queries.into()).await;
    /// assert!(matches!(found[..], [Ok(Lookup::Hit(_)), Ok(Lookup::Miss(_))]));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// As for `lookup`, each for its own question.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn lookup_all(&self, queries: Vec<Query>) -> Vec<Result<Lookup>> {
        let started = Instant::now();
        let searched = self.search_all(queries, started).await;
        searched.into_iter().map(|searched| Ok(self.searched(searched?, started))).collect()
    }

    /// The same, and waits for others who ask the same as [`lookup_or_wait`](Self::lookup_or_wait) does, unless
    /// one of the misses is a leader. A caller that has to make an answer makes it at once: it cannot wait
    /// for itself if a question comes twice, nor can two callers wait for each other if each leads a question
    /// that the other one asks, too. Questions that were not waited for are misses that are no leaders.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Lookup, Query};
    ///
    /// let queries = ["Where is the key?", "Where is the key?"].map(Query::new);
    /// let found = cache.lookup_all_or_wait(queries.into()).await;
    /// let leads = |found: &_| matches!(found, Ok(Lookup::Miss(permit)) if permit.is_leader());
    /// assert!(leads(&found[0]) && !leads(&found[1]));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// As for `lookup_all`, and the error of another caller's closure that was making the same answer.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn lookup_all_or_wait(&self, queries: Vec<Query>) -> Vec<Result<Lookup, SharedError>> {
        let started = Instant::now();
        let searched = self.search_all(queries.clone(), started).await;
        let is_awaited =
            |searched: &Result<Searched>| matches!(searched, Ok(Searched::Open(open)) if open.is_awaited());
        let leads = searched.iter().any(is_awaited);
        let mut found = Vec::with_capacity(queries.len());
        let mut open = Vec::new();
        for (searched, query) in searched.into_iter().zip(queries) {
            found.push(match searched {
                // What is held here, others may be waiting for.
                Ok(Searched::Open(_)) if !leads => {
                    open.push((found.len(), query));
                    None
                }
                Ok(searched) => Some(Ok(self.searched(searched, started))),
                Err(error) => Some(Err(SharedError::new(error.into()))),
            });
        }
        let (places, open): (Vec<usize>, Vec<Query>) = open.into_iter().unzip();
        for (place, waited) in places.into_iter().zip(self.wait_for_all(open).await) {
            found[place] = Some(waited);
        }
        found.into_iter().flatten().collect()
    }

    /// Waits for others who ask the same, until everything is found or one question is to be answered here.
    async fn wait_for_all(&self, queries: Vec<Query>) -> Vec<Result<Lookup, SharedError>> {
        let mut found: Vec<_> = queries.iter().map(|_| None).collect();
        let mut waiting: FuturesUnordered<_> = queries
            .iter()
            .enumerate()
            .map(async |(n, query)| (n, self.lookup_or_wait(query.clone()).await))
            .collect();
        while let Some((n, waited)) = waiting.next().await {
            let leads = matches!(&waited, Ok(Lookup::Miss(permit)) if permit.is_awaited());
            found[n] = Some(waited);
            if leads {
                break;
            }
        }
        drop(waiting);
        let open = queries.into_iter().zip(&found).filter(|(_, found)| found.is_none());
        let looked_up = self.lookup_all(open.map(|(query, _)| query).collect()).await;
        let mut looked_up = looked_up.into_iter().map(|found| found.map_err(|e| SharedError::new(e.into())));
        found.into_iter().filter_map(|found| found.or_else(|| looked_up.next())).collect()
    }

    /// Looks for each of `queries`; questions that are compared by meaning are embedded together.
    async fn search_all(&self, queries: Vec<Query>, started: Instant) -> Vec<Result<Searched>> {
        let prepared: Vec<Result<Prepared>> = queries
            .into_iter()
            .map(|query| {
                let prepared = Prepared::new(query, &self.inner)?;
                Ok(Prepared { in_batch: true, ..prepared })
            })
            .collect();
        let exact = join_all(prepared.into_iter().map(async |prepared| {
            let prepared = prepared?;
            if let Some(reason) = prepared.mode.bypass() {
                return Ok((prepared, Err(self.inner.bypass(reason))));
            }
            let exact = self.exact(&prepared, started).await;
            Ok((prepared, exact))
        }));
        let mut found: Vec<Result<_>> = exact.await;
        let mut open: Vec<(&Prepared, &mut Missed)> = found
            .iter_mut()
            .filter_map(|found| match found {
                Ok((prepared, Ok(Exact::Miss(missed)))) => Some((&*prepared, missed)),
                _ => None,
            })
            .collect();
        let questions: Vec<&Prepared> = open.iter().map(|(prepared, _)| *prepared).collect();
        let embeddings = self.inner.embed_together(&questions).await;
        for ((_, missed), embedding) in open.iter_mut().zip(embeddings) {
            missed.embedding = embedding;
        }
        join_all(found.into_iter().map(async |found| {
            let (prepared, exact) = found?;
            Ok(match exact {
                Ok(Exact::Hit(hit)) => Searched::Done(Lookup::Hit(hit)),
                Ok(Exact::Miss(missed)) => self.search(prepared, missed, started).await,
                Err(reason) => Searched::Done(Lookup::Bypass(reason)),
            })
        }))
        .await
    }
}

impl Cache {
    /// Returns `queries`, with embeddings for those that are compared by meaning, made together. A query that
    /// has none after this is embedded, and fails, by itself.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::Query;
    ///
    /// let queries = ["Where is the key?", "When does the office open?"].map(Query::new);
    /// for query in cache.embed_all(queries.into()).await {
    ///     // Does not embed the question again.
    ///     cache.lookup(query).await?;
    /// }
    /// # Ok(()) });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn embed_all(&self, mut queries: Vec<Query>) -> Vec<Query> {
        let prepared: Vec<_> =
            queries.iter().map(|query| Prepared::new(query.clone(), &self.inner).ok()).collect();
        let sound: Vec<&Prepared> = prepared.iter().flatten().collect();
        let mut embeddings = self.inner.embed_together(&sound).await.into_iter();
        for (query, _) in queries.iter_mut().zip(&prepared).filter(|(_, prepared)| prepared.is_some()) {
            if let Some(embedding) = embeddings.next().flatten() {
                *query = query.clone().embedding(embedding.as_slice());
            }
        }
        queries
    }
}

impl Inner {
    /// The embeddings of questions, made in batches; none for a question that needs none or gets none.
    async fn embed_together(&self, questions: &[&Prepared]) -> Vec<Option<Embedding>> {
        let mut embeddings = vec![None; questions.len()];
        let wanted: Vec<usize> = (0..questions.len())
            .filter(|&n| {
                let text = &questions[n].key.text;
                let is_compared = questions[n].is_embedded() && questions[n].given.is_none();
                is_compared && self.unknown_script(text).is_none() && self.memo.get(text).is_none()
            })
            .collect();
        // A single question is embedded when it is looked up.
        for wanted in wanted.chunks(EMBEDDED_AT_ONCE).filter(|wanted| wanted.len() > 1) {
            let texts: Vec<String> = wanted.iter().map(|&n| questions[n].key.text.to_string()).collect();
            let started = Instant::now();
            let embedded =
                tokio::time::timeout(self.settings.embed_timeout, self.embedder.embed(&texts)).await;
            self.metrics.lookup.embed.record(started.elapsed());
            let Ok(Ok(embedded)) = embedded else { continue };
            let dimensions = self.embedder.model().dimensions;
            let is_wrong = |embedded: &Embedded| matches!(embedded, Embedded::Vector(vector) if vector.dimensions() != dimensions);
            if embedded.len() != wanted.len() || embedded.iter().any(is_wrong) {
                continue;
            }
            for (&n, embedded) in wanted.iter().zip(embedded) {
                self.memo.insert(&questions[n].key.text, &embedded);
                embeddings[n] = embedded.into_vector();
            }
        }
        embeddings
    }
}
