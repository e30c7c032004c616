//! The candidates that lookups find for a stream's queries.

use std::collections::BTreeSet;
use std::sync::Arc;

use wellspring::embedding::Embedding;
use wellspring::error::Result;
use wellspring::verify::{Calibration, Sample};

use super::Stream;
use crate::cost::{Cost, StageCost};
use crate::curve::Step;
use crate::details::{Case, Near};
use crate::embeddings::Embeddings;
use crate::examined::{Examined, Examiner};
use crate::policy::{Judge, Policy};
use crate::queries::Query;
use crate::review::Disagreement;
use crate::serving::{Offer, Rivals};
use crate::thresholds::Calibrating;
use crate::vcache::Asked;

/// A query's candidates, nearest first.
#[derive(Debug)]
struct LookedUp {
    candidates: Vec<(usize, Examined)>,
    rivals: Rivals,
    /// The position of the one that the cheap stages find most likely.
    likeliest: Option<usize>,
    expect: Option<usize>,
}

impl LookedUp {
    fn pairs(&self) -> Vec<&Examined> {
        self.candidates.iter().map(|(_, pair)| pair).collect()
    }

    /// The candidates that the policy would serve as its threshold falls, each with its position among the
    /// cached questions.
    fn offers(&self, judge: &Judge) -> Vec<(Offer, usize, &Examined)> {
        let candidate = |offer: Offer| {
            let (at, pair) = &self.candidates[offer.place];
            (offer, *at, pair)
        };
        judge.offers(&self.pairs(), &self.rivals).into_iter().map(candidate).collect()
    }
}

/// All queries with their candidates.
#[derive(Debug)]
pub(super) struct Looked(Vec<LookedUp>);

impl Looked {
    /// Looks `queries` up among the cached questions, for policies with these calibrations.
    ///
    /// # Errors
    ///
    /// If a model fails.
    pub(super) async fn of(
        examiner: &Examiner,
        stream: Stream<'_>,
        queries: &[Query],
        embeddings: &Embeddings,
        calibrations: &[Arc<Calibration>],
    ) -> Result<Self> {
        let entries: Vec<(usize, &str, &Embedding)> = stream
            .cached
            .iter()
            .enumerate()
            .filter_map(|(at, entry)| Some((at, &*entry.question, embeddings.get(&entry.question)?)))
            .collect();
        let mut looked = Vec::with_capacity(queries.len());
        for query in queries {
            let asked = &*query.question;
            let near =
                embeddings.get(asked).map_or_else(Vec::new, |e| nearest(e, &entries, stream.candidates));
            let mut candidates = Vec::with_capacity(near.len());
            for (place, similarity) in near {
                let (at, cached, _) = entries[place];
                let mut pair = examiner.look(asked, cached, Some(similarity));
                examiner.screen(&mut pair, asked, cached, calibrations).await?;
                candidates.push((at, pair));
            }
            let cheap = |place: &usize| examiner.calibration.cheap(&candidates[*place].1.features);
            let likeliest = (0..candidates.len()).max_by(|a, b| cheap(a).total_cmp(&cheap(b)));
            let rivals = rivals(examiner, &candidates, &entries, calibrations).await?;
            looked.push(LookedUp { candidates, rivals, likeliest, expect: query.expect });
        }
        Ok(Self(looked))
    }

    /// What the policy would serve for each query, with all details.
    pub(super) fn cases<'a>(&'a self, judge: &Judge, stream: Stream<'a>) -> Vec<Case<'a>> {
        let question = |at: usize| &*stream.cached[at].question;
        let case = |(looked, query): (&'a LookedUp, &'a Query)| {
            let near = |(offer, at, pair): (Offer, usize, &'a Examined)| Near {
                question: question(at),
                pair,
                score: offer.score,
                confidence: offer.confidence,
                is_right: looked.expect == Some(at),
            };
            let expected = |at: usize| {
                let pair = looked.candidates.iter().find(|(place, _)| *place == at);
                (question(at), pair.map(|(_, pair)| pair))
            };
            Case {
                asked: &query.question,
                offers: looked.offers(judge).into_iter().map(near).collect(),
                expected: looked.expect.map(expected),
                domain: query.domain.as_deref(),
            }
        };
        self.0.iter().zip(stream.queries).map(case).collect()
    }

