//! Whether two questions name the same codes: tokens and signs of which every character counts.
//!
//! Models read `--force` as `force`, `-18` as `18` and `C++` as `C` with some punctuation; to a computer, a chemist
//! or a thermometer these are other things. Four kinds are compared:
//!
//! - [tokens]: paths, flags, identifiers, addresses, file names, serial numbers, hexadecimal numbers,
//! - [signs] of numbers, and what they are compared by: `> 100`, `over 100`, `at most 100`,
//! - [compounds], whose order counts: `2x4`, `1:2`, `x^2`,
//! - [labels]: letters that name one of several things, such as `Plan A`, `vitamin D` or `C++`.
//!
//! A *strong* code must stand in both questions; of any other, the questions may only not hold two that contradict each
//! other. Where a question takes itself back, its codes are those after the correction; those before it still
//! excuse the other question for holding them, unless one of their kind came instead.

mod compounds;
mod labels;
mod signs;
mod tokens;

use crate::verify::text::{Comparison, Reading};

/// Which codes differ, if some do.
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

/// More codes than this are a listing; the same number of both questions keeps a question equal to itself.
const MOST: usize = 64;

fn quoted(code: Option<&str>) -> String {
    /// Characters of a code that are shown.
    const SHOWN: usize = 40;
    code.map_or_else(|| "none".into(), |code| format!("`{}`", code.chars().take(SHOWN).collect::<String>()))
}

/// Where the text begins that nobody took back, in bytes of the question as written.
fn kept_from(reading: &Reading) -> usize {
    reading.retracted().checked_sub(1).map_or(0, |last| reading.place(last).1)
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
