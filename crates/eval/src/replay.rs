//! Measures the benefit of a judge over time: the same traffic goes through two caches, one of them with a
//! judge.
//!
//! The caches are those of the library, with the caller's verifier and settings, on a store in memory and a
//! clock that each question advances: answers expire and budgets refill as in real use. Only the judge is
//! simulated. It knows the labels, is wrong at random at the given rate, always in the same cases, and takes
//! no time.
//!
//! Traffic is drawn from the cached questions and the queries, some of them far more often than others
//! (Zipf). The cached questions are stored at the beginning. A question that a cached one answers is stored
//! when its answer is made. One that none answers is not stored, because the labels do not say which of those
//! ask the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use wellspring::cache::{CacheBuilder, Lookup, Tier};
use wellspring::clock::{ManualClock, Timestamp};
use wellspring::error::{Error, ErrorKind, Result};
use wellspring::judge::{AnswerJudge, Case, Ruling, Shadow};
use wellspring::judgement::{Feedback, Judge};
use wellspring::verify::wilson_upper95;
use wellspring::{Cache, Dependency};

use super::embeddings::Progress;
use super::queries::{Cached, Query};

/// The start time: long after the epoch, and the same for every run.
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// A long timeout, so that a busy machine does not change the results.
const VERIFY_TIMEOUT: Duration = Duration::from_mins(1);

/// The plan of a replay.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The numbers of questions after which to report, ascending.
    pub lengths: Vec<usize>,
    /// How many questions there are in an hour.
    pub per_hour: u32,
    /// How often the judge is right.
    pub accuracy: f64,
    /// The exponent of the distribution; with 0, all are asked equally often.
    pub zipf: f64,
    /// The seed, which decides which questions are asked, and where the judge is wrong.
    pub seed: u64,
    /// The settings for asking the judge.
    pub judging: Judging,
}

/// The settings for asking a judge, as in a [`Shadow`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judging {
    /// The share of hits on other wordings that is judged.
    pub hits: f64,
    /// The share of misses whose neighbours may be judged.
    pub near_misses: f64,
    /// The most calls in an hour.
    pub calls_per_hour: u32,
    /// The most cases in a call.
    pub batch: usize,
    /// How sure the judge must be to approve an answer.
    pub min_confidence: f32,
}

/// The result of a replay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplayReport {
    /// The embedding model.
    pub model: String,
    /// Cached questions.
    pub cached: usize,
    /// Other questions.
    pub queries: usize,
    /// The number of questions in an hour.
    pub per_hour: u32,
    /// How often the simulated judge is right.
    pub judge_accuracy: f64,
    /// The most calls of it in an hour.
    pub calls_per_hour: u32,
    /// The most cases in a call.
    pub batch: usize,
    /// The results without and with it, after each of the lengths.
    pub lengths: Vec<Length>,
}

/// The results after a number of questions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Length {
    /// Questions asked.
    pub questions: usize,
    /// The share of them that a cached question answers.
    pub answerable: f64,
    /// The cache alone.
    pub without: Figures,
    /// The cache with the judge.
    pub with: Figures,
    /// How many fewer answers had to be made because of the judge, per call of it; none without a call.
    pub saved_per_call: Option<f64>,
}

/// The results of one of the caches so far.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Figures {
    /// Hits per question.
    pub hit_rate: f64,
    /// Hits on the same wording.
    pub exact: u64,
    /// Hits on other wordings.
    pub semantic: u64,
    /// Those of the hits on other wordings that a judge had approved.
    pub approved_hits: u64,
    /// Those of the hits on other wordings that were wrong.
    pub false_hits: u64,
    /// Their share of the hits on other wordings; none without any.
    pub false_hits_per_hit: Option<f64>,
    /// The upper end of its Wilson interval at 95 % (two-sided).
    pub false_hits_per_hit_upper95: f64,
    /// Answers that had to be made.
    pub made: u64,
    /// Calls of the judge.
    pub judge_calls: u64,
    /// Pairs that it decided on.
    pub judged: u64,
    /// Near misses that it approved.
    pub approved: u64,
    /// Those of the approved near misses that it should have rejected.
    pub approved_wrongly: u64,
}

/// Each question with the cached one that answers it.
type Meanings = HashMap<Box<str>, Option<usize>>;

