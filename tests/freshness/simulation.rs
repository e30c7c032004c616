//! The tasks: those who ask, the one who updates, and the one who lets time pass and restarts.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{RwLock, watch};
use wellspring::clock::ManualClock;
use wellspring::store::{Limits, Store};
use wellspring::{Answer, Cache, Change, Corpus, Lookup, Query, Threshold, Ttls};

use crate::support::Bench;
use crate::support::embedder::WordEmbedder;
use crate::world::{Counts, Question, Reading, World, document, label};

const ASKERS: u64 = 6;
const LIFETIME: Duration = Duration::from_mins(1);

/// How answers are made and shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// As the documentation says.
    Sound,
    /// The documents are read first, and the cache is asked afterwards.
    SnapshotAfterRetrieval,
    /// A caller that comes while an answer is being made gets that answer.
    ShareTheLeadersAnswer,
}

/// What the short cut's followers wait for.
type Sharing = Mutex<HashMap<String, watch::Receiver<Option<Answer>>>>;

pub(crate) struct Simulation {
    seed: u64,
    bench: Bench,
    limits: Limits,
    habit: Habit,
    write_behind: usize,
    /// Held for reading while a request is under way, for writing while the store restarts.
    cache: RwLock<Option<Cache>>,
    pub(crate) world: World,
    sharing: Sharing,
    /// What a run must have seen, even if that takes longer than planned.
    pub(crate) enough: fn(&Counts) -> bool,
}

/// How much longer than it was given a run may take until it has checked enough.
const GRACE: Duration = Duration::from_mins(10);

async fn build(store: Arc<dyn Store>, clock: &Arc<ManualClock>, seed: u64, write_behind: usize) -> Cache {
    Cache::builder_from(Arc::new(WordEmbedder::default()), store)
        .clock(Arc::clone(clock) as _)
        .ttls(Ttls::default().general(LIFETIME))
        .similarity_threshold(0.8)
        .verifier(Threshold::default())
        .write_behind(write_behind)
        .seed(seed)
        .build()
        .await
        .unwrap()
}

/// Drops `future` at its `polls`th await that has to wait.
async fn give_up_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Takes a while.
async fn dawdle(steps: usize) {
    for _ in 0..steps {
        tokio::task::yield_now().await;
    }
}

impl Simulation {
    pub(crate) async fn new(seed: u64, bench: Bench, limits: Limits, habit: Habit) -> Self {
        let store = bench.open(limits);
        Self::on(seed, bench, limits, habit, store, World::default()).await
    }

    pub(crate) async fn write_behind(seed: u64, bench: Bench, limits: Limits) -> Self {
        let store = bench.open(limits);
        let mut simulation = Self::on(seed, bench, limits, Habit::Sound, store, World::default()).await;
        simulation.write_behind = 16;
        simulation.restart().await;
        simulation
    }

    /// A simulation on a given store, in a given world.
    pub(crate) async fn on(
        seed: u64,
        bench: Bench,
        limits: Limits,
        habit: Habit,
        store: Arc<dyn Store>,
        world: World,
    ) -> Self {
        let cache = RwLock::new(Some(build(store, &bench.clock, seed, 0).await));
        Self {
            seed,
            bench,
            limits,
            habit,
            write_behind: 0,
            cache,
            world,
            sharing: Sharing::default(),
            enough: |_| true,
        }
    }

    /// Runs all tasks until the time is over, or something stale was served.
    pub(crate) async fn run(&self, time: Duration, restarts: bool) {
        let until = Instant::now() + time;
        let asking = futures::future::join_all((1..=ASKERS).map(|task| self.ask_until(until, task)));
        tokio::join!(asking, self.update_until(until), self.disturb_until(until, restarts));
        if let Some(cache) = &*self.cache.read().await {
            self.world.coalesced(cache.metrics().coalesced_hits);
        }
    }

    fn goes_on(&self, until: Instant) -> bool {
        let (now, counts) = (Instant::now(), self.world.counts());
        let needs_more = !(self.enough)(&counts) && now < until + GRACE;
        (now < until || needs_more) && counts.stale == 0
    }

    async fn ask_until(&self, until: Instant, task: u64) {
        let mut random = SmallRng::seed_from_u64(self.seed ^ task);
        while self.goes_on(until) {
            // Some questions are asked far more often than others.
            let span = random.random_range(1..=Question::COUNT);
            let question = Question::nth(random.random_range(0..span));
            let slowness = random.random_range(0..12);
            let guard = self.cache.read().await;
            let cache = guard.as_ref().unwrap();
            let request = async {
                match random.random_range(0..3) {
                    0 => self.ask_in_two_halves(cache, question, slowness).await,
                    _ => self.ask_in_one(cache, question, slowness).await,
                }
            };
            if slowness % 5 == 4 {
                if give_up_after(slowness / 2, request).await.is_none() {
                    self.world.gave_up();
                }
            } else {
                request.await;
            }
            drop(guard);
            tokio::task::yield_now().await;
        }
    }

