//! Documents that are being updated.

use std::sync::Arc;

use wellspring::store::{ChangeOutcome, DeadReason, Filled, Found, Limits, RefusedReason};
use wellspring::{Change, Corpus, Dependency};

use crate::support::{Bench, about, entry, fill_all, found, read_version, serves};

on_every_store!(
    nothing_is_served_or_stored_while_a_document_is_held,
    changes_do_not_end_a_hold,
    holding_twice_is_holding_once,
    a_hold_that_ends_unheld_is_a_change,
    a_hold_that_ended_with_everything_is_over,
);

fn corpus() -> Corpus {
    Corpus::default()
}

async fn nothing_is_served_or_stored_while_a_document_is_held(bench: Bench) {
    let store = bench.open(Limits::default());
    let whole = about("whole", "a");
    let chunk = entry("chunk", vec![Dependency::chunk("a", "1")]);
    let other = about("other", "b");
    fill_all(&*store, &[whole.clone(), chunk.clone(), other.clone()]).await;
    store.begin_update(&corpus(), "a").await.unwrap();
    for held in [&whole, &chunk] {
        assert!(matches!(found(&*store, held).await, Found::Dead(DeadReason::Held)));
        let filled = store.fill(read_version(&*store).await, Arc::new(held.clone())).await.unwrap();
        assert_eq!(filled, Filled::Refused(RefusedReason::Held));
    }
    assert!(serves(&*store, &other).await);
    assert_eq!(store.status().await.unwrap().corpora[0].held, ["a"]);

    let during = read_version(&*store).await;
    let outcome = store.end_update(&corpus(), "a", Some("2".into())).await.unwrap();
    assert!(matches!(outcome, ChangeOutcome::Dropped(_)));
    assert!(!serves(&*store, &whole).await, "it derives from the old version");
    let filled = store.fill(during, Arc::new(whole.clone())).await.unwrap();
    assert_eq!(filled, Filled::Refused(RefusedReason::DependencyChanged), "begun during the update");
    fill_all(&*store, &[whole.clone(), chunk.clone()]).await;
    assert!(serves(&*store, &whole).await);
    assert!(store.status().await.unwrap().corpora[0].held.is_empty());
    let reported = [Change::document_version("a", "2")];
    assert_eq!(store.invalidate(&corpus(), &reported).await.unwrap(), [ChangeOutcome::Unchanged]);
}

async fn changes_do_not_end_a_hold(bench: Bench) {
    let store = bench.open(Limits::default());
    let answer = about("question", "a");
    store.invalidate(&corpus(), &[Change::document_version("a", "1")]).await.unwrap();
    store.begin_update(&corpus(), "a").await.unwrap();
    // The registered version means nothing while the document is being changed.
    let changes = [Change::document_version("a", "1"), Change::document("a"), Change::Everything];
    for change in changes {
        let outcome = store.invalidate(&corpus(), std::slice::from_ref(&change)).await.unwrap();
        assert_eq!(outcome, [ChangeOutcome::Dropped(0)], "{change:?}");
        let filled = store.fill(read_version(&*store).await, Arc::new(answer.clone())).await.unwrap();
        assert_eq!(filled, Filled::Refused(RefusedReason::Held), "{change:?}");
    }
}

async fn holding_twice_is_holding_once(bench: Bench) {
    let store = bench.open(Limits::default());
    store.begin_update(&corpus(), "a").await.unwrap();
    store.begin_update(&corpus(), "a").await.unwrap();
    assert_eq!(store.status().await.unwrap().corpora[0].held, ["a"]);
    store.end_update(&corpus(), "a", None).await.unwrap();
    fill_all(&*store, &[about("question", "a")]).await;
}

async fn a_hold_that_ends_unheld_is_a_change(bench: Bench) {
    let store = bench.open(Limits::default());
    let answer = about("question", "a");
    fill_all(&*store, std::slice::from_ref(&answer)).await;
    let outcome = store.end_update(&corpus(), "a", None).await.unwrap();
    assert_eq!(outcome, ChangeOutcome::Dropped(1));
    assert!(!serves(&*store, &answer).await);
}

async fn a_hold_that_ended_with_everything_is_over(bench: Bench) {
    // Released, and its new tombstone dropped below the low-water mark by a change of everything in the same
    // transaction, the hold left its old tombstone in the file: held for good after a restart, and listed
    // nowhere. Both are sent before the writer can take the first, often enough that they share one.
    let answer = about("question", "a");
    for _ in 0..8 {
        let store = bench.open(Limits::default());
        store.begin_update(&corpus(), "a").await.unwrap();
        let (corpus, other) = (corpus(), Corpus::new("other").unwrap());
        let busy = store.end_update(&other, "x", None);
        let end = store.end_update(&corpus, "a", None);
        let everything = store.invalidate(&corpus, &[Change::Everything]);
        let (busy, end, everything) = tokio::join!(busy, end, everything);
        assert!(busy.is_ok() && end.is_ok() && everything.is_ok());
        drop(store);
        let store = bench.open(Limits::default());
        fill_all(&*store, std::slice::from_ref(&answer)).await;
        assert!(serves(&*store, &answer).await);
        drop(store);
    }
}
