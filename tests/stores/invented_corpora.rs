//! Corpora that were only asked for and are empty: they leave nothing on the server for good, and what they
//! leave for a day may go at any moment.

use std::sync::Arc;

use wellspring::store::{Coordination as _, Filled, ReadVersion, RefusedReason, Store, ValkeyStore};
use wellspring::{Change, Corpus, Dependency, Entry};

use crate::support::servers::{Flavour, Server};
use crate::support::valkey::patient;
use crate::support::{entry_in, eventually, serves};

on_every_server!(
    questions_leave_nothing_for_good,
    what_is_refused_leaves_nothing_for_good,
    the_first_fill_and_the_first_change_keep_the_clock,
    a_snapshot_is_worth_nothing_once_its_clock_has_run_out,
    a_clock_that_an_older_version_used_is_left_as_it_is,
);

const DAY_MS: i64 = 86_400_000;

struct Shared {
    server: Server,
    store: ValkeyStore,
}

impl Shared {
    async fn new(flavour: Flavour) -> Self {
        let server = Server::builder().flavour(flavour).start();
        let store = patient().buckets(2).connect(&server.url()).await.unwrap();
        Self { server, store }
    }

    fn keys(&self, pattern: &str) -> Vec<String> {
        redis::from_redis_value(self.server.command(&["KEYS", pattern])).unwrap()
    }

    fn number(&self, words: &[&str]) -> i64 {
        redis::from_redis_value(self.server.command(words)).unwrap()
    }

    /// What is left of the time of each clock; -1 where it has no end.
    fn clocks(&self) -> Vec<i64> {
        self.keys("wellspring:c:*").iter().map(|key| self.number(&["PTTL", key])).collect()
    }

    /// A day goes by: what has a time to live reaches its end.
    async fn a_day_later(&self) {
        for key in self.keys("*") {
            if self.number(&["PTTL", &key]) >= 0 {
                self.server.command(&["PEXPIRE", &key, "1"]);
                eventually("it has run out", async || self.number(&["EXISTS", &key]) == 0).await;
            }
        }
    }

    async fn read_version(&self, entry: &Entry) -> ReadVersion {
        self.store.lookup(&entry.corpus, entry.id).await.unwrap().read_version
    }

    async fn fill(&self, read_version: ReadVersion, entry: &Entry) -> Filled {
        self.store.fill(read_version, Arc::new(entry.clone())).await.unwrap()
    }
}

fn corpus(name: &str) -> Corpus {
    Corpus::new(name).unwrap()
}

fn about(corpus: &Corpus, question: &str) -> Entry {
    entry_in(corpus, question, vec![Dependency::document("a")])
}

async fn questions_leave_nothing_for_good(flavour: Flavour) {
    let shared = Shared::new(flavour).await;
    let before = shared.number(&["DBSIZE"]);
    for n in 0..1_000 {
        let entry = about(&corpus(&format!("invented {n}")), "?");
        if n % 2 == 0 {
            shared.read_version(&entry).await;
        } else {
            shared.store.lookup_or_claim(&entry.corpus, entry.id).await.unwrap();
            shared.store.versions(&entry.corpus, entry.id, &["a"]).await.unwrap();
            shared.store.dependants(&entry.corpus, &Change::document("a")).await.unwrap();
            shared.store.follow(&entry.corpus).await.unwrap();
        }
    }
    let clocks = shared.clocks();
    assert_eq!(clocks.len(), 1_000);
    assert!(clocks.iter().all(|left| (1..=DAY_MS).contains(left)), "{clocks:?}");
    shared.a_day_later().await;
    assert_eq!(shared.number(&["DBSIZE"]), before, "{:?}", shared.keys("*"));
}

async fn what_is_refused_leaves_nothing_for_good(flavour: Flavour) {
    let shared = Shared::new(flavour).await;
    let before = shared.number(&["DBSIZE"]);
    let entry = about(&corpus("invented"), "?");
    let foreign = ReadVersion { incarnation: 1, sequence: 0 };
    assert!(!shared.store.would_take(foreign, &entry).await.unwrap());
    assert_eq!(shared.fill(foreign, &entry).await, Filled::Refused(RefusedReason::ClockLost));
    let own = shared.read_version(&entry).await;
    let ahead = ReadVersion { sequence: own.sequence + 1, ..own };
    assert_eq!(shared.fill(ahead, &entry).await, Filled::Refused(RefusedReason::ClockLost));
    assert!(shared.store.would_take(own, &entry).await.unwrap());
    let clocks = shared.clocks();
    assert!(clocks.len() == 1 && (1..=DAY_MS).contains(&clocks[0]), "{clocks:?}");
    shared.a_day_later().await;
    assert_eq!(shared.number(&["DBSIZE"]), before, "{:?}", shared.keys("*"));
}

