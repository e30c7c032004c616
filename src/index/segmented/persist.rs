//! Writing an index down, and taking it up again.
//!
//! What is written is the index at one moment: every change that returned before it, none that began after
//! the call returned. The lock is held while the newest rows and the marks of dead ones are copied, which are at most
//! about as many rows as the scan limit and one bit for each entry; sealed segments are read in place while searches,
//! insertions, removals and builds go on. A build is neither waited for nor written: its input is, and
//! an index that is loaded builds what was not built yet.
//!
//! Until the writing ends, segments that a build replaces meanwhile stay in memory.

use std::io::{Read, Write};
use std::sync::Arc;

use super::{SegmentedIndex, SegmentedIndexBuilder, State};
use crate::error::Result;
use crate::index::format;
use crate::index::rows::Rows;
use crate::index::segment::Captured;

impl SegmentedIndex {
    /// Writes the index to `to`, under a `label` of at most 4,096 bytes that says what its embeddings are of.
    /// Returns how many bytes it has written.
    ///
    /// Blocks for as long as writing takes: about 540 bytes per entry of 384 dimensions. Nothing is
    /// flushed to a disk; [`Generations::save`](crate::index::Generations::save) does that.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the label is too long; `Store` if `to` fails.
    pub fn save(&self, label: &[u8], to: impl Write) -> Result<u64> {
        let (newest, segments) = self.capture();
        format::write(to, label, self.shared.settings.dimensions, &newest, &segments)
    }

    fn capture(&self) -> (Rows, Vec<Captured>) {
        // During a long build the newest rows become many. As a segment they need not be copied.
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
    /// It finds what the saved one found, in the same order, as long as it has the same settings. What
    /// the saved one had not linked yet is linked in the background.
    ///
    /// # Errors
    ///
    /// `Corrupt` if the bytes are damaged or are no index; `Config` if they are one of another label, dimension or
    /// version of the format, or if the settings are not those that [`build`](Self::build) accepts; `Store` if
    /// they cannot be read or memory does not hold them.
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
