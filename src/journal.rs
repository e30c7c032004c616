//! The log of events that ended answers or kept them out: invalidations, holds and refused fills. Only the
//! newest are kept.
//!
//! It is for people who ask what happened just now. It lives in memory and is bounded. It shows names of
//! documents, but no questions and no answers, and nothing is decided by it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::clock::Timestamp;
use crate::entry::{Change, DocumentVersion};
use crate::key::{Corpus, EntryId};
use crate::store::{ChangeOutcome, RefusedReason};

/// How many records are kept.
pub const CAPACITY: usize = 512;

/// Something that happened to answers.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Record {
    /// The number of the record, counted in this process.
    pub sequence: u64,
    /// When it happened, in milliseconds since the Unix epoch.
    pub at: Timestamp,
    /// The corpus that it happened in.
    pub corpus: Corpus,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// Something changed, and what depended on it is no longer served.
    Invalidated {
        /// What changed: `document`, `chunks`, `collection`, `tag`, `namespace`, `entry` or `everything`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Its version from now on.
        version: Option<DocumentVersion>,
        /// The effect of the change.
        outcome: ChangeOutcome,
    },
    /// A document is held: nothing that depends on it is served.
    Held {
        /// The document.
        document: String,
    },
    /// A document is no longer held, and counts as changed.
    Released {
        /// The document.
        document: String,
        /// The effect of that.
        outcome: ChangeOutcome,
    },
    /// An answer was not stored, because it may be stale.
    Refused {
        /// The id that the entry would have had.
        entry: EntryId,
        /// Why.
        reason: RefusedReason,
    },
}

impl Event {
    pub(crate) fn invalidated(change: &Change, outcome: ChangeOutcome) -> Self {
        let (kind, name) = match change {
            Change::Document { id, .. } => ("document", id.clone()),
            Change::Chunks { document, .. } => ("chunks", document.clone()),
            Change::Collection(name) => ("collection", name.clone()),
            Change::Tag(name) => ("tag", name.clone()),
            Change::Namespace(path) => ("namespace", path.to_string()),
            Change::Entry(id) => ("entry", id.to_string()),
            Change::Everything => ("everything", String::new()),
        };
        let version = change.reported_document().and_then(|(_, version)| version.cloned());
        Self::Invalidated { kind, name, version, outcome }
    }
}

/// The newest records.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<(u64, VecDeque<Record>)>);

impl Journal {
    pub(crate) fn record(
        &self,
        at: Timestamp,
        corpus: &Corpus,
        events: impl ExactSizeIterator<Item = Event>,
    ) {
        let passed_over = events.len().saturating_sub(CAPACITY);
        let mut journal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (sequence, records) = &mut *journal;
        *sequence += passed_over as u64;
        for event in events.skip(passed_over) {
            *sequence += 1;
            if records.len() == CAPACITY {
                records.pop_front();
            }
            records.push_back(Record { sequence: *sequence, at, corpus: corpus.clone(), event });
        }
    }

    /// Up to `limit` records, the newest first.
    pub(crate) fn newest(&self, limit: usize) -> Vec<Record> {
        let journal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        journal.1.iter().rev().take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_are_kept() {
        let journal = Journal::default();
        let held = |number: usize| Event::Held { document: number.to_string() };
        let corpus = Corpus::default();
        journal.record(Timestamp::from_millis(1), &corpus, (0..3).map(held));
        journal.record(Timestamp::from_millis(2), &corpus, (0..CAPACITY + 5).map(held));
        let newest = journal.newest(usize::MAX);
        assert_eq!((newest.len(), newest[0].sequence), (CAPACITY, CAPACITY as u64 + 8));
        assert_eq!(newest.last().map(|record| record.sequence), Some(9));
    }
}
