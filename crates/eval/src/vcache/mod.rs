//! The policy of vCache on a stream, in its own terms.
//!
//! A query is compared only with its nearest cached question. The observations of that question decide: the
//! query is either served, or explores, which is a miss whose judgement, taken here from the label, is
//! remembered. Cached questions start without observations and, as for every policy here, nothing is
//! inserted; the method itself would store the answer of a query that explored if it differs. It learns on
//! the stream on which it is measured, as it would in use, and has no threshold.

mod policy;

use std::collections::HashMap;
use std::time::Instant;

use self::policy::Policy;
use super::curve::{CurvePoint, Tally};

/// The same for every run, so that a run can be repeated.
const SEED: u64 = 7;

/// The budgets of the curve.
const BUDGETS: [f32; 9] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8];

/// A query with its nearest cached question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// The position of the nearest cached question, and its similarity.
    pub(super) nearest: Option<(usize, f32)>,
    /// Whether its answer is right.
    pub(super) is_right: bool,
}

/// The results of the queries.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    /// Whether the answer served was right; none if the query explored.
    pub(super) served: Vec<Option<bool>>,
    /// How long each decision took, in microseconds.
    pub(super) micros: Vec<f64>,
}

impl Run {
    /// Runs the policy over `queries` in their order, with `budget` as the share of wrong answers among all
    /// of them.
    pub(super) fn over(queries: &[Asked], budget: f64) -> Self {
        let mut policy = Policy::new(SEED);
        let mut known: HashMap<usize, Vec<(f32, bool)>> = HashMap::new();
        let (mut served, mut micros) = (Vec::new(), Vec::new());
        for query in queries {
            let Some((at, similarity)) = query.nearest else {
                served.push(None);
                micros.push(0.0);
                continue;
            };
            let known = known.entry(at).or_default();
            let started = Instant::now();
            let is_hit = policy.serves(similarity, known, budget);
            micros.push(started.elapsed().as_secs_f64() * 1e6);
            served.push(is_hit.then_some(query.is_right));
            if !is_hit {
                known.push((similarity, query.is_right));
            }
        }
        Self { served, micros }
    }

    /// Hits, and how many of them were wrong.
    pub(super) fn hits(&self) -> Tally {
        Tally::of_hits(self.served.iter().copied().flatten())
    }
}

/// The results with other budgets, from the smallest to the greatest.
pub(super) fn curve(queries: &[Asked]) -> Vec<CurvePoint> {
    let point = |budget: f32| CurvePoint::of(Run::over(queries, budget.into()).hits(), queries.len(), budget);
    BUDGETS.into_iter().filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two cached questions: queries with a similarity above .8 ask the same, those below do not.
    fn stream(length: u16) -> Vec<Asked> {
        let query = |n: u16| {
            let is_right = !n.is_multiple_of(3);
            let similarity = if is_right { 0.9 } else { 0.6 } + f32::from(n * 7 % 50) / 500.0;
            Asked { nearest: Some((usize::from(n % 2), similarity)), is_right }
        };
        (0..length).map(query).collect()
    }

    #[test]
    fn every_cached_question_is_explored_before_it_is_served() {
        let run = Run::over(&stream(400), 0.05);
        assert!(run.served[..8].iter().all(Option::is_none), "four labels of each come first");
        let hits = run.hits().hits();
        assert!(hits > 100, "{hits} of 400 are hits");
        // If each question is asked only once, the policy never gets there.
        let once = (0..400).map(|at| Asked { nearest: Some((at, 0.99)), ..stream(1)[0] });
        assert_eq!(Run::over(&once.collect::<Vec<_>>(), 0.05).hits(), Tally::default());
    }

    #[test]
    fn errors_are_bounded_among_all_requests() {
        let queries = stream(2_000);
        for budget in [0.02, 0.1] {
            let wrong = Run::over(&queries, budget).hits().wrong();
            assert!(wrong as f64 <= budget * 2_000.0, "{wrong} wrong at {budget}");
        }
        let points = curve(&queries);
        assert!(points[0].hit_rate < points[points.len() - 1].hit_rate);
    }

    #[test]
    fn a_run_can_be_repeated() {
        let queries = stream(600);
        assert_eq!(Run::over(&queries, 0.05).served, Run::over(&queries, 0.05).served);
        assert_ne!(Run::over(&queries, 0.05).served, Run::over(&queries, 0.3).served);
    }

    #[test]
    fn a_query_without_a_neighbour_is_a_miss() {
        let alone = Asked { nearest: None, is_right: false };
        assert_eq!(Run::over(&[alone], 0.5), Run { served: vec![None], micros: vec![0.0] });
    }
}
