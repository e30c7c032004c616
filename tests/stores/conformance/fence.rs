//! Fills and lookups against the clock.

use std::sync::Arc;

use wellspring::store::{ChangeOutcome, DeadReason, Filled, Found, Limits, ReadVersion, RefusedReason};
use wellspring::{Answer, Change, Corpus, Dependency, Entry, EntryId};

use crate::support::{Bench, about, entry, entry_in, fill_all, found, read_version, serves};

on_every_store!(
    a_stored_entry_is_served_as_it_was,
    a_later_fill_replaces_the_entry,
    a_fill_that_a_change_overtook_is_refused,
    what_would_be_taken_is_what_is_taken,
    names_are_the_same_in_every_form,
    a_change_of_something_else_refuses_nothing,
    a_refused_fill_leaves_the_entry_that_is_there,
    a_snapshot_of_another_clock_is_refused,
    a_snapshot_that_is_yet_to_come_is_refused,
    versions_are_those_that_were_last_reported,
    corpora_are_apart,
    an_entry_is_not_found_in_another_corpus,
    invalid_dependencies_store_nothing,
    an_entry_that_cannot_be_kept_is_an_error,
    a_closed_store_fails,
);

async fn a_stored_entry_is_served_as_it_was(bench: Bench) {
    let store = bench.open(Limits::default());
    let deep = (0..40).fold(serde_json::json!(0.1_f64 + 0.2), |inner, _| serde_json::json!([inner]));
    let full = Entry {
        embedding: Some(crate::support::embedder::embed("a question")),
        answer: Answer::negative("nothing \u{1f600} \0 found")
            .ttl(std::time::Duration::from_nanos(1_234_567_891))
            .metadata(serde_json::json!({"deep": deep, "n": u64::MAX, "f": 0.1 + 0.2})),
        ..entry("a full question", vec![Dependency::document_version("a", "1"), Dependency::chunk("b", "c")])
    };
    let bare = entry("a bare question", vec![]);
    assert!(matches!(found(&*store, &full).await, Found::Absent));
    fill_all(&*store, &[full.clone(), bare.clone()]).await;
    assert!(serves(&*store, &full).await);
    assert!(serves(&*store, &bare).await);
}

async fn a_later_fill_replaces_the_entry(bench: Bench) {
    let store = bench.open(Limits::default());
    let first = about("question", "a");
    let second = Entry { answer: Answer::new("newer"), ..about("question", "b") };
    fill_all(&*store, &[first, second.clone()]).await;
    assert!(serves(&*store, &second).await);
    // A dependency of only the first does not affect the second.
    let outcome = store.invalidate(&Corpus::default(), &[Change::document("a")]).await.unwrap();
    assert_eq!(outcome, [ChangeOutcome::Dropped(0)]);
    assert!(serves(&*store, &second).await);
    assert_eq!(store.status().await.unwrap().entries, 1);
}

async fn a_fill_that_a_change_overtook_is_refused(bench: Bench) {
    let store = bench.open(Limits::default());
    let before = read_version(&*store).await;
    store.invalidate(&Corpus::default(), &[Change::document("a")]).await.unwrap();
    let late = about("question", "a");
    let filled = store.fill(before, Arc::new(late.clone())).await.unwrap();
    assert_eq!(filled, Filled::Refused(RefusedReason::DependencyChanged));
    assert!(matches!(found(&*store, &late).await, Found::Absent));
    // Begun after the change, it is taken.
    fill_all(&*store, std::slice::from_ref(&late)).await;
    assert!(serves(&*store, &late).await);
}

