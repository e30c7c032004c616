//! The policy of vCache: each entry learns by itself which similarity is enough.
//!
//! After "vCache: Verified Semantic Prompt Caching" (Schroeder and others, 2025), written from a description
//! of the method. An entry's observations are the similarities of questions that its answer was judged for.
//! Once there are six (two of them given), a logistic curve is fitted to them. A question is then served with
//! a probability that keeps the *share of wrong answers among all requests* within the budget. Otherwise it
//! is explored: it is a miss, and its answer shows what to learn. This is a weaker promise than a share of
//! the hits, and it needs four labels per entry before the first hit.

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// The fewest observations that a curve is fitted to, the given ones included.
const FEWEST: usize = 6;
/// What every entry starts with: at similarity 0 the answer is wrong, at similarity 1 it is right.
const GIVEN: [(f32, bool); 2] = [(0.0, false), (1.0, true)];
/// How many values of the confidence are tried.
const STEPS: u32 = 50;
/// Keeps the curve of separable observations finite.
const RIDGE: f64 = 0.01;
/// Newton's method needs about ten.
const MAX_ITERATIONS: usize = 50;

/// The policy, with its random numbers.
#[derive(Debug)]
pub(super) struct Policy {
    random: SmallRng,
}

impl Policy {
    /// The policy, with random numbers from `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self { random: SmallRng::seed_from_u64(seed) }
    }

    /// Whether a question of this similarity to an entry is served, rather than explored. `observations` are
    /// the similarities of the questions that the entry's answer was judged for, and whether it was right;
    /// `budget` is the share of wrong answers among all requests.
    pub(super) fn serves(&mut self, similarity: f32, observations: &[(f32, bool)], budget: f64) -> bool {
        self.random.random::<f64>() > explore(similarity, observations, budget)
    }
}

/// How likely it is that such a question is explored.
fn explore(similarity: f32, observations: &[(f32, bool)], budget: f64) -> f64 {
    let observations: Vec<(f64, f64)> = GIVEN
        .iter()
        .chain(observations)
        .map(|&(similarity, right)| (f64::from(similarity), f64::from(u8::from(right))))
        .collect();
    if observations.len() < FEWEST {
        return 1.0;
    }
    Curve::fit(&observations).map_or(1.0, |curve| curve.explore(f64::from(similarity), budget))
}

/// P(right | similarity) = sigmoid(bias + slope × similarity), with the variance of the similarity at which
/// it is one half.
#[derive(Debug, Clone, Copy)]
struct Curve {
    slope: f64,
    middle: f64,
    deviation: f64,
}

impl Curve {
    /// Fits the curve by Newton's method; none if right answers do not become likelier with more similarity.
    fn fit(observations: &[(f64, f64)]) -> Option<Self> {
        let (mut bias, mut slope) = (0.0_f64, 0.0_f64);
        let mut hessian = [0.0; 3];
        for _ in 0..MAX_ITERATIONS {
            hessian = [RIDGE, 0.0, RIDGE];
            let mut gradient = [RIDGE * bias, RIDGE * slope];
            for &(similarity, right) in observations {
                let p = sigmoid(bias + slope * similarity);
                let weight = p * (1.0 - p);
                gradient[0] += p - right;
                gradient[1] += (p - right) * similarity;
                hessian[0] += weight;
                hessian[1] += weight * similarity;
                hessian[2] += weight * similarity * similarity;
            }
            let determinant = hessian[0] * hessian[2] - hessian[1] * hessian[1];
            let step = [
                (hessian[2] * gradient[0] - hessian[1] * gradient[1]) / determinant,
                (hessian[0] * gradient[1] - hessian[1] * gradient[0]) / determinant,
            ];
            bias -= step[0];
            slope -= step[1];
            if step[0].abs() + step[1].abs() < 1e-9 {
                break;
            }
        }
        if !(bias.is_finite() && slope.is_finite() && slope > 1e-6) {
            return None;
        }
        // The delta method for -bias/slope.
        let gradient = [-1.0 / slope, bias / (slope * slope)];
        let determinant = hessian[0] * hessian[2] - hessian[1] * hessian[1];
        let variance = (hessian[2] * gradient[0] * gradient[0]
            - 2.0 * hessian[1] * gradient[0] * gradient[1]
            + hessian[0] * gradient[1] * gradient[1])
            / determinant;
        Some(Self { slope, middle: (-bias / slope).clamp(0.0, 1.0), deviation: variance.max(0.0).sqrt() })
    }

    /// How likely a question with this similarity must be explored to keep `delta`.
    fn explore(&self, similarity: f64, delta: f64) -> f64 {
        (1..=STEPS)
            .map(|step| {
                let error = f64::from(step) / f64::from(STEPS + 1);
                let middle = (self.middle + quantile(1.0 - error) * self.deviation).clamp(0.0, 1.0);
                let right = (1.0 - error) * sigmoid(self.slope * (similarity - middle));
                1.0 - delta / (1.0 - right)
            })
            .fold(1.0, f64::min)
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The quantile of the standard normal distribution at `p` in `0.0..1.0`, to three digits: Abramowitz and
/// Stegun 26.2.23.
fn quantile(p: f64) -> f64 {
    if p < 0.5 {
        return -quantile(1.0 - p);
    }
    let t = (-2.0 * (1.0 - p).ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explore(observations: &[(f32, bool)], similarity: f32) -> f64 {
        super::explore(similarity, observations, 0.05)
    }

    #[test]
    fn an_entry_is_explored_until_it_has_four_labels() {
        let labels = [(0.95, true), (0.96, true), (0.5, false), (0.97, true)];
        for known in 0..4 {
            assert!((explore(&labels[..known], 0.99) - 1.0).abs() < f64::EPSILON, "{known}");
        }
        assert!(explore(&labels, 0.99) < 1.0);
    }

    #[test]
    fn more_labels_and_more_similarity_mean_less_exploring() {
        let few = [(0.5, false), (0.6, false), (0.9, true), (0.95, true)];
        let many: Vec<_> = few.iter().copied().cycle().take(64).collect();
        assert!(explore(&many, 0.97) < explore(&few, 0.97));
        assert!(explore(&many, 0.97) < explore(&many, 0.75));
        assert!(explore(&many, 0.55) > 0.9);
    }

    #[test]
    fn an_entry_that_is_wrong_where_it_is_similar_is_not_served() {
        let confused: Vec<_> = [(0.95, false), (0.5, true)].iter().copied().cycle().take(64).collect();
        assert!(explore(&confused, 0.99) > 0.9);
    }

    #[test]
    fn what_is_served_follows_the_draw() {
        let labels: Vec<_> = [(0.5, false), (0.95, true)].iter().copied().cycle().take(64).collect();
        let mut policy = Policy::new(7);
        let share = 1.0 - explore(&labels, 0.9).max(0.0);
        let served = (0..2_000).filter(|_| policy.serves(0.9, &labels, 0.05)).count();
        assert!((served as f64 / 2_000.0 - share).abs() < 0.05, "{served} of 2000, expected {share}");
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (p, z) in [(0.5, 0.0), (0.975, 1.96), (0.05, -1.645), (0.99, 2.326)] {
            assert!((quantile(p) - z).abs() < 2e-3, "{p}: {}", quantile(p));
        }
    }
}
