//! Letters that name one of several things: `Plan A`, `vitamin D`, `blood group AB-`, `section 4(b)`, `C++`.
//!
//! A capital letter on its own is a label, and so is a small letter after a [noun](NOUNS) that takes labels;
//! `a`, `i` and the rest of contractions are not. The questions must not hold two labels that contradict each
//! other. If both questions hold the noun and one of them has its letter, the letter counts.

use super::{MOST, Sides, quoted};
use crate::verify::text::Reading;

/// Nouns whose things are named by a letter after them.
#[rustfmt::skip]
const NOUNS: &[&str] = &[
    "plan", "type", "vitamin", "class", "hepatitis", "section", "group", "option", "grade", "version", "part", "team", "appendix",
    "exhibit", "schedule", "category", "influenza", "strep", "model", "tier", "building", "gate", "terminal", "zone", "variant", "drive",
    "blood", "series", "league", "column", "row", "route", "answer", "choice", "annex", "paragraph", "clause", "apartment", "room", "medicare",
];

#[derive(Debug, Clone, PartialEq, Eq)]
struct Label<'a> {
    letter: String,
    noun: &'a str,
}

pub(super) fn difference(asked: &Reading, cached: &Reading) -> Option<Sides> {
    let (left, right) = (missing(asked, cached), missing(cached, asked));
    if let (Some(one), Some(other)) = (left.first(), right.first()) {
        return Some((quoted(Some(&one.letter)), quoted(Some(&other.letter))));
    }
    let named = |labels: &[Label<'_>], other: &Reading| {
        labels.iter().find(|label| lacks_letter(other, label.noun)).map(|label| label.letter.clone())
    };
    let (left, right) = (named(&left, cached), named(&right, asked));
    (left.is_some() || right.is_some()).then(|| (quoted(left.as_deref()), quoted(right.as_deref())))
}

/// The labels of `reading` that `other` does not hold in either case.
fn missing<'a>(reading: &'a Reading, other: &Reading) -> Vec<Label<'a>> {
    let mut labels = labels(reading);
    if !labels.is_empty() {
        let kept = self::labels(other);
        labels.retain(|label| !kept.contains(label) && !kept.iter().any(|kept| kept.letter == label.letter));
        // A small letter anywhere may be the same label, as in "a program in c".
        labels.retain(|label| {
            let same = |at: usize| letter_at(other, at).is_some_and(|letter| letter == label.letter);
            !(other.retracted()..other.len()).any(same)
        });
    }
    labels
}

fn labels(reading: &Reading) -> Vec<Label<'_>> {
    (reading.retracted()..reading.len()).filter_map(|at| label_at(reading, at)).take(MOST).collect()
}

fn label_at(reading: &Reading, at: usize) -> Option<Label<'_>> {
    let letter = letter_at(reading, at)?;
    let before = reading.text_before(at);
    let noun = if NOUNS.contains(&before) && at > reading.retracted() { before } else { "" };
    let word = reading.get(at)?;
    let bare = letter.len() == word.text.len();
    let joins = |c: char| matches!(c, '.' | '&' | '’' | '\'' | '/' | '-' | '=');
    // Initials and abbreviations (`J. R.`, `A.I.`, `R&D`, `T-shirt`, `w/o`) are no labels.
    let initial = bare
        && (reading.gap_after(at).starts_with(joins) && at + 1 < reading.len()
            || reading.gap_before(at).ends_with(joins));
    let article = word.text == "a" && noun.is_empty() && bare;
    // "Which type a person is": more words follow an article directly; a letter comes before a pause or is a
    // capital.
    let follows = !word.capitalised && word.text == "a" && bare && !reading.is_paused_at(at + 1);
    let counts = match word.text {
        "i" => !bare,
        _ if is_subsection(reading, at) => true,
        _ if initial || article || follows => false,
        _ if !bare => true,
        "s" | "t" | "d" | "m" | "u" | "r" | "n" | "b" | "c" | "y" | "k" | "x" | "o" | "w" | "v" | "e"
        | "p" | "q" => {
            word.capitalised && bare && !matches!(word.text, "x" | "y" | "u" | "q") || !noun.is_empty()
        }
        _ => word.capitalised || !noun.is_empty(),
    };
    counts.then_some(Label { letter, noun })
}

