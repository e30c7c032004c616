//! Entries that are removed for lack of space or time, and who is notified.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wellspring::key::ScopeId;
use wellspring::store::{ChangeListener, DeadReason, Eviction, Found, Limits};
use wellspring::{Change, Corpus, Embedding, Entry, EntryId};

use crate::support::{
    Bench, HOUR, SCOPE, START, about, entry, fill_all, found, read_version, served, serves,
};

on_every_store!(an_entry_expires_and_no_hit_extends_it);
on_every_local_store!(
    expired_entries_are_swept_and_counted,
    the_number_of_entries_is_limited_exactly,
    the_bytes_are_limited,
    the_least_recently_used_goes_first,
    loading_an_index_uses_no_entry,
    the_most_frequently_used_stays,
    the_listener_hears_of_every_removal,
);

fn entries(count: usize) -> Vec<Entry> {
    (0..count).map(|n| entry(&format!("question {n}"), vec![])).collect()
}

async fn an_entry_expires_and_no_hit_extends_it(bench: Bench) {
    let store = bench.open(Limits::default());
    let answer = entry("question", vec![]);
    fill_all(&*store, std::slice::from_ref(&answer)).await;
    for _ in 0..59 {
        bench.clock.advance(Duration::from_mins(1));
        assert!(serves(&*store, &answer).await);
        store.record_hit(&answer.corpus, answer.id);
    }
    bench.clock.advance(Duration::from_mins(1));
    let found = found(&*store, &answer).await;
    assert!(matches!(found, Found::Absent | Found::Dead(DeadReason::Expired)), "{found:?}");
    assert!(store.scan(None, 10).await.unwrap().is_empty());
    assert!(store.dependants(&Corpus::default(), &Change::Everything).await.unwrap().is_empty());
}

async fn expired_entries_are_swept_and_counted(bench: Bench) {
    let store = bench.open(Limits::default());
    let short = entries(20);
    let long = Entry { expires_at: START.saturating_add(3 * HOUR), ..entry("long", vec![]) };
    fill_all(&*store, &short).await;
    fill_all(&*store, std::slice::from_ref(&long)).await;
    bench.clock.advance(HOUR);
    let status = store.status().await.unwrap();
    assert_eq!((status.entries, status.expirations, status.evictions), (1, 20, 0));
    assert_eq!(status.bytes, long.size() as u64);
    assert!(serves(&*store, &long).await);
}

async fn the_number_of_entries_is_limited_exactly(bench: Bench) {
    // 10 does not divide the weights that the limits are enforced by, and 9 entries were kept.
    for (limit, eviction) in
        [(10, Eviction::LeastRecentlyUsed), (7, Eviction::LeastFrequentlyUsed), (1, Eviction::default())]
    {
        let bench = Bench::new(bench.kind);
        let store = bench.open(Limits::default().max_entries(limit).eviction(eviction));
        let entries = entries(30);
        for entry in &entries {
            fill_all(&*store, std::slice::from_ref(entry)).await;
        }
        let status = store.status().await.unwrap();
        assert_eq!((status.entries, status.evictions), (limit, 30 - limit), "{limit} {eviction:?}");
        assert_eq!(served(&*store, &entries).await.len() as u64, limit);
        assert_eq!(store.scan(None, 100).await.unwrap().len() as u64, limit);
    }
}

async fn the_bytes_are_limited(bench: Bench) {
    let size = entries(1)[0].size();
    let store = bench.open(Limits::default().max_bytes((size * 5 + size / 2) as u64));
    fill_all(&*store, &entries(9)).await;
    let status = store.status().await.unwrap();
    assert!(status.bytes <= status.max_bytes, "{status:?}");
    assert_eq!(status.entries, 5);
    // One that grows in place makes room for itself, too.
    let grown = Entry { answer: wellspring::Answer::new("x".repeat(3 * size)), ..entries(9)[8].clone() };
    fill_all(&*store, std::slice::from_ref(&grown)).await;
    let status = store.status().await.unwrap();
    assert!(status.bytes <= status.max_bytes, "{status:?}");
    assert!(serves(&*store, &grown).await);
}

