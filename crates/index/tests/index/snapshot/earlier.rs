//! A file that an earlier build wrote. It is still read, whatever becomes of the code.
//!
//! `tests/fixtures/version-2.index` has a graph, a dead row in it, and newest rows. To make one for another
//! version of the format, run the ignored test.

use std::fs;
use std::path::PathBuf;

use wellspring_index::{ERROR, Embedding, SegmentedIndex, SegmentedIndexBuilder, VectorIndex};

use crate::snapshot::{DIMENSIONS, LABEL, id, saved, settings, sorted};

/// Every entry that was inserted; the last four are not in the graph.
const INSERTED: usize = 20;
/// What was removed: from the graph, and from the newest rows.
const REMOVED: [usize; 2] = [3, 17];

fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/version-2.index"))
}

fn with_a_small_graph() -> SegmentedIndexBuilder {
    settings().scan_limit(16)
}

fn vector(number: usize) -> Embedding {
    let components: [f32; DIMENSIONS] =
        std::array::from_fn(|axis| ((number * 5 + axis * axis) % 23) as f32 - 11.0);
    Embedding::new(&components).unwrap()
}

#[test]
#[ignore = "makes the fixture"]
fn make() {
    let index = with_a_small_graph().build().unwrap();
    for number in 0..INSERTED {
        index.insert(id(number), &vector(number)).unwrap();
        index.wait_idle();
    }
    assert!(REMOVED.iter().all(|&number| index.remove(id(number))));
    fs::write(path(), saved(&index)).unwrap();
}

#[test]
fn a_file_of_an_earlier_build_is_read_as_it_was_written() {
    let file = fs::File::open(path()).unwrap();
    let len_bytes = file.metadata().unwrap().len();
    let index: SegmentedIndex = with_a_small_graph().load(LABEL, file, len_bytes).unwrap();
    let kept: Vec<usize> = (0..INSERTED).filter(|number| !REMOVED.contains(number)).collect();
    assert_eq!(sorted(index.ids()), kept.iter().map(|&number| id(number)).collect::<Vec<_>>());
    assert_eq!(index.graphs(), 1);
    for &number in &kept {
        let found = index.search(&vector(number), INSERTED, -1.0).unwrap();
        assert_eq!(found.len(), kept.len());
        assert_eq!(found[0].id, id(number));
        for &other in &kept {
            let neighbor = found.iter().find(|neighbor| neighbor.id == id(other)).unwrap();
            let exact = vector(number).similarity(&vector(other));
            assert!((neighbor.similarity - exact).abs() <= ERROR, "{number} and {other}");
        }
    }
    assert_eq!(saved(&index).len() as u64, len_bytes);
}
