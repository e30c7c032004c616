//! Measures policies on labelled pairs: insert `a`, ask `b`.

use std::collections::BTreeSet;

use serde::Serialize;
use wellspring::embed::Embedder;
use wellspring::error::{Error, ErrorKind, Result};
use wellspring::verify::{Sample, wilson_upper95};

use super::cost::{Cost, StageCost};
use super::curve::Step;
use super::details::{Case, Details, Near};
use super::domains::{DomainFigures, Member, by_domain};
use super::embeddings::{Embeddings, Progress};
use super::examined::{Examined, Examiner};
use super::metrics::{Scored, Scores, quantile};
use super::pairs::Pair;
use super::policy::{Judge, Policy};
use super::review::{Disagreement, Review};
use super::thresholds::{Calibrating, Terms, judges};

/// The thresholds of the table.
pub(super) const THRESHOLDS: [f32; 14] =
    [0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.88, 0.90, 0.92, 0.95, 0.97, 0.99];

/// The result of an evaluation on pairs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairReport {
    /// The embedding model.
    pub model: String,
    /// All pairs.
    pub pairs: usize,
    /// Pairs labelled as the same question.
    pub positives: usize,
    /// Pairs labelled as different questions.
    pub negatives: usize,
    /// Pairs with a text that is too long for the model. No threshold accepts them.
    pub too_long: usize,
    /// The budget that thresholds keep.
    pub budget: f64,
    /// The figures of the first policy, repeated at the top level for scripts that read only those.
    #[serde(flatten)]
    pub first: Scores,
    /// The figures of every policy, the first included, in the order given.
    pub policies: Vec<PairPolicy>,
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
pub struct PairPolicy {
    /// The policy's name.
    pub policy: &'static str,
    /// The frozen threshold; none where the calibration data cannot show the budget.
    pub threshold: Option<f32>,
    /// The share of positives accepted at it.
    pub accepted_positive: Option<f64>,
    /// The share of negatives accepted at it.
    pub accepted_negative: Option<f64>,
    /// The share of negatives among the accepted.
    pub false_hits_per_hit: Option<f64>,
    /// The upper end of its Wilson interval at 95 %.
    pub false_hits_per_hit_upper95: f64,
    /// How far its probabilities are from the outcomes, on average (expected calibration error over ten bins
    /// of equal counts), if it gives any. Pairs that it vetoes have none.
    pub calibration_error: Option<f64>,
    /// The median time of the decision on a pair, without embedding, in milliseconds.
    pub p50_ms: f64,
    /// The time that 99 % of the decisions took at most, in milliseconds.
    pub p99_ms: f64,
    /// The same figures by domain, worst first; empty unless pairs name domains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<DomainFigures>,
    /// Its ranking quality and the table over thresholds.
    #[serde(flatten)]
    pub scores: Scores,
}

/// Measures `policies` on `pairs`, with thresholds from `calibrate_on` if it is given.
///
/// # Errors
///
/// If `pairs` or `policies` is empty, the calibration data are too few, or a model fails.
///
/// # Cancel safety
///
/// Dropping the future abandons the evaluation; nothing is kept of it.
pub async fn evaluate(
    embedder: &dyn Embedder,
    examiner: &Examiner,
    policies: &[Policy],
    pairs: &[Pair],
    calibrate_on: Option<&[Pair]>,
    terms: Terms,
    progress: Progress<'_>,
) -> Result<PairReport> {
    if pairs.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "there is no pair to evaluate"));
    }
    if policies.contains(&Policy::VCache) {
        let message = "`vcache` learns from one query to the next: measure it with `eval stream`";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let all = || pairs.iter().chain(calibrate_on.into_iter().flatten());
    let embeddings = Embeddings::of(embedder, all().flat_map(|pair| [&*pair.a, &*pair.b]), progress).await?;
    let data = match calibrate_on {
        Some(pairs) => Some(Labelled { pairs, examined: examine(examiner, pairs, &embeddings).await? }),
        None => None,
    };
    let judges = judges(policies, data.as_ref().map(|data| data as &dyn Calibrating), examiner, terms)?;
    // The scorer reads every pair, so that all have the same kind of probability.
    let judges: Vec<_> = judges.into_iter().map(|(judge, least)| (judge.with_enough(None), least)).collect();
    let examined = examine(examiner, pairs, &embeddings).await?;
    let measure = |(judge, threshold): &(Judge, Option<f32>)| {
        let details = Details::of(judge, *threshold, &cases(judge, pairs, &examined));
        (measure(judge, *threshold, pairs, &examined, &details, terms), details)
    };
    let (reports, details): (Vec<PairPolicy>, Vec<Details>) = judges.iter().map(measure).unzip();
    let costs: Vec<Cost> = examined.iter().map(|pair| pair.cost).collect();
    let first = reports.first().map(|report| report.scores.clone());
    let positives = pairs.iter().filter(|pair| pair.is_same).count();
    Ok(PairReport {
        model: embedder.model().fingerprint(),
        pairs: pairs.len(),
        positives,
        negatives: pairs.len() - positives,
        too_long: examined.iter().filter(|pair| pair.similarity.is_none()).count(),
        budget: terms.budget,
        first: first.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "there is no policy to evaluate"))?,
        policies: reports,
        stages: StageCost::of(&costs, pairs.len()),
        details,
        review: Review::of(&judges, |judge| disagreements(judge, pairs, &examined)),
    })
}

fn disagreements(judge: &Judge, pairs: &[Pair], examined: &[Examined]) -> Vec<Disagreement> {
    let found = |(pair, examined): (&Pair, &Examined)| {
        Disagreement::of(judge, examined, (&*pair.a, &*pair.b), pair.is_same, pair.domain.as_deref())
    };
    pairs.iter().zip(examined).filter_map(found).collect()
}

