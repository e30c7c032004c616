//! How keys and values are encoded: each value with the CRC-32 of its bytes behind it.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The key of an entry or a name.
pub(super) type Id = &'static [u8; 16];

/// Encodes `value`, which will take about `size` bytes.
pub(super) fn encode_checksummed(value: &impl Serialize, size: usize) -> Result<Vec<u8>> {
    let mut bytes = postcard::to_extend(value, Vec::with_capacity(size))
        .map_err(|e| Error::new(ErrorKind::Store, "cannot encode an entry").with_source(e))?;
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    Ok(bytes)
}

pub(super) fn decode_checksummed<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    postcard::from_bytes(without_checksum(bytes)?).ok()
}

/// The encoded value without its checksum; none if it is damaged.
pub(super) fn without_checksum(bytes: &[u8]) -> Option<&[u8]> {
    let (value, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(value) != u32::from_le_bytes(*checksum) {
        tracing::warn!("an entry in the store is damaged and is treated as missing");
        return None;
    }
    Some(value)
}
