//! Listings and counts.

use wellspring::store::Limits;
use wellspring::{Change, Corpus, Dependency, Entry};

use crate::support::{Bench, about, entry_in, fill_all};

on_every_store!(
    a_scan_pages_through_everything_in_order,
    a_scan_goes_past_entries_that_are_dead,
    hits_are_counted_and_reported,
    the_status_counts_each_corpus,
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
    // Another answer to the same question starts anew.
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
