//! Whether probabilities are what they say: of those about .8, are about 80 % right?

use crate::verify::wilson_upper95;

/// Bins of equal width.
const BINS: usize = 10;

/// Predictions of about the same probability.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bin {
    /// How many there are; not 0.
    pub(super) count: u64,
    /// How many of them were right.
    pub(super) right: u64,
    /// Their mean probability.
    pub(super) predicted: f64,
}

impl Bin {
    /// The share that was right.
    pub(super) fn observed(&self) -> f64 {
        self.right as f64 / self.count as f64
    }

    /// The Wilson interval of that share at 95 %.
    pub(super) fn interval(&self) -> (f64, f64) {
        (1.0 - wilson_upper95(self.count - self.right, self.count), wilson_upper95(self.right, self.count))
    }
}

/// The bins of `scores` with whether they were right, from the least probability on, without empty ones.
pub(super) fn bins(scores: &[(f32, bool)]) -> Vec<Bin> {
    let mut bins = [Bin::default(); BINS];
    for &(probability, is_right) in scores {
        let probability = f64::from(probability).clamp(0.0, 1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the array")]
        let bin = &mut bins[((probability * BINS as f64) as usize).min(BINS - 1)];
        bin.count += 1;
        bin.right += u64::from(is_right);
        bin.predicted += probability;
    }
    let mean = |bin: &Bin| Bin { predicted: bin.predicted / bin.count as f64, ..*bin };
    bins.iter().filter(|bin| bin.count > 0).map(mean).collect()
}

/// How far predictions are from what was observed, on average over all of them; none without predictions.
pub(super) fn calibration_error(bins: &[Bin]) -> Option<f64> {
    let all: u64 = bins.iter().map(|bin| bin.count).sum();
    let off = |bin: &Bin| bin.count as f64 * (bin.observed() - bin.predicted).abs();
    (all > 0).then(|| bins.iter().map(off).sum::<f64>() / all as f64)
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
        // (2 × |.5 - .07| + 4 × |.75 - .975|) / 6
        assert!((calibration_error(&bins).unwrap() - 1.76 / 6.0).abs() < 1e-6);
        assert_eq!(calibration_error(&[]), None);
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
