//! Selects entries by corpus, tenant, scope, namespace or age.

use std::time::Duration;

use super::{Dependency, Entry};
use crate::clock::Timestamp;
use crate::key::{Corpus, Namespace, ScopeId, TenantId};

/// Selects entries by what they belong to. An entry must match everything that is named; if nothing is named,
/// all match.
///
/// It selects among entries that were read from a store, for example by [`Store::scan`](crate::Store::scan).
/// Answers that are still on their way are not entries yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selection {
    /// Those of this corpus.
    pub corpus: Option<Corpus>,
    /// Those of one of these tenants.
    pub tenants: Option<Vec<TenantId>>,
    /// Those of one of these scopes.
    pub scopes: Option<Vec<ScopeId>>,
    /// Those in this namespace, and in those below it.
    pub namespace: Option<Namespace>,
    /// Those that were stored longer ago than this.
    pub older_than: Option<Duration>,
}

impl Selection {
    /// Whether nothing is named, so that every entry is selected.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `entry` is selected at the time `now`.
    pub fn has(&self, entry: &Entry, now: Timestamp) -> bool {
        let Self { corpus, tenants, scopes, namespace, older_than } = self;
        let is_below = |wanted: &Namespace| {
            let is_in = |dependency: &Dependency| match dependency {
                Dependency::Namespace(path) => path.prefixes().any(|prefix| prefix == wanted.as_str()),
                _ => false,
            };
            entry.dependencies.iter().any(is_in)
        };
        corpus.as_ref().is_none_or(|corpus| entry.corpus == *corpus)
            && tenants.as_ref().is_none_or(|any| entry.tenant.is_some_and(|tenant| any.contains(&tenant)))
            && scopes.as_ref().is_none_or(|any| any.contains(&entry.scope))
            && namespace.as_ref().is_none_or(is_below)
            && older_than.is_none_or(|age| now.saturating_since(entry.created_at) > age)
    }
}
