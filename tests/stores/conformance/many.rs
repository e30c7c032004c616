//! Many changes in one call: the same as one after the other.

use std::sync::Arc;

use wellspring::store::{ChangeOutcome, Filled, Limits, MemoryStore, RefusedReason, Store};
use wellspring::{Change, Corpus, Dependency, Entry};

use crate::support::{Bench, about, entry, fill_all, read_version, serves};

on_every_store!(
    a_call_of_many_does_what_calls_of_one_do,
    a_fill_on_its_way_is_refused_wherever_in_a_large_call_its_document_is,
    a_change_may_name_many_chunks,
    many_entries_end_in_one_call,
);

/// Numbers that look random, the same in every run.
fn numbers() -> impl FnMut(usize) -> usize {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    }
}

/// Documents, some of whose names have two forms.
fn document(n: usize) -> String {
    if n.is_multiple_of(7) { format!("d\u{e9}{n}") } else { format!("d{n}") }
}

fn change(number: &mut impl FnMut(usize) -> usize) -> Change {
    let id = document(number(40));
    let version = number(2).to_string();
    match number(8) {
        0..3 => Change::document(id),
        3..6 => Change::document_version(id, version),
        6 => Change::Tag(number(10).to_string()),
        _ => {
            let hashes = (0..=number(3)).map(|hash| hash.to_string()).collect();
            Change::Chunks { document: id, hashes, version: (number(2) == 0).then(|| version.into()) }
        }
    }
}

async fn a_call_of_many_does_what_calls_of_one_do(bench: Bench) {
    let store = bench.open(Limits::default());
    let alone = MemoryStore::with_clock(Limits::default(), Arc::clone(&bench.clock) as _);
    let entries: Vec<Entry> = (0..60)
        .map(|n| {
            let on = match n % 3 {
                0 => Dependency::document(document(n)),
                1 => Dependency::chunk(document(n), (n % 4).to_string()),
                _ => Dependency::Tag((n % 10).to_string()),
            };
            entry(&format!("question {n}"), vec![on])
        })
        .collect();
    let mut number = numbers();
    let corpus = Corpus::default();
    // A document that is held stays held, whatever is reported of it.
    let held = document(1);
    for round in 0..4 {
        fill_all(&*store, &entries).await;
        fill_all(&alone, &entries).await;
        for to in [&*store, &alone] {
            to.begin_update(&corpus, &held).await.unwrap();
        }
        // More than one script takes, with every document in it more than once.
        let changes: Vec<Change> = (0..700).map(|_| change(&mut number)).collect();
        let mut expected = Vec::new();
        for change in &changes {
            expected.extend(alone.invalidate(&corpus, std::slice::from_ref(change)).await.unwrap());
        }
        let outcomes = store.invalidate(&corpus, &changes).await.unwrap();
        for (n, (outcome, expected)) in outcomes.iter().zip(&expected).enumerate() {
            // A dead entry that is not cleaned up yet may be counted again, under another of its names.
            let is_as_expected = match (outcome, expected) {
                (ChangeOutcome::Dropped(count), ChangeOutcome::Dropped(expected)) => count >= expected,
                (outcome, expected) => outcome == expected,
            };
            assert!(
                is_as_expected,
                "change {n} of round {round}, {:?}: {outcome:?}, {expected:?}",
                changes[n]
            );
        }
        assert_eq!(outcomes.len(), expected.len());
        assert!(
            expected.contains(&ChangeOutcome::Unchanged) && expected.contains(&ChangeOutcome::Dropped(1))
        );
        for entry in &entries {
            assert_eq!(serves(&*store, entry).await, serves(&alone, entry).await, "{}", entry.question);
        }
        let sequence = async |store: &dyn Store| store.status().await.unwrap().corpora[0].sequence;
        assert_eq!(sequence(&*store).await, sequence(&alone).await, "round {round}");
        let still = about("about what is held", &held);
        let refused = store.fill(read_version(&*store).await, Arc::new(still)).await.unwrap();
        assert_eq!(refused, Filled::Refused(RefusedReason::Held));
        for to in [&*store, &alone] {
            to.end_update(&corpus, &held, None).await.unwrap();
        }
    }
}

async fn a_fill_on_its_way_is_refused_wherever_in_a_large_call_its_document_is(bench: Bench) {
    // Nothing that is stored depends on any of them: only the tombstones can say so.
    let store = bench.open(Limits::default());
    let other = about("about another document", "another");
    fill_all(&*store, std::slice::from_ref(&other)).await;
    let before = read_version(&*store).await;
    let changes: Vec<Change> = (0..1_500).map(|n| Change::document(n.to_string())).collect();
    let outcomes = store.invalidate(&Corpus::default(), &changes).await.unwrap();
    assert_eq!(outcomes, vec![ChangeOutcome::Dropped(0); 1_500]);
    for n in [0, 1, 255, 256, 257, 750, 1_498, 1_499] {
        let late = about("question", &n.to_string());
        let of_a_chunk = entry("question", vec![Dependency::chunk(n.to_string(), "x")]);
        for late in [late, of_a_chunk] {
            let filled = store.fill(before, Arc::new(late.clone())).await.unwrap();
            assert_eq!(filled, Filled::Refused(RefusedReason::DependencyChanged), "document {n}");
            assert!(!store.would_take(before, &late).await.unwrap(), "document {n}");
        }
    }
    let unconcerned = about("question", "1500");
    assert_eq!(store.fill(before, Arc::new(unconcerned)).await.unwrap(), Filled::Stored);
    assert!(serves(&*store, &other).await);
}

async fn a_change_may_name_many_chunks(bench: Bench) {
    let store = bench.open(Limits::default());
    let chunks = |count: usize| Change::Chunks {
        document: "a".into(),
        hashes: (0..count).map(|n| n.to_string()).collect(),
        version: Some("2".into()),
    };
    let of = |hash: &str| entry(hash, vec![Dependency::chunk("a", hash)]);
    let entries = ["0", "5000", "9999", "10000"].map(of);
    fill_all(&*store, &entries).await;
    let error = store.invalidate(&Corpus::default(), &[chunks(10_001)]).await.unwrap_err();
    assert!(error.is_invalid_input() && error.to_string().contains("whole document"), "{error}");
    assert_eq!(crate::support::served(&*store, &entries).await, [0, 1, 2, 3], "nothing was changed");
    let outcomes = store.invalidate(&Corpus::default(), &[chunks(10_000), chunks(10_000)]).await.unwrap();
    assert_eq!(outcomes, [ChangeOutcome::Dropped(3), ChangeOutcome::Unchanged]);
    assert_eq!(crate::support::served(&*store, &entries).await, [3]);
}

async fn many_entries_end_in_one_call(bench: Bench) {
    let store = bench.open(Limits::default());
    let entries: Vec<Entry> = (0..300).map(|n| entry(&format!("question {n}"), vec![])).collect();
    fill_all(&*store, &entries).await;
    let gone = entries.iter().step_by(2).map(|entry| Change::Entry(entry.id));
    let changes: Vec<Change> = gone.chain([Change::Entry(entries[0].id)]).collect();
    let outcomes = store.invalidate(&Corpus::default(), &changes).await.unwrap();
    assert_eq!(outcomes[..150], vec![ChangeOutcome::Dropped(1); 150]);
    let left: Vec<usize> = (1..300).step_by(2).collect();
    assert_eq!(crate::support::served(&*store, &entries).await, left);
    assert_eq!(store.status().await.unwrap().entries, 150);
}
