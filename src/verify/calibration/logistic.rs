//! Ridge logistic regression, fitted by Newton's method.
//!
//! Terms are standardised and clipped at [`CUT`] standard deviations: beyond the range of nearly all training
//! data, a value says no more than the end of that range.

use serde::{Deserialize, Serialize};

/// Standardised terms are clipped to plus and minus this value.
const CUT: f64 = 5.0;

/// Newton steps, at most; convergence takes five to ten.
const MAX_STEPS: usize = 40;

/// A term of a logistic model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Term {
    /// Its name.
    pub(super) name: String,
    /// Its mean in the training data.
    pub(super) mean: f64,
    /// Its standard deviation in the training data; 1 for a term that is constant there.
    pub(super) deviation: f64,
    /// How much one standard deviation adds to the log-odds.
    pub(super) weight: f64,
}

/// A logistic model: the probability of the positive class, given terms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Logistic {
    /// The log-odds where every term is at its mean.
    pub(super) intercept: f64,
    /// The terms, in the order in which they are given.
    pub(super) terms: Vec<Term>,
}

/// A row of training data.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) terms: Vec<f64>,
    pub(super) is_same: bool,
    pub(super) weight: f64,
    pub(super) is_measured: bool,
    pub(super) group: u32,
}

impl Logistic {
    /// The probability for `terms`, in `0.0..=1.0`.
    pub(super) fn probability(&self, terms: &[f64]) -> f64 {
        sigmoid(self.intercept + self.contributions(terms).map(|(_, value)| value).sum::<f64>())
    }

    /// How much each term adds to the log-odds.
    pub(super) fn contributions<'a>(&'a self, terms: &'a [f64]) -> impl Iterator<Item = (&'a str, f64)> {
        self.terms
            .iter()
            .zip(terms)
            .map(|(term, value)| (&*term.name, term.weight * standardised(*value, term.mean, term.deviation)))
    }

    /// Whether every number is finite and no deviation is 0, so that every probability is a number.
    pub(super) fn is_sound(&self) -> bool {
        let sound = |term: &Term| term.mean.is_finite() && term.weight.is_finite() && term.deviation > 0.0;
        self.intercept.is_finite() && self.terms.iter().all(sound)
    }

    /// Fits a model of `names` to `rows`, with `ridge` on every weight but the intercept.
    pub(super) fn fit(names: Vec<String>, rows: &[Row], ridge: f64) -> Self {
        let total: f64 = rows.iter().map(|row| row.weight).sum::<f64>().max(f64::MIN_POSITIVE);
        let terms = names
            .into_iter()
            .enumerate()
            .map(|(at, name)| {
                let mean = rows.iter().map(|row| row.weight * row.terms[at]).sum::<f64>() / total;
                let variance =
                    rows.iter().map(|row| row.weight * (row.terms[at] - mean).powi(2)).sum::<f64>() / total;
                let deviation = if variance.sqrt() < 1e-3 { 1.0 } else { variance.sqrt() };
                Term { name, mean, deviation, weight: 0.0 }
            })
            .collect();
        Self { intercept: 0.0, terms }.refit(rows, ridge)
    }

    /// This model moved towards `rows`: `ridge` is on the difference of every weight from its present value,
    /// so that a few rows move it only a little.
    pub(super) fn refit(&self, rows: &[Row], ridge: f64) -> Self {
        let size = self.terms.len() + 1;
        let design: Vec<Vec<f64>> = rows
            .iter()
            .map(|row| {
                let terms = self.terms.iter().zip(&row.terms);
                std::iter::once(1.0)
                    .chain(terms.map(|(t, value)| standardised(*value, t.mean, t.deviation)))
                    .collect()
            })
            .collect();
        let prior: Vec<f64> =
            std::iter::once(self.intercept).chain(self.terms.iter().map(|term| term.weight)).collect();
        let mut weights = prior.clone();
        let mut loss = penalised_loss(&design, rows, &weights, &prior, ridge);
        for _ in 0..MAX_STEPS {
            let (gradient, hessian) = derivatives(&design, rows, &weights, &prior, ridge);
            let Some(step) = solve(hessian, gradient, size) else { break };
            // Newton's method overshoots where classes are nearly separable, so halve the step until the loss
            // falls.
            let mut share = 1.0;
            let moved = loop {
                let next: Vec<f64> = weights.iter().zip(&step).map(|(w, s)| w - share * s).collect();
                let next_loss = penalised_loss(&design, rows, &next, &prior, ridge);
                if next_loss <= loss {
                    let gain = loss - next_loss;
                    (weights, loss) = (next, next_loss);
                    break gain > 1e-9 * (1.0 + loss.abs());
                }
                share /= 2.0;
                if share < 1e-6 {
                    break false;
                }
            };
            if !moved {
                break;
            }
        }
        let terms =
            self.terms.iter().zip(&weights[1..]).map(|(term, &weight)| Term { weight, ..term.clone() });
        Self { intercept: weights[0], terms: terms.collect() }
    }
}

/// How weakly the intercept is held at its prior: only enough that data of a single class have a solution.
const INTERCEPT_RIDGE: f64 = 1e-3;

