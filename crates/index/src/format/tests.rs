//! Files with correct checksums and wrong contents.

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use wellspring_test_support::fuzz::Target;

use super::*;
use crate::{Embedding, Id, SegmentedIndex, SegmentedIndexBuilder, VectorIndex};

const DIMENSIONS: usize = 5;
const LABEL: &[u8] = b"label";

// Sections of the sample: first those of its newest rows, then those of its segment.
const NEWEST_IDS: usize = 0;
const SCALES: usize = 1;
const UPPER: usize = 2;
const DEAD: usize = 4;
const IDS: usize = 5;
const BASE: usize = 9;
const LAYER: usize = 10;
const LAYER_LINKS: usize = 11;

fn id(number: u8) -> Id {
    [number; 16]
}

fn vector(random: &mut SmallRng) -> Embedding {
    Embedding::new(&std::array::from_fn::<f32, DIMENSIONS, _>(|_| random.random_range(-1.0..1.0))).unwrap()
}

fn builder() -> SegmentedIndexBuilder {
    SegmentedIndex::builder(DIMENSIONS).scan_limit(70)
}

/// A graph with layers above the base and dead rows, and newest rows.
fn sample() -> (SegmentedIndex, Vec<u8>) {
    let mut random = SmallRng::seed_from_u64(1);
    let index = builder().build().unwrap();
    for number in 0..100 {
        index.insert(id(number), &vector(&mut random)).unwrap();
        if number == 69 {
            index.wait_idle();
        }
    }
    for number in [3, 30, 69, 80] {
        assert!(index.remove(id(number)));
    }
    let mut bytes = Vec::new();
    index.save(LABEL, &mut bytes).unwrap();
    (index, bytes)
}

fn load(bytes: &[u8]) -> Result<SegmentedIndex> {
    builder().load(LABEL, bytes, bytes.len() as u64)
}

fn header_of(bytes: &[u8]) -> (Header, usize) {
    let (header, rest) = postcard::take_from_bytes::<Header>(&bytes[PREFIX_BYTES..]).unwrap();
    (header, bytes.len() - rest.len())
}

/// The length of each section without its checksum, in order.
fn section_lens(header: &Header) -> Vec<usize> {
    let plane = blocks_of(header.dimensions as usize) * BLOCK;
    let rows = |len: usize| [len * 16, len * 4, len * plane, len * plane];
    let number = |len: u64| usize::try_from(len).unwrap();
    let mut lens = rows(number(header.newest)).to_vec();
    for segment in &header.segments {
        let len = number(segment.rows);
        lens.push(len.div_ceil(64) * 8);
        lens.extend(rows(len));
        if let Some(graph) = &segment.graph {
            lens.push(len * 4 * BASE_LINKS);
            lens.extend(graph.upper.iter().flat_map(|&rows| [number(rows) * 4, number(rows) * 4 * LINKS]));
        }
    }
    lens
}

/// Replaces the header in `bytes` with this one, and corrects all checksums.
fn reseal(bytes: &[u8], header: &Header) -> Vec<u8> {
    let (_, mut at) = header_of(bytes);
    let lens = section_lens(&header_of(bytes).0);
    let (mut sealed, mut checksum) = header.encode().unwrap();
    for len in lens {
        let section = &bytes[at..at + len];
        checksum = crc32fast::hash(&[&checksum.to_le_bytes(), section].concat());
        sealed.extend(section);
        sealed.extend(checksum.to_le_bytes());
        at += len + CHECKSUM_BYTES;
    }
    assert_eq!(at, bytes.len());
    sealed
}

/// The byte range of section `number`.
fn section(bytes: &[u8], number: usize) -> std::ops::Range<usize> {
    let (header, begin) = header_of(bytes);
    let lens = section_lens(&header);
    let begin = begin + lens[..number].iter().map(|len| len + CHECKSUM_BYTES).sum::<usize>();
    begin..begin + lens[number]
}

fn refusal(bytes: &[u8]) -> String {
    let error = load(bytes).unwrap_err();
    assert!(error.is_corrupt(), "{error:?}");
    error.to_string().trim_start_matches("the snapshot of an index is damaged: ").to_owned()
}

