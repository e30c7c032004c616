//! From a question to a hit, a permit to fill, or the reason to bypass the cache.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use serde::Serialize;

use crate::cache::claim::ClaimStatus;
use crate::cache::fill::{FillPermit, ReadVersions};
use crate::cache::query::{Mode, Prepared, Shared};
use crate::cache::{Cache, Inner, Query};
use crate::embedding::Embedding;
use crate::entry::{Answer, Dependency, Entry};
use crate::error::{Error, ErrorKind, Result};
use crate::flight::Leader;
use crate::key::EntryId;
use crate::store::{DeadReason, Fetched, Found, ReadVersion};

/// What a lookup found.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a permit is used where it comes from")]
#[non_exhaustive]
pub enum Lookup {
    /// An answer that is as new as its documents.
    Hit(Hit),
    /// No answer, and the permission to store one.
    Miss(FillPermit),
    /// The cache is not used for this question: make the answer, and do not store it.
    Bypass(BypassReason),
}

/// Why the cache was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BypassReason {
    /// The query asked for it.
    NoStore,
    /// The question is a follow-up to another one, and its conversation is not known.
    FollowUp,
    /// The store failed.
    Store,
    /// The store cannot be reached, or is left alone for a moment because it did not answer lately.
    StoreUnavailable,
    /// The store did not answer in time.
    StoreTimeout,
    /// An invalidation that concerns the question is not complete yet.
    InvalidationPending,
    /// The embedder failed or took too long. Exact hits are still served.
    Embedder,
    /// The question cannot be looked up. Only [`Cache::get_or_fill`] bypasses the cache for this; other
    /// methods return the error.
    InvalidQuery,
    /// The verifier failed on a candidate. The answer is made, not guessed.
    Verifier,
}

/// How an answer was found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "tier", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Tier {
    /// The same question was answered before.
    Exact,
    /// A question of the same meaning was answered before.
    Semantic {
        /// Cosine similarity of the two questions, in `-1.0..=1.0`.
        similarity: f32,
        /// How likely the answer is right, in `0.0..=1.0`: a calibrated probability if a false-hit rate was
        /// asked for, otherwise the verifier's own value.
        confidence: f32,
    },
}

/// An answer from the cache.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Hit {
    /// How it was found.
    pub tier: Tier,
    /// How long ago it was stored.
    pub age: Duration,
    /// The question asked, normalised.
    pub question: Arc<str>,
    /// The entry: answer, the question that it answered, dependencies.
    pub entry: Arc<Entry>,
}

impl Hit {
    /// The answer.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::Lookup;
    ///
    /// let Lookup::Hit(hit) = cache.lookup("How do I reset my password?").await? else { panic!("no hit") };
    /// assert_eq!(&*hit.answer().text, "In the settings.");
    /// # Ok(()) });
    /// ```
    pub fn answer(&self) -> &Answer {
        &self.entry.answer
    }

    /// What the answer was derived from.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Dependency, Lookup};
    ///
    /// let Lookup::Hit(hit) = cache.lookup("How do I reset my password?").await? else { panic!("no hit") };
    /// assert_eq!(hit.dependencies()[0], Dependency::document("passwords.md"));
    /// # Ok(()) });
    /// ```
    pub fn dependencies(&self) -> &[Dependency] {
        &self.entry.dependencies
    }
}

