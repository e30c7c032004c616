//! The file format of an index.
//!
//! ```text
//! prefix    magic, version, length and checksum of the header: the same in every version
//! header    random number, label, dimensions, and the number of rows and links of every part (postcard)
//! sections  newest rows: ids, scales, upper, lower
//!           per segment: dead marks, ids, scales, upper, lower; with a graph also
//!                        base links, and per upper layer its rows and links
//! ```
//!
//! Sections are arrays of little-endian items, each [with a checksum](sections). All lengths follow from the
//! header, and the file must have exactly the resulting length, so nothing is allocated that the file could
//! not fill.
//!
//! Guarantees that a file is either read as it was written or refused. All data read is also checked against
//! every invariant that a search relies on, so even a file with correct checksums and wrong contents can make
//! no search panic or run forever. Such a file can still give wrong neighbours: it must come from a folder
//! that no one else writes to.
//!
//! It deliberately does not read other versions, because an index can be rebuilt. Nor does it store what can
//! be computed: the location of each id, and the rows that no link leads to.

mod sections;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::convert::identity;
use std::io::{self, BufReader, BufWriter, Read, Write};

use serde::{Deserialize, Serialize};

use self::sections::{CHECKSUM_BYTES, SectionReader, SectionWriter};
use super::dot::{BLOCK, Block};
use super::graph::{BASE_LINKS, Graph, LINKS, Layer};
use super::rows::{Rows, blocks_of};
use super::segment::{Captured, Segment};
use crate::error::{Error, ErrorKind, Result};

const MAGIC: [u8; 8] = *b"wsindex\n";
/// Increased whenever the meaning of the header or the sections changes.
const VERSION: u32 = 2;
/// Magic, version, length of the header, and the checksum of these and the header.
const PREFIX_BYTES: usize = 20;
const MAX_LABEL_BYTES: usize = 4_096;
/// Far more than the few segments of an index need.
const MAX_HEADER_BYTES: u32 = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// Makes the checksums of one file invalid in every other file.
    nonce: [u8; 8],
    label: Vec<u8>,
    dimensions: u32,
    newest: u64,
    segments: Vec<SegmentShape>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SegmentShape {
    rows: u64,
    graph: Option<GraphShape>,
}

#[derive(Debug, Serialize, Deserialize)]
struct GraphShape {
    entry: u32,
    /// The number of rows in each layer above the base.
    upper: Vec<u64>,
}

/// Writes an index of `dimensions` to `to`; returns the number of bytes.
pub(super) fn write(
    to: impl Write,
    label: &[u8],
    dimensions: usize,
    newest: &Rows,
    segments: &[Captured],
) -> Result<u64> {
    if label.len() > MAX_LABEL_BYTES {
        let len = label.len();
        return Err(Error::invalid(format!("label has {len} bytes, the limit is {MAX_LABEL_BYTES}")));
    }
    let header = Header {
        nonce: rand::random(),
        label: label.to_vec(),
        dimensions: u32::try_from(dimensions).unwrap_or(u32::MAX),
        newest: newest.len() as u64,
        segments: segments.iter().map(SegmentShape::of).collect(),
    };
    let failed = |e| Error::new(ErrorKind::Io, "cannot write the snapshot of an index").with_source(e);
    let (bytes, checksum) = header.encode().map_err(|e| failed(io::Error::other(e)))?;
    write_all(to, &bytes, checksum, newest, segments).map_err(failed)?;
    Ok(bytes.len() as u64 + u64::try_from(header.section_bytes()).unwrap_or(u64::MAX))
}

fn write_all(
    to: impl Write,
    header: &[u8],
    checksum: u32,
    newest: &Rows,
    segments: &[Captured],
) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    to.write_all(header)?;
    let mut sections = SectionWriter::new(&mut to, checksum);
    write_rows(&mut sections, newest)?;
    for segment in segments {
        sections.write(segment.dead(), u64::to_le_bytes)?;
        write_rows(&mut sections, segment.rows())?;
        if let Some(graph) = segment.graph() {
            sections.write(graph.base(), u32::to_le_bytes)?;
            for layer in graph.upper() {
                sections.write(&layer.rows, u32::to_le_bytes)?;
                sections.write(&layer.links, u32::to_le_bytes)?;
            }
        }
    }
    to.flush()
}

