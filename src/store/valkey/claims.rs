//! Claims to make an answer: taking, renewing and ending them.
//!
//! A claim that nobody works under holds up everybody who asks the same until it runs out. So ending one is tried again
//! while the server is away. And one that a lookup may have taken is ended when the lookup is given up before its reply
//! was read, be it because the caller went or because the server did not answer in time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::script::CLAIM;
use super::{Inner, reply};
use crate::error::Result;
use crate::key::{Corpus, EntryId};
use crate::store::valkey::link::Trouble;
use crate::store::{Claim, ClaimEnd, ClaimToken};

/// How long word is left that an answer cannot be shared, so that those who wait hear of it.
const UNSHARED_WORD: Duration = Duration::from_secs(1);
/// How often it is tried to end a claim on a server that is away.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy)]
enum Action {
    Take,
    Renew,
    End,
    /// Ends it, and leaves word that there is nothing to wait for.
    Open,
}

impl Inner {
    pub(super) async fn take_claim(self: &Arc<Self>, corpus: &Corpus, id: EntryId) -> Result<Claim> {
        let token = ClaimToken::random();
        let unheard = Unheard::new(self, corpus, id, token);
        let granted = self.act(corpus, id, token, Action::Take).await;
        if !matches!(&granted, Err(trouble) if trouble.may_have_run()) {
            unheard.heard();
        }
        Ok(if granted? { Claim::Granted(token) } else { Claim::Taken })
    }

    pub(super) async fn renew_claim(&self, corpus: &Corpus, id: EntryId, token: ClaimToken) -> Result<bool> {
        Ok(self.act(corpus, id, token, Action::Renew).await?)
    }

    /// Ends a claim behind the caller's back.
    ///
    /// On the connection that took it this comes later; on a new one, which is made after the old one was given up,
    /// almost certainly. Otherwise the claim runs out by itself.
    pub(super) fn end_claim(
        self: &Arc<Self>,
        corpus: &Corpus,
        id: EntryId,
        token: ClaimToken,
        end: ClaimEnd,
    ) {
        let action = match end {
            ClaimEnd::Released => Action::End,
            ClaimEnd::Unshared => Action::Open,
        };
        let (inner, corpus) = (Arc::clone(self), corpus.clone());
        let end = async move {
            // By then it has run out.
            let until = Instant::now() + inner.options.claim_life;
            while inner.act(&corpus, id, token, action).await.is_err() && Instant::now() < until {
                let pause = tokio::time::sleep(RETRY_PAUSE);
                if inner.shutdown.run_until_cancelled(pause).await.is_none() {
                    return;
                }
            }
        };
        self.awaited.spawn_on(end, &self.runtime);
    }

    /// Whether the claim is or was the caller's.
    async fn act(
        &self,
        corpus: &Corpus,
        id: EntryId,
        token: ClaimToken,
        action: Action,
    ) -> Result<bool, Trouble> {
        let (name, life) = match action {
            Action::Take => ("take", self.options.claim_life),
            Action::Renew => ("renew", self.options.claim_life),
            Action::End => ("end", self.options.claim_life),
            Action::Open => ("open", UNSHARED_WORD),
        };
        let names = [self.keys.claim(self.keys.bucket(corpus, id), id)];
        let call = CLAIM.call(&names).owned(token.bytes()).bytes(name).number(life.as_millis());
        let reply = self.link.call(&call, &names[0], self.command_limit()).await?;
        Ok(reply::number(&reply) == Some(1_i64))
    }
}

/// A claim that the server may have granted, and nobody heard of it yet. Dropping it ends it.
pub(super) struct Unheard {
    inner: Arc<Inner>,
    corpus: Corpus,
    id: EntryId,
    token: Option<ClaimToken>,
}

impl Unheard {
    /// To be made before the server is asked.
    pub(super) fn new(inner: &Arc<Inner>, corpus: &Corpus, id: EntryId, token: ClaimToken) -> Self {
        Self { inner: Arc::clone(inner), corpus: corpus.clone(), id, token: Some(token) }
    }

    /// The server answered, or was not asked after all.
    pub(super) fn heard(mut self) {
        self.token = None;
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        let Some(token) = self.token else { return };
        self.inner.end_claim(&self.corpus, self.id, token, ClaimEnd::Released);
    }
}
