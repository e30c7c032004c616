//! How much of each question is also in the other one.

use crate::verify::guards::same_slot;
use crate::verify::text::{Comparison, Reading, Token, unmatched};

/// Sums over the words of two aligned questions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Masses {
    /// Content of the question asked that the cached one lacks.
    pub(super) missing_asked: f32,
    /// Content of the cached question that the one asked lacks.
    pub(super) missing_cached: f32,
    /// The heaviest of the words in `missing_asked`.
    pub(super) rarest_asked: f32,
    /// The heaviest of the words in `missing_cached`.
    pub(super) rarest_cached: f32,
    /// The heaviest of the words that both hold.
    pub(super) rarest_shared: f32,
    /// The share of all content that both hold, in `0.0..=1.0`; words that are only related count half.
    pub(super) overlap: f32,
    /// Content words that take the place of others, weighted by the lighter of the two.
    pub(super) substitutions: f32,
    /// The weight of matches that are only related, such as misspellings.
    pub(super) related: f32,
    /// The share of function words without a match, in `0.0..=1.0`.
    pub(super) function_words: f32,
    /// The share of matched content words that have different prepositions before them, in `0.0..=1.0`.
    pub(super) prepositions: f32,
    /// The share of neighbouring matched words that are also neighbours in the other question, in
    /// `0.0..=1.0`.
    pub(super) neighbors: f32,
    /// Logarithm of one plus the lesser number of content words.
    pub(super) length: f32,
    /// How much longer one question is: the absolute logarithm of the ratio of content words.
    pub(super) length_ratio: f32,
}

impl Masses {
    pub(super) fn of(comparison: &Comparison) -> Self {
        let alignment = &comparison.alignment;
        let (missing_asked, rarest_asked) = missing(&alignment.asked);
        let (missing_cached, rarest_cached) = missing(&alignment.cached);
        let related = shared(&alignment.cached, |token| !token.exact);
        let common = shared(&alignment.cached, |token| token.exact) + related / 2.0;
        let (asked, cached) = (content_words(&alignment.asked), content_words(&alignment.cached));
        Self {
            missing_asked,
            missing_cached,
            rarest_asked,
            rarest_cached,
            rarest_shared: heaviest_shared(&alignment.cached),
            overlap: share(2.0 * common, 2.0 * common + related + missing_asked + missing_cached, 1.0),
            substitutions: substitutions(comparison),
            related,
            function_words: function_words(comparison),
            prepositions: prepositions(comparison),
            neighbors: neighbors(comparison),
            length: (1.0 + asked.min(cached)).ln(),
            length_ratio: ((1.0 + asked) / (1.0 + cached)).ln().abs(),
        }
    }
}

fn missing(tokens: &[Token]) -> (f32, f32) {
    unmatched(tokens)
        .map(|(_, token)| token.weight())
        .fold((0.0, 0.0), |(sum, most), w| (sum + w, w.max(most)))
}

fn shared(tokens: &[Token], counts: impl Fn(&Token) -> bool) -> f32 {
    tokens
        .iter()
        .filter(|token| token.content && token.partner.is_some() && counts(token))
        .map(Token::weight)
        .sum()
}

fn heaviest_shared(tokens: &[Token]) -> f32 {
    tokens
        .iter()
        .filter(|token| token.content && token.partner.is_some())
        .map(Token::weight)
        .fold(0.0, f32::max)
}

fn content_words(tokens: &[Token]) -> f32 {
    tokens.iter().filter(|token| token.content && !token.retracted).count() as f32
}

fn share(part: f32, whole: f32, of_nothing: f32) -> f32 {
    if whole > 0.0 { part / whole } else { of_nothing }
}

fn substitutions(comparison: &Comparison) -> f32 {
    let alignment = &comparison.alignment;
    unmatched(&alignment.asked)
        .map(|(i, left)| {
            unmatched(&alignment.cached)
                .filter(|&(j, _)| same_slot(comparison, i, j))
                .map(|(_, right)| left.weight().min(right.weight()))
                .fold(0.0, f32::max)
        })
        .sum()
}

fn function_words(comparison: &Comparison) -> f32 {
    let alignment = &comparison.alignment;
    let (mut all, mut alone) = (0.0, 0.0);
    for token in
        alignment.asked.iter().chain(&alignment.cached).filter(|token| !token.content && !token.retracted)
    {
        all += 1.0;
        alone += f32::from(u8::from(token.partner.is_none()));
    }
    share(alone, all, 0.0)
}

fn prepositions(comparison: &Comparison) -> f32 {
    let (mut all, mut other) = (0.0, 0.0);
    for (i, j) in comparison.alignment.matches() {
        let pair = (preposition(&comparison.asked, i), preposition(&comparison.cached, j));
        if let (Some(left), Some(right)) = pair {
            all += 1.0;
            other += f32::from(u8::from(left != right));
        }
    }
    share(other, all, 0.0)
}

/// The preposition that governs the word at `at`: right before it or before its article.
fn preposition(reading: &Reading, at: usize) -> Option<&str> {
    #[rustfmt::skip]
    const PREPOSITIONS: &[&str] = &[
        "in", "on", "at", "by", "to", "from", "for", "with", "without", "into", "onto", "than", "of", "through", "during", "within",
        "between", "among", "against", "towards", "over", "under", "before", "after", "since", "until", "near", "outside", "inside",
    ];
    (1..=2).find_map(|back| {
        at.checked_sub(back).map(|place| reading.text(place)).filter(|w| PREPOSITIONS.contains(w))
    })
}

fn neighbors(comparison: &Comparison) -> f32 {
    let matches: Vec<(usize, usize)> = comparison.alignment.matches().collect();
    let mut places: Vec<usize> = matches.iter().map(|&(_, j)| j).collect();
    places.sort_unstable();
    let rank = |j: usize| places.partition_point(|&place| place < j);
    let kept = matches.windows(2).filter(|pair| rank(pair[0].1) + 1 == rank(pair[1].1)).count();
    share(kept as f32, matches.len().saturating_sub(1) as f32, 1.0)
}
