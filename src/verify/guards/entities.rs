//! Whether one question has a name where the other has a different one: `Warsaw` against `Krakow`.
//!
//! A name is a word with a capital within its sentence, or, in text without capitals, a word that is rare in
//! English. It is swapped if it takes the place of a name that the other question does not hold, or if both
//! questions hold a capitalised name that the other lacks.

use crate::verify::text::{Comparison, Reading, Token, unmatched};

/// Words rarer than this may be names if nothing is capitalised.
const RARE: f32 = 0.62;

/// Which names are swapped for each other, if any.
pub(super) fn difference(comparison: &Comparison) -> Option<String> {
    let (i, j) = swapped(comparison)?;
    Some(format!("`{}` against `{}`", comparison.asked.text(i), comparison.cached.text(j)))
}

/// The places of two names, each of which is in only one of the questions.
pub(in crate::verify) fn swapped(comparison: &Comparison) -> Option<(usize, usize)> {
    let Comparison { asked, cached, alignment } = comparison;
    let lefts: Vec<(usize, &Token)> = names((asked, &alignment.asked), cached).collect();
    names((cached, &alignment.cached), asked).find_map(|(j, right)| {
        lefts.iter().find_map(|&(i, left)| {
            let capitalised = is_capitalised(asked, i) && is_capitalised(cached, j);
            let rare = left.rarity.min(right.rarity) >= RARE && same_slot(comparison, i, j);
            (capitalised || rare).then_some((i, j))
        })
    })
}

/// The names that `other` does not hold. A name that is only repeated more often here is not a different
/// name.
fn names<'a>(
    (reading, tokens): (&'a Reading, &'a [Token]),
    other: &'a Reading,
) -> impl Iterator<Item = (usize, &'a Token)> {
    unmatched(tokens).filter(move |(at, token)| {
        let text = reading.text(*at);
        let number = text.bytes().any(|byte| byte.is_ascii_digit());
        let is_name = !number && (is_capitalised(reading, *at) || token.rarity >= RARE);
        is_name && other.words().all(|word| word.text != text)
    })
}

/// Whether the word has a capital that is not explained by the beginning of a sentence.
fn is_capitalised(reading: &Reading, at: usize) -> bool {
    at > 0 && reading.get(at).is_some_and(|word| word.capitalised)
}

/// Whether the two words have the same place: their neighbours on both sides match each other, or both words
/// are at the beginning or the end.
pub(in crate::verify) fn same_slot(comparison: &Comparison, i: usize, j: usize) -> bool {
    let Comparison { asked, cached, alignment } = comparison;
    let same = |a: &str, b: &str| a == b;
    let partner = |at: usize, place: usize| {
        alignment.asked.get(at).and_then(|token| token.partner).is_some_and(|p| usize::from(p) == place)
    };
    let before = if i == 0 || j == 0 {
        i == j
    } else {
        partner(i - 1, j - 1) || same(asked.text(i - 1), cached.text(j - 1))
    };
    let after = partner(i + 1, j + 1) || same(asked.text(i + 1), cached.text(j + 1));
    before && after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(a: &str, b: &str) -> bool {
        difference(&Comparison::of(a, b)).is_some()
    }

    #[test]
    fn another_name_is_another_question() {
        for (a, b) in [
            ("When was Warsaw founded?", "When was Krakow founded?"),
            ("when was warsaw founded", "when was krakow founded"),
            ("Who was the wife of Napoleon?", "Who was the wife of Wellington?"),
            ("what is the capital of uruguay", "what is the capital of paraguay"),
            ("What did Tesla invent in Europe?", "What was invented in Europe by Edison?"),
        ] {
            assert!(differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn other_words_are_no_names() {
        for (a, b) in [
            ("When was Warsaw founded?", "When was Warsaw established?"),
            ("Who was the wife of Napoleon?", "Who was Napoleon's wife?"),
            ("When was Frankfurt, no sorry, Warsaw founded?", "When was Warsaw founded?"),
            ("how do i reset my password", "how can i change my password"),
            ("Which city is the capital?", "Capital city?"),
            ("what is the capital of uruguay", "what is the captial of urugay"),
            ("Why is Rome Rome?", "Why is Rome called Great?"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }
}
