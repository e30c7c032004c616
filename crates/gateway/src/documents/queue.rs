//! Applies reported changes, and keeps those that could not be applied until they are.
//!
//! Jobs that could not be applied are applied in the order in which they were reported. Jobs that are
//! reported meanwhile wait behind them, because an older version must not be registered after a newer one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::sync::Cache as BoundedCache;
use tokio::sync::watch;
use wellspring::backoff::Backoff;
use wellspring::entry::Change;
use wellspring::error::{Error, ErrorKind, Result};
use wellspring::invalidate::Invalidation;
use wellspring::key::Corpus;

use super::job::Job;
use super::journal::{Journal, PendingJob};
use crate::Gateway;
use crate::error::Problem;

/// How long a request waits for a job that is behind others.
const BEHIND: Duration = Duration::from_secs(2);
/// The pauses between attempts.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
/// How many times a job may fail for a reason of its own before it is dead-lettered.
const MAX_ATTEMPTS: u32 = 8;
/// How long applied jobs are remembered, and how many of those with a hundred changes or fewer.
const REMEMBERED: (Duration, u64) = (Duration::from_hours(1), 10_000);

/// Jobs that are not applied yet, and those applied recently.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    applied: BoundedCache<u64, Arc<Invalidation>>,
    /// Counts events that may wake waiting tasks: a job was applied, or is to be tried at once.
    steps: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    journal: Journal,
    /// Whether a task is working through the journal.
    is_running: bool,
}

/// What happened to a job.
#[derive(Debug)]
pub(crate) enum Submitted {
    /// It is in force.
    Applied(Arc<Invalidation>),
    /// It is kept under this id and will be retried.
    Pending(u64),
}

impl Queue {
    /// Opens the journal. Blocks.
    pub(crate) fn open(path: Option<PathBuf>) -> Result<Self> {
        let state = State { journal: Journal::open(path)?, is_running: false };
        Ok(Self {
            state: Mutex::new(state),
            applied: BoundedCache::builder()
                .time_to_live(REMEMBERED.0)
                .weigher(|_, done: &Arc<Invalidation>| {
                    u32::try_from(done.outcomes.len() / 100 + 1).unwrap_or(u32::MAX)
                })
                .max_capacity(REMEMBERED.1)
                .build(),
            steps: watch::Sender::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_behind(&self) -> bool {
        self.lock().journal.next().is_some()
    }

    pub(super) fn pending(&self) -> BTreeMap<u64, PendingJob> {
        self.lock().journal.pending().clone()
    }

    pub(super) fn find(&self, id: u64) -> Option<PendingJob> {
        self.lock().journal.pending().get(&id).cloned()
    }

    pub(super) fn applied(&self, id: u64) -> Option<Arc<Invalidation>> {
        self.applied.get(&id)
    }

    fn step(&self) {
        self.steps.send_modify(|steps| *steps = steps.wrapping_add(1));
    }
}

/// Whether trying again can help.
fn may_pass(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::InvalidInput | ErrorKind::Closed | ErrorKind::Config)
}

/// Whether only the store is at fault; then the job is retried for as long as it takes.
fn is_store_unavailable(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Incomplete | ErrorKind::Unavailable | ErrorKind::Timeout)
}

impl Gateway {
    /// Applies `job`, or keeps it if it cannot be applied now. A caller that disconnects does not stop it,
    /// because some report a change only once.
    pub(crate) async fn submit(&self, job: Job) -> Result<Submitted, Problem> {
        job.check()?;
        self.allowances().take_changes(job.names())?;
        let gateway = self.clone();
        let submitted = self.tasks().spawn(async move { gateway.submit_now(job).await });
        let broke = |broken: tokio::task::JoinError| {
            Error::new(ErrorKind::Store, "applying a change failed unexpectedly").with_source(broken)
        };
        Ok(submitted.await.map_err(broke)??)
    }

