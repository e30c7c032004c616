//! Invalidations that arrive late, from an outbox, after newer ones.

use std::sync::Arc;
use std::time::Duration;

use wellspring::store::{ChangeOutcome, Filled, RefusedReason, Store, ValkeyOptions, ValkeyStore};
use wellspring::{Change, Corpus, Entry};

use crate::support::servers::{Proxy, Server};
use crate::support::valkey::patient;
use crate::support::{about, eventually, fetch, fill_all, serves};

fn options() -> ValkeyOptions {
    patient().buckets(1)
}

/// A store that reaches the server through a network that is cut, where `invalidate` gives up soon.
struct CutOff {
    store: ValkeyStore,
    proxy: Proxy,
}

impl CutOff {
    async fn from(server: &Server) -> Self {
        let proxy = Proxy::start(server.port());
        let options = options().invalidate_timeout(Duration::from_secs(2));
        let store = options.connect(&proxy.url()).await.unwrap();
        Self { store, proxy }
    }

    async fn catch_up(&self) {
        self.proxy.heal();
        eventually("nothing is pending", async || {
            self.store.status().await.is_ok_and(|status| status.pending_invalidations == 0)
        })
        .await;
    }
}

async fn change(store: &dyn Store, version: &str) -> wellspring::Result<Vec<ChangeOutcome>> {
    store.invalidate(&Corpus::default(), &[Change::document_version("a", version)]).await
}

async fn fill(store: &dyn Store, entry: &Entry) -> Filled {
    let read_version = fetch(store, entry.id).await.read_version;
    store.fill(read_version, Arc::new(entry.clone())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_change_does_not_hide_a_change_back() {
    // The document went to version 1, to 2, and back to 1. The first change was incomplete, and was made again from
    // the outbox after the second: version 1 was registered once more, and the third change looked like none.
    let server = Server::start();
    let store = options().connect(&server.url()).await.unwrap();
    let late = CutOff::from(&server).await;
    late.proxy.cut();
    assert!(change(&late.store, "1").await.is_err());
    change(&store, "2").await.unwrap();
    late.catch_up().await;
    let entry = about("question", "a");
    fill_all(&store, std::slice::from_ref(&entry)).await;
    change(&store, "1").await.unwrap();
    assert!(!serves(&store, &entry).await, "an answer from version 2 is served in version 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_made_again_by_hand_stays_registered() {
    let server = Server::start();
    let store = options().connect(&server.url()).await.unwrap();
    let late = CutOff::from(&server).await;
    late.proxy.cut();
    assert!(change(&late.store, "1").await.is_err());
    change(&store, "1").await.unwrap();
    late.catch_up().await;
    let stale = Entry {
        dependencies: vec![wellspring::Dependency::document_version("a", "0")],
        ..about("question", "a")
    };
    assert_eq!(fill(&store, &stale).await, Filled::Refused(RefusedReason::VersionMismatch));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_end_of_an_update_does_not_end_the_next_one() {
    // An update whose end was incomplete was ended from the outbox while the next one of the same document was under
    // way: what was held was stored and served.
    let server = Server::start();
    let store = options().connect(&server.url()).await.unwrap();
    let late = CutOff::from(&server).await;
    let corpus = Corpus::default();
    late.store.begin_update(&corpus, "a").await.unwrap();
    late.proxy.cut();
    assert!(late.store.end_update(&corpus, "a", None).await.is_err());
    // Not yet retried when the network is healed: whichever comes first wins.
    late.proxy.heal();
    eventually("the update begins", async || late.store.begin_update(&corpus, "a").await.is_ok()).await;
    late.catch_up().await;
    assert_eq!(fill(&store, &about("question", "a")).await, Filled::Refused(RefusedReason::Held));
    late.store.end_update(&corpus, "a", None).await.unwrap();
    assert_eq!(fill(&store, &about("question", "a")).await, Filled::Stored);
}
