//! The ways from labelled pairs to a model, and which of them finds the most.

use std::collections::BTreeSet;

use super::curve::Curve;
use super::logistic::{Logistic, Row};
use super::{CalibratedStage, Fitted, terms};

/// Parts that the pairs are divided into, to score each by a model that has not seen it.
const FOLDS: usize = 5;

/// The ridge on standardised weights, chosen on half of the development data and kept.
const RIDGE: f64 = 200.0;

/// A way from labelled rows to a model.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way<'a> {
    /// Moves a model towards the rows.
    Move(&'a Logistic),
    /// Takes a model as it is.
    Keep(&'a Logistic),
    /// Weighs all terms by the rows alone.
    Fit,
    /// Weighs only the similarity.
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

/// How much more another way has to find than those before it to be taken. Less is within what chance moves.
const CLEARLY: f64 = 1.05;

/// What a way finds in rows that it has not seen.
pub(super) struct Tried<'a> {
    pub(super) way: Way<'a>,
    pub(super) scores: Vec<(f64, bool)>,
    pub(super) found: f64,
}

impl<'a> Tried<'a> {
    fn of(way: Way<'a>, stage: CalibratedStage, rows: &[Row]) -> Self {
        let scores = held_out(rows, |rows| way.model(stage, rows));
        let found = Curve::of(scores.clone()).found();
        Self { way, scores, found }
    }

    /// The way that finds the most, the first of them where that is not clear.
    pub(super) fn best(ways: Vec<Way<'a>>, stage: CalibratedStage, rows: &[Row]) -> Option<Self> {
        let tried = ways.into_iter().map(|way| Self::of(way, stage, rows));
        tried.reduce(|best, other| if other.found > CLEARLY * best.found { other } else { best })
    }

    pub(super) fn fitted(self, stage: CalibratedStage, rows: &[Row]) -> Fitted {
        Fitted::new(self.way.model(stage, rows), Curve::of(self.scores))
    }
}

/// Scores every row that measures by a model that was fitted without it.
///
/// Rows of a group stay together, for a threshold is to hold for questions of a kind that was not there. With fewer groups
/// than parts, consecutive rows stay together: they often are about the same text.
fn held_out(rows: &[Row], model: impl Fn(&[Row]) -> Logistic) -> Vec<(f64, bool)> {
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
            held_out.map(|(_, row)| (model.probability(&row.terms), row.is_same)).collect::<Vec<_>>()
        })
        .collect()
}
