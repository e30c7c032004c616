//! Arrays in a file, each with a checksum.
//!
//! Each checksum also covers the one before it, and the first covers that of the header, which holds a random
//! number. So a matching checksum proves that an array is undamaged, in its place, and from this file: blocks
//! of an older file in the place of newer ones are detected.
//!
//! Arrays are converted chunk by chunk, so neither writing nor reading takes memory in addition to the array
//! itself.

use std::io::{self, Read, Write};

use super::{damaged, unreadable};
use crate::error::{Error, ErrorKind, Result};

/// The size of the checksum after each array.
pub(super) const CHECKSUM_BYTES: usize = 4;
/// How many bytes are converted at a time. A multiple of the size of every item.
const CHUNK_BYTES: usize = 256 * 1024;

pub(super) struct SectionWriter<W> {
    to: W,
    checksum: u32,
    chunk: Vec<u8>,
}

impl<W: Write> SectionWriter<W> {
    pub(super) fn new(to: W, checksum: u32) -> Self {
        Self { to, checksum, chunk: vec![0; CHUNK_BYTES] }
    }

    pub(super) fn write<const N: usize, T: Copy>(
        &mut self,
        items: &[T],
        encode: impl Fn(T) -> [u8; N],
    ) -> io::Result<()> {
        let mut hasher = following(self.checksum);
        for items in items.chunks(CHUNK_BYTES / N) {
            let bytes = &mut self.chunk[..items.len() * N];
            for (place, &item) in bytes.as_chunks_mut().0.iter_mut().zip(items) {
                *place = encode(item);
            }
            hasher.update(bytes);
            self.to.write_all(bytes)?;
        }
        self.checksum = hasher.finalize();
        self.to.write_all(&self.checksum.to_le_bytes())
    }
}

pub(super) struct SectionReader<R> {
    from: R,
    checksum: u32,
    chunk: Vec<u8>,
}

impl<R: Read> SectionReader<R> {
    pub(super) fn new(from: R, checksum: u32) -> Self {
        Self { from, checksum, chunk: vec![0; CHUNK_BYTES] }
    }

    /// Reads an array of `len` items and verifies its checksum.
    ///
    /// The caller has checked that the file is long enough to hold it, which bounds the allocation.
    pub(super) fn read<const N: usize, T>(
        &mut self,
        len: usize,
        decode: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>> {
        let mut items = Vec::new();
        items.try_reserve_exact(len).map_err(|_| no_memory())?;
        let mut hasher = following(self.checksum);
        while items.len() < len {
            let count = (len - items.len()).min(CHUNK_BYTES / N);
            let bytes = &mut self.chunk[..count * N];
            self.from.read_exact(bytes).map_err(unreadable)?;
            hasher.update(bytes);
            items.extend(bytes.as_chunks().0.iter().map(|&bytes| decode(bytes)));
        }
        self.checksum = hasher.finalize();
        let mut expected = [0; CHECKSUM_BYTES];
        self.from.read_exact(&mut expected).map_err(unreadable)?;
        if self.checksum != u32::from_le_bytes(expected) {
            return Err(damaged("a checksum is wrong"));
        }
        Ok(items)
    }
}

/// The checksum of data that follows the data with the checksum `checksum`.
fn following(checksum: u32) -> crc32fast::Hasher {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&checksum.to_le_bytes());
    hasher
}

pub(super) fn no_memory() -> Error {
    Error::new(ErrorKind::Io, "not enough memory for the snapshot of an index")
}
