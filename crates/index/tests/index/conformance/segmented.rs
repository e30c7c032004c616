//! What the segmented index does in addition: when it links, what it keeps, and what it finds then.

use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use wellspring_index::{Embedding, FlatIndex, SegmentedIndex, VectorIndex};

use super::{DIMENSIONS, clustered, graphs, id, ids, nearly};

#[test]
fn removals_are_forgotten_by_a_rebuild() {
    let index = graphs(DIMENSIONS, 50);
    let vectors = clustered(&mut StdRng::seed_from_u64(9), 1_000, DIMENSIONS, 10);
    for (number, vector) in vectors.iter().enumerate() {
        index.insert(id(number), vector).unwrap();
    }
    index.wait_idle();
    let full = index.memory_bytes();
    for number in 0..900 {
        assert!(index.remove(id(number)));
    }
    index.wait_idle();
    assert!(index.memory_bytes() < full / 3, "dead rows still take memory");
    assert_eq!(index.search(&vectors[0], 1_000, -1.0).unwrap().len(), 100);
    for number in 900..1_000 {
        assert!(index.remove(id(number)));
    }
    index.wait_idle();
    assert_eq!((index.len(), index.graphs()), (0, 0));
}

/// Each repeated insertion moved its entry out of its graph into the newest rows, so a caller that inserted known
/// entries caused all graphs to be built again.
#[test]
fn inserting_what_is_there_changes_nothing() {
    let vectors = clustered(&mut StdRng::seed_from_u64(15), 300, DIMENSIONS, 10);
    let index = graphs(DIMENSIONS, 256);
    let insert_all = || {
        for (number, vector) in vectors.iter().enumerate() {
            index.insert(id(number), vector).unwrap();
        }
    };
    insert_all();
    index.wait_idle();
    let (before, bytes) = (index.search(&vectors[7], 300, -1.0).unwrap(), index.memory_bytes());
    insert_all();
    assert_eq!(index.memory_bytes(), bytes, "entries have moved");
    assert_eq!(index.search(&vectors[7], 300, -1.0).unwrap(), before);
    // What is not the same is replaced.
    index.insert(id(7), &vectors[8]).unwrap();
    let nearest = index.search(&vectors[8], 2, -1.0).unwrap();
    assert!([id(7), id(8)].iter().all(|wanted| ids(&nearest).contains(wanted)), "{nearest:?}");
    assert_eq!(index.len(), 300);
}

/// When a document changes, its answers are removed, and most are made again for the same questions.
#[test]
fn what_comes_back_as_it_was_takes_its_old_place() {
    let vectors = clustered(&mut StdRng::seed_from_u64(17), 300, DIMENSIONS, 10);
    // The last of them makes a graph due, so that all are in it, however soon it is begun.
    let index = graphs(DIMENSIONS, 300);
    let insert = |number: usize| index.insert(id(number), &vectors[number]).unwrap();
    (0..300).for_each(insert);
    index.wait_idle();
    let (before, bytes) = (index.search(&vectors[7], 300, -1.0).unwrap(), index.memory_bytes());
    for round in 0..20 {
        let some = (0..300).skip(round % 10).step_by(10);
        some.clone().for_each(|number| assert!(index.remove(id(number))));
        assert_eq!(index.search(&vectors[7], 300, -1.0).unwrap().len(), 270);
        some.clone().for_each(insert);
        assert!(some.clone().all(|number| index.contains(id(number))));
    }
    assert_eq!(index.search(&vectors[7], 300, -1.0).unwrap(), before);
    assert_eq!(index.memory_bytes(), bytes, "entries have moved");
    // What comes back as another does not, and what is there as another is not doubled.
    assert!(index.remove(id(7)));
    index.insert(id(7), &nearly(&vectors[7])).unwrap();
    assert!(index.memory_bytes() != bytes);
    insert(7);
    assert_eq!(index.len(), 300);
    assert_eq!(index.search(&vectors[7], 300, -1.0).unwrap(), before);
}

#[test]
fn graphs_are_few_and_each_much_larger_than_the_smaller_ones_together() {
    let index = graphs(DIMENSIONS, 2);
    let vectors = clustered(&mut StdRng::seed_from_u64(11), 400, DIMENSIONS, 10);
    let mut most = 0;
    for (number, vector) in vectors.iter().enumerate() {
        index.insert(id(number), vector).unwrap();
        index.wait_idle();
        most = most.max(index.graphs());
    }
    assert_eq!(most, 2, "of 128 entries and more a graph is not linked again for 2");
}

/// A scan of up to the whole limit of new entries would take longer than the search of the graph.
#[test]
fn a_few_new_entries_are_linked_to_a_graph_that_stands() {
    let index = graphs(DIMENSIONS, 3_000);
    let vectors = clustered(&mut StdRng::seed_from_u64(23), 4_024, DIMENSIONS, 10);
    let insert = |numbers: std::ops::Range<usize>| {
        for number in numbers {
            index.insert(id(number), &vectors[number]).unwrap();
        }
        index.wait_idle();
        index.memory_bytes()
    };
    insert(0..3_000);
    let (scanned, linked) = (insert(3_000..4_023), insert(4_023..4_024));
    assert!(linked > scanned + 1_024 * 32 * size_of::<u32>() / 2, "{scanned} bytes, then {linked}");
    assert_eq!((index.graphs(), index.len()), (1, 4_024));
}