impl Cache {
    /// Looks for an answer to `query`.
    ///
    /// Does not wait for others who ask the same; [`get_or_fill`](Self::get_or_fill) does. Call it *before*
    /// anything is retrieved for the answer: the permit of a miss remembers the state of the documents.
    ///
    /// ```
    /// # async fn ask_llm(_: &str) -> Result<String, std::io::Error> { Ok("With the porter.".into()) }
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Dependency, Lookup};
    ///
    /// let answer = match cache.lookup("Where is the key?").await? {
    ///     Lookup::Hit(hit) => hit.answer().text.to_string(),
    ///     Lookup::Miss(permit) => {
    ///         let answer = ask_llm(permit.question()).await?;
    ///         permit.fill(&*answer, [Dependency::document("keys.md")]).await;
    ///         answer
    ///     }
    ///     // Make the answer, and do not store it.
    ///     _ => ask_llm("Where is the key?").await?,
    /// };
    /// assert_eq!(answer, "With the porter.");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a question, scope, embedding or threshold that is not valid. Failures of the
    /// store or the embedder are a [`Lookup::Bypass`].
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn lookup(&self, query: impl Into<Query>) -> Result<Lookup> {
        let started = Instant::now();
        let prepared = Prepared::new(query.into(), &self.inner)?;
        if let Some(reason) = prepared.mode.bypass() {
            return Ok(Lookup::Bypass(self.inner.bypass(reason)));
        }
        Ok(match self.exact(&prepared, started).await {
            Ok(Exact::Hit(hit)) => Lookup::Hit(hit),
            Ok(Exact::Miss(missed)) => self.beyond_exact(prepared, missed, started).await,
            Err(reason) => Lookup::Bypass(reason),
        })
    }

    /// Continues after an exact miss.
    pub(super) async fn beyond_exact(&self, prepared: Prepared, missed: Missed, started: Instant) -> Lookup {
        let searched = self.search(prepared, missed, started).await;
        self.searched(searched, started)
    }

    /// What a search found; a miss gets its permit.
    pub(super) fn searched(&self, searched: Searched, started: Instant) -> Lookup {
        match searched {
            Searched::Done(found) => found,
            Searched::Open(Open { prepared, read_versions, embedding, leader, claim_status }) => {
                Lookup::Miss(self.permit(prepared, read_versions, embedding, leader, claim_status, started))
            }
        }
    }

    /// Searches by meaning after an exact miss, and leads if no one does.
    pub(super) async fn search(&self, prepared: Prepared, missed: Missed, started: Instant) -> Searched {
        // Before the search, which takes longest: callers who wait for flights and ask meanwhile join this
        // one. Only tried, because a lookup promises not to wait for anyone.
        let leader =
            if prepared.is_storable() { self.inner.flights.try_lead(prepared.flight_key()) } else { None };
        let Missed { read_versions, claim_status, embedding } = missed;
        match self.semantic(&prepared, embedding, started).await {
            Ok(Semantic::Hit(hit)) => {
                // Those who joined meanwhile look for the same hit.
                drop(leader);
                Searched::Done(Lookup::Hit(hit))
            }
            Ok(Semantic::Miss(embedding)) => {
                // A miss that is not the first in this process is not the first of all.
                let claim_status = if leader.is_some() { claim_status } else { ClaimStatus::Theirs };
                Searched::Open(Open { prepared, read_versions, embedding, leader, claim_status })
            }
            Err(reason) => Searched::Done(Lookup::Bypass(reason)),
        }
    }

    /// The entry that holds the answer to exactly `query`, if there is one.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Lookup, Query};
    ///
    /// let id = cache.entry_id(&Query::new("How do I reset my password?"))?;
    /// let Lookup::Hit(hit) = cache.lookup("How do I reset my password?").await? else { panic!("no hit") };
    /// assert_eq!(hit.entry.id, id);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` as for [`lookup`](Self::lookup).
    pub fn entry_id(&self, query: &Query) -> Result<EntryId> {
        Prepared::new(query.clone(), &self.inner).map(|prepared| prepared.key.exact)
    }

    pub(super) fn permit(
        &self,
        prepared: Prepared,
        read_versions: ReadVersions,
        embedding: Option<Embedding>,
        leader: Option<Leader>,
        claim_status: ClaimStatus,
        started: Instant,
    ) -> FillPermit {
        self.inner.metrics.lookup.misses.increment();
        self.inner.metrics.lookup.miss.record(started.elapsed());
        // For those who wait in this process, it does not matter which process holds the claim.
        FillPermit::new(self.clone(), prepared, read_versions, embedding, leader, claim_status.into_guard())
    }

    /// Looks for the same question, among everybody's answers first.
    pub(super) async fn exact(&self, prepared: &Prepared, started: Instant) -> Result<Exact, BypassReason> {
        let inner = &self.inner;
        let mut shared = None;
        if let Some(Shared { key, .. }) = &prepared.shared {
            let Fetched { found, read_version } = inner.fetch(prepared, key.exact).await?;
            if let Some(hit) = self.exact_hit(prepared, found, read_version, started) {
                return Ok(Exact::Hit(hit));
            }
            // Also for a miss: an answer that is made now may later be stored for everybody, in another place
            // whose clock must have been read before anything is retrieved.
            shared = Some(read_version);
        }
        let (Fetched { found, read_version }, claim_status, embedding) = inner.fetch_first(prepared).await?;
        Ok(match self.exact_hit(prepared, found, read_version, started) {
            Some(hit) => Exact::Hit(hit),
            None => Exact::Miss(Missed {
                read_versions: ReadVersions { own: read_version, shared },
                claim_status,
                embedding,
            }),
        })
    }

    fn exact_hit(
        &self,
        prepared: &Prepared,
        found: Found,
        read_version: ReadVersion,
        started: Instant,
    ) -> Option<Hit> {
        let Found::Live(entry) = found else { return None };
        // The id is a hash; the questions themselves are compared.
        if prepared.mode == Mode::Renew || entry.question != prepared.key.text {
            return None;
        }
        let hit = self.hit(prepared, entry, Tier::Exact, read_version);
        self.inner.metrics.lookup.exact_hits.increment();
        self.inner.metrics.lookup.exact_hit.record(started.elapsed());
        Some(hit)
    }

    /// Looks for another question of the same meaning.
    pub(super) async fn semantic(
        &self,
        prepared: &Prepared,
        embedding: Option<Embedding>,
        started: Instant,
    ) -> Result<Semantic, BypassReason> {
        let inner = &self.inner;
        if !prepared.is_embedded() && prepared.given.is_none() {
            return Ok(Semantic::Miss(None));
        }
        let embedding = match embedding {
            None => inner.embedding(prepared).await?,
            embedding => embedding,
        };
        let Some(embedding) = embedding else {
            if let Some(script) = inner.unknown_script(&prepared.key.text) {
                inner.metrics.lookup.unknown_scripts.increment(&script);
            }
            return Ok(Semantic::Miss(None));
        };
        if prepared.mode != Mode::All {
            return Ok(Semantic::Miss(Some(embedding)));
        }
        for prepared in prepared.of_everybody().iter().chain([prepared]) {
            let mut unlikely = Vec::new();
            if let Some(near) = inner.accepted(prepared, &embedding, &mut unlikely).await? {
                self.maybe_judge_hit(prepared, &near);
                let tier = Tier::Semantic { similarity: near.similarity, confidence: near.confidence };
                let hit = self.hit(prepared, near.entry, tier, near.read_version);
                inner.metrics.lookup.semantic_hits.increment();
                inner.metrics.lookup.semantic_hit.record(started.elapsed());
                return Ok(Semantic::Hit(hit));
            }
            self.maybe_judge_miss(prepared, &embedding, unlikely);
        }
        Ok(Semantic::Miss(Some(embedding)))
    }

    /// Serves `entry`, which the store just found live at `read_version`.
    pub(super) fn hit(
        &self,
        prepared: &Prepared,
        entry: Arc<Entry>,
        tier: Tier,
        read_version: ReadVersion,
    ) -> Hit {
        let inner = &self.inner;
        inner.store.record_hit(&entry.corpus, entry.id);
        if let Tier::Semantic { similarity, .. } = tier {
            inner.metrics.lookup.similarities.increment(similarity);
        }
        if let Some(usage) = entry.answer.usage {
            inner.metrics.lookup.prompt_tokens_saved.add(usage.prompt_tokens);
            inner.metrics.lookup.completion_tokens_saved.add(usage.completion_tokens);
            inner.metrics.lookup.cost_saved_microusd.add(usage.cost_microusd);
        }
        self.maybe_refresh(&entry, read_version);
        let age = inner.clock.now().saturating_since(entry.created_at);
        Hit { tier, age, question: Arc::clone(&prepared.key.text), entry }
    }
}

