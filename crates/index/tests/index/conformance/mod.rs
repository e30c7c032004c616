//! The promises of every `VectorIndex`, tested on each kind and compared with a plain map.

mod segmented;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use wellspring_index::{ERROR, Embedding, FlatIndex, Id, Neighbor, SegmentedIndex, VectorIndex};

const DIMENSIONS: usize = 24;

/// One index of each kind, and the segmented one also with limits so small that everything goes through graphs.
fn every_index(dimensions: usize) -> Vec<(&'static str, Box<dyn VectorIndex>)> {
    vec![
        ("flat", Box::new(FlatIndex::new(dimensions))),
        ("segmented", Box::new(SegmentedIndex::builder(dimensions).build().unwrap())),
        ("graphs", Box::new(graphs(dimensions, 8))),
        ("one entry per segment", Box::new(graphs(dimensions, 1))),
    ]
}

fn graphs(dimensions: usize, scan_limit: usize) -> SegmentedIndex {
    SegmentedIndex::builder(dimensions).scan_limit(scan_limit).build().unwrap()
}

fn id(number: usize) -> Id {
    (number as u128).to_be_bytes()
}

fn ids(neighbors: &[Neighbor]) -> Vec<Id> {
    neighbors.iter().map(|neighbor| neighbor.id).collect()
}

/// The unit vector in the plane of the first two axes, at `degrees` from the first.
fn at_angle(degrees: f32) -> Embedding {
    let mut components = [0.0; DIMENSIONS];
    (components[1], components[0]) = degrees.to_radians().sin_cos();
    Embedding::new(&components).unwrap()
}

/// Vectors around common centres, as questions lie around topics.
fn clustered(rng: &mut StdRng, len: usize, dimensions: usize, clusters: usize) -> Vec<Embedding> {
    let mut vector = |around: Option<&Vec<f32>>| -> Vec<f32> {
        let noise = (0..dimensions).map(|_| rng.random_range(-1.0_f32..1.0));
        match around {
            None => noise.collect(),
            Some(centre) => centre.iter().zip(noise).map(|(centre, noise)| centre + 0.7 * noise).collect(),
        }
    };
    let centres: Vec<_> = (0..clusters).map(|_| vector(None)).collect();
    (0..len).map(|n| Embedding::new(&vector(Some(&centres[n % clusters]))).unwrap()).collect()
}

/// Another vector that no threshold distinguishes from `vector`.
fn nearly(vector: &Embedding) -> Embedding {
    let mut components = vector.as_slice().to_vec();
    components[0] += 1e-3;
    Embedding::new(&components).unwrap()
}

#[test]
fn an_empty_index_finds_nothing() {
    for (name, index) in every_index(DIMENSIONS) {
        assert_eq!(index.search(&at_angle(0.0), 3, -1.0).unwrap(), [], "{name}");
        assert!(index.is_empty() && !index.remove(id(1)) && !index.contains(id(1)), "{name}");
        assert!(index.ids().is_empty(), "{name}");
        assert!(index.memory_bytes() < 2_048, "{name} takes memory for entries that it does not have");
    }
}

#[test]
fn neighbours_come_nearest_first_with_their_similarity() {
    for (name, index) in every_index(DIMENSIONS) {
        for number in [30, 0, 90, 60, 180] {
            index.insert(id(number), &at_angle(number as f32)).unwrap();
        }
        let found = index.search(&at_angle(1.0), 4, -1.0).unwrap();
        assert_eq!(ids(&found), [id(0), id(30), id(60), id(90)], "{name}");
        for (neighbor, degrees) in found.iter().zip([1.0_f32, 29.0, 59.0, 89.0]) {
            assert!((neighbor.similarity - degrees.to_radians().cos()).abs() < ERROR, "{name}");
        }
    }
}

#[test]
fn k_limits_the_number_and_floor_the_similarity() {
    for (name, index) in every_index(DIMENSIONS) {
        for number in 0..40 {
            index.insert(id(number), &at_angle(number as f32 * 2.0)).unwrap();
        }
        let query = at_angle(-10.0);
        let count = |k, floor| index.search(&query, k, floor).unwrap().len();
        assert_eq!(count(0, -1.0), 0, "{name}");
        assert_eq!(count(5, -1.0), 5, "{name}");
        assert_eq!(count(1_000, -1.0), 40, "{name}");
        assert_eq!(count(usize::MAX, -1.0), 40, "{name}");
        assert_eq!(count(100, 25.0_f32.to_radians().cos()), 8, "{name}: 10, 12, … 24 degrees away");
        assert_eq!(count(100, 1.5), 0, "{name}");
        assert_eq!(count(100, f32::NAN), 0, "{name}");
    }
}

