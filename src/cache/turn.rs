//! Whose turn it is to make an answer, among all processes that share a store.
//!
//! The claim rides on the lookup that misses. It is renewed while the answer is being made, and ended when that is
//! over, however it ends; a process that dies lets it run out. Safety does not depend on it: two processes that make
//! the same answer are both fenced.

use std::fmt;
use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use crate::key::{Corpus, EntryId};
use crate::store::{Claim, ClaimEnd, ClaimToken, Store};

/// Who makes the answer.
#[derive(Debug)]
pub(super) enum Turn {
    /// Whoever asks.
    Free,
    /// This process.
    Ours(Held),
    /// Another one.
    Theirs,
}

impl Turn {
    pub(super) fn new(store: &Arc<dyn Store>, corpus: &Corpus, id: EntryId, claim: Claim) -> Self {
        match claim {
            Claim::Free => Self::Free,
            Claim::Taken => Self::Theirs,
            Claim::Granted(token) => {
                let claimed = Claimed { store: Arc::clone(store), corpus: corpus.clone(), id, token };
                Self::Ours(Held { claimed, end: ClaimEnd::Released, renewal: None })
            }
        }
    }

    /// The claim, to be renewed from now on, if it is this process' turn.
    pub(super) fn take(self) -> Option<Held> {
        match self {
            Self::Ours(held) => Some(held.kept_up()),
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
pub(super) struct Held {
    claimed: Claimed,
    end: ClaimEnd,
    renewal: Option<AbortOnDropHandle<()>>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("id", &self.claimed.id).field("end", &self.end).finish_non_exhaustive()
    }
}

impl Held {
    fn kept_up(mut self) -> Self {
        let Claimed { store, corpus, id, token } = self.claimed.clone();
        let renewal = tokio::spawn(async move {
            loop {
                tokio::time::sleep(store.claim_life() / 3).await;
                // One that was lost is not taken back: somebody else may have it.
                if matches!(store.renew_claim(&corpus, id, token).await, Ok(false)) {
                    return;
                }
            }
        });
        self.renewal = Some(AbortOnDropHandle::new(renewal));
        self
    }

    /// Has those who wait make their own answers, and not in turn.
    pub(super) fn unshared(mut self) {
        self.end = ClaimEnd::Unshared;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewal = None;
        let Claimed { store, corpus, id, token } = &self.claimed;
        store.end_claim(corpus, *id, *token, self.end);
    }
}
