//! Letting a judge decide on hits and near misses, in the background.
//!
//! No caller waits for it. Near misses and sampled hits wait in a [queue](crate::judge::queue) for the
//! [budget](crate::judge::budget). A judge's decision is handled like all other feedback, but it removes no
//! answer: it is about pairs, not about answers. An approved pair is served as long as its entry is live
//! under the invalidation clock, which is checked each time. Here, the entry is looked up so that the judge
//! sees its present answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::future::join_all;
use moka::sync::Cache as BoundedCache;
use tokio::sync::{Notify, Semaphore};

use crate::cache::candidates::{Near, Unlikely};
use crate::cache::query::Prepared;
use crate::cache::{Cache, Inner};
use crate::clock::{Clock, Timestamp};
use crate::embedding::Embedding;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::judge::budget::Budget;
use crate::judge::queue::{NEIGHBOURS, Neighbour, Pair, Queue};
use crate::judge::{Case, JudgeStatus, Ruling, Shadow};
use crate::judgement::{Feedback, Judge};
use crate::key::EntryId;
use crate::store::Found;
use crate::verify::{Outcome, Stage};

/// How many neighbours of a near miss are looked at, to find the likeliest.
const LOOKED_AT: usize = 8;
/// How many near misses are looked at at the same time; further ones are left out.
const MAX_LOOKS: usize = 64;
/// How many pairs that were put up lately are remembered, and for how long they are not put up again.
const MAX_PUT_UP: u64 = 20_000;
const PUT_UP_FOR: Duration = Duration::from_hours(24);
/// The most bytes of questions and answers in one call; a single case may have more.
const MAX_CALL_BYTES: usize = 64 * 1024;
/// How often a judge may fail on a case.
const MAX_FAILURES: u8 = 3;
/// How long a judge is left alone after it failed on all cases of a call.
const REST: Duration = Duration::from_mins(1);
/// The factor that a veto applies to the likelihood: guards are seldom wrong, so vetoed pairs come after all
/// others.
const VETOED: f32 = 0.01;

/// A judge, the pairs that wait for it, and what it may still cost.
#[derive(Debug)]
pub(crate) struct Judging {
    shadow: Shadow,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Calls at a time.
    places: Arc<Semaphore>,
    /// Near misses that are being looked at.
    looks: Arc<Semaphore>,
    /// The question that was asked, and the entry.
    put_up: BoundedCache<(EntryId, EntryId), ()>,
    /// Notifies that something waits.
    waiting: Notify,
    /// Notifies that something is done.
    done: Notify,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    budget: Budget,
    rests_until: Timestamp,
    /// Looks and calls in progress.
    at_work: usize,
}

/// Work that is in progress until this is dropped.
pub(super) struct AtWork(Arc<Judging>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.state().at_work -= 1;
        self.0.done.notify_waiters();
    }
}

impl State {
    /// Spends a call for up to `batch` pairs if it is time. If not, returns how long to wait until it is, or
    /// none if more pairs have to come first.
    fn spend(&mut self, batch: usize, now: Timestamp) -> Result<(), Option<Duration>> {
        if self.queue.len() == 0 {
            return Err(None);
        }
        let rest = self.rests_until.saturating_since(now);
        // If a rest seems longer than it may be, the clock was set back.
        if !rest.is_zero() && rest <= REST {
            return Err(Some(rest));
        }
        // A call costs the same for any number of pairs, so a full batch is awaited; but a full budget saves
        // up no more calls.
        if let Some(wait) = self.budget.until_full(now).filter(|_| !self.queue.fills(batch)) {
            return Err(Some(wait));
        }
        self.budget.spend(now)
    }
}

impl Judging {
    pub(crate) fn new(shadow: Shadow, clock: Arc<dyn Clock>) -> Self {
        let budget = Budget::new(shadow.calls_per_hour, clock.now());
        let state = State { queue: Queue::default(), budget, rests_until: Timestamp::default(), at_work: 0 };
        Self {
            state: Mutex::new(state),
            places: Arc::new(Semaphore::new(shadow.max_concurrent.min(Semaphore::MAX_PERMITS))),
            looks: Arc::new(Semaphore::new(MAX_LOOKS)),
            put_up: BoundedCache::builder().max_capacity(MAX_PUT_UP).time_to_live(PUT_UP_FOR).build(),
            waiting: Notify::new(),
            done: Notify::new(),
            shadow,
            clock,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn at_work(self: &Arc<Self>) -> AtWork {
        self.state().at_work += 1;
        AtWork(Arc::clone(self))
    }

    /// Puts waiting pairs to the judge as the budget allows, as long as there is a cache.
    pub(crate) async fn run(self: Arc<Self>, cache: Weak<Inner>) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            let (pairs, at_work) = self.due().await;
            let Some(inner) = cache.upgrade() else { return };
            let cache = Cache { inner };
            let (asking, judging) = (cache.clone(), Arc::clone(&self));
            cache.spawn(async move {
                asking.put_to_judge(&judging, pairs).await;
                drop((place, at_work));
            });
        }
    }

