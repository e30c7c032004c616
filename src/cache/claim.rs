//! Which process makes an answer, among all processes that share a store.
//!
//! The claim is made by the lookup that misses. It is renewed while the answer is being made, and ends when
//! that is over, whatever the result; if a process dies, its claim expires. Safety does not depend on it: if
//! two processes make the same answer, both are fenced.
//!
//! ```text
//!  free ── a lookup misses ──> taken, for its life ── stored, abandoned or failed ──> free
//!   ^                          │    ^ │
//!   │                          │    └─┘ renewed, three times in each life
//!   ├── the holder died ───────┤
//!   │                          │ refused, declined, or the store failed
//!   └────── after a second ── open: everyone makes an answer, and no one waits
//! ```
//!
//! A claim is taken in the round trip of the lookup, so a miss costs nothing more, and there is no moment in
//! which two processes both see that no one has it. It is ended before the flight of this process: otherwise
//! followers here could look again and still find it taken.

use std::fmt;
use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use crate::error::Result;
use crate::key::{Corpus, EntryId};
use crate::store::{Claim, ClaimEnd, ClaimToken, Fetched, Store};

/// Who makes the answer.
#[derive(Debug)]
pub(super) enum ClaimStatus {
    /// Anyone who asks.
    Free,
    /// This process.
    Ours(ClaimGuard),
    /// Another process.
    Theirs,
}

impl ClaimStatus {
    /// Looks `id` up; if there is no live entry, also claims the right to make the answer.
    pub(super) async fn look_up(
        store: &Arc<dyn Store>,
        corpus: &Corpus,
        id: EntryId,
    ) -> Result<(Fetched, Self)> {
        let Some(coordination) = store.coordination() else {
            return Ok((store.lookup(corpus, id).await?, Self::Free));
        };
        let (fetched, claim) = coordination.lookup_or_claim(corpus, id).await?;
        Ok((fetched, Self::of(claim, store, corpus, id)))
    }

    /// Claims the right to make an answer, whether or not there already is one.
    pub(super) async fn claim(store: &Arc<dyn Store>, corpus: &Corpus, id: EntryId) -> Result<Self> {
        let Some(coordination) = store.coordination() else { return Ok(Self::Free) };
        Ok(Self::of(coordination.claim(corpus, id).await?, store, corpus, id))
    }

    fn of(claim: Claim, store: &Arc<dyn Store>, corpus: &Corpus, id: EntryId) -> Self {
        match claim {
            Claim::Free => Self::Free,
            Claim::Taken => Self::Theirs,
            Claim::Granted(token) => {
                let claimed = Claimed { store: Arc::clone(store), corpus: corpus.clone(), id, token };
                Self::Ours(ClaimGuard { claimed, end: ClaimEnd::Released, renewal: None })
            }
        }
    }

    /// The claim, which is renewed from now on, if this process holds it.
    pub(super) fn into_guard(self) -> Option<ClaimGuard> {
        match self {
            Self::Ours(held) => Some(held.renewed()),
            Self::Free | Self::Theirs => None,
        }
    }
}

#[derive(Clone)]
struct Claimed {
    store: Arc<dyn Store>,
    corpus: Corpus,
    id: EntryId,
    token: ClaimToken,
}

/// A claim of this process. Dropping it ends it.
pub(super) struct ClaimGuard {
    claimed: Claimed,
    end: ClaimEnd,
    renewal: Option<AbortOnDropHandle<()>>,
}

impl fmt::Debug for ClaimGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimGuard")
            .field("id", &self.claimed.id)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl ClaimGuard {
    fn renewed(mut self) -> Self {
        let Claimed { store, corpus, id, token } = self.claimed.clone();
        let renewal = tokio::spawn(async move {
            while let Some(coordination) = store.coordination() {
                tokio::time::sleep(coordination.claim_life() / 3).await;
                // A lost claim is not taken back: someone else may have it.
                if matches!(coordination.renew_claim(&corpus, id, token).await, Ok(false)) {
                    return;
                }
            }
        });
        self.renewal = Some(AbortOnDropHandle::new(renewal));
        self
    }

    /// Lets those who wait make their own answers, and not one after another.
    pub(super) fn unshared(mut self) {
        self.end = ClaimEnd::Unshared;
    }
}

impl Drop for ClaimGuard {
    fn drop(&mut self) {
        self.renewal = None;
        let Claimed { store, corpus, id, token } = &self.claimed;
        if let Some(coordination) = store.coordination() {
            coordination.end_claim(corpus, *id, *token, self.end);
        }
    }
}
