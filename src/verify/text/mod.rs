//! Two questions laid side by side, word by word: what guards and features look at.
//!
//! A [`Comparison`] reads each question once ([`reading`]) and aligns their words once ([`alignment`]);
//! whoever asks afterwards only reads. Nothing here judges whether the questions ask the same.

mod alignment;
mod reading;
mod words;

pub(super) use self::alignment::{Alignment, Token, unmatched};
pub(super) use self::reading::{Reading, Word};
pub(super) use self::words::{is_common, is_content, related, stem};

/// Two questions, read and aligned.
#[derive(Debug)]
pub(super) struct Comparison {
    /// The question asked.
    pub(super) asked: Reading,
    /// The question that was answered.
    pub(super) cached: Reading,
    /// Which words of the two belong together.
    pub(super) alignment: Alignment,
}

impl Comparison {
    /// Reads and aligns the two questions. Takes time in the product of their lengths, of which
    /// [`Alignment::LONGEST`] words each are aligned.
    pub(super) fn of(asked: &str, cached: &str) -> Self {
        let (asked, cached) = (Reading::of(asked), Reading::of(cached));
        let alignment = Alignment::of(&asked, &cached);
        Self { asked, cached, alignment }
    }
}
