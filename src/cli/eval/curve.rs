//! What other thresholds of a policy would give.

use serde::Serialize;

/// Points of a curve, about.
const POINTS: usize = 50;

/// A point of the curve of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct CurvePoint {
    /// Hits per query.
    pub(crate) hit_rate: f64,
    /// False hits per hit.
    pub(crate) false_hits_per_hit: f64,
    /// The threshold that gives them; for `vcache`, which has none, the budget.
    pub(crate) threshold: f32,
}

impl CurvePoint {
    /// What accepting the scores from `threshold` on gives, of `queries` in all; none without hits.
    pub(super) fn at(scores: &[(f32, bool)], queries: usize, threshold: f32) -> Option<Self> {
        let hits = scores.iter().filter(|(score, _)| *score >= threshold).count();
        let wrong = scores.iter().filter(|(score, is_right)| *score >= threshold && !is_right).count();
        Self::of(hits, wrong, queries, threshold)
    }

    /// `hits` of `queries`, `wrong` of them false; none without hits.
    pub(super) fn of(hits: usize, wrong: usize, queries: usize, threshold: f32) -> Option<Self> {
        (hits > 0).then(|| Self {
            hit_rate: hits as f64 / queries as f64,
            false_hits_per_hit: wrong as f64 / hits as f64,
            threshold,
        })
    }

    /// The share of hits that are right.
    pub(super) fn precision(&self) -> f64 {
        1.0 - self.false_hits_per_hit
    }
}

/// The points of `scores` with whether they are right, from the highest threshold to the lowest.
///
/// Equal scores are accepted together, as any threshold does.
pub(super) fn curve(mut scores: Vec<(f32, bool)>, queries: usize) -> Vec<CurvePoint> {
    scores.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let step = scores.len().div_ceil(POINTS).max(1);
    let (mut hits, mut wrong, mut shown) = (0, 0, 0);
    let mut points = Vec::new();
    for equal in scores.chunk_by(|(a, _), (b, _)| a.total_cmp(b).is_eq()) {
        hits += equal.len();
        wrong += equal.iter().filter(|(_, is_right)| !is_right).count();
        if hits - shown >= step || hits == scores.len() {
            shown = hits;
            points.extend(CurvePoint::of(hits, wrong, queries, equal[0].0));
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_from_the_surest_to_all() {
        let scores = vec![(0.5, false), (0.9, true), (0.7, true), (0.5, true)];
        let points = curve(scores.clone(), 8);
        let seen: Vec<_> = points.iter().map(|p| (p.hit_rate, p.false_hits_per_hit, p.threshold)).collect();
        assert_eq!(seen, [(0.125, 0.0, 0.9), (0.25, 0.0, 0.7), (0.5, 0.25, 0.5)]);
        assert_eq!(CurvePoint::at(&scores, 8, 0.6), Some(CurvePoint { threshold: 0.6, ..points[1] }));
        assert_eq!(CurvePoint::at(&scores, 8, 0.95), None);
    }

    #[test]
    fn a_long_curve_has_about_fifty_points_and_ends_with_the_last_score() {
        let scores: Vec<_> = (0..1_234_u16).map(|n| (f32::from(n), n % 10 != 0)).collect();
        let points = curve(scores, 2_000);
        assert!((45..=51).contains(&points.len()), "{}", points.len());
        assert!((points[points.len() - 1].hit_rate - 0.617).abs() < 1e-9);
        assert!(points.is_sorted_by(|a, b| a.hit_rate < b.hit_rate));
    }
}
