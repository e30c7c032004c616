//! From events to invalidations in force.

use std::collections::BTreeSet;

use super::OnGap;
use super::event::{Action, Event};
use super::report::{GapReason, Observer, Report};
use super::source::BACKOFF;
use crate::backoff::Backoff;
use crate::cache::Cache;
use crate::entry::{Change, DocumentVersion};
use crate::error::{Error, ErrorKind, Result};
use crate::key::Corpus;
use crate::store::{ChangeOutcome, Store, StoreStatus, unannounced};

/// What changes are applied to.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    Cache(&'a Cache),
    Store(&'a dyn Store),
}

/// Why an event is not in force.
#[derive(Debug)]
pub(super) enum Failure {
    /// It never will be.
    Rejected(String),
    /// The cache is closed.
    Closed(Error),
}

/// Applies events, and tries again until they are in force.
pub(super) struct Applier<'a> {
    target: Target<'a>,
    observer: Observer,
    corpus: Corpus,
    on_gap: OnGap,
    /// How many times an event may fail for a reason of its own.
    max_attempts: u32,
    /// Corpora that events named.
    seen: BTreeSet<Corpus>,
}

impl<'a> Applier<'a> {
    pub(super) fn new(
        target: Target<'a>,
        observer: Observer,
        corpus: Corpus,
        on_gap: OnGap,
        max_attempts: u32,
    ) -> Self {
        let seen = BTreeSet::from([corpus.clone()]);
        Self { target, observer, corpus, on_gap, max_attempts, seen }
    }

    pub(super) fn notify(&self, report: &Report) {
        self.observer.notify(report);
    }

    /// Whether the second event may be applied together with the first.
    pub(super) fn go_together(first: &Event, second: &Event) -> bool {
        let is_invalidation = |event: &Event| matches!(event.action, Action::Invalidate(_));
        is_invalidation(first)
            && is_invalidation(second)
            && first.corpus == second.corpus
            && first.is_announcement == second.is_announcement
    }

    /// Applies `events`, which [go together](Self::go_together), and waits until they are in force. Returns
    /// how many answers each of them ended.
    pub(super) async fn apply(&mut self, events: &[&Event]) -> Result<Vec<u64>, Failure> {
        let Some(first) = events.first() else { return Ok(Vec::new()) };
        let corpus = first.corpus.clone().unwrap_or_else(|| self.corpus.clone());
        self.seen.insert(corpus.clone());
        let changes: Vec<Change>;
        let task = match &first.action {
            Action::Begin(document) => Task::Begin(document),
            Action::End(document, version) => Task::End(document, version.as_ref()),
            Action::Invalidate(_) => {
                changes = events.iter().flat_map(|event| changes_of(event)).cloned().collect();
                Task::Invalidate(&changes)
            }
        };
        let in_force = self.until_in_force(&corpus, task);
        let outcomes = if first.is_announcement { unannounced(in_force).await? } else { in_force.await? };
        if matches!(task, Task::Begin(_) | Task::End(..)) {
            return Ok(vec![dropped(&outcomes)]);
        }
        let mut rest = outcomes.as_slice();
        let own = events.iter().map(|event| {
            let (own, others) = rest.split_at(changes_of(event).len().min(rest.len()));
            rest = others;
            dropped(own)
        });
        Ok(own.collect())
    }

    /// Does what was configured for the case that events may have been missed.
    pub(super) async fn gap(&self, reason: GapReason) -> Result<(), Failure> {
        let mut ended = 0;
        if self.on_gap == OnGap::InvalidateEverything {
            let mut corpora = self.corpora().await?;
            corpora.extend(self.seen.iter().cloned());
            for corpus in corpora {
                let everything = [Change::Everything];
                ended += dropped(&self.until_in_force(&corpus, Task::Invalidate(&everything)).await?);
            }
        }
        self.notify(&Report::Gap { reason, dropped: ended });
        Ok(())
    }