    /// The closure of a caller: it reads some time after it was called and answers some time later.
    async fn make(&self, question: Question, slowness: usize) -> Reading {
        dawdle(slowness / 2).await;
        let reading = self.world.read(question);
        dawdle(slowness).await;
        reading
    }

    async fn ask_in_one(&self, cache: &Cache, question: Question, slowness: usize) {
        let floors = self.world.floors();
        if self.habit == Habit::ShareTheLeadersAnswer {
            let answer = self.ask_by_short_cut(cache, question, slowness).await;
            return self.world.check(question, floors, &answer);
        }
        let served = cache
            .get_or_fill(Query::new(question.text()), async |_| {
                let reading = self.make(question, slowness).await;
                Ok((reading.answer(), reading.dependencies()))
            })
            .await
            .unwrap();
        self.world.check_served(question, floors, &served);
    }

    async fn ask_in_two_halves(&self, cache: &Cache, question: Question, slowness: usize) {
        let floors = self.world.floors();
        let early = match self.habit {
            Habit::SnapshotAfterRetrieval => Some(self.make(question, slowness).await),
            _ => None,
        };
        match cache.lookup(Query::new(question.text())).await.unwrap() {
            Lookup::Hit(hit) => self.world.check_hit(question, floors, &hit),
            Lookup::Miss(permit) => {
                let reading = match early {
                    Some(reading) => reading,
                    None => self.make(question, slowness).await,
                };
                permit.fill(reading.answer(), reading.dependencies()).await;
                self.world.check(question, floors, &reading.answer());
            }
            Lookup::Bypass(_) => {}
            _ => unreachable!("there are no others"),
        }
    }

    /// A naive way to make one call per question, which ignores updates.
    async fn ask_by_short_cut(&self, cache: &Cache, question: Question, slowness: usize) -> Answer {
        let (sender, receiver) = watch::channel(None);
        let joined = {
            let mut sharing = self.sharing.lock().unwrap();
            match sharing.get(&question.text()) {
                // Its leader may have given up.
                Some(others) if others.has_changed().is_ok() => Some(others.clone()),
                _ => {
                    sharing.insert(question.text(), receiver);
                    None
                }
            }
        };
        if let Some(mut others) = joined
            && let Ok(answer) = others.wait_for(Option::is_some).await
        {
            return answer.clone().unwrap();
        }
        let served = cache
            .get_or_fill(Query::new(question.text()), async |_| {
                let reading = self.make(question, slowness).await;
                Ok((reading.answer(), reading.dependencies()))
            })
            .await
            .unwrap();
        self.sharing.lock().unwrap().remove(&question.text());
        sender.send_replace(Some(served.answer.clone()));
        served.answer
    }

    async fn update_until(&self, until: Instant) {
        let mut random = SmallRng::seed_from_u64(self.seed ^ 0x1000);
        while self.goes_on(until) {
            let n = random.random_range(0..crate::world::DOCUMENTS);
            let guard = self.cache.read().await;
            let cache = guard.as_ref().unwrap();
            self.update(cache, n, random.random_range(0..10)).await;
            drop(guard);
            dawdle(random.random_range(0..60)).await;
        }
    }

    async fn update(&self, cache: &Cache, n: usize, how: u32) {
        let (corpus, name) = (Corpus::default(), document(n));
        if how < 2 {
            cache.begin_update(&corpus, &name).await.unwrap();
            dawdle(3).await;
            let version = self.world.publish(n);
            let reported = (how == 0).then(|| label(version).into());
            cache.end_update(&corpus, &name, reported).await.unwrap();
            return self.wait_idle(n, version);
        }
        let version = self.world.publish(n);
        let change = match how {
            2 => Change::Everything,
            3..6 => Change::document_version(name, label(version)),
            _ => Change::document(name),
        };
        cache.invalidate(&corpus, &[change]).await.unwrap();
        self.wait_idle(n, version);
    }

    fn wait_idle(&self, n: usize, version: u64) {
        crate::kills::say(format_args!("changed {n} {version}"));
        self.world.wait_idle(n, version);
    }

    /// Time passes, and now and then the store is closed and opened again.
    async fn disturb_until(&self, until: Instant, restarts: bool) {
        let mut random = SmallRng::seed_from_u64(self.seed ^ 0x2000);
        while self.goes_on(until) {
            tokio::time::sleep(Duration::from_millis(random.random_range(5..60))).await;
            self.bench.clock.advance(LIFETIME / 10);
            if let Some(cache) = &*self.cache.read().await {
                self.world.coalesced_in_this_cache(cache.metrics().coalesced_hits);
            }
            if restarts && random.random_bool(0.2) {
                self.restart().await;
            }
        }
    }

    async fn restart(&self) {
        let mut guard = self.cache.write().await;
        let cache = guard.take().unwrap();
        self.world.coalesced(cache.metrics().coalesced_hits);
        cache.close().await.unwrap();
        drop(cache);
        *guard =
            Some(build(self.bench.open(self.limits), &self.bench.clock, self.seed, self.write_behind).await);
    }
}
