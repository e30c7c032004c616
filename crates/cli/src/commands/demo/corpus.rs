//! The bundled documents and questions; `corpus/README.md` says where they come from.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use wellspring::error::{Error, ErrorKind, Result};
use wellspring::key::normalise;

const DOCUMENTS: &str = include_str!("corpus/documents.jsonl");
const QUESTIONS: &str = include_str!("corpus/questions.jsonl");

/// A paragraph.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    /// The article and the number of the paragraph, such as `Warsaw#28`.
    pub(crate) id: String,
    /// The article's title.
    pub(crate) title: String,
    /// The paragraph.
    pub(crate) text: String,
}

/// A question that a document answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    /// The document and a number, such as `Warsaw#28.0`.
    pub(crate) id: String,
    /// The question as it was written.
    #[serde(rename = "question")]
    pub(crate) text: String,
    /// The id of the document that answers it.
    pub(crate) document: String,
    /// Spellings of the right answer, each a part of the document's text.
    pub(crate) answers: Vec<String>,
    /// The same question as someone would speak it, with slips and corrections.
    pub(crate) rewrites: Vec<String>,
}

impl Question {
    /// The question as it was written, then its rewrites.
    pub(crate) fn phrasings(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.text).chain(&self.rewrites).map(String::as_str)
    }
}

/// Documents and the questions that they answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DemoCorpus {
    /// The documents, those of an article together.
    pub(crate) documents: Vec<Document>,
    /// The questions, those of a document together.
    pub(crate) questions: Vec<Question>,
}

impl DemoCorpus {
    /// The corpus in the binary.
    ///
    /// # Errors
    ///
    /// Those of [`parse`](Self::parse); a test checks that there are none.
    pub(crate) fn bundled() -> Result<Self> {
        Self::parse(DOCUMENTS, QUESTIONS)
    }

    /// Reads a corpus from JSON lines.
    ///
    /// # Errors
    ///
    /// `Corrupt` if a line is not what it should be, an id occurs twice, a question's document does not
    /// exist, an answer does not occur in it, or a phrasing is not a valid question.
    pub(crate) fn parse(documents: &str, questions: &str) -> Result<Self> {
        let documents: Vec<Document> = lines("documents", documents)?;
        let questions: Vec<Question> = lines("questions", questions)?;
        check_unique(documents.iter().map(|document| &*document.id))?;
        check_unique(questions.iter().map(|question| &*question.id))?;
        let texts = documents.iter().map(|document| (&*document.id, &*document.text)).collect();
        questions.iter().try_for_each(|question| check(question, &texts))?;
        Ok(Self { documents, questions })
    }
}

fn lines<T: DeserializeOwned>(name: &str, text: &str) -> Result<Vec<T>> {
    (1..)
        .zip(text.lines())
        .map(|(number, line)| {
            serde_json::from_str(line)
                .map_err(|e| corrupt(&format!("line {number} of {name} is not valid")).with_source(e))
        })
        .collect()
}

fn check_unique<'a>(ids: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = HashSet::new();
    for id in ids {
        if id.is_empty() || !seen.insert(id) {
            return Err(corrupt(&format!("id `{id}` is empty or occurs twice")));
        }
    }
    Ok(())
}

fn check(question: &Question, texts: &HashMap<&str, &str>) -> Result<()> {
    let id = &question.id;
    let text = texts
        .get(&*question.document)
        .ok_or_else(|| corrupt(&format!("question {id} names a document that does not exist")))?;
    if question.answers.is_empty() {
        return Err(corrupt(&format!("question {id} has no answer")));
    }
    if question.answers.iter().any(|answer| answer.is_empty() || !text.contains(&**answer)) {
        return Err(corrupt(&format!("an answer to question {id} does not occur in its document")));
    }
    for phrasing in question.phrasings() {
        normalise(phrasing).map_err(|e| corrupt(&format!("question {id} cannot be asked")).with_source(e))?;
    }
    Ok(())
}

fn corrupt(message: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("demo corpus: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_corpus_is_sound() {
        let corpus = DemoCorpus::bundled().unwrap();
        assert_eq!((corpus.documents.len(), corpus.questions.len()), (323, 1_515));
        let rewrites: usize = corpus.questions.iter().map(|question| question.rewrites.len()).sum();
        assert_eq!(rewrites, 1_473);
        assert!(DOCUMENTS.len() + QUESTIONS.len() < 1_500_000);
    }

    #[test]
    fn no_two_questions_share_a_phrasing() {
        // Otherwise an exact hit could be a false hit, and the labels could not show it.
        let corpus = DemoCorpus::bundled().unwrap();
        let phrasings: Vec<_> = corpus
            .questions
            .iter()
            .flat_map(Question::phrasings)
            .map(|text| normalise(text).unwrap())
            .collect();
        assert_eq!(phrasings.iter().collect::<HashSet<_>>().len(), phrasings.len());
    }

    #[test]
    fn faults_are_named() {
        let document = r#"{"id":"d","title":"t","text":"It is red."}"#;
        let question = |document: &str, answer: &str, rewrite: &str| {
            format!(
                r#"{{"id":"q","question":"Which?","document":"{document}","answers":["{answer}"],"rewrites":["{rewrite}"]}}"#
            )
        };
        let good = question("d", "red", "Which or what?");
        assert!(DemoCorpus::parse(document, &good).is_ok());
        for (documents, questions, message) in [
            (format!("{document}\n{document}"), good.clone(), "id `d` is empty or occurs twice"),
            (document.into(), format!("{good}\n{good}"), "id `q` is empty or occurs twice"),
            (document.into(), question("e", "red", "x"), "question q names a document that does not exist"),
            (
                document.into(),
                question("d", "blue", "x"),
                "an answer to question q does not occur in its document",
            ),
            (document.into(), question("d", "red", " "), "question q cannot be asked"),
            (document.into(), "{}".into(), "line 1 of questions is not valid"),
        ] {
            let error = DemoCorpus::parse(&documents, &questions).unwrap_err();
            assert_eq!(error.to_string(), format!("demo corpus: {message}"));
            assert!(error.is_corrupt());
        }
    }
}
