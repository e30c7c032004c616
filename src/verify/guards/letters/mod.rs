//! Whether words differ in a way that the models cannot see: in accents or in case.
//!
//! The bundled models read text in lower case and without marks, so that `Forderung` and `Förderung`, or `US`
//! and `us`, are one word to them: the similarity is 1, and no score distinguishes them. This guard compares
//! such words as they were written. A difference counts if it can change the word, because a miss only costs
//! another answer and a wrong answer costs more; lazy typing does not count. The rules are in [`marks`] and
//! [`case`].
//!
//! Composed and decomposed, full-width and ligature forms are one spelling. Words that differ in more than
//! marks and case are left to the other guards and to the models. Words that were taken back are not
//! compared.

mod case;
mod marks;

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use self::case::Style;
use crate::verify::text::{Alignment, Comparison, Reading};

/// Which words differ in their marks or case, if any.
pub(super) fn difference(comparison: &Comparison) -> Option<String> {
    let (asked, cached) = (&comparison.asked, &comparison.cached);
    let (mut left, mut right) = (kept(asked), kept(cached));
    // A word that both questions hold in the same spelling is not a difference, wherever it is.
    left.retain(|&i| {
        let same = right.iter().position(|&j| asked.written(i) == cached.written(j));
        same.map(|at| right.remove(at)).is_none()
    });
    if left.is_empty() || right.is_empty() {
        return None;
    }
    let (left, right) = (Written::all(asked, &left), Written::all(cached, &right));
    let styles = (Style::of(asked), Style::of(cached));
    let mut taken = vec![false; right.len()];
    left.iter().find_map(|one| {
        // The first with the first, the second with the second: the same pairs from either side.
        let at = right.iter().zip(&taken).position(|(other, taken)| !taken && other.folded == one.folded)?;
        taken[at] = true;
        let other = &right[at];
        let differs = marks::differ(one, other) || case::differ((one, styles.0), (other, styles.1));
        let (one, other) = (asked.written(one.at), cached.written(other.at));
        differs.then(|| format!("letters differ: `{one}` against `{other}`"))
    })
}

/// The places of the words that were not taken back, up to the number that is aligned.
fn kept(reading: &Reading) -> Vec<usize> {
    (reading.retracted()..reading.len()).take(Alignment::LONGEST).collect()
}

/// A word as it was written, in compatibility form.
#[derive(Debug)]
struct Written<'a> {
    reading: &'a Reading,
    at: usize,
    text: Cow<'a, str>,
    /// The word as the models see it.
    folded: Cow<'a, str>,
}

impl<'a> Written<'a> {
    fn all(reading: &'a Reading, places: &[usize]) -> Vec<Self> {
        places.iter().map(|&at| Self::of(reading, at)).collect()
    }

    fn of(reading: &'a Reading, at: usize) -> Self {
        let text = reading.written(at);
        if text.is_ascii() {
            // The reading already has it in lower case.
            return Self { reading, at, text: text.into(), folded: reading.text(at).into() };
        }
        let text: String = text.chars().map(|c| if c == '’' { '\'' } else { c }).nfkc().collect();
        let folded = text.to_lowercase().nfd().filter(|c| !is_combining_mark(*c)).collect();
        Self { reading, at, text: text.into(), folded: Cow::Owned(folded) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(a: &str, b: &str) -> bool {
        difference(&Comparison::of(a, b)).is_some()
    }

    #[test]
    fn spellings_of_one_text_are_the_same() {
        for (a, b) in [
            ("a caf\u{e9}", "a cafe\u{301}"),
            ("ｗｉｆｉ ｐａｓｓｗｏｒｄ", "wifi password"),
            ("a \u{fb01}ne day", "a fine day"),
            ("don’t stop", "don't stop"),
            ("Straße", "Strasse"),
            ("Förderung", "Foerderung"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn what_was_taken_back_is_not_compared() {
        assert!(!differ("the Forderung, no wait, the Förderung", "the Förderung"));
        assert!(differ("the Forderung, no wait, the Förderung", "the Forderung"));
    }

    #[test]
    fn words_that_both_questions_hold_are_no_difference() {
        assert!(!differ("can the US help us", "help us can the US"));
        assert!(differ("tell us of the US", "tell us of us"));
    }

    #[test]
    fn the_detail_names_the_words_in_order() {
        let detail = difference(&Comparison::of("eine Forderung", "eine Förderung")).unwrap();
        assert_eq!(detail, "letters differ: `Forderung` against `Förderung`");
    }
}
