//! The results of a policy at other thresholds.

use serde::Serialize;

/// The approximate number of points of a curve.
const POINTS: usize = 50;

/// A point of the curve of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Hits per query.
    pub hit_rate: f64,
    /// False hits per hit.
    pub false_hits_per_hit: f64,
    /// The threshold that gives these results; for `vcache`, which has none, the budget.
    pub threshold: f32,
}

impl CurvePoint {
    /// The results of the threshold, for `queries` queries in all; none without hits.
    pub(super) fn at(steps: &[Step], queries: usize, threshold: f32) -> Option<Self> {
        let mut tally = Tally::default();
        tally.add(steps.iter().filter(|step| step.score >= threshold));
        Self::of(tally, queries, threshold)
    }

    /// The point for `tally` out of `queries` queries; none without hits.
    pub(super) fn of(tally: Tally, queries: usize, threshold: f32) -> Option<Self> {
        let hits = tally.hits();
        (hits > 0).then(|| Self {
            hit_rate: hits as f64 / queries as f64,
            false_hits_per_hit: tally.wrong() as f64 / hits as f64,
            threshold,
        })
    }

    /// The share of hits that are right.
    pub fn precision(&self) -> f64 {
        1.0 - self.false_hits_per_hit
    }
}

/// The change of the results when a falling threshold reaches a score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    pub(super) score: f32,
    /// The additional hit; 0 if the query was already a hit at higher thresholds and only gets another
    /// answer.
    hits: i64,
    /// The change in false hits, positive or negative.
    wrong: i64,
}

impl Step {
    /// The steps of a query with these answers, given as the score and whether the answer is right. The first
    /// whose score reaches the threshold is served.
    pub(super) fn of(answers: &[(f32, bool)]) -> Vec<Self> {
        let step = |(place, &(score, is_right)): (usize, &(f32, bool))| {
            // At higher thresholds, the next answer was served.
            let before = answers.get(place + 1);
            let was_wrong = before.is_some_and(|(_, was_right)| !was_right);
            let (hits, wrong) = (i64::from(before.is_none()), i64::from(!is_right) - i64::from(was_wrong));
            Self { score, hits, wrong }
        };
        answers.iter().enumerate().map(step).collect()
    }
}

/// Hits counted, and how many of them are false.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    hits: i64,
    wrong: i64,
}

impl Tally {
    /// Counts hits, given for each whether it is right.
    pub(super) fn of_hits(hits: impl IntoIterator<Item = bool>) -> Self {
        let mut tally = Self::default();
        for is_right in hits {
            tally.hits += 1;
            tally.wrong += i64::from(!is_right);
        }
        tally
    }

    /// Adds `steps`.
    pub(super) fn add<'a>(&mut self, steps: impl IntoIterator<Item = &'a Step>) {
        for step in steps {
            self.hits += step.hits;
            self.wrong += step.wrong;
        }
    }

    pub(super) fn hits(self) -> u64 {
        self.hits.unsigned_abs()
    }

    pub(super) fn wrong(self) -> u64 {
        // Every answer that is replaced was counted before, so neither sum is ever negative.
        self.wrong.unsigned_abs()
    }

    pub(super) fn right(self) -> u64 {
        self.hits().saturating_sub(self.wrong())
    }
}

/// The points of `steps`, from the highest threshold to the lowest.
///
/// Equal scores are accepted together, as with any threshold.
pub(super) fn curve(mut steps: Vec<Step>, queries: usize) -> Vec<CurvePoint> {
    steps.sort_by(|a, b| b.score.total_cmp(&a.score));
    let every = steps.len().div_ceil(POINTS).max(1);
    let (mut tally, mut taken, mut shown) = (Tally::default(), 0, 0);
    let mut points = Vec::new();
    for equal in steps.chunk_by(|a, b| a.score.total_cmp(&b.score).is_eq()) {
        tally.add(equal);
        taken += equal.len();
        if taken - shown >= every || taken == steps.len() {
            shown = taken;
            points.extend(CurvePoint::of(tally, queries, equal[0].score));
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps of queries with one answer each.
    fn steps(answers: &[(f32, bool)]) -> Vec<Step> {
        answers.iter().flat_map(|&answer| Step::of(&[answer])).collect()
    }

    #[test]
    fn a_curve_goes_from_the_surest_to_all() {
        let steps = steps(&[(0.5, false), (0.9, true), (0.7, true), (0.5, true)]);
        let points = curve(steps.clone(), 8);
        let seen: Vec<_> = points.iter().map(|p| (p.hit_rate, p.false_hits_per_hit, p.threshold)).collect();
        assert_eq!(seen, [(0.125, 0.0, 0.9), (0.25, 0.0, 0.7), (0.5, 0.25, 0.5)]);
        assert_eq!(CurvePoint::at(&steps, 8, 0.6), Some(CurvePoint { threshold: 0.6, ..points[1] }));
        assert_eq!(CurvePoint::at(&steps, 8, 0.95), None);
    }

    #[test]
    fn a_long_curve_has_about_fifty_points_and_ends_with_the_last_score() {
        let scores: Vec<_> = (0..1_234_u16).map(|n| (f32::from(n), n % 10 != 0)).collect();
        let points = curve(steps(&scores), 2_000);
        assert!((45..=51).contains(&points.len()), "{}", points.len());
        assert!((points[points.len() - 1].hit_rate - 0.617).abs() < 1e-9);
        assert!(points.is_sorted_by(|a, b| a.hit_rate < b.hit_rate));
    }

    #[test]
    fn a_lower_threshold_may_serve_another_answer() {
        // Wrong from .4 on, right from .6 on, wrong from .9 on.
        let steps = Step::of(&[(0.4, false), (0.6, true), (0.9, false)]);
        let at = |threshold| CurvePoint::at(&steps, 1, threshold).map(|point| point.false_hits_per_hit);
        assert_eq!([0.95, 0.8, 0.5, 0.1].map(at), [None, Some(1.0), Some(0.0), Some(1.0)]);
        let points = curve(steps.clone(), 1);
        assert!(points.iter().all(|point| (point.hit_rate - 1.0).abs() < 1e-9));
        assert_eq!(points.iter().map(|point| point.false_hits_per_hit).collect::<Vec<_>>(), [1.0, 0.0, 1.0]);
        let mut all = Tally::default();
        all.add(&steps);
        assert_eq!((all.hits(), all.wrong(), all.right()), (1, 1, 0));
    }
}
