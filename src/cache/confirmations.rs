//! Answers that are served to others once enough principals have them.
//!
//! The answer of each principal is an entry of its own scope. Another entry, whose id is
//! [derived](EntryId::confirmations) from that of everybody's answer, lists the principals that have one. The
//! list only says where to look: every fill reads the entries themselves, as a hit is read. So whatever ends
//! a principal's answer also takes its confirmation back. If a list is lost, or not written, that costs only
//! time.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cache::claim::{ClaimGuard, ClaimStatus};
use crate::cache::principal::Visibility;
use crate::cache::query::Shared;
use crate::cache::{Cache, Inner};
use crate::entry::{Answer, Entry};
use crate::error::{Error, Result};
use crate::flight::{Leader, Role};
use crate::key::{EntryId, TenantId, composed};
use crate::store::{Filled, Found, ReadVersion};

/// The most principals that are remembered for a question. If there are more, the newest replaces the oldest.
const MOST: usize = 64;
/// How long one pause is, and how many there are at most, while another process writes the same list.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSES: usize = 100;

/// The field of the metadata that says how an answer was sent, not what it says.
const RECORDING: &str = "recording";

/// A principal that has an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Confirming {
    principal: TenantId,
    entry: EntryId,
}

/// An answer that a principal filled for itself, and that everybody may be served if others have the same.
pub(super) struct Offer {
    pub(super) shared: Shared,
    pub(super) visibility: Visibility,
    /// Of the clock that applies to everybody's answer, from before anything was retrieved.
    pub(super) read_version: ReadVersion,
    pub(super) entry: Arc<Entry>,
}

impl Cache {
    /// Stores an answer for everybody if enough principals have the same.
    pub(super) async fn offer(&self, offer: Offer) {
        match self.inner.others(&offer).await {
            Ok(others) => {
                let (same, other) =
                    others.into_iter().partition(|other| is_same(&other.answer, &offer.entry.answer));
                self.weigh(offer, same, other).await;
            }
            Err(error) => self.inner.not_confirmed(&error),
        }
    }

    /// Stores the answer if enough have the `same` one; otherwise lets the judge compare it with the `other`
    /// answers.
    async fn weigh(&self, offer: Offer, mut same: Vec<Arc<Entry>>, mut other: Vec<Arc<Entry>>) {
        let inner = &self.inner;
        if inner.are_enough(&same) {
            return inner.confirmed(&offer, same).await;
        }
        inner.metrics.fill.unconfirmed.increment();
        let Some(judging) = inner.judging.clone() else { return };
        other.retain(|other| may_be_same(&other.answer, &offer.entry.answer));
        if other.is_empty() {
            return;
        }
        let (cache, at_work) = (self.clone(), judging.at_work());
        self.spawn(async move {
            let Offer { entry, .. } = &offer;
            for other in other {
                if judging.is_same(&entry.question, &other.answer.text, &entry.answer.text).await {
                    same.push(other);
                }
                if cache.inner.are_enough(&same) {
                    cache.inner.confirmed(&offer, same).await;
                    break;
                }
            }
            drop(at_work);
        });
    }
}

impl Inner {
    /// Whether these and one more are enough.
    fn are_enough(&self, same: &[Arc<Entry>]) -> bool {
        same.len() + 1 >= self.admission.confirmations as usize
    }

    fn not_confirmed(&self, error: &Error) {
        tracing::warn!(%error, "an answer waits for another confirmation");
        self.metrics.fill.unconfirmed.increment();
    }

    /// The live answers of other principals to the same question.
    async fn others(&self, offer: &Offer) -> Result<Vec<Arc<Entry>>> {
        let entry = &offer.entry;
        let others = self.join_confirming(&offer.shared, entry).await?;
        let fetched =
            join_all(others.iter().map(|other| self.store.lookup(&entry.corpus, other.entry))).await;
        let mut live = Vec::new();
        for fetched in fetched {
            if let Found::Live(other) = fetched?.found
                && other.question == entry.question
            {
                live.push(other);
            }
        }
        Ok(live)
    }

