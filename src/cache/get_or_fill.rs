//! The whole cache in one call.
//!
//! ```text
//!  ┌── again: abandoned; or, 3 times at most, stored, refused, or a near entry that is gone ──┐
//!  v                                                                                           │
//! exact ── miss ──> join ── follows ──> wait ─┬─────────────────────────────────────────────────┘
//!  │                 │                        ├─ near, and still live ──> Serve
//!  │ live            │ leads                  ├─ failed ──> Fail
//!  v                 v                        └─ unshared, or waited too long ──> lead, without a flight
//! Serve             lead ── by meaning: near ──> Serve, and the followers fetch the same entry
//!                    │ miss
//!                    ├─ another process has the claim ──> exact, again and again ── live ──> Serve
//!                    v                                            │ it is free, or waited too long
//!                   Make (permit) <───────────────────────────────┘
//! ```
//!
//! A store, embedder or verifier that fails is a bypass wherever it is asked. After three answers that it did
//! not find, a follower goes on as one that waited too long.
//!
//! Why in this order:
//!
//! - *Exact before join*: most questions need no flight, and a miss has its read version, and maybe the
//!   claim, before anyone waits. But a flight may store its answer between the miss and the join. So the
//!   count of completions is read before the lookup, and a leader that finds another count looks again.
//! - *A follower gives up the claim of its miss before it waits*: the leader may have looked a moment
//!   later, and would otherwise wait for a claim under which no one works.
//! - *By meaning only with the lead*: then callers of one question share one embedding and one search.
//! - *The claim last, and only by a leader*: one caller of each process polls the store, the others wait for
//!   it in memory.
//! - *A follower is never handed an answer*, see [`flight`](crate::flight). It looks, and the clock decides.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::cache::claim::ClaimStatus;
use crate::cache::fill::ReadVersions;
use crate::cache::lookup::{BypassReason, Exact, Hit, Lookup, Missed, Semantic, Tier};
use crate::cache::query::{Mode, Prepared};
use crate::cache::{Cache, FillOutcome, FillPermit, Query, Since};
use crate::embedding::Embedding;
use crate::entry::{Answer, Dependency};
use crate::error::BoxError;
use crate::flight::{FlightOutcome, Leader, Role, SharedError};
use crate::key::EntryId;
use crate::store::Found;

/// How many times a caller waits for another one's answer and then does not find it, because it was refused
/// or is already gone, before it makes its own.
const MAX_COMPLETIONS: usize = 3;
/// How often a caller checks whether another process' answer is there.
const WAITS: Backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(100));

/// The input of a closure that makes an answer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Miss {
    /// The question, as the caller wrote it up to whitespace and Unicode composition.
    pub question: Arc<str>,
    /// Its embedding, so that retrieval need not compute it again. None if the question is too long for the
    /// model, was only looked up exactly, or the cache is bypassed.
    pub embedding: Option<Embedding>,
    /// When the question was looked up, for [`Cache::put`]; none if the cache is bypassed.
    pub since: Option<Since>,
}

/// An answer, wherever it came from.
#[derive(Debug)]
#[non_exhaustive]
pub struct Served {
    /// The answer.
    pub answer: Answer,
    /// Where it came from.
    pub origin: Origin,
}

/// Where an answer came from.
#[derive(Debug)]
#[non_exhaustive]
pub enum Origin {
    /// From the cache.
    Hit(Hit),
    /// From this caller's closure, with the outcome of storing it in the cache.
    Made(FillOutcome),
    /// From this caller's closure, without the cache.
    Bypassed(BypassReason),
}

impl Served {
    /// Whether the answer came from the cache.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::Dependency;
    ///
    /// let served = cache.get_or_fill("How do I reset my password?", async |_| {
    ///     Ok(("By post.", [Dependency::document("passwords.md")]))
    /// }).await?;
    /// assert!(served.is_hit(), "the stored answer was served");
    /// # Ok(()) });
    /// ```
    pub fn is_hit(&self) -> bool {
        matches!(self.origin, Origin::Hit(_))
    }
}