fn write_rows(sections: &mut SectionWriter<impl Write>, rows: &Rows) -> io::Result<()> {
    sections.write(rows.ids(), identity)?;
    sections.write(rows.scales(), f32::to_le_bytes)?;
    sections.write(rows.upper(), |block: Block| block.0)?;
    sections.write(rows.lower(), |block: Block| block.0)
}

/// Reads the newest rows and the segments from the `len_bytes` bytes of `from`.
///
/// # Errors
///
/// `Corrupt` if the bytes are damaged or are not an index; `Config` if the index has another version, label
/// or dimension; `Io` if the bytes cannot be read.
pub(super) fn read(
    from: impl Read,
    len_bytes: u64,
    label: &[u8],
    dimensions: usize,
) -> Result<(Rows, Vec<Segment>)> {
    let mut from = BufReader::new(from);
    let (header, checksum) = Header::read(&mut from, len_bytes)?;
    if header.label != label {
        return Err(Error::new(ErrorKind::Config, "the snapshot has another label"));
    }
    if header.dimensions as usize != dimensions {
        let found = header.dimensions;
        let message = format!("the snapshot has {found} dimensions, the index {dimensions}");
        return Err(Error::new(ErrorKind::Config, message));
    }
    let mut sections = SectionReader::new(from, checksum);
    let newest = read_rows(&mut sections, header.newest, dimensions)?;
    let segments: Vec<Segment> = header
        .segments
        .into_iter()
        .map(|shape| read_segment(&mut sections, shape, dimensions))
        .collect::<Result<_>>()?;
    check_live_once(&newest, &segments)?;
    Ok((newest, segments))
}

fn read_rows(sections: &mut SectionReader<impl Read>, len: u64, dimensions: usize) -> Result<Rows> {
    let ids = sections.read(items(len, 1)?, identity)?;
    let scales = sections.read(items(len, 1)?, f32::from_le_bytes)?;
    let upper = sections.read(items(len, blocks_of(dimensions))?, Block)?;
    let lower = sections.read(items(len, blocks_of(dimensions))?, Block)?;
    Rows::restore(dimensions, ids, scales, upper, lower).map_err(damaged)
}

fn read_segment(
    sections: &mut SectionReader<impl Read>,
    shape: SegmentShape,
    dimensions: usize,
) -> Result<Segment> {
    let dead = sections.read(items(shape.rows.div_ceil(64), 1)?, u64::from_le_bytes)?;
    let rows = read_rows(sections, shape.rows, dimensions)?;
    let graph = match shape.graph {
        None => None,
        Some(graph) => Some(read_graph(sections, &graph, shape.rows)?),
    };
    Segment::restore(rows, graph, dead).map_err(damaged)
}

fn read_graph(sections: &mut SectionReader<impl Read>, shape: &GraphShape, len: u64) -> Result<Graph> {
    let base = sections.read(items(len, BASE_LINKS)?, u32::from_le_bytes)?;
    let mut upper = Vec::new();
    for &rows in &shape.upper {
        let of_layer = sections.read(items(rows, 1)?, u32::from_le_bytes)?;
        let links = sections.read(items(rows, LINKS)?, u32::from_le_bytes)?;
        upper.push(Layer { rows: of_layer, links });
    }
    Graph::restore(base, upper, shape.entry).map_err(damaged)
}

/// Fails if an id is live in two places: a removal would remove it from only one of them.
fn check_live_once(newest: &Rows, segments: &[Segment]) -> Result<()> {
    let parts = segments.len() + usize::from(newest.len() > 0);
    // Within one part, no id occurs twice.
    if parts < 2 {
        return Ok(());
    }
    let total = newest.len() + segments.iter().map(Segment::live).sum::<usize>();
    let mut met = HashSet::new();
    met.try_reserve(total).map_err(|_| sections::no_memory())?;
    let mut live = newest.ids().iter().copied().chain(segments.iter().flat_map(Segment::live_ids));
    if live.all(|id| met.insert(id)) { Ok(()) } else { Err(damaged("an id is in two places")) }
}

