//! Policies on a stream of queries against cached questions.
//!
//! Every query meets the same cached questions; nothing is inserted in between. A hit is right if it is on the
//! cached question that the query expects, and false on any other, or if the query expects none.

use serde::Serialize;

use super::embeddings::{Embeddings, Progress};
use super::examined::{Examined, Examiner};
use super::metrics::quantile;
use super::policy::{Judge, Policy};
use super::queries::{Cached, Query};
use super::thresholds::{Calibrating, Terms, judges};
use crate::embed::Embedder;
use crate::embedding::Embedding;
use crate::error::{Error, ErrorKind, Result};
use crate::verify::{Calibration, Sample, wilson_upper95};

/// Candidates below this similarity are not worth the cross-encoder.
const FLOOR: f32 = 0.70;

/// How many candidates of a query the cross-encoder sees, the best by the cheap probability first.
const SCORED: usize = 2;

/// What an evaluation on a stream found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct StreamReport {
    /// The embedding model.
    pub(crate) model: String,
    /// Cached questions.
    pub(crate) cached: usize,
    /// Queries.
    pub(crate) queries: usize,
    /// The share of queries that a cached question answers: the greatest hit rate without a false hit.
    pub(crate) answerable: f64,
    /// The budget that thresholds keep.
    pub(crate) budget: f64,
    /// The figures of every policy, in the order given.
    pub(crate) policies: Vec<StreamPolicy>,
    /// What each stage cost.
    pub(crate) stages: Vec<StageCost>,
}

/// The figures of one policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct StreamPolicy {
    /// The policy's name.
    pub(crate) policy: &'static str,
    /// The threshold; none where the calibration data cannot show the budget.
    pub(crate) threshold: Option<f32>,
    /// Hits per query.
    pub(crate) hit_rate: f64,
    /// False hits per hit; none without hits.
    pub(crate) false_hits_per_hit: Option<f64>,
    /// The upper end of its Wilson interval at 95 % (two-sided).
    pub(crate) false_hits_per_hit_upper95: f64,
    /// False hits per query.
    pub(crate) errors_per_request: f64,
    /// The share of answerable queries that got the right answer.
    pub(crate) correct_on_positives: Option<f64>,
    /// Whether the budget was kept: `kept` or `exceeded` by the bound, `insufficient` where the hits are too few to show it.
    pub(crate) budget: Kept,
    /// The median time of the decision on a query, without embedding and search, in milliseconds.
    pub(crate) p50_ms: f64,
    /// The time that 99 % of the decisions took at most, in milliseconds.
    pub(crate) p99_ms: f64,
    /// What other thresholds would give: from high to low, for plots.
    pub(crate) curve: Vec<CurvePoint>,
}

/// Whether a budget was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kept {
    /// The upper bound is within the budget.
    #[serde(rename = "kept")]
    Within,
    /// The rate itself is above the budget.
    Exceeded,
    /// The rate is within the budget, its upper bound is not: too few hits to tell.
    Insufficient,
}

/// A point of the curve of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct CurvePoint {
    /// Hits per query.
    pub(crate) hit_rate: f64,
    /// False hits per hit.
    pub(crate) false_hits_per_hit: f64,
    /// The threshold that gives them.
    pub(crate) threshold: f32,
}

/// What a stage cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct StageCost {
    /// The stage's name.
    pub(crate) stage: &'static str,
    /// How often it ran per query.
    pub(crate) runs_per_query: f64,
    /// The median of a run, in microseconds.
    pub(crate) p50_us: f64,
    /// What 99 % of the runs took at most, in microseconds.
    pub(crate) p99_us: f64,
}

/// What to evaluate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream<'a> {
    pub(crate) cached: &'a [Cached],
    pub(crate) queries: &'a [Query],
    /// Other queries against the same cached questions, for thresholds and for learning.
    pub(crate) calibrate_on: Option<&'a [Query]>,
    /// Candidates looked at per query.
    pub(crate) candidates: usize,
    /// Instead of thresholds of the settings: those that give this hit rate, whatever is right.
    pub(crate) hit_rate: Option<f64>,
}

