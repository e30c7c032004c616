//! What was learned from feedback, in the form that lookups need: a fold over the store's log of judgements.
//!
//! The log is the source of everything; this holds the part that lookups ask for, in memory and bounded. The
//! log is read when the cache is built, after each judgement of this process and, if processes share the
//! store, once a second. A pair that was called wrong through this cache is not served again from that moment
//! on, whatever happens to the log, and what was revoked through it no longer counts from then on.
//!
//! If a judge's decision is revoked after the verifier learned from it, the verifier keeps what it learned
//! until the cache is built again. When a caller's feedback is revoked, the verifier forgets everything, and
//! learns again from what is left.
//!
//! ```text
//! callers ──┐                  ┌─ pairs ───> lookups: is this entry forbidden, or approved, for the question?
//! judges ───┼─> log ── fold ───┼─ records ─> features: how often the entry's answer was right and wrong
//! revoked ──┘  (store)         └─ heard ───> the verifier's learner: weights and thresholds of the scope
//! ```
//!
//! The three have different reach. A *pair* decides by itself, for its own two questions. A *record* is one
//! input among many of the probability for any question near the entry. What is *heard* moves a calibration
//! (`verify/learning.rs`): its weights either way, but its thresholds only up, because callers judge only what
//! they were served, which says nothing about the rest.
//!
//! Why in this order:
//!
//! - *The pair is noted before the log is written*, so that it holds here even if that fails. Everything else
//!   is counted when it is read back, so that each judgement counts once, in the order of the log, which is
//!   the same in every process and after a restart.
//! - *A judgement is heard with the record from before it.* With itself in the record, the label would be
//!   among the inputs that it is to be learned from.
//! - *A revocation reads on, withdraws, then writes.* It also covers what others have just said, and holds
//!   here even if the log cannot be written.
//! - *The verifier forgets before it hears again*, or what was revoked would count beside what is left.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use moka::sync::Cache as BoundedCache;
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::error::Result;
use crate::judgement::{
    EntryRecord, Feedback, Judge, Judged, Judgement, JudgementCursor, Logged, MAX_JUDGEMENTS, Revocation,
    Revocations,
};
use crate::key::EntryId;
use crate::store::JudgementLog;
use crate::verify::Verifier;

/// How many judgements are read at a time.
const PAGE: usize = 1_000;
/// How often a log that processes share is read.
const POLL: Duration = Duration::from_secs(1);
/// How many judged pairs wait for the verifier at most; the newest are kept.
const MAX_HEARD: usize = 20_000;
/// How many approved entries of a question are known at most; the newest are kept.
const MAX_APPROVED: usize = 8;

/// A question asked and an entry.
type Pair = (EntryId, EntryId);

/// What lookups know about pairs.
#[derive(Debug)]
pub(crate) struct FeedbackIndex {
    log: Arc<dyn JudgementLog>,
    pairs: BoundedCache<Pair, Arc<Said>>,
    /// Maps a question asked to the entries that answer it, although no lookup would find them, the newest
    /// first. Later feedback on the pair overrides it.
    promoted: BoundedCache<EntryId, Arc<[EntryId]>>,
    records: BoundedCache<EntryId, Arc<EntryRecord>>,
    revocations: std::sync::Mutex<Revocations>,
    /// Judgements that the verifier has not received yet.
    heard: std::sync::Mutex<VecDeque<Judged>>,
    /// Notifies that judgements wait for the verifier.
    hearing: Notify,
    /// Notifies that the verifier must forget what it learned.
    unlearning: Notify,
    /// False for most caches, which learn nothing: their lookups then ask nothing.
    any: AtomicBool,
    /// Whether a caller's feedback was revoked, and not everything was counted again since.
    is_stale: AtomicBool,
    /// How far the log was read; held while it is read, so that nothing is counted twice.
    read: Mutex<Option<JudgementCursor>>,
}

/// What is known about a pair.
#[derive(Debug)]
struct Said {
    word: Word,
    by: Option<Arc<str>>,
    at: Timestamp,
    /// How often it was served because a judge approved it.
    served: AtomicU64,
}

/// Whose decision holds: an earlier variant never replaces a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    /// A judge decided.
    Judge { is_right: bool },
    /// A judge's decision was revoked, and no judge may decide again.
    Revoked,
    /// A caller called it right.
    Right,
    /// A caller called it wrong.
    Wrong,
}

impl Word {
    fn of(judgement: &Judgement) -> Self {
        let is_right = judgement.feedback == Feedback::Right;
        match (judgement.judge, is_right) {
            (Judge::Caller, true) => Self::Right,
            (Judge::Caller, false) => Self::Wrong,
            (Judge::Shadow | Judge::NearMiss, is_right) => Self::Judge { is_right },
        }
    }

    /// Whether `other` may take its place.
    fn yields_to(self, other: Self) -> bool {
        matches!((self, other), (Self::Judge { .. }, Self::Judge { .. })) || other >= self
    }
}