    /// Tries until it works, or until it can certainly never work.
    async fn until_in_force(&self, corpus: &Corpus, task: Task<'_>) -> Result<Vec<ChangeOutcome>, Failure> {
        let mut attempts = Attempts::NONE;
        loop {
            match self.target.perform(corpus, task).await {
                Ok(outcomes) => return Ok(outcomes),
                Err(error) => self.before_another(&mut attempts, error).await?,
            }
        }
    }

    async fn corpora(&self) -> Result<BTreeSet<Corpus>, Failure> {
        let mut attempts = Attempts::NONE;
        loop {
            match self.target.status().await {
                Ok(status) => return Ok(status.corpora.into_iter().map(|status| status.corpus).collect()),
                Err(error) => self.before_another(&mut attempts, error).await?,
            }
        }
    }

    /// Waits until another attempt is due after one that failed with `error`. It waits as long as a store is
    /// away: nothing else could be applied either, and an event that is given up leaves a stale answer.
    async fn before_another(&self, attempts: &mut Attempts, error: Error) -> Result<(), Failure> {
        match error.kind() {
            ErrorKind::InvalidInput => return Err(Failure::Rejected(error.to_string())),
            ErrorKind::Closed => return Err(Failure::Closed(error)),
            ErrorKind::Incomplete | ErrorKind::Unavailable | ErrorKind::Timeout => {}
            _ => {
                attempts.failed += 1;
                if attempts.failed >= self.max_attempts {
                    return Err(Failure::Rejected(error.to_string()));
                }
            }
        }
        self.notify(&Report::Waiting { why: error.to_string() });
        attempts.backoff.pause().await;
        // An incomplete invalidation is in the store's outbox. Another attempt before it is done would only
        // add to the outbox.
        while error.kind() == ErrorKind::Incomplete && !self.target.is_settled().await {
            attempts.backoff.pause().await;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Attempts {
    /// Those that failed for a reason of their own.
    failed: u32,
    backoff: Backoff,
}

impl Attempts {
    const NONE: Self = Self { failed: 0, backoff: BACKOFF };
}

/// What is to be done in a corpus.
#[derive(Debug, Clone, Copy)]
enum Task<'a> {
    Invalidate(&'a [Change]),
    Begin(&'a str),
    End(&'a str, Option<&'a DocumentVersion>),
}

fn changes_of(event: &Event) -> &[Change] {
    match &event.action {
        Action::Invalidate(changes) => changes,
        Action::Begin(_) | Action::End(..) => &[],
    }
}

fn dropped(outcomes: &[ChangeOutcome]) -> u64 {
    outcomes.iter().copied().map(ChangeOutcome::dropped).sum()
}

impl Target<'_> {
    async fn perform(self, corpus: &Corpus, task: Task<'_>) -> Result<Vec<ChangeOutcome>> {
        match (self, task) {
            (Self::Cache(cache), Task::Invalidate(changes)) => {
                Ok(cache.invalidate(corpus, changes).await?.outcomes)
            }
            (Self::Store(store), Task::Invalidate(changes)) => store.invalidate(corpus, changes).await,
            (Self::Cache(cache), Task::Begin(document)) => {
                cache.begin_update(corpus, document).await.map(|()| Vec::new())
            }
            (Self::Store(store), Task::Begin(document)) => {
                store.begin_update(corpus, document).await.map(|()| Vec::new())
            }
            (Self::Cache(cache), Task::End(document, version)) => {
                Ok(cache.end_update(corpus, document, version.cloned()).await?.outcomes)
            }
            (Self::Store(store), Task::End(document, version)) => {
                Ok(vec![store.end_update(corpus, document, version.cloned()).await?])
            }
        }
    }

    async fn status(self) -> Result<StoreStatus> {
        match self {
            Self::Cache(cache) => cache.status().await,
            Self::Store(store) => store.status().await,
        }
    }

    /// Whether no incomplete invalidation is left.
    async fn is_settled(self) -> bool {
        // If the store cannot answer, it is away, and an attempt would be incomplete again.
        self.status().await.is_ok_and(|status| status.pending_invalidations == 0)
    }
}