/// What the exact tier found.
pub(super) enum Exact {
    Hit(Hit),
    Miss(Missed),
}

/// What an exact miss passes on to the next steps.
pub(super) struct Missed {
    pub(super) read_versions: ReadVersions,
    pub(super) claim_status: ClaimStatus,
    /// Set if it was made during the lookup.
    pub(super) embedding: Option<Embedding>,
}

/// What a search found.
pub(super) enum Searched {
    Done(Lookup),
    Open(Open),
}

/// A miss that has no permit yet.
pub(super) struct Open {
    prepared: Prepared,
    read_versions: ReadVersions,
    embedding: Option<Embedding>,
    leader: Option<Leader>,
    claim_status: ClaimStatus,
}

impl Open {
    /// Whether others who ask the same would wait for whoever has this.
    pub(super) fn is_awaited(&self) -> bool {
        !self.prepared.lacks_tenant
            && self.leader.is_some()
            && !matches!(self.claim_status, ClaimStatus::Theirs)
    }
}

/// What the semantic tier found; a miss hands back the embedding, if the question has one.
pub(super) enum Semantic {
    Hit(Hit),
    Miss(Option<Embedding>),
}

impl Inner {
    /// Counts a bypass.
    pub(super) fn bypass(&self, reason: BypassReason) -> BypassReason {
        self.metrics.lookup.bypasses.increment(&reason);
        reason
    }

