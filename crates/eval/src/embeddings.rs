//! The embedding of every text of an evaluation.

use std::collections::HashMap;

use wellspring::embed::{Embedded, Embedder};
use wellspring::embedding::Embedding;
use wellspring::error::{Error, ErrorKind, Result};

/// Texts embedded per call.
pub(super) const BATCH: usize = 256;

/// Called with the number of texts embedded so far and the number of all texts.
pub type Progress<'a> = &'a mut (dyn FnMut(usize, usize) + Send);

/// The embeddings of the texts that the model sees whole.
#[derive(Debug, Default)]
pub(super) struct Embeddings(HashMap<String, Embedding>);

impl Embeddings {
    /// Embeds `texts`, each once.
    ///
    /// # Errors
    ///
    /// If the embedder fails.
    pub(super) async fn of<'a>(
        embedder: &dyn Embedder,
        texts: impl IntoIterator<Item = &'a str>,
        progress: Progress<'_>,
    ) -> Result<Self> {
        let mut texts: Vec<&str> = texts.into_iter().collect();
        texts.sort_unstable();
        texts.dedup();
        let mut embeddings = HashMap::with_capacity(texts.len());
        progress(0, texts.len());
        for (batch, first) in texts.chunks(BATCH).zip((0..).step_by(BATCH)) {
            let owned: Vec<String> = batch.iter().map(|&text| text.to_owned()).collect();
            let results = embedder.embed(&owned).await?;
            if results.len() != batch.len() {
                let (got, sent) = (results.len(), batch.len());
                return Err(Error::new(
                    ErrorKind::Embedding,
                    format!("got {got} embeddings for {sent} texts"),
                ));
            }
            embeddings.extend(owned.into_iter().zip(results).filter_map(|(text, result)| match result {
                Embedded::Vector(embedding) => Some((text, embedding)),
                _ => None,
            }));
            progress(first + batch.len(), texts.len());
        }
        Ok(Self(embeddings))
    }

    /// The embedding of `text`, if it has one.
    pub(super) fn get(&self, text: &str) -> Option<&Embedding> {
        self.0.get(text)
    }

    /// The similarity of two texts, if both have embeddings.
    pub(super) fn similarity(&self, a: &str, b: &str) -> Option<f32> {
        Some(self.get(a)?.similarity(self.get(b)?))
    }
}
