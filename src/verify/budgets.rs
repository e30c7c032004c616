//! Which false-hit rates can be shown, and how a rate that cannot be shown is reported.
//!
//! Under a rate that cannot be shown, only exact matches are served. No answer is wrong then, but the
//! expected hits do not come. So a caller that sets such a rate gets a report, with the least rate that can
//! be shown.

use std::fmt;

use serde::Serialize;

use crate::match_policy::MatchPolicy;

/// Which false-hit rates a [`Verifier`](super::Verifier) can show that it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Budgets {
    /// The verifier does not say, and decides by its own rules.
    Unstated,
    /// None, because nothing is known about the similarities of the embedding model.
    Uncalibrated,
    /// This one and all above it. From 1 up it means none, for a rate is below 1.
    From(f64),
}

impl Budgets {
    /// Whether answers to other wordings may be served at all under `match_policy`. A plain similarity
    /// promises nothing, so there is nothing to show.
    pub fn can_show(self, match_policy: MatchPolicy) -> bool {
        match (self, match_policy) {
            (Self::Unstated, _) | (_, MatchPolicy::SimilarityThreshold(_)) => true,
            (Self::Uncalibrated, MatchPolicy::MaxFalseHitRate(_)) => false,
            (Self::From(least), MatchPolicy::MaxFalseHitRate(rate)) => rate >= least,
        }
    }

    /// The least rate that can be shown, rounded up to two digits, so that it can be read and set; none if no
    /// rate can be shown or if it is not known.
    pub fn least(self) -> Option<f64> {
        match self {
            Self::From(least) if least > 0.0 && least < 1.0 => Some(rounded_up(least)),
            _ => None,
        }
    }

    /// The rate of `match_policy` if it cannot be shown.
    pub fn unshown(self, match_policy: MatchPolicy) -> Option<Unshown> {
        match match_policy {
            MatchPolicy::MaxFalseHitRate(rate) if !self.can_show(match_policy) => {
                Some(Unshown { max_false_hit_rate: rate, least: self.least(), budgets: self })
            }
            _ => None,
        }
    }
}

/// A false-hit rate that cannot be shown. Its text says so, what follows, and which rate could be set
/// instead.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Unshown {
    /// The rate.
    pub max_false_hit_rate: f64,
    /// The least that can be shown, rounded up to two digits; none if none can be.
    pub least: Option<f64>,
    #[serde(skip)]
    budgets: Budgets,
}

impl Unshown {
    /// Whether there is no calibration at all.
    pub fn is_uncalibrated(&self) -> bool {
        self.budgets == Budgets::Uncalibrated
    }
}

impl fmt::Display for Unshown {
    /// The text begins with `max_false_hit_rate`: the setting has this name in code and, after `match.`, in
    /// the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "max_false_hit_rate = {} cannot be shown ", self.max_false_hit_rate)?;
        if self.is_uncalibrated() {
            return f.write_str(
                "without a calibration for the embedding model: only exact matches are served, until there is one or a \
                 similarity threshold is set",
            );
        }
        f.write_str("by the calibration in force: only exact matches are served; ")?;
        match self.least {
            Some(least) => write!(f, "the lowest that it can show is {least}"),
            None => f.write_str("it can show none"),
        }
    }
}

/// The least number of two significant digits that is not below `rate`, which is positive.
#[expect(clippy::cast_possible_truncation, reason = "the exponent of a double has four digits")]
fn rounded_up(rate: f64) -> f64 {
    let scale = 10_f64.powi(1 - rate.log10().floor() as i32);
    let rounded = (rate * scale).ceil() / scale;
    // This close to 1, no shorter number is still a rate.
    if rounded < 1.0 { rounded.max(rate) } else { rate }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: MatchPolicy = MatchPolicy::MaxFalseHitRate(0.01);

    #[test]
    fn a_rate_is_compared_with_the_least_and_a_similarity_with_nothing() {
        for (budgets, can_show) in [
            (Budgets::Unstated, true),
            (Budgets::Uncalibrated, false),
            (Budgets::From(0.01), true),
            (Budgets::From(0.0101), false),
            (Budgets::From(1.0), false),
            (Budgets::From(f64::NAN), false),
        ] {
            assert_eq!(budgets.can_show(RATE), can_show, "{budgets:?}");
            assert_eq!(budgets.unshown(RATE).is_none(), can_show, "{budgets:?}");
            assert!(budgets.can_show(0.9.into()) && budgets.unshown(0.9.into()).is_none(), "{budgets:?}");
        }
    }

    #[test]
    fn the_least_is_short_and_can_be_set() {
        for (least, message) in
            [(0.014_956, "0.015"), (0.015, "0.015"), (0.000_123, "0.00013"), (0.31, "0.31")]
        {
            let budgets = Budgets::From(least);
            let rounded = budgets.least().unwrap();
            assert_eq!(rounded.to_string(), message);
            assert!(budgets.can_show(MatchPolicy::MaxFalseHitRate(rounded)), "{least}");
        }
        assert_eq!(Budgets::From(0.999).least(), Some(0.999));
        for none in [Budgets::Unstated, Budgets::Uncalibrated, Budgets::From(1.0), Budgets::From(0.0)] {
            assert_eq!(none.least(), None, "{none:?}");
        }
    }

    #[test]
    fn it_says_what_follows_and_what_can_be_had() {
        let message = |budgets: Budgets| budgets.unshown(RATE).unwrap().to_string();
        assert_eq!(
            message(Budgets::From(0.0152)),
            "max_false_hit_rate = 0.01 cannot be shown by the calibration in force: only exact matches are served; \
             the lowest that it can show is 0.016"
        );
        assert!(message(Budgets::From(1.0)).ends_with("only exact matches are served; it can show none"));
        let uncalibrated = message(Budgets::Uncalibrated);
        assert!(uncalibrated.contains("without a calibration for the embedding model"), "{uncalibrated}");
        assert!(
            uncalibrated.ends_with("until there is one or a similarity threshold is set"),
            "{uncalibrated}"
        );
    }
}
