//! The secret from which shown ids are made, as the store keeps it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cache::Cache;
use crate::error::Result;
use crate::key::{Corpus, EntryId, IdKey, ShownId};

/// How long a secret is used before the store is asked again whether it still has it. A server that was
/// emptied does not, and is given the secret again before another process makes up a new one.
const KNOWN_FOR: Duration = Duration::from_mins(1);

/// The secret that is known, if one is.
#[derive(Default)]
pub(crate) struct Ids(Mutex<Option<Known>>);

struct Known {
    secret: [u8; 32],
    key: Arc<IdKey>,
    since: Instant,
}

impl Cache {
    /// The key for the ids that callers are shown: a secret that the store keeps, the same for all processes
    /// that share it.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::Query;
    ///
    /// let id = cache.entry_id(&Query::new("How do I reset my password?"))?;
    /// let key = cache.id_key().await?;
    /// assert_eq!(key.entry(key.show(id)), id);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// If the store cannot be asked, and was never asked successfully before.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn id_key(&self) -> Result<Arc<IdKey>> {
        let known = || self.inner.ids.0.lock().unwrap_or_else(PoisonError::into_inner);
        let offered = match &mut *known() {
            Some(known) if known.since.elapsed() < KNOWN_FOR => return Ok(Arc::clone(&known.key)),
            // One caller asks the store again; the others, and all if it does not answer, continue with the
            // known secret.
            Some(known) => {
                known.since = Instant::now();
                known.secret
            }
            None => rand::random(),
        };
        match self.inner.store.secret(offered).await {
            Ok(secret) => {
                let key = Arc::new(IdKey::new(&secret));
                *known() = Some(Known { secret, key: Arc::clone(&key), since: Instant::now() });
                Ok(key)
            }
            Err(error) => known().as_ref().map(|known| Arc::clone(&known.key)).ok_or(error),
        }
    }

    /// The entry that an operator means by `id`: its own id, or the id that callers are shown.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Corpus, EntryId, Query};
    ///
    /// let id = cache.entry_id(&Query::new("How do I reset my password?"))?;
    /// let shown = cache.id_key().await?.show(id);
    /// assert_eq!(cache.named(&Corpus::default(), EntryId::from_bytes(*shown.as_bytes())).await?, id);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn named(&self, corpus: &Corpus, id: EntryId) -> Result<EntryId> {
        if self.entry(corpus, id).await?.is_some() {
            return Ok(id);
        }
        let meant = self.id_key().await?.entry(ShownId::from_bytes(*id.as_bytes()));
        Ok(if self.entry(corpus, meant).await?.is_some() { meant } else { id })
    }
}
