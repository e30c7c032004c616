//! An embedder without a model, for tests.
//!
//! Guarantees the same vectors on every machine and in every version, and that texts with common words are
//! near each other. Does not understand anything: to it, "car" and "automobile" are unrelated.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;

use super::{Embedded, Embedder, ModelInfo};
use crate::embedding::Embedding;
use crate::error::{Error, ErrorKind, Result};

/// How much a pair of neighboring words weighs relative to a word: enough for word order to matter.
const PAIR_WEIGHT: f32 = 0.5;

/// A deterministic embedder for tests: a hash of words and word pairs, no model.
///
/// Case and punctuation do not count. A text without any word is hashed as it stands.
#[derive(Debug)]
pub struct FakeEmbedder {
    model: ModelInfo,
    broken: AtomicBool,
    embedded: AtomicUsize,
}

impl FakeEmbedder {
    /// A fake of `dimensions` dimensions; with fewer than 64, unrelated texts look alike by chance.
    ///
    /// # Panics
    ///
    /// If `dimensions` is 0 or more than [`MAX_DIMENSIONS`](crate::embedding::MAX_DIMENSIONS).
    pub fn new(dimensions: usize) -> Self {
        assert!((1..=crate::embedding::MAX_DIMENSIONS).contains(&dimensions), "{dimensions} dimensions");
        Self {
            model: ModelInfo::new("fake", "1", dimensions),
            broken: AtomicBool::new(false),
            embedded: AtomicUsize::new(0),
        }
    }

    /// From now on every call fails, or works again.
    pub fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    /// How many texts it has embedded.
    pub fn embedded(&self) -> usize {
        self.embedded.load(Ordering::SeqCst)
    }

    fn vector(&self, text: &str) -> Result<Embedding> {
        let mut vector = vec![0.0; self.model.dimensions];
        let lower = text.to_lowercase();
        let words: Vec<&str> = lower
            .split(|character: char| !character.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        for word in &words {
            add(&mut vector, hash(&[word]), 1.0);
        }
        for pair in words.windows(2) {
            add(&mut vector, hash(pair), PAIR_WEIGHT);
        }
        if vector.iter().all(|&component| component == 0.0) {
            // No word, or words that cancel each other out: any direction will do, as long as it depends on
            // the text.
            let component = component(hash(&[text]), vector.len());
            vector[component] = 1.0;
        }
        Ok(Embedding::new(&vector)?)
    }
}

#[async_trait]
impl Embedder for FakeEmbedder {
    fn model(&self) -> &ModelInfo {
        &self.model
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<Embedded>> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Embedding, "the fake embedder is set to fail"));
        }
        self.embedded.fetch_add(texts.len(), Ordering::SeqCst);
        texts.iter().map(|text| self.vector(text).map(Embedded::Vector)).collect()
    }
}

/// Spreads a feature over eight components with random signs, so that two features seldom meet.
fn add(vector: &mut [f32], seed: u64, weight: f32) {
    let mut state = seed;
    for _ in 0..8 {
        state = mix(state);
        let component = component(state >> 1, vector.len());
        vector[component] += if state & 1 == 0 { weight } else { -weight };
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the remainder is below a usize")]
fn component(hash: u64, dimensions: usize) -> usize {
    (hash % dimensions as u64) as usize
}

/// FNV-1a: std's hashers may change between versions, and these vectors must not.
fn hash(words: &[&str]) -> u64 {
    let bytes = words.iter().flat_map(|word| word.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The output function of splitmix64.
fn mix(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn similarity(a: &str, b: &str) -> f32 {
        let fake = FakeEmbedder::new(256);
        fake.vector(a).unwrap().similarity(&fake.vector(b).unwrap())
    }

    #[test]
    fn shared_words_are_near_and_strangers_far() {
        assert!((similarity("How do I reset my password?", "how do i reset my password") - 1.0).abs() < 1e-6);
        assert!(similarity("How do I reset my password?", "How do I reset a password?") > 0.6);
        assert!(similarity("How do I reset my password?", "Opening hours on Sunday") < 0.3);
    }

    #[test]
    fn word_order_shows() {
        let similarity = similarity("dog bites man", "man bites dog");
        assert!((0.5..0.99).contains(&similarity), "{similarity}");
    }

    #[test]
    fn a_text_without_words_still_has_a_vector_of_its_own() {
        assert!(similarity("", "!?") < 0.9);
        assert!(FakeEmbedder::new(1).vector("one two three four").is_ok());
    }
}
