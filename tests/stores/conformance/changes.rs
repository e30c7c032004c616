//! Which answers each kind of change ends, and which it keeps.

use std::sync::Arc;

use wellspring::store::{ChangeOutcome, Filled, Limits, RefusedReason};
use wellspring::{Change, Corpus, Dependency, Namespace};

use crate::support::{Bench, entry, fill_all, read_version, served, serves};

on_every_store!(
    each_change_ends_what_depends_on_it,
    changes_take_effect_together,
    a_reported_version_is_a_change_only_once,
    a_version_is_forgotten_by_a_change_that_reports_none,
    a_document_read_in_another_version_is_refused,
    invalidating_costs_the_same_for_many,
);

async fn each_change_ends_what_depends_on_it(bench: Bench) {
    let store = bench.open(Limits::default());
    let path = |path| Namespace::new(path).unwrap();
    let entries = [
        entry("document a", vec![Dependency::document("a")]),
        entry("chunk 1 of a", vec![Dependency::chunk("a", "1")]),
        entry("chunk 2 of a", vec![Dependency::chunk("a", "2")]),
        entry("document b", vec![Dependency::document_version("b", "7")]),
        entry("collection a", vec![Dependency::Collection("a".into())]),
        entry("tag a", vec![Dependency::Tag("a".into())]),
        entry("docs", vec![Dependency::Namespace(path("docs"))]),
        entry("docs:technical", vec![Dependency::Namespace(path("docs:technical"))]),
        entry("documents", vec![Dependency::Namespace(path("documents"))]),
        entry("none", vec![]),
        entry("both", vec![Dependency::document("a"), Dependency::document("b")]),
    ];
    let chunks = |hashes: &[&str]| Change::Chunks {
        document: "a".into(),
        hashes: hashes.iter().map(|&hash| hash.into()).collect(),
        version: None,
    };
    let cases: Vec<(Change, Vec<usize>)> = vec![
        (Change::document("a"), vec![0, 1, 2, 10]),
        (chunks(&["1"]), vec![0, 1, 10]),
        (chunks(&["1", "2"]), vec![0, 1, 2, 10]),
        (chunks(&["3"]), vec![0, 10]),
        (Change::document("b"), vec![3, 10]),
        (Change::document("c"), vec![]),
        (Change::Collection("a".into()), vec![4]),
        (Change::Tag("a".into()), vec![5]),
        (Change::Namespace(path("docs")), vec![6, 7]),
        (Change::Namespace(path("docs:technical")), vec![7]),
        (Change::Namespace(path("doc")), vec![]),
        (Change::Entry(entries[9].id), vec![9]),
        (Change::Everything, (0..entries.len()).collect()),
    ];
    for (change, expected) in cases {
        fill_all(&*store, &entries).await;
        let before = read_version(&*store).await;
        let listed = store.dependants(&Corpus::default(), &change).await.unwrap();
        let mut ids: Vec<_> = expected.iter().map(|&place| entries[place].id).collect();
        ids.sort();
        assert_eq!(listed.iter().map(|stored| stored.entry.id).collect::<Vec<_>>(), ids, "{change:?}");

        let outcomes = store.invalidate(&Corpus::default(), std::slice::from_ref(&change)).await.unwrap();
        assert_eq!(outcomes, [ChangeOutcome::Dropped(expected.len() as u64)], "{change:?}");
        let spared: Vec<usize> = (0..entries.len()).filter(|place| !expected.contains(place)).collect();
        assert_eq!(served(&*store, &entries).await, spared, "{change:?}");
        // The fence spares and refuses the same.
        for (place, entry) in entries.iter().enumerate() {
            let filled = store.fill(before, Arc::new(entry.clone())).await.unwrap();
            assert_eq!(filled == Filled::Stored, spared.contains(&place), "{change:?} on {}", entry.question);
        }
    }
}

async fn changes_take_effect_together(bench: Bench) {
    let store = bench.open(Limits::default());
    let entries: Vec<_> = ["a", "b", "c"].map(|name| crate::support::about(name, name)).into();
    fill_all(&*store, &entries).await;
    let changes = [Change::document("a"), Change::document("none"), Change::document("c")];
    let outcomes = store.invalidate(&Corpus::default(), &changes).await.unwrap();
    assert_eq!(outcomes, [1, 0, 1].map(ChangeOutcome::Dropped));
    assert_eq!(served(&*store, &entries).await, [1]);
    assert_eq!(store.invalidate(&Corpus::default(), &[]).await.unwrap(), []);
}