#[test]
fn the_length_is_what_the_header_says() {
    let (index, bytes) = sample();
    let (header, begin) = header_of(&bytes);
    assert_eq!(header.section_bytes(), (bytes.len() - begin) as u128);
    assert_eq!(index.save(LABEL, std::io::sink()).unwrap(), bytes.len() as u64);
    assert!(header.segments[0].graph.as_ref().is_some_and(|graph| !graph.upper.is_empty()));
    assert_eq!(index.ids(), load(&reseal(&bytes, &header)).unwrap().ids());
}

/// `tests/index/snapshot/earlier.rs` says what is in it, and made it.
#[test]
fn the_file_of_an_earlier_build_is_written_again_byte_for_byte() {
    let earlier = include_bytes!("../../tests/fixtures/version-2.index");
    let (label, dimensions) = (b"model 1", 24);
    let (newest, segments) = read(&earlier[..], earlier.len() as u64, label, dimensions).unwrap();
    let segments: Vec<Captured> = segments.into_iter().map(|segment| Arc::new(segment).capture()).collect();
    let mut again = Vec::new();
    write(&mut again, label, dimensions, &newest, &segments).unwrap();
    // Only the random number differs, and with it the checksums.
    let (mut header, _) = header_of(&again);
    header.nonce = header_of(earlier).0.nonce;
    assert_eq!(reseal(&again, &header), earlier);
}

#[test]
fn what_a_search_goes_by_is_checked() {
    let (_, bytes) = sample();
    let (header, _) = header_of(&bytes);
    let with = |number, at: usize, value: &[u8]| {
        let mut changed = bytes.clone();
        changed[section(&bytes, number)][at..at + value.len()].copy_from_slice(value);
        refusal(&reseal(&changed, &header))
    };
    let first_id = bytes[section(&bytes, IDS)][..16].to_vec();
    for (found, expected) in [
        (with(SCALES, 8, &f32::NAN.to_le_bytes()), "a vector is not of unit length"),
        (with(SCALES, 8, &(-1.0_f32).to_le_bytes()), "a vector is not of unit length"),
        (with(SCALES, 8, &f32::INFINITY.to_le_bytes()), "a vector is not of unit length"),
        (with(UPPER, 0, &[0; 5]), "a vector is not of unit length"),
        (with(DEAD, 15, &[0x80]), "a row that is not there is marked as dead"),
        (with(IDS, 16, &first_id), "an id has two rows"),
        (with(NEWEST_IDS, 0, &first_id), "an id is in two places"),
        (with(BASE, 0, &70_u32.to_le_bytes()), "a link leads to no row"),
        (with(LAYER_LINKS, 0, &70_u32.to_le_bytes()), "a link leads to no row"),
        (with(LAYER, 0, &69_u32.to_le_bytes()), "a layer of a graph has no order"),
    ] {
        assert_eq!(found, expected);
    }
    let with_entry = |entry| {
        let (mut header, _) = header_of(&bytes);
        header.segments[0].graph.as_mut().unwrap().entry = entry;
        load(&reseal(&bytes, &header))
    };
    assert!(with_entry(70).unwrap_err().is_corrupt());
    assert!(with_entry(69).is_ok(), "any row is a place to begin");
}

#[test]
fn lengths_that_the_file_does_not_have_are_refused_before_anything_is_allocated() {
    let (_, bytes) = sample();
    let refused = |change: &dyn Fn(&mut Header)| {
        let (mut header, begin) = header_of(&bytes);
        change(&mut header);
        let (mut changed, _) = header.encode().unwrap();
        changed.extend(&bytes[begin..]);
        refusal(&changed)
    };
    let of_graph = |header: &mut Header, len| header.segments[0].graph.as_mut().unwrap().upper[0] = len;
    for len in [0, 1, 1 << 33, 1 << 60, u64::MAX] {
        let expected = "it is not as long as its header says";
        assert_eq!(refused(&|header| header.newest = len), expected);
        assert_eq!(refused(&|header| header.segments[0].rows = len), expected);
        assert_eq!(refused(&|header| of_graph(header, len)), expected);
    }
    let many = |header: &mut Header| {
        header.segments = (0..50_000).map(|_| SegmentShape { rows: u64::MAX, graph: None }).collect();
    };
    assert_eq!(refused(&many), "it is not as long as its header says");
}

