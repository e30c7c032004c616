//! Iterates over all answers of a store without loading them all at once.

use wellspring::error::Result;
use wellspring::key::EntryId;
use wellspring::store::{Store, StoredEntry};

/// How many entries are read at a time.
const PAGE: usize = 500;

/// All live entries of a store, by id. An entry that is stored in the meantime may or may not be included.
pub(crate) struct Pages<'a> {
    store: &'a dyn Store,
    after: Option<EntryId>,
}

impl<'a> Pages<'a> {
    pub(crate) fn of(store: &'a dyn Store) -> Self {
        Self { store, after: None }
    }

    /// The next entries; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<StoredEntry>>> {
        let page = self.store.scan(self.after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.entry.id);
        Ok(Some(page))
    }
}
