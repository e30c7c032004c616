//! Listings and counts.

use std::collections::BTreeMap;

use wellspring::key::ScopeId;
use wellspring::store::Limits;
use wellspring::{Change, Corpus, Dependency, Entry, EntryId, Store};

use crate::support::{Bench, SCOPE, about, entry_in, fill_all};

on_every_store!(
    a_scan_pages_through_everything_in_order,
    a_scan_goes_past_entries_that_are_dead,
    hits_are_counted_and_reported,
    the_status_counts_each_corpus,
    a_scope_is_listed_whole_and_alone,
);

async fn a_scan_pages_through_everything_in_order(bench: Bench) {
    let store = bench.open(Limits::default());
    let corpora = ["one", "two", "three"].map(|name| Corpus::new(name).unwrap());
    let entries: Vec<Entry> =
        (0..50).map(|n| entry_in(&corpora[n % 3], &format!("question {n}"), vec![])).collect();
    fill_all(&*store, &entries).await;
    let mut expected: Vec<_> = entries.iter().map(|entry| entry.id).collect();
    expected.sort();
    for limit in [1, 7, 50, 1_000] {
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = store.scan(after, limit).await.unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(last.entry.id);
            seen.extend(page.iter().map(|stored| stored.entry.id));
        }
        assert_eq!(seen, expected, "pages of {limit}");
    }
    assert!(store.scan(None, 0).await.unwrap().is_empty());
}

async fn a_scan_goes_past_entries_that_are_dead(bench: Bench) {
    let store = bench.open(Limits::default());
    let mut entries: Vec<Entry> = (0..30).map(|n| about(&format!("question {n}"), "a")).collect();
    entries.sort_by_key(|entry| entry.id);
    entries[29].dependencies = vec![Dependency::document("b")];
    fill_all(&*store, &entries).await;
    store.begin_update(&Corpus::default(), "a").await.unwrap();
    let page = store.scan(None, 5).await.unwrap();
    assert_eq!(page.len(), 1);
    assert_eq!(*page[0].entry, entries[29]);
}

async fn hits_are_counted_and_reported(bench: Bench) {
    let store = bench.open(Limits::default());
    let entries = [about("asked thrice", "a"), about("never asked", "a")];
    fill_all(&*store, &entries).await;
    for _ in 0..3 {
        store.record_hit(&entries[0].corpus, entries[0].id);
    }
    let mut hits: Vec<u64> = store
        .dependants(&Corpus::default(), &Change::document("a"))
        .await
        .unwrap()
        .iter()
        .map(|stored| stored.hits)
        .collect();
    hits.sort_unstable();
    assert_eq!(hits, [0, 3]);
    // Another answer to the same question starts again.
    fill_all(&*store, &entries[..1]).await;
    assert!(store.scan(None, 10).await.unwrap().iter().all(|stored| stored.hits == 0));
}

async fn the_status_counts_each_corpus(bench: Bench) {
    let store = bench.open(Limits::default().max_entries(100).max_bytes(1 << 20));
    let (one, two) = (Corpus::new("one").unwrap(), Corpus::new("two").unwrap());
    let entries = [
        entry_in(&one, "a", vec![Dependency::document("a")]),
        entry_in(&one, "b", vec![Dependency::document("b")]),
        entry_in(&two, "a", vec![Dependency::document("a")]),
    ];
    fill_all(&*store, &entries).await;
    store.invalidate(&one, &[Change::document("a")]).await.unwrap();
    store.begin_update(&two, "z").await.unwrap();
    store.begin_update(&two, "y").await.unwrap();
    let status = store.status().await.unwrap();
    assert_eq!(status.entries, 2);
    if bench.kind.is_local() {
        assert_eq!((status.max_entries, status.max_bytes), (100, 1 << 20));
        assert_eq!(status.bytes, entries[1..].iter().map(|entry| entry.size() as u64).sum::<u64>());
    }
    let of = |corpus: &Corpus| status.corpora.iter().find(|of| of.corpus == *corpus).unwrap();
    assert_eq!((of(&one).entries, of(&one).sequence, of(&one).held.len()), (1, 1, 0));
    assert_eq!((of(&two).entries, of(&two).sequence), (1, 0));
    assert_eq!(of(&two).held, ["y", "z"]);
    let kind = match bench.kind {
        crate::support::Kind::Memory => "memory:",
        crate::support::Kind::Embedded => "embedded:",
        #[cfg(feature = "valkey")]
        crate::support::Kind::Valkey(_) => "redis://",
        #[cfg(feature = "valkey")]
        crate::support::Kind::Cluster => "valkey-cluster://",
    };
    assert!(status.location.starts_with(kind), "{}", status.location);
}

async fn a_scope_is_listed_whole_and_alone(bench: Bench) {
    let store = bench.open(Limits::default());
    // More than come at a time.
    let mut entries: Vec<Entry> =
        (0..2_100).map(|n| about(&format!("question {n}"), if n % 2 == 0 { "a" } else { "b" })).collect();
    let elsewhere = Entry { scope: ScopeId::from_bytes([8; 16]), ..about("in another scope", "a") };
    fill_all(&*store, &entries).await;
    let other_corpus = Corpus::new("other").unwrap();
    fill_all(&*store, &[elsewhere.clone(), entry_in(&other_corpus, "in another corpus", vec![])]).await;

    assert_eq!(
        listed(&*store, &Corpus::default(), SCOPE).await.into_keys().collect::<Vec<_>>(),
        ids(&entries)
    );
    assert_eq!(listed(&*store, &Corpus::default(), elsewhere.scope).await.len(), 1);
    assert_eq!(listed(&*store, &other_corpus, SCOPE).await.len(), 1);
    assert!(listed(&*store, &other_corpus, elsewhere.scope).await.is_empty());
    assert!(store.holds(SCOPE) && store.holds(elsewhere.scope));

    store.invalidate(&Corpus::default(), &[Change::document("a")]).await.unwrap();
    // It waits until what was invalidated is cleaned away.
    store.status().await.unwrap();
    entries.retain(|entry| entry.dependencies == [Dependency::document("b")]);
    let before = listed(&*store, &Corpus::default(), SCOPE).await;
    assert_eq!(before.keys().copied().collect::<Vec<_>>(), ids(&entries));
    fill_all(&*store, &entries[..1]).await;
    let after = listed(&*store, &Corpus::default(), SCOPE).await;
    assert_eq!(after.len(), before.len());
    if let Some(fills) = store.fills() {
        let newest = after[&entries[0].id];
        assert!(before.values().all(|fill| *fill < newest) && newest < fills);
    }

    store.invalidate(&Corpus::default(), &[Change::Everything]).await.unwrap();
    store.status().await.unwrap();
    assert!(listed(&*store, &Corpus::default(), SCOPE).await.is_empty());
    assert_eq!(listed(&*store, &other_corpus, SCOPE).await.len(), 1);
}

fn ids(entries: &[Entry]) -> Vec<EntryId> {
    let mut ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
    ids.sort_unstable();
    ids
}

/// What a store lists of a scope, with the numbers of the fills.
async fn listed(store: &dyn Store, corpus: &Corpus, scope: ScopeId) -> BTreeMap<EntryId, u64> {
    let (mut listed, mut cursor) = (BTreeMap::new(), None);
    loop {
        let page = store.scope_page(corpus, scope, cursor).await.unwrap();
        listed.extend(page.entries.iter().map(|listed| (listed.id, listed.fill)));
        cursor = page.next;
        if cursor.is_none() {
            return listed;
        }
    }
}
