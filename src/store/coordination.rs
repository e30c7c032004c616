//! What processes that share a store do together.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::Fetched;
use crate::error::Result;
use crate::key::{Corpus, EntryId};

/// What processes that share a store do together: one of them makes an answer while the others wait for it,
/// and each learns what the others store.
///
/// None of it decides what may be served. A claim that is lost, or granted twice, costs a second answer, and
/// both are fenced; an event that is lost leaves an entry out of an index. Costs and cancellation are given
/// as for [`Store`](super::Store).
#[async_trait]
pub trait Coordination: fmt::Debug + Send + Sync {
    /// Like [`Store::lookup`](super::Store::lookup); if no live entry is found, it also claims the right to
    /// make the answer.
    ///
    /// - Cost: one round trip, the same as the lookup alone.
    /// - If dropped: a claim that was granted is ended, now or when the servers can be reached; at the latest,
    ///   it runs out.
    /// - Freshness: rules 1 and 3. The read version is taken together with the claim.
    ///
    /// # Errors
    ///
    /// As for [`Store::lookup`](super::Store::lookup).
    async fn lookup_or_claim(&self, corpus: &Corpus, id: EntryId) -> Result<(Fetched, Claim)>;

    /// Claims the right to make an answer, whether or not there already is one.
    ///
    /// - Cost: one round trip.
    /// - If dropped: as for [`lookup_or_claim`](Self::lookup_or_claim).
    /// - Freshness: no rule. It returns no read version, so the fill needs one from a lookup.
    ///
    /// # Errors
    ///
    /// As for [`Store::lookup`](super::Store::lookup).
    async fn claim(&self, corpus: &Corpus, id: EntryId) -> Result<Claim>;

    /// Extends a claim by another [`claim_life`](Self::claim_life), and returns whether it still was the
    /// caller's.
    ///
    /// - Cost: one round trip.
    /// - If dropped: the claim may be extended or not.
    /// - Freshness: no rule.
    ///
    /// # Errors
    ///
    /// As for [`Store::lookup`](super::Store::lookup).
    async fn renew_claim(&self, corpus: &Corpus, id: EntryId, token: ClaimToken) -> Result<bool>;

    /// Ends a claim.
    ///
    /// - Cost: none for the caller, who never waits. It may be called outside a runtime.
    /// - Errors: none. It is tried in the background until the claim would have run out.
    /// - Freshness: no rule.
    fn end_claim(&self, corpus: &Corpus, id: EntryId, token: ClaimToken, end: ClaimEnd);

    /// How long a claim lasts if it is not renewed. A setting, without a cost.
    fn claim_life(&self) -> Duration;

    /// Starts to notify the [listener](super::Store::listen) of what other processes store in `corpus`, if
    /// that corpus was not followed before. Everything that they store after this returns is reported, or
    /// [reported as missed](super::ChangeListener::lagged).
    ///
    /// - Cost: one round trip for a corpus that was not followed before, otherwise none.
    /// - If dropped: the corpus may be followed or not.
    /// - Freshness: no rule. Events are hints.
    ///
    /// # Errors
    ///
    /// As for [`Store::lookup`](super::Store::lookup).
    async fn follow(&self, corpus: &Corpus) -> Result<()>;
}

/// Identifies a claim; 128 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimToken(u128);

impl ClaimToken {
    /// A token that no other claim has.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The bits.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

/// Who makes an answer that several processes may want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// Any caller: there is no one to wait for.
    Free,
    /// The caller, until it [ends](Coordination::end_claim) the claim or lets it run out.
    Granted(ClaimToken),
    /// Another process, which is making it now.
    Taken,
}

/// How a claim ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimEnd {
    /// The answer is stored, or anyone else may make it.
    Released,
    /// There is an answer, but it must not be shared: those who wait should each make their own, without
    /// waiting in turn.
    Unshared,
}
