//! Which words of two questions match each other.
//!
//! Every word is matched with at most one word of the other question: first one with the same letters, then a
//! form of the same word, then a misspelling or relative. Of several equal matches, the nearest in relative
//! position is taken, and words that were not taken back come before those that were.

use super::reading::Reading;
use super::words::{is_content, rarity, related, stem};

/// A word with what the alignment needs to know about it.
#[derive(Debug, Clone, Copy)]
pub(in crate::verify) struct Token {
    /// Whether it carries content; see [`is_content`].
    pub(in crate::verify) content: bool,
    /// Whether the speaker may have taken it back.
    pub(in crate::verify) retracted: bool,
    /// How rare it is, from 0 to 1; 0 for function words.
    pub(in crate::verify) rarity: f32,
    /// The place of its match in the other question.
    pub(in crate::verify) partner: Option<u16>,
    /// Whether the two are the same word, and not merely related ones.
    pub(in crate::verify) exact: bool,
}

impl Token {
    /// The weight of a content word: the rarer it is, the more, and never zero.
    pub(in crate::verify) fn weight(&self) -> f32 {
        const LEAST: f32 = 0.2;
        LEAST + (1.0 - LEAST) * self.rarity
    }
}

/// The words of two questions with their matches.
#[derive(Debug)]
pub(in crate::verify) struct Alignment {
    /// The words of the question asked.
    pub(in crate::verify) asked: Vec<Token>,
    /// The words of the question that was answered.
    pub(in crate::verify) cached: Vec<Token>,
}

impl Alignment {
    /// Words beyond this many are not aligned, and count as unmatched content: the models that embed
    /// questions see no more, and every word is compared with every other.
    pub(in crate::verify) const LONGEST: usize = 256;

    pub(super) fn of(asked: &Reading, cached: &Reading) -> Self {
        let mut alignment = Self { asked: tokens(asked), cached: tokens(cached) };
        let lefts: Vec<&str> = (0..alignment.asked.len()).map(|at| stem(asked.text(at))).collect();
        let rights: Vec<&str> = (0..alignment.cached.len()).map(|at| stem(cached.text(at))).collect();
        alignment.pair(|i, j| asked.text(i) == cached.text(j), true);
        alignment.pair(|i, j| lefts[i] == rights[j], true);
        let contents: Vec<bool> = alignment.asked.iter().map(|token| token.content).collect();
        let others: Vec<bool> = alignment.cached.iter().map(|token| token.content).collect();
        alignment.pair(|i, j| contents[i] && others[j] && related(asked.text(i), cached.text(j)), false);
        alignment
    }

    /// Matches the remaining words that are `alike`, the kept ones before those that were taken back.
    fn pair(&mut self, alike: impl Fn(usize, usize) -> bool, exact: bool) {
        let (rows, columns) = (self.asked.len(), self.cached.len());
        for (left_retracted, right_retracted) in [(false, false), (false, true), (true, false), (true, true)]
        {
            for i in 0..rows {
                if self.asked[i].partner.is_some() || self.asked[i].retracted != left_retracted {
                    continue;
                }
                // Positions are compared as shares of the lengths, without dividing.
                let distance = |j: usize| (i * columns).abs_diff(j * rows);
                let nearest = (0..columns)
                    .filter(|&j| {
                        self.cached[j].partner.is_none() && self.cached[j].retracted == right_retracted
                    })
                    .filter(|&j| alike(i, j))
                    .min_by_key(|&j| distance(j));
                if let Some(j) = nearest {
                    self.asked[i].partner = u16::try_from(j).ok();
                    self.cached[j].partner = u16::try_from(i).ok();
                    self.asked[i].exact = exact;
                    self.cached[j].exact = exact;
                }
            }
        }
    }

    /// The matched content words that were not taken back, as places in the two questions, in the order
    /// asked.
    pub(in crate::verify) fn matches(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.asked.iter().enumerate().filter(|(_, token)| token.content && !token.retracted).filter_map(
            |(i, token)| {
                let j = usize::from(token.partner?);
                (!self.cached[j].retracted).then_some((i, j))
            },
        )
    }
}

/// The places of the content words that were not taken back and that the other question does not hold.
pub(in crate::verify) fn unmatched(tokens: &[Token]) -> impl Iterator<Item = (usize, &Token)> {
    tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| token.content && !token.retracted && token.partner.is_none())
}

fn tokens(reading: &Reading) -> Vec<Token> {
    reading
        .words()
        .take(Alignment::LONGEST)
        .enumerate()
        .map(|(at, word)| {
            let content = is_content(word.text);
            Token {
                content,
                retracted: reading.is_retracted(at),
                rarity: if content { rarity(word.text) } else { 0.0 },
                partner: None,
                exact: false,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_over(asked: &str, cached: &str) -> (Vec<String>, Vec<String>) {
        let (asked, cached) = (Reading::of(asked), Reading::of(cached));
        let alignment = Alignment::of(&asked, &cached);
        let texts = |reading: &Reading, tokens: &[Token]| {
            unmatched(tokens).map(|(at, _)| reading.text(at).to_owned()).collect::<Vec<_>>()
        };
        (texts(&asked, &alignment.asked), texts(&cached, &alignment.cached))
    }

    #[test]
    fn what_differs_is_left_over() {
        for (asked, cached, left, right) in [
            ("Who founded Warsaw?", "Who founded Krakow?", &["warsaw"][..], &["krakow"][..]),
            ("when was the treaty signed", "When did they sign the treaties?", &[], &[]),
            ("who is the presidnet of france", "Who is the president of France", &[], &[]),
            ("the city center of Paris", "the city centre of Paris", &[], &[]),
            ("red red wine", "red wine", &["red"], &[]),
        ] {
            let (asked_left, cached_left) = left_over(asked, cached);
            assert_eq!(asked_left, left, "{asked}");
            assert_eq!(cached_left, right, "{asked}");
        }
    }

    #[test]
    fn what_was_taken_back_matches_but_is_not_missed() {
        let asked = "When was Frankfurt ranked the 22nd city, no sorry it was Warsaw?";
        assert_eq!(left_over(asked, "When was Warsaw ranked the 22nd city?"), (vec![], vec![]));
        assert_eq!(
            left_over(asked, "When was Frankfurt ranked the 22nd city?"),
            (vec!["warsaw".into()], vec![])
        );
    }

    #[test]
    fn repeated_words_match_the_nearest() {
        let (asked, cached) = (Reading::of("x dog likes y dog"), Reading::of("z dog likes w dog"));
        let alignment = Alignment::of(&asked, &cached);
        assert_eq!(alignment.matches().collect::<Vec<_>>(), [(1, 1), (2, 2), (4, 4)]);
    }
}
