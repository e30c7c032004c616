//! The one error type of the library.
//!
//! An [`Error`] means that something broke. Expected outcomes (a miss, a refused fill, a bypass) are variants
//! of the types that report them and never errors. Messages name the operation that failed and its object,
//! and never contain a question or an answer.

use std::fmt;
use std::ops::Range;

use crate::index;

/// What kind of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller passed something that cannot be accepted: an empty question, a NUL, a wrong dimension.
    InvalidInput,
    /// A setting is wrong or contradicts another.
    Config,
    /// A model file is missing, altered or does not match its manifest.
    Model,
    /// The embedder could not turn text into vectors.
    Embedding,
    /// The store, or a file that is kept beside it, failed.
    Store,
    /// The store cannot be reached, or did not answer lately and is left alone for a moment.
    Unavailable,
    /// An invalidation is not in force everywhere yet: it is kept, and tried again until it is.
    Incomplete,
    /// Stored data is damaged or was not written by this program.
    Corrupt,
    /// Another process holds the store, or the folder of snapshots.
    Locked,
    /// The cache is shutting down.
    Closed,
    /// Something took longer than its limit.
    Timeout,
    /// A service that this program calls, such as a language model, failed or cannot be reached.
    Upstream,
}

impl ErrorKind {
    /// Its name in JSON and for scripts, such as `invalid_input`.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Config => "config",
            Self::Model => "model",
            Self::Embedding => "embedding",
            Self::Store => "store",
            Self::Unavailable => "unavailable",
            Self::Incomplete => "incomplete",
            Self::Corrupt => "corrupt",
            Self::Locked => "locked",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Upstream => "upstream",
        }
    }
}

/// Why a server that can be reached does not serve this program, if that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerFault {
    /// The user or the password is wrong, or none was shown.
    Credentials,
    /// The user lacks a permission.
    Permission,
    /// No authority that is trusted signed the server's certificate.
    UnknownAuthority,
    /// The server's certificate has another fault: it has expired, or is for another name.
    Certificate,
    /// The server is a replica.
    NotPrimary,
}

/// An opaque error: a [kind](Error::kind), a message and, where there is one, the underlying cause.
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<BoxError>,
    not_in_force: Vec<Range<usize>>,
    server_fault: Option<ServerFault>,
}

/// Any error, as a closure that makes answers returns it: `?` turns every error into one.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` with this `message`: lowercase, no full stop, no question and no answer.
    ///
    /// Public so that stores, embedders and verifiers outside this crate can report failures.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, not_in_force: Vec::new(), server_fault: None }
    }

    /// The same error with its underlying cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error, because of `fault`.
    #[cfg(feature = "valkey")]
    pub(crate) fn with_server_fault(mut self, fault: Option<ServerFault>) -> Self {
        self.server_fault = fault;
        self
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// The same error for a call that reported `count` changes; those in `places` are not in force.
    #[cfg(any(feature = "embedded", feature = "valkey"))]
    pub(crate) fn of_changes(mut self, places: Vec<Range<usize>>, count: usize) -> Self {
        const SHOWN: usize = 5;
        let left: usize = places.iter().map(ExactSizeIterator::len).sum();
        if left < count {
            let shown = places.iter().take(SHOWN);
            let shown: Vec<_> = shown.map(|place| format!("{} to {}", place.start + 1, place.end)).collect();
            let more = if places.len() > SHOWN { " and others" } else { "" };
            let shown = shown.join(", ");
            self.message =
                format!("{left} of {count} changes ({shown}{more}) are not in force: {}", self.message);
        }
        self.not_in_force = places;
        self
    }

    /// The changes of a call that are not in force, as ranges of their positions in the call, counted from 0;
    /// all others are in force. Empty if that is not known; then each change may be in force or not.
    pub fn not_in_force(&self) -> &[Range<usize>] {
        &self.not_in_force
    }

    /// Why a server that can be reached does not serve this program; none if it cannot be reached, or if the
    /// reason is another one.
    pub fn server_fault(&self) -> Option<ServerFault> {
        self.server_fault
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the caller's input is at fault, so that trying again cannot help.
    pub fn is_invalid_input(&self) -> bool {
        self.kind == ErrorKind::InvalidInput
    }

    /// Whether another process holds the store.
    pub fn is_locked(&self) -> bool {
        self.kind == ErrorKind::Locked
    }

    /// Whether stored data is damaged or foreign.
    pub fn is_corrupt(&self) -> bool {
        self.kind == ErrorKind::Corrupt
    }
}

impl From<index::Error> for Error {
    fn from(error: index::Error) -> Self {
        let kind = match error.kind() {
            index::ErrorKind::InvalidInput => ErrorKind::InvalidInput,
            index::ErrorKind::Config => ErrorKind::Config,
            index::ErrorKind::Corrupt => ErrorKind::Corrupt,
            index::ErrorKind::Locked => ErrorKind::Locked,
            // The files of an index are kept beside the store.
            _ => ErrorKind::Store,
        };
        let message = error.to_string();
        Self { source: error.into_source(), ..Self::new(kind, message) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("source", &self.source)
            .field("not_in_force", &self.not_in_force)
            .field("server_fault", &self.server_fault)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::index::{Embedding, SegmentedIndex};

    #[test]
    fn an_error_of_the_index_keeps_its_kind_message_and_cause() {
        let settings = || SegmentedIndex::builder(2);
        let index = settings().build().unwrap();
        for (error, kind) in [
            (Embedding::new(&[]).unwrap_err(), ErrorKind::InvalidInput),
            (settings().ef_search(0).build().unwrap_err(), ErrorKind::Config),
            (settings().load(b"", &[0; 64][..], 64).unwrap_err(), ErrorKind::Corrupt),
            (index.save(b"", &mut [0; 8][..]).unwrap_err(), ErrorKind::Store),
        ] {
            let (message, cause) = (error.to_string(), error.source().map(ToString::to_string));
            assert_eq!(cause.is_some(), kind == ErrorKind::Store);
            let converted = Error::from(error);
            assert_eq!((converted.kind(), converted.to_string()), (kind, message));
            assert_eq!(converted.source().map(ToString::to_string), cause);
        }
    }
}
