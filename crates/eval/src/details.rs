//! The details of a policy on report pages, beyond its figures: its curve, how reliable its probabilities
//! are, and its errors, with the reasons that `wellspring why` would give.

use std::collections::BTreeMap;

use wellspring::verify::{Check, Pipeline, Stage};

use super::curve::{CurvePoint, Step, curve};
use super::examined::Examined;
use super::policy::{Judge, Policy};
use super::reliability::{Bin, bins, calibration_error};

/// The number of examples of each kind.
const EXAMPLES: usize = 8;

/// The number of inputs of a probability that an example names.
const REASONS: usize = 4;

/// An input that adds less than this to the logarithm of the odds is not given as a reason.
const LEAST_REASON: f64 = 0.05;

/// A question asked, with the answers that a policy would serve and the right one.
#[derive(Debug, Clone)]
pub(super) struct Case<'a> {
    pub(super) asked: &'a str,
    /// The cached questions whose answers the policy would serve as its threshold falls: at a given
    /// threshold, the first whose score reaches it. Empty if all are vetoed.
    pub(super) offers: Vec<Near<'a>>,
    /// The cached question whose answer is right, if there is one; examined if it is among the candidates.
    pub(super) expected: Option<(&'a str, Option<&'a Examined>)>,
    /// Its subject, if the data name one.
    pub(super) domain: Option<&'a str>,
}

/// A cached question whose answer a policy may serve.
#[derive(Debug, Clone, Copy)]
pub(super) struct Near<'a> {
    pub(super) question: &'a str,
    pub(super) pair: &'a Examined,
    /// The greatest threshold that serves it.
    pub(super) score: f32,
    /// How sure the policy is of it.
    pub(super) confidence: f32,
    /// Whether its answer is right.
    pub(super) is_right: bool,
}

impl<'a> Case<'a> {
    /// The answer served from this threshold on.
    pub(super) fn served(&self, threshold: Option<f32>) -> Option<Near<'a>> {
        self.offers.iter().find(|near| threshold.is_some_and(|least| near.score >= least)).copied()
    }

    /// The candidate that the policy is surest of.
    pub(super) fn surest(&self) -> Option<Near<'a>> {
        self.offers.last().copied()
    }

    fn steps(&self) -> Vec<Step> {
        Step::of(&self.offers.iter().map(|near| (near.score, near.is_right)).collect::<Vec<_>>())
    }
}

/// The details of a policy on report pages.
#[derive(Debug, Clone, PartialEq)]
pub struct Details {
    /// The policy.
    pub policy: Policy,
    /// The results at other thresholds.
    pub curve: Vec<CurvePoint>,
    /// The result at the policy's own threshold; none without hits.
    pub at: Option<CurvePoint>,
    /// How reliable its probabilities are; empty if it gives none.
    pub reliability: Vec<Bin>,
    /// The average error of the probabilities; none if it gives none.
    pub calibration_error: Option<f64>,
    /// All false hits.
    pub false_hits: usize,
    /// Those with the highest scores, highest first.
    pub worst: Vec<Example>,
    /// The reasons why paraphrases were missed, each with its count, most frequent first.
    pub missed: Vec<(String, usize)>,
    /// Those that the threshold refused, nearest to it first.
    pub nearly: Vec<Example>,
    /// Those without a score, most similar first.
    pub refused: Vec<Example>,
}

/// A question that got a wrong answer, or none.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The question that was asked.
    pub asked: String,
    /// The cached question whose answer was served, or would have been.
    pub cached: String,
    /// The cached question whose answer would have been right, if it is a different one.
    pub expected: Option<String>,
    /// The similarity of the two; none if one has no embedding.
    pub similarity: Option<f32>,
    /// How sure the policy was, if it can say.
    pub score: Option<f32>,
    /// The reason for the decision, as `wellspring why` shows it.
    pub why: Check,
}

impl Details {
    /// The details of a policy without scores.
    pub fn without_scores(policy: Policy, curve: Vec<CurvePoint>, at: Option<CurvePoint>) -> Self {
        let (reliability, worst, missed) = (Vec::new(), Vec::new(), Vec::new());
        let (nearly, refused) = (Vec::new(), Vec::new());
        Self {
            policy,
            curve,
            at,
            reliability,
            calibration_error: None,
            false_hits: 0,
            worst,
            missed,
            nearly,
            refused,
        }
    }

