//! Retrieval by meaning over documents that can be edited while questions run.
//!
//! A document is as near to a question as its nearest sentence. On the bundled corpus with the bundled model,
//! this finds the right document among the first three for 92 % of the questions; embedding whole paragraphs
//! finds it for 86 %. The scan is exact. Retrieval sees a document before or after an edit, never half of it,
//! and an edit is visible to every retrieval that begins after [`Retriever::edit`] has returned.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use wellspring::embed::{Embedded, Embedder};
use wellspring::embedding::Embedding;
use wellspring::error::{Error, ErrorKind, Result};

use super::corpus::Document;
use super::read_marker::{DocumentRead, Version};
use super::{revision, sentences};

/// Sentences embedded per call.
const BATCH: usize = 64;

/// A sentence of a document.
#[derive(Debug, Clone)]
pub(crate) struct Sentence {
    /// Its text.
    pub(crate) text: String,
    /// Its embedding.
    pub(crate) embedding: Embedding,
}

/// A document at one version, ready for retrieval.
#[derive(Debug)]
pub(crate) struct IndexedDocument {
    /// The document's id.
    pub(crate) id: String,
    /// The title of its article.
    pub(crate) title: String,
    /// Its version.
    pub(crate) version: Version,
    /// Its text.
    pub(crate) text: String,
    /// The sentences of its text.
    pub(crate) sentences: Vec<Sentence>,
}

impl IndexedDocument {
    /// The document and version, as an answer that reads it records them.
    pub(crate) fn read(&self) -> DocumentRead {
        DocumentRead { id: self.id.clone(), version: self.version }
    }

    fn similarity(&self, query: &Embedding) -> f32 {
        self.sentences.iter().map(|sentence| sentence.embedding.similarity(query)).fold(-1.0, f32::max)
    }
}

/// A document that retrieval found.
#[derive(Debug, Clone)]
pub(crate) struct Retrieved {
    /// The document, as it was when it was found.
    pub(crate) document: Arc<IndexedDocument>,
    /// The greatest cosine similarity of one of its sentences to the query.
    pub(crate) similarity: f32,
}

/// An index over documents.
#[derive(Debug)]
pub(crate) struct Retriever {
    embedder: Arc<dyn Embedder>,
    positions: HashMap<String, usize>,
    // An edit replaces the whole list, so that a scan holds no lock.
    documents: RwLock<Arc<[Arc<IndexedDocument>]>>,
}

impl Retriever {
    /// Embeds `documents`. `progress` is called with the number of sentences that are done and the total.
    ///
    /// # Errors
    ///
    /// If the embedder fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the work.
    pub(crate) async fn index(
        embedder: Arc<dyn Embedder>,
        documents: &[Document],
        progress: &mut (dyn FnMut(usize, usize) + Send),
    ) -> Result<Self> {
        let split: Vec<Vec<&str>> =
            documents.iter().map(|document| sentences::split(&document.text)).collect();
        let texts: Vec<String> = split.iter().flatten().map(|&sentence| sentence.to_owned()).collect();
        let mut sentences = embed(&*embedder, texts, progress).await?.into_iter();
        let indexed = documents
            .iter()
            .zip(&split)
            .map(|(document, split)| {
                Arc::new(IndexedDocument {
                    id: document.id.clone(),
                    title: document.title.clone(),
                    version: Version::FIRST,
                    text: document.text.clone(),
                    sentences: sentences.by_ref().take(split.len()).flatten().collect(),
                })
            })
            .collect();
        let positions = (0..).zip(documents).map(|(at, document)| (document.id.clone(), at)).collect();
        Ok(Self { embedder, positions, documents: RwLock::new(indexed) })
    }

    /// The embedding to retrieve by, for a question that the cache did not embed because it was bypassed.
    ///
    /// # Errors
    ///
    /// If the embedder fails, or cannot read the whole question.
    pub(crate) async fn query(&self, question: &str) -> Result<Embedding> {
        let mut embedded = embed(&*self.embedder, vec![question.to_owned()], &mut |_, _| ()).await?;
        let sentence = embedded.pop().flatten();
        let unseen = || Error::new(ErrorKind::Embedding, "the question has no embedding");
        sentence.map(|sentence| sentence.embedding).ok_or_else(unseen)
    }

    /// The `count` documents nearest to `query`, the nearest first.
    pub(crate) fn retrieve(&self, query: &Embedding, count: usize) -> Vec<Retrieved> {
        let mut found: Vec<Retrieved> = self
            .snapshot()
            .iter()
            .map(|document| Retrieved {
                similarity: document.similarity(query),
                document: Arc::clone(document),
            })
            .collect();
        found.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
        found.truncate(count);
        found
    }

    /// The document `id` as it is now.
    pub(crate) fn document(&self, id: &str) -> Option<Arc<IndexedDocument>> {
        self.positions.get(id).map(|&position| Arc::clone(&self.snapshot()[position]))
    }

