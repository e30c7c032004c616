//! Servers that cannot vouch for what they have, and servers that cannot keep what they receive.

use std::sync::Arc;

use wellspring::store::{Filled, RefusedReason, Store};
use wellspring::{Change, Corpus};

use crate::support::servers::{Server, until};
use crate::support::valkey::patient;
use crate::support::{about, eventually, fetch, fill_all, serves};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demoted_primary_serves_nothing() {
    // Clients that were connected to it stayed, and were still served hits: a hit writes nothing, so the server did not
    // refuse, and its replication id was the new primary's. Cut off from the primary, it received no more
    // invalidations.
    let old = Server::start();
    let new = Server::builder().replica_of(old.port()).start();
    old.wait_for_replicas(1);
    let stays = patient().buckets(1).connect(&old.url()).await.unwrap();
    // Made before, so that the old server has a clock of the new one's life, and the entry under it.
    old.command(&["REPLICAOF", "127.0.0.1", &new.port().to_string()]);
    new.command(&["REPLICAOF", "NO", "ONE"]);
    let goes = patient().buckets(1).connect(&new.url()).await.unwrap();
    let entry = about("question", "a");
    fill_all(&goes, std::slice::from_ref(&entry)).await;
    new.wait_for_replicas(1);
    new.refuse_replicas();
    until("the link is down", || old.info("master_link_status").as_deref() == Some("down"));
    goes.invalidate(&Corpus::default(), &[Change::document("a")]).await.unwrap();
    let found = stays.lookup(&entry.corpus, entry.id).await;
    assert!(found.is_err_and(|error| error.kind() == wellspring::ErrorKind::Unavailable));
    assert!(!serves(&goes, &entry).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_does_not_begin_an_update_that_it_cannot_hold() {
    // A script that fails for lack of memory drops the clock, which ends everything and holds nothing. The update was
    // reported to have begun.
    let server = Server::start();
    let store = patient().buckets(1).invalidate_timeout(std::time::Duration::from_secs(3));
    let store = store.connect(&server.url()).await.unwrap();
    let corpus = Corpus::default();
    let entry = about("question", "a");
    fill_all(&store, std::slice::from_ref(&entry)).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let begun = store.begin_update(&corpus, "a").await;
    // A change that only has to end something does so.
    store.invalidate(&corpus, &[Change::document("a")]).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    let fetched = fetch(&store, entry.id).await;
    let filled = store.fill(fetched.read_version, Arc::new(entry.clone())).await.unwrap();
    assert!(begun.is_err() || filled == Filled::Refused(RefusedReason::Held), "{begun:?}, {filled:?}");
    eventually("the update begins", async || store.begin_update(&corpus, "a").await.is_ok()).await;
    assert!(!serves(&store, &entry).await);
}