async fn a_reported_version_is_a_change_only_once(bench: Bench) {
    let store = bench.open(Limits::default());
    let reported = |version: &str| [Change::document_version("a", version)];
    let corpus = Corpus::default();
    assert_eq!(store.invalidate(&corpus, &reported("1")).await.unwrap(), [ChangeOutcome::Dropped(0)]);
    let answer = crate::support::about("question", "a");
    fill_all(&*store, std::slice::from_ref(&answer)).await;
    let before = read_version(&*store).await;
    assert_eq!(store.invalidate(&corpus, &reported("1")).await.unwrap(), [ChangeOutcome::Unchanged]);
    assert!(store.dependants(&corpus, &reported("1")[0]).await.unwrap().is_empty());
    assert!(serves(&*store, &answer).await);
    assert_eq!(read_version(&*store).await, before, "nothing happened");
    assert_eq!(store.invalidate(&corpus, &reported("2")).await.unwrap(), [ChangeOutcome::Dropped(1)]);
    assert!(!serves(&*store, &answer).await);
}

async fn a_version_is_forgotten_by_a_change_that_reports_none(bench: Bench) {
    // The registered version outlived a change without a version. When the document returned to it, the change was
    // taken for none, and answers from the version in between were still served.
    let store = bench.open(Limits::default());
    let corpus = Corpus::default();
    let reported = [Change::document_version("a", "1")];
    let chunks = Change::Chunks { document: "a".into(), hashes: vec!["x".into()], version: None };
    let between = crate::support::about("derived from the version in between", "a");
    for unreported in [Change::document("a"), chunks, Change::Everything] {
        store.invalidate(&corpus, &reported).await.unwrap();
        store.invalidate(&corpus, std::slice::from_ref(&unreported)).await.unwrap();
        fill_all(&*store, std::slice::from_ref(&between)).await;
        let outcome = store.invalidate(&corpus, &reported).await.unwrap();
        assert_eq!(outcome, [ChangeOutcome::Dropped(1)], "after {unreported:?}");
        assert!(!serves(&*store, &between).await, "after {unreported:?}");
    }
    store.begin_update(&corpus, "a").await.unwrap();
    store.end_update(&corpus, "a", None).await.unwrap();
    fill_all(&*store, std::slice::from_ref(&between)).await;
    assert_eq!(store.invalidate(&corpus, &reported).await.unwrap(), [ChangeOutcome::Dropped(1)]);
}

async fn a_document_read_in_another_version_is_refused(bench: Bench) {
    let store = bench.open(Limits::default());
    store.invalidate(&Corpus::default(), &[Change::document_version("a", "2")]).await.unwrap();
    for (dependency, expected) in [
        (Dependency::document_version("a", "1"), Filled::Refused(RefusedReason::VersionMismatch)),
        (Dependency::document_version("a", "2"), Filled::Stored),
        (Dependency::document("a"), Filled::Stored),
        (Dependency::chunk_version("a", "x", "1"), Filled::Refused(RefusedReason::VersionMismatch)),
        (Dependency::chunk_version("a", "x", "2"), Filled::Stored),
        (Dependency::chunk("a", "x"), Filled::Stored),
        (Dependency::document_version("b", "1"), Filled::Stored),
    ] {
        let answer = entry("question", vec![dependency.clone()]);
        let filled = store.fill(read_version(&*store).await, Arc::new(answer)).await.unwrap();
        assert_eq!(filled, expected, "{dependency:?}");
    }
}

async fn invalidating_costs_the_same_for_many(bench: Bench) {
    // Counted, not timed: the clock gains as many tombstones and counts as often, whatever depends on a name.
    let store = bench.open(Limits::default());
    let entries: Vec<_> = (0..600).map(|n| crate::support::about(&format!("question {n}"), "a")).collect();
    let fills = entries.iter().map(|entry| fill_all(&*store, std::slice::from_ref(entry)));
    futures::future::join_all(fills).await;
    let outcomes = store.invalidate(&Corpus::default(), &[Change::document("a")]).await.unwrap();
    assert_eq!(outcomes, [ChangeOutcome::Dropped(600)]);
    let many = store.status().await.unwrap();
    store.invalidate(&Corpus::default(), &[Change::document("none")]).await.unwrap();
    let none = store.status().await.unwrap();
    assert_eq!((many.corpora[0].sequence, many.corpora[0].tombstones), (1, 2));
    assert_eq!((none.corpora[0].sequence, none.corpora[0].tombstones), (2, 4));
    assert_eq!(none.entries, 0, "all are cleaned up in steps");
}
