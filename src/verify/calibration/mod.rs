//! From features and the cross-encoder's logit to one probability, and from an error budget to a threshold.
//!
//! A [`Calibration`] holds two logistic models: [`CalibratedStage::Cheap`] sees only the [`Features`],
//! [`CalibratedStage::Full`] also sees the logit. With each of them comes a record of what its thresholds
//! accepted on labelled data that it was not fitted on. From this record, a budget of false hits becomes a
//! threshold by the upper end of a confidence interval, or none if the data cannot show it. It never guesses:
//! "insufficient" is an outcome. The interval allows for how much domains differ, so that a budget also holds for
//! a domain that is not among the labelled ones.
//!
//! The default is bundled with the model `question-comparer` and says how it was made. Your own labelled
//! pairs give a better one: [`Calibration::fit`] starts from scratch, [`Calibration::refit`] starts from this
//! one and needs far fewer pairs. Both choose among models, the plain similarity among them, by how much each
//! finds in pairs that it has not seen.

mod curve;
mod logistic;
mod terms;
mod ways;

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

pub use self::curve::wilson_upper95;
use self::curve::{Curve, Outcome};
use self::logistic::{Logistic, Row};
use self::ways::{Tried, Way};
use super::budgets::Budgets;
use super::features::Features;
use crate::error::{Error, ErrorKind, Result};

/// The least number of labelled pairs of each kind that a calibration can be fitted on.
pub const LEAST_PER_LABEL: usize = 20;

/// Which of the two models decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibratedStage {
    /// Features only.
    Cheap,
    /// Features and the logit of the cross-encoder.
    Full,
}

/// A labelled pair.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// The features of the pair.
    pub features: Features,
    /// The logit of the cross-encoder, if it was run.
    pub logit: Option<f32>,
    /// Whether the answer to the cached question also answers the one asked.
    pub is_same: bool,
    /// How many pairs it stands for in the fit; 1 by default.
    pub weight: f32,
    /// Whether it resembles the questions that will be looked up, so that thresholds may be chosen on it; yes
    /// by default. Made-up pairs and candidates that are not the best can be learned from, but do not
    /// measure.
    pub is_measured: bool,
    /// The group of questions that it comes from, such as a domain; 0 by default. If there are several
    /// groups, thresholds are chosen on scores of models that have seen no pair of the same group, and from ten
    /// groups on, they allow for how much the groups differ.
    pub group: u32,
}

impl Sample {
    /// A pair that counts once, in the fit and in the choice of thresholds.
    pub fn new(features: Features, logit: Option<f32>, is_same: bool) -> Self {
        Self { features, logit, is_same, weight: 1.0, is_measured: true, group: 0 }
    }
}

/// The share of a budget that the cheap stage may use beside a full one. With the whole budget for each, a hit in
/// twenty of a stream of `SQuAD`'s questions was false at 2 %; with a half, one in forty.
const CHEAP_SHARE: f64 = 0.5;

/// One stage: a model and what its thresholds accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fitted {
    model: Logistic,
    curve: Curve,
    /// What judged hits have shown since, if this was learned from some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    observed: Option<Curve>,
    /// What the original calibration accepted, for budgets that `curve` has too few pairs to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Curve>,
}

impl Fitted {
    fn new(model: Logistic, curve: Curve) -> Self {
        Self { model, curve, observed: None, before: None }
    }

    fn threshold(&self, max_false_hit_rate: f64) -> Option<f64> {
        if let Some(threshold) = self.curve.threshold(max_false_hit_rate) {
            return Some(match &self.observed {
                Some(observed) => observed.uncontradicted(threshold, max_false_hit_rate),
                None => threshold,
            });
        }
        self.curve.after(self.before.as_ref()?, max_false_hit_rate)
    }

    fn least_budget(&self) -> Option<f64> {
        let own = self.curve.least_budget();
        let Some(before) = &self.before else { return own };
        // Found by bisection, for if a rate has a threshold, every greater rate has one.
        let (mut none, mut some) = (0.0, own.unwrap_or(1.0));
        while some - none > 1e-4 && before.least_budget().is_some() {
            let rate = f64::midpoint(none, some);
            if self.threshold(rate).is_some() { some = rate } else { none = rate }
        }
        Some(some).filter(|&least| least < 1.0)
    }

    /// This model with the thresholds of `base`, raised where its own curve contradicts them.
    fn within(self, base: &Self) -> Self {
        Self { observed: Some(self.curve), model: self.model, ..base.clone() }
    }

    /// This model and its thresholds, with those of `base` where its own curve is too small to show a rate;
    /// these are raised as far as its own curve contradicts them.
    fn beginning_with(self, base: &Self) -> Self {
        Self { before: Some(base.curve.clone()), ..self }
    }
}

