//! Plays questions through the cache while documents change, and counts what comes back.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::StreamExt as _;
use hdrhistogram::Histogram;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use wellspring::key::normalise;
use wellspring::{Cache, Change, Corpus, Origin, Query, Served, Tier};

use super::answerer::Answerer;
use super::freshness::{Freshness, FreshnessChecker};
use super::labels::Labels;
use super::observed::Observed;
use super::plan::Asked;
use super::retriever::Retriever;

/// How many documents an answer is made from.
const RETRIEVED: usize = 3;

/// The pipeline that is played.
pub(super) struct Player<'a> {
    pub(super) cache: Cache,
    pub(super) verifier: Arc<Observed>,
    pub(super) retriever: &'a Retriever,
    pub(super) answerer: &'a dyn Answerer,
    pub(super) labels: Labels<'a>,
    pub(super) checker: FreshnessChecker,
    pub(super) tally: Mutex<Tally>,
    pub(super) played: AtomicUsize,
    pub(super) finished: AtomicBool,
}

/// What came back.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) exact: Times,
    pub(super) semantic: Times,
    pub(super) made: Times,
    pub(super) false_hits: u64,
    /// The similarity of each question's nearest neighbour, where one was looked for, and whether its answer
    /// was right.
    pub(super) nearest: Vec<(f32, bool)>,
    pub(super) stale: u64,
    pub(super) unknown: u64,
    pub(super) checked: u64,
    pub(super) bypassed: u64,
    pub(super) failed: u64,
    pub(super) calls: u64,
    pub(super) call_time: Duration,
    pub(super) edits: u64,
    pub(super) dropped: u64,
    pub(super) example: Option<FalseHit>,
}

/// The line that is shown while questions are asked.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (exact, semantic) = (self.exact.count(), self.semantic.count());
        write!(f, "{exact} exact, {semantic} semantic, {} edits, {} stale", self.edits, self.stale)
    }
}

/// A wrong answer that was served, for people to look at.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct FalseHit {
    pub(super) asked: String,
    pub(super) answered: String,
    pub(super) similarity: f32,
}

/// The longest time that is recorded, in microseconds; longer times are recorded as this one.
const HOUR_US: u64 = 3_600_000_000;

/// How long callers waited.
#[derive(Debug)]
pub(super) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, HOUR_US, 3).expect("constant bounds are valid"))
    }
}

impl Times {
    fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(super) fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }

    pub(super) fn total(&self) -> Duration {
        Duration::from_secs_f64(self.0.mean() * self.0.len() as f64 / 1e6)
    }
}

impl Player<'_> {
    /// Asks everything in `asked`, by `clients` at a time.
    pub(super) async fn ask_all(&self, asked: &[Asked<'_>], clients: usize) -> anyhow::Result<()> {
        let result = futures::stream::iter(asked)
            .map(|asked| self.ask(*asked))
            .buffer_unordered(clients)
            .fold(Ok(()), |result: anyhow::Result<()>, one| async { result.and(one) })
            .await;
        self.finished.store(true, Ordering::SeqCst);
        result
    }

    async fn ask(&self, asked: Asked<'_>) -> anyhow::Result<()> {
        let started = Instant::now();
        let served = self
            .cache
            .get_or_fill(Query::new(asked.phrasing), async |miss| {
                let query = match miss.embedding {
                    Some(query) => query,
                    None => self.retriever.query(&miss.question).await?,
                };
                let called = Instant::now();
                let found = self.retriever.retrieve(&query, RETRIEVED);
                let generated = self.answerer.answer(&miss.question, &query, &found).await?;
                let mut tally = self.tally();
                tally.calls += 1;
                tally.call_time += called.elapsed();
                drop(tally);
                let dependencies = generated.dependencies();
                Ok((generated.answer, dependencies))
            })
            .await;
        let waited = started.elapsed();
        self.played.fetch_add(1, Ordering::Relaxed);
        match served {
            Ok(served) => self.count(asked, &served, started, waited),
            Err(error) => {
                let mut tally = self.tally();
                tally.failed += 1;
                // A single failure can happen anywhere; it is not worth playing a pipeline that never
                // answers.
                if tally.failed > 10 && tally.calls == 0 {
                    return Err(error).context("no question can be answered");
                }
            }
        }
        Ok(())
    }

    fn count(&self, asked: Asked<'_>, served: &Served, started: Instant, waited: Duration) {
        let freshness = self.checker.check(&served.answer.text, started);
        let nearest = normalise(asked.phrasing).ok().and_then(|asked| self.verifier.take(&asked));
        let mut tally = self.tally();
        if let Some(nearest) = nearest {
            let is_right = self.labels.judge(asked.question, &nearest.question).is_right();
            tally.nearest.push((nearest.similarity, is_right));
        }
        match &served.origin {
            Origin::Hit(hit) => {
                tally.checked += 1;
                match freshness {
                    Freshness::Fresh => {}
                    Freshness::Stale => tally.stale += 1,
                    Freshness::Unknown => tally.unknown += 1,
                }
                match hit.tier {
                    Tier::Semantic { similarity, .. } => {
                        tally.semantic.record(waited);
                        if !self.labels.judge(asked.question, &hit.entry.question).is_right() {
                            tally.false_hits += 1;
                            tally.example.get_or_insert_with(|| FalseHit {
                                asked: asked.phrasing.to_owned(),
                                answered: hit.entry.question.to_string(),
                                similarity,
                            });
                        }
                    }
                    _ => tally.exact.record(waited),
                }
            }
            Origin::Bypassed(_) => {
                tally.bypassed += 1;
                tally.made.record(waited);
            }
            _ => tally.made.record(waited),
        }
    }

    /// Edits documents evenly over the play: `edits` of them over `questions`.
    ///
    /// Half of the edits change a document that was asked about recently, so that there is something to drop.
    pub(super) async fn edit_all(&self, asked: &[Asked<'_>], edits: usize, seed: u64) -> anyhow::Result<()> {
        let mut random = StdRng::seed_from_u64(seed);
        let corpus = Corpus::default();
        for edit in 0..edits {
            let due = (edit + 1) * asked.len() / (edits + 1);
            while self.played.load(Ordering::Relaxed) < due && !self.finished.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let lately = due.min(asked.len() - 1);
            let at = if random.random_bool(0.5) {
                random.random_range(lately.saturating_sub(50)..=lately)
            } else {
                random.random_range(0..asked.len())
            };
            let document = &asked[at].question.document;
            let version = self.retriever.edit(document, seed).await.context("cannot edit a document")?;
            // The new text is visible to retrieval: from here on, no answer from the old text may be served.
            let change = Change::document_version(&**document, version);
            let invalidation =
                self.cache.invalidate(&corpus, &[change]).await.context("cannot invalidate a document")?;
            self.checker.invalidated(document, version);
            let mut tally = self.tally();
            tally.edits += 1;
            tally.dropped += invalidation.dropped();
        }
        Ok(())
    }

    pub(super) fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
