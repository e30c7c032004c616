//! An answerer that quotes: it picks the sentence that answers best, and adds no words of its own.
//!
//! The demo uses it if no language model is available. On the bundled corpus with the bundled model, the
//! sentence contains the right answer for 77 % of the questions.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use wellspring::embedding::Embedding;
use wellspring::error::Result;

use super::{Answerer, Generated};
use crate::commands::demo::corpus::Document;
use crate::commands::demo::retriever::{Retrieved, Sentence};
use crate::commands::demo::sentences;

/// What a full overlap of terms is worth against a cosine similarity of 1. Anything from 0.4 to 1.0 does
/// about equally well on the bundled corpus.
const OVERLAP_WEIGHT: f32 = 0.7;

/// Quotes the best sentence of the retrieved documents.
#[derive(Debug)]
pub(crate) struct ExtractiveAnswerer {
    sentences: usize,
    frequencies: HashMap<String, usize>,
    simulate_llm: Duration,
}

impl ExtractiveAnswerer {
    /// An answerer that learns from `documents` how rare terms are, and takes `simulate_llm` for each answer,
    /// as a language model would.
    pub(crate) fn new(documents: &[Document], simulate_llm: Duration) -> Self {
        let (mut sentences, mut frequencies) = (0, HashMap::new());
        for sentence in documents.iter().flat_map(|document| sentences::split(&document.text)) {
            sentences += 1;
            for term in terms(sentence) {
                *frequencies.entry(term).or_default() += 1;
            }
        }
        Self { sentences, frequencies, simulate_llm }
    }

    /// The inverse document frequency of `term`.
    fn weight(&self, term: &str) -> f32 {
        let frequency = self.frequencies.get(term).copied().unwrap_or(0);
        (1.0 + self.sentences as f32 / (1.0 + frequency as f32)).ln()
    }

    fn score(&self, asked: &HashSet<String>, query: &Embedding, sentence: &Sentence) -> f32 {
        let said = terms(&sentence.text);
        let total: f32 = asked.iter().map(|term| self.weight(term)).sum();
        let shared: f32 = asked.intersection(&said).map(|term| self.weight(term)).sum();
        let overlap = if total > 0.0 { shared / total } else { 0.0 };
        sentence.embedding.similarity(query) + OVERLAP_WEIGHT * overlap
    }

    fn best<'a>(&self, question: &str, query: &Embedding, found: &'a [Retrieved]) -> Option<&'a str> {
        let asked = terms(question);
        found
            .iter()
            .flat_map(|found| &found.document.sentences)
            .map(|sentence| (self.score(&asked, query, sentence), sentence))
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, sentence)| &*sentence.text)
    }
}

#[async_trait]
impl Answerer for ExtractiveAnswerer {
    fn name(&self) -> String {
        if self.simulate_llm.is_zero() {
            "extractive (quotes the best sentence, no language model)".into()
        } else {
            let millis = self.simulate_llm.as_millis();
            format!(
                "extractive (quotes the best sentence, no language model; waits {millis} ms as one would)"
            )
        }
    }

    async fn answer(&self, question: &str, query: &Embedding, found: &[Retrieved]) -> Result<Generated> {
        if !self.simulate_llm.is_zero() {
            tokio::time::sleep(self.simulate_llm).await;
        }
        let best = self.best(question, query, found);
        Ok(best.map_or_else(Generated::nothing_found, |best| Generated::new(best, found, None)))
    }
}

/// The different words of `text`, in lower case.
fn terms(text: &str) -> HashSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::demo::letter_count::{self, LetterCountEmbedder};

    const DOCUMENTS: &[(&str, &str)] = &[
        ("oil", "Oil prices rose in the year 1973. The crisis ended in the year 1974."),
        ("steam", "In the year 1712 steam pumped water."),
    ];

    fn answerer(simulate_llm: Duration) -> ExtractiveAnswerer {
        ExtractiveAnswerer::new(&letter_count::documents(DOCUMENTS), simulate_llm)
    }

    async fn ask(question: &str, documents: &[(&str, &str)]) -> Generated {
        let (found, query) = (letter_count::found(documents).await, LetterCountEmbedder::embed_one(question));
        answerer(Duration::ZERO).answer(question, &query, &found).await.unwrap()
    }

    #[tokio::test]
    async fn the_sentence_with_the_rare_terms_is_quoted() {
        let generated = ask("When did the crisis end or when was it that the crisis ended?", DOCUMENTS).await;
        let (answer, marker) = generated.answer.text.split_once('\n').unwrap();
        assert_eq!(answer, "The crisis ended in the year 1974.");
        assert_eq!(marker, "[read oil@v1, steam@v1]");
        assert_eq!(generated.answer.usage, None, "no tokens were spent");
    }

    #[tokio::test]
    async fn without_documents_nothing_is_found() {
        assert!(ask("When did it end?", &[]).await.answer.negative);
        // A question without a term must not divide by zero.
        assert!(!ask("…?", DOCUMENTS).await.answer.negative);
    }

    #[tokio::test(start_paused = true)]
    async fn it_takes_the_time_that_it_simulates_and_says_so() {
        let answerer = answerer(Duration::from_millis(800));
        let start = tokio::time::Instant::now();
        answerer.answer("When?", &LetterCountEmbedder::embed_one("When?"), &[]).await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_millis(800));
        assert!(answerer.name().starts_with("extractive") && answerer.name().contains("800 ms"));
    }
}