fn standardised(value: f64, mean: f64, deviation: f64) -> f64 {
    let value = (value - mean) / deviation;
    if value.is_nan() { 0.0 } else { value.clamp(-CUT, CUT) }
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln(1 + e^x)` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn ridge_at(at: usize, ridge: f64) -> f64 {
    if at == 0 { INTERCEPT_RIDGE } else { ridge }
}

fn penalised_loss(design: &[Vec<f64>], rows: &[Row], weights: &[f64], prior: &[f64], ridge: f64) -> f64 {
    let loss: f64 = design
        .iter()
        .zip(rows)
        .map(|(x, row)| {
            let margin = dot(x, weights);
            row.weight * softplus(if row.is_same { -margin } else { margin })
        })
        .sum();
    let penalty: f64 =
        (0..weights.len()).map(|at| ridge_at(at, ridge) * (weights[at] - prior[at]).powi(2)).sum();
    loss + penalty / 2.0
}

/// The gradient, and the lower triangle of the Hessian row by row in a square.
fn derivatives(
    design: &[Vec<f64>],
    rows: &[Row],
    weights: &[f64],
    prior: &[f64],
    ridge: f64,
) -> (Vec<f64>, Vec<f64>) {
    let size = weights.len();
    let mut gradient: Vec<f64> =
        (0..size).map(|at| ridge_at(at, ridge) * (weights[at] - prior[at])).collect();
    let mut hessian = vec![0.0; size * size];
    for (at, diagonal) in hessian.iter_mut().step_by(size + 1).enumerate() {
        *diagonal = ridge_at(at, ridge);
    }
    for (x, row) in design.iter().zip(rows) {
        let probability = sigmoid(dot(x, weights));
        let error = row.weight * (probability - f64::from(u8::from(row.is_same)));
        let curvature = row.weight * probability * (1.0 - probability);
        for (i, &value) in x.iter().enumerate() {
            gradient[i] += error * value;
            let scaled = curvature * value;
            if scaled != 0.0 {
                hessian[i * size..=i * size + i]
                    .iter_mut()
                    .zip(x)
                    .for_each(|(cell, other)| *cell += scaled * other);
            }
        }
    }
    (gradient, hessian)
}

/// Solves `matrix * x = vector` by Cholesky's decomposition of the lower triangle; none if the matrix is
/// not positive definite.
fn solve(mut matrix: Vec<f64>, mut vector: Vec<f64>, size: usize) -> Option<Vec<f64>> {
    for i in 0..size {
        for j in 0..=i {
            let (above, row) = matrix.split_at(i * size);
            let known = if i == j {
                dot(&row[..j], &row[..j])
            } else {
                dot(&row[..j], &above[j * size..j * size + j])
            };
            let rest = matrix[i * size + j] - known;
            matrix[i * size + j] =
                if i == j { (rest > 0.0).then(|| rest.sqrt())? } else { rest / matrix[j * size + j] };
        }
        let known = dot(&matrix[i * size..i * size + i], &vector[..i]);
        vector[i] = (vector[i] - known) / matrix[i * size + i];
    }
    for i in (0..size).rev() {
        let known: f64 = (i + 1..size).map(|k| matrix[k * size + i] * vector[k]).sum();
        vector[i] = (vector[i] - known) / matrix[i * size + i];
    }
    Some(vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(term: f64, is_same: bool) -> Row {
        Row { terms: vec![term], is_same, weight: 1.0, is_measured: true, group: 0 }
    }

    #[test]
    fn frequencies_become_probabilities() {
        // With one binary term and hardly any ridge, the model is saturated: 3 of 4 and 1 of 5.
        let rows: Vec<Row> = [(1.0, 3, 1), (0.0, 1, 4)]
            .into_iter()
            .flat_map(|(term, same, other)| {
                (0..same).map(move |_| row(term, true)).chain((0..other).map(move |_| row(term, false)))
            })
            .collect();
        let model = Logistic::fit(vec!["x".into()], &rows, 1e-9);
        assert!((model.probability(&[1.0]) - 0.75).abs() < 1e-3);
        assert!((model.probability(&[0.0]) - 0.2).abs() < 1e-3);
    }

    #[test]
    fn separable_data_stay_finite() {
        let rows: Vec<Row> = (0..40_u8).map(|n| row(f64::from(n), n >= 20)).collect();
        let model = Logistic::fit(vec!["x".into()], &rows, 1.0);
        assert!(model.is_sound());
        assert!(model.probability(&[39.0]) > 0.9 && model.probability(&[0.0]) < 0.1);
    }

    #[test]
    fn few_rows_move_a_model_little_and_many_rows_far() {
        let rows: Vec<Row> = (0..200_u8).map(|n| row(f64::from(n % 2), n % 2 == 1)).collect();
        let model = Logistic::fit(vec!["x".into()], &rows, 1.0);
        let contrary: Vec<Row> = (0..400_u16).map(|n| row(f64::from(n % 2), n % 2 == 0)).collect();
        let (few, many) = (model.refit(&contrary[..4], 50.0), model.refit(&contrary, 1.0));
        assert!(few.probability(&[1.0]) > 0.8);
        assert!(many.probability(&[1.0]) < 0.5);
    }

    #[test]
    fn one_class_alone_has_a_solution() {
        let rows: Vec<Row> = (0..10_u8).map(|n| row(f64::from(n), true)).collect();
        let model = Logistic::fit(vec!["x".into()], &rows, 1.0);
        assert!(model.is_sound() && model.probability(&[5.0]) > 0.9);
    }

    #[test]
    fn equations_are_solved() {
        // [[4, 2], [2, 3]] x = [10, 9] -> x = [1.5, 2].
        let x = solve(vec![4.0, 0.0, 2.0, 3.0], vec![10.0, 9.0], 2).unwrap();
        assert!((x[0] - 1.5).abs() < 1e-12 && (x[1] - 2.0).abs() < 1e-12);
        assert_eq!(solve(vec![0.0], vec![1.0], 1), None);
    }
}
