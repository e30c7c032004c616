//! Measures over scored, labelled pairs. Pure functions.

use std::collections::BTreeMap;

use serde::Serialize;
use wellspring::verify::wilson_upper95;

/// A pair with a policy's score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// How sure the policy is that the questions ask the same; none if it vetoed the pair.
    pub score: Option<f32>,
    /// How sure it would be without its vetoes, if it can say.
    pub rank: Option<f32>,
    /// Whether the questions ask the same, by the label.
    pub is_same: bool,
}

/// How well scores separate pairs of the same question from pairs of different ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// The probability that a random positive ranks above a random negative, ties counting half; none if
    /// there are no positives or no negatives. Pairs that a policy vetoes rank by their probability if it
    /// gives one, and otherwise last.
    pub roc_auc: Option<f64>,
    /// Precision averaged over the recall of each score, ties taken together; none without positives.
    pub average_precision: Option<f64>,
    /// The greatest F1 over all thresholds, found on these pairs: an upper bound, not a promise.
    pub best_f1: Option<BestF1>,
    /// The greatest recall at which precision is at least .90, .95 and .99, by any threshold on these pairs:
    /// an upper bound, not a promise. None where no threshold reaches it.
    pub recall_at_precision: BTreeMap<&'static str, Option<f64>>,
    /// The results of each threshold.
    pub thresholds: Vec<ThresholdRow>,
}

/// The greatest F1 and the threshold that reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BestF1 {
    /// The harmonic mean of precision and recall.
    pub f1: f64,
    /// The score from which pairs are accepted.
    pub threshold: f32,
}

/// The results of one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ThresholdRow {
    /// Pairs with at least this score are accepted, unless vetoed.
    pub threshold: f32,
    /// The accepted share of positives.
    pub accepted_positive: Option<f64>,
    /// The accepted share of negatives.
    pub accepted_negative: Option<f64>,
    /// The share of positives among the accepted.
    pub precision: Option<f64>,
    /// The same as `accepted_positive`, under its usual name.
    pub recall: Option<f64>,
    /// The accepted share of all pairs.
    pub hit_rate: f64,
    /// The share of negatives among the accepted: 1 - precision.
    pub false_hits_per_hit: Option<f64>,
    /// The upper end of the Wilson interval of `false_hits_per_hit` at 95 % (two-sided). With few hits it is
    /// high; with none accepted it is 1.
    pub false_hits_per_hit_upper95: f64,
}

impl Scored {
    /// A pair without a veto.
    pub fn of(score: f32, is_same: bool) -> Self {
        Self { score: Some(score), rank: Some(score), is_same }
    }
}

/// The probability that a random positive ranks above a random negative, as in [`Scores::roc_auc`].
pub(super) fn roc_auc(pairs: &[Scored]) -> Option<f64> {
    Groups::of(pairs, |pair| pair.rank).roc_auc()
}

impl Scores {
    /// Measures `pairs`, with a row for each of `thresholds`.
    pub(super) fn of(pairs: &[Scored], thresholds: &[f32]) -> Self {
        let ranks = Groups::of(pairs, |pair| pair.rank);
        let groups = Groups::of(pairs, |pair| pair.score);
        Self {
            roc_auc: ranks.roc_auc(),
            average_precision: ranks.average_precision(),
            best_f1: groups.best_f1(),
            recall_at_precision: [("0.90", 0.90), ("0.95", 0.95), ("0.99", 0.99)]
                .into_iter()
                .map(|(name, precision)| (name, groups.recall_at(precision)))
                .collect(),
            thresholds: thresholds.iter().map(|&threshold| groups.row(threshold)).collect(),
        }
    }
}

/// Pairs of the same score.
#[derive(Debug, Clone, Copy)]
struct Group {
    score: Option<f32>,
    positives: usize,
    negatives: usize,
}

/// All pairs by score, the highest first and the vetoed ones last.
struct Groups {
    ranked: Vec<Group>,
    positives: usize,
    negatives: usize,
}

