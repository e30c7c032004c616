//! What processes do together: claims to make an answer, and following what others store.
//!
//! A claim that no one works under makes everyone who asks the same question wait until the claim runs out.
//! So if the server is away, the store keeps trying to end the claim. A lookup may also have taken a claim
//! although its reply was never read, because the caller left or because the server did not answer in time.
//! When such a lookup is given up, its claim is ended.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::script::CLAIM;
use super::{Inner, ValkeyStore, reply};
use crate::error::Result;
use crate::key::{Corpus, EntryId};
use crate::store::valkey::link::CommandError;
use crate::store::{Claim, ClaimEnd, ClaimToken, Coordination, Fetched};

/// How long the note that an answer cannot be shared is kept, so that the waiting callers see it.
const UNSHARED_WORD: Duration = Duration::from_secs(1);
/// How long to wait before trying again to end a claim on a server that is away.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy)]
enum Action {
    Take,
    Renew,
    End,
    /// Ends the claim, and leaves a note that there is nothing to wait for.
    Open,
}

#[async_trait]
impl Coordination for ValkeyStore {
    async fn lookup_or_claim(&self, corpus: &Corpus, id: EntryId) -> Result<(Fetched, Claim)> {
        self.inner.find(corpus, id, Some(ClaimToken::random())).await
    }

    async fn claim(&self, corpus: &Corpus, id: EntryId) -> Result<Claim> {
        let token = ClaimToken::random();
        let unconfirmed = UnconfirmedClaim::new(&self.inner, corpus, id, token);
        let granted = self.inner.act(corpus, id, token, Action::Take).await;
        unconfirmed.heard(&granted);
        Ok(if granted? { Claim::Granted(token) } else { Claim::Taken })
    }

    async fn renew_claim(&self, corpus: &Corpus, id: EntryId, token: ClaimToken) -> Result<bool> {
        Ok(self.inner.act(corpus, id, token, Action::Renew).await?)
    }

    fn end_claim(&self, corpus: &Corpus, id: EntryId, token: ClaimToken, end: ClaimEnd) {
        self.inner.end_claim(corpus, id, token, end);
    }

    fn claim_life(&self) -> Duration {
        self.inner.options.claim_life
    }

    async fn follow(&self, corpus: &Corpus) -> Result<()> {
        self.inner.follow(corpus).await
    }
}

impl Inner {
    /// Ends a claim in the background.
    ///
    /// On the connection that took the claim, the command to end it arrives after the one that took it. On a
    /// new connection, which is made after the old one was given up, it almost certainly does, too. Otherwise
    /// the claim runs out by itself.
    fn end_claim(self: &Arc<Self>, corpus: &Corpus, id: EntryId, token: ClaimToken, end: ClaimEnd) {
        let action = match end {
            ClaimEnd::Released => Action::End,
            ClaimEnd::Unshared => Action::Open,
        };
        let (inner, corpus) = (Arc::clone(self), corpus.clone());
        let end = async move {
            // By that time the claim has run out.
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

    /// Returns whether the claim is or was the caller's.
    async fn act(
        &self,
        corpus: &Corpus,
        id: EntryId,
        token: ClaimToken,
        action: Action,
    ) -> Result<bool, CommandError> {
        let (name, life) = match action {
            Action::Take => ("take", self.options.claim_life),
            Action::Renew => ("renew", self.options.claim_life),
            Action::End => ("end", self.options.claim_life),
            Action::Open => ("open", UNSHARED_WORD),
        };
        let names = [self.keys.claim(self.keys.bucket(corpus, id), id)];
        let call = CLAIM.call(&names).owned(token.to_bytes()).bytes(name).number(life.as_millis());
        let reply = self.link.call(&call, &names[0], self.command_limit()).await?;
        Ok(reply::number(&reply) == Some(1_i64))
    }
}

/// A claim that the server may have granted without anyone knowing of it yet. Dropping it ends it.
pub(super) struct UnconfirmedClaim {
    inner: Arc<Inner>,
    corpus: Corpus,
    id: EntryId,
    token: Option<ClaimToken>,
}

impl UnconfirmedClaim {
    /// Creates the guard; call this before the server is asked.
    pub(super) fn new(inner: &Arc<Inner>, corpus: &Corpus, id: EntryId, token: ClaimToken) -> Self {
        Self { inner: Arc::clone(inner), corpus: corpus.clone(), id, token: Some(token) }
    }

    /// Disarms the guard if the server answered, or was not asked after all.
    pub(super) fn heard<T>(mut self, reply: &Result<T, CommandError>) {
        if !matches!(reply, Err(error) if error.may_have_run()) {
            self.token = None;
        }
    }
}

impl Drop for UnconfirmedClaim {
    fn drop(&mut self) {
        let Some(token) = self.token else { return };
        self.inner.end_claim(&self.corpus, self.id, token, ClaimEnd::Released);
    }
}