    /// Stores an answer for everybody, which `same` confirm: it is valid as long as all of them could be
    /// served.
    async fn confirmed(&self, offer: &Offer, same: Vec<Arc<Entry>>) {
        let Offer { shared, visibility, read_version, entry } = offer;
        let mut everybodys = Entry {
            id: shared.key.exact,
            scope: shared.key.scope,
            tenant: shared.tenant,
            embedding: entry.embedding.clone().filter(|_| *visibility == Visibility::Everyone),
            ..(**entry).clone()
        };
        for other in same {
            everybodys.expires_at = everybodys.expires_at.min(other.expires_at);
            for dependency in &other.dependencies {
                if !everybodys.dependencies.contains(dependency) {
                    everybodys.dependencies.push(dependency.clone());
                }
            }
        }
        let everybodys = Arc::new(everybodys);
        match self.store.fill(*read_version, Arc::clone(&everybodys)).await {
            Ok(Filled::Stored) => {
                self.index(&everybodys).await;
                self.metrics.fill.confirmed.increment();
            }
            Ok(Filled::Refused(reason)) => self.metrics.fill.refused.increment(&reason),
            Err(error) => self.not_confirmed(&error),
        }
    }

    /// Adds the principal of `entry` to those that have an answer; returns the others.
    async fn join_confirming(&self, shared: &Shared, entry: &Entry) -> Result<Vec<Confirming>> {
        let id = shared.key.exact.confirmations();
        let own = Confirming { principal: TenantId::of(&shared.counts_as), entry: entry.id };
        let _guard = self.claim_confirmation(entry, id).await?;
        // The list is not an answer, so the read version may be as new as the clock is now.
        let fetched = self.store.lookup(&entry.corpus, id).await?;
        let (mut others, mut expires_at) = (Vec::new(), entry.expires_at);
        if let Found::Live(list) = fetched.found {
            others = Vec::<Confirming>::deserialize(&list.answer.metadata["confirming"]).unwrap_or_default();
            expires_at = expires_at.max(list.expires_at);
        }
        others.retain(|other| other.principal != own.principal);
        others.drain(..others.len().saturating_sub(MOST - 1));
        let confirming: Vec<_> = others.iter().chain([&own]).collect();
        let text = format!("{} principals have an answer", confirming.len());
        let list = Entry {
            id,
            scope: shared.key.scope.confirmations(),
            // It belongs to no principal.
            tenant: Some(TenantId::from_bytes(*id.as_bytes())),
            embedding: None,
            answer: Answer::new(text).metadata(json!({ "confirming": confirming })),
            dependencies: Vec::new(),
            expires_at,
            ..entry.clone()
        };
        self.store.fill(fetched.read_version, Arc::new(list)).await?;
        Ok(others)
    }

    /// Waits until no one else writes the list `id`, in this process or another one; after a while it is
    /// written anyway.
    async fn claim_confirmation(&self, entry: &Entry, id: EntryId) -> Result<(Leader, Option<ClaimGuard>)> {
        let leader = loop {
            match self.refreshes.join((id, 0)) {
                Role::Leader(leader) => break leader,
                Role::Follower(follower) => drop(follower.outcome().await),
            }
        };
        for _ in 0..PAUSES {
            match ClaimStatus::claim(&self.store, &entry.corpus, id).await? {
                ClaimStatus::Theirs => tokio::time::sleep(PAUSE).await,
                claim_status => return Ok((leader, claim_status.into_guard())),
            }
        }
        Ok((leader, None))
    }
}

/// Whether two answers say the same. The field `recording` says how an answer was sent, and always differs,
/// so it is ignored.
fn is_same(one: &Answer, other: &Answer) -> bool {
    let words = |answer: &Answer| -> Vec<String> {
        composed(&answer.text).split_whitespace().map(str::to_owned).collect()
    };
    let metadata = |answer: &Answer| {
        let mut metadata = (*answer.metadata).clone();
        if let Some(fields) = metadata.as_object_mut() {
            fields.remove(RECORDING);
        }
        metadata
    };
    one.negative == other.negative && words(one) == words(other) && metadata(one) == metadata(other)
}

/// Whether a judge may decide that two answers say the same: it sees only their texts.
fn may_be_same(one: &Answer, other: &Answer) -> bool {
    let is_text = one.metadata.get(RECORDING).is_none();
    is_text && one.negative == other.negative && one.metadata == other.metadata
}
