//! Tasks that ask, and check what they are served.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Mutex;
use std::task::Poll;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use wellspring::{
    Answer, BoxError, BypassReason, Dependency, FillOutcome, Hit, Lookup, Miss, Origin, Query, Tier,
};

use crate::plan::Habit;
use crate::question::{Question, Reading};
use crate::worker::Worker;
use crate::world::DOCUMENTS;

/// The share of calls that the LLM fails.
const LLM_FAILS: f64 = 0.01;

/// Asks at random until the world ends.
pub(crate) async fn ask(worker: &Worker, task: u64) {
    let mut random = SmallRng::seed_from_u64(worker.plan.seed ^ (task + 1) << 8);
    while !worker.world.is_over() {
        // Some questions are asked far more often than others.
        let span = random.random_range(1..=Question::COUNT);
        let request = Request {
            worker,
            question: Question::nth(random.random_range(0..span)),
            floors: worker.world.floors(),
            before: Duration::from_micros(random.random_range(0..4_000)),
            after: worker.plan.answers_take + Duration::from_micros(random.random_range(0..8_000)),
            llm_fails: random.random_bool(LLM_FAILS),
            making: Mutex::default(),
        };
        let is_whole = random.random_bool(0.7);
        let run = async {
            match worker.plan.habit {
                Habit::ShareTheLeadersAnswer => request.by_short_cut().await,
                Habit::SnapshotAfterRetrieval => request.in_two_halves().await,
                _ if is_whole => request.in_one().await,
                _ => request.in_two_halves().await,
            }
        };
        if random.random_bool(worker.plan.gives_up) {
            if give_up_after(random.random_range(0..8), run).await.is_none() {
                worker.counts().gave_up += 1;
            }
        } else {
            run.await;
        }
        match worker.plan.rests {
            Duration::ZERO => tokio::task::yield_now().await,
            rests => tokio::time::sleep(rests.mul_f64(random.random())).await,
        }
    }
}

struct Request<'a> {
    worker: &'a Worker,
    question: Question,
    /// As they were before it began.
    floors: [u64; DOCUMENTS],
    /// How long retrieval takes, and then the LLM.
    before: Duration,
    after: Duration,
    llm_fails: bool,
    /// How long it took to make the answer of this request.
    making: Mutex<Duration>,
}

impl Request<'_> {
    fn query(&self) -> Query {
        Query::new(self.question.text())
    }

    /// Retrieval and LLM.
    async fn make(&self) -> io::Result<Reading> {
        let started = Instant::now();
        tokio::time::sleep(self.before).await;
        let (least, most) = self.worker.plan.padding;
        let reading = Reading::of(self.question, &self.worker.world, least..most);
        tokio::time::sleep(self.after).await;
        *self.making.lock().unwrap() = started.elapsed();
        if self.llm_fails {
            self.worker.counts().llm_failed += 1;
            return Err(io::Error::other("the LLM failed"));
        }
        Ok(reading)
    }

    async fn answer(&self, _: Miss) -> Result<(Answer, Vec<Dependency>), BoxError> {
        let reading = self.make().await?;
        Ok((reading.answer(), reading.dependencies()))
    }

    async fn in_one(&self) {
        let started = Instant::now();
        let served = self.worker.cache.get_or_fill(self.query(), |miss| self.answer(miss)).await;
        let waited = started.elapsed().saturating_sub(*self.making.lock().unwrap());
        match served {
            Ok(served) => match served.origin {
                Origin::Hit(hit) => self.hit(&hit, waited),
                Origin::Made(outcome) => self.made(&outcome, waited),
                Origin::Bypassed(reason) => self.bypassed(reason, waited),
                _ => unreachable!("there are no others"),
            },
            Err(error) if error.downcast_ref::<io::Error>().is_some() => {}
            Err(error) => self.error(&error.to_string()),
        }
    }

    async fn in_two_halves(&self) {
        let early = match self.worker.plan.habit {
            Habit::SnapshotAfterRetrieval => Some(self.make().await),
            _ => None,
        };
        let started = Instant::now();
        let looked_up = self.worker.cache.lookup(self.query()).await;
        let waited = started.elapsed();
        match looked_up {
            Ok(Lookup::Hit(hit)) => self.hit(&hit, waited),
            Ok(Lookup::Bypass(reason)) => self.bypassed(reason, waited),
            Ok(Lookup::Miss(permit)) => {
                let reading = match early {
                    Some(reading) => reading,
                    None => self.make().await,
                };
                if let Ok(reading) = reading {
                    self.made(&permit.fill(reading.answer(), reading.dependencies()).await, waited);
                }
            }
            Ok(_) => unreachable!("there are no others"),
            Err(error) => self.error(&error.to_string()),
        }
    }

    /// A naive way to make one call per question, which ignores updates.
    async fn by_short_cut(&self) {
        let text = self.question.text();
        let (sender, receiver) = watch::channel(None);
        let joined = {
            let mut sharing = self.worker.sharing.lock().unwrap();
            match sharing.get(&text) {
                // Its leader may have given up.
                Some(others) if others.has_changed().is_ok() => Some(others.clone()),
                _ => {
                    sharing.insert(text.clone(), receiver);
                    None
                }
            }
        };
        if let Some(mut others) = joined
            && let Ok(answer) = others.wait_for(Option::is_some).await
        {
            self.worker.counts().exact += 1;
            return self.check(answer.as_ref().unwrap());
        }
        let served = self.worker.cache.get_or_fill(self.query(), |miss| self.answer(miss)).await;
        self.worker.sharing.lock().unwrap().remove(&text);
        if let Ok(served) = served {
            if let Origin::Hit(hit) = &served.origin {
                self.hit(hit, Duration::ZERO);
            }
            sender.send_replace(Some(served.answer));
        }
    }

    fn hit(&self, hit: &Hit, waited: Duration) {
        let mut counts = self.worker.counts();
        match hit.tier {
            Tier::Exact => counts.exact += 1,
            _ => counts.semantic += 1,
        }
        counts.wait_us = counts.wait_us.max(micros(waited));
        drop(counts);
        self.check(hit.answer());
    }

    fn made(&self, outcome: &FillOutcome, waited: Duration) {
        let mut counts = self.worker.counts();
        counts.made += 1;
        counts.stored += u64::from(matches!(outcome, FillOutcome::Stored(_)));
        counts.wait_us = counts.wait_us.max(micros(waited));
    }

    fn bypassed(&self, reason: BypassReason, waited: Duration) {
        let name = serde_json::to_value(reason).unwrap().as_str().unwrap().to_owned();
        let mut counts = self.worker.counts();
        *counts.bypassed.entry(name).or_default() += 1;
        counts.bypass_us = counts.bypass_us.max(micros(waited));
        counts.wait_us = counts.wait_us.max(micros(waited));
    }

    fn check(&self, answer: &Answer) {
        if let Some(stale) = Reading::stale(self.question, &self.floors, answer) {
            let mut counts = self.worker.counts();
            counts.stale += 1;
            counts.first_stale.get_or_insert(stale);
        }
    }

    fn error(&self, error: &str) {
        let mut counts = self.worker.counts();
        counts.errors += 1;
        counts.first_error.get_or_insert_with(|| error.to_owned());
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
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
