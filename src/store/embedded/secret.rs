//! The secret of a store, kept as four numbers in its metadata.

use redb::{Error, ReadableTable};

use super::failures::read_error;
use super::file::StoreFile;
use super::format::META;
use crate::error::Result;

const NAMES: [&str; 4] = ["secret.0", "secret.1", "secret.2", "secret.3"];

/// The secret that the file has; if it has none, `offered` is stored and returned. Blocks; the first call
/// waits for other writes.
pub(super) fn keep(file: &StoreFile, offered: [u8; 32]) -> Result<[u8; 32]> {
    let known = file.read(|transaction| {
        let meta = transaction.open_table(META).map_err(read_error)?;
        read(&meta).map_err(read_error)
    })?;
    if let Some(secret) = known {
        return Ok(secret);
    }
    let mut secret = offered;
    file.write(|transaction| {
        let mut meta = transaction.open_table(META)?;
        // Another call may have stored one first.
        if let Some(known) = read(&meta)? {
            secret = known;
            return Ok(());
        }
        for (name, part) in NAMES.iter().zip(offered.as_chunks().0) {
            meta.insert(*name, u64::from_le_bytes(*part))?;
        }
        Ok(())
    })?;
    Ok(secret)
}

fn read(meta: &impl ReadableTable<&'static str, u64>) -> Result<Option<[u8; 32]>, Error> {
    let mut secret = [0; 32];
    for (name, part) in NAMES.iter().zip(secret.as_chunks_mut().0) {
        let Some(kept) = meta.get(*name)? else { return Ok(None) };
        *part = kept.value().to_le_bytes();
    }
    Ok(Some(secret))
}
