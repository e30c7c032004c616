//! How often acceptances at each threshold were wrong, and which threshold keeps a budget.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Points kept of a curve.
const POINTS: usize = 200;

/// The budgets by which models are compared.
const USUAL_BUDGETS: [f64; 4] = [0.01, 0.02, 0.05, 0.1];

/// How many hits of an earlier curve are added where there are few labels.
const BEFORE: f64 = 100.0;

/// Fewer groups than this say too little about how much groups differ.
const LEAST_GROUPS: usize = 10;

/// The standard normal quantile of a two-sided 95 % interval.
const Z_95: f64 = 1.959_963_984_540_054;

/// What a threshold accepted on labelled data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Point {
    /// The least probability accepted.
    pub(super) probability: f64,
    /// How many were accepted.
    pub(super) hits: u64,
    /// How many of them were wrong.
    pub(super) false_hits: u64,
    /// How many times the variance of the share of wrong ones is what it would be if every pair were independent
    /// of the others: the design effect (Kish, Survey Sampling, 1965), at least 1. The pairs of a domain are
    /// alike, so many pairs of few domains show less than their number suggests.
    #[serde(default = "independent", skip_serializing_if = "is_independent")]
    pub(super) design_effect: f64,
}

fn independent() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_independent(design_effect: &f64) -> bool {
    *design_effect <= 1.0
}

/// A labelled pair with what a model says of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) probability: f64,
    pub(super) is_same: bool,
    /// The domain that it comes from.
    pub(super) group: u32,
}

impl Point {
    /// Whether `max_false_hit_rate` would still hold with one more false hit: used where pairs are too few to
    /// show it.
    fn is_within(&self, max_false_hit_rate: f64) -> bool {
        (self.false_hits + 1) as f64 <= max_false_hit_rate * (self.hits + 1) as f64
    }

    /// The 95 % interval of the share of wrong ones, for as many independent pairs as show as much.
    fn interval95(&self) -> (f64, f64) {
        wilson95(self.false_hits as f64 / self.design_effect, self.hits as f64 / self.design_effect)
    }
}

/// What each threshold accepted on labelled data, from the highest threshold down.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Curve(Vec<Point>);

impl Curve {
    /// The curve of what a model said.
    pub(super) fn of(mut outcomes: Vec<Outcome>) -> Self {
        outcomes.retain(|outcome| !outcome.probability.is_nan());
        outcomes.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        let step = outcomes.len().div_ceil(POINTS).max(1);
        let (mut hits, mut false_hits, mut points) = (0, 0, Vec::new());
        let mut groups = BTreeMap::<u32, (u64, u64)>::new();
        for equal in outcomes.chunk_by(|a, b| a.probability.total_cmp(&b.probability).is_eq()) {
            let before: u64 = hits;
            hits += equal.len() as u64;
            for outcome in equal {
                let (of_group, false_of_group) = groups.entry(outcome.group).or_default();
                *of_group += 1;
                *false_of_group += u64::from(!outcome.is_same);
                false_hits += u64::from(!outcome.is_same);
            }
            if before / step as u64 != hits / step as u64 {
                let design_effect = design_effect(&groups, hits, false_hits);
                points.push(Point { probability: equal[0].probability, hits, false_hits, design_effect });
            }
        }
        Self(points)
    }

    /// The least probability to accept so that at most `max_false_hit_rate` of the hits are false, by the
    /// upper end of the 95 % interval; none if the data cannot show that.
    pub(super) fn threshold(&self, max_false_hit_rate: f64) -> Option<f64> {
        self.point(max_false_hit_rate).map(|point| point.probability)
    }

    fn point(&self, max_false_hit_rate: f64) -> Option<&Point> {
        let holds = |point: &&Point| point.interval95().1 <= max_false_hit_rate;
        self.0.iter().rev().find(holds)
    }

    /// The least `max_false_hit_rate` that has a [threshold](Self::threshold); none if there is none below 1.
    pub(super) fn least_budget(&self) -> Option<f64> {
        let bounds = self.0.iter().map(|point| point.interval95().1);
        bounds.reduce(f64::min).filter(|&least| least < 1.0)
    }

    /// How many hits are found within the usual budgets, to compare models on the same pairs. The hits of
    /// each budget count equally.
    pub(super) fn found(&self) -> f64 {
        let within = |budget: f64| {
            let point = self.0.iter().rev().find(|point| point.is_within(budget));
            point.map_or(0.0, |point| (point.hits - point.false_hits) as f64)
        };
        USUAL_BUDGETS.into_iter().map(within).sum()
    }

    /// The least probability, not below `least`, above which these hits do not show that more than
    /// `max_false_hit_rate` of them are false, by the lower end of the 95 % interval.
    pub(super) fn uncontradicted(&self, least: f64, max_false_hit_rate: f64) -> f64 {
        let above = self.0.iter().rev().filter(|point| point.probability >= least);
        let mut from = least;
        for point in above {
            if point.interval95().0 <= max_false_hit_rate {
                return from.max(least);
            }
            // Then it must be above this one.
            from = point.probability.next_up();
        }
        from
    }