impl Header {
    /// The prefix and the header, with their checksum.
    fn encode(&self) -> Result<(Vec<u8>, u32), postcard::Error> {
        let header = postcard::to_stdvec(self)?;
        let len = u32::try_from(header.len()).ok().filter(|&len| len <= MAX_HEADER_BYTES);
        let len = len.ok_or(postcard::Error::SerializeBufferFull)?;
        let mut bytes = [&MAGIC[..], &VERSION.to_le_bytes(), &len.to_le_bytes(), &[0; 4]].concat();
        bytes.extend(header);
        let checksum = checksum_without_itself(&bytes);
        bytes[PREFIX_BYTES - 4..PREFIX_BYTES].copy_from_slice(&checksum.to_le_bytes());
        Ok((bytes, checksum))
    }

    /// Reads prefix and header; returns the header with its checksum.
    fn read(from: &mut impl Read, len_bytes: u64) -> Result<(Self, u32)> {
        let mut bytes = vec![0; PREFIX_BYTES];
        from.read_exact(&mut bytes).map_err(unreadable)?;
        if bytes[..8] != MAGIC {
            return Err(damaged("it does not begin as one"));
        }
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let (version, len, checksum) = (number(8), number(12), number(16));
        let rest = len_bytes.saturating_sub(PREFIX_BYTES as u64);
        if len > MAX_HEADER_BYTES || u64::from(len) > rest {
            return Err(damaged("its header is too long"));
        }
        bytes.resize(PREFIX_BYTES + len as usize, 0);
        from.read_exact(&mut bytes[PREFIX_BYTES..]).map_err(unreadable)?;
        if checksum_without_itself(&bytes) != checksum {
            return Err(damaged("the checksum of its header is wrong"));
        }
        if version != VERSION {
            let message = format!("the snapshot has format {version}, this version reads {VERSION}");
            return Err(Error::new(ErrorKind::Config, message));
        }
        let (header, left) = postcard::take_from_bytes::<Self>(&bytes[PREFIX_BYTES..])
            .map_err(|_| damaged("its header makes no sense"))?;
        if !left.is_empty() || header.section_bytes() != u128::from(rest - u64::from(len)) {
            return Err(damaged("it is not as long as its header says"));
        }
        Ok((header, checksum))
    }

    /// The length of everything after the header. No sum of products of the values that a header can hold
    /// overflows.
    fn section_bytes(&self) -> u128 {
        let section = |items: u128, item_bytes: u128| items * item_bytes + CHECKSUM_BYTES as u128;
        let rows = |len: u64| {
            let len = u128::from(len);
            let plane = blocks_of(self.dimensions as usize) * BLOCK;
            section(len, 16) + section(len, 4) + 2 * section(len, plane as u128)
        };
        let layer = |&len: &u64| section(len.into(), 4) + section(len.into(), 4 * LINKS as u128);
        let graph = |graph: &GraphShape, len: u64| {
            section(len.into(), 4 * BASE_LINKS as u128) + graph.upper.iter().map(layer).sum::<u128>()
        };
        let segment = |segment: &SegmentShape| {
            let graph = segment.graph.as_ref().map_or(0, |shape| graph(shape, segment.rows));
            section(segment.rows.div_ceil(64).into(), 8) + rows(segment.rows) + graph
        };
        rows(self.newest) + self.segments.iter().map(segment).sum::<u128>()
    }
}

impl SegmentShape {
    fn of(segment: &Captured) -> Self {
        let graph = segment.graph().map(|graph| GraphShape {
            entry: graph.entry(),
            upper: graph.upper().iter().map(|layer| layer.rows.len() as u64).collect(),
        });
        Self { rows: segment.rows().len() as u64, graph }
    }
}

/// The checksum of prefix and header, except for the four bytes that hold the checksum itself.
fn checksum_without_itself(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..PREFIX_BYTES - 4]);
    hasher.update(&bytes[PREFIX_BYTES..]);
    hasher.finalize()
}

/// The length of an array with `each` items per row. The file is long enough for it, so memory should be too.
fn items(rows: u64, each: usize) -> Result<usize> {
    usize::try_from(u128::from(rows) * each as u128).map_err(|_| sections::no_memory())
}

fn damaged(why: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the snapshot of an index is damaged: {why}"))
}

fn unreadable(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return damaged("it ends too soon");
    }
    Error::new(ErrorKind::Io, "cannot read the snapshot of an index").with_source(error)
}