async fn what_would_be_taken_is_what_is_taken(bench: Bench) {
    let store = bench.open(Limits::default());
    let corpus = Corpus::default();
    let before = read_version(&*store).await;
    let read = |version: &str| vec![Dependency::document_version("a", version), Dependency::chunk("b", "c")];
    let of = |version: &str| entry(&format!("version {version}"), read(version));
    store.invalidate(&corpus, &[Change::document_version("a", "2")]).await.unwrap();
    let after = read_version(&*store).await;
    let foreign = ReadVersion { incarnation: after.incarnation ^ 1, ..after };
    for (read_version, version, is_taken) in
        [(before, "2", false), (after, "1", false), (foreign, "2", false), (after, "2", true)]
    {
        let entry = of(version);
        assert_eq!(
            store.would_take(read_version, &entry).await.unwrap(),
            is_taken,
            "{read_version:?} {version}"
        );
        assert!(!serves(&*store, &entry).await, "asking stores nothing");
        let filled = store.fill(read_version, Arc::new(entry)).await.unwrap();
        assert_eq!(filled == Filled::Stored, is_taken);
    }
    store.begin_update(&corpus, "b").await.unwrap();
    assert!(!store.would_take(after, &of("2")).await.unwrap(), "a document is held");
    let invalid = entry("question", vec![Dependency::document("")]);
    assert!(store.would_take(after, &invalid).await.unwrap_err().is_invalid_input());
}

async fn names_are_the_same_in_every_form(bench: Bench) {
    let store = bench.open(Limits::default());
    let corpus = Corpus::new("Vertr\u{e4}ge").unwrap();
    assert_eq!(corpus, Corpus::new("Vertra\u{308}ge").unwrap());
    for (stored, changed) in
        [("\u{dc}ber", "U\u{308}ber"), ("U\u{308}ber", "\u{dc}ber"), ("\u{d55c}", "\u{1112}\u{1161}\u{11ab}")]
    {
        for (dependency, change) in [
            (Dependency::document(stored), Change::document(changed)),
            (Dependency::chunk(stored, stored), Change::document(changed)),
            (Dependency::Tag(stored.into()), Change::Tag(changed.into())),
            (Dependency::Collection(stored.into()), Change::Collection(changed.into())),
        ] {
            let entry = entry_in(&corpus, "question", vec![dependency]);
            fill_all(&*store, std::slice::from_ref(&entry)).await;
            assert!(serves(&*store, &entry).await);
            assert_eq!(store.dependants(&corpus, &change).await.unwrap().len(), 1, "{change:?}");
            let outcome = store.invalidate(&corpus, &[change]).await.unwrap();
            assert_eq!(outcome, [ChangeOutcome::Dropped(1)]);
            assert!(!serves(&*store, &entry).await);
        }
        let entry = entry_in(&corpus, "question", vec![Dependency::document(stored)]);
        fill_all(&*store, std::slice::from_ref(&entry)).await;
        store.begin_update(&corpus, changed).await.unwrap();
        assert!(!serves(&*store, &entry).await);
        store.end_update(&corpus, stored, Some("2".into())).await.unwrap();
        let same = store.invalidate(&corpus, &[Change::document_version(changed, "2")]).await.unwrap();
        assert_eq!(same, [ChangeOutcome::Unchanged]);
        let status = store.status().await.unwrap();
        assert!(status.corpora.iter().all(|known| known.held.is_empty()), "{status:?}");
    }
}

async fn a_change_of_something_else_refuses_nothing(bench: Bench) {
    let store = bench.open(Limits::default());
    let before = read_version(&*store).await;
    let others =
        [Change::document("b"), Change::Tag("a".into()), Change::Entry(EntryId::from_bytes([9; 16]))];
    store.invalidate(&Corpus::default(), &others).await.unwrap();
    assert_eq!(store.fill(before, Arc::new(about("question", "a"))).await.unwrap(), Filled::Stored);
}

async fn a_refused_fill_leaves_the_entry_that_is_there(bench: Bench) {
    let store = bench.open(Limits::default());
    let before = read_version(&*store).await;
    store.invalidate(&Corpus::default(), &[Change::document("a")]).await.unwrap();
    let good = about("question", "a");
    fill_all(&*store, std::slice::from_ref(&good)).await;
    let late = Entry { answer: Answer::new("stale"), ..about("question", "a") };
    assert!(matches!(store.fill(before, Arc::new(late)).await.unwrap(), Filled::Refused(_)));
    assert!(serves(&*store, &good).await);
}

