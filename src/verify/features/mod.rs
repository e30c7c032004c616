//! How much the words of two questions suggest that they ask the same: named numbers, in microseconds.
//!
//! [`Features::of`] is a pure function of the two questions and their similarity. It judges nothing: a
//! [`Calibration`](super::Calibration) weighs the numbers, and `why` shows both. Vetoes are given as 0 or 1,
//! masses are sums of [rarities](rarity) of content words.
//!
//! Words that a speaker took back ("Frankfurt, no sorry, Warsaw") can match but never count as missing.

mod masses;
mod shapes;

use self::masses::Masses;
use super::guards::{self, Guard};
use super::text::Comparison;

/// How many features there are.
pub(crate) const FEATURES: usize = NAMES.len();

/// Names of the features, in their order.
const NAMES: [&str; 32] = [
    "similarity",
    "numbers",
    "units",
    "dates",
    "negation",
    "antonyms",
    "entities",
    "order",
    "question_word",
    "missing_asked",
    "missing_cached",
    "rarest_asked",
    "rarest_cached",
    "swapped",
    "overlap",
    "substitutions",
    "related",
    "function_words",
    "prepositions",
    "inversions",
    "neighbors",
    "length",
    "length_ratio",
    "corrected",
    "letters",
    "same_start",
    "same_end",
    "same_kind",
    "common_run",
    "rarest_shared",
    "entry_right",
    "entry_wrong",
];

/// What two questions have in common and how they differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Features([f32; FEATURES]);

impl Features {
    /// The features of a new question and a cached one with this cosine similarity.
    ///
    /// Both questions must be [normalised](crate::key); a similarity of NaN counts as 0. Takes about 10 µs
    /// for questions of 12 words.
    pub fn of(asked: &str, cached: &str, similarity: f32) -> Self {
        Self::compared(&Comparison::of(asked, cached), similarity)
    }

    pub(super) fn compared(comparison: &Comparison, similarity: f32) -> Self {
        let vetoed = |guard: Guard| f32::from(u8::from(guard.difference(comparison).is_some()));
        let masses = Masses::of(comparison);
        Self([
            if similarity.is_nan() { 0.0 } else { similarity.clamp(-1.0, 1.0) },
            vetoed(Guard::Numbers),
            vetoed(Guard::Units),
            vetoed(Guard::Dates),
            vetoed(Guard::Negation),
            vetoed(Guard::Antonyms),
            vetoed(Guard::Entities),
            vetoed(Guard::Order),
            vetoed(Guard::QuestionWord),
            masses.missing_asked,
            masses.missing_cached,
            masses.rarest_asked,
            masses.rarest_cached,
            masses.missing_asked.min(masses.missing_cached),
            masses.overlap,
            masses.substitutions,
            masses.related,
            masses.function_words,
            masses.prepositions,
            guards::inversions(comparison),
            masses.neighbors,
            masses.length,
            masses.length_ratio,
            f32::from(u8::from(comparison.asked.retracted() > 0 || comparison.cached.retracted() > 0)),
            shapes::letters(comparison),
            shapes::same_start(comparison),
            shapes::same_end(comparison),
            shapes::same_kind(comparison),
            shapes::common_run(comparison),
            masses.rarest_shared,
            0.0,
            0.0,
        ])
    }

    /// Adds how often the cached answer was judged right and wrong before; both are 0 otherwise. The features
    /// are the logarithms of these counts plus one, because the second time says less than the first.
    #[must_use]
    pub fn with_record(mut self, right: u64, wrong: u64) -> Self {
        let [.., entry_right, entry_wrong] = &mut self.0;
        (*entry_right, *entry_wrong) = ((right as f32).ln_1p(), (wrong as f32).ln_1p());
        self
    }

    /// The names of the features, in the order of [`values`](Self::values).
    pub fn names() -> &'static [&'static str] {
        &NAMES
    }

    /// The values, in the order of [`names`](Self::names).
    pub fn values(&self) -> &[f32] {
        &self.0
    }

    /// The value of the feature named `name`, if there is one.
    pub fn value(&self, name: &str) -> Option<f32> {
        NAMES.iter().position(|known| *known == name).map(|at| self.0[at])
    }

    /// Each name with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, f32)> + '_ {
        NAMES.into_iter().zip(self.0)
    }
}
