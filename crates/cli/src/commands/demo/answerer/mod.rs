//! Makes an answer from a question and the retrieved documents.

mod extractive;
mod http_llm;

use async_trait::async_trait;
use wellspring::embedding::Embedding;
use wellspring::entry::{Answer, Dependency, Usage};
use wellspring::error::Result;

pub(crate) use self::extractive::ExtractiveAnswerer;
pub(crate) use self::http_llm::{API_KEY_VARIABLE, HttpLlm};
use super::read_marker::{self, DocumentRead};
use super::retriever::Retrieved;

/// Answers questions from documents.
#[async_trait]
pub(crate) trait Answerer: std::fmt::Debug + Send + Sync {
    /// A name for people; it says so if the answerer is not a language model.
    fn name(&self) -> String;

    /// Answers `question`, whose embedding is `query`, from the documents in `found`.
    ///
    /// # Errors
    ///
    /// If the answer cannot be made. The message contains neither the question nor a document.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the answer; a request that was already sent may still cost money.
    async fn answer(&self, question: &str, query: &Embedding, found: &[Retrieved]) -> Result<Generated>;
}

/// An answer with what it was made from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Generated {
    /// The answer, which ends with the [marker](read_marker) of what was read; negative if there was nothing
    /// to answer from.
    pub(crate) answer: Answer,
    /// The documents that were read, at their versions.
    pub(crate) read: Vec<DocumentRead>,
}

impl Generated {
    /// `text` as the answer made from everything in `found`.
    fn new(text: &str, found: &[Retrieved], usage: Option<Usage>) -> Self {
        let read: Vec<DocumentRead> = found.iter().map(|found| found.document.read()).collect();
        let mut answer = Answer::new(read_marker::mark(text, &read));
        answer.usage = usage;
        Self { answer, read }
    }

    /// The answer where nothing was found.
    fn nothing_found() -> Self {
        Self { answer: Answer::negative("No document answers this."), read: Vec::new() }
    }

    /// What the answer depends on.
    pub(crate) fn dependencies(&self) -> Vec<Dependency> {
        self.read.iter().map(DocumentRead::dependency).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::demo::letter_count;

    #[tokio::test]
    async fn an_answer_depends_on_everything_that_was_read() {
        let found = letter_count::found(&[("a", "One."), ("b", "Two.")]).await;
        let generated = Generated::new("One.", &found, None);
        assert_eq!(&*generated.answer.text, "One.\n[read a@v1, b@v1]");
        assert_eq!(read_marker::parse(&generated.answer.text).unwrap(), generated.read);
        let [a, b] = ["a", "b"].map(|id| Dependency::document_version(id, "v1"));
        assert_eq!(generated.dependencies(), [a, b]);
    }

    #[test]
    fn nothing_found_is_a_negative_answer() {
        let generated = Generated::nothing_found();
        assert!(generated.answer.negative && generated.dependencies().is_empty());
    }
}