    async fn submit_now(self, job: Job) -> Result<Submitted> {
        let queue = self.queue();
        if queue.is_behind() {
            let id = self.keep(PendingJob::new(job)).await?;
            let mut steps = queue.steps.subscribe();
            let applied = async {
                loop {
                    if let Some(applied) = queue.applied(id) {
                        return Some(applied);
                    }
                    steps.changed().await.ok()?;
                }
            };
            let applied = tokio::time::timeout(BEHIND, applied).await.ok().flatten();
            return Ok(applied.map_or(Submitted::Pending(id), Submitted::Applied));
        }
        match job.apply(self.cache()).await {
            Ok(done) => Ok(Submitted::Applied(done.into())),
            Err(error) if !may_pass(error.kind()) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "a change could not be applied and is kept");
                let mut pending = PendingJob::new(job.left_after(&error));
                pending.attempts = 1;
                pending.error = Some((error.kind(), error.to_string()));
                self.keep(pending).await.map(Submitted::Pending).map_err(|lost| {
                    Error::new(lost.kind(), format!("{error}, and {lost}; report the change again"))
                })
            }
        }
    }

    /// Holds `document`. A hold is never kept for later, because it must be in force before its document
    /// changes.
    pub(crate) async fn hold(&self, corpus: &Corpus, document: &str) -> Result<(), Problem> {
        Change::document(document).check()?;
        self.allowances().take_changes(1)?;
        // A kept job that ends an earlier hold would end this one too.
        if self.queue().is_behind() {
            let message = "earlier changes are not in force yet, begin the update when they are";
            return Err(Error::new(ErrorKind::Incomplete, message).into());
        }
        Ok(self.cache().begin_update(corpus, document).await?)
    }

    async fn keep(&self, pending: PendingJob) -> Result<u64> {
        let gateway = self.clone();
        let was_tried = pending.error.is_some();
        let added = tokio::task::spawn_blocking(move || gateway.queue().lock().journal.add(pending));
        let id = added.await.map_err(|broken| {
            Error::new(ErrorKind::Store, "keeping a change failed unexpectedly").with_source(broken)
        })??;
        self.go_on(was_tried);
        Ok(id)
    }

    /// Starts a task that works through the journal, unless one runs or there is nothing in it. The task
    /// pauses first if a job was tried just now.
    fn go_on(&self, was_tried: bool) {
        let mut state = self.queue().lock();
        if !state.is_running && state.journal.next().is_some() {
            state.is_running = true;
            self.tasks().spawn(self.clone().go_through(was_tried));
        }
    }

    /// Tries the jobs that the last process left once, so that the store knows of them before anything is
    /// served, and keeps retrying in the background. [`serve`](crate::serve) calls it; call it before serving
    /// the routers yourself.
    ///
    /// # Cancel safety
    ///
    /// If dropped, call it again.
    pub async fn resume(&self) {
        while let Some((id, job)) = self.next_job() {
            if !self.attempt(id, &job).await {
                break;
            }
        }
        self.go_on(true);
    }

    fn next_job(&self) -> Option<(u64, Job)> {
        self.queue().lock().journal.next().map(|(id, pending)| (id, pending.job.clone()))
    }

    async fn go_through(self, mut was_tried: bool) {
        let mut backoff = BACKOFF;
        loop {
            let job = {
                let mut state = self.queue().lock();
                let next = state.journal.next().map(|(id, pending)| (id, pending.job.clone()));
                state.is_running = next.is_some();
                next
            };
            let Some((id, job)) = job else { return };
            if !was_tried && self.attempt(id, &job).await {
                backoff.reset();
                continue;
            }
            was_tried = false;
            let mut steps = self.queue().steps.subscribe();
            loop {
                tokio::select! {
                    () = backoff.pause() => {}
                    _ = steps.changed() => {}
                    // The next process retries the jobs that are kept on disk.
                    () = self.draining() => return,
                }
                // Incomplete invalidations are in the store's outbox. Another attempt before the outbox is
                // empty would only be added to it.
                if self.cache().status().await.is_ok_and(|status| status.pending_invalidations == 0) {
                    break;
                }
            }
        }
    }

    /// Tries a job once; returns whether the job is no longer in the way.
    async fn attempt(&self, id: u64, job: &Job) -> bool {
        let outcome = job.apply(self.cache()).await;
        let gateway = self.clone();
        let noted = tokio::task::spawn_blocking(move || gateway.note(id, outcome));
        noted.await.unwrap_or(false)
    }

    fn note(&self, id: u64, outcome: Result<Invalidation>) -> bool {
        let queue = self.queue();
        let is_out_of_the_way = match outcome {
            Ok(done) => {
                queue.applied.insert(id, done.into());
                queue.lock().journal.done(id);
                true
            }
            Err(error) => {
                tracing::warn!(%error, id, "a change cannot be applied yet");
                let mut state = queue.lock();
                let Some(pending) = state.journal.get_mut(id) else { return true };
                pending.attempts += 1;
                let kind = error.kind();
                pending.is_dead_lettered =
                    !may_pass(kind) || (!is_store_unavailable(kind) && pending.attempts >= MAX_ATTEMPTS);
                pending.error = Some((kind, error.to_string()));
                pending.is_dead_lettered
            }
        };
        queue.step();
        is_out_of_the_way
    }

    /// Makes the gateway try a job at once; returns whether there is such a job.
    pub(super) fn try_again(&self, id: u64) -> bool {
        {
            let mut state = self.queue().lock();
            let Some(pending) = state.journal.get_mut(id) else { return false };
            // Anyone who requests this has presumably removed the cause of the failures.
            pending.is_dead_lettered = false;
            pending.attempts = 0;
        }
        self.queue().step();
        self.go_on(false);
        true
    }

    /// Forgets a job; returns whether there was such a job.
    pub(super) async fn forget(&self, id: u64) -> bool {
        let gateway = self.clone();
        let done = tokio::task::spawn_blocking(move || gateway.queue().lock().journal.done(id));
        let done = done.await.unwrap_or(false);
        self.queue().step();
        done
    }
}
