//! Two questions side by side, word by word, for guards and features.
//!
//! A [`Comparison`] reads each question once ([`reading`]) and aligns their words once ([`alignment`]);
//! guards and features only use the result. Nothing here judges whether the questions ask the same.

mod alignment;
mod digits;
mod language;
mod reading;
mod unspaced;
mod words;

pub(super) use self::alignment::{Alignment, Token, unmatched};
pub(super) use self::digits::digit;
pub(super) use self::language::{Language, is_function_word, language, script};
pub(super) use self::reading::{Reading, Word};
pub(super) use self::unspaced::is_unspaced;
pub(super) use self::words::{is_common, is_content, related, stem};

/// Two questions, read and aligned.
#[derive(Debug)]
pub(super) struct Comparison {
    /// The question asked.
    pub(super) asked: Reading,
    /// The question that was answered.
    pub(super) cached: Reading,
    /// Which words of the two match each other.
    pub(super) alignment: Alignment,
}

impl Comparison {
    /// Reads and aligns the two questions. Takes time proportional to the product of their lengths, but at
    /// most [`Alignment::LONGEST`] words of each are aligned.
    pub(super) fn of(asked: &str, cached: &str) -> Self {
        let (asked, cached) = (Reading::of(asked), Reading::of(cached));
        let alignment = Alignment::of(&asked, &cached);
        Self { asked, cached, alignment }
    }

    /// Whether the questions share nearly all of their content: one has at most a word or two that the other
    /// lacks, and the other has hardly more. Numbers do not count, nor do function words of the language.
    pub(super) fn is_nearly_verbatim(&self) -> bool {
        let lacks = |reading: &Reading, tokens| -> f32 {
            let is_number = |at| reading.text(at).bytes().any(|byte| byte.is_ascii_digit());
            let asks =
                |at| reading.foreign().is_some_and(|language| is_function_word(reading.text(at), language));
            unmatched(tokens)
                .filter(|(at, _)| !is_number(*at) && !asks(*at))
                .map(|(_, token)| token.weight())
                .sum()
        };
        let (asked, cached) =
            (lacks(&self.asked, &self.alignment.asked), lacks(&self.cached, &self.alignment.cached));
        asked.min(cached) <= 1.0 && asked.max(cached) <= 2.0
    }
}
