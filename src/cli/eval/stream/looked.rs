//! What lookups of a stream's queries see.

use super::Stream;
use crate::cli::eval::cost::{Cost, StageCost};
use crate::cli::eval::details::{Case, Near};
use crate::cli::eval::embeddings::Embeddings;
use crate::cli::eval::examined::{Examined, Examiner};
use crate::cli::eval::policy::Judge;
use crate::cli::eval::queries::Query;
use crate::cli::eval::thresholds::Calibrating;
use crate::cli::eval::vcache::Asked;
use crate::embedding::Embedding;
use crate::error::Result;
use crate::verify::{Pipeline, Sample};

/// A query's candidates, the best by the cheap probability first.
#[derive(Debug)]
struct LookedUp {
    candidates: Vec<(usize, Examined)>,
    expect: Option<usize>,
}

impl LookedUp {
    fn nearest_first(&self) -> Vec<&(usize, Examined)> {
        let mut candidates: Vec<_> = self.candidates.iter().collect();
        let similarity = |(_, pair): &(usize, Examined)| pair.similarity.unwrap_or(-1.0);
        candidates.sort_by(|a, b| similarity(b).total_cmp(&similarity(a)));
        candidates
    }

    /// The candidate that the policy would serve, with its score and its place.
    fn best(&self, judge: &Judge) -> Option<(f32, usize, &Examined)> {
        let scored = self.candidates.iter().filter_map(|(at, pair)| Some((judge.score(pair)?, *at, pair)));
        scored.max_by(|(a, ..), (b, ..)| a.total_cmp(b))
    }
}

/// All queries with their candidates.
#[derive(Debug)]
pub(super) struct Looked(Vec<LookedUp>);

/// What a policy would serve: its score, and whether it is right. None where every candidate is vetoed.
pub(super) type Served = Option<(f32, bool)>;

impl Looked {
    /// Looks `queries` up among the cached questions.
    ///
    /// # Errors
    ///
    /// If a model fails.
    pub(super) async fn of(
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
        let calibration = &examiner.calibration;
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
            for (_, question, pair) in &mut candidates {
                let worthy = pair.similarity >= Some(Pipeline::DEFAULT_FLOOR) && !pair.is_vetoed();
                if examiner.scorer.is_some() {
                    let likely = calibration.cheap(&pair.features) >= calibration.scorer_from();
                    pair.is_screened = !(worthy && likely);
                    if !pair.is_screened {
                        examiner.score(pair, asked, question).await?;
                    }
                }
            }
            let candidates = candidates.into_iter().map(|(at, _, pair)| (at, pair)).collect();
            looked.push(LookedUp { candidates, expect: query.expect });
        }
        Ok(Self(looked))
    }

    /// What the policy would serve for each query.
    pub(super) fn served(&self, judge: &Judge) -> Vec<Served> {
        let best = |looked: &LookedUp| {
            let (score, at, _) = looked.best(judge)?;
            Some((score, looked.expect == Some(at)))
        };
        self.0.iter().map(best).collect()
    }

    /// The same with everything that there is to say about it.
    pub(super) fn cases<'a>(&'a self, judge: &Judge, stream: Stream<'a>) -> Vec<Case<'a>> {
        let question = |at: usize| &*stream.cached[at].question;
        let case = |(looked, query): (&'a LookedUp, &'a Query)| {
            let best = looked.best(judge);
            let expected = |at: usize| {
                let pair = looked.candidates.iter().find(|(place, _)| *place == at);
                (question(at), pair.map(|(_, pair)| pair))
            };
            Case {
                asked: &query.question,
                best: best.map(|(score, at, pair)| Near { question: question(at), pair, score }),
                expected: looked.expect.map(expected),
                is_right: best.is_some_and(|(_, at, _)| looked.expect == Some(at)),
            }
        };
        self.0.iter().zip(stream.queries).map(case).collect()
    }

    /// The queries with their nearest cached question only.
    pub(super) fn asked<'a>(&self, stream: Stream<'a>) -> Vec<Asked<'a>> {
        let asked = |(looked, query): (&LookedUp, &'a Query)| {
            let nearest = looked
                .nearest_first()
                .first()
                .map(|(at, pair)| (*at, &*stream.cached[*at].question, pair.similarity.unwrap_or_default()));
            let is_right = nearest.is_some_and(|(at, ..)| looked.expect == Some(at));
            Asked { question: &query.question, nearest, is_right }
        };
        self.0.iter().zip(stream.queries).map(asked).collect()
    }

    /// How long the policy's decision on each query takes, in microseconds.
    pub(super) fn micros(&self, judge: &Judge, threshold: Option<f32>, budget: f64) -> Vec<f64> {
        let micros = |looked: &LookedUp| {
            let pairs: Vec<&Examined> = looked.nearest_first().iter().map(|(_, pair)| pair).collect();
            judge.micros(&pairs, threshold, budget)
        };
        self.0.iter().map(micros).collect()
    }

    /// What each stage cost, over all candidates.
    pub(super) fn stages(&self) -> Vec<StageCost> {
        let costs: Vec<Cost> =
            self.0.iter().flat_map(|looked| &looked.candidates).map(|(_, pair)| pair.cost).collect();
        StageCost::of(&costs, self.0.len())
    }
}

impl Calibrating for Looked {
    fn samples(&self) -> Vec<Sample> {
        let samples = |looked: &LookedUp| -> Vec<Sample> {
            let sample = |(rank, (at, pair)): (usize, &(usize, Examined))| {
                let mut sample = Sample::new(pair.features, pair.logit, looked.expect == Some(*at));
                sample.is_measured = rank == 0 && !pair.is_vetoed();
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
