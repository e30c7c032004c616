//! What a store lists of its entries.

use std::sync::Arc;

use crate::entry::Entry;
use crate::key::EntryId;

/// An entry with how often it was served.
#[derive(Debug, Clone)]
pub struct StoredEntry {
    /// The entry.
    pub entry: Arc<Entry>,
    /// How often it was served since it was stored.
    pub hits: u64,
}

/// Some of the entries of a scope.
#[derive(Debug, Clone, Default)]
pub struct ScopePage {
    /// An entry may come twice. One that is stored or removed meanwhile may or may not come.
    pub entries: Vec<Listed>,
    /// Where to continue; none at the end.
    pub next: Option<ScopeCursor>,
}

/// A position in the entries of a scope. The meaning of the number is the store's own business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScopeCursor(pub u128);

/// What a store knows about an entry without reading the entry itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// The entry.
    pub id: EntryId,
    /// The number of the fill that stored it, which is less than [`Store::fills`](super::Store::fills) was
    /// after that fill; 0 if fills are not counted.
    pub fill: u64,
}