/// Turns what is known of a pair into a probability, and holds the thresholds and the undecided band.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The name of this calibration, for `why` and for bug reports.
    pub name: String,
    /// What it was fitted on, for people.
    pub fitted_on: String,
    /// The [name](super::PairScorer::name) of the cross-encoder whose logits it was fitted on; logits of
    /// another one mean something else. None if it is not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scorer: Option<String>,
    /// How many pairs of the same question it was fitted on.
    pub positives: u64,
    /// How many pairs of different questions it was fitted on.
    pub negatives: u64,
    /// The cheap probability below which hardly any pair is the same question.
    scorer_from: f64,
    cheap: Fitted,
    full: Option<Fitted>,
}

static BUNDLED: LazyLock<Arc<Calibration>> = LazyLock::new(|| {
    let text = include_str!("../../../models/question-comparer/calibration.json");
    Arc::new(Calibration::from_json(text).expect("the bundled calibration is checked by a test"))
});

impl Default for Calibration {
    /// A copy of the bundled one.
    fn default() -> Self {
        Self::clone(&BUNDLED)
    }
}

impl Calibration {
    /// The bundled calibration, for the bundled embedding model and its comparer.
    pub fn bundled() -> Arc<Self> {
        Arc::clone(&BUNDLED)
    }

    /// Reads a calibration as [`to_json`](Self::to_json) writes it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is not a calibration, or if it is for other features than this version computes.
    pub fn from_json(text: &str) -> Result<Self> {
        let invalid = |what: &str| Error::new(ErrorKind::InvalidInput, format!("calibration: {what}"));
        let calibration: Self = serde_json::from_str(text).map_err(|e| {
            let place = format!("not readable at line {}, column {}", e.line(), e.column());
            invalid(&place).with_source(e)
        })?;
        let stages = std::iter::once((CalibratedStage::Cheap, &calibration.cheap))
            .chain(calibration.full.as_ref().map(|full| (CalibratedStage::Full, full)));
        for (stage, fitted) in stages {
            if !fitted.model.terms.iter().map(|term| &*term.name).eq(terms::names(stage).iter().map(|n| &**n))
            {
                return Err(invalid("made for other features; make it again with `wellspring calibrate`"));
            }
            let curves = std::iter::once(&fitted.curve).chain(&fitted.observed).chain(&fitted.before);
            let are_curves_sound = curves.into_iter().all(Curve::is_sound);
            if !fitted.model.is_sound() || !are_curves_sound || !calibration.scorer_from.is_finite() {
                return Err(invalid("a number is not finite or out of range"));
            }
        }
        Ok(calibration)
    }

