//! From an answer to an entry.

use std::sync::Arc;
use std::time::Instant;

use tracing::Instrument as _;

use crate::cache::Cache;
use crate::cache::claim::ClaimGuard;
use crate::cache::confirmations::Offer;
use crate::cache::principal::Visibility;
use crate::cache::query::Prepared;
use crate::embedding::Embedding;
use crate::entry::{Answer, Dependency, Entry};
use crate::error::{Error, ErrorKind};
use crate::flight::{FlightOutcome, Leader};
use crate::journal::Event;
use crate::key::EntryId;
use crate::policy::DeclinedReason;
use crate::store::{Filled, ReadVersion, RefusedReason};

/// The permission to store the answer to one question, and the only way to do it.
///
/// It carries the state of the invalidation clock from before anything was retrieved: if a document that the
/// answer depends on has changed since then, the answer is not stored. Dropping the permit lets someone else
/// make the answer.
#[derive(Debug)]
#[must_use = "without a fill, the next caller makes the answer again"]
pub struct FillPermit {
    pub(super) cache: Cache,
    pub(super) prepared: Prepared,
    pub(super) read_versions: ReadVersions,
    embedding: Option<Embedding>,
    leader: Option<Leader>,
    claim: Option<ClaimGuard>,
    started: Instant,
}

/// The state of the invalidation clock before anything was retrieved, for each place where an answer may be
/// stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadVersions {
    pub(super) own: ReadVersion,
    /// For everybody, if the principal's answer is kept apart.
    pub(super) shared: Option<ReadVersion>,
}

impl From<ReadVersion> for ReadVersions {
    fn from(own: ReadVersion) -> Self {
        Self { own, shared: None }
    }
}

/// An answer that is being made.
#[derive(Debug, Clone)]
pub struct PendingFill {
    cache: Cache,
    read_version: ReadVersion,
    /// The entry as it will be stored, except for the answer.
    entry: Arc<Entry>,
}

impl PendingFill {
    /// Whether the answer may be given to a caller that asks now: it could be stored if it were complete. If
    /// the store cannot answer, it may not.
    ///
    /// ```
    /// # wellspring_test_support::example::with_permit(async |cache, permit| {
    /// use wellspring::Dependency;
    ///
    /// let begun = permit.pending_fill([Dependency::document("keys.md")]).ok_or("it will not be stored")?;
    /// assert!(begun.is_fresh().await);
    /// cache.invalidate_document("keys.md").await?;
    /// assert!(!begun.is_fresh().await);
    /// # Ok(()) });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn is_fresh(&self) -> bool {
        self.cache.inner.store.would_take(self.read_version, &self.entry).await.unwrap_or(false)
    }
}

/// What happened to an answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum FillOutcome {
    /// It is stored under this id.
    Stored(EntryId),
    /// It will be stored in the background.
    Queued(EntryId),
    /// It is not stored, because it may be older than one of its documents.
    Refused(RefusedReason),
    /// It is not stored, because it is not worth storing.
    Declined(DeclinedReason),
    /// It is not stored, because its dependencies are not valid or the store failed.
    Failed(Error),
}

impl Cache {
    /// Counts and records that an answer is not stored.
    pub(super) fn refused(&self, prepared: &Prepared, reason: RefusedReason) -> RefusedReason {
        let inner = &self.inner;
        inner.metrics.fill.refused.increment(&reason);
        let refused = Event::Refused { entry: prepared.key.exact, reason };
        inner.journal.record(inner.clock.now(), &prepared.key.corpus, std::iter::once(refused));
        reason
    }
}

impl FillPermit {
    pub(super) fn new(
        cache: Cache,
        prepared: Prepared,
        read_versions: ReadVersions,
        embedding: Option<Embedding>,
        leader: Option<Leader>,
        claim: Option<ClaimGuard>,
    ) -> Self {
        Self { cache, prepared, read_versions, embedding, leader, claim, started: Instant::now() }
    }

    /// The question, normalised.
    ///
    /// ```
    /// # wellspring_test_support::example::with_permit(async |_, permit| {
    /// assert_eq!(permit.question(), "Where is the key?");
    /// # Ok(()) });
    /// ```
    pub fn question(&self) -> &str {
        self.prepared.question()
    }

    /// The id that the answer will be stored under.
    ///
    /// ```
    /// # wellspring_test_support::example::with_permit(async |_, permit| {
    /// use wellspring::{Dependency, FillOutcome};
    ///
    /// let id = permit.entry_id();
    /// let outcome = permit.fill("With the porter.", [Dependency::document("keys.md")]).await;
    /// assert!(matches!(outcome, FillOutcome::Stored(stored) if stored == id));
    /// # Ok(()) });
    /// ```
    pub fn entry_id(&self) -> EntryId {
        self.prepared.key.exact
    }