    /// The least probability, from the threshold of `before` up, at which these hits and 100 of `before` are
    /// within `max_false_hit_rate`, even with one more false hit; none if there is none.
    pub(super) fn after(&self, before: &Self, max_false_hit_rate: f64) -> Option<f64> {
        let shown = before.point(max_false_hit_rate)?;
        let share = shown.false_hits as f64 / shown.hits as f64;
        let holds = |hits: u64, false_hits: u64| {
            false_hits as f64 + 1.0 + BEFORE * share <= max_false_hit_rate * (hits as f64 + 1.0 + BEFORE)
        };
        let mut from = shown.probability;
        for point in self.0.iter().rev().skip_while(|point| point.probability < shown.probability) {
            if holds(point.hits, point.false_hits) {
                return Some(from);
            }
            // Then it must be above this one.
            from = point.probability.next_up();
        }
        holds(0, 0).then_some(from)
    }

    pub(super) fn is_sound(&self) -> bool {
        self.0.iter().all(|point| {
            point.probability.is_finite()
                && point.false_hits <= point.hits
                && (1.0..f64::INFINITY).contains(&point.design_effect)
        }) && self.0.is_sorted_by(|a, b| a.probability >= b.probability)
    }
}

/// How many times the variance between `groups`, each with its hits and the false ones among them, is that of
/// independent hits: the variance of a ratio of sums over clusters (Cochran, Sampling Techniques, 1977, 6.3).
fn design_effect(groups: &BTreeMap<u32, (u64, u64)>, hits: u64, false_hits: u64) -> f64 {
    if groups.len() < LEAST_GROUPS || false_hits == 0 || false_hits == hits {
        return 1.0;
    }
    let (number, share) = (groups.len() as f64, false_hits as f64 / hits as f64);
    let off = groups.values().map(|&(hits, false_hits)| false_hits as f64 - share * hits as f64);
    let between = off.map(|off| off * off).sum::<f64>() * number / (number - 1.0);
    (between / (share * (1.0 - share) * hits as f64)).max(1.0)
}

/// The upper end of the Wilson score interval at 95 % (two-sided) for `count` of `trials`; 1 without trials.
pub fn wilson_upper95(count: u64, trials: u64) -> f64 {
    wilson95(count as f64, trials as f64).1
}

