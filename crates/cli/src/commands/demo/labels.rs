//! Whether an answer that the cache served to a question is the right one, by the corpus' labels.

use std::collections::HashMap;

use wellspring::error::Result;
use wellspring::key::normalise;

use super::corpus::{DemoCorpus, Question};

/// How a served answer relates to the question that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It was made for the same question, in the same or in other words.
    SameQuestion,
    /// It was made for another question of the same document that has the same answer.
    SameAnswer,
    /// It was made for a question with another answer.
    FalseHit,
}

impl Judgement {
    /// Whether the answer was right.
    pub(crate) fn is_right(self) -> bool {
        self != Self::FalseHit
    }
}

/// Knows which phrasings belong to which question.
#[derive(Debug)]
pub(crate) struct Labels<'a> {
    questions: HashMap<String, &'a Question>,
}

impl<'a> Labels<'a> {
    /// The labels of `corpus`.
    ///
    /// # Errors
    ///
    /// If a phrasing is not a valid question; the corpus was already checked for that.
    pub(crate) fn new(corpus: &'a DemoCorpus) -> Result<Self> {
        let mut questions = HashMap::new();
        for question in &corpus.questions {
            for phrasing in question.phrasings() {
                questions.insert(normalise(phrasing)?, question);
            }
        }
        Ok(Self { questions })
    }

    /// Judges the answer that was made for `original`, a normalised phrasing, and served to `asked`.
    ///
    /// If the original is not in the corpus, this is a false hit: nothing says that it asks the same.
    pub(crate) fn judge(&self, asked: &Question, original: &str) -> Judgement {
        match self.questions.get(original) {
            Some(original) if original.id == asked.id => Judgement::SameQuestion,
            Some(original) if has_same_answer(asked, original) => Judgement::SameAnswer,
            _ => Judgement::FalseHit,
        }
    }
}

fn has_same_answer(asked: &Question, original: &Question) -> bool {
    asked.document == original.document
        && asked
            .answers
            .iter()
            .any(|answer| original.answers.iter().any(|other| answer.to_lowercase() == other.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_is_judged_by_the_question_that_its_answer_was_made_for() {
        let question = |id: &str, document: &str, answer: &str| Question {
            id: id.into(),
            text: format!("{id}?"),
            document: document.into(),
            answers: vec![answer.into()],
            rewrites: vec![format!("{id} or  rather {id}?")],
        };
        let corpus = DemoCorpus {
            documents: Vec::new(),
            questions: vec![
                question("a", "d", "Red"),
                question("b", "d", "red"),
                question("c", "d", "blue"),
                question("e", "other", "red"),
            ],
        };
        let labels = Labels::new(&corpus).unwrap();
        let asked = &corpus.questions[0];
        for (original, judgement) in [
            ("a?", Judgement::SameQuestion),
            ("a or rather a?", Judgement::SameQuestion),
            ("b or rather b?", Judgement::SameAnswer),
            ("c?", Judgement::FalseHit),
            ("e?", Judgement::FalseHit),
            ("unknown?", Judgement::FalseHit),
        ] {
            assert_eq!(labels.judge(asked, original), judgement, "{original}");
            assert_eq!(judgement.is_right(), judgement != Judgement::FalseHit);
        }
    }
}
