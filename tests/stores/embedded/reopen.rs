//! What a store still knows after it was closed and opened again.

use std::sync::Arc;

use wellspring::store::{ChangeOutcome, Filled, Limits, RefusedReason, Store};
use wellspring::{Change, Corpus, Dependency, Entry};

use crate::support::{
    Bench, HOUR, Kind, START, about, entry, entry_in, fill_all, read_version, served, serves,
};

#[tokio::test]
async fn entries_clock_versions_holds_and_hits_are_durable() {
    let bench = Bench::new(Kind::Embedded);
    let corpus = Corpus::default();
    let store = bench.embedded(Limits::default());
    let entries: Vec<Entry> = (0..20).map(|n| about(&format!("q{n}"), &format!("d{n}"))).collect();
    fill_all(&store, &entries).await;
    let before = read_version(&store).await;
    store.invalidate(&corpus, &[Change::document("d0")]).await.unwrap();
    store.invalidate(&corpus, &[Change::document_version("d1", "2")]).await.unwrap();
    store.begin_update(&corpus, "d2").await.unwrap();
    for _ in 0..5 {
        store.record_hit(&entries[3].corpus, entries[3].id);
    }
    let now = read_version(&store).await;
    store.close().await.unwrap();
    drop(store);

    let store = bench.embedded(Limits::default());
    assert_eq!(read_version(&store).await, now);
    assert_eq!(served(&store, &entries).await, (3..20).collect::<Vec<_>>());
    let reported = [Change::document_version("d1", "2")];
    assert_eq!(store.invalidate(&corpus, &reported).await.unwrap(), [ChangeOutcome::Unchanged]);
    assert_eq!(store.status().await.unwrap().corpora[0].held, ["d2"]);
    let hits = store.dependants(&corpus, &Change::Entry(entries[3].id)).await.unwrap()[0].hits;
    assert_eq!(hits, 5);
    // The fence holds against read versions from before the restart.
    for (entry, reason) in
        [(&entries[0], RefusedReason::DependencyChanged), (&entries[2], RefusedReason::Held)]
    {
        let filled = store.fill(before, Arc::new(entry.clone())).await.unwrap();
        assert_eq!(filled, Filled::Refused(reason));
    }
    // A hold that is ended stays ended.
    store.end_update(&corpus, "d2", None).await.unwrap();
    drop(store);
    let store = bench.embedded(Limits::default());
    assert!(store.status().await.unwrap().corpora[0].held.is_empty());
    assert!(!serves(&store, &entries[2]).await);
    fill_all(&store, &entries[2..3]).await;
}

#[tokio::test]
async fn a_change_of_everything_is_durable() {
    let bench = Bench::new(Kind::Embedded);
    let other = Corpus::new("other").unwrap();
    let entries = [entry("q", vec![]), entry_in(&other, "q", vec![Dependency::document("a")])];
    let store = bench.embedded(Limits::default());
    fill_all(&store, &entries).await;
    store.invalidate(&Corpus::default(), &[Change::Everything]).await.unwrap();
    drop(store);
    let store = bench.embedded(Limits::default());
    assert_eq!(served(&store, &entries).await, [1]);
    assert_eq!(store.status().await.unwrap().entries, 1);
}

#[tokio::test]
async fn what_expired_meanwhile_is_gone() {
    let bench = Bench::new(Kind::Embedded);
    let entries = [
        entry("short", vec![]),
        Entry { expires_at: START.saturating_add(3 * HOUR), ..entry("long", vec![]) },
    ];
    let store = bench.embedded(Limits::default());
    fill_all(&store, &entries).await;
    drop(store);
    bench.clock.advance(HOUR);
    let store = bench.embedded(Limits::default());
    assert_eq!(served(&store, &entries).await, [1]);
    let status = store.status().await.unwrap();
    assert_eq!((status.entries, status.expirations), (1, 1));
}

#[tokio::test]
async fn smaller_limits_hold_from_the_first_status_on() {
    // One step of eviction removes a batch, and the status was taken after one step.
    let bench = Bench::new(Kind::Embedded);
    let store = bench.embedded(Limits::default());
    let entries: Vec<Entry> = (0..3_000).map(|n| entry(&format!("question {n}"), vec![])).collect();
    let fills = entries.iter().map(|entry| fill_all(&store, std::slice::from_ref(entry)));
    futures::future::join_all(fills).await;
    let used: Vec<Entry> = entries[..10].to_vec();
    bench.clock.advance(std::time::Duration::from_secs(1));
    for entry in &used {
        store.record_hit(&entry.corpus, entry.id);
    }
    store.close().await.unwrap();
    drop(store);
    let store = bench.embedded(Limits::default().max_entries(10));
    let status = store.status().await.unwrap();
    assert_eq!((status.entries, status.evictions), (10, 2_990));
    // What was used last was kept.
    assert_eq!(served(&store, &used).await.len(), 10);
    drop(store);
    let store = bench.embedded(Limits::default());
    assert_eq!(store.status().await.unwrap().entries, 10, "and the rest went from the file");
}

#[tokio::test]
async fn dropping_without_closing_loses_nothing_that_was_promised() {
    let bench = Bench::new(Kind::Embedded);
    for round in 0..5 {
        let store = bench.embedded(Limits::default());
        let entry = entry(&format!("q{round}"), vec![]);
        fill_all(&store, std::slice::from_ref(&entry)).await;
        drop(store);
        let store = bench.embedded(Limits::default());
        assert!(serves(&store, &entry).await);
    }
}

#[tokio::test]
async fn a_dropped_fill_is_stored_whole_or_not_at_all() {
    let bench = Bench::new(Kind::Embedded);
    let store = bench.embedded(Limits::default());
    let entries: Vec<Entry> = (0..60).map(|n| about(&format!("q{n}"), "a")).collect();
    for (n, entry) in entries.iter().enumerate() {
        let read_version = read_version(&store).await;
        let mut fill = std::pin::pin!(store.fill(read_version, Arc::new(entry.clone())));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..n % 3 {
            if fill.as_mut().poll(&mut context).is_ready() {
                break;
            }
        }
    }
    store.status().await.unwrap();
    let now = served(&store, &entries).await;
    drop(store);
    let store = bench.embedded(Limits::default());
    assert_eq!(served(&store, &entries).await, now);
    store.invalidate(&Corpus::default(), &[Change::document("a")]).await.unwrap();
    assert!(served(&store, &entries).await.is_empty());
}