impl FeedbackIndex {
    pub(crate) fn new(log: Arc<dyn JudgementLog>) -> Self {
        let most = MAX_JUDGEMENTS as u64;
        Self {
            log,
            pairs: BoundedCache::new(most),
            promoted: BoundedCache::new(most),
            records: BoundedCache::new(most),
            revocations: std::sync::Mutex::default(),
            heard: std::sync::Mutex::default(),
            hearing: Notify::new(),
            unlearning: Notify::new(),
            any: AtomicBool::new(false),
            is_stale: AtomicBool::new(false),
            read: Mutex::new(None),
        }
    }

    /// Whether the answer of `cached` was called wrong for the question `asked`.
    pub(crate) fn forbid(&self, asked: EntryId, cached: EntryId) -> bool {
        matches!(self.word(asked, cached), Some(Word::Wrong | Word::Judge { is_right: false }))
    }

    /// The entries that were approved for the question `asked`, the newest first.
    pub(crate) fn promoted(&self, asked: EntryId) -> Vec<EntryId> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let promoted = self.promoted.get(&asked);
        let promoted = promoted.iter().flat_map(|entries| entries.iter().copied());
        promoted.filter(|&cached| !self.forbid(asked, cached)).collect()
    }

    /// Whether a judge has nothing left to decide about a near miss.
    pub(crate) fn is_decided(&self, asked: EntryId, cached: EntryId) -> bool {
        self.word(asked, cached).is_some()
    }

    /// Whether someone whose decision overrides a judge's gave feedback on the pair.
    pub(crate) fn is_out_of_court(&self, asked: EntryId, cached: EntryId) -> bool {
        self.word(asked, cached).is_some_and(|word| word >= Word::Revoked)
    }

    /// Counts that an approved pair was served.
    pub(crate) fn count_served(&self, asked: EntryId, cached: EntryId) {
        if let Some(said) = self.pairs.get(&(asked, cached)) {
            said.served.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often this process served an approved pair.
    pub(crate) fn served(&self, asked: EntryId, cached: EntryId) -> u64 {
        self.pairs.get(&(asked, cached)).map_or(0, |said| said.served.load(Ordering::Relaxed))
    }

    /// Whether the judgement at `cursor` was revoked.
    pub(crate) fn is_revoked(&self, cursor: JudgementCursor, judgement: &Judgement) -> bool {
        self.revocations.lock().unwrap_or_else(PoisonError::into_inner).cover(cursor, judgement)
    }

    /// The feedback on an entry.
    pub(crate) fn record_of(&self, cached: EntryId) -> Option<Arc<EntryRecord>> {
        if self.any.load(Ordering::Acquire) { self.records.get(&cached) } else { None }
    }

    /// Learns from a judgement of this process.
    pub(crate) async fn learn(&self, judgement: Judgement) -> Result<()> {
        // At once and in any case; the rest is read from the log.
        self.note_pair(&judgement);
        self.log.record_judgement(&Logged::Judgement(judgement)).await?;
        self.read_on().await
    }

    /// Takes back decisions of judges; returns for how many pairs.
    pub(crate) async fn revoke(&self, revocation: Revocation) -> Result<u64> {
        // What other processes learned lately counts, too. If it cannot be read, what is known here is taken
        // back anyway.
        let read = self.read_on().await;
        let withdrawn = self.withdraw(&revocation);
        self.log.record_judgement(&Logged::Revocation { revoke: revocation }).await?;
        read?;
        self.read_on().await?;
        Ok(withdrawn)
    }

    /// Reads new records of the log.
    pub(crate) async fn read_on(&self) -> Result<()> {
        let mut read = self.read.lock().await;
        loop {
            let page = self.log.judgements(*read, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            *read = Some(*last);
            for (cursor, logged) in &page {
                match logged {
                    Logged::Judgement(judgement) => {
                        if self.note_pair(judgement) {
                            self.count(judgement);
                        }
                    }
                    Logged::Revocation { revoke } => {
                        self.revocations.lock().unwrap_or_else(PoisonError::into_inner).note(*cursor, revoke);
                        self.withdraw(revoke);
                        self.is_stale.fetch_or(revoke.callers, Ordering::AcqRel);
                    }
                }
            }
        }
        if let Some(last) = *read
            && self.is_stale.load(Ordering::Acquire)
        {
            self.learn_again(last).await?;
            self.is_stale.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Counts everything that is in force up to `last` again, and makes the verifier learn it again.
    /// Meanwhile, pairs keep their state; a pair whose decision was revoked gets that of anyone else who gave
    /// feedback on it.
    async fn learn_again(&self, last: JudgementCursor) -> Result<()> {
        let records: Vec<EntryId> = self.records.iter().map(|(entry, _)| *entry).collect();
        for entry in records {
            self.records.invalidate(&entry);
        }
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.unlearning.notify_one();
        let mut after = None;
        loop {
            let page = self.log.judgements(after, PAGE).await?;
            let Some((end, _)) = page.last() else { return Ok(()) };
            after = Some(*end);
            for (cursor, logged) in &page {
                if *cursor > last {
                    return Ok(());
                }
                if let Logged::Judgement(judgement) = logged
                    && !self.is_revoked(*cursor, judgement)
                    && self.note_pair(judgement)
                {
                    self.count(judgement);
                }
            }
        }
    }

    /// Reads what other processes learn, until `shutdown`.
    pub(crate) async fn follow(self: Arc<Self>, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(POLL)).await.is_some() {
            if let Err(error) = self.read_on().await {
                tracing::debug!(%error, "lessons of other processes could not be read");
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

    /// Passes feedback on pairs to `verifier`, until `shutdown`.
    pub(crate) async fn teach(self: Arc<Self>, verifier: Arc<dyn Verifier>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.unlearning.notified() => verifier.forget(),
                () = self.hearing.notified() => {}
            }
            let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
            if heard.is_empty() {
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                // What it is about to learn will be passed to it again.
                () = self.unlearning.notified() => {
                    verifier.forget();
                    self.hearing.notify_one();
                }
                learned = verifier.learn(heard.into()) => if let Err(error) = learned {
                    tracing::warn!(%error, "the verifier did not learn from feedback");
                }
            }
        }
    }

    fn word(&self, asked: EntryId, cached: EntryId) -> Option<Word> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.pairs.get(&(asked, cached)).map(|said| said.word)
    }

    /// Notes a judgement on its pair. Doing it twice changes nothing. Returns whether the judgement counts: a
    /// judge's decision on a pair that was revoked does not.
    fn note_pair(&self, judgement: &Judgement) -> bool {
        if judgement.is_exact() {
            return true;
        }
        let pair = (judgement.asked, judgement.cached);
        let (word, known) = (Word::of(judgement), self.pairs.get(&pair));
        if matches!(word, Word::Judge { .. }) && known.as_ref().is_some_and(|said| said.word == Word::Revoked)
        {
            return false;
        }
        if known.as_ref().is_none_or(|said| said.word.yields_to(word)) {
            let served = known.map_or(0, |said| said.served.load(Ordering::Relaxed));
            let said =
                Said { word, by: judgement.by.clone(), at: judgement.at, served: AtomicU64::new(served) };
            self.pairs.insert(pair, Arc::new(said));
        }
        if (judgement.feedback, judgement.judge) == (Feedback::Right, Judge::NearMiss) {
            let known = self.promoted.get(&judgement.asked).unwrap_or_else(|| Arc::new([]));
            let others = known.iter().copied().filter(|&cached| cached != judgement.cached);
            let entries = std::iter::once(judgement.cached).chain(others).take(MAX_APPROVED).collect();
            self.promoted.insert(judgement.asked, entries);
        }
        self.any.store(true, Ordering::Release);
        true
    }

    /// Takes back what `revocation` covers; returns for how many pairs. Doing it twice changes nothing.
    fn withdraw(&self, revocation: &Revocation) -> u64 {
        let is_covered = |pair: Pair, said: &Said| {
            let is_callers = matches!(said.word, Word::Right | Word::Wrong);
            let is_judges = matches!(said.word, Word::Judge { .. });
            (if revocation.callers { is_callers } else { is_judges })
                && revocation.fits(pair, said.by.as_deref(), said.at)
        };
        let covered: Vec<(Pair, Arc<Said>)> = match revocation.pair {
            Some(pair) => self.pairs.get(&pair).into_iter().map(|said| (pair, said)).collect(),
            None => self.pairs.iter().map(|(pair, said)| (*pair, said)).collect(),
        };
        let mut withdrawn = 0;
        for ((asked, cached), said) in covered.into_iter().filter(|(pair, said)| is_covered(*pair, said)) {
            self.pairs.invalidate(&(asked, cached));
            let promoted = self.promoted.get(&asked).unwrap_or_else(|| Arc::new([]));
            self.promoted.insert(asked, promoted.iter().copied().filter(|&entry| entry != cached).collect());
            if let (Some(mut record), Word::Judge { is_right }) = (self.records.get(&cached), said.word) {
                Arc::make_mut(&mut record).uncount(is_right);
                self.records.insert(cached, record);
            }
            withdrawn += 1;
        }
        if let Revocation { pair: Some(pair), by: None, since: None, callers: false } = revocation
            && self.pairs.get(pair).is_none_or(|said| said.word < Word::Revoked)
        {
            let (by, at) = (None, Timestamp::default());
            let said = Said { word: Word::Revoked, by, at, served: AtomicU64::new(0) };
            self.pairs.insert(*pair, Arc::new(said));
            self.any.store(true, Ordering::Release);
        }
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.retain(|judged| !revocation.covers(&judged.judgement));
        withdrawn
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
