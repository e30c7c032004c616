//! Entries named by the ids that the gateway shows to callers.

use wellspring::entry::Change;
use wellspring::error::Result;
use wellspring::key::{Corpus, EntryId, IdKey, ShownId};
use wellspring::store::Store;

/// The entry that `id` names: by its own id, or by the id that callers are shown.
pub(crate) async fn entry(store: &dyn Store, corpus: &Corpus, id: EntryId) -> Result<EntryId> {
    if is_stored(store, corpus, id).await? {
        return Ok(id);
    }
    let key = IdKey::new(&store.secret(rand::random()).await?);
    let meant = key.entry(ShownId::from_bytes(*id.as_bytes()));
    Ok(if is_stored(store, corpus, meant).await? { meant } else { id })
}

async fn is_stored(store: &dyn Store, corpus: &Corpus, id: EntryId) -> Result<bool> {
    Ok(!store.dependants(corpus, &Change::Entry(id)).await?.is_empty())
}
