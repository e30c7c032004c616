//! An operation in the form that the script takes: similar changes are grouped into runs.
//!
//! The plan is made once and sent to every bucket. The server then spends little more on a change than
//! writing its tombstones.

use std::collections::HashSet;

use redis::Value;

use super::keys::{Bucket, Keys};
use super::operation::{Applied, Operation, Step};
use super::reply;
use super::script::Call;
use crate::entry::{Change, DocumentVersion, any_change_of, ids_of_document};
use crate::key::{DependencyId, EntryId};
use crate::store::ChangeOutcome;

#[derive(Debug)]
pub(super) struct Plan {
    runs: Vec<Run>,
}

/// Consecutive changes that differ only in their names and versions.
#[derive(Debug)]
struct Run {
    shape: Shape,
    changes: usize,
    ids: Vec<u8>,
    /// The ids as they are written in the names of sets.
    spelled: String,
    versions: Vec<String>,
    /// The documents that the changes concern.
    documents: HashSet<DependencyId>,
}

#[derive(Debug, PartialEq, Eq)]
struct Shape {
    kind: &'static str,
    /// How many names each has.
    names: usize,
    is_of_documents: bool,
    /// The only bucket that the changes concern, if there is one: an entry is in one bucket.
    bucket: Option<u16>,
}

impl Plan {
    pub(super) fn new(operation: &Operation, keys: &Keys) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for step in &operation.steps {
            let (kind, document, version, ids) = arguments(step);
            let bucket = match step {
                Step::Change(Change::Entry(id)) => Some(keys.bucket(&operation.corpus, *id).number),
                _ => None,
            };
            let shape = Shape { kind, names: ids.len(), is_of_documents: document.is_some(), bucket };
            // The script reads what the clock holds of a document before the run, so no document may be twice
            // in a run.
            let goes_with = |run: &Run| {
                kind != "everything"
                    && run.shape == shape
                    && document.is_none_or(|document| !run.documents.contains(&document))
            };
            if !runs.last().is_some_and(goes_with) {
                runs.push(Run::new(shape));
            }
            let Some(run) = runs.last_mut() else { continue };
            run.changes += 1;
            for id in &ids {
                run.ids.extend(id.as_bytes());
                run.spelled += &id.to_string();
            }
            run.documents.extend(document);
            run.versions.push(version.map(|version| version.as_str().to_owned()).unwrap_or_default());
        }
        Self { runs }
    }

    /// How many names all runs have together.
    pub(super) fn names(&self) -> usize {
        self.runs.iter().map(|run| run.changes * run.shape.names).sum()
    }

    /// Adds the last arguments of the script for a bucket.
    pub(super) fn arguments<'a>(&'a self, call: Call<'a>, bucket: u16) -> Call<'a> {
        self.runs.iter().filter(|run| run.concerns(bucket)).fold(call, |call, run| run.arguments(call))
    }

    /// Reads the reply from a bucket; returns none if the reply is malformed.
    pub(super) fn applied(&self, bucket: Bucket<'_>, reply: &Value) -> Option<Applied> {
        let [replicas, compacts, moved, emptied, counts @ ..] = reply::items(reply)? else { return None };
        let mut counts = counts.iter();
        let mut outcomes = Vec::new();
        for run in &self.runs {
            for _ in 0..run.changes {
                outcomes.push(if run.concerns(bucket.number) {
                    let count: i64 = reply::number(counts.next()?)?;
                    Some(u64::try_from(count).map_or(ChangeOutcome::Unchanged, ChangeOutcome::Dropped))
                } else {
                    None
                });
            }
        }
        let moved = reply::items(moved)?.iter().map(|set| reply::text(set).map(str::to_owned));
        Some(Applied {
            replicas: reply::number(replicas)?,
            compacts: reply::number::<u64>(compacts)? > 0,
            outcomes,
            detached: moved.collect::<Option<_>>()?,
            dead: reply::bytes(emptied)?.as_chunks().0.iter().copied().map(EntryId::from_bytes).collect(),
        })
    }
}

impl Run {
    fn new(shape: Shape) -> Self {
        let (ids, spelled) = (Vec::new(), String::new());
        Self { shape, changes: 0, ids, spelled, versions: Vec::new(), documents: HashSet::new() }
    }

    fn concerns(&self, bucket: u16) -> bool {
        self.shape.bucket.is_none_or(|only| only == bucket)
    }

    fn arguments<'a>(&'a self, call: Call<'a>) -> Call<'a> {
        let reports = self.versions.iter().any(|version| !version.is_empty());
        let reported = match (self.shape.is_of_documents, reports) {
            (true, true) => "versions",
            (true, false) => "documents",
            (false, _) => "",
        };
        let call = call.bytes(self.shape.kind).number(self.changes).number(self.shape.names).bytes(reported);
        let call = call.bytes(&self.ids).bytes(&self.spelled);
        self.versions.iter().filter(|_| reports).fold(call, Call::bytes)
    }
}

/// The script's word for a step, the document that it concerns with its version, and the names that it ends.
fn arguments(
    step: &Step,
) -> (&'static str, Option<DependencyId>, Option<&DocumentVersion>, Vec<DependencyId>) {
    match step {
        Step::Change(Change::Everything) => ("everything", None, None, Vec::new()),
        Step::Change(change @ Change::Entry(_)) => ("entry", None, None, change.dependency_ids()),
        Step::Change(change) => {
            let reported = change.reported_document();
            let document = reported.map(|(document, _)| any_change_of(document));
            ("change", document, reported.and_then(|(_, version)| version), change.dependency_ids())
        }
        Step::Hold(document) => ("hold", None, None, ids_of_document(document)),
        Step::Release { document, version } => {
            ("release", Some(any_change_of(document)), version.as_ref(), ids_of_document(document))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Corpus;

    #[test]
    fn alike_changes_make_one_run_and_no_document_is_twice_in_one() {
        let keys = Keys::new("p:".into(), 4);
        let entry = |byte| Change::Entry(EntryId::from_bytes([byte; 16]));
        let plan = |changes: &[Change]| {
            let plan = Plan::new(&Operation::changes(&Corpus::default(), changes), &keys);
            plan.runs.iter().map(|run| (run.shape.kind, run.changes, run.shape.names)).collect::<Vec<_>>()
        };
        let [a, b] = ["a", "b"].map(Change::document);
        assert_eq!(plan(&[a.clone(), b.clone()]), [("change", 2, 2)]);
        assert_eq!(plan(&[a.clone(), Change::document_version("b", "1")]), [("change", 2, 2)]);
        let again = Change::document_version("a", "1");
        assert_eq!(plan(&[a.clone(), b.clone(), again]), [("change", 2, 2), ("change", 1, 2)]);
        assert_eq!(plan(&[a, Change::document("\u{e9}")]), [("change", 1, 2), ("change", 1, 4)]);
        assert_eq!(plan(&[b, Change::Tag("b".into())]), [("change", 1, 2), ("change", 1, 1)]);
        assert_eq!(plan(&[Change::Everything, Change::Everything]), [("everything", 1, 0); 2]);
        assert_eq!(plan(&[entry(1), entry(5), entry(2)]), [("entry", 2, 2), ("entry", 1, 2)]);
    }
}