    /// The question's embedding, for retrieval; none if the question is too long for the model, or was only
    /// looked up exactly.
    ///
    /// ```
    /// # fn retrieve(_: Option<&wellspring::Embedding>) -> Vec<String> { Vec::new() }
    /// # wellspring_test_support::example::with_permit(async |_, permit| {
    /// let documents = retrieve(permit.embedding());
    /// # Ok(()) });
    /// ```
    pub fn embedding(&self) -> Option<&Embedding> {
        self.embedding.as_ref()
    }

    /// Whether no one else is known to be making this answer.
    ///
    /// ```
    /// # wellspring_test_support::example::with_permit(async |_, permit| {
    /// assert!(permit.is_leader());
    /// # Ok(()) });
    /// ```
    pub fn is_leader(&self) -> bool {
        self.leader.is_some()
    }

    /// Whether others who ask the same wait for this permit to be used or dropped.
    pub(super) fn is_awaited(&self) -> bool {
        !self.prepared.lacks_tenant && (self.leader.is_some() || self.claim.is_some())
    }

    /// A handle that checks, while the answer is being made from `dependencies`, whether it may be given to a
    /// caller that asks now. None if the answer will not be stored, and so cannot be given to anyone else.
    ///
    /// ```
    /// # wellspring_test_support::example::with_permit(async |_, permit| {
    /// use wellspring::Dependency;
    ///
    /// // While the answer is being made, someone else asks the same question:
    /// let begun = permit.pending_fill([Dependency::document("keys.md")]).ok_or("it will not be stored")?;
    /// assert!(begun.is_fresh().await, "they may be given what is there so far");
    /// # Ok(()) });
    /// ```
    pub fn pending_fill(&self, dependencies: impl Into<Vec<Dependency>>) -> Option<PendingFill> {
        let entry = self.entry(Answer::new("not made yet"), dependencies.into()).ok()?;
        Some(PendingFill { cache: self.cache.clone(), read_version: self.read_versions.own, entry })
    }

    /// Stores `answer`, which was derived from `dependencies`.
    ///
    /// ```
    /// # wellspring_test_support::example::with_permit(async |cache, permit| {
    /// use wellspring::{Dependency, FillOutcome, Lookup};
    ///
    /// let outcome = permit.fill("With the porter.", [Dependency::document("keys.md")]).await;
    /// assert!(matches!(outcome, FillOutcome::Stored(_)));
    /// assert!(matches!(cache.lookup("Where is the key?").await?, Lookup::Hit(_)));
    /// # Ok(()) });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// If dropped after it was first polled, the answer is stored anyway.
    pub async fn fill(
        mut self,
        answer: impl Into<Answer>,
        dependencies: impl Into<Vec<Dependency>>,
    ) -> FillOutcome {
        let entry = match self.entry(answer.into(), dependencies.into()) {
            Ok(entry) => entry,
            Err(reason) => {
                self.cache.inner.metrics.fill.declined.increment(&reason);
                self.complete(FlightOutcome::Unshared);
                return FillOutcome::Declined(reason);
            }
        };
        let inner = Arc::clone(&self.cache.inner);
        // Counts as a task before it is checked whether the cache is closing, so that a close in between
        // waits for what is spawned below.
        let _waited_for = inner.tasks.token();
        // A full queue is no error: this caller then waits for the store itself.
        let queue = inner.write_behind.clone().filter(|_| !inner.shutdown.is_cancelled());
        let place = queue.and_then(|queue| queue.try_acquire_owned().ok());
        let id = entry.id;
        let is_queued = place.is_some();
        // In a task of its own: an answer that reached the store must also reach the index and the callers
        // that wait for it, even if this caller goes away. Closing the cache waits for the task.
        let storing = async move {
            let outcome = self.store(entry).await;
            drop(place);
            outcome
        };
        let storing = inner.tasks.spawn(storing.instrument(tracing::debug_span!("fill")));
        if is_queued {
            return FillOutcome::Queued(id);
        }
        storing.await.unwrap_or_else(|broken| {
            FillOutcome::Failed(
                Error::new(ErrorKind::Store, "storing an answer failed unexpectedly").with_source(broken),
            )
        })
    }

