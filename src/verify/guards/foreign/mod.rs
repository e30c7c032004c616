//! What the guards know of other languages than English: closed classes of words, by language.
//!
//! A list is used for questions that are told to be in its language, so that Spanish `once` is eleven and English `once` is
//! not. Words that no other language has count where the language is not known, too. Only words that mean the same in
//! nearly every question are here: what vetoes right answers costs hits.
//!
//! Chinese and Japanese are searched for strings instead, for where their words end takes a dictionary to tell.

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