/// Whether the letter is the `(a)` of `4(a)`.
fn is_subsection(reading: &Reading, at: usize) -> bool {
    let number = reading.text_before(at).starts_with(|c: char| c.is_ascii_digit());
    number && reading.gap_before(at).ends_with('(') && reading.gap_after(at).starts_with(')')
}

/// The letter at `at` with the signs that belong to it: `c++`, `c#`, `a+`, `ab-`.
fn letter_at(reading: &Reading, at: usize) -> Option<String> {
    let word = reading.text(at);
    let blood = word == "ab";
    let single = word.len() == 1 && word.as_bytes()[0].is_ascii_alphabetic();
    if !single && !blood {
        return match word {
            "cpp" => Some("c++".into()),
            "csharp" => Some("c#".into()),
            _ => None,
        };
    }
    let mark = mark(reading, at);
    (single || !mark.is_empty() || reading.written(at) == "AB").then(|| format!("{word}{mark}"))
}

/// The sign right after the letter at `at`, or the word for the sign.
fn mark(reading: &Reading, at: usize) -> &'static str {
    let gap = reading.gap_after(at);
    let next = reading.text(at + 1);
    let signs = ["++", "#", "+", "-", "−", "*"];
    let sign = signs.into_iter().find(|sign| {
        // If more follows without a space, the sign joins the two, as in `e-mail` and `a+b`.
        gap.strip_prefix(sign).is_some_and(|rest| !rest.is_empty() || at + 1 >= reading.len())
    });
    match (sign, next) {
        (Some("−"), _) => "-",
        (Some(sign), _) => sign,
        (None, "sharp") if reading.text(at) == "c" => "#",
        (None, "plus") if reading.text(at + 2) == "plus" => "++",
        (None, "positive") if gap == " " => "+",
        (None, "negative") if gap == " " => "-",
        _ => "",
    }
}

/// Whether `noun` is in the question, and nowhere with a letter or number after it.
fn lacks_letter(reading: &Reading, noun: &str) -> bool {
    let mut places = (0..reading.len()).filter(|&at| !noun.is_empty() && reading.text(at) == noun).peekable();
    places.peek().is_some()
        && places.all(|at| {
            let next = reading.text(at + 1);
            // An article after the noun can only be the letter of a label that the other question would hold,
            // too.
            (next.len() != 1 || next == "a") && !next.starts_with(|c: char| c.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::guards::codes::differ_both_ways;

    fn differ(a: &str, b: &str) -> bool {
        differ_both_ways(difference, a, b)
    }

    #[test]
    fn another_letter_is_another_thing() {
        for (a, b) in [
            ("What does Plan A cover?", "What does Plan B cover?"),
            ("what is plan a", "what is plan b"),
            ("foods with vitamin B", "foods with vitamin D"),
            ("hepatitis a vaccine", "hepatitis B vaccine"),
            ("is blood group A+ rare", "is blood group A- rare"),
            ("is blood group AB rare", "is blood group A rare"),
            ("blood type O positive", "blood type O negative"),
            ("a class C licence", "a class B licence"),
            ("loops in C", "loops in C++"),
            ("loops in C#", "loops in C++"),
            ("see section 4(a)", "see section 4(b)"),
            ("vitamin D deficiency", "vitamin deficiency"),
            ("Medicare Part A", "Medicare Part B"),
        ] {
            assert!(differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn letters_that_name_nothing_are_none() {
        for (a, b) in [
            ("loops in C", "loops in c"),
            ("loops in C sharp", "loops in c#"),
            ("learn cpp", "learn C++"),
            ("what is a plan", "what is the plan"),
            ("A plan I like", "the plan we like"),
            ("Which type a person is", "Which type is a person"),
            ("the A.I. of J. R. R. Tolkien", "the artificial intelligence of Tolkien"),
            ("blood type O+", "blood type O positive"),
            ("why r u here", "why are you here"),
            ("e-mail and T-shirt", "email and tshirt"),
            ("R&D costs", "costs of research"),
            ("programming in C", "programming"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }
}
