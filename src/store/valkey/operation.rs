//! What an invalidation does to the clock of each bucket.

use std::collections::BTreeSet;

use redis::Value;
use serde::{Deserialize, Serialize};

use super::keys::{Bucket, Keys};
use super::reply;
use super::script::INVALIDATE;
use crate::entry::{Change, DocumentVersion, any_change_of, ids_of_document};
use crate::key::{Corpus, DependencyId, EntryId};
use crate::store::ChangeOutcome;

/// Something that is to be done in every bucket of a corpus. Doing it again in one is safe.
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

/// Whether the caller still waits.
#[derive(Debug, Clone, Copy)]
pub(super) enum Attempt {
    /// Tried until it is done or the limit is over.
    First,
    /// From the outbox, once. Operations of other processes may have come in between.
    Again,
}

impl Attempt {
    /// What the script calls it.
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
    /// The replicas that are to have it, too.
    pub(super) replicas: u64,
    /// Whether the clock has marks to drop.
    pub(super) compacts: bool,
    /// What each step did, as far as it concerned the bucket.
    pub(super) outcomes: Vec<Option<ChangeOutcome>>,
    /// Sets of entries that are dead.
    pub(super) detached: Vec<String>,
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

    /// The entries that it ends by name.
    pub(super) fn entries(&self) -> impl Iterator<Item = (usize, EntryId)> {
        self.steps.iter().enumerate().filter_map(|(n, step)| match step {
            Step::Change(Change::Entry(id)) => Some((n, *id)),
            _ => None,
        })
    }

    /// The call of [`INVALIDATE`] for a bucket: its keys and its arguments after the random bits.
    pub(super) fn call(&self, keys: &Keys, bucket: Bucket<'_>) -> (Vec<String>, Vec<Vec<u8>>) {
        let random = rand::random();
        let mut names = vec![keys.clock(bucket)];
        let mut arguments = Vec::new();
        for step in self.steps.iter().filter(|step| step.concerns(keys, bucket)) {
            let (kind, document, version, ids) = step.arguments();
            arguments.push(kind.as_bytes().to_vec());
            arguments.push(document.map(|id| id.as_bytes().to_vec()).unwrap_or_default());
            arguments.push(version.map(|version| version.as_str().as_bytes().to_vec()).unwrap_or_default());
            arguments.push(ids.len().to_string().into_bytes());
            arguments.extend(ids.iter().map(|id| id.as_bytes().to_vec()));
            match kind {
                "entry" => {}
                "everything" => names.extend([keys.all(bucket), keys.detached(bucket, random, names.len())]),
                _ => {
                    for id in ids {
                        names.extend([
                            keys.dependants(bucket, id),
                            keys.detached(bucket, random, names.len()),
                        ]);
                    }
                }
            }
        }
        (names, arguments)
    }

    /// How many steps concern a bucket.
    pub(super) fn steps_in(&self, keys: &Keys, bucket: Bucket<'_>) -> usize {
        self.steps.iter().filter(|step| step.concerns(keys, bucket)).count()
    }

    /// Reads the reply to the call with `names`; none if it makes no sense.
    pub(super) fn applied(
        &self,
        keys: &Keys,
        bucket: Bucket<'_>,
        names: &[String],
        reply: &Value,
    ) -> Option<Applied> {
        let [replicas, compacts, counts @ ..] = reply::items(reply)? else { return None };
        let mut counts = counts.iter();
        let mut outcomes = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            outcomes.push(if step.concerns(keys, bucket) {
                let count: i64 = reply::number(counts.next()?)?;
                Some(match u64::try_from(count) {
                    Ok(count) => ChangeOutcome::Dropped(count),
                    Err(_) => ChangeOutcome::Unchanged,
                })
            } else {
                None
            });
        }
        // Those that were empty were not moved, and draining what does not exist ends at once; but most often nothing
        // was moved at all.
        let any = outcomes.iter().any(|outcome| matches!(outcome, Some(ChangeOutcome::Dropped(1..))));
        let detached = names.iter().skip(2).step_by(2).filter(|_| any).cloned().collect();
        Some(Applied {
            replicas: reply::number(replicas)?,
            compacts: reply::number::<u64>(compacts)? > 0,
            outcomes,
            detached,
        })
    }
}

impl Step {
    /// An entry is in one bucket; everything else may be in all of them.
    fn concerns(&self, keys: &Keys, bucket: Bucket<'_>) -> bool {
        match self {
            Self::Change(Change::Entry(id)) => keys.bucket(bucket.corpus, *id) == bucket,
            _ => true,
        }
    }

    fn arguments(&self) -> (&'static str, Option<DependencyId>, Option<&DocumentVersion>, Vec<DependencyId>) {
        match self {
            Self::Change(Change::Everything) => ("everything", None, None, Vec::new()),
            Self::Change(change @ Change::Entry(_)) => ("entry", None, None, change.dependency_ids()),
            Self::Change(change) => {
                let told = change.document_told();
                let document = told.map(|(document, _)| any_change_of(document));
                ("change", document, told.and_then(|(_, version)| version), change.dependency_ids())
            }
            Self::Hold(document) => ("hold", Some(any_change_of(document)), None, ids_of_document(document)),
            Self::Release { document, version } => {
                ("release", Some(any_change_of(document)), version.as_ref(), ids_of_document(document))
            }
        }
    }
}

/// What a step did, from what it did in each bucket: it changed nothing only if it did so everywhere.
pub(super) fn sum(outcomes: impl Iterator<Item = ChangeOutcome>) -> ChangeOutcome {
    outcomes.fold(ChangeOutcome::Unchanged, |sum, outcome| match (sum, outcome) {
        (ChangeOutcome::Unchanged, outcome) | (outcome, ChangeOutcome::Unchanged) => outcome,
        (ChangeOutcome::Dropped(a), ChangeOutcome::Dropped(b)) => ChangeOutcome::Dropped(a + b),
    })
}

/// The script that applies operations.
pub(super) fn script() -> &'static super::script::Script {
    &INVALIDATE
}