/// Measures `policies` on `stream`.
///
/// # Errors
///
/// If there are no queries, no cached questions or no policies, the calibration data are too few, or a model fails.
///
/// # Cancel safety
///
/// Dropping the future abandons the evaluation; nothing is kept of it.
pub(crate) async fn evaluate(
    embedder: &dyn Embedder,
    examiner: &Examiner,
    policies: &[Policy],
    stream: Stream<'_>,
    terms: Terms,
    progress: Progress<'_>,
) -> Result<StreamReport> {
    let Stream { cached, queries, .. } = stream;
    if cached.is_empty() || queries.is_empty() || policies.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "there is nothing to evaluate"));
    }
    let asked = queries.iter().chain(stream.calibrate_on.into_iter().flatten()).map(|query| &*query.question);
    let texts = cached.iter().map(|entry| &*entry.question).chain(asked);
    let embeddings = Embeddings::of(embedder, texts, progress).await?;
    let data = match stream.calibrate_on {
        Some(queries) => Some(Looked::of(examiner, stream, queries, &embeddings).await?),
        None => None,
    };
    let judges = judges(policies, data.as_ref().map(|data| data as &dyn Calibrating), terms)?;
    let looked = Looked::of(examiner, stream, queries, &embeddings).await?;
    let measure = |(judge, threshold): &(Judge, Option<f32>)| {
        let served = looked.served(judge);
        let threshold = stream.hit_rate.map_or(*threshold, |rate| at_hit_rate(&served, rate));
        measure(judge, threshold, &looked, &served, terms)
    };
    let answerable = queries.iter().filter(|query| query.expect.is_some()).count();
    Ok(StreamReport {
        model: embedder.model().fingerprint(),
        cached: cached.len(),
        queries: queries.len(),
        answerable: answerable as f64 / queries.len() as f64,
        budget: terms.budget,
        policies: judges.iter().map(measure).collect(),
        stages: looked.stages(),
    })
}

/// A query's candidates, the best by the cheap probability first.
#[derive(Debug)]
struct LookedUp {
    candidates: Vec<(usize, Examined)>,
    expect: Option<usize>,
}

/// All queries with their candidates.
#[derive(Debug)]
struct Looked(Vec<LookedUp>);

/// What a policy would serve: its score, and whether it is right. None where every candidate is vetoed.
type Served = Option<(f32, bool)>;

impl Looked {
    async fn of(
        examiner: &Examiner,
        stream: Stream<'_>,
        queries: &[Query],
        embeddings: &Embeddings,
    ) -> Result<Self> {
        let entries: Vec<(usize, &str, &Embedding)> = stream
            .cached
            .iter()
            .enumerate()
            .filter_map(|(at, entry)| Some((at, &*entry.question, embeddings.get(&entry.question)?)))
            .collect();
        let calibration = Calibration::bundled();
        let mut looked = Vec::with_capacity(queries.len());
        for query in queries {
            let asked = &*query.question;
            let near =
                embeddings.get(asked).map_or_else(Vec::new, |e| nearest(e, &entries, stream.candidates));
            let mut candidates: Vec<(usize, &str, Examined)> = near
                .into_iter()
                .map(|(place, similarity)| {
                    let (at, question, _) = entries[place];
                    (at, question, examiner.look(asked, question, Some(similarity)))
                })
                .collect();
            candidates.sort_by(|(_, _, a), (_, _, b)| {
                calibration.cheap(&b.features).total_cmp(&calibration.cheap(&a.features))
            });
            let mut scored = 0;
            for (_, question, pair) in &mut candidates {
                let worthy = pair.similarity >= Some(FLOOR) && !pair.is_vetoed;
                if examiner.scorer.is_some() {
                    let likely = calibration.cheap(&pair.features) >= calibration.scorer_from();
                    pair.is_screened = !(worthy && likely && scored < SCORED);
                    if !pair.is_screened {
                        scored += 1;
                        examiner.score(pair, asked, question).await?;
                    }
                }
            }
            let candidates = candidates.into_iter().map(|(at, _, pair)| (at, pair)).collect();
            looked.push(LookedUp { candidates, expect: query.expect });
        }
        Ok(Self(looked))
    }

    fn served(&self, judge: &Judge) -> Vec<Served> {
        let best = |looked: &LookedUp| {
            let scored = looked.candidates.iter().filter_map(|(at, pair)| Some((judge.score(pair)?, *at)));
            scored
                .max_by(|(a, _), (b, _)| a.total_cmp(b))
                .map(|(score, at)| (score, looked.expect == Some(at)))
        };
        self.0.iter().map(best).collect()
    }