async fn a_snapshot_of_another_clock_is_refused(bench: Bench) {
    let store = bench.open(Limits::default());
    let own = read_version(&*store).await;
    let foreign = ReadVersion { incarnation: own.incarnation ^ 1, sequence: u64::MAX };
    let filled = store.fill(foreign, Arc::new(entry("question", vec![]))).await.unwrap();
    assert_eq!(filled, Filled::Refused(RefusedReason::ClockLost));
}

async fn a_snapshot_that_is_yet_to_come_is_refused(bench: Bench) {
    // One with a higher sequence than the clock's was stored, and outlived the changes up to that number.
    let store = bench.open(Limits::default());
    let now = read_version(&*store).await;
    let ahead = ReadVersion { sequence: now.sequence + 1, ..now };
    let answer = Arc::new(about("question", "a"));
    assert!(!store.would_take(ahead, &answer).await.unwrap());
    let filled = store.fill(ahead, Arc::clone(&answer)).await.unwrap();
    assert_eq!(filled, Filled::Refused(RefusedReason::ClockLost));
    assert_eq!(store.fill(now, answer).await.unwrap(), Filled::Stored);
}

async fn versions_are_those_that_were_last_reported(bench: Bench) {
    let store = bench.open(Limits::default());
    let (corpus, id) = (Corpus::default(), about("question", "a").id);
    let versions = async || {
        read_version(&*store).await;
        let found = store.versions(&corpus, id, &["a", "e\u{301}", "c"]).await.unwrap();
        found
            .iter()
            .map(|version| version.as_ref().map(|version| version.as_str().to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(versions().await, [None, None, None]);
    let reported = [Change::document_version("a", "1"), Change::document_version("\u{e9}", "2")];
    store.invalidate(&corpus, &reported).await.unwrap();
    assert_eq!(versions().await, [Some("1".into()), Some("2".into()), None]);
    store.invalidate(&corpus, &[Change::document_version("a", "3")]).await.unwrap();
    assert_eq!(versions().await[0], Some("3".into()));
    store.invalidate(&corpus, &[Change::document("a")]).await.unwrap();
    assert_eq!(versions().await, [None, Some("2".into()), None]);
    store.invalidate(&corpus, &[Change::Everything]).await.unwrap();
    assert_eq!(versions().await, [None, None, None]);
}

async fn corpora_are_apart(bench: Bench) {
    let store = bench.open(Limits::default());
    let (one, other) = (Corpus::new("one").unwrap(), Corpus::new("other").unwrap());
    let document = vec![Dependency::document("a")];
    let entries = [entry_in(&one, "q", document.clone()), entry_in(&other, "q", document)];
    fill_all(&*store, &entries).await;
    for change in [Change::document("a"), Change::Everything] {
        store.invalidate(&one, &[change]).await.unwrap();
        assert!(!serves(&*store, &entries[0]).await);
        assert!(serves(&*store, &entries[1]).await);
    }
    store.begin_update(&one, "a").await.unwrap();
    assert!(serves(&*store, &entries[1]).await);
}

async fn an_entry_is_not_found_in_another_corpus(bench: Bench) {
    // `dependants` took an entry's id for proof that the entry belongs to the corpus.
    let store = bench.open(Limits::default());
    let (one, other) = (Corpus::new("one").unwrap(), Corpus::new("other").unwrap());
    let entry = entry_in(&one, "q", vec![]);
    fill_all(&*store, std::slice::from_ref(&entry)).await;
    // The other corpus must have a clock, or there is nothing to confuse.
    let in_other = store.lookup(&other, entry.id).await.unwrap().found;
    assert!(matches!(in_other, Found::Absent | Found::Dead(DeadReason::ClockLost)), "{in_other:?}");
    assert!(store.dependants(&other, &Change::Entry(entry.id)).await.unwrap().is_empty());
    assert_eq!(store.dependants(&one, &Change::Entry(entry.id)).await.unwrap().len(), 1);
    let outcome = store.invalidate(&other, &[Change::Entry(entry.id)]).await.unwrap();
    assert_eq!(outcome, [ChangeOutcome::Dropped(0)]);
    assert!(serves(&*store, &entry).await);
}

async fn invalid_dependencies_store_nothing(bench: Bench) {
    let store = bench.open(Limits::default());
    let many = (0..300).map(|n| Dependency::Tag(format!("t{n}"))).collect();
    let bad = [
        many,
        vec![Dependency::document("")],
        vec![Dependency::document("nul\0")],
        vec![Dependency::document_version("a", "")],
        vec![Dependency::chunk("a", "x".repeat(2_000))],
        vec![Dependency::Collection("new\nline".into())],
    ];
    for dependencies in bad {
        let bad = entry("question", dependencies);
        let error = store.fill(read_version(&*store).await, Arc::new(bad.clone())).await.unwrap_err();
        assert!(error.is_invalid_input(), "{error}");
        assert!(matches!(found(&*store, &bad).await, Found::Absent));
    }
    let good = entry("question", vec![]);
    fill_all(&*store, std::slice::from_ref(&good)).await;
    // An invalid change among valid ones: none of them is applied.
    let changes = [Change::Everything, Change::document("")];
    assert!(store.invalidate(&Corpus::default(), &changes).await.unwrap_err().is_invalid_input());
    assert!(store.begin_update(&Corpus::default(), "a\0").await.unwrap_err().is_invalid_input());
    assert!(store.end_update(&Corpus::default(), "", None).await.unwrap_err().is_invalid_input());
    assert!(serves(&*store, &good).await);
}

async fn an_entry_that_cannot_be_kept_is_an_error(bench: Bench) {
    // Metadata deeper than the parser's limit was stored and then missing at every lookup; an entry
    // larger than the store pushed out all others and stayed; metadata counted for nothing.
    let store = bench.open(Limits::default().max_bytes(20_000));
    let kept = entry("kept", vec![]);
    fill_all(&*store, std::slice::from_ref(&kept)).await;
    let deep = (0..200).fold(serde_json::Value::Null, |inner, _| serde_json::json!([inner]));
    let wide: Vec<String> = (0..100).map(|n| format!("{n:0>300}")).collect();
    for answer in [
        Answer::new("deep").metadata(deep),
        Answer::new("wide").metadata(wide),
        Answer::new("x".repeat(if bench.kind.is_local() { 30_000 } else { 10 << 20 })),
    ] {
        // A server has no limit of its own on what all entries take.
        if answer.text.as_ref() == "wide" && !bench.kind.is_local() {
            continue;
        }
        let bad = Entry { answer, ..entry("question", vec![]) };
        let error = store.fill(read_version(&*store).await, Arc::new(bad.clone())).await.unwrap_err();
        assert!(error.is_invalid_input(), "{error}");
        assert!(matches!(found(&*store, &bad).await, Found::Absent));
    }
    assert!(serves(&*store, &kept).await);
}

async fn a_closed_store_fails(bench: Bench) {
    let store = bench.open(Limits::default());
    let (corpus, stored) = (Corpus::default(), entry("question", vec![]));
    let before = read_version(&*store).await;
    fill_all(&*store, std::slice::from_ref(&stored)).await;
    store.close().await.unwrap();
    let closed = |error: wellspring::Error| error.kind() == wellspring::ErrorKind::Closed;
    assert!(closed(store.lookup(&corpus, stored.id).await.unwrap_err()));
    assert!(closed(store.fill(before, Arc::new(stored.clone())).await.unwrap_err()));
    assert!(closed(store.invalidate(&corpus, &[Change::Everything]).await.unwrap_err()));
    assert!(closed(store.begin_update(&corpus, "a").await.unwrap_err()));
    assert!(closed(store.end_update(&corpus, "a", None).await.unwrap_err()));
    assert!(closed(store.dependants(&corpus, &Change::Everything).await.unwrap_err()));
    assert!(closed(store.scan(None, 10).await.unwrap_err()));
    assert!(closed(store.status().await.unwrap_err()));
    store.record_hit(&stored.corpus, stored.id);
    store.close().await.unwrap();
}