    /// This calibration as JSON, which [`from_json`](Self::from_json) reads.
    ///
    /// # Panics
    ///
    /// Never: every field has a JSON form.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and strings have a JSON form")
    }

    /// The probability that one answer serves both questions, from the features alone.
    pub fn cheap(&self, features: &Features) -> f64 {
        self.cheap.model.probability(&terms::values(features, None))
    }

    /// The probability that one answer serves both questions, from the features and the logit of the
    /// cross-encoder.
    ///
    /// Where this calibration was fitted without logits, the logit changes nothing.
    pub fn full(&self, features: &Features, logit: f32) -> f64 {
        match &self.full {
            Some(full) if logit.is_finite() => full.model.probability(&terms::values(features, Some(logit))),
            _ => self.cheap(features),
        }
    }

    /// The terms that move the probability most, with how much each adds to the log-odds; at most `count`.
    pub fn reasons(&self, features: &Features, logit: Option<f32>, count: usize) -> Vec<(String, f64)> {
        let (model, logit) = match &self.full {
            Some(full) if logit.is_some() => (&full.model, logit),
            _ => (&self.cheap.model, None),
        };
        let values = terms::values(features, logit);
        // People ask about a feature, so all terms that contain it are added up.
        let mut reasons: Vec<(String, f64)> = Vec::new();
        for (term, value) in model.contributions(&values) {
            let name = term.rsplit(['*']).next().and_then(|name| name.split('>').next()).unwrap_or(term);
            match reasons.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += value,
                None => reasons.push((name.to_owned(), value)),
            }
        }
        reasons.sort_by(|(_, a), (_, b)| b.abs().total_cmp(&a.abs()));
        reasons.truncate(count);
        reasons
    }

    /// The least probability to accept at `stage` so that at most this share of the hits is false, by the
    /// upper end of the 95 % interval on labelled data, if no other stage accepts anything. None if the data cannot
    /// show it.
    pub fn threshold(&self, stage: CalibratedStage, max_false_hit_rate: f64) -> Option<f64> {
        self.stage(stage)?.threshold(max_false_hit_rate)
    }

    /// The least probability to accept at the cheap stage, if `last` is the last stage that runs.
    pub fn cheap_threshold(&self, last: CalibratedStage, max_false_hit_rate: f64) -> Option<f64> {
        self.cheap.threshold(Self::cheap_budget(self.last_of(last), max_false_hit_rate))
    }

    /// The last of the stages up to `last` that there is.
    fn last_of(&self, last: CalibratedStage) -> CalibratedStage {
        if self.full.is_some() { last } else { CalibratedStage::Cheap }
    }

    /// What the cheap stage may use of a budget: all of it where it is the last stage, else half. What it accepts,
    /// the full stage does not see. Most of it, the full stage would accept, too, but few of the false hits in it:
    /// they come on top of the full stage's.
    pub fn cheap_budget(last: CalibratedStage, max_false_hit_rate: f64) -> f64 {
        match last {
            CalibratedStage::Cheap => max_false_hit_rate,
            CalibratedStage::Full => max_false_hit_rate * CHEAP_SHARE,
        }
    }

    /// The least `max_false_hit_rate` for which [`threshold`](Self::threshold) returns one; none if the
    /// labelled data show no rate below 1, or if there is no such stage.
    pub fn least_budget(&self, stage: CalibratedStage) -> Option<f64> {
        self.stage(stage)?.least_budget()
    }

    /// Whether this calibration's own labelled data show this rate. If they are too few, a calibration that
    /// was [moved](Self::refit) keeps the thresholds that it started with.
    pub fn is_shown(&self, max_false_hit_rate: f64) -> bool {
        let mut stages = std::iter::once(&self.cheap).chain(&self.full);
        stages.any(|stage| stage.curve.threshold(max_false_hit_rate).is_some())
    }

    /// Which false-hit rates the stages up to `last` can show: those that one of these stages can show alone.
    pub fn budgets(&self, last: CalibratedStage) -> Budgets {
        let full =
            (last == CalibratedStage::Full).then(|| self.least_budget(CalibratedStage::Full)).flatten();
        let share = Self::cheap_budget(self.last_of(last), 1.0);
        let cheap = self.least_budget(CalibratedStage::Cheap).map(|least| least / share);
        let shown = cheap.into_iter().chain(full);
        Budgets::From(shown.reduce(f64::min).unwrap_or(1.0))
    }

    fn stage(&self, stage: CalibratedStage) -> Option<&Fitted> {
        match stage {
            CalibratedStage::Cheap => Some(&self.cheap),
            CalibratedStage::Full => self.full.as_ref(),
        }
    }

    /// The cheap probability from which the cross-encoder is worth its time: only one in a hundred pairs of
    /// the same question lies below it.
    pub fn scorer_from(&self) -> f64 {
        self.scorer_from
    }

    /// Whether a scorer is used. It is not used if labelled data showed that it finds nothing that the
    /// features do not find as well.
    pub fn uses_scorer(&self) -> bool {
        self.full.is_some()
    }

    /// A calibration fitted on `samples` alone. [`CalibratedStage::Full`] is fitted on those with a logit.
    ///
    /// It fits one model on all terms and one on the similarity alone, and takes the one that finds more in
    /// unseen pairs.
    ///
    /// Deterministic. Takes some seconds for ten thousand samples; call it off the async threads.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there are fewer than [`LEAST_PER_LABEL`] pairs with either label.
    pub fn fit(name: &str, fitted_on: &str, samples: &[Sample]) -> Result<Self> {
        fitted(name, fitted_on, samples, |_| vec![Way::Fit, Way::Similarity])
    }

    /// This calibration moved towards `samples`: a few of them move it a little, many replace it. The moved
    /// model may find less in held-out pairs than this calibration, than one fitted on `samples` alone or
    /// than the similarity; then the best of these is taken instead. If a scorer finds no more than the
    /// features, it is left out.
    ///
    /// Thresholds come from `samples`. If these are too few to show a budget, its threshold is that of this
    /// calibration, raised as far as `samples` contradict it: together with 100 earlier hits and one more
    /// false hit, they have to be within the budget.
    ///
    /// # Errors
    ///
    /// Those of [`fit`](Self::fit).
    pub fn refit(&self, name: &str, fitted_on: &str, samples: &[Sample]) -> Result<Self> {
        let ways = |stage| match self.stage(stage) {
            Some(base) => vec![Way::Move(&base.model), Way::Keep(&base.model), Way::Fit, Way::Similarity],
            None => vec![Way::Fit, Way::Similarity],
        };
        let mut moved = fitted(name, fitted_on, samples, ways)?;
        moved.cheap = moved.cheap.beginning_with(&self.cheap);
        moved.full = match (moved.full, &self.full) {
            (Some(full), Some(base)) => Some(full.beginning_with(base)),
            (None, base) if samples.iter().all(|sample| sample.logit.is_none()) => base.clone(),
            (full, _) => full,
        };
        moved.scorer.clone_from(&self.scorer);
        Ok(moved)
    }

    /// This calibration moved towards pairs that were served and judged. They are not a fair sample of what
    /// was not served. So the thresholds stay, and rise only where the samples show more false hits than are
    /// accepted.
    ///
    /// # Errors
    ///
    /// Those of [`fit`](Self::fit).
    pub fn learn(&self, name: &str, learned_from: &str, samples: &[Sample]) -> Result<Self> {
        let ways = |stage| self.stage(stage).map(|base| Way::Move(&base.model)).into_iter().collect();
        let moved = fitted(name, learned_from, samples, ways)?;
        let full = match (moved.full, &self.full) {
            (Some(full), Some(base)) => Some(full.within(base)),
            (_, base) => base.clone(),
        };
        let (scorer, scorer_from) = (self.scorer.clone(), self.scorer_from);
        Ok(Self { cheap: moved.cheap.within(&self.cheap), full, scorer, scorer_from, ..moved })
    }

    /// This calibration with thresholds from `samples`, which it must not have been fitted on.
    ///
    /// # Errors
    ///
    /// Those of [`fit`](Self::fit).
    pub fn with_thresholds_of(&self, samples: &[Sample]) -> Result<Self> {
        enough(samples)?;
        let measured = || samples.iter().filter(|sample| sample.is_measured);
        let outcome = |sample: &Sample, probability| Outcome {
            probability,
            is_same: sample.is_same,
            group: sample.group,
        };
        let cheap = measured().map(|sample| outcome(sample, self.cheap(&sample.features))).collect();
        let cheap = Fitted::new(self.cheap.model.clone(), Curve::of(cheap));
        let outcomes = |full: &Fitted| {
            let outcome = |sample: &Sample| {
                let terms = terms::values(&sample.features, Some(sample.logit?));
                Some(outcome(sample, full.model.probability(&terms)))
            };
            measured().filter_map(outcome).collect()
        };
        let full = self.full.as_ref().map(|full| Fitted::new(full.model.clone(), Curve::of(outcomes(full))));
        Ok(Self { cheap, full, ..self.clone() })
    }
}