/// Whether the labels say that the answer to `cached` answers `asked`.
fn is_same(meanings: &Meanings, asked: &str, cached: &str) -> bool {
    let means = |question: &str| meanings.get(question).copied().flatten();
    means(asked).is_some() && means(asked) == means(cached)
}

/// A question of the traffic.
#[derive(Debug)]
struct Asked<'a> {
    question: &'a str,
    /// The cached question that answers it.
    means: Option<usize>,
}

/// Replays the traffic of `plan` without and with a judge, through caches that `open` creates for a clock.
/// Each cache must have its own empty store that uses this clock. `model` names their embedding model in the
/// report.
///
/// # Errors
///
/// If there is nothing to ask, if a cache cannot be opened, or if a model fails.
///
/// # Cancel safety
///
/// Dropping the future abandons the replay; nothing is kept of it.
pub async fn evaluate(
    open: impl AsyncFn(Arc<ManualClock>) -> Result<CacheBuilder>,
    model: String,
    cached: &[Cached],
    queries: &[Query],
    plan: &Plan,
    progress: Progress<'_>,
) -> Result<ReplayReport> {
    let (Some(&longest), false) = (plan.lengths.last(), cached.is_empty()) else {
        return Err(Error::new(ErrorKind::InvalidInput, "there is nothing to replay"));
    };
    let traffic = traffic(cached, queries, plan, longest);
    let mut meanings: Meanings = traffic.iter().map(|asked| (asked.question.into(), asked.means)).collect();
    meanings.extend(cached.iter().zip(0..).map(|(one, at)| (one.question.as_str().into(), Some(at))));
    let meanings = Arc::new(meanings);
    let Judging { hits, near_misses, calls_per_hour, batch, min_confidence } = plan.judging;
    let shadow = Shadow::new(Simulated { meanings: Arc::clone(&meanings), plan: plan.clone() })
        .hits(hits)
        .near_misses(near_misses)
        .calls_per_hour(calls_per_hour)
        .min_confidence(min_confidence);
    let (mut done, all) = (0, 2 * longest);
    let mut step = || {
        done += 1;
        progress(done, all);
    };
    let replay = Replay { open: &open, cached, traffic: &traffic, meanings: &meanings, plan };
    let without = replay.run(None, &mut step).await?;
    let with = replay.run(Some(shadow), &mut step).await?;
    let length = |((&questions, without), with): ((&usize, Figures), Figures)| {
        let answerable = traffic[..questions].iter().filter(|asked| asked.means.is_some()).count();
        let saved = without.made as f64 - with.made as f64;
        let saved_per_call = (with.judge_calls > 0).then(|| saved / with.judge_calls as f64);
        Length { questions, answerable: answerable as f64 / questions as f64, without, with, saved_per_call }
    };
    Ok(ReplayReport {
        model,
        cached: cached.len(),
        queries: queries.len(),
        per_hour: plan.per_hour,
        judge_accuracy: plan.accuracy,
        calls_per_hour,
        batch,
        lengths: plan.lengths.iter().zip(without).zip(with).map(length).collect(),
    })
}

/// The questions asked, in order.
fn traffic<'a>(cached: &'a [Cached], queries: &'a [Query], plan: &Plan, longest: usize) -> Vec<Asked<'a>> {
    let cached = cached.iter().zip(0..).map(|(one, at)| (&*one.question, Some(at)));
    let queries = queries.iter().map(|query| (&*query.question, query.expect));
    let mut all: Vec<(&str, Option<usize>)> = cached.chain(queries).collect();
    let mut random = SmallRng::seed_from_u64(plan.seed);
    all.shuffle(&mut random);
    let mut sum = 0.0;
    let upto: Vec<f64> = (1..=all.len())
        .map(|rank| {
            sum += (rank as f64).powf(-plan.zipf);
            sum
        })
        .collect();
    (0..longest)
        .map(|_| {
            let drawn = random.random::<f64>() * sum;
            let (question, means) = all[upto.partition_point(|&upto| upto <= drawn).min(all.len() - 1)];
            Asked { question, means }
        })
        .collect()
}

/// The traffic that goes through each of the caches.
struct Replay<'a, Open> {
    open: &'a Open,
    cached: &'a [Cached],
    traffic: &'a [Asked<'a>],
    meanings: &'a Meanings,
    plan: &'a Plan,
}

