//! Candidates that claim the same question.
//!
//! Each candidate is judged alone: how likely is it the question that is asked? But two stored questions can both
//! be the one that is asked only if they ask the same. So if several are likely, and they ask different things,
//! all but one of them are wrong, and none is as likely as it looks alone. A cache that has been in use for a
//! while holds many near-twins, so this happens often.
//!
//! "It is this one", "it is that one" and "it is none of them" exclude each other, so with odds `o` of each
//! candidate beside none of them, the odds of one are `o / (1 + the sum of the others' o)`. Another that asks the
//! same does not exclude it, and counts only as far as it may ask something else.

/// The confidence from which another candidate counts. What is less likely changes next to nothing.
pub const RIVAL_FROM: f32 = 0.05;

/// How likely a candidate is right beside its `rivals`, given how likely it is alone, `confidence`. Each rival is
/// given as how likely it is right alone, and how likely it asks the same as the candidate. All are probabilities,
/// in `0.0..=1.0`.
///
/// ```
/// use wellspring::verify::beside_rivals;
///
/// assert_eq!(beside_rivals(0.95, []), 0.95);
/// // Two that ask different things are both likely alone: at most one of them is right.
/// assert!(beside_rivals(0.95, [(0.95, 0.0)]) < 0.5);
/// assert!(beside_rivals(0.95, [(0.95, 1.0)]) > 0.94);
/// ```
pub fn beside_rivals(confidence: f32, rivals: impl IntoIterator<Item = (f32, f32)>) -> f32 {
    let against: f64 = rivals.into_iter().map(|(alone, same)| odds(alone) * (1.0 - f64::from(same))).sum();
    if against <= 0.0 {
        return confidence;
    }
    let odds = odds(confidence);
    super::pipeline::lossy(odds / (odds + 1.0 + against))
}

fn odds(probability: f32) -> f64 {
    let probability = f64::from(probability).clamp(0.0, 1.0);
    probability / (1.0 - probability).max(1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_rivals_that_ask_different_things_each_has_its_share() {
        let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-3, "{a} {b}");
        close(beside_rivals(0.999, [(0.999, 0.0)]), 0.5);
        close(beside_rivals(0.999, [(0.999, 0.0), (0.999, 0.0)]), 1.0 / 3.0);
        close(beside_rivals(0.9, [(0.5, 0.0)]), 9.0 / 11.0);
        close(beside_rivals(0.9, [(0.5, 0.5)]), 9.0 / 10.5);
        close(beside_rivals(0.9, [(RIVAL_FROM, 0.0)]), 0.8953);
    }

    #[test]
    fn a_rival_never_helps() {
        for (confidence, alone, same) in
            [(0.0, 1.0, 0.0), (1.0, 1.0, 0.0), (1.0, 0.3, 0.2), (0.4, 0.0, 0.0), (0.7, 0.7, 1.0)]
        {
            let beside = beside_rivals(confidence, [(alone, same)]);
            assert!((0.0..=confidence).contains(&beside), "{confidence} {alone} {same}: {beside}");
        }
    }
}