    /// The details of a policy that decides on `cases` by `threshold`.
    pub(super) fn of(judge: &Judge, threshold: Option<f32>, cases: &[Case<'_>]) -> Self {
        let steps: Vec<Step> = cases.iter().flat_map(Case::steps).collect();
        let at = threshold.and_then(|least| CurvePoint::at(&steps, cases.len(), least));
        let curve = curve(steps, cases.len());
        let mut details = Self::without_scores(judge.policy, curve, at);
        if judge.policy.scores() {
            let surest = cases.iter().filter_map(Case::surest);
            let probabilities: Vec<_> = surest.map(|near| (near.confidence, near.is_right)).collect();
            details.reliability = bins(&probabilities);
            details.calibration_error = calibration_error(&probabilities);
        }
        // Without a threshold nothing is served, so the misses show nothing.
        if let Some(least) = threshold {
            details.add_false_hits(judge, least, cases);
            details.add_missed(judge, least, cases);
        }
        details
    }

    fn add_false_hits(&mut self, judge: &Judge, least: f32, cases: &[Case<'_>]) {
        let false_hit = |case: &Case<'_>| {
            let Near { question, pair, confidence, is_right, .. } = case.served(Some(least))?;
            (!is_right).then(|| Example {
                asked: case.asked.to_owned(),
                cached: question.to_owned(),
                expected: case.expected.map(|(expected, _)| expected.to_owned()),
                similarity: pair.similarity,
                score: Some(confidence),
                why: judge.why(pair, least),
            })
        };
        self.worst = cases.iter().filter_map(false_hit).collect();
        self.false_hits = self.worst.len();
        first(&mut self.worst, |example| example.score);
    }

    fn add_missed(&mut self, judge: &Judge, least: f32, cases: &[Case<'_>]) {
        let mut causes: BTreeMap<String, usize> = BTreeMap::new();
        for case in cases.iter().filter(|case| case.served(Some(least)).is_none()) {
            let Some((expected, pair)) = case.expected else { continue };
            let cause = pair.map_or_else(|| "not among the candidates".into(), |pair| judge.cause(pair));
            *causes.entry(cause).or_default() += 1;
            let Some(pair) = pair else { continue };
            let score = judge.score(pair);
            let example = Example {
                asked: case.asked.to_owned(),
                cached: expected.to_owned(),
                expected: None,
                similarity: pair.similarity,
                score,
                why: judge.why(pair, least),
            };
            if score.is_some() { &mut self.nearly } else { &mut self.refused }.push(example);
        }
        first(&mut self.nearly, |example| example.score);
        first(&mut self.refused, |example| example.similarity);
        self.missed = causes.into_iter().collect();
        self.missed.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    }

    /// How many paraphrases were missed.
    pub fn misses(&self) -> usize {
        self.missed.iter().map(|(_, count)| count).sum()
    }
}

/// Keeps the examples that come first by `rank`, greatest first.
fn first(examples: &mut Vec<Example>, rank: impl Fn(&Example) -> Option<f32>) {
    let rank = |example: &Example| rank(example).unwrap_or(f32::NEG_INFINITY);
    examples.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    examples.truncate(EXAMPLES);
}

impl Judge {
    /// Why a pair of the same question was missed, in a few words.
    fn cause(&self, pair: &Examined) -> String {
        let Some(similarity) = pair.similarity else { return "too long for the model".into() };
        match &pair.veto {
            Some(veto) if self.score(pair).is_none() => format!("guard: {}", veto.name),
            _ if self.score(pair).is_some() => "below the threshold".into(),
            _ if similarity < Pipeline::DEFAULT_FLOOR => "below the floor".into(),
            _ if pair.is_unread => "not readable for the scorer".into(),
            _ => "cheap probability too low for the scorer".into(),
        }
    }

    /// The reason for the decision on the pair, in the words of `wellspring why`.
    fn why(&self, pair: &Examined, least: f32) -> Check {
        let (similarity, score) = (pair.similarity.unwrap_or_default(), self.score(pair));
        let passed = score.is_some_and(|score| score >= least);
        if let (Some(veto), None) = (&pair.veto, score) {
            return veto.clone();
        }
        if !self.policy.scores() {
            let relation = if passed { "reaches" } else { "is below" };
            let detail = format!("similarity {similarity:.4} {relation} the threshold {least:.4}");
            return Check::new("threshold", passed, detail);
        }
        if score.is_none() && similarity < Pipeline::DEFAULT_FLOOR {
            let detail =
                format!("similarity {similarity:.4} is below the threshold {:.4}", Pipeline::DEFAULT_FLOOR);
            return Check::new(Stage::Floor.name(), false, detail);
        }
        let is_enough = self.is_enough(pair);
        if score.is_none() && pair.is_unread && !is_enough {
            return Check::new(Stage::Scorer.name(), false, "the scorer cannot read the pair whole");
        }
        // If a pair needs no scorer, the scorer's result did not affect the decision.
        let logit = pair.logit.filter(|_| !is_enough);
        let (stage, probability) = match logit {
            Some(_) => (Stage::Scorer, self.probability(pair)),
            None => (Stage::Cheap, self.cheap(pair)),
        };
        let needed = match (score, self.enough) {
            (_, Some(enough)) if is_enough => enough,
            (Some(_), _) => f64::from(least),
            (None, _) => self.calibration.scorer_from(),
        };
        let passed = is_enough || passed;
        // The inputs that speak for a false hit, or against a missed pair.
        let mut reasons = self.calibration.reasons(&pair.features, logit, usize::MAX);
        reasons.retain(|(_, value)| value.abs() >= LEAST_REASON && (*value > 0.0) == passed);
        let inputs: Vec<String> =
            reasons.iter().take(REASONS).map(|(name, value)| format!("{name} {value:+.1}")).collect();
        let logit = logit.map(|logit| format!("logit {logit:.3}"));
        let inputs = (!inputs.is_empty()).then(|| format!("log-odds by {}", inputs.join(", ")));
        let given: Vec<String> = logit.into_iter().chain(inputs).collect();
        let detail = format!("probability {probability:.4}, {needed:.4} is needed ({})", given.join("; "));
        Check::new(stage.name(), passed, detail)
    }
}

#[cfg(test)]
mod tests;
