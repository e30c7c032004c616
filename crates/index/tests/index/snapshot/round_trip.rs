//! An index that is loaded finds what the saved one found.

use wellspring_index::{ErrorKind, SegmentedIndex, VectorIndex};

use crate::snapshot::{
    DIMENSIONS, LABEL, answers, clustered, id, load, mixed, random, saved, settings, sorted,
};

/// Loads what `index` saves, and checks that both are equal.
fn reloaded(index: &SegmentedIndex, what: &str) -> SegmentedIndex {
    let bytes = saved(index);
    let loaded = load(settings(), &bytes).unwrap();
    let queries = clustered(&mut random(), 30, DIMENSIONS);
    assert_eq!(loaded.len(), index.len(), "{what}");
    assert_eq!(sorted(loaded.ids()), sorted(index.ids()), "{what}");
    assert_eq!(loaded.graphs(), index.graphs(), "{what}");
    assert_eq!(answers(&loaded, &queries), answers(index, &queries), "{what}");
    assert_eq!(answers(&load(settings(), &saved(&loaded)).unwrap(), &queries), answers(index, &queries));
    loaded
}

#[test]
fn an_empty_index() {
    let index = settings().build().unwrap();
    let loaded = reloaded(&index, "empty");
    assert!(loaded.is_empty());
    assert!(saved(&index).len() < 100, "thousands of scopes are empty");
}

#[test]
fn newest_rows_a_graph_and_both() {
    let vectors = clustered(&mut random(), 120, DIMENSIONS);
    let index = settings().build().unwrap();
    for (number, vector) in vectors.iter().enumerate() {
        index.insert(id(number), vector).unwrap();
        if number == 63 {
            index.wait_idle();
        }
        if [0, 40, 62, 63, 64, 119].contains(&number) {
            let loaded = reloaded(&index, &format!("{number} entries"));
            assert_eq!(loaded.graphs(), usize::from(number >= 63));
        }
    }
}

#[test]
fn several_graphs_dead_rows_and_newest_rows() {
    let index = mixed(&mut random(), 1);
    assert!(index.graphs() >= 2, "{} graphs", index.graphs());
    let loaded = reloaded(&index, "mixed");
    // The dead stay dead, and the living can be removed, replaced and joined by others.
    assert!(!loaded.contains(id(9)) && !loaded.remove(id(9)));
    let vectors = clustered(&mut random(), 200, DIMENSIONS);
    for changed in [&index, &loaded] {
        assert!(changed.remove(id(10)) && !changed.contains(id(10)));
        changed.insert(id(11), &vectors[11]).unwrap();
        changed.insert(id(9), &vectors[9]).unwrap();
    }
    assert_eq!(answers(&loaded, &vectors[..20]), answers(&index, &vectors[..20]));
    for (number, vector) in vectors.iter().enumerate() {
        loaded.insert(id(1_000 + number), vector).unwrap();
    }
    loaded.wait_idle();
    assert_eq!(loaded.search(&vectors[0], 10_000, -1.0).unwrap().len(), loaded.len());
    // It can be saved again, with what changed.
    assert_eq!(sorted(load(settings(), &saved(&loaded)).unwrap().ids()), sorted(loaded.ids()));
}

#[test]
fn nothing_but_dead_rows() {
    let index = settings().build().unwrap();
    for (number, vector) in clustered(&mut random(), 64, DIMENSIONS).iter().enumerate() {
        index.insert(id(number), vector).unwrap();
    }
    index.wait_idle();
    let bytes_of_the_living = saved(&index);
    for number in 0..64 {
        index.remove(id(number));
    }
    assert!(load(settings(), &saved(&index)).unwrap().is_empty());
    assert_eq!(load(settings(), &bytes_of_the_living).unwrap().len(), 64, "a snapshot does not change");
}

/// An id whose vector was replaced has a dead row in a graph and a live one elsewhere.
#[test]
fn replaced_vectors() {
    let vectors = clustered(&mut random(), 300, DIMENSIONS);
    let index = settings().build().unwrap();
    for (number, vector) in vectors.iter().enumerate() {
        index.insert(id(number % 70), vector).unwrap();
        if number == 69 {
            index.wait_idle();
        }
    }
    index.wait_idle();
    assert_eq!(reloaded(&index, "replaced").len(), 70);
}

