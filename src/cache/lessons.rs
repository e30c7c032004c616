//! What was learned from feedback, as lookups need it: a fold over the store's log of judgements.
//!
//! The log is all there is to know; this is what of it lookups ask for, in memory and bounded. It is read when the cache
//! is built, after each judgement of this process and, where processes share the store, once a second. A pair that was
//! called wrong through this cache is not served again from that moment on, whatever becomes of the log.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use moka::sync::Cache as Bounded;
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::judgement::{EntryRecord, Feedback, Judge, Judged, Judgement, JudgementCursor, MAX_JUDGEMENTS};
use crate::key::EntryId;
use crate::store::Store;
use crate::verify::Verifier;

/// How many judgements are read at a time.
const PAGE: usize = 1_000;
/// How often a log that processes share is looked at.
const POLL: Duration = Duration::from_secs(1);
/// How many judged pairs wait for the verifier at most, the newest.
const MAX_HEARD: usize = 20_000;
/// What lookups know of pairs.
#[derive(Debug)]
pub(crate) struct Lessons {
    store: Arc<dyn Store>,
    /// Question asked and entry that do not belong together, with who said so.
    negatives: Bounded<(EntryId, EntryId), Judge>,
    /// Question asked to the entry that answers it, though no lookup would find it.
    promoted: Bounded<EntryId, EntryId>,
    records: Bounded<EntryId, Arc<EntryRecord>>,
    /// What the verifier has not been told yet.
    heard: std::sync::Mutex<VecDeque<Judged>>,
    /// Says that there is something.
    hearing: Notify,
    /// Most caches learn nothing, and their lookups ask nothing.
    any: AtomicBool,
    /// What was read of the log; held while it is read, so that nothing is counted twice.
    read: Mutex<Option<JudgementCursor>>,
}

impl Lessons {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let most = MAX_JUDGEMENTS as u64;
        Self {
            store,
            negatives: Bounded::new(most),
            promoted: Bounded::new(most),
            records: Bounded::new(most),
            heard: std::sync::Mutex::default(),
            hearing: Notify::new(),
            any: AtomicBool::new(false),
            read: Mutex::new(None),
        }
    }

    /// Whether the answer of `cached` was called wrong for the question `asked`.
    pub(crate) fn forbid(&self, asked: EntryId, cached: EntryId) -> bool {
        self.any.load(Ordering::Acquire) && self.negatives.contains_key(&(asked, cached))
    }

    /// The entry that was approved for the question `asked`.
    pub(crate) fn promoted(&self, asked: EntryId) -> Option<EntryId> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.promoted.get(&asked).filter(|&cached| !self.forbid(asked, cached))
    }

    /// What was said of an entry.
    pub(crate) fn record_of(&self, cached: EntryId) -> Option<Arc<EntryRecord>> {
        if self.any.load(Ordering::Acquire) { self.records.get(&cached) } else { None }
    }

    /// Learns from a judgement of this process.
    pub(crate) async fn learn(&self, judgement: &Judgement) -> Result<()> {
        // At once and in any case; the rest follows from the log.
        self.note_pair(judgement);
        self.store.record_judgement(judgement).await?;
        self.read_on().await
    }

    /// Reads what is new in the log.
    pub(crate) async fn read_on(&self) -> Result<()> {
        let mut read = self.read.lock().await;
        loop {
            let page = self.store.judgements(*read, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            *read = Some(*last);
            for (_, judgement) in &page {
                self.note_pair(judgement);
                self.count(judgement);
            }
        }
    }

    /// Reads what other processes learn, until `shutdown`.
    pub(crate) async fn follow(self: Arc<Self>, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(POLL)).await.is_some() {
            if let Err(error) = self.read_on().await {
                tracing::debug!(%error, "what other processes learned was not read");
            }
        }
    }

    fn hear(&self, judged: Judged) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() == MAX_HEARD {
            heard.pop_front();
        }
        heard.push_back(judged);
        self.hearing.notify_one();
    }

    /// Tells `verifier` what was said of pairs, until `shutdown`.
    pub(crate) async fn teach(self: Arc<Self>, verifier: Arc<dyn Verifier>, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(self.hearing.notified()).await.is_some() {
            let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
            if heard.is_empty() {
                continue;
            }
            match shutdown.run_until_cancelled(verifier.learn(heard.into())).await {
                Some(Err(error)) => tracing::warn!(%error, "the verifier did not learn from feedback"),
                Some(Ok(())) => {}
                None => return,
            }
        }
    }

    /// What a judgement says of its pair. Doing it twice changes nothing.
    fn note_pair(&self, judgement: &Judgement) {
        let pair = (judgement.asked, judgement.cached);
        match (judgement.feedback, judgement.judge) {
            _ if judgement.is_exact() => return,
            (Feedback::Wrong, judge) => {
                // A caller's word is never replaced by that of a judge.
                if self.negatives.get(&pair) != Some(Judge::Caller) {
                    self.negatives.insert(pair, judge);
                }
            }
            // Callers overrule the shadow judge, and nobody overrules them.
            (Feedback::Right, Judge::Caller) => {
                if self.negatives.get(&pair) != Some(Judge::Caller) {
                    self.negatives.invalidate(&pair);
                }
            }
            (Feedback::Right, Judge::NearMiss) => self.promoted.insert(judgement.asked, judgement.cached),
            (Feedback::Right, Judge::Shadow) => return,
        }
        self.any.store(true, Ordering::Release);
    }

    fn count(&self, judgement: &Judgement) {
        let mut record = self.records.get(&judgement.cached).unwrap_or_default();
        if !judgement.is_exact() {
            self.hear(Judged::new(judgement.clone(), &record));
        }
        Arc::make_mut(&mut record).count(judgement);
        self.records.insert(judgement.cached, record);
        self.any.store(true, Ordering::Release);
    }
}
