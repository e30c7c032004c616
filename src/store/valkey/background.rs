//! Work in the background: cleaning up, counting hits, retrying, and following changes.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use redis::{PushInfo, PushKind};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::keys::Bucket;
use super::link::CommandError;
use super::script::{COMPACT, HITS};
use super::{Inner, lock, reply};
use crate::key::{Corpus, EntryId};

/// The most tombstones and versions that the clock of a bucket keeps, about 70 bytes each. Above this limit,
/// the older half is dropped, and with it every entry that was stored before those tombstones. A document has
/// two tombstones, and a version if one was given.
pub(super) const MAX_TOMBSTONES: u64 = 1 << 19;
/// How many entries are removed at a time, so that no one waits long for the server.
pub(super) const STEP: usize = 128;
/// How many sets are examined at a time.
const SETS_AT_ONCE: usize = 32;
/// The most distinct entries that can have hits waiting to be counted.
const MAX_COUNTED: usize = 100_000;
const HITS_EVERY: Duration = Duration::from_secs(1);
/// How often the store measures how late this process runs.
const DELAY_EVERY: Duration = Duration::from_millis(100);

/// What an invalidation ended: the sets of entries that it moved away, and the entries from the sets that it
/// emptied. Also a clock that may have tombstones to drop.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) corpus: Corpus,
    pub(super) bucket: u16,
    pub(super) sets: Vec<String>,
    pub(super) dead: Vec<EntryId>,
    pub(super) compacts: bool,
}

/// The background tasks that are done one after another.
#[derive(Debug)]
pub(super) enum BackgroundTask {
    Drain(Drain),
    /// Signals that everything before it is done.
    Mark(oneshot::Sender<()>),
}

impl Inner {
    /// Waits until everything invalidated so far is cleaned away, but no longer than an invalidation may
    /// take.
    pub(super) async fn drained(&self) {
        let (done, is_done) = oneshot::channel();
        if self.drains.send(BackgroundTask::Mark(done)).is_ok() {
            let _ = tokio::time::timeout(self.options.invalidate_timeout, is_done).await;
        }
    }

