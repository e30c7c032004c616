//! Which versions of documents are registered.

use super::{Inner, reply};
use crate::entry::{DocumentVersion, any_change_of};
use crate::error::Result;
use crate::key::{Corpus, EntryId};

impl Inner {
    /// Reads the registered versions of documents.
    ///
    /// It does not check whether the clock may still be trusted: if it was not, a fill with the read version
    /// of an earlier lookup is refused anyway.
    pub(super) async fn versions(
        &self,
        corpus: &Corpus,
        id: EntryId,
        documents: &[&str],
    ) -> Result<Vec<Option<DocumentVersion>>> {
        self.check_open()?;
        let bucket = self.keys.bucket(corpus, id);
        self.check_bucket(bucket)?;
        let clock = self.keys.clock(bucket);
        let mut get = redis::cmd("HMGET");
        get.arg(&clock).arg("f");
        for document in documents {
            let name = *any_change_of(document).as_bytes();
            get.arg([b"v".as_slice(), &name].concat()).arg(&name);
        }
        let found = self.link.send(&get, &clock, self.command_limit()).await?;
        let unexpected = || reply::unexpected("a look at versions");
        let Some([low_water_mark, registered @ ..]) = reply::items(&found) else { return Err(unexpected()) };
        let low_water_mark: u64 = reply::number(low_water_mark).unwrap_or_default();
        let (pairs, rest) = registered.as_chunks::<2>();
        if pairs.len() != documents.len() || !rest.is_empty() {
            return Err(unexpected());
        }
        // A version lives as long as the tombstone that it came with.
        let version = |[version, tombstone]: &[redis::Value; 2]| {
            let lives = reply::number::<u64>(tombstone).is_some_and(|tombstone| tombstone > low_water_mark);
            reply::text(version).filter(|_| lives).map(Into::into)
        };
        Ok(pairs.iter().map(version).collect())
    }
}