    pub(super) fn broken(&self, reason: BypassReason, error: &Error) -> BypassReason {
        tracing::warn!(?reason, %error, "the cache is bypassed");
        self.bypass(reason)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "validate")]
    pub(super) async fn fetch(&self, prepared: &Prepared, id: EntryId) -> Result<Fetched, BypassReason> {
        let started = Instant::now();
        let fetched = self.store.lookup(&prepared.key.corpus, id).await;
        self.metrics.lookup.store.record(started.elapsed());
        fetched.map_err(|error| self.broken_store(&error))
    }

    /// Fetches the answer to exactly this question, or claims to make it. If the fetch is a round trip and
    /// the embedder is idle, the question is embedded at the same time.
    #[tracing::instrument(level = "debug", skip_all, name = "exact")]
    async fn fetch_first(
        &self,
        prepared: &Prepared,
    ) -> Result<(Fetched, ClaimStatus, Option<Embedding>), BypassReason> {
        let started = Instant::now();
        let fetch = async {
            let (corpus, id) = (&prepared.key.corpus, prepared.key.exact);
            let found = if prepared.is_storable() {
                ClaimStatus::look_up(&self.store, corpus, id).await
            } else {
                self.store.lookup(corpus, id).await.map(|fetched| (fetched, ClaimStatus::Free))
            };
            self.metrics.lookup.store.record(started.elapsed());
            found.map_err(|error| self.broken_store(&error))
        };
        let is_embedded = prepared.is_embedded() && prepared.given.is_none() && !prepared.in_batch;
        if !(self.store.coordination().is_some() && is_embedded && self.embedder.is_idle()) {
            let (fetched, claim_status) = fetch.await?;
            return Ok((fetched, claim_status, None));
        }
        let (fetch, embed) = (pin!(fetch), pin!(self.embedding(prepared)));
        match select(fetch, embed).await {
            Either::Left((fetched, embed)) => {
                let (fetched, claim_status) = fetched?;
                // An exact hit needs no embedding; the one that is being made is abandoned.
                let is_hit = matches!(fetched.found, Found::Live(_)) && prepared.mode != Mode::Renew;
                Ok((fetched, claim_status, if is_hit { None } else { embed.await? }))
            }
            Either::Right((embedding, fetch)) => {
                // An exact hit is served even if the embedder is broken; after a miss, the embedder is asked
                // again.
                let (fetched, claim_status) = fetch.await?;
                Ok((fetched, claim_status, embedding.ok().flatten()))
            }
        }
    }

    /// Whether a candidate should be removed from the index. A store that one process owns reports its
    /// removals itself.
    pub(super) fn is_gone(&self, found: &Found) -> bool {
        match found {
            Found::Absent => true,
            Found::Dead(DeadReason::Held) | Found::Live(_) => false,
            Found::Dead(_) => self.store.coordination().is_some(),
        }
    }

    fn broken_store(&self, error: &Error) -> BypassReason {
        match error.kind() {
            // The store reports once that it is away; a warning for every lookup would be too much.
            ErrorKind::Unavailable => self.bypass(BypassReason::StoreUnavailable),
            ErrorKind::Incomplete => self.bypass(BypassReason::InvalidationPending),
            ErrorKind::Timeout => self.broken(BypassReason::StoreTimeout, error),
            _ => self.broken(BypassReason::Store, error),
        }
    }
}

impl Mode {
    /// Why the cache is not used, if it is not.
    pub(super) fn bypass(self) -> Option<BypassReason> {
        match self {
            Self::Nothing => Some(BypassReason::NoStore),
            Self::Detached => Some(BypassReason::FollowUp),
            Self::All | Self::ExactOnly | Self::Renew => None,
        }
    }
}

impl Prepared {
    /// Whether the question is compared by meaning, or will be compared once its answer is stored.
    pub(super) fn is_embedded(&self) -> bool {
        !self.is_exact && self.mode != Mode::ExactOnly
    }

    /// What two callers must have in common to ask the same: the question, and the required certainty.
    pub(super) fn flight_key(&self) -> crate::flight::FlightKey {
        (self.key.exact, self.match_policy.bits())
    }
}