    /// Waits until the judge may be asked about something; spends the call.
    async fn due(self: &Arc<Self>) -> (Vec<Pair>, AtWork) {
        loop {
            let waiting = self.waiting.notified();
            let wait = {
                let (mut state, batch) = (self.state(), self.shadow.judge.batch());
                match state.spend(batch, self.clock.now()) {
                    Ok(()) => {
                        state.at_work += 1;
                        let pairs = state.queue.take(batch);
                        return (pairs, AtWork(Arc::clone(self)));
                    }
                    Err(wait) => wait,
                }
            };
            match wait {
                Some(wait) => drop(tokio::time::timeout(wait, waiting).await),
                None => waiting.await,
            }
        }
    }

    /// Waits until no pairs wait that the judge may be asked about now.
    pub(crate) async fn wait_idle(&self) {
        loop {
            let done = self.done.notified();
            {
                let mut state = self.state();
                let may_ask = state.spend(self.shadow.judge.batch(), self.clock.now()).is_ok();
                if may_ask {
                    state.budget.give_back();
                    self.waiting.notify_one();
                }
                if !may_ask && state.at_work == 0 {
                    return;
                }
            }
            done.await;
        }
    }

    /// Lets everything be put up again.
    pub(crate) fn reopen(&self) {
        self.put_up.invalidate_all();
    }

    /// Whether two answers to `question` say the same; false if the judge is not sure, or may not be asked
    /// now.
    pub(super) async fn is_same(&self, question: &str, one: &str, other: &str) -> bool {
        let is_too_long = question.len() + one.len() + other.len() > MAX_CALL_BYTES;
        if is_too_long || self.state().budget.spend(self.clock.now()).is_err() {
            return false;
        }
        let Shadow { judge, timeout, min_confidence, .. } = &self.shadow;
        match tokio::time::timeout(*timeout, judge.is_same(question, one, other)).await {
            Ok(Ok(Some(ruling))) => ruling.serves && ruling.confidence >= *min_confidence,
            Ok(Ok(None)) => {
                self.state().budget.give_back();
                false
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "two answers were not compared");
                false
            }
            Err(_) => false,
        }
    }

    fn status(&self) -> JudgeStatus {
        let mut state = self.state();
        JudgeStatus {
            name: self.shadow.judge.name().to_owned(),
            calls_per_hour: self.shadow.calls_per_hour,
            calls_left: state.budget.left(self.clock.now()),
            waiting: state.queue.len(),
        }
    }
}

impl Cache {
    /// The state of the judge and its queue; none if there is no judge.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use wellspring::Shadow;
    /// use wellspring::judge::judge_with;
    ///
    /// let judge = judge_with(async |case| Ok(case.question == case.cached_question));
    /// let cache = builder.shadow(Shadow::new(judge).calls_per_hour(60)).build().await?;
    /// assert_eq!(cache.judge_status().map(|status| status.calls_per_hour), Some(60));
    /// # Ok(()) });
    /// ```
    pub fn judge_status(&self) -> Option<JudgeStatus> {
        self.inner.judging.as_ref().map(|judging| judging.status())
    }

    /// Sends a hit on another wording to the judge, if it is chosen for the sample.
    pub(super) fn maybe_judge_hit(&self, prepared: &Prepared, near: &Near) {
        let Some(judging) = &self.inner.judging else { return };
        let (asked, entry) = (prepared.key.exact, near.entry.id);
        if self.inner.random() >= judging.shadow.hits
            || self.inner.feedback_index.is_out_of_court(asked, entry)
        {
            return;
        }
        let (similarity, likelihood) = (near.similarity, near.confidence);
        let hit = Neighbour { entry, similarity, likelihood, failures: 0 };
        let has_room = judging.state().queue.offer_hit(prepared.key.clone(), hit);
        self.inner.metrics.verification.judge_dropped.add(u64::from(!has_room));
        judging.waiting.notify_one();
    }

