//! What the operations of the freshness protocol take and return.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::entry::Entry;

/// The state of a corpus' invalidation clock at one moment.
///
/// Which documents an answer needs is known only after they were read, and a read version taken then could
/// miss a change that came in between. So it is taken at the miss, before retrieval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadVersion {
    /// Identifies the clock; a new clock trusts nothing that was stored under another one.
    pub incarnation: u128,
    /// How many invalidations the clock had counted.
    pub sequence: u64,
}

/// What a lookup by id found.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The clock at the time of the lookup. A fill that starts now must carry it.
    pub read_version: ReadVersion,
    /// The entry, or why there is none to serve.
    pub found: Found,
}

/// An entry, or why there is none to serve.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Found {
    /// The entry may be served.
    Live(Arc<Entry>),
    /// Nothing is stored under this id.
    Absent,
    /// Something is stored, but it must not be served.
    Dead(DeadReason),
}

/// Why a stored entry must not be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeadReason {
    /// Its time to live is over.
    Expired,
    /// Something that it depends on was invalidated after its read version.
    Invalidated,
    /// Something that it depends on is being updated.
    Held,
    /// The clock that it was stored under is gone.
    ClockLost,
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "expired",
            Self::Invalidated => "a dependency was invalidated after its read version",
            Self::Held => "a dependency is being updated",
            Self::ClockLost => "its clock is gone",
        })
    }
}

/// The outcome of a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Filled {
    /// The entry is stored.
    Stored,
    /// The entry is not stored: it may be older than one of its documents.
    Refused(RefusedReason),
}

/// Why a fill was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusedReason {
    /// A dependency was invalidated while the answer was being made.
    DependencyChanged,
    /// A dependency is being updated.
    Held,
    /// The answer was derived from a version of a document that is not the registered one.
    VersionMismatch,
    /// No version of a document was reported, so the answer's version could not be compared with one.
    VersionUnknown,
    /// The clock that the read version was taken from is gone.
    ClockLost,
}

impl RefusedReason {
    /// The reason in the form that programs read.
    pub fn name(self) -> &'static str {
        match self {
            Self::DependencyChanged => "dependency_changed",
            Self::Held => "held",
            Self::VersionMismatch => "version_mismatch",
            Self::VersionUnknown => "version_unknown",
            Self::ClockLost => "clock_lost",
        }
    }
}

impl fmt::Display for RefusedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DependencyChanged => "a dependency changed while the answer was made",
            Self::Held => "a dependency is being updated",
            Self::VersionMismatch => "a document was read in a version other than the registered one",
            Self::VersionUnknown => {
                "no version of a document is registered: report its version, or look the question up before retrieval"
            }
            Self::ClockLost => "the clock of the read version is gone",
        })
    }
}

/// The effect of a [`Change`](crate::entry::Change).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChangeOutcome {
    /// This many entries that were stored are no longer served.
    Dropped(u64),
    /// The document already had this version, so nothing was done.
    Unchanged,
}

impl ChangeOutcome {
    /// How many entries are no longer served.
    pub fn dropped(self) -> u64 {
        match self {
            Self::Dropped(entries) => entries,
            Self::Unchanged => 0,
        }
    }
}
