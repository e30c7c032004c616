//! Whose pipeline makes an answer, and who may be served it.

use std::sync::Arc;

/// One of those who share a scope, but who is not trusted with everything that the others are served.
///
/// A principal is served the answers that everybody in the scope is served, and those that it filled itself.
#[derive(Debug, Clone)]
#[must_use]
pub struct Principal {
    pub(super) name: Arc<str>,
    pub(super) counts_as: Arc<str>,
    pub(super) visibility: Visibility,
}

/// Who is served what a principal fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Visibility {
    /// No one: it is not stored, and no one waits for it. For principals that cannot be distinguished from
    /// others.
    NoOne,
    /// The principal alone.
    Own,
    /// Everybody who asks the very same question. It is never the answer to another one, and its time to live
    /// is at most that of its content type.
    SameQuestion,
    /// Everybody in the scope, also for other questions of the same meaning.
    #[default]
    Everyone,
}

impl Principal {
    /// The principal named `name`, whose answers are served to everybody.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        Self { counts_as: Arc::clone(&name), name, visibility: Visibility::default() }
    }

    /// Sets the name under which its answers [confirm](crate::Admission::confirmations()) those of others;
    /// the default is its own name. All principals with the same such name count as one.
    pub fn counts_as(mut self, name: impl Into<Arc<str>>) -> Self {
        self.counts_as = name.into();
        self
    }

    /// Sets who is served the answers that it fills. If that is not everybody, an embedding that the query
    /// gives is not used but made again, because the embedding decides which questions find the answer.
    pub fn visibility(mut self, visibility: Visibility) -> Self {
        self.visibility = visibility;
        self
    }
}
