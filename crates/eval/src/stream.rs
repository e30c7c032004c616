//! Measures policies on a stream of queries against cached questions.
//!
//! Every query is compared with the same cached questions; nothing is inserted in between. A hit is right if
//! it is on the cached question that the query expects, and false if it is on any other, or if the query
//! expects none.

mod looked;

use std::sync::Arc;

use serde::Serialize;
use wellspring::embed::Embedder;
use wellspring::error::{Error, ErrorKind, Result};
use wellspring::verify::wilson_upper95;

use self::looked::Looked;
use super::budget::BudgetVerdict;
use super::cost::StageCost;
use super::curve::{CurvePoint, Tally};
use super::details::{Case, Details};
use super::domains::{DomainFigures, Member, by_domain};
use super::embeddings::{Embeddings, Progress};
use super::examined::Examiner;
use super::metrics::{Scored, quantile, roc_auc};
use super::policy::{Judge, Policy};
use super::queries::{Cached, Query};
use super::review::Review;
use super::thresholds::{Calibrating, Terms, judges};
use super::vcache;

/// The result of an evaluation on a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamReport {
    /// The embedding model.
    pub model: String,
    /// Cached questions.
    pub cached: usize,
    /// Queries.
    pub queries: usize,
    /// The share of queries that a cached question answers: the highest possible hit rate without a false
    /// hit.
    pub answerable: f64,
    /// The budget that thresholds keep.
    pub budget: f64,
    /// The figures of every policy, in the order given.
    pub policies: Vec<StreamPolicy>,
    /// The cost of each stage.
    pub stages: Vec<StageCost>,
    /// The details of the policies for report pages.
    #[serde(skip)]
    pub details: Vec<Details>,
    /// The disagreements of the first policy that gives probabilities with the labels; none if no policy
    /// gives any.
    #[serde(skip)]
    pub review: Option<Review>,
}

/// The figures of one policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamPolicy {
    /// The policy's name.
    pub policy: &'static str,
    /// The threshold; none where the calibration data cannot show the budget, and for `vcache`.
    pub threshold: Option<f32>,
    /// Hits per query.
    pub hit_rate: f64,
    /// False hits per hit; none without hits.
    pub false_hits_per_hit: Option<f64>,
    /// The upper end of its Wilson interval at 95 % (two-sided).
    pub false_hits_per_hit_upper95: f64,
    /// False hits per query.
    pub errors_per_request: f64,
    /// The share of answerable queries that got the right answer.
    pub correct_on_positives: Option<f64>,
    /// How well its scores separate right from wrong: the probability that a query whose surest candidate is
    /// right ranks above one whose surest candidate is wrong. None unless there are both, and for `vcache`.
    pub roc_auc: Option<f64>,
    /// How far its probabilities are from the outcomes, on average (expected calibration error over ten bins
    /// of equal counts), if it gives any.
    pub calibration_error: Option<f64>,
    /// Whether the budget was kept: `kept` or `exceeded` by the bound, `insufficient` where the hits are too
    /// few to show it.
    pub budget: BudgetVerdict,
    /// The median time of the decision on a query, without embedding and search, in milliseconds.
    pub p50_ms: f64,
    /// The time that 99 % of the decisions took at most, in milliseconds.
    pub p99_ms: f64,
    /// The same figures by domain, worst first; empty unless queries name domains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<DomainFigures>,
    /// The results at other thresholds, from high to low, for plots. For `vcache`, the results with other
    /// budgets.
    pub curve: Vec<CurvePoint>,
}

/// What to evaluate.
#[derive(Debug, Clone, Copy)]
pub struct Stream<'a> {
    /// The cached questions.
    pub cached: &'a [Cached],
    /// The queries.
    pub queries: &'a [Query],
    /// Other queries against the same cached questions, for thresholds and for learning.
    pub calibrate_on: Option<&'a [Query]>,
    /// Candidates looked at per query.
    pub candidates: usize,
    /// If set, thresholds are chosen to give this hit rate, right or wrong, instead of those of the settings.
    pub hit_rate: Option<f64>,
}

