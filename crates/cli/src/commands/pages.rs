//! Goes through all answers of a store without holding them all.

use wellspring::error::Result;
use wellspring::key::EntryId;
use wellspring::store::{Store, StoredEntry};

/// How many entries are read at a time.
const PAGE: usize = 500;

/// All live entries of a store, by id. What is stored meanwhile may be met or not.
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