async fn the_least_recently_used_goes_first(bench: Bench) {
    let store = bench.open(Limits::default().max_entries(3));
    let entries = entries(5);
    fill_all(&*store, &entries[..3]).await;
    store.status().await.unwrap();
    for used in [0, 2] {
        assert!(serves(&*store, &entries[used]).await);
        store.record_hit(&entries[used].corpus, entries[used].id);
    }
    fill_all(&*store, &entries[3..4]).await;
    store.status().await.unwrap();
    assert_eq!(served(&*store, &entries).await, [0, 2, 3]);
}

async fn loading_an_index_uses_no_entry(bench: Bench) {
    let store = bench.open(Limits::default().max_entries(3).eviction(Eviction::LeastRecentlyUsed));
    let entries: Vec<Entry> = entries(4)
        .into_iter()
        .map(|entry| Entry { embedding: Embedding::new(&[1.0, 2.0]).ok(), ..entry })
        .collect();
    fill_all(&*store, &entries[..3]).await;
    let page = store.scope_page(&Corpus::default(), SCOPE, None).await.unwrap();
    assert_eq!(page.entries.len(), 3);
    let embeddings = store.embeddings(&Corpus::default(), &[entries[0].id, entries[3].id]).await.unwrap();
    assert_eq!(embeddings, [entries[0].embedding.clone(), None]);
    fill_all(&*store, &entries[3..]).await;
    store.status().await.unwrap();
    assert_eq!(served(&*store, &entries).await, [1, 2, 3]);
}

async fn the_most_frequently_used_stays(bench: Bench) {
    let store = bench.open(Limits::default().max_entries(4).eviction(Eviction::LeastFrequentlyUsed));
    let entries = entries(64);
    fill_all(&*store, &entries[..4]).await;
    for _ in 0..20 {
        for popular in &entries[..4] {
            assert!(serves(&*store, popular).await);
            store.record_hit(&popular.corpus, popular.id);
        }
        store.status().await.unwrap();
    }
    // A scan of questions that are asked once does not displace them.
    for once in &entries[4..] {
        fill_all(&*store, std::slice::from_ref(once)).await;
    }
    store.status().await.unwrap();
    assert_eq!(served(&*store, &entries[..4]).await, [0, 1, 2, 3]);
}

#[derive(Default)]
struct Heard(Mutex<HashSet<EntryId>>);

impl ChangeListener for Heard {
    fn removed(&self, entries: &[(EntryId, ScopeId)]) {
        let mut heard = self.0.lock().unwrap();
        for &(id, scope) in entries {
            assert_eq!(scope, SCOPE);
            assert!(heard.insert(id), "heard twice of {id}");
        }
    }
}

impl Heard {
    fn take(&self, of: &[Entry]) {
        let expected: HashSet<EntryId> = of.iter().map(|entry| entry.id).collect();
        assert_eq!(std::mem::take(&mut *self.0.lock().unwrap()), expected);
    }
}

async fn the_listener_hears_of_every_removal(bench: Bench) {
    let store = bench.open(Limits::default().max_entries(10));
    let heard = Arc::new(Heard::default());
    store.listen(Arc::clone(&heard) as _);
    let first: Vec<_> = (0..10).map(|n| about(&format!("question {n}"), &format!("d{n}"))).collect();
    fill_all(&*store, &first).await;
    store.status().await.unwrap();
    heard.take(&[]);

    store.invalidate(&Corpus::default(), &[Change::document("d3"), Change::document("d4")]).await.unwrap();
    store.status().await.unwrap();
    heard.take(&first[3..5]);

    // Two places are free, so one of four new ones displaces one old one each after that.
    let second: Vec<_> = (10..14).map(|n| about(&format!("question {n}"), "e")).collect();
    fill_all(&*store, &second).await;
    store.status().await.unwrap();
    heard.take(&first[..2]);

    // A refused fill and a replaced entry do not count as removals.
    let before = read_version(&*store).await;
    fill_all(&*store, &second[..1]).await;
    store.begin_update(&Corpus::default(), "f").await.unwrap();
    store.fill(before, Arc::new(about("held", "f"))).await.unwrap();
    store.status().await.unwrap();
    heard.take(&[]);

    bench.clock.advance(HOUR);
    store.status().await.unwrap();
    heard.take(&[&first[2..3], &first[5..], &second[..]].concat());
}
