//! Whether two questions name the same codes: tokens and signs in which every character counts.
//!
//! Models read `--force` as `force`, `-18` as `18` and `C++` as `C` with some punctuation; to a computer, a
//! chemist or a thermometer these are different things. Four kinds are compared:
//!
//! - [tokens]: paths, flags, identifiers, addresses, file names, serial numbers, hexadecimal numbers,
//! - [signs] of numbers, and comparisons with them: `> 100`, `over 100`, `at most 100`,
//! - [compounds], whose order counts: `2x4`, `1:2`, `x^2`,
//! - [labels]: letters that name one of several things, such as `Plan A`, `vitamin D` or `C++`.
//!
//! A *strong* code must be in both questions; for any other code, the questions must only not hold two that
//! contradict each other. If a question corrects itself, its codes are those after the correction; those
//! before it still excuse the other question for holding them, unless a code of the same kind replaced them.

mod compounds;
mod labels;
mod signs;
mod tokens;

use crate::verify::text::{Comparison, Reading};

/// Which codes differ, if any.
pub(super) fn difference(comparison: &Comparison) -> Option<String> {
    let (asked, cached) = (&comparison.asked, &comparison.cached);
    let (left, right) = tokens::difference(asked, cached)
        .or_else(|| signs::difference(asked, cached))
        .or_else(|| compounds::difference(asked, cached))
        .or_else(|| labels::difference(asked, cached))?;
    Some(format!("codes differ: {left} against {right}"))
}

/// How the two sides of a difference are described: a code in quotes, or `none`.
type Sides = (String, String);

/// More codes than this are a listing. Both questions have the same limit, so that a question stays equal to
/// itself.
const MOST: usize = 64;

fn quoted(code: Option<&str>) -> String {
    /// Characters of a code that are shown.
    const SHOWN: usize = 40;
    code.map_or_else(|| "none".into(), |code| format!("`{}`", code.chars().take(SHOWN).collect::<String>()))
}

/// Where the part of the text begins that was not taken back, in bytes of the question as written.
fn kept_from(reading: &Reading) -> usize {
    reading.retracted().checked_sub(1).map_or(0, |last| reading.place(last).1)
}

/// Whether two questions differ by `difference`, which must not depend on their order.
#[cfg(test)]
fn differ_both_ways(difference: impl Fn(&Reading, &Reading) -> Option<Sides>, a: &str, b: &str) -> bool {
    let (a, b) = (Reading::of(a), Reading::of(b));
    let differ = difference(&a, &b).is_some();
    assert_eq!(differ, difference(&b, &a).is_some());
    differ
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(a: &str, b: &str) -> bool {
        difference(&Comparison::of(a, b)).is_some()
    }

    #[test]
    fn a_correction_is_compared_by_what_it_ended_up_asking() {
        let asked = "How do I use --force, no wait, --no-force?";
        assert!(!differ(asked, "How do I use --no-force?"));
        assert!(differ(asked, "How do I use --force?"));
        let asked = "What is plan A, no sorry, plan B?";
        assert!(!differ(asked, "What is plan B?"));
        assert!(differ(asked, "What is plan A?"));
    }

    #[test]
    fn the_detail_names_the_codes_in_order() {
        let detail = difference(&Comparison::of("fix E0502", "fix E0505")).unwrap();
        assert_eq!(detail, "codes differ: `E0502` against `E0505`");
        let detail = difference(&Comparison::of("open it", "open /etc/hosts")).unwrap();
        assert_eq!(detail, "codes differ: none against `/etc/hosts`");
    }
}
