//! Checks whether probabilities are accurate: of those about .8, are about 80 % right?

use wellspring::verify::wilson_upper95;

/// The number of bins: of equal width for plots, of equal counts for measuring.
const BINS: usize = 10;

/// Predictions of about the same probability.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bin {
    /// How many there are; not 0.
    pub count: u64,
    /// How many of them were right.
    pub right: u64,
    /// Their mean probability.
    pub predicted: f64,
}

impl Bin {
    fn add(&mut self, probability: f64, is_right: bool) {
        self.count += 1;
        self.right += u64::from(is_right);
        // A sum until the bin is full.
        self.predicted += probability;
    }

    fn averaged(self) -> Self {
        Self { predicted: self.predicted / self.count as f64, ..self }
    }

    /// The share that was right.
    pub fn observed(&self) -> f64 {
        self.right as f64 / self.count as f64
    }

    /// The Wilson interval of that share at 95 %.
    pub fn interval(&self) -> (f64, f64) {
        (1.0 - wilson_upper95(self.count - self.right, self.count), wilson_upper95(self.right, self.count))
    }
}

/// The bins of `scores`, each given with whether it was right, from the lowest probability on, without empty
/// bins.
pub fn bins(scores: &[(f32, bool)]) -> Vec<Bin> {
    let mut bins = [Bin::default(); BINS];
    for &(probability, is_right) in scores {
        let probability = f64::from(probability).clamp(0.0, 1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the array")]
        let bin = &mut bins[((probability * BINS as f64) as usize).min(BINS - 1)];
        bin.add(probability, is_right);
    }
    bins.into_iter().filter(|bin| bin.count > 0).map(Bin::averaged).collect()
}

/// How far the probabilities of `scores` are from the outcomes, on average over all of them: the expected
/// calibration error over ten bins of equal counts. None without scores.
///
/// Most probabilities are near 0 or 1: bins of equal width would have nearly all of them there and leave only
/// noise to the rest.
pub(super) fn calibration_error(scores: &[(f32, bool)]) -> Option<f64> {
    let bins = even_bins(scores);
    let all: u64 = bins.iter().map(|bin| bin.count).sum();
    let off = |bin: &Bin| bin.count as f64 * (bin.observed() - bin.predicted).abs();
    (all > 0).then(|| bins.iter().map(off).sum::<f64>() / all as f64)
}

/// Bins of about equal counts, from the lowest score on. Equal scores share a bin, because their order means
/// nothing.
fn even_bins(scores: &[(f32, bool)]) -> Vec<Bin> {
    let mut sorted: Vec<(f64, bool)> = scores
        .iter()
        .filter(|(probability, _)| !probability.is_nan())
        .map(|&(probability, is_right)| (f64::from(probability).clamp(0.0, 1.0), is_right))
        .collect();
    sorted.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let (mut bins, mut open, mut taken, mut next) = (Vec::new(), Bin::default(), 0, 1);
    for equal in sorted.chunk_by(|(a, _), (b, _)| a.total_cmp(b).is_eq()) {
        for &(probability, is_right) in equal {
            open.add(probability, is_right);
        }
        taken += equal.len();
        if taken * BINS >= next * sorted.len() {
            bins.push(std::mem::take(&mut open).averaged());
            next = taken * BINS / sorted.len() + 1;
        }
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_hold_what_was_predicted_and_what_came_out() {
        let scores = [(0.05, false), (0.09, true), (0.93, true), (0.97, true), (1.0, false), (1.0, true)];
        let bins = bins(&scores);
        assert_eq!(bins.iter().map(|bin| (bin.count, bin.right)).collect::<Vec<_>>(), [(2, 1), (4, 3)]);
        assert!((bins[0].predicted - 0.07).abs() < 1e-6 && (bins[1].predicted - 0.975).abs() < 1e-6);
        assert!((bins[1].observed() - 0.75).abs() < 1e-9);
    }

    #[test]
    fn the_error_is_taken_over_bins_of_equal_counts() {
        // A hundred scores .01, .02, … 1; those in the lower half are right: bins of ten each.
        let scores: Vec<_> = (1..=100_u8).map(|n| (f32::from(n) / 100.0, n <= 50)).collect();
        let even = even_bins(&scores);
        assert!(even.iter().map(|bin| bin.count).eq([10; 10]));
        // Means .055, .155 to .955; 1 is right up to .455, 0 from .555 on.
        let off = (0.945 + 0.845 + 0.745 + 0.645 + 0.545) * 2.0 + 0.05;
        assert!((calibration_error(&scores).unwrap() - off / 10.0).abs() < 1e-6);
        assert_eq!(calibration_error(&[]), None);
        assert_eq!(calibration_error(&[(f32::NAN, true)]), None);
    }

    #[test]
    fn equal_scores_share_a_bin() {
        let mut scores = vec![(0.9, true); 45];
        scores.extend([(0.9, false); 5]);
        scores.extend((0..50_u8).map(|n| (f32::from(n) / 100.0, false)));
        let even = even_bins(&scores);
        assert_eq!(even.iter().map(|bin| bin.count).collect::<Vec<_>>(), [10, 10, 10, 10, 10, 50]);
        assert!((even[5].observed() - 0.9).abs() < 1e-9);
        assert_eq!(even_bins(&scores[..3]).len(), 1);
    }

    #[test]
    fn a_border_belongs_to_the_bin_above_it() {
        let edges: Vec<_> = (0..10_u8).map(|n| (f32::from(n) / 10.0 + 1e-6, true)).collect();
        assert!(bins(&edges).iter().map(|bin| bin.count).eq([1; 10]));
    }

    #[test]
    fn intervals_are_those_of_wilson() {
        // Newcombe (1998), table I: 81 of 263 and 0 of 20.
        let (low, high) = Bin { count: 263, right: 81, predicted: 0.3 }.interval();
        assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5, "{low} {high}");
        let (low, high) = Bin { count: 20, right: 0, predicted: 0.0 }.interval();
        assert!(low.abs() < 1e-9 && (high - 0.1611).abs() < 5e-5, "{low} {high}");
    }
}
