//! An embedder for tests: a text becomes the counts of its letters, so texts with the same letters are near.

use std::sync::Arc;

use async_trait::async_trait;
use wellspring::embed::{Embedded, Embedder, ModelInfo};
use wellspring::embedding::Embedding;
use wellspring::error::Result;

use super::corpus::Document;
use super::retriever::{Retrieved, Retriever};

#[derive(Debug)]
pub(super) struct LetterCountEmbedder(ModelInfo);

impl LetterCountEmbedder {
    pub(super) fn new() -> Self {
        Self(ModelInfo::new("letters", "1", 27))
    }

    pub(super) fn embed_one(text: &str) -> Embedding {
        let mut counts = [0.0; 27];
        for byte in text.bytes().map(|byte| byte.to_ascii_lowercase()) {
            match byte {
                b'a'..=b'z' => counts[usize::from(byte - b'a')] += 1.0,
                b' ' | b'.' => (),
                _ => counts[26] += 1.0,
            }
        }
        Embedding::new(&counts).unwrap()
    }
}

#[async_trait]
impl Embedder for LetterCountEmbedder {
    fn model(&self) -> &ModelInfo {
        &self.0
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<Embedded>> {
        // Other tasks run in between, as they would with a real model.
        tokio::task::yield_now().await;
        Ok(texts.iter().map(|text| Embedded::Vector(Self::embed_one(text))).collect())
    }
}

/// Documents with these ids and texts.
pub(super) fn documents(documents: &[(&str, &str)]) -> Vec<Document> {
    documents
        .iter()
        .map(|&(id, text)| Document { id: id.into(), title: "T".into(), text: text.into() })
        .collect()
}

/// The documents as retrieval would find them, in this order.
pub(super) async fn found(texts: &[(&str, &str)]) -> Vec<Retrieved> {
    let retriever = Retriever::index(Arc::new(LetterCountEmbedder::new()), &documents(texts), &mut |_, _| ())
        .await
        .unwrap();
    let document =
        |&(id, _): &(&str, &str)| Retrieved { document: retriever.document(id).unwrap(), similarity: 0.5 };
    texts.iter().map(document).collect()
}