#[test]
fn another_dimension_is_refused() {
    for (name, index) in every_index(DIMENSIONS) {
        let short = Embedding::new(&[1.0, 2.0]).unwrap();
        let error = index.insert(id(1), &short).unwrap_err();
        assert!(error.is_invalid_input(), "{name}");
        assert_eq!(error.to_string(), "embedding has 2 dimensions, the index holds 24", "{name}");
        assert!(index.search(&short, 1, 0.0).unwrap_err().is_invalid_input(), "{name}");
        assert!(index.is_empty(), "{name}");
    }
}

#[test]
fn inserting_again_replaces() {
    for (name, index) in every_index(DIMENSIONS) {
        for number in 0..20 {
            index.insert(id(number), &at_angle(0.0)).unwrap();
        }
        for degrees in [10.0, 20.0, 90.0] {
            index.insert(id(7), &at_angle(degrees)).unwrap();
        }
        assert_eq!(index.len(), 20, "{name}");
        let found = index.search(&at_angle(90.0), 30, -1.0).unwrap();
        assert_eq!(found.len(), 20, "{name}: each id once");
        assert_eq!(found[0].id, id(7), "{name}");
    }
}

#[test]
fn removed_entries_stay_away_and_free_their_ids() {
    for (name, index) in every_index(DIMENSIONS) {
        for number in 0..30 {
            index.insert(id(number), &at_angle(number as f32)).unwrap();
        }
        assert!((0..30).step_by(2).all(|number| index.remove(id(number))), "{name}");
        assert!(!index.remove(id(0)), "{name}: a second time");
        let found = index.search(&at_angle(0.0), 5, -1.0).unwrap();
        assert_eq!(ids(&found), [1, 3, 5, 7, 9].map(id), "{name}");
        index.insert(id(0), &at_angle(0.0)).unwrap();
        assert_eq!(ids(&index.search(&at_angle(0.0), 1, -1.0).unwrap()), [id(0)], "{name}");
        assert_eq!(index.len(), 16, "{name}");
    }
}

#[test]
fn equal_vectors_are_all_found_in_the_order_of_their_ids() {
    for (name, index) in every_index(DIMENSIONS) {
        for number in (0..100).rev() {
            index.insert(id(number), &at_angle(5.0)).unwrap();
        }
        let found = index.search(&at_angle(5.0), 200, -1.0).unwrap();
        assert_eq!(ids(&found), (0..100).map(id).collect::<Vec<_>>(), "{name}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert(usize, usize),
    Remove(usize),
    Search(usize, usize, f32),
    WaitIdle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..40_usize, 0..60_usize).prop_map(|(id, vector)| Step::Insert(id, vector)),
        // Few vectors for each id, so that some come back as they were.
        4 => (0..40_usize, 0..4_usize).prop_map(|(id, vector)| Step::Insert(id, (id * 7 + vector * 15) % 60)),
        3 => (0..40_usize).prop_map(Step::Remove),
        4 => (0..60_usize, 0..50_usize, -1.0_f32..1.0).prop_map(|(vector, k, floor)| Step::Search(vector, k, floor)),
        1 => Just(Step::WaitIdle),
    ];
    prop::collection::vec(step, 1..150)
}

/// Compares the result of a map with that of the index. Entries that are equally similar within the tolerance
/// may change places, so similarities are compared by rank and ids by their own similarity.
fn check_search(
    found: &[Neighbor],
    oracle: &BTreeMap<usize, usize>,
    vectors: &[Embedding],
    (query, k, floor): (usize, usize, f32),
) -> Result<(), TestCaseError> {
    let similarity = |vector: usize| vectors[vector].similarity(&vectors[query]);
    let mut expected: Vec<f32> = oracle.values().map(|&vector| similarity(vector)).collect();
    expected.sort_by(|a, b| b.total_cmp(a));
    expected.truncate(k);
    let least = expected.iter().filter(|&&expected| expected >= floor + ERROR).count();
    let most = expected.iter().filter(|&&expected| expected >= floor - ERROR).count();
    prop_assert!((least..=most).contains(&found.len()), "{} of {least} to {most}", found.len());
    for (neighbor, expected) in found.iter().zip(expected) {
        prop_assert!((neighbor.similarity - expected).abs() < ERROR);
        let number = u128::from_be_bytes(neighbor.id);
        let vector = oracle.get(&usize::try_from(number).unwrap());
        let vector = *vector.ok_or_else(|| TestCaseError::fail(format!("{number} is not there")))?;
        prop_assert!((neighbor.similarity - similarity(vector)).abs() < ERROR);
    }
    prop_assert!(found.is_sorted_by(|a, b| a.similarity >= b.similarity));
    let mut distinct = ids(found);
    distinct.sort_unstable();
    distinct.dedup();
    prop_assert_eq!(distinct.len(), found.len());
    Ok(())
}