    /// What each stage cost, over all candidates.
    fn stages(&self) -> Vec<StageCost> {
        let pairs = || self.0.iter().flat_map(|looked| &looked.candidates).map(|(_, pair)| pair.cost);
        let stage = |name: &'static str, mut took: Vec<f64>| {
            took.sort_by(f64::total_cmp);
            StageCost {
                stage: name,
                runs_per_query: took.len() as f64 / self.0.len() as f64,
                p50_us: quantile(&took, 0.5),
                p99_us: quantile(&took, 0.99),
            }
        };
        vec![
            stage("guards", pairs().map(|cost| cost.guards).collect()),
            stage("features", pairs().map(|cost| cost.features).collect()),
            stage("cross-encoder", pairs().map(|cost| cost.scorer).filter(|took| *took > 0.0).collect()),
        ]
    }
}

impl Calibrating for Looked {
    fn samples(&self) -> Vec<Sample> {
        let samples = |looked: &LookedUp| -> Vec<Sample> {
            let sample = |(rank, (at, pair)): (usize, &(usize, Examined))| {
                let mut sample = Sample::new(pair.features, pair.logit, looked.expect == Some(*at));
                sample.is_measured = rank == 0 && !pair.is_vetoed;
                sample
            };
            looked.candidates.iter().enumerate().map(sample).collect()
        };
        self.0.iter().flat_map(samples).collect()
    }

    fn scores(&self, judge: &Judge) -> Vec<(f32, bool)> {
        self.served(judge).into_iter().flatten().collect()
    }
}

/// The places of the `count` nearest entries with their similarities, the nearest first.
fn nearest(query: &Embedding, entries: &[(usize, &str, &Embedding)], count: usize) -> Vec<(usize, f32)> {
    let mut near: Vec<(usize, f32)> =
        entries.iter().enumerate().map(|(place, (_, _, entry))| (place, query.similarity(entry))).collect();
    near.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    near.truncate(count);
    near
}

/// The threshold at which the share `rate` of all queries are hits.
fn at_hit_rate(served: &[Served], rate: f64) -> Option<f32> {
    let mut scores: Vec<f32> = served.iter().flatten().map(|(score, _)| *score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the slice")]
    let hits = (rate * served.len() as f64).round() as usize;
    scores.get(hits.saturating_sub(1).min(scores.len().saturating_sub(1))).copied()
}

fn measure(
    judge: &Judge,
    threshold: Option<f32>,
    looked: &Looked,
    served: &[Served],
    terms: Terms,
) -> StreamPolicy {
    let queries = served.len() as f64;
    let accepted =
        served.iter().flatten().filter(|(score, _)| threshold.is_some_and(|least| *score >= least));
    let (mut hits, mut wrong) = (0_u64, 0_u64);
    for (_, is_right) in accepted {
        hits += 1;
        wrong += u64::from(!is_right);
    }
    let answerable = looked.0.iter().filter(|looked| looked.expect.is_some()).count();
    let rate = (hits > 0).then(|| wrong as f64 / hits as f64);
    let upper = wilson_upper95(wrong, hits);
    let mut micros: Vec<f64> = looked
        .0
        .iter()
        .map(|looked| looked.candidates.iter().map(|(_, pair)| judge.micros(pair)).sum())
        .collect();
    micros.sort_by(f64::total_cmp);
    StreamPolicy {
        policy: judge.policy.name(),
        threshold,
        hit_rate: hits as f64 / queries,
        false_hits_per_hit: rate,
        false_hits_per_hit_upper95: upper,
        errors_per_request: wrong as f64 / queries,
        correct_on_positives: (answerable > 0).then(|| (hits - wrong) as f64 / answerable as f64),
        budget: match rate {
            _ if upper <= terms.budget => Kept::Within,
            Some(rate) if rate > terms.budget => Kept::Exceeded,
            _ => Kept::Insufficient,
        },
        p50_ms: quantile(&micros, 0.5) / 1e3,
        p99_ms: quantile(&micros, 0.99) / 1e3,
        curve: curve(served),
    }
}

/// About fifty points from the highest threshold to the lowest.
fn curve(served: &[Served]) -> Vec<CurvePoint> {
    const POINTS: usize = 50;
    let mut scores: Vec<(f32, bool)> = served.iter().flatten().copied().collect();
    scores.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let step = scores.len().div_ceil(POINTS).max(1);
    let mut wrong = 0_usize;
    let mut points = Vec::new();
    for (place, (threshold, is_right)) in scores.iter().enumerate() {
        wrong += usize::from(!is_right);
        let hits = place + 1;
        if hits % step == 0 {
            points.push(CurvePoint {
                hit_rate: hits as f64 / served.len() as f64,
                false_hits_per_hit: wrong as f64 / hits as f64,
                threshold: *threshold,
            });
        }
    }
    points
}

#[cfg(test)]
mod tests;
