//! What is to be done to a corpus, in a form that a journal can keep.

use serde::{Deserialize, Serialize};
use wellspring::cache::Cache;
use wellspring::entry::{Change, DocumentVersion};
use wellspring::error::{Error, Result};
use wellspring::invalidate::Invalidation;
use wellspring::key::Corpus;

/// Changes of a corpus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) corpus: Corpus,
    pub(crate) action: Action,
}

/// What is to be done. Holds are not among the actions: a hold that begins later than it was requested is of
/// no use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    Invalidate(Vec<Change>),
    End { document: String, version: Option<DocumentVersion> },
}

impl Job {
    pub(crate) fn invalidate(corpus: Corpus, changes: Vec<Change>) -> Self {
        Self { corpus, action: Action::Invalidate(changes) }
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.action, Action::Invalidate(changes) if changes.is_empty())
    }

    /// The number of names by which it ends answers.
    pub(super) fn names(&self) -> usize {
        match &self.action {
            Action::Invalidate(changes) => changes.iter().map(weight).sum(),
            Action::End { .. } => 1,
        }
    }

    /// Checks the names, so that no job is kept that can never be applied.
    pub(super) fn check(&self) -> Result<()> {
        match &self.action {
            Action::Invalidate(changes) => Change::check_all(changes),
            Action::End { document, version } => {
                Change::Document { id: document.clone(), version: version.clone() }.check()
            }
        }
    }

    /// How many changes there are.
    pub(super) fn changes(&self) -> usize {
        match &self.action {
            Action::Invalidate(changes) => changes.len(),
            Action::End { .. } => 1,
        }
    }

    /// The same job with only the first `count` of its changes.
    pub(super) fn first(&self, count: usize) -> Self {
        match &self.action {
            Action::Invalidate(changes) => {
                Self::invalidate(self.corpus.clone(), changes.iter().take(count).cloned().collect())
            }
            Action::End { .. } => self.clone(),
        }
    }

    /// What is left to do after an attempt that ended in `error`.
    pub(super) fn left_after(self, error: &Error) -> Self {
        match &self.action {
            Action::Invalidate(changes) if !error.not_in_force().is_empty() => {
                let left = error.not_in_force().iter().filter_map(|place| changes.get(place.clone()));
                Self::invalidate(self.corpus.clone(), left.flatten().cloned().collect())
            }
            _ => self,
        }
    }

    pub(super) async fn apply(&self, cache: &Cache) -> Result<Invalidation> {
        match &self.action {
            Action::Invalidate(changes) => cache.invalidate(&self.corpus, changes).await,
            Action::End { document, version } => {
                cache.end_update(&self.corpus, document, version.clone()).await
            }
        }
    }
}

/// How many names a change counts as.
pub(crate) fn weight(change: &Change) -> usize {
    match change {
        Change::Chunks { hashes, .. } => hashes.len(),
        _ => 1,
    }
}
