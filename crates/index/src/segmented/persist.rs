//! Saving an index, and loading it again.
//!
//! The saved state is that of one moment: it includes every change that returned before the call, and none
//! that began after the call returned. The lock is held while the newest rows and the dead marks are copied,
//! which are at most about as many rows as the scan limit and one bit for each entry. Sealed segments are
//! read in place while searches, insertions, removals and builds go on. A save neither waits for a build nor
//! stores its result: it stores the input of the build, and a loaded index builds what was not built yet.
//!
//! Segments that a build replaces during a save stay in memory until the save ends.

use std::io::{Read, Write};
use std::sync::Arc;

use super::{SegmentedIndex, SegmentedIndexBuilder, State};
use crate::error::Result;
use crate::format;
use crate::rows::Rows;
use crate::segment::Captured;

impl SegmentedIndex {
    /// Writes the index to `to`, under a `label` of at most 4,096 bytes that identifies the source of its
    /// embeddings. Returns the number of bytes written.
    ///
    /// Blocks for as long as writing takes: it writes about 540 bytes per entry of 384 dimensions. Nothing is
    /// flushed to a disk; [`Generations::save`](crate::Generations::save) does that.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the label is too long; `Io` if `to` fails.
    pub fn save(&self, label: &[u8], to: impl Write) -> Result<u64> {
        let (newest, segments) = self.capture();
        format::write(to, label, self.shared.settings.dimensions, &newest, &segments)
    }

    fn capture(&self) -> (Rows, Vec<Captured>) {
        // During a long build, many newest rows can accumulate. As a segment they need not be copied.
        let settings = &self.shared.settings;
        let is_long = |state: &State| state.newest.len() >= state.seal_at(settings);
        if is_long(&self.read()) {
            self.update(|state| state.seal_newest(settings));
        }
        let state = self.read();
        (state.newest.clone(), state.capture_segments())
    }
}

impl SegmentedIndexBuilder {
    /// Reads an index of `len_bytes` bytes that [`SegmentedIndex::save`] wrote under the same `label`.
    ///
    /// The loaded index finds the same entries as the saved one, in the same order, as long as it has the
    /// same settings. Entries that the saved index had not linked yet are linked in the background.
    ///
    /// # Errors
    ///
    /// `Corrupt` if the bytes are damaged or are not an index; `Config` if the index has another label,
    /// dimension or version of the format, or if [`build`](Self::build) does not accept the settings; `Io`
    /// if the bytes cannot be read or do not fit in memory.
    pub fn load(self, label: &[u8], from: impl Read, len_bytes: u64) -> Result<SegmentedIndex> {
        let index = self.build()?;
        let (newest, segments) = format::read(from, len_bytes, label, index.shared.settings.dimensions)?;
        index.update(|state| {
            state.newest = newest;
            state.segments = Arc::new(segments.into_iter().map(Arc::new).collect());
        });
        Ok(index)
    }
}