    /// Sends the neighbours of a miss to the judge, if it is chosen for the sample and they are worth it.
    pub(super) fn maybe_judge_miss(&self, prepared: &Prepared, embedding: &Embedding, unlikely: Unlikely) {
        let Some(judging) = &self.inner.judging else { return };
        if self.inner.random() >= judging.shadow.near_misses {
            return;
        }
        let dropped = &self.inner.metrics.verification.judge_dropped;
        let Ok(place) = Arc::clone(&judging.looks).try_acquire_owned() else { return dropped.increment() };
        let (cache, judging) = (self.clone(), Arc::clone(judging));
        let (prepared, embedding) = (prepared.clone(), embedding.clone());
        let at_work = judging.at_work();
        self.spawn(async move {
            let neighbours = cache.neighbours(&judging, &prepared, &embedding, &unlikely).await;
            if !neighbours.is_empty() {
                let left = judging.state().queue.offer(prepared.key, neighbours);
                cache.inner.metrics.verification.judge_dropped.add(left);
                judging.waiting.notify_one();
            }
            drop((place, at_work));
        });
    }

    /// The entries that most likely answer a question that was not served, of those without a decision so
    /// far.
    async fn neighbours(
        &self,
        judging: &Judging,
        prepared: &Prepared,
        embedding: &Embedding,
        unlikely: &Unlikely,
    ) -> Vec<Neighbour> {
        let (inner, key) = (&self.inner, &prepared.key);
        let floor = judging.shadow.near_miss_floor;
        // One more, because the question's own entry may be stored by now.
        let near =
            inner.indexes.search((&key.corpus, key.scope), embedding, LOOKED_AT + 1, floor, Duration::ZERO);
        let near = near.await.unwrap_or_default();
        let is_open = |entry: EntryId| {
            entry != key.exact
                && !inner.feedback_index.is_decided(key.exact, entry)
                && !judging.put_up.contains_key(&(key.exact, entry))
        };
        let open = near.into_iter().map(|(id, _)| id).filter(|&id| is_open(id));
        let fetched = join_all(open.map(|id| inner.store.lookup(&key.corpus, id))).await;
        let live = fetched.into_iter().filter_map(|fetched| match fetched.ok()?.found {
            Found::Live(entry) => Some(entry),
            _ => None,
        });
        let mut neighbours: Vec<Neighbour> =
            live.filter_map(|entry| self.neighbour(prepared, embedding, unlikely, &entry)).collect();
        neighbours.sort_by(|a, b| b.likelihood.total_cmp(&a.likelihood));
        neighbours.truncate(NEIGHBOURS);
        neighbours
    }

    /// An entry with how likely it answers the question: by the scorer's result, or else by that of the cheap
    /// stages.
    fn neighbour(
        &self,
        prepared: &Prepared,
        embedding: &Embedding,
        unlikely: &Unlikely,
        entry: &Entry,
    ) -> Option<Neighbour> {
        let similarity = entry.embedding.as_ref()?.similarity(embedding);
        let scored = unlikely.iter().find(|(id, _)| *id == entry.id);
        let likelihood = if let Some(&(_, scored)) = scored {
            scored
        } else {
            let record = self.inner.feedback_index.record_of(entry.id);
            let candidate = prepared.candidate(entry, similarity, record.as_deref());
            let screening = self.inner.verifier.screen(&candidate);
            let is_vetoed = screening.stage == Stage::Guards && screening.outcome == Outcome::Rejected;
            screening.confidence * if is_vetoed { VETOED } else { 1.0 }
        };
        Some(Neighbour { entry: entry.id, similarity, likelihood, failures: 0 })
    }

