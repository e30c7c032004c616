//! Applies an operation to every bucket, and handles the buckets to which it cannot be applied.
//!
//! All buckets are processed at once, as far as that leaves the servers time for others. The operation is in
//! force in a bucket when its script ran and the replicas that were online at that time have the change.
//! Buckets in which it is not in force within the limit go to the outbox. A task tries those again until the
//! operation is in force.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use super::background::{BackgroundTask, Drain, STEP};
use super::keys::Bucket;
use super::link::CommandError;
use super::operation::{Applied, Attempt, Operation, sum};
use super::plan::Plan;
use super::script::INVALIDATE;
use super::{Inner, lock, reply};
use crate::backoff::Backoff;
use crate::entry::{Change, DocumentVersion, any_change_of, ids_of_document};
use crate::error::{Error, ErrorKind, Result};
use crate::key::Corpus;
use crate::store::ChangeOutcome;

/// The pauses between attempts at the same bucket.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(2));
/// How many names may be on their way to a server at a time, over all buckets: two or three milliseconds of
/// a server's time. If all scripts of a large operation arrived at once, other commands would wait longer.
const NAMES_ON_THE_WAY: usize = 1_024;
/// The number of servers of a cluster that are assumed to share the buckets.
const SERVERS: usize = 4;

tokio::task_local! {
    /// Set while the operation being applied was itself received as an announcement.
    static UNANNOUNCED: ();
}

/// Does `work` without announcing what it invalidates, for changes that were received as announcements.
/// Otherwise, deployments that follow each other would repeat an announcement for ever.
pub(crate) async fn unannounced<T>(work: impl Future<Output = T>) -> T {
    UNANNOUNCED.scope((), work).await
}

impl Inner {
    /// Applies `operation` everywhere, and returns what each of its steps did.
    pub(super) async fn invalidate(&self, operation: Operation) -> Result<Vec<ChangeOutcome>> {
        self.check_open()?;
        if operation.steps.is_empty() {
            return Ok(Vec::new());
        }
        self.list(&operation.corpus);
        let mut buckets = operation.buckets(&self.keys);
        // Operations that are pending in a bucket come first. Otherwise the version that a pending change
        // carries would be registered late, and a change back to the version before it would have been
        // treated as no change.
        if self.outbox.len() > 0 {
            self.try_pending().await;
        }
        // A bucket that still has an earlier operation to come gets this one after it, from the outbox.
        let behind = self.outbox.pending_buckets(&operation.corpus);
        buckets.retain(|bucket| !behind.contains(bucket));
        let (applied, mut left, mut why) = self.apply_everywhere(&operation, buckets, Attempt::First).await;
        // Also if buckets are left: the sets that this call moved away are known to it alone.
        let outcomes = self.complete(&operation, &applied).await;
        let behind: BTreeSet<u16> = operation.buckets(&self.keys).intersection(&behind).copied().collect();
        if !behind.is_empty() {
            left.extend(behind);
            why = "an earlier one is not, either".into();
        }
        if !left.is_empty() {
            return Err(self.keep_for_later(operation, left, why).await);
        }
        // Only once it is in force everywhere: a service that asks again on hearing of it must not be served
        // the old answer.
        self.announce(&operation, &outcomes);
        Ok(outcomes)
    }

    pub(super) async fn hold(&self, corpus: &Corpus, document: &str) -> Result<()> {
        self.check_open()?;
        self.list(corpus);
        let operation = Operation::hold(corpus, document);
        // If the end of an earlier hold is still on its way, it would end this hold.
        if self.outbox.len() > 0 {
            self.try_pending().await;
            if !self.outbox.pending_buckets(corpus).is_empty() {
                let message = "an earlier invalidation is not complete yet: begin the update when it is";
                return Err(Error::new(ErrorKind::Incomplete, message));
            }
        }
        let buckets = operation.buckets(&self.keys);
        let count = buckets.len();
        let (_, left, why) = self.apply_everywhere(&operation, buckets, Attempt::First).await;
        if !left.is_empty() {
            // Nothing goes into the outbox: the caller must not begin the update, and a hold that took effect
            // later would stay.
            let message = format!(
                "the document is held in {} of {count} buckets only: {why}; end the update or begin it again",
                count - left.len()
            );
            return Err(Error::new(ErrorKind::Incomplete, message));
        }
        let key = self.keys.held(corpus);
        let mut note = redis::cmd("HSET");
        note.arg(&key).arg(any_change_of(document).as_bytes()).arg(document);
        // The names are for reports only.
        let _ = self.control.send(&note, &key, self.command_limit()).await;
        Ok(())
    }