impl Groups {
    fn of(pairs: &[Scored], score: impl Fn(&Scored) -> Option<f32>) -> Self {
        // A score that is not a number counts as no evidence for the pair.
        let rank = |pair: &Scored| score(pair).filter(|score| !score.is_nan());
        let mut sorted: Vec<(Option<f32>, bool)> =
            pairs.iter().map(|pair| (rank(pair), pair.is_same)).collect();
        sorted.sort_by(|(a, _), (b, _)| {
            b.partial_cmp(a).expect("scores that are not numbers have been removed")
        });
        let ranked = sorted
            .chunk_by(|(a, _), (b, _)| a == b)
            .map(|chunk| {
                let positives = chunk.iter().filter(|(_, is_same)| *is_same).count();
                Group { score: chunk[0].0, positives, negatives: chunk.len() - positives }
            })
            .collect();
        let positives = pairs.iter().filter(|pair| pair.is_same).count();
        Self { ranked, positives, negatives: pairs.len() - positives }
    }

    /// The Mann-Whitney statistic over the number of comparisons.
    fn roc_auc(&self) -> Option<f64> {
        let (mut below, mut wins) = (self.negatives as f64, 0.0);
        for group in &self.ranked {
            let (positives, negatives) = (group.positives as f64, group.negatives as f64);
            below -= negatives;
            wins += positives * (below + negatives / 2.0);
        }
        share_of(wins, self.positives as f64 * self.negatives as f64)
    }

    fn average_precision(&self) -> Option<f64> {
        let sum = self
            .cumulative()
            .map(|(group, positives, negatives)| {
                group.positives as f64 * positives as f64 / (positives + negatives) as f64
            })
            .sum();
        share_of(sum, self.positives as f64)
    }

    fn best_f1(&self) -> Option<BestF1> {
        self.cumulative()
            .filter_map(|(group, positives, negatives)| {
                // F1 = 2 TP / (2 TP + FP + FN)
                let f1 = 2.0 * positives as f64 / (positives + negatives + self.positives) as f64;
                Some(BestF1 { f1, threshold: group.score? })
            })
            // Of equal ones, the first: the higher threshold is safer.
            .reduce(|best, next| if next.f1 > best.f1 { next } else { best })
    }

    fn recall_at(&self, precision: f64) -> Option<f64> {
        self.cumulative()
            // No threshold accepts a vetoed pair.
            .filter(|(group, positives, negatives)| {
                group.score.is_some() && *positives as f64 >= precision * (positives + negatives) as f64
            })
            .filter_map(|(_, positives, _)| share(positives, self.positives))
            .reduce(f64::max)
    }

    fn row(&self, threshold: f32) -> ThresholdRow {
        let accepted = |group: &&Group| group.score.is_some_and(|score| score >= threshold);
        let (positives, negatives) =
            self.ranked.iter().take_while(accepted).fold((0, 0), |(positives, negatives), group| {
                (positives + group.positives, negatives + group.negatives)
            });
        let hits = positives + negatives;
        let recall = share(positives, self.positives);
        ThresholdRow {
            threshold,
            accepted_positive: recall,
            accepted_negative: share(negatives, self.negatives),
            precision: share(positives, hits),
            recall,
            hit_rate: share(hits, self.positives + self.negatives).unwrap_or(0.0),
            false_hits_per_hit: share(negatives, hits),
            false_hits_per_hit_upper95: wilson_upper95(negatives as u64, hits as u64),
        }
    }

    /// Each group with the numbers of positives and negatives down to and including it.
    fn cumulative(&self) -> impl Iterator<Item = (&Group, usize, usize)> {
        self.ranked.iter().scan((0, 0), |(positives, negatives), group| {
            *positives += group.positives;
            *negatives += group.negatives;
            Some((group, *positives, *negatives))
        })
    }
}

/// The value below which the share `q` of the sorted `values` lies, by the nearest rank; 0 without values.
pub(super) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len().saturating_sub(1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the slice")]
    let place = (q * last).round() as usize;
    sorted.get(place).copied().unwrap_or_default()
}

fn share(count: usize, of: usize) -> Option<f64> {
    share_of(count as f64, of as f64)
}

