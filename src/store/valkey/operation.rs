//! What an invalidation does to the clock of each bucket.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::keys::{Bucket, Keys};
use crate::entry::{Change, DocumentVersion};
use crate::key::{Corpus, EntryId};
use crate::store::ChangeOutcome;

/// Something that is to be done in every bucket of a corpus. Doing it again in the same bucket is safe.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Operation {
    pub(super) corpus: Corpus,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    Change(Change),
    Hold(String),
    Release { document: String, version: Option<DocumentVersion> },
}

/// Whether the caller is still waiting.
#[derive(Debug, Clone, Copy)]
pub(super) enum Attempt {
    /// Tried until it is done or the time limit is reached.
    First,
    /// Tried once, from the outbox. Operations of other processes may have come in between.
    Again,
}

impl Attempt {
    /// The word that the script uses for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Again => "again",
        }
    }
}

/// What the operation did in one bucket.
#[derive(Debug)]
pub(super) struct Applied {
    /// The number of replicas that must also have it.
    pub(super) replicas: u64,
    /// Whether the clock has tombstones to drop.
    pub(super) compacts: bool,
    /// What each step did, as far as it concerned the bucket.
    pub(super) outcomes: Vec<Option<ChangeOutcome>>,
    /// Sets of entries that are dead.
    pub(super) detached: Vec<String>,
    /// Entries that are dead and are no longer in any set.
    pub(super) dead: Vec<EntryId>,
}

impl Operation {
    pub(super) fn changes(corpus: &Corpus, changes: &[Change]) -> Self {
        Self { corpus: corpus.clone(), steps: changes.iter().cloned().map(Step::Change).collect() }
    }

    pub(super) fn hold(corpus: &Corpus, document: &str) -> Self {
        Self { corpus: corpus.clone(), steps: vec![Step::Hold(document.to_owned())] }
    }

    pub(super) fn release(corpus: &Corpus, document: &str, version: Option<DocumentVersion>) -> Self {
        let step = Step::Release { document: document.to_owned(), version };
        Self { corpus: corpus.clone(), steps: vec![step] }
    }

    pub(super) fn is_hold(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Hold(_)))
    }

    /// The buckets that it concerns.
    pub(super) fn buckets(&self, keys: &Keys) -> BTreeSet<u16> {
        keys.buckets(&self.corpus)
            .filter(|bucket| self.steps.iter().any(|step| step.concerns(keys, *bucket)))
            .map(|bucket| bucket.number)
            .collect()
    }

    /// The entries that it ends by their ids, each with the number of its step.
    pub(super) fn entries(&self) -> impl Iterator<Item = (usize, EntryId)> {
        self.steps.iter().enumerate().filter_map(|(n, step)| match step {
            Step::Change(Change::Entry(id)) => Some((n, *id)),
            _ => None,
        })
    }
}

impl Step {
    /// A change of an entry concerns one bucket; everything else may concern all of them.
    fn concerns(&self, keys: &Keys, bucket: Bucket<'_>) -> bool {
        match self {
            Self::Change(Change::Entry(id)) => keys.bucket(bucket.corpus, *id) == bucket,
            _ => true,
        }
    }
}

/// Sums up what a step did from its outcomes in the buckets: it changed nothing only if it changed nothing
/// everywhere.
pub(super) fn sum(outcomes: impl Iterator<Item = ChangeOutcome>) -> ChangeOutcome {
    outcomes.fold(ChangeOutcome::Unchanged, |sum, outcome| match (sum, outcome) {
        (ChangeOutcome::Unchanged, outcome) | (outcome, ChangeOutcome::Unchanged) => outcome,
        (ChangeOutcome::Dropped(a), ChangeOutcome::Dropped(b)) => ChangeOutcome::Dropped(a + b),
    })
}