    pub(super) async fn release(
        &self,
        corpus: &Corpus,
        document: &str,
        version: Option<DocumentVersion>,
    ) -> Result<ChangeOutcome> {
        let outcomes = self.invalidate(Operation::release(corpus, document, version)).await?;
        let key = self.keys.held(corpus);
        let mut note = redis::cmd("HDEL");
        note.arg(&key);
        for id in ids_of_document(document) {
            note.arg(id.as_bytes());
        }
        let _ = self.control.send(&note, &key, self.command_limit()).await;
        Ok(outcomes.into_iter().next().unwrap_or(ChangeOutcome::Dropped(0)))
    }

    /// Tries every bucket. Returns the results of the buckets that have it, the buckets that are left, and
    /// why.
    async fn apply_everywhere(
        &self,
        operation: &Operation,
        buckets: BTreeSet<u16>,
        attempt: Attempt,
    ) -> (Vec<(u16, Applied)>, BTreeSet<u16>, String) {
        let limit = self.options.invalidate_timeout;
        let deadline = match attempt {
            Attempt::First => Instant::now() + limit,
            // While the servers are away, operations that come after this one should not have to wait.
            Attempt::Again => Instant::now(),
        };
        let plan = &Plan::new(operation, &self.keys);
        let servers = if self.control.is_cluster() { SERVERS } else { 1 };
        let at_once = (servers * NAMES_ON_THE_WAY / plan.names().max(1)).max(servers);
        let mut backoff = BACKOFF;
        let (mut done, mut left, mut why) = (Vec::new(), buckets, String::new());
        loop {
            let give_up = Instant::now() + limit;
            let attempt_in = |number| async move {
                let bucket = Bucket { corpus: &operation.corpus, number };
                (number, self.apply(operation, plan, bucket, attempt, give_up).await)
            };
            let attempts: Vec<_> = left.iter().copied().map(attempt_in).collect();
            let mut applied = Vec::new();
            // If the servers have another layout, other processes do not look where this operation would act.
            // If the check was only refused, the operation goes on: the script knows what to do when there is
            // no room.
            let layout = self.check_layout(&self.control, limit).await;
            let results = match layout.map_err(|error| (error.kind(), error.to_string())) {
                Err((ErrorKind::Config | ErrorKind::Unavailable | ErrorKind::Timeout, unknown)) => {
                    why = unknown;
                    Vec::new()
                }
                _ => futures::stream::iter(attempts).buffer_unordered(at_once).collect::<Vec<_>>().await,
            };
            for (number, result) in results {
                match result {
                    Ok(result) => applied.push((number, result)),
                    Err(error) => why = error.to_string(),
                }
            }
            let unconfirmed = self.confirm(operation, &applied).await;
            if !unconfirmed.is_empty() {
                why = "a replica did not confirm it in time".into();
            }
            for (number, result) in applied {
                if !unconfirmed.contains(&number) {
                    left.remove(&number);
                }
                // Also if it is not confirmed, and will be applied again: what this attempt detached must be
                // drained.
                done.push((number, result));
            }
            let pause = backoff.next_pause();
            if left.is_empty() || Instant::now() + pause >= deadline {
                // The server reports the change on another connection, and so perhaps after this call has
                // returned. And after the scripts, not before: a copy that is validated in between would be
                // trusted for its whole time.
                self.tier.distrust();
                return (done, left, why);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Applies `operation` to one bucket, on the node that has it.
    async fn apply(
        &self,
        operation: &Operation,
        plan: &Plan,
        bucket: Bucket<'_>,
        attempt: Attempt,
        give_up: Instant,
    ) -> Result<Applied, CommandError> {
        // The buckets of a large operation wait for one another, and share one limit: the last ones have what
        // the first ones left.
        let limit = give_up.saturating_duration_since(Instant::now());
        if limit.is_zero() {
            return Err(CommandError::Late { starved: false });
        }
        let names = [self.keys.clock(bucket)];
        let call = INVALIDATE
            .call(&names)
            .nonce()
            .number(self.options.max_ttl.as_millis())
            .number(super::background::MAX_TOMBSTONES)
            .bytes(attempt.word())
            .owned(self.keys.sets(bucket))
            .owned(self.keys.detached(bucket, rand::random()));
        let call = plan.arguments(call, bucket.number);
        let reply = match self.control.call(&call, &names[0], limit).await {
            // The node that has the key did not run the script, so its random bits are still fresh.
            Err(CommandError::Moving { ask: Some((host, port)) }) => {
                self.control.ask(&call.whole(), (&host, port), limit).await
            }
            result => result,
        };
        match reply {
            Ok(reply) => plan.applied(bucket, &reply).ok_or_else(|| {
                CommandError::Unavailable("it gave an unexpected reply to an invalidation".into())
            }),
            // A hold that failed is no hold. All other operations end answers, and may end more of them than
            // requested.
            Err(CommandError::Refused(error)) if !operation.is_hold() => {
                self.chill(&names[0], &error, operation).await
            }
            Err(error) => Err(error),
        }
    }

    /// Removes the clock of a bucket in which the script failed, for example for want of memory. Everything
    /// that is stored in the bucket is gone with it: more than was asked for, but never less.
    async fn chill(
        &self,
        clock: &str,
        error: &redis::RedisError,
        operation: &Operation,
    ) -> Result<Applied, CommandError> {
        tracing::warn!(%error, bucket = clock, "an invalidation failed, so everything in the bucket is dropped");
        let mut unlink = redis::cmd("UNLINK");
        unlink.arg(clock);
        self.control.send(&unlink, clock, self.options.invalidate_timeout).await?;
        let outcomes = vec![Some(ChangeOutcome::Dropped(0)); operation.steps.len()];
        Ok(Applied { replicas: 0, compacts: false, outcomes, detached: Vec::new(), dead: Vec::new() })
    }

    /// Waits for the replicas that were online, and returns the buckets that they do not confirm.
    async fn confirm(&self, operation: &Operation, applied: &[(u16, Applied)]) -> BTreeSet<u16> {
        let waits = applied.iter().filter(|(_, applied)| applied.replicas > 0);
        // One server has one replication stream, so waiting for one bucket is waiting for all of them.
        let most = if self.control.is_cluster() { usize::MAX } else { 1 };
        let waits: Vec<(u16, u64)> =
            waits.map(|(number, applied)| (*number, applied.replicas)).take(most).collect();
        let waits = waits.iter().map(|&(number, replicas)| async move {
            let clock = self.keys.clock(Bucket { corpus: &operation.corpus, number });
            let limit = self.options.replica_timeout;
            (number, self.control.wait(&clock, replicas, limit).await.is_ok_and(|have| have >= replicas))
        });
        let unconfirmed: BTreeSet<u16> = join_all(waits)
            .await
            .into_iter()
            .filter(|(_, is_there)| !is_there)
            .map(|(number, _)| number)
            .collect();
        if self.control.is_cluster() || unconfirmed.is_empty() {
            return unconfirmed;
        }
        applied.iter().map(|(number, _)| *number).collect()
    }

    /// Sums up what was done, and schedules the removal of dead entries.
    async fn complete(&self, operation: &Operation, applied: &[(u16, Applied)]) -> Vec<ChangeOutcome> {
        let mut outcomes: Vec<ChangeOutcome> = (0..operation.steps.len())
            .map(|n| {
                sum(applied.iter().filter_map(|(_, applied)| applied.outcomes.get(n).copied().flatten()))
            })
            .collect();
        for (number, applied) in applied {
            let drain = Drain {
                corpus: operation.corpus.clone(),
                bucket: *number,
                sets: applied.detached.clone(),
                dead: applied.dead.clone(),
                // If this clock already waits for compaction, that run also drops the tombstones that were
                // added since.
                compacts: applied.compacts
                    && lock(&self.compacting).insert((operation.corpus.clone(), *number)),
            };
            if !drain.sets.is_empty() || !drain.dead.is_empty() || drain.compacts {
                let _ = self.drains.send(BackgroundTask::Drain(drain));
            }
        }
        let mut entries = BTreeMap::<u16, Vec<_>>::new();
        for (n, id) in operation.entries() {
            entries.entry(self.keys.bucket(&operation.corpus, id).number).or_default().push((n, id));
        }
        for (number, entries) in entries {
            for some in entries.chunks(STEP) {
                let ids: Vec<_> = some.iter().map(|(_, id)| *id).collect();
                let bucket = Bucket { corpus: &operation.corpus, number };
                let reaped = self.reap(bucket, &ids).await.unwrap_or_default();
                let mut reaped: HashSet<_> = reaped.into_iter().map(|(id, _)| id).collect();
                for (n, id) in some {
                    outcomes[*n] = ChangeOutcome::Dropped(u64::from(reaped.remove(id)));
                }
            }
        }
        outcomes
    }

    /// Announces the changes to other services.
    fn announce(&self, operation: &Operation, outcomes: &[ChangeOutcome]) {
        use super::operation::Step;
        if UNANNOUNCED.try_get().is_ok() {
            return;
        }
        let changes: Vec<Change> = operation
            .steps
            .iter()
            .zip(outcomes)
            .filter(|(_, outcome)| **outcome != ChangeOutcome::Unchanged)
            .map(|(step, _)| match step {
                Step::Change(change) => change.clone(),
                Step::Hold(document) => Change::document(document),
                Step::Release { document, version } => {
                    Change::Document { id: document.clone(), version: version.clone() }
                }
            })
            .collect();
        if changes.is_empty() {
            return;
        }
        let message = json!({
            "v": 1,
            "corpus": operation.corpus.as_str(),
            "changes": changes,
            "origin": format!("{:032x}", self.origin),
            "at_ms": self.options.clock.now().as_millis(),
        });
        let channel = self.keys.announcements();
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(&channel).arg(message.to_string());
        let (control, limit) = (self.control.clone(), self.command_limit());
        let announce = async move {
            if let Err(error) = control.send(&publish, &channel, limit).await {
                tracing::debug!(%error, "an invalidation was not announced");
            }
        };
        // In the background: freshness does not depend on who receives the announcement.
        self.awaited.spawn_on(announce, &self.runtime);
    }

    /// Puts what is left of `operation` into the outbox, and returns the error that says so.
    async fn keep_for_later(&self, operation: Operation, left: BTreeSet<u16>, why: String) -> Error {
        let count = left.len();
        let of = self.keys.bucket_count();
        let outbox = Arc::clone(&self.outbox);
        // Before the caller hears that it is incomplete: from then on this process must not serve what the
        // change was to end.
        let kept = tokio::task::spawn_blocking(move || outbox.add(&operation, left)).await;
        self.retry.notify_one();
        let incomplete = |what: &str| {
            let message =
                format!("the invalidation is not in force in {count} of {of} buckets ({why}); {what}");
            Error::new(ErrorKind::Incomplete, message)
        };
        match kept {
            Ok(Ok(())) if self.options.outbox.is_some() => incomplete("it is kept and will be retried"),
            Ok(Ok(())) => incomplete("it is retried as long as this process runs"),
            Ok(Err(error)) => incomplete("and it could not be kept: invalidate again").with_source(error),
            Err(broken) => incomplete("and it could not be kept: invalidate again").with_source(broken),
        }
    }

    /// Tries what is in the outbox again and again until the store is closed.
    pub(super) async fn retry_pending(self: Arc<Self>) {
        let mut backoff = BACKOFF;
        loop {
            let before = self.outbox.len();
            if before == 0 {
                backoff.reset();
                self.retry.notified().await;
                continue;
            }
            self.try_pending().await;
            if self.outbox.len() < before {
                backoff.reset();
            }
            backoff.pause().await;
        }
    }

    /// Tries what is in the outbox, keeping the original order in each bucket.
    async fn try_pending(&self) {
        // Two tasks at a time would not keep the order.
        let _alone = self.retrying.lock().await;
        let mut blocked = BTreeSet::new();
        for (id, pending) in self.outbox.pending() {
            let corpus = &pending.operation.corpus;
            let buckets: BTreeSet<u16> = pending
                .buckets
                .iter()
                .copied()
                .filter(|b| !blocked.contains(&(corpus.clone(), *b)))
                .collect();
            if buckets.is_empty() {
                continue;
            }
            let again = Attempt::Again;
            let (applied, left, _) = self.apply_everywhere(&pending.operation, buckets.clone(), again).await;
            blocked.extend(left.iter().map(|bucket| (corpus.clone(), *bucket)));
            let done: Vec<u16> = buckets.difference(&left).copied().collect();
            if done.is_empty() {
                // The servers are away for this operation, so they are away for the others, too.
                return;
            }
            let outcomes = self.complete(&pending.operation, &applied).await;
            let outbox = Arc::clone(&self.outbox);
            let is_last = done.len() == pending.buckets.len();
            let note = move || done.iter().for_each(|bucket| outbox.done(id, *bucket));
            let _ = tokio::task::spawn_blocking(note).await;
            if is_last {
                self.announce(&pending.operation, &outcomes);
                tracing::info!("an invalidation that was incomplete is in force");
            }
        }
    }

    /// Deletes those of `ids` that are dead, notifies indexes, and returns what was deleted.
    pub(super) async fn reap(
        &self,
        bucket: Bucket<'_>,
        ids: &[crate::key::EntryId],
    ) -> Result<Vec<(crate::key::EntryId, crate::key::ScopeId)>, CommandError> {
        let mut names = vec![self.keys.clock(bucket), self.keys.all(bucket)];
        names.extend(ids.iter().map(|id| self.keys.entry(bucket, *id)));
        let call = super::script::REAP.call(&names).nonce();
        let call = ids.iter().fold(call, |call, id| call.bytes(id.as_bytes()));
        let reply = self.control.call(&call, &names[0], self.options.invalidate_timeout).await?;
        let scopes = reply::items(&reply).unwrap_or_default();
        let reaped: Vec<_> = ids
            .iter()
            .zip(scopes)
            .filter_map(|(id, scope)| Some((*id, super::record::scope_of(scope)?)))
            .collect();
        if !reaped.is_empty() {
            for (id, _) in &reaped {
                self.tier.forget(*id);
            }
            if let Some(listener) = self.listener() {
                listener.removed(&reaped);
            }
            self.publish_removed(bucket.corpus, &reaped);
        }
        Ok(reaped)
    }
}