fn share_of(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(pairs: &[(f32, bool)]) -> Vec<Scored> {
        pairs.iter().map(|&(score, is_same)| Scored::of(score, is_same)).collect()
    }

    #[track_caller]
    fn close(value: impl Into<Option<f64>>, expected: f64) {
        let value = value.into().unwrap();
        assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
    }

    #[test]
    fn ranking_measures_match_those_worked_out_by_hand() {
        // Ranks: +.9 -.8 {+.7 -.7} -.1. Comparisons won: 3 + (1 tie -> .5, 1) = 4.5 of 6.
        let pairs = scored(&[(0.7, true), (0.1, false), (0.9, true), (0.7, false), (0.8, false)]);
        let scores = Scores::of(&pairs, &[]);
        close(scores.roc_auc, 4.5 / 6.0);
        // Precision 1 at the first positive; 2 of 4 at the tied second.
        close(scores.average_precision, f64::midpoint(1.0, 0.5));
        // At .9: TP 1, FP 0, FN 1 -> 2/3. At .7: TP 2, FP 2, FN 0 -> 4/6, the same.
        assert_eq!(scores.best_f1, Some(BestF1 { f1: 2.0 / 3.0, threshold: 0.9 }));
    }

    #[test]
    fn vetoed_pairs_rank_last_and_are_never_accepted() {
        let mut pairs = scored(&[(0.9, true), (0.2, true)]);
        pairs.push(Scored { score: None, rank: None, is_same: false });
        pairs.push(Scored { score: Some(f32::NAN), rank: Some(f32::NAN), is_same: true });
        let scores = Scores::of(&pairs, &[-1.0]);
        close(scores.roc_auc, 2.5 / 3.0);
        close(scores.thresholds[0].accepted_negative, 0.0);
        close(scores.thresholds[0].hit_rate, 0.5);
    }

    #[test]
    fn a_vetoed_pair_has_its_rank_and_is_not_accepted() {
        let mut pairs = scored(&[(0.9, true), (0.2, true)]);
        pairs.push(Scored { score: None, rank: Some(0.1), is_same: false });
        pairs.push(Scored { score: None, rank: Some(0.5), is_same: true });
        let scores = Scores::of(&pairs, &[0.0]);
        close(scores.roc_auc, 1.0);
        close(scores.thresholds[0].accepted_positive, 2.0 / 3.0);
        close(scores.thresholds[0].accepted_negative, 0.0);
        close(scores.recall_at_precision["0.99"], 2.0 / 3.0);
    }

    #[test]
    fn a_threshold_accepts_what_reaches_it() {
        let pairs = scored(&[(0.9, true), (0.85, false), (0.8, true), (0.5, true), (0.4, false)]);
        let scores = Scores::of(&pairs, &[0.85, 0.95]);
        let row = scores.thresholds[0];
        close(row.accepted_positive, 1.0 / 3.0);
        close(row.recall, 1.0 / 3.0);
        close(row.accepted_negative, 0.5);
        close(row.precision, 0.5);
        close(row.hit_rate, 0.4);
        close(row.false_hits_per_hit, 0.5);
        let none = scores.thresholds[1];
        assert_eq!((none.precision, none.false_hits_per_hit), (None, None));
        close(none.hit_rate, 0.0);
        close(none.false_hits_per_hit_upper95, 1.0);
    }

    #[test]
    fn recall_at_a_precision_is_the_best_of_all_thresholds() {
        let pairs = scored(&[(0.9, true), (0.85, false), (0.8, true), (0.5, true), (0.4, false)]);
        let recall = Scores::of(&pairs, &[]).recall_at_precision;
        // Precision by threshold: 1, 1/2, 2/3, 3/4, 3/5.
        assert_eq!(recall["0.90"], Some(1.0 / 3.0));
        assert_eq!(Scores::of(&scored(&[(0.9, false)]), &[]).recall_at_precision["0.90"], None);
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<f64> = (0..101).map(f64::from).collect();
        close(quantile(&values, 0.5), 50.0);
        close(quantile(&values, 0.99), 99.0);
        close(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn one_kind_of_label_leaves_some_measures_open() {
        let scores = Scores::of(&scored(&[(0.9, true)]), &[0.5]);
        assert_eq!(scores.roc_auc, None);
        assert_eq!(scores.thresholds[0].accepted_negative, None);
        close(scores.average_precision, 1.0);
        let negatives = Scores::of(&scored(&[(0.9, false)]), &[0.5]);
        assert_eq!((negatives.roc_auc, negatives.average_precision), (None, None));
    }
}