fn enough(samples: &[Sample]) -> Result<(usize, usize)> {
    let positives = samples.iter().filter(|sample| sample.is_same).count();
    let negatives = samples.len() - positives;
    if positives.min(negatives) < LEAST_PER_LABEL {
        let message = format!(
            "{positives} pairs of the same question and {negatives} of different ones are too few to calibrate \
             with: {LEAST_PER_LABEL} of each are the least"
        );
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok((positives, negatives))
}

fn fitted<'a>(
    name: &str,
    fitted_on: &str,
    samples: &[Sample],
    ways: impl Fn(CalibratedStage) -> Vec<Way<'a>>,
) -> Result<Calibration> {
    let (positives, negatives) = enough(samples)?;
    let rows = |stage: CalibratedStage| -> Vec<Row> {
        let row = |sample: &Sample| {
            let logit = match stage {
                CalibratedStage::Cheap => None,
                CalibratedStage::Full => Some(sample.logit?),
            };
            let terms = terms::values(&sample.features, logit);
            Some(Row {
                terms,
                is_same: sample.is_same,
                weight: f64::from(sample.weight),
                is_measured: sample.is_measured,
                group: sample.group,
            })
        };
        samples.iter().filter_map(row).collect()
    };
    let [cheap_rows, full_rows] = [CalibratedStage::Cheap, CalibratedStage::Full].map(rows);
    let best = |stage, rows| Tried::best(ways(stage), stage, rows);
    let cheap = best(CalibratedStage::Cheap, &cheap_rows).expect("there is always a way to the features");
    let both = full_rows.iter().filter(|row| row.is_same).count();
    let is_enough = both.min(full_rows.len() - both) >= LEAST_PER_LABEL;
    let full = if is_enough { best(CalibratedStage::Full, &full_rows) } else { None };
    // A model is not run without a benefit.
    let full = full.filter(|full| !matches!(full.way, Way::Similarity) && full.found >= cheap.found);
    Ok(Calibration {
        name: name.to_owned(),
        fitted_on: fitted_on.to_owned(),
        scorer: None,
        positives: positives as u64,
        negatives: negatives as u64,
        scorer_from: low_end(&cheap.outcomes),
        cheap: cheap.fitted(CalibratedStage::Cheap, &cheap_rows),
        full: full.map(|full| full.fitted(CalibratedStage::Full, &full_rows)),
    })
}

/// The probability below which one in a hundred pairs of the same question lies.
fn low_end(outcomes: &[Outcome]) -> f64 {
    let same = outcomes.iter().filter(|outcome| outcome.is_same);
    let mut same: Vec<f64> = same.map(|outcome| outcome.probability).collect();
    same.sort_by(f64::total_cmp);
    same.get(same.len() / 100).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