/// Both ends of the same interval, which need no whole numbers.
fn wilson95(count: f64, trials: f64) -> (f64, f64) {
    if trials <= 0.0 {
        return (0.0, 1.0);
    }
    let (n, p, z2) = (trials, count / trials, Z_95 * Z_95);
    let margin = Z_95 * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let (middle, scale) = (p + z2 / (2.0 * n), 1.0 + z2 / n);
    (((middle - margin) / scale).max(0.0), ((middle + margin) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The curve of pairs of one domain.
    fn curve(scored: Vec<(f64, bool)>) -> Curve {
        let outcome = |(probability, is_same)| Outcome { probability, is_same, group: 0 };
        Curve::of(scored.into_iter().map(outcome).collect())
    }

    #[test]
    fn domains_that_differ_show_less_than_their_pairs_suggest() {
        // One pair in fifty is wrong: in all domains, or all of them in one.
        let outcomes = |is_wrong: fn(u32) -> bool| {
            let outcome = |n: u32| Outcome {
                probability: 1.0 - f64::from(n) / 8_000.0,
                is_same: !is_wrong(n),
                group: n % 40,
            };
            Curve::of((0..8_000).map(outcome).collect())
        };
        let even = outcomes(|n| n % 50 == (n / 50) % 50);
        let uneven = outcomes(|n| n % 40 == 0 && n / 40 % 5 < 4);
        let last = |curve: &Curve| *curve.0.last().unwrap();
        assert_eq!((last(&even).false_hits, last(&uneven).false_hits), (160, 160));
        assert!(last(&even).design_effect < 1.5, "{:?}", last(&even));
        assert!(last(&uneven).design_effect > 10.0, "{:?}", last(&uneven));
        assert!(last(&even).interval95().1 < 0.025 && last(&uneven).interval95().1 > 0.04);
        assert!(even.threshold(0.03).unwrap() < uneven.threshold(0.03).unwrap_or(1.0));
        let read: Curve = serde_json::from_str(&serde_json::to_string(&uneven).unwrap()).unwrap();
        assert_eq!(read, uneven);
    }

    #[test]
    fn a_budget_is_kept_by_its_upper_bound() {
        // The best 1,000 are right; of the next 1,000 every tenth is wrong.
        let scored = (0..2_000_u32).map(|n| (1.0 - f64::from(n) / 2_000.0, n < 1_000 || n % 10 != 0));
        let curve = curve(scored.collect());
        let threshold = curve.threshold(0.02).unwrap();
        // 2 % of the hits would be false at n = 1,220; because of the bound, the threshold is reached
        // somewhat earlier.
        assert!((0.39..0.5).contains(&threshold), "{threshold}");
        assert!(curve.threshold(0.01).unwrap() > threshold);
        assert!(curve.threshold(0.06).unwrap() < threshold);
    }

    #[test]
    fn too_few_data_show_nothing() {
        let curve = curve((0..50_u8).map(|n| (f64::from(n) / 50.0, true)).collect());
        assert_eq!(curve.threshold(0.02), None);
        assert!(curve.threshold(0.1).is_some());
        assert_eq!(Curve::default().threshold(0.5), None);
    }

    #[test]
    fn few_labels_raise_a_threshold_as_far_as_they_contradict_it() {
        // Two of the first 1,000 are false, and half of those after them.
        let before =
            |n: u32| (f64::from(2_000 - n), if n < 1_000 { n % 500 != 499 } else { n.is_multiple_of(2) });
        let before = curve((0..2_000).map(before).collect());
        let least = before.threshold(0.02).unwrap();
        let few = |wrong: &[u32]| {
            let scored = (0..40).map(|n| (least + f64::from(40 - n), !wrong.contains(&n)));
            curve(scored.collect()).after(&before, 0.02)
        };
        assert_eq!(Curve::default().after(&before, 0.02), Some(least));
        assert_eq!(few(&[]), Some(least));
        assert_eq!(few(&[39]), Some(least));
        assert_eq!(few(&[38, 39]), Some((least + 1.0).next_up()), "two false hits of 40 are too many");
        assert_eq!(few(&[9, 19, 29]), Some((least + 31.0).next_up()), "nine right ones");
        assert_eq!(few(&[0, 1]), Some((least + 40.0).next_up()), "not even the surest");
        assert_eq!(Curve::default().after(&before, 0.003), None, "not shown before");
    }

    #[test]
    fn the_least_budget_is_the_first_that_has_a_threshold() {
        let scored = (0..2_000_u32).map(|n| (1.0 - f64::from(n) / 2_000.0, n < 1_000 || n % 10 != 0));
        let curve = curve(scored.collect());
        let least = curve.least_budget().unwrap();
        // 0 of 1,000.
        assert!((0.0030..0.0045).contains(&least), "{least}");
        assert!(curve.threshold(least).is_some());
        assert_eq!(curve.threshold(least.next_down()), None);
        assert_eq!(Curve::default().least_budget(), None);
    }

    #[test]
    fn a_threshold_rises_only_where_hits_show_it_to_be_too_low() {
        // Above .9 all is right, from .8 to .9 half of it.
        let scored = |count: u32| {
            let at = move |n: u32| 0.8 + 0.2 * f64::from(n) / f64::from(count);
            curve((0..count).map(|n| (at(n), at(n) > 0.9 || n % 2 == 0)).collect())
        };
        for count in [100, 1_000, 10_000] {
            let threshold = scored(count).uncontradicted(0.8, 0.05);
            assert!((0.85..0.901).contains(&threshold), "{threshold}");
        }
        assert!((scored(100).uncontradicted(0.95, 0.05) - 0.95).abs() < 1e-9);
        // One wrong of eight shows nothing about a budget of 5 %.
        assert!((scored(8).uncontradicted(0.87, 0.05) - 0.87).abs() < 1e-9);
        assert!((Curve::default().uncontradicted(0.87, 0.05) - 0.87).abs() < 1e-9);
        let wrong = curve((0..100).map(|n| (f64::from(n) / 100.0, false)).collect());
        assert!(wrong.uncontradicted(0.5, 0.05) > 0.97);
    }

    #[test]
    fn equal_probabilities_are_accepted_together() {
        let curve = curve([(0.9, true), (0.5, true), (0.5, false), (0.5, true)].repeat(100));
        let points: Vec<_> = curve.0.iter().map(|p| (p.hits, p.false_hits)).collect();
        assert_eq!(points, [(100, 0), (400, 100)]);
    }

    #[test]
    fn the_wilson_bound_matches_published_values() {
        // Newcombe (1998), table I: 81/263 -> .3662, 15/148 -> .1605, 0/20 -> .1611, 1/29 -> .1718.
        for (count, trials, upper) in [(81, 263, 0.3662), (15, 148, 0.1605), (0, 20, 0.1611), (1, 29, 0.1718)]
        {
            assert!((wilson_upper95(count, trials) - upper).abs() < 5e-5, "{count}/{trials}");
        }
        for (count, trials, lower) in [(81, 263, 0.2553), (15, 148, 0.0624), (0, 20, 0.0), (1, 29, 0.0061)] {
            assert!(
                (wilson95(f64::from(count), f64::from(trials)).0 - lower).abs() < 5e-5,
                "{count}/{trials}"
            );
        }
    }
}
