//! The ways from labelled pairs to a model, and which of them finds the most.

use std::collections::BTreeSet;

use super::curve::{Curve, Outcome};
use super::logistic::{Logistic, Row};
use super::{CalibratedStage, Fitted, terms};

/// The parts that the pairs are divided into, so that each is scored by a model that has not seen it.
const FOLDS: usize = 5;

/// The ridge on standardised weights, chosen on half of the development data and left unchanged since.
const RIDGE: f64 = 200.0;

/// A way from labelled rows to a model.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way<'a> {
    /// Moves a model towards the rows.
    Move(&'a Logistic),
    /// Takes a model unchanged.
    Keep(&'a Logistic),
    /// Fits the weights of all terms to the rows alone.
    Fit,
    /// Fits only the weight of the similarity.
    Similarity,
}

impl Way<'_> {
    fn model(self, stage: CalibratedStage, rows: &[Row]) -> Logistic {
        match self {
            Self::Move(base) => base.refit(rows, RIDGE),
            Self::Keep(base) => base.clone(),
            Self::Fit => Logistic::fit(terms::names(stage), rows, RIDGE),
            Self::Similarity => {
                let names = terms::names(stage);
                let masked = |row: &Row| {
                    let terms = names.iter().zip(&row.terms);
                    let terms =
                        terms.map(|(name, &value)| if terms::is_similarity(name) { value } else { 0.0 });
                    Row { terms: terms.collect(), ..row.clone() }
                };
                let masked: Vec<Row> = rows.iter().map(masked).collect();
                Logistic::fit(names, &masked, RIDGE)
            }
        }
    }
}

/// How much more a way has to find than those before it to be taken. A smaller gain is within chance.
const CLEARLY: f64 = 1.05;

/// How much a way finds in rows that it has not seen.
pub(super) struct Tried<'a> {
    pub(super) way: Way<'a>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) found: f64,
}

impl<'a> Tried<'a> {
    fn of(way: Way<'a>, stage: CalibratedStage, rows: &[Row]) -> Self {
        let outcomes = held_out(rows, |rows| way.model(stage, rows));
        let found = Curve::of(outcomes.clone()).found();
        Self { way, outcomes, found }
    }

    /// The way that finds the most; if none clearly does, the first of them.
    pub(super) fn best(ways: Vec<Way<'a>>, stage: CalibratedStage, rows: &[Row]) -> Option<Self> {
        let tried = ways.into_iter().map(|way| Self::of(way, stage, rows));
        tried.reduce(|best, other| if other.found > CLEARLY * best.found { other } else { best })
    }

    pub(super) fn fitted(self, stage: CalibratedStage, rows: &[Row]) -> Fitted {
        Fitted::new(self.way.model(stage, rows), Curve::of(self.outcomes))
    }
}

/// Scores every row that is used for measuring with a model that was fitted without it.
///
/// Rows of a group stay together, because a threshold must hold for questions of an unseen kind. With fewer
/// groups than parts, consecutive rows stay together, because they are often about the same text.
fn held_out(rows: &[Row], model: impl Fn(&[Row]) -> Logistic) -> Vec<Outcome> {
    let groups: BTreeSet<u32> = rows.iter().map(|row| row.group).collect();
    let fold = |at: usize| {
        if groups.len() < FOLDS {
            return at * FOLDS / rows.len().max(1);
        }
        groups.range(..rows[at].group).count() % FOLDS
    };
    (0..FOLDS)
        .flat_map(|held| {
            let place = |(at, row): (usize, &Row)| (fold(at) != held).then(|| row.clone());
            let model = model(&rows.iter().enumerate().filter_map(place).collect::<Vec<_>>());
            let held_out = rows.iter().enumerate().filter(|(at, row)| row.is_measured && fold(*at) == held);
            let outcome = |row: &Row| Outcome {
                probability: model.probability(&row.terms),
                is_same: row.is_same,
                group: row.group,
            };
            held_out.map(|(_, row)| outcome(row)).collect::<Vec<_>>()
        })
        .collect()
}