/// The data of each pair that policies decide by.
async fn examine(examiner: &Examiner, pairs: &[Pair], embeddings: &Embeddings) -> Result<Vec<Examined>> {
    let mut examined = Vec::with_capacity(pairs.len());
    for Pair { a, b, .. } in pairs {
        let mut pair = examiner.look(b, a, embeddings.similarity(a, b));
        if pair.similarity.is_some() {
            examiner.score(&mut pair, b, a).await?;
        }
        examined.push(pair);
    }
    Ok(examined)
}

/// Pairs with their labels, as calibration data.
#[derive(Debug)]
pub struct Labelled<'a> {
    pub(super) pairs: &'a [Pair],
    pub(super) examined: Vec<Examined>,
}

impl<'a> Labelled<'a> {
    /// Examines `pairs`.
    ///
    /// # Errors
    ///
    /// If a model fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the work; nothing is kept of it.
    pub async fn of(
        embedder: &dyn Embedder,
        examiner: &Examiner,
        pairs: &'a [Pair],
        progress: Progress<'_>,
    ) -> Result<Self> {
        let texts = pairs.iter().flat_map(|pair| [&*pair.a, &*pair.b]);
        let embeddings = Embeddings::of(embedder, texts, progress).await?;
        Ok(Self { pairs, examined: examine(examiner, pairs, &embeddings).await? })
    }

    /// The pairs, for fitting a calibration.
    ///
    /// Pairs of the same domain form one group.
    pub fn samples(&self) -> Vec<Sample> {
        let domains: BTreeSet<&str> = self.pairs.iter().filter_map(|pair| pair.domain.as_deref()).collect();
        let group = |domain: &str| u32::try_from(domains.range(..=domain).count()).unwrap_or(u32::MAX);
        let sample = |(examined, pair): (&Examined, &Pair)| {
            examined.similarity?;
            let mut sample = Sample::new(examined.features, examined.logit, pair.is_same);
            sample.weight = pair.weight;
            sample.is_measured = pair.is_measured;
            sample.group = pair.domain.as_deref().map_or(0, group);
            Some(sample)
        };
        self.examined.iter().zip(self.pairs).filter_map(sample).collect()
    }
}

impl Calibrating for Labelled<'_> {
    fn samples(&self) -> Vec<Sample> {
        self.samples()
    }

    fn steps(&self, judge: &Judge) -> Vec<Step> {
        let measured = self.examined.iter().zip(self.pairs).filter(|(_, pair)| pair.is_measured);
        let answers = measured.filter_map(|(examined, pair)| Some((judge.score(examined)?, pair.is_same)));
        answers.flat_map(|answer| Step::of(&[answer])).collect()
    }
}

/// The pairs with the decisions of a policy.
fn cases<'a>(judge: &Judge, pairs: &'a [Pair], examined: &'a [Examined]) -> Vec<Case<'a>> {
    let case = |(pair, examined): (&'a Pair, &'a Examined)| {
        let near = |score| Near {
            question: &pair.a,
            pair: examined,
            score,
            confidence: score,
            is_right: pair.is_same,
        };
        Case {
            asked: &pair.b,
            offers: judge.score(examined).map(near).into_iter().collect(),
            expected: pair.is_same.then_some((&*pair.a, Some(examined))),
            domain: pair.domain.as_deref(),
        }
    };
    pairs.iter().zip(examined).map(case).collect()
}

fn measure<'a>(
    judge: &Judge,
    threshold: Option<f32>,
    pairs: &'a [Pair],
    examined: &[Examined],
    details: &Details,
    terms: Terms,
) -> PairPolicy {
    let score = |(pair, label): (&Examined, &Pair)| Scored {
        score: judge.score(pair),
        rank: judge.rank(pair),
        is_same: label.is_same,
    };
    let scored: Vec<Scored> = examined.iter().zip(pairs).map(score).collect();
    let reaches = |scored: &Scored| scored.score.zip(threshold).is_some_and(|(score, least)| score >= least);
    let accepted =
        |is_same: bool| scored.iter().filter(|scored| scored.is_same == is_same && reaches(scored)).count();
    let member = |(pair, scored): (&'a Pair, &Scored)| Member {
        domain: pair.domain.as_deref(),
        is_answerable: pair.is_same,
        hit: reaches(scored).then_some(pair.is_same),
        scored: Some(*scored),
    };
    let members: Vec<Member<'_>> = pairs.iter().zip(&scored).map(member).collect();
    let of = |is_same: bool| scored.iter().filter(|scored| scored.is_same == is_same).count();
    let (right, wrong) = (accepted(true), accepted(false));
    let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
    let mut micros: Vec<f64> = examined.iter().map(|pair| judge.micros(&[pair], threshold)).collect();
    micros.sort_by(f64::total_cmp);
    PairPolicy {
        policy: judge.policy.name(),
        threshold,
        accepted_positive: share(right, of(true)),
        accepted_negative: share(wrong, of(false)),
        false_hits_per_hit: share(wrong, right + wrong),
        false_hits_per_hit_upper95: wilson_upper95(wrong as u64, (right + wrong) as u64),
        calibration_error: details.calibration_error,
        p50_ms: quantile(&micros, 0.5) / 1e3,
        p99_ms: quantile(&micros, 0.99) / 1e3,
        domains: by_domain(&members, terms.budget),
        scores: Scores::of(&scored, &THRESHOLDS),
    }
}

#[cfg(test)]
mod tests;
