//! What the guards know of languages other than English: closed classes of words, by language.
//!
//! A list is used for questions that are recognised as its language, so that Spanish `once` is eleven and
//! English `once` is not. Words that no other language has also count if the language is not known. Only
//! words that mean the same in nearly every question are listed, because vetoes of right answers cost hits.
//!
//! Chinese and Japanese are searched for strings instead, because it takes a dictionary to find where their
//! words end.

mod negation;
mod numerals;
mod opposites;
mod times;

pub(super) use self::negation::{Negation, negation};
pub(super) use self::numerals::{has_comma_decimals, number};
pub(super) use self::opposites::{PAIRS, WRITTEN_PAIRS};
pub(super) use self::times::{Times, time, written};

#[cfg(test)]
mod tests;