    /// The policy's disagreements with the labels, over all candidates; a candidate that a query does not
    /// expect is labelled as another question.
    pub(super) fn disagreements(&self, judge: &Judge, stream: Stream<'_>) -> Vec<Disagreement> {
        let of_query = |(looked, query): (&LookedUp, &Query)| -> Vec<Disagreement> {
            let found = |(at, pair): &(usize, Examined)| {
                let questions = (&*stream.cached[*at].question, &*query.question);
                Disagreement::of(judge, pair, questions, looked.expect == Some(*at), query.domain.as_deref())
            };
            looked.candidates.iter().filter_map(found).collect()
        };
        self.0.iter().zip(stream.queries).flat_map(of_query).collect()
    }

    /// The queries with their nearest cached question only.
    pub(super) fn asked(&self) -> Vec<Asked> {
        let asked = |looked: &LookedUp| {
            let nearest = looked.candidates.first();
            let nearest = nearest.map(|(at, pair)| (*at, pair.similarity.unwrap_or_default()));
            let is_right = nearest.is_some_and(|(at, _)| looked.expect == Some(at));
            Asked { nearest, is_right }
        };
        self.0.iter().map(asked).collect()
    }

    /// How long the policy's decision on each query takes, in microseconds.
    pub(super) fn micros(&self, judge: &Judge, threshold: Option<f32>) -> Vec<f64> {
        self.0.iter().map(|looked| judge.micros(&looked.pairs(), threshold)).collect()
    }

    /// The cost of each stage, over all candidates.
    pub(super) fn stages(&self) -> Vec<StageCost> {
        let costs: Vec<Cost> =
            self.0.iter().flat_map(|looked| &looked.candidates).map(|(_, pair)| pair.cost).collect();
        StageCost::of(&costs, self.0.len())
    }
}

impl Calibrating for Looked {
    fn samples(&self) -> Vec<Sample> {
        let samples = |looked: &LookedUp| -> Vec<Sample> {
            let sample = |(place, (at, pair)): (usize, &(usize, Examined))| {
                let mut sample = Sample::new(pair.features, pair.logit, looked.expect == Some(*at));
                sample.is_measured = looked.likeliest == Some(place) && !pair.is_vetoed();
                sample
            };
            looked.candidates.iter().enumerate().map(sample).collect()
        };
        self.0.iter().flat_map(samples).collect()
    }

    fn steps(&self, judge: &Judge) -> Vec<Step> {
        let steps = |looked: &LookedUp| {
            let answer = |(offer, at, _): (Offer, usize, &Examined)| (offer.score, looked.expect == Some(at));
            Step::of(&looked.offers(judge).into_iter().map(answer).collect::<Vec<_>>())
        };
        self.0.iter().flat_map(steps).collect()
    }
}

/// Whether those of `candidates` that may claim the same question ask the same, for policies with these
/// calibrations.
async fn rivals(
    examiner: &Examiner,
    candidates: &[(usize, Examined)],
    entries: &[(usize, &str, &Embedding)],
    calibrations: &[Arc<Calibration>],
) -> Result<Rivals> {
    let pairs: Vec<&Examined> = candidates.iter().map(|(_, pair)| pair).collect();
    let judge = |calibration: &Arc<Calibration>| {
        Judge::new(Policy::Verifier, Arc::clone(calibration), examiner.stage(calibration))
    };
    let places: BTreeSet<(usize, usize)> =
        calibrations.iter().flat_map(|calibration| judge(calibration).rivals(&pairs)).collect();
    let entry = |place: usize| entries.iter().find(|(at, ..)| *at == candidates[place].0);
    let mut rivals = Rivals::new();
    for (best, other) in places {
        let (Some((_, one, a)), Some((_, two, b))) = (entry(best), entry(other)) else { continue };
        let mut pair = examiner.look(one, two, Some(a.similarity(b)));
        examiner.screen(&mut pair, one, two, calibrations).await?;
        rivals.insert((best, other), pair);
    }
    Ok(rivals)
}

/// The positions of the `count` nearest entries with their similarities, nearest first.
fn nearest(query: &Embedding, entries: &[(usize, &str, &Embedding)], count: usize) -> Vec<(usize, f32)> {
    let mut near: Vec<(usize, f32)> =
        entries.iter().enumerate().map(|(place, (_, _, entry))| (place, query.similarity(entry))).collect();
    near.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    near.truncate(count);
    near
}