async fn the_first_fill_and_the_first_change_keep_the_clock(flavour: Flavour) {
    let shared = Shared::new(flavour).await;
    let filled = corpus("filled");
    let entries = [about(&filled, "1"), about(&filled, "2")];
    // Both before the clock is kept: it is the same one after that.
    let read_versions = [shared.read_version(&entries[0]).await, shared.read_version(&entries[1]).await];
    for (read_version, entry) in read_versions.into_iter().zip(&entries) {
        assert_eq!(shared.fill(read_version, entry).await, Filled::Stored);
    }
    let used = |entry: &Entry| entry.id.as_bytes()[14] % 2;
    let buckets = if used(&entries[0]) == used(&entries[1]) { 1 } else { 2 };
    assert_eq!(shared.clocks(), vec![-1; buckets]);
    for (read_version, entry) in read_versions.into_iter().zip(&entries) {
        assert!(serves(&shared.store, entry).await);
        assert_eq!(shared.read_version(entry).await, read_version);
    }

    // A change reaches every bucket, whether or not it was ever asked, and so does a hold.
    let changed = about(&corpus("changed"), "?");
    let held = about(&corpus("held"), "?");
    let old = [shared.read_version(&changed).await, shared.read_version(&held).await];
    shared.store.invalidate(&changed.corpus, &[Change::document("a")]).await.unwrap();
    shared.store.begin_update(&held.corpus, "a").await.unwrap();
    assert_eq!(shared.clocks(), vec![-1; buckets + 4]);
    shared.a_day_later().await;
    assert_eq!(shared.clocks().len(), buckets + 4);
    assert_eq!(shared.fill(old[0], &changed).await, Filled::Refused(RefusedReason::DependencyChanged));
    assert_eq!(shared.fill(old[1], &held).await, Filled::Refused(RefusedReason::Held));
    let new = shared.read_version(&changed).await;
    assert_eq!((new.incarnation, new.sequence), (old[0].incarnation, old[0].sequence + 1));
}

/// Mechanism to be excluded: the answer was made before a change that was reported while there was no clock.
async fn a_snapshot_is_worth_nothing_once_its_clock_has_run_out(flavour: Flavour) {
    let shared = Shared::new(flavour).await;
    let entry = about(&corpus("invented"), "?");
    let old = shared.read_version(&entry).await;
    shared.a_day_later().await;
    assert!(shared.clocks().is_empty());
    assert!(!shared.store.would_take(old, &entry).await.unwrap());
    assert_eq!(shared.fill(old, &entry).await, Filled::Refused(RefusedReason::ClockLost));
    let new = shared.read_version(&entry).await;
    assert_ne!(new.incarnation, old.incarnation);
    shared.a_day_later().await;
    shared.store.invalidate(&entry.corpus, &[Change::document("a")]).await.unwrap();
    for stale in [old, new] {
        assert_eq!(shared.fill(stale, &entry).await, Filled::Refused(RefusedReason::ClockLost));
    }
    let fresh = shared.read_version(&entry).await;
    assert_eq!(shared.fill(fresh, &entry).await, Filled::Stored);
    assert!(serves(&shared.store, &entry).await);
}

/// A process that does not know that clocks run out reports a change to one. Its tombstone must not be lost
/// while the clock continues with the same incarnation.
async fn a_clock_that_an_older_version_used_is_left_as_it_is(flavour: Flavour) {
    let shared = Shared::new(flavour).await;
    let entry = about(&corpus("older"), "?");
    let read_version = shared.read_version(&entry).await;
    let clock = shared.keys("wellspring:c:*").pop().unwrap();
    let mark = entry.dependency_ids().unwrap().into_iter().find(|id| id.as_bytes() != entry.id.as_bytes());
    let mark = mark.unwrap().as_bytes().to_vec();
    let held = [b"HSET".to_vec(), clock.clone().into_bytes(), mark, b"9007199254740991".to_vec()];
    shared.server.command(&held);
    assert_eq!(shared.fill(read_version, &entry).await, Filled::Refused(RefusedReason::Held));
    let other = entry_in(&entry.corpus, "?", vec![Dependency::document("b")]);
    assert_eq!(shared.fill(read_version, &other).await, Filled::Stored);
    assert_eq!(shared.fill(read_version, &entry).await, Filled::Refused(RefusedReason::Held));
    assert!(shared.number(&["PTTL", &clock]) > 0);
}