fn agrees_with_a_map(
    index: &dyn VectorIndex,
    wait_idle: &dyn Fn(),
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let vectors = clustered(&mut StdRng::seed_from_u64(7), 60, DIMENSIONS, 6);
    let mut oracle = BTreeMap::new();
    for step in steps {
        match *step {
            Step::Insert(number, vector) => {
                index.insert(id(number), &vectors[vector]).unwrap();
                oracle.insert(number, vector);
            }
            Step::Remove(number) => {
                prop_assert_eq!(index.remove(id(number)), oracle.remove(&number).is_some());
            }
            Step::Search(vector, k, floor) => {
                let found = index.search(&vectors[vector], k, floor).unwrap();
                check_search(&found, &oracle, &vectors, (vector, k, floor))?;
            }
            Step::WaitIdle => wait_idle(),
        }
        prop_assert_eq!(index.len(), oracle.len());
        let mut listed = index.ids();
        listed.sort_unstable();
        prop_assert_eq!(listed, oracle.keys().copied().map(id).collect::<Vec<_>>());
    }
    for number in 0..40 {
        prop_assert_eq!(index.contains(id(number)), oracle.contains_key(&number));
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_flat_index_agrees_with_a_map(steps in steps()) {
        agrees_with_a_map(&FlatIndex::new(DIMENSIONS), &|| (), &steps)?;
    }

    /// Builds run during the steps, so that searches meet every state of an exchange.
    #[test]
    fn the_segmented_index_agrees_with_a_map(steps in steps(), scan_limit in 1..20_usize) {
        let index = graphs(DIMENSIONS, scan_limit);
        agrees_with_a_map(&index, &|| index.wait_idle(), &steps)?;
    }
}

/// Each thread owns a range of ids, so it knows what must be there while the others interfere.
#[test]
fn threads_see_their_own_changes_at_once() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 150;
    let vectors = clustered(&mut StdRng::seed_from_u64(3), THREADS * ROUNDS, DIMENSIONS, 10);
    for (name, index) in every_index(DIMENSIONS) {
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (index, vectors) = (&index, &vectors);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let own = thread * ROUNDS + round;
                        let is_found = || {
                            let found = index.search(&vectors[own], 3, 0.999).unwrap();
                            ids(&found).contains(&id(own))
                        };
                        index.insert(id(own), &vectors[own]).unwrap();
                        assert!(is_found(), "{name}: inserted, not found");
                        if round % 3 == 0 {
                            assert!(index.remove(id(own)), "{name}");
                            assert!(!is_found(), "{name}: removed, found");
                        }
                    }
                });
            }
        });
        assert_eq!(index.len(), THREADS * ROUNDS * 2 / 3, "{name}");
    }
}

/// The mechanisms: an entry that moves from the newest into a segment behind the back of a search would be
/// missed; one that is inserted again during a search would be found twice; one that is removed while a graph
/// with it is built would come back with the graph. Graphs are tiny here, so that all of this happens often.
#[test]
fn no_entry_is_missed_doubled_or_brought_back_while_graphs_are_built() {
    const KEPT: usize = 40;
    let index = SegmentedIndex::builder(DIMENSIONS).scan_limit(2).max_dead_share(0.05).build().unwrap();
    let vectors = clustered(&mut StdRng::seed_from_u64(5), KEPT + 20, DIMENSIONS, KEPT + 20);
    for (number, vector) in vectors[..KEPT].iter().enumerate() {
        index.insert(id(number), vector).unwrap();
    }
    // A vector that is inserted again must differ from the present one; otherwise it stays where it is.
    let again: Vec<_> = vectors.iter().map(nearly).collect();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let search_on = || {
            for number in (0..KEPT).cycle() {
                if is_done.load(Ordering::Relaxed) {
                    break;
                }
                let found = index.search(&vectors[number], 2, 0.999).unwrap();
                assert_eq!(ids(&found), [id(number)], "an entry that was there all the time");
            }
        };
        scope.spawn(search_on);
        scope.spawn(search_on);
        for round in 0..5_000 {
            let (kept, passing) = (round % KEPT, KEPT + round % 20);
            let kept_vector = if (round / KEPT).is_multiple_of(2) { &again[kept] } else { &vectors[kept] };
            index.insert(id(kept), kept_vector).unwrap();
            index.insert(id(passing), &vectors[passing]).unwrap();
            if round % 7 == 0 {
                std::thread::yield_now();
            }
            assert!(index.remove(id(passing)));
            assert_eq!(index.search(&vectors[passing], 1, 0.999).unwrap(), [], "a removed entry");
        }
        is_done.store(true, Ordering::Relaxed);
    });
    index.wait_idle();
    let mut found = ids(&index.search(&vectors[0], 100, -1.0).unwrap());
    found.sort_unstable();
    assert_eq!(found, (0..KEPT).map(id).collect::<Vec<_>>());
}