/// Measures `policies` on `stream`.
///
/// # Errors
///
/// If there are no queries, no cached questions or no policies, the calibration data are too few, or a model
/// fails.
///
/// # Cancel safety
///
/// Dropping the future abandons the evaluation; nothing is kept of it.
pub async fn evaluate(
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
    if stream.hit_rate.is_some() && policies.contains(&Policy::VCache) {
        let message = "no hit rate can be set for `vcache`, which has no threshold";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let asked = queries.iter().chain(stream.calibrate_on.into_iter().flatten()).map(|query| &*query.question);
    let texts = cached.iter().map(|entry| &*entry.question).chain(asked);
    let embeddings = Embeddings::of(embedder, texts, progress).await?;
    let data = match stream.calibrate_on {
        Some(queries) => {
            let calibrations = [Arc::clone(&examiner.calibration)];
            Some(Looked::of(examiner, stream, queries, &embeddings, &calibrations).await?)
        }
        None => None,
    };
    let mut judges = judges(policies, data.as_ref().map(|data| data as &dyn Calibrating), examiner, terms)?;
    if stream.hit_rate.is_some() {
        // If a hit rate is set, the thresholds of the settings are not used.
        judges = judges.into_iter().map(|(judge, least)| (judge.with_enough(None), least)).collect();
    }
    let calibrations: Vec<_> = judges.iter().map(|(judge, _)| Arc::clone(&judge.calibration)).collect();
    let looked = Looked::of(examiner, stream, queries, &embeddings, &calibrations).await?;
    let measure = |(judge, threshold): &(Judge, Option<f32>)| match judge.policy {
        Policy::VCache => stream.run(&looked, terms),
        _ => stream.measure(judge, *threshold, &looked, terms),
    };
    let (policies, details) = judges.iter().map(measure).unzip();
    Ok(StreamReport {
        model: embedder.model().fingerprint(),
        cached: cached.len(),
        queries: queries.len(),
        answerable: stream.answerable() as f64 / queries.len() as f64,
        budget: terms.budget,
        policies,
        stages: looked.stages(),
        details,
        review: Review::of(&judges, |judge| looked.disagreements(judge, stream)),
    })
}

/// The threshold at which the share `rate` of all queries are hits.
fn at_hit_rate(cases: &[Case<'_>], rate: f64) -> Option<f32> {
    let mut scores: Vec<f32> = cases.iter().filter_map(Case::surest).map(|near| near.score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the slice")]
    let hits = (rate * cases.len() as f64).round() as usize;
    scores.get(hits.saturating_sub(1).min(scores.len().saturating_sub(1))).copied()
}

/// The outcome of a query. It ranks by the candidate that the policy is surest of, if there is one.
fn member<'a>(case: &Case<'a>, threshold: Option<f32>) -> Member<'a> {
    Member {
        domain: case.domain,
        is_answerable: case.expected.is_some(),
        hit: case.served(threshold).map(|near| near.is_right),
        scored: case.surest().map(|near| Scored::of(near.confidence, near.is_right)),
    }
}

impl<'a> Stream<'a> {
    /// The figures of a policy that chooses by a threshold.
    fn measure(
        self,
        judge: &Judge,
        threshold: Option<f32>,
        looked: &Looked,
        terms: Terms,
    ) -> (StreamPolicy, Details) {
        let cases = looked.cases(judge, self);
        let threshold = self.hit_rate.map_or(threshold, |rate| at_hit_rate(&cases, rate));
        let members: Vec<Member<'_>> = cases.iter().map(|case| member(case, threshold)).collect();
        let details = Details::of(judge, threshold, &cases);
        let micros = looked.micros(judge, threshold);
        (self.figures(judge.policy, threshold, &members, micros, &details, terms), details)
    }

    /// The figures of the policy that learns during the run.
    fn run(self, looked: &Looked, terms: Terms) -> (StreamPolicy, Details) {
        let asked = looked.asked();
        let run = vcache::Run::over(&asked, terms.budget);
        #[expect(clippy::cast_possible_truncation, reason = "a budget needs few digits")]
        let at = CurvePoint::of(run.hits(), asked.len(), terms.budget as f32);
        let details = Details::without_scores(Policy::VCache, vcache::curve(&asked), at);
        let member = |(query, hit): (&'a Query, &Option<bool>)| Member {
            domain: query.domain.as_deref(),
            is_answerable: query.expect.is_some(),
            hit: *hit,
            scored: None,
        };
        let members: Vec<Member<'_>> = self.queries.iter().zip(&run.served).map(member).collect();
        (self.figures(Policy::VCache, None, &members, run.micros, &details, terms), details)
    }

    fn figures(
        self,
        policy: Policy,
        threshold: Option<f32>,
        members: &[Member<'_>],
        mut micros: Vec<f64>,
        details: &Details,
        terms: Terms,
    ) -> StreamPolicy {
        micros.sort_by(f64::total_cmp);
        let queries = self.queries.len() as f64;
        let answerable = self.answerable();
        let tally = Tally::of_hits(members.iter().filter_map(|member| member.hit));
        let (hits, wrong) = (tally.hits(), tally.wrong());
        let scored: Vec<Scored> = members.iter().filter_map(|member| member.scored).collect();
        let upper = wilson_upper95(wrong, hits);
        let rate = (hits > 0).then(|| wrong as f64 / hits as f64);
        StreamPolicy {
            policy: policy.name(),
            threshold,
            hit_rate: hits as f64 / queries,
            false_hits_per_hit: rate,
            false_hits_per_hit_upper95: upper,
            errors_per_request: wrong as f64 / queries,
            correct_on_positives: (answerable > 0).then(|| tally.right() as f64 / answerable as f64),
            roc_auc: roc_auc(&scored),
            calibration_error: details.calibration_error,
            budget: BudgetVerdict::of(rate, upper, terms.budget),
            p50_ms: quantile(&micros, 0.5) / 1e3,
            p99_ms: quantile(&micros, 0.99) / 1e3,
            domains: by_domain(members, terms.budget),
            curve: details.curve.clone(),
        }
    }

    /// How many queries a cached question answers.
    fn answerable(self) -> usize {
        self.queries.iter().filter(|query| query.expect.is_some()).count()
    }
}

#[cfg(test)]
mod against_the_cache;
#[cfg(test)]
mod tests;