/// Only new entries are linked, and links to removed entries are repaired.
#[test]
fn a_graph_that_grows_and_loses_entries_finds_as_much_as_a_new_one() {
    const ENTRIES: usize = 3_000;
    const ROUNDS: usize = 12;
    let mut random = StdRng::seed_from_u64(21);
    let vectors = clustered(&mut random, ENTRIES + ROUNDS * 600 + 300, 64, 150);
    let (vectors, queries) = vectors.split_at(ENTRIES + ROUNDS * 600);
    let (exact, index) = (FlatIndex::new(64), graphs(64, 500));
    let insert = |number: usize| {
        exact.insert(id(number), &vectors[number]).unwrap();
        index.insert(id(number), &vectors[number]).unwrap();
    };
    (0..ENTRIES).for_each(insert);
    index.wait_idle();
    let mut live: Vec<usize> = (0..ENTRIES).collect();
    let mut recalls = Vec::new();
    for round in 0..=ROUNDS {
        let right = |query: &&Embedding| {
            let nearest = |index: &dyn VectorIndex| ids(&index.search(query, 1, -1.0).unwrap());
            nearest(&exact) == nearest(&index)
        };
        recalls.push(queries.iter().filter(right).count());
        if round == ROUNDS {
            break;
        }
        // A fifth is removed, and as many are added.
        for _ in 0..600 {
            let gone = live.swap_remove(random.random_range(0..live.len()));
            assert!(exact.remove(id(gone)) && index.remove(id(gone)));
        }
        for number in ENTRIES + round * 600..ENTRIES + (round + 1) * 600 {
            insert(number);
            live.push(number);
        }
        index.wait_idle();
        assert_eq!((index.len(), index.graphs()), (ENTRIES, 1));
    }
    assert!(recalls.iter().all(|&right| right >= 297), "of 300 were found {recalls:?}");
    let mut found = ids(&index.search(&queries[0], ENTRIES, -1.0).unwrap());
    found.sort_unstable();
    live.sort_unstable();
    assert_eq!(found, live.into_iter().map(id).collect::<Vec<_>>(), "a search wide enough finds all");
}

/// It would take about as long as the build if it waited for its end.
#[test]
fn dropping_the_index_ends_its_build() {
    const ENTRIES: usize = 6_000;
    let vectors = clustered(&mut StdRng::seed_from_u64(13), ENTRIES, 384, 50);
    let drop_takes = |is_built: bool| {
        let index = graphs(384, ENTRIES);
        for (number, vector) in vectors.iter().enumerate() {
            index.insert(id(number), vector).unwrap();
        }
        let begin = Instant::now();
        if is_built {
            index.wait_idle();
        }
        drop(index);
        begin.elapsed()
    };
    let (whole, cut_short) = (drop_takes(true), drop_takes(false));
    assert!(cut_short < whole / 2, "{cut_short:?}, and {whole:?} with all of the build");
}

#[test]
fn contradictory_settings_are_refused() {
    let builder = || SegmentedIndex::builder(DIMENSIONS);
    for bad in [
        SegmentedIndex::builder(0),
        SegmentedIndex::builder(10_000),
        builder().scan_limit(0),
        builder().ef_search(0),
        builder().build_threads(0),
        builder().max_dead_share(0.0),
        builder().max_dead_share(f64::NAN),
    ] {
        assert_eq!(bad.build().unwrap_err().kind(), wellspring_index::ErrorKind::Config);
    }
}

#[test]
fn graphs_find_what_an_exact_scan_finds() {
    const ENTRIES: usize = 4_000;
    const QUERIES: usize = 500;
    let vectors = clustered(&mut StdRng::seed_from_u64(1), ENTRIES + QUERIES, 128, 200);
    let (entries, queries) = vectors.split_at(ENTRIES);
    let exact = FlatIndex::new(128);
    // The one is linked at once; the last entries of the other are too few for its graph.
    let (one, several) = (graphs(128, ENTRIES), graphs(128, 25));
    for (number, vector) in entries.iter().enumerate() {
        exact.insert(id(number), vector).unwrap();
        one.insert(id(number), vector).unwrap();
        several.insert(id(number), vector).unwrap();
        // So that its segments do not depend on how soon each build begins.
        if (number + 1).is_multiple_of(25) {
            several.wait_idle();
        }
    }
    one.wait_idle();
    several.wait_idle();
    assert_eq!((one.graphs(), several.graphs()), (1, 2));
    let nearest = |index: &dyn VectorIndex, query| ids(&index.search(query, 1, -1.0).unwrap());
    let agreed =
        |index| queries.iter().filter(|query| nearest(&exact, query) == nearest(index, query)).count();
    let brute = |query: &Embedding| {
        let similarity = |number: &usize| entries[*number].similarity(query);
        (0..ENTRIES).max_by(|a, b| similarity(a).total_cmp(&similarity(b))).map(id)
    };
    let right =
        queries.iter().filter(|query| nearest(&exact, query).first().copied() == brute(query)).count();
    let recall = |found| found as f64 / QUERIES as f64;
    assert!(recall(right) >= 0.99, "the scan found {right} of {QUERIES}");
    for (what, agreed) in [("one graph", agreed(&one)), ("several graphs", agreed(&several))] {
        assert!(recall(agreed) >= 0.98, "{what} found {agreed} of {QUERIES}");
    }
}