    /// Replaces the text of document `id` by a revision that is derived from `seed`, and returns its new
    /// version. If several edits of one document run at the same time, all take place, one after the other.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is no such document; those of the embedder. In both cases, the document does
    /// not change.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the document unchanged.
    pub(crate) async fn edit(&self, id: &str, seed: u64) -> Result<Version> {
        loop {
            let before = self
                .document(id)
                .ok_or_else(|| Error::new(ErrorKind::InvalidInput, format!("no document `{id}`")))?;
            let version = before.version.next();
            let text = revision::revise(id, &before.text, version, seed);
            let texts = sentences::split(&text).into_iter().map(str::to_owned).collect();
            let sentences =
                embed(&*self.embedder, texts, &mut |_, _| ()).await?.into_iter().flatten().collect();
            let title = before.title.clone();
            let after = IndexedDocument { id: id.to_owned(), title, version, text, sentences };
            if self.replace(&before, after) {
                return Ok(version);
            }
        }
    }

    /// Replaces `before` by `after`, unless another edit came in between.
    fn replace(&self, before: &IndexedDocument, after: IndexedDocument) -> bool {
        let position = self.positions[&before.id];
        let mut documents = self.documents.write().unwrap_or_else(PoisonError::into_inner);
        let is_current = documents[position].version == before.version;
        if is_current {
            let mut changed = documents.to_vec();
            changed[position] = Arc::new(after);
            *documents = changed.into();
        }
        is_current
    }

    fn snapshot(&self) -> Arc<[Arc<IndexedDocument>]> {
        Arc::clone(&self.documents.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Each text as a sentence; none for a text that the model cannot read as a whole, which retrieval skips.
async fn embed(
    embedder: &dyn Embedder,
    texts: Vec<String>,
    progress: &mut (dyn FnMut(usize, usize) + Send),
) -> Result<Vec<Option<Sentence>>> {
    let mut sentences = Vec::with_capacity(texts.len());
    for batch in texts.chunks(BATCH) {
        let results = embedder.embed(batch).await?;
        if results.len() != batch.len() {
            let message = format!("got {} embeddings for {} sentences", results.len(), batch.len());
            return Err(Error::new(ErrorKind::Embedding, message));
        }
        for (text, result) in batch.iter().zip(results) {
            sentences.push(match result {
                Embedded::Vector(embedding) => Some(Sentence { text: text.clone(), embedding }),
                _ => None,
            });
        }
        progress(sentences.len(), texts.len());
    }
    Ok(sentences)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::demo::letter_count::{self, LetterCountEmbedder};

    async fn retriever() -> Retriever {
        let documents = letter_count::documents(&[
            ("bees", "Bees buzz. Bees sting."),
            ("cats", "Cats catch mice. They purr."),
            ("dogs", "Dogs dig."),
        ]);
        Retriever::index(Arc::new(LetterCountEmbedder::new()), &documents, &mut |_, _| ()).await.unwrap()
    }

    fn ids(found: &[Retrieved]) -> Vec<&str> {
        found.iter().map(|found| &*found.document.id).collect()
    }

    #[tokio::test]
    async fn the_nearest_sentence_decides() {
        let retriever = retriever().await;
        let found = retriever.retrieve(&LetterCountEmbedder::embed_one("they purr"), 2);
        assert_eq!(found[0].document.id, "cats");
        assert!((found[0].similarity - 1.0).abs() < 1e-6);
        assert_eq!(found.len(), 2);
        assert_eq!(ids(&retriever.retrieve(&LetterCountEmbedder::embed_one("dogs dig"), 9))[0], "dogs");
        assert!(retriever.retrieve(&LetterCountEmbedder::embed_one("dogs"), 0).is_empty());
    }

    #[tokio::test]
    async fn an_edit_is_a_new_version_that_retrieval_finds() {
        let retriever = retriever().await;
        let query = LetterCountEmbedder::embed_one("cats catch mice");
        let before = retriever.retrieve(&query, 1);
        assert_eq!(retriever.edit("cats", 7).await.unwrap(), Version::new(2));
        let after = retriever.retrieve(&query, 1);
        assert_eq!(after[0].document.version, Version::new(2));
        assert!(after[0].document.text.contains("Demo revision v2"));
        assert_eq!(before[0].document.text, "Cats catch mice. They purr.", "what was read stays as it was");
        assert_eq!(retriever.document("bees").unwrap().version, Version::FIRST);
        assert!(retriever.edit("birds", 7).await.unwrap_err().is_invalid_input());
    }

    #[tokio::test]
    async fn edits_at_the_same_time_all_take_place() {
        let retriever = Arc::new(retriever().await);
        let edits = (0..16).map(|seed| {
            let retriever = Arc::clone(&retriever);
            async move { retriever.edit("cats", seed).await.unwrap() }
        });
        let mut versions = futures::future::join_all(edits).await;
        versions.sort_unstable();
        assert_eq!(versions, (2..18).map(Version::new).collect::<Vec<_>>());
        assert_eq!(retriever.document("cats").unwrap().version, Version::new(17));
    }
}
