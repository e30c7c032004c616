//! The secret of a store: four numbers among its metadata.

use redb::{Database, Error, ReadableDatabase as _, ReadableTable};

use super::format::META;

const NAMES: [&str; 4] = ["secret.0", "secret.1", "secret.2", "secret.3"];

/// The secret that the file has, or `offered`, which it has from then on.
pub(super) fn keep(database: &Database, offered: [u8; 32]) -> Result<[u8; 32], Error> {
    if let Some(secret) = read(&database.begin_read()?.open_table(META)?)? {
        return Ok(secret);
    }
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        // Another one may have been quicker.
        if let Some(secret) = read(&meta)? {
            return Ok(secret);
        }
        for (name, part) in NAMES.iter().zip(offered.as_chunks().0) {
            meta.insert(*name, u64::from_le_bytes(*part))?;
        }
    }
    transaction.commit()?;
    Ok(offered)
}

fn read(meta: &impl ReadableTable<&'static str, u64>) -> Result<Option<[u8; 32]>, Error> {
    let mut secret = [0; 32];
    for (name, part) in NAMES.iter().zip(secret.as_chunks_mut().0) {
        let Some(kept) = meta.get(*name)? else { return Ok(None) };
        *part = kept.value().to_le_bytes();
    }
    Ok(Some(secret))
}