    /// Runs `work` until it ends or the store is closed.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        let work = async move {
            shutdown.run_until_cancelled(work).await;
        };
        // Spawned on the stored runtime handle: a claim also ends when it is dropped outside of the runtime.
        self.tasks.spawn_on(work, &self.runtime);
    }

    pub(super) fn start(
        self: &Arc<Self>,
        drains: mpsc::UnboundedReceiver<BackgroundTask>,
        pushes: mpsc::UnboundedReceiver<PushInfo>,
    ) {
        self.spawn(Arc::clone(self).drain(drains));
        self.spawn(Arc::clone(self).count_hits());
        self.spawn(Arc::clone(self).measure_delay());
        self.spawn(Arc::clone(self).retry_pending());
        self.spawn(Arc::clone(self).follow_streams());
        if self.tier.bound().is_some() {
            self.spawn(Arc::clone(self).track(pushes));
        }
    }

    async fn drain(self: Arc<Self>, mut drains: mpsc::UnboundedReceiver<BackgroundTask>) {
        while let Some(chore) = drains.recv().await {
            let drain = match chore {
                BackgroundTask::Drain(drain) => drain,
                BackgroundTask::Mark(done) => {
                    let _ = done.send(());
                    continue;
                }
            };
            let bucket = Bucket { corpus: &drain.corpus, number: drain.bucket };
            self.reap_all(bucket, drain.dead).await;
            self.drain_sets(bucket, drain.sets).await;
            if drain.compacts {
                // Before the run, not after it: a change that finds too many tombstones meanwhile asks for
                // another run, because this one may have passed theirs already.
                lock(&self.compacting).remove(&(drain.corpus.clone(), drain.bucket));
                if let Err(error) = self.compact(bucket).await {
                    tracing::debug!(%error, "a clock is left with old tombstones");
                }
            }
        }
    }

    /// Removes the entries in `sets`. Entries that cannot be removed now are left to expire.
    async fn drain_sets(&self, bucket: Bucket<'_>, mut sets: Vec<String>) {
        while !sets.is_empty() {
            let some = sets.split_off(sets.len().saturating_sub(SETS_AT_ONCE));
            let popped = join_all(some.iter().map(|set| self.pop(set))).await;
            let mut ids = Vec::new();
            for (set, popped) in some.into_iter().zip(popped) {
                match popped {
                    Ok(popped) => {
                        if popped.len() == STEP {
                            sets.push(set);
                        }
                        ids.extend(popped);
                    }
                    Err(error) => tracing::debug!(%error, set, "a set of dead entries is left to expire"),
                }
            }
            self.reap_all(bucket, ids).await;
        }
    }

    /// Removes those of `ids` that are dead. Entries that cannot be removed now are left to expire.
    async fn reap_all(&self, bucket: Bucket<'_>, mut ids: Vec<EntryId>) {
        // An entry that depends on several names was in the set of each.
        ids.sort_unstable();
        ids.dedup();
        for ids in ids.chunks(STEP) {
            if let Err(error) = self.reap(bucket, ids).await {
                tracing::debug!(%error, "dead entries are left to expire");
            }
        }
    }

    /// Takes up to [`STEP`] ids from a set.
    async fn pop(&self, set: &str) -> Result<Vec<EntryId>, CommandError> {
        let mut pop = redis::cmd("SPOP");
        pop.arg(set).arg(STEP);
        let popped = self.control.send(&pop, set, self.options.invalidate_timeout).await?;
        let popped = reply::items(&popped).unwrap_or_default().iter();
        Ok(popped.filter_map(|id| Some(EntryId::from_bytes(reply::bytes(id)?.try_into().ok()?))).collect())
    }

    async fn compact(&self, bucket: Bucket<'_>) -> Result<(), CommandError> {
        let names = [self.keys.clock(bucket)];
        let mut cursor = "0".to_owned();
        loop {
            let call = COMPACT.call(&names).nonce().bytes(&cursor);
            let reply = self.control.call(&call, &names[0], self.options.invalidate_timeout).await?;
            match reply::text(&reply) {
                Some("0") | None => return Ok(()),
                Some(next) => next.clone_into(&mut cursor),
            }
        }
    }

    pub(super) fn record_hit(&self, corpus: &Corpus, id: EntryId) {
        let mut hits = lock(&self.hits);
        if hits.len() < MAX_COUNTED {
            *hits.entry((corpus.clone(), id)).or_default() += 1;
        }
    }

    async fn count_hits(self: Arc<Self>) {
        loop {
            tokio::time::sleep(HITS_EVERY).await;
            self.flush_hits().await;
        }
    }

    /// Measures how late this process runs: how long after its time a timer fires.
    async fn measure_delay(self: Arc<Self>) {
        loop {
            let due = Instant::now() + DELAY_EVERY;
            tokio::time::sleep_until(due).await;
            self.link.pace().delayed(due.elapsed());
        }
    }

    /// Makes the server count the hits since the last call. Hits that cannot be counted now are lost.
    pub(super) async fn flush_hits(&self) {
        let hits = std::mem::take(&mut *lock(&self.hits));
        let mut by_bucket = std::collections::HashMap::<_, Vec<_>>::new();
        for ((corpus, id), count) in &hits {
            by_bucket.entry(self.keys.bucket(corpus, *id)).or_default().push((*id, *count));
        }
        for (bucket, counted) in by_bucket {
            for counted in counted.chunks(STEP) {
                let names: Vec<String> = counted.iter().map(|(id, _)| self.keys.entry(bucket, *id)).collect();
                let call = counted.iter().fold(HITS.call(&names), |call, (_, count)| call.number(count));
                if self.control.call(&call, &names[0], self.options.invalidate_timeout).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Learns from the server which clocks changed (RESP3 client tracking in broadcasting mode).
    async fn track(self: Arc<Self>, mut pushes: mpsc::UnboundedReceiver<PushInfo>) {
        let mut is_tracking = false;
        loop {
            if !is_tracking {
                let mut tracking = redis::cmd("CLIENT");
                tracking
                    .arg("TRACKING")
                    .arg("ON")
                    .arg("BCAST")
                    .arg("PREFIX")
                    .arg(format!("{}c:", self.keys.prefix()));
                is_tracking = self.link.send_to_all(&tracking, self.options.invalidate_timeout).await.is_ok();
                // Changes from before this point are not reported.
                self.tier.distrust();
            }
            let retry = Duration::from_secs(if is_tracking { 3_600 } else { 1 });
            match tokio::time::timeout(retry, pushes.recv()).await {
                Ok(Some(push)) => {
                    if push.kind == PushKind::Disconnection {
                        is_tracking = false;
                    }
                    if matches!(push.kind, PushKind::Disconnection | PushKind::Invalidate) {
                        self.tier.distrust();
                    }
                }
                Ok(None) => return,
                Err(_) => {}
            }
        }
    }
}