impl<Open: AsyncFn(Arc<ManualClock>) -> Result<CacheBuilder>> Replay<'_, Open> {
    /// The results of a cache with this judge, after each of the lengths.
    async fn run(&self, shadow: Option<Shadow>, step: &mut (dyn FnMut() + Send)) -> Result<Vec<Figures>> {
        let Self { open, cached, traffic, meanings, plan } = *self;
        let clock = Arc::new(ManualClock::new(START));
        let builder = open(Arc::clone(&clock)).await?;
        let builder = builder.clock(Arc::clone(&clock) as _).seed(plan.seed).verify_timeout(VERIFY_TIMEOUT);
        let cache = shadow.into_iter().fold(builder, CacheBuilder::shadow).build().await?;
        for (one, at) in cached.iter().zip(0..) {
            if let Lookup::Miss(permit) = cache.lookup(wellspring::Query::new(&one.question).renew()).await? {
                permit.fill(at.to_string(), [Dependency::document(&one.id)]).await;
            }
        }
        let between = Duration::from_hours(1) / plan.per_hour;
        let (mut figures, mut all) = (Figures::default(), Vec::new());
        for (number, asked) in (1..).zip(traffic) {
            clock.advance(between);
            match cache.lookup(wellspring::Query::new(asked.question)).await? {
                Lookup::Hit(hit) => {
                    let is_right =
                        asked.means.is_some_and(|means| *hit.entry.answer.text == means.to_string());
                    match hit.tier {
                        Tier::Semantic { .. } => {
                            figures.semantic += 1;
                            figures.false_hits += u64::from(!is_right);
                        }
                        _ => figures.exact += 1,
                    }
                }
                Lookup::Miss(permit) => {
                    figures.made += 1;
                    if let Some(means) = asked.means {
                        permit.fill(means.to_string(), [Dependency::document(&cached[means].id)]).await;
                    }
                }
                _ => figures.made += 1,
            }
            cache.wait_idle().await?;
            step();
            if plan.lengths.contains(&number) {
                all.push(figures.clone().complete(&cache, number, meanings).await?);
            }
        }
        cache.close().await?;
        Ok(all)
    }
}

impl Figures {
    /// Adds the figures that follow from the others, and those that the cache reports.
    async fn complete(mut self, cache: &Cache, questions: usize, meanings: &Meanings) -> Result<Self> {
        let metrics = cache.metrics();
        self.hit_rate = (self.exact + self.semantic) as f64 / questions as f64;
        self.false_hits_per_hit = (self.semantic > 0).then(|| self.false_hits as f64 / self.semantic as f64);
        self.false_hits_per_hit_upper95 = wilson_upper95(self.false_hits, self.semantic);
        let feedback = metrics.verifications.get("feedback");
        self.approved_hits = feedback.and_then(|said| said.get("accepted")).copied().unwrap_or_default();
        self.judge_calls = metrics.judge_calls;
        self.judged = metrics.judged.values().sum();
        for (_, said) in cache.judgements(None, usize::MAX).await? {
            if (said.judge, said.feedback) == (Judge::NearMiss, Feedback::Right) {
                self.approved += 1;
                let is_wrong = !is_same(meanings, &said.question, &said.cached_question);
                self.approved_wrongly += u64::from(is_wrong);
            }
        }
        Ok(self)
    }
}

/// A judge that knows the labels, and is wrong at random.
#[derive(Debug)]
struct Simulated {
    meanings: Arc<Meanings>,
    plan: Plan,
}

#[async_trait]
impl AnswerJudge for Simulated {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn batch(&self) -> usize {
        self.plan.judging.batch
    }

    async fn judge(&self, case: &Case) -> Result<Ruling> {
        let is_same = is_same(&self.meanings, &case.question, &case.cached_question);
        // Derived from the case, so that it is wrong in the same cases each time.
        let parts = [&*case.question, &*case.cached_question].map(str::as_bytes);
        let seed = crc32fast::hash(&parts.concat());
        let drawn: f64 = SmallRng::seed_from_u64(self.plan.seed ^ u64::from(seed)).random();
        Ok((is_same == (drawn < self.plan.accuracy)).into())
    }
}