    /// Gives the permit back without an answer. Callers that wait for it each make their own answer, all at
    /// once; if the permit were dropped, they would try one after another.
    ///
    /// ```
    /// # wellspring_test_support::example::with_permit(async |cache, permit| {
    /// use wellspring::Lookup;
    ///
    /// // The LLM is not there.
    /// permit.decline();
    /// assert!(matches!(cache.lookup("Where is the key?").await?, Lookup::Miss(_)));
    /// # Ok(()) });
    /// ```
    pub fn decline(mut self) {
        self.complete(FlightOutcome::Unshared);
    }

    /// Passes the error of a closure that made no answer to those who waited for it.
    pub(super) fn fail(mut self, error: crate::SharedError) {
        self.complete(FlightOutcome::Failed(error));
    }

    async fn store(mut self, entry: Arc<Entry>) -> FillOutcome {
        let inner = Arc::clone(&self.cache.inner);
        let metrics = &inner.metrics.fill;
        let started = Instant::now();
        let filled = inner.store.fill(self.read_versions.own, Arc::clone(&entry)).await;
        metrics.fill.record(started.elapsed());
        match filled {
            Ok(Filled::Stored) => {
                // Findable by meaning before anyone hears that it is stored: the next question may be in
                // other words.
                inner.index(&entry).await;
                metrics.stored.increment();
                self.complete(FlightOutcome::Stored);
                // After the flight: this takes round trips, and those who wait need not wait for them.
                self.offer(&entry).await;
                FillOutcome::Stored(entry.id)
            }
            Ok(Filled::Refused(reason)) => {
                self.cache.refused(&self.prepared, reason);
                self.complete(FlightOutcome::Refused);
                FillOutcome::Refused(reason)
            }
            Err(error) => {
                tracing::warn!(%error, "an answer is not stored");
                metrics.failed.increment();
                self.complete(FlightOutcome::Unshared);
                FillOutcome::Failed(error)
            }
        }
    }

    /// Lets others be served this principal's answer, if enough principals have the same one.
    async fn offer(&self, entry: &Arc<Entry>) {
        let Prepared { shared, visibility, .. } = &self.prepared;
        if let (Some(shared), Some(read_version)) = (shared, self.read_versions.shared)
            && *visibility != Visibility::Own
        {
            let (shared, visibility, entry) = (shared.clone(), *visibility, Arc::clone(entry));
            self.cache.offer(Offer { shared, visibility, read_version, entry }).await;
        }
    }

    fn entry(
        &self,
        mut answer: Answer,
        mut dependencies: Vec<Dependency>,
    ) -> Result<Arc<Entry>, DeclinedReason> {
        let inner = &self.cache.inner;
        if self.prepared.lacks_tenant {
            return Err(DeclinedReason::PrivateWithoutTenant);
        }
        if self.prepared.visibility == Visibility::NoOne {
            return Err(DeclinedReason::UnknownPrincipal);
        }
        let ttls = inner.runtime.ttls();
        let is_for_same_question = self.prepared.visibility == Visibility::SameQuestion;
        if is_for_same_question && let Some(ttl) = answer.ttl.take() {
            answer.ttl = Some(ttl.min(ttls.base(&answer)));
        }
        if let Some(reason) = inner.admission.decline(&answer, &ttls) {
            return Err(reason);
        }
        let namespace = self.prepared.namespace.clone().map(Dependency::Namespace);
        // A refreshed answer already has it.
        dependencies.extend(namespace.filter(|namespace| !dependencies.contains(namespace)));
        let dependencies = dependencies.into_iter().map(Dependency::composed).collect();
        let created_at = inner.clock.now();
        let ttl = ttls.jittered(&answer, inner.random());
        let key = &self.prepared.key;
        Ok(Arc::new(Entry {
            id: key.exact,
            corpus: key.corpus.clone(),
            scope: key.scope,
            tenant: self.prepared.tenant,
            question: Arc::clone(&key.text),
            // An entry without an embedding is found only by the question itself.
            embedding: self
                .embedding
                .clone()
                .filter(|_| !is_for_same_question || self.prepared.shared.is_some()),
            answer,
            dependencies,
            created_at,
            expires_at: created_at.saturating_add(ttl),
            recompute: self.started.elapsed(),
        }))
    }

    fn complete(&mut self, outcome: FlightOutcome) {
        // Other processes first: ending a claim does not wait.
        match (&outcome, self.claim.take()) {
            (FlightOutcome::Refused | FlightOutcome::Unshared, Some(claim)) => claim.unshared(),
            (_, claim) => drop(claim),
        }
        if let Some(leader) = self.leader.take() {
            leader.complete(outcome);
        }
    }
}