#[test]
fn any_dimension() {
    let mut random = random();
    for dimensions in [1, 2, 15, 16, 17, 8_192] {
        let index = SegmentedIndex::builder(dimensions).scan_limit(8).build().unwrap();
        let vectors = clustered(&mut random, 20, dimensions);
        for (number, vector) in vectors.iter().enumerate() {
            index.insert(id(number), vector).unwrap();
        }
        index.wait_idle();
        let bytes = saved(&index);
        let loaded = load(SegmentedIndex::builder(dimensions).scan_limit(8), &bytes).unwrap();
        assert_eq!(answers(&loaded, &vectors), answers(&index, &vectors), "{dimensions} dimensions");
    }
}

/// A build of these takes seconds. Saving waits for none of them, and what was not linked yet is linked
/// after loading.
#[test]
fn during_a_build() {
    const ENTRIES: usize = 5_000;
    let settings = || SegmentedIndex::builder(384).scan_limit(ENTRIES);
    let vectors = clustered(&mut random(), 2 * ENTRIES + 100, 384);
    let index = settings().build().unwrap();
    let insert = |range: std::ops::Range<usize>| {
        for number in range {
            index.insert(id(number), &vectors[number]).unwrap();
        }
    };
    let check = |what: &str| {
        let bytes = saved(&index);
        assert_eq!(index.graphs(), 0, "{what}: the build has ended before the snapshot");
        // With so high a limit that it scans as well, instead of building beside the comparison.
        let loaded = load(settings().scan_limit(usize::MAX), &bytes).unwrap();
        assert_eq!(sorted(loaded.ids()), sorted(index.ids()), "{what}");
        for query in &vectors[..20] {
            let first = |index: &SegmentedIndex| index.search(query, 1, -1.0).unwrap();
            assert_eq!(first(&loaded), first(&index), "{what}");
        }
        bytes
    };
    insert(0..ENTRIES);
    check("the input");
    insert(ENTRIES..ENTRIES + 50);
    index.remove(id(3));
    index.insert(id(5), &vectors[2 * ENTRIES]).unwrap();
    check("the input and newer ones");
    insert(ENTRIES + 50..2 * ENTRIES);
    let bytes = check("as many newer ones");
    // What saving did to the newest rows, it did not do to the build.
    index.wait_idle();
    assert_eq!((index.len(), index.contains(id(3))), (2 * ENTRIES - 1, false));
    let found = index.search(&vectors[2 * ENTRIES], 1, 0.999).unwrap();
    assert_eq!(found[0].id, id(5));
    drop(index);
    let loaded = load(settings().build_threads(2), &bytes).unwrap();
    loaded.wait_idle();
    assert!(loaded.graphs() >= 1);
    let queries = vectors.iter().enumerate().filter(|&(number, _)| ![3, 5].contains(&number));
    let found = queries
        .clone()
        .take(500)
        .filter(|(number, query)| loaded.search(query, 1, 0.999).unwrap()[0].id == id(*number));
    assert!(found.count() >= 495, "what was loaded is lost in the build");
}

#[test]
fn what_is_meant_for_another_index_is_distinguished_from_damage() {
    let index = mixed(&mut random(), 1);
    let bytes = saved(&index);
    let len = bytes.len() as u64;
    let refusals = [
        settings().load(b"model 2", &bytes[..], len),
        settings().load(b"", &bytes[..], len),
        SegmentedIndex::builder(DIMENSIONS + 1).load(LABEL, &bytes[..], len),
        settings().ef_search(0).load(LABEL, &bytes[..], len),
    ];
    for refusal in refusals {
        assert_eq!(refusal.unwrap_err().kind(), ErrorKind::Config);
    }
    for damaged in
        [&b""[..], b"x", &bytes[1..], &bytes[..bytes.len() - 1], &[bytes.clone(), vec![0]].concat()]
    {
        assert!(load(settings(), damaged).unwrap_err().is_corrupt());
    }
    // A reader that ends before the length that was promised.
    assert!(settings().load(LABEL, &bytes[..bytes.len() / 2], len).unwrap_err().is_corrupt());
    let long = vec![0; 4_097];
    assert!(index.save(&long, std::io::sink()).unwrap_err().is_invalid_input());
    assert_eq!(index.save(&long[1..], std::io::sink()).unwrap(), len + 4_096 + 1 - LABEL.len() as u64);
}