#[test]
fn a_section_of_another_file_is_not_taken_for_one_of_this() {
    let (index, bytes) = sample();
    let mut other = Vec::new();
    index.save(LABEL, &mut other).unwrap();
    assert_eq!(bytes.len(), other.len());
    let upper = section(&bytes, UPPER);
    assert_eq!(bytes[upper.clone()], other[upper.clone()]);
    let span = upper.start..upper.end + CHECKSUM_BYTES;
    other[span.clone()].copy_from_slice(&bytes[span]);
    assert_eq!(refusal(&other), "a checksum is wrong");
}

/// Whatever a file contains, it is either refused or searched in bounded time and without a panic.
#[test]
fn contents_at_random_do_no_harm() {
    let mut random = SmallRng::seed_from_u64(2);
    let (_, bytes) = sample();
    let (header, begin) = header_of(&bytes);
    let (mut loaded, mut refused) = (0, 0);
    for _ in 0..3_000 {
        let mut changed = bytes.clone();
        // Section by section, since most of the file is links.
        let place = section(&bytes, random.random_range(0..section_lens(&header).len()));
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(place.clone());
            // Small numbers are more likely to be valid rows.
            changed[at] = if random.random_bool(0.5) { random.random_range(0..70) } else { random.random() };
        }
        assert!(begin <= place.start);
        let Ok(index) = load(&reseal(&changed, &header)) else {
            refused += 1;
            continue;
        };
        loaded += 1;
        let len = index.len();
        for k in [1, 8, 1_000] {
            let found = index.search(&vector(&mut random), k, -1.0).unwrap();
            assert_eq!(found.len(), k.min(len));
            assert!(found.iter().all(|neighbor| neighbor.similarity.abs() <= 1.0));
        }
        let ids = index.ids();
        assert_eq!(ids.len(), len);
        assert!(ids.into_iter().all(|id| index.contains(id) && index.remove(id) && !index.contains(id)));
        assert!(index.is_empty());
    }
    assert!(loaded > 300 && refused > 300, "{loaded} loaded, {refused} refused");
}

/// The same with correct checksums, as far as the file goes.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut mended = bytes.to_vec();
    let Some(len) = bytes.get(12..16).and_then(|len| len.try_into().ok()).map(u32::from_le_bytes) else {
        return mended;
    };
    let begin = PREFIX_BYTES + len as usize;
    let Some(header) = bytes.get(PREFIX_BYTES..begin) else { return mended };
    let mut checksum = checksum_without_itself(&bytes[..begin]);
    mended[PREFIX_BYTES - 4..PREFIX_BYTES].copy_from_slice(&checksum.to_le_bytes());
    let Ok(header) = postcard::from_bytes::<Header>(header) else { return mended };
    if header.section_bytes() != (bytes.len() - begin) as u128 {
        return mended;
    }
    let mut at = begin;
    for len in section_lens(&header) {
        checksum = crc32fast::hash(&[&checksum.to_le_bytes(), &bytes[at..at + len]].concat());
        mended[at + len..at + len + CHECKSUM_BYTES].copy_from_slice(&checksum.to_le_bytes());
        at += len + CHECKSUM_BYTES;
    }
    mended
}

#[test]
fn whatever_bytes_have_the_right_checksums_they_are_an_index_or_refused() {
    let (_, bytes) = sample();
    let mut small = Vec::new();
    let few = builder().build().unwrap();
    let mut random = SmallRng::seed_from_u64(3);
    for number in 0..3 {
        few.insert(id(number), &vector(&mut random)).unwrap();
    }
    few.save(LABEL, &mut small).unwrap();
    let question = vector(&mut random);
    // Reading and writing pass through buffers of their own, in addition to what is read.
    Target::new("index").room(2 << 20, 64).input(bytes).input(small).run(|input| {
        drop(load(input));
        let Ok(index) = load(&mended(input)) else { return false };
        let found = index.search(&question, 8, -1.0).unwrap();
        assert_eq!(found.len(), index.len().min(8));
        let mut again = Vec::new();
        index.save(LABEL, &mut again).unwrap();
        let again = load(&again).unwrap();
        let sorted = |mut ids: Vec<Id>| {
            ids.sort_unstable();
            ids
        };
        assert_eq!(sorted(again.ids()), sorted(index.ids()));
        true
    });
}
