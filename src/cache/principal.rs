//! Whose pipeline makes an answer, and who is served it.

use std::sync::Arc;

/// One of those who share a scope, and is not trusted with all that the others are served.
///
/// A principal is served what everybody in the scope is, and what it filled itself.
#[derive(Debug, Clone)]
#[must_use]
pub struct Principal {
    pub(super) name: Arc<str>,
    pub(super) counts_as: Arc<str>,
    pub(super) reach: Reach,
}

/// Who is served what a principal fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Reach {
    /// Nobody: it is not stored. For principals that cannot be told from others.
    Nobody,
    /// The principal alone.
    Own,
    /// Everybody who asks the very same question. It is never the answer to another one, and lives no longer than its
    /// content type says.
    SameQuestion,
    /// Everybody in the scope, also for other questions of the same meaning.
    #[default]
    Everybody,
}

impl Principal {
    /// The principal named `name`, whose answers everybody is served.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        Self { counts_as: Arc::clone(&name), name, reach: Reach::default() }
    }

    /// Sets the name under which its answers [confirm](crate::Admission::confirmations()) those of others, its own by
    /// default. However many there are of one such name, they count as one.
    pub fn counts_as(mut self, name: impl Into<Arc<str>>) -> Self {
        self.counts_as = name.into();
        self
    }

    /// Sets who is served what it fills. Where that is not everybody, an embedding that the query gives is not used but
    /// made again, for it says what the answer is found by.
    pub fn reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }
}
