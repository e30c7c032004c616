//! Numbers joined into one: fractions, ratios, dimensions, powers. Their order counts, unlike that of loose
//! numbers.
//!
//! They are compared only if both questions hold compounds of one kind: `1/2` in one may be `half` in the
//! other.

use super::{MOST, Sides, quoted};
use crate::verify::text::Reading;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `1/2`, also dates.
    Fraction,
    /// `1:2`.
    Ratio,
    /// `2x4`.
    Dimensions,
    /// `x^2`, `5²`.
    Power,
}

#[derive(Debug, PartialEq, Eq)]
struct Compound {
    kind: Kind,
    text: String,
}

pub(super) fn difference(asked: &Reading, cached: &Reading) -> Option<Sides> {
    let (left, right) = (compounds(asked), compounds(cached));
    left.iter().filter(|one| !right.contains(one)).find_map(|one| {
        let other = right.iter().find(|other| other.kind == one.kind && !left.contains(other))?;
        Some((quoted(Some(&one.text)), quoted(Some(&other.text))))
    })
}

fn compounds(reading: &Reading) -> Vec<Compound> {
    let mut compounds = Vec::new();
    let mut at = reading.retracted();
    while at < reading.len() && compounds.len() < MOST {
        let within = within_word(reading.text(at));
        let (compound, words) = match within {
            Some(compound) => (Some(compound), 1),
            None => across_words(reading, at).map_or((None, 1), |(compound, words)| (Some(compound), words)),
        };
        compounds.extend(compound);
        at += words;
    }
    compounds
}

/// `2x4`, `5²`, `m³`.
fn within_word(word: &str) -> Option<Compound> {
    if word.is_ascii() && !word.contains('x') {
        return None;
    }
    let parts: Vec<&str> = word.split(['x', '×']).collect();
    if parts.len() > 1 && parts.iter().all(|part| is_number(part)) {
        return Some(Compound { kind: Kind::Dimensions, text: parts.join("x") });
    }
    let base = word.trim_end_matches(|c| superscript(c).is_some());
    let power: String = word[base.len()..].chars().filter_map(superscript).collect();
    (!power.is_empty() && !base.is_empty())
        .then(|| Compound { kind: Kind::Power, text: format!("{base}^{power}") })
}

/// `1/2`, `1:2`, `2 x 4`, `2 by 4`, `x^2`, and how many words they take.
fn across_words(reading: &Reading, at: usize) -> Option<(Compound, usize)> {
    let first = reading.text(at);
    let joint = reading.gap_after(at);
    if joint == "^" || joint == "**" {
        let power = reading.text(at + 1);
        return Some((Compound { kind: Kind::Power, text: format!("{first}^{power}") }, 2));
    }
    if !is_number(first) {
        return None;
    }
    let (kind, step, sign) = match (joint.trim(), reading.text(at + 1)) {
        ("/" | "⁄", _) => (Kind::Fraction, 1, "/"),
        (":", _) => (Kind::Ratio, 1, ":"),
        ("×" | "*", _) => (Kind::Dimensions, 1, "x"),
        ("", "x" | "by") => (Kind::Dimensions, 2, "x"),
        _ => return None,
    };
    let mut text = first.to_owned();
    let mut words = 1;
    while words < MOST
        && is_number(reading.text(at + words - 1 + step))
        && continues(reading, at + words - 1, kind)
    {
        text.push_str(sign);
        text.push_str(reading.text(at + words - 1 + step));
        words += step;
    }
    (words > 1).then_some((Compound { kind, text }, words))
}

/// Whether the joint after `at` continues with a compound of this kind.
fn continues(reading: &Reading, at: usize, kind: Kind) -> bool {
    match (kind, reading.gap_after(at).trim()) {
        (Kind::Fraction, joint) => matches!(joint, "/" | "⁄"),
        (Kind::Ratio, joint) => joint == ":",
        (Kind::Dimensions, "") => matches!(reading.text(at + 1), "x" | "by"),
        (Kind::Dimensions, joint) => matches!(joint, "×" | "*"),
        (Kind::Power, _) => false,
    }
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// The digit of an exponent.
fn superscript(character: char) -> Option<char> {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    ('0'..='9').zip(DIGITS).find(|(_, digit)| *digit == character).map(|(plain, _)| plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::guards::codes::differ_both_ways;

    fn differ(a: &str, b: &str) -> bool {
        differ_both_ways(difference, a, b)
    }

    #[test]
    fn the_order_of_joined_numbers_counts() {
        for (a, b) in [
            ("mix 1:2", "mix 2:1"),
            ("take 1/2", "take 1/3"),
            ("a 2x4 board", "a 4x2 board"),
            ("a 2 x 4 board", "a 4 by 2 board"),
            ("plot x^2", "plot x^3"),
            ("plot x²", "plot x³"),
            ("price of a m²", "price of a m³"),
            ("on 12/05/2020", "on 05/12/2020"),
            ("2x4x6", "2x6x4"),
            ("5² and 1/2", "5³ and 1/2"),
        ] {
            assert!(differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn one_compound_has_many_spellings() {
        for (a, b) in [
            ("a 2x4 board", "a 2 by 4 board"),
            ("a 2 × 4 board", "a 2x4 board"),
            ("plot x^2", "plot x²"),
            ("take 1/2", "take half"),
            ("1/2 or 2/1", "2/1 or 1/2"),
            ("mix 1:2, no wait, 2:1", "mix 2:1"),
            ("x", "max x"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }
}