    /// Makes the call that was spent for `pairs`.
    async fn put_to_judge(&self, judging: &Judging, pairs: Vec<Pair>) {
        let (pairs, entries) = self.present(judging, pairs).await;
        if pairs.is_empty() {
            judging.state().budget.give_back();
            judging.waiting.notify_one();
            return;
        }
        let case = |(pair, entry): (&Pair, &Arc<Entry>)| {
            Case::new(Arc::clone(&pair.key.text), Arc::clone(&entry.question), Arc::clone(&entry.answer.text))
        };
        let cases: Vec<Case> = pairs.iter().zip(&entries).map(case).collect();
        let Shadow { judge, timeout, .. } = &judging.shadow;
        self.inner.metrics.verification.judge_calls.increment();
        let failed = |kind, message: &str| -> Vec<Result<Ruling>> {
            std::iter::repeat_with(|| Err(Error::new(kind, message))).take(cases.len()).collect()
        };
        let rulings = match tokio::time::timeout(*timeout, judge.judge_all(&cases)).await {
            Ok(rulings) if rulings.len() == cases.len() => rulings,
            Ok(_) => failed(ErrorKind::Upstream, "the judge gave a different number of rulings than cases"),
            Err(_) => failed(ErrorKind::Timeout, "the judge took longer than its limit"),
        };
        if rulings.iter().all(Result::is_err) {
            judging.state().rests_until = judging.clock.now().saturating_add(REST);
        }
        // The likeliest last, so that it is the newest approved one.
        for ((pair, entry), ruling) in pairs.into_iter().zip(entries).zip(rulings).rev() {
            match ruling {
                Ok(ruling) => self.ruled(judging, &pair, &entry, ruling).await,
                Err(error) => self.failed(judging, pair, &error),
            }
        }
    }

    /// The pairs that still need a decision, with their entries, as far as they fit into one call. The other
    /// open pairs wait again.
    async fn present(&self, judging: &Judging, pairs: Vec<Pair>) -> (Vec<Pair>, Vec<Arc<Entry>>) {
        let inner = &self.inner;
        let is_open = |pair: &Pair| {
            let (asked, cached) = (pair.key.exact, pair.neighbour.entry);
            match pair.judge {
                Judge::NearMiss => !inner.feedback_index.is_decided(asked, cached),
                _ => !inner.feedback_index.is_out_of_court(asked, cached),
            }
        };
        let pairs: Vec<Pair> = pairs.into_iter().filter(is_open).collect();
        let lookups = pairs.iter().map(|pair| inner.store.lookup(&pair.key.corpus, pair.neighbour.entry));
        let fetched = join_all(lookups).await;
        let (mut present, mut bytes) = ((Vec::new(), Vec::new()), 0);
        for (pair, fetched) in pairs.into_iter().zip(fetched) {
            // If the entry is gone meanwhile, nothing is lost: its question will be asked again, and find
            // another entry.
            let Ok(Found::Live(entry)) = fetched.map(|fetched| fetched.found) else { continue };
            bytes += pair.key.text.len() + entry.question.len() + entry.answer.text.len();
            if bytes > MAX_CALL_BYTES && !present.0.is_empty() {
                let left = judging.state().queue.put_back(pair);
                inner.metrics.verification.judge_dropped.add(left);
                continue;
            }
            if pair.judge == Judge::NearMiss {
                judging.put_up.insert((pair.key.exact, entry.id), ());
            }
            present.0.push(pair);
            present.1.push(entry);
        }
        present
    }

    async fn ruled(&self, judging: &Judging, pair: &Pair, entry: &Entry, ruling: Ruling) {
        let metrics = &self.inner.metrics.verification;
        if ruling.serves && ruling.confidence < judging.shadow.min_confidence {
            return metrics.judged.increment(&"unsure");
        }
        let feedback = if ruling.serves { Feedback::Right } else { Feedback::Wrong };
        metrics.judged.increment(&feedback);
        if feedback == Feedback::Right && pair.judge == Judge::NearMiss {
            judging.state().queue.forget(pair.key.exact);
        }
        let similarity = Some(pair.neighbour.similarity);
        let mut judgement = self.inner.judgement(&pair.key, entry, similarity, feedback, pair.judge);
        judgement.confidence = Some(ruling.confidence);
        judgement.by = Some(judging.shadow.judge.name().into());
        if let Err(error) = self.inner.feedback_index.learn(judgement).await {
            tracing::warn!(%error, "a judgement was not saved");
        }
    }

    /// Makes the pair wait again, alone, unless it failed too often.
    fn failed(&self, judging: &Judging, mut pair: Pair, error: &Error) {
        let metrics = &self.inner.metrics.verification;
        pair.neighbour.failures += 1;
        if pair.neighbour.failures < MAX_FAILURES {
            tracing::debug!(%error, "a pair was not judged, and waits again");
            metrics.judge_dropped.add(judging.state().queue.put_back(pair));
            judging.waiting.notify_one();
        } else {
            tracing::warn!(%error, "a pair was not judged");
            metrics.unjudged.increment();
        }
    }
}