impl Cache {
    /// Answers `query` from the cache, or by `compute`; its answer is then stored.
    ///
    /// `compute` retrieves and asks the LLM; it returns the answer and everything that it was derived from.
    /// If several callers ask the same at the same time, one computes and the others wait; each calls its own
    /// `compute` at most once. Followers are never given an answer that was begun before a change which was
    /// reported before they asked: they look the answer up, and if it was refused they try again, at most
    /// three times before each makes its own.
    ///
    /// A broken cache never makes this fail: then `compute` is called, and the [`Origin`] says why.
    ///
    /// ```
    /// # async fn ask_llm(_: &str) -> Result<String, std::io::Error> { Ok("With the porter.".into()) }
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::Dependency;
    ///
    /// let served = cache.get_or_fill("Where is the key?", async |miss| {
    ///     let answer = ask_llm(&miss.question).await?;
    ///     Ok((answer, [Dependency::document("keys.md")]))
    /// }).await?;
    /// assert_eq!(&*served.answer.text, "With the porter.");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// The error of `compute`, shared with those who waited for it. Nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// If a caller that computes is dropped, one of those who wait computes next.
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
        match self.plan(query.into()).await {
            Plan::Serve(hit) => Ok(Served { answer: hit.entry.answer.clone(), origin: Origin::Hit(hit) }),
            Plan::Fail(error) => Err(error),
            Plan::Bypass(reason, question) => {
                let (answer, _) =
                    self.compute(compute, Miss { question, embedding: None, since: None }).await?;
                Ok(Served { answer, origin: Origin::Bypassed(reason) })
            }
            Plan::Make(permit) => {
                let miss = Miss {
                    question: permit.question().into(),
                    embedding: permit.embedding().cloned(),
                    since: Some(permit.since()),
                };
                match self.compute(compute, miss).await {
                    Ok((answer, dependencies)) => {
                        let outcome = permit.fill(answer.clone(), dependencies).await;
                        Ok(Served { answer, origin: Origin::Made(outcome) })
                    }
                    Err(error) => {
                        permit.fail(error.clone());
                        Err(error)
                    }
                }
            }
        }
    }

    /// Looks for an answer to `query` as [`lookup`](Self::lookup) does, and waits for others who ask the same
    /// as [`get_or_fill`](Self::get_or_fill) does. For pipelines that pass an answer on while it is being
    /// made.
    ///
    /// A caller that is given a permit and cannot make an answer should [decline](FillPermit::decline) it.
    ///
    /// ```
    /// # async fn ask_llm(_: &str) -> Result<String, std::io::Error> { Ok("With the porter.".into()) }
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Dependency, Lookup};
    ///
    /// if let Lookup::Miss(permit) = cache.lookup_or_wait("Where is the key?").await? {
    ///     // While this caller makes its answer and passes it on, others who ask the same wait.
    ///     let answer = ask_llm(permit.question()).await?;
    ///     permit.fill(answer, [Dependency::document("keys.md")]).await;
    /// }
    /// # assert_eq!(cache.status().await?.entries, 2);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// The error of another caller's closure that was making the same answer.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn lookup_or_wait(&self, query: impl Into<Query>) -> Result<Lookup, SharedError> {
        match self.plan(query.into()).await {
            Plan::Serve(hit) => Ok(Lookup::Hit(hit)),
            Plan::Make(permit) => Ok(Lookup::Miss(permit)),
            Plan::Bypass(reason, _) => Ok(Lookup::Bypass(reason)),
            Plan::Fail(error) => Err(error),
        }
    }

    async fn compute<F, Fut, A, D>(
        &self,
        compute: F,
        miss: Miss,
    ) -> Result<(Answer, Vec<Dependency>), SharedError>
    where
        F: FnOnce(Miss) -> Fut,
        Fut: Future<Output = Result<(A, D), BoxError>>,
        A: Into<Answer>,
        D: Into<Vec<Dependency>>,
    {
        let metrics = &self.inner.metrics.fill;
        let started = Instant::now();
        match compute(miss).await {
            Ok((answer, dependencies)) => {
                metrics.compute.record(started.elapsed());
                Ok((answer.into(), dependencies.into()))
            }
            Err(error) => {
                metrics.compute_failed.increment();
                Err(SharedError::new(error))
            }
        }
    }

    /// Finds an answer or decides who makes it, waiting for others who ask the same.
    async fn plan(&self, query: Query) -> Plan {
        let started = Instant::now();
        let text = query.text().into();
        let prepared = match Prepared::new(query, &self.inner) {
            Ok(prepared) => prepared,
            Err(error) => {
                tracing::warn!(%error, "a question cannot be looked up");
                return Plan::Bypass(self.inner.bypass(BypassReason::InvalidQuery), text);
            }
        };
        if let Some(reason) = prepared.mode.bypass() {
            return Plan::Bypass(self.inner.bypass(reason), Arc::clone(prepared.question()));
        }
        // The result can never be given to another caller, not even an error.
        if prepared.lacks_tenant {
            return self.lead(prepared, None, None, started).await;
        }
        let mut completions = 0;
        let mut waited = false;
        loop {
            let completed = self.inner.flights.completions(prepared.flight_key());
            let missed = match self.exact(&prepared, started).await {
                Ok(Exact::Hit(hit)) => return self.serve(hit, waited),
                Ok(Exact::Miss(missed)) => missed,
                Err(reason) => return Plan::Bypass(reason, Arc::clone(prepared.question())),
            };
            let flights = &self.inner.flights;
            let role = if prepared.is_storable() {
                Some(flights.join(prepared.flight_key()))
            } else {
                flights.follow(prepared.flight_key()).map(Role::Follower)
            };
            let leader = match role {
                None => None,
                Some(Role::Leader(leader)) => Some(leader),
                Some(Role::Follower(_)) if completions == MAX_COMPLETIONS || prepared.mode == Mode::Renew => {
                    None
                }
                Some(Role::Follower(follower)) => {
                    waited = true;
                    // The leader may want the claim.
                    drop(missed);
                    let limit = self.inner.settings.follow_timeout;
                    let outcome = tokio::time::timeout(limit, follower.outcome()).await;
                    match outcome.unwrap_or(FlightOutcome::Unshared) {
                        FlightOutcome::Abandoned => continue,
                        FlightOutcome::Stored | FlightOutcome::Refused => {
                            completions += 1;
                            continue;
                        }
                        // Another question's answer is not what was asked for.
                        FlightOutcome::Near { .. } if prepared.mode == Mode::ExactOnly => {
                            completions += 1;
                            continue;
                        }
                        FlightOutcome::Near { entry, similarity, confidence } => {
                            completions += 1;
                            match self
                                .follow(&prepared, entry, Tier::Semantic { similarity, confidence })
                                .await
                            {
                                Some(hit) => return self.serve(hit, waited),
                                None => continue,
                            }
                        }
                        FlightOutcome::Failed(error) => return Plan::Fail(error),
                        // There is nothing to share: waiting for one another would only form a queue.
                        FlightOutcome::Unshared => return self.lead(prepared, None, None, started).await,
                    }
                }
            };
            // Another flight may have landed between the miss and the lead.
            let is_news =
                leader.is_some() && self.inner.flights.completions(prepared.flight_key()) != completed;
            return self.lead(prepared, leader, (!is_news).then_some(missed), started).await;
        }
    }

    /// Looks once more unless it just `missed`, then by meaning, then waits for the claim.
    async fn lead(
        &self,
        prepared: Prepared,
        leader: Option<Leader>,
        missed: Option<Missed>,
        started: Instant,
    ) -> Plan {
        let missed = match missed {
            Some(missed) => Ok(Exact::Miss(missed)),
            None => self.exact(&prepared, started).await,
        };
        let Missed { read_versions, claim_status, embedding } = match missed {
            Ok(Exact::Hit(hit)) => return self.serve(hit, false),
            Ok(Exact::Miss(missed)) => missed,
            Err(reason) => return bypass(reason, &prepared, leader),
        };
        match self.semantic(&prepared, embedding, started).await {
            Ok(Semantic::Hit(hit)) => {
                if let (Some(leader), Tier::Semantic { similarity, confidence }) = (leader, hit.tier) {
                    leader.complete(FlightOutcome::Near { entry: hit.entry.id, similarity, confidence });
                }
                self.serve(hit, false)
            }
            Ok(Semantic::Miss(embedding)) => {
                let (read_versions, claim_status) = match claim_status {
                    // Only one of those who ask in this process waits for another one.
                    ClaimStatus::Theirs if leader.is_some() && prepared.mode != Mode::Renew => {
                        match self.wait_for_claim(&prepared, read_versions, started).await {
                            Ok(Exact::Hit(hit)) => {
                                if let Some(leader) = leader {
                                    leader.complete(FlightOutcome::Stored);
                                }
                                return self.serve(hit, true);
                            }
                            Ok(Exact::Miss(missed)) => (missed.read_versions, missed.claim_status),
                            Err(reason) => return bypass(reason, &prepared, leader),
                        }
                    }
                    claim_status => (read_versions, claim_status),
                };
                Plan::Make(self.permit(prepared, read_versions, embedding, leader, claim_status, started))
            }
            Err(reason) => bypass(reason, &prepared, leader),
        }
    }

    /// Waits until another process' answer is there, or until this process may make it.
    async fn wait_for_claim(
        &self,
        prepared: &Prepared,
        read_versions: ReadVersions,
        started: Instant,
    ) -> Result<Exact, BypassReason> {
        let give_up = Instant::now() + self.inner.settings.follow_timeout;
        let mut waits = WAITS;
        // The question is embedded already.
        let prepared = Prepared { mode: Mode::ExactOnly, ..prepared.clone() };
        while Instant::now() < give_up {
            waits.pause().await;
            match self.exact(&prepared, started).await? {
                Exact::Miss(Missed { claim_status: ClaimStatus::Theirs, .. }) => {}
                found => return Ok(found),
            }
        }
        // It takes longer than anyone should wait.
        Ok(Exact::Miss(Missed { read_versions, claim_status: ClaimStatus::Free, embedding: None }))
    }

    /// Serves the entry that another caller's search found, if it is still live.
    async fn follow(&self, prepared: &Prepared, id: EntryId, tier: Tier) -> Option<Hit> {
        let fetched = self.inner.fetch(prepared, id).await.ok()?;
        let Found::Live(entry) = fetched.found else { return None };
        self.inner.metrics.lookup.semantic_hits.increment();
        Some(self.hit(prepared, entry, tier, fetched.read_version))
    }

    fn serve(&self, hit: Hit, waited: bool) -> Plan {
        if waited {
            self.inner.metrics.lookup.coalesced.increment();
        }
        Plan::Serve(hit)
    }
}

/// What a caller of [`Cache::get_or_fill`] has to do.
#[expect(clippy::large_enum_variant, reason = "a permit is used where it comes from")]
enum Plan {
    Serve(Hit),
    Make(FillPermit),
    /// Make the answer to this question without the cache.
    Bypass(BypassReason, Arc<str>),
    Fail(SharedError),
}

/// Goes without the cache, and lets those who wait do the same at once.
fn bypass(reason: BypassReason, prepared: &Prepared, leader: Option<Leader>) -> Plan {
    if let Some(leader) = leader {
        leader.complete(FlightOutcome::Unshared);
    }
    Plan::Bypass(reason, Arc::clone(prepared.question()))
}
