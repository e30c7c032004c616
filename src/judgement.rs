//! What was said of served answers: the log that learning goes by.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::key::{Corpus, EntryId, ScopeId};

/// About how many judgements a store keeps; older ones are forgotten.
pub const MAX_JUDGEMENTS: usize = 100_000;

/// Whether an answer served the question that it was given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feedback {
    /// It did.
    Right,
    /// It did not.
    Wrong,
}

/// Who judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Judge {
    /// Whoever was given the answer.
    Caller,
    /// The shadow judge, on a hit.
    Shadow,
    /// The shadow judge, on a near neighbour that was not served.
    NearMiss,
}

/// What was said of one answer for one question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Judgement {
    /// The corpus of the entry.
    pub corpus: Corpus,
    /// The scope in which it was found.
    pub scope: ScopeId,
    /// The id that an answer to exactly the question asked has.
    pub asked: EntryId,
    /// The entry; the same for an exact hit.
    pub cached: EntryId,
    /// The question asked, normalised.
    pub question: Arc<str>,
    /// The question that the entry answered, normalised.
    pub cached_question: Arc<str>,
    /// Cosine similarity of the two; 1 for an exact hit, none if it is not known.
    pub similarity: Option<f32>,
    /// What was said.
    pub feedback: Feedback,
    /// By whom.
    pub judge: Judge,
    /// When.
    pub at: Timestamp,
}

impl Judgement {
    /// Whether the answer was to exactly the question asked.
    pub fn is_exact(&self) -> bool {
        self.asked == self.cached
    }
}

/// What was said of an entry's answer, for its own question and for others.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct EntryRecord {
    /// How often it was right.
    pub right: u64,
    /// How often it was wrong.
    pub wrong: u64,
    /// Similarities of other questions with what was said, the newest 64, oldest first.
    pub observations: Vec<(f32, bool)>,
}

/// How many observations are kept of an entry, the newest.
const MAX_OBSERVATIONS: usize = 64;

impl EntryRecord {
    /// Adds what was said.
    pub(crate) fn count(&mut self, judgement: &Judgement) {
        let is_right = judgement.feedback == Feedback::Right;
        *if is_right { &mut self.right } else { &mut self.wrong } += 1;
        if let Some(similarity) = judgement.similarity.filter(|_| !judgement.is_exact()) {
            if self.observations.len() == MAX_OBSERVATIONS {
                self.observations.remove(0);
            }
            self.observations.push((similarity, is_right));
        }
    }
}

/// A judgement of a pair, for learning.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Judged {
    /// What was said.
    pub judgement: Judgement,
    /// How often the entry's answer had been right before.
    pub right: u64,
    /// How often it had been wrong before.
    pub wrong: u64,
}

impl Judged {
    /// What was said of an entry with this record.
    pub fn new(judgement: Judgement, before: &EntryRecord) -> Self {
        Self { judgement, right: before.right, wrong: before.wrong }
    }
}

/// A place in the log of judgements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct JudgementCursor(pub(crate) u64, pub(crate) u64);
