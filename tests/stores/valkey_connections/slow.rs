//! Servers that are slow or silent, and machines that are too busy: how long lookups wait, and when they do not.

use std::sync::Arc;
use std::time::Duration;

use wellspring::store::{ConnectionStatus, Filled, Found, Store, ValkeyStore};
use wellspring::{Entry, ErrorKind};

use crate::support::servers::{Proxy, Server};
use crate::support::valkey::patient;
use crate::support::{about, eventually};

const LIMIT: Duration = Duration::from_millis(40);
/// In each direction.
const DELAY: Duration = Duration::from_millis(50);

/// An entry whose answer took `recompute` to make.
fn costing(recompute: Duration) -> Entry {
    Entry { recompute, ..about("why", "a") }
}

/// A store with the usual limit, for tests in which it matters.
async fn connect(url: &str) -> ValkeyStore {
    patient().command_timeout(LIMIT).connect(url).await.unwrap()
}

fn connection(store: &ValkeyStore) -> ConnectionStatus {
    store.connection().unwrap()
}

/// A store that holds `entry`, behind a proxy.
async fn behind_a_proxy(entry: &Entry) -> (Server, Proxy, ValkeyStore) {
    let server = Server::start();
    let proxy = Proxy::start(server.port());
    let store = connect(&proxy.url()).await;
    fill(&store, entry).await;
    (server, proxy, store)
}

/// Tries until it is stored: the machine may be busy.
async fn fill(store: &ValkeyStore, entry: &Entry) {
    eventually("the answer is stored", async || {
        let Ok(fetched) = store.lookup(&entry.corpus, entry.id).await else { return false };
        matches!(store.fill(fetched.read_version, Arc::new(entry.clone())).await, Ok(Filled::Stored))
    })
    .await;
}

async fn is_served(store: &ValkeyStore, entry: &Entry) -> bool {
    matches!(store.lookup(&entry.corpus, entry.id).await.map(|fetched| fetched.found), Ok(Found::Live(_)))
}

fn slow_down(proxy: &Proxy, delay: Duration) {
    proxy.delay_requests(delay);
    proxy.delay_replies(delay);
}

/// Forty commands were tried one after the other, and the gateway did not listen before the last reply.
#[tokio::test(flavor = "multi_thread")]
async fn access_to_a_slow_server_is_checked_in_a_few_round_trips() {
    let server = Server::start();
    let proxy = Proxy::start(server.port());
    let store = patient().connect(&proxy.url()).await.unwrap();
    proxy.delay_replies(Duration::from_secs(2));
    let checked = tokio::time::timeout(Duration::from_mins(1), store.check_access()).await;
    checked.expect("forty round trips are too many").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_is_waited_for_where_answers_are_dear() {
    // Every lookup of a server whose replies took longer than the limit went without the cache, for as long as they did.
    let entry = costing(Duration::from_mins(1));
    let (_server, proxy, store) = behind_a_proxy(&entry).await;
    slow_down(&proxy, DELAY);
    let mut in_a_row = 0;
    eventually("hits in a row", async || {
        in_a_row = if is_served(&store, &entry).await { in_a_row + 1 } else { 0 };
        in_a_row == 10
    })
    .await;
    let status = connection(&store);
    assert!(status.up && status.slowest_round_trip_us >= 100_000, "{status:?}");
    assert!(status.command_timeout_us >= 200_000, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_is_left_alone_where_answers_are_cheap() {
    let entry = costing(Duration::from_millis(100));
    let (_server, proxy, store) = behind_a_proxy(&entry).await;
    slow_down(&proxy, DELAY);
    eventually("it is skipped", async || {
        let _ = store.lookup(&entry.corpus, entry.id).await;
        !connection(&store).up
    })
    .await;
    let status = connection(&store);
    assert_eq!(status.command_timeout_us, 40_000, "{status:?}");
    slow_down(&proxy, Duration::ZERO);
    eventually("it is used again", async || is_served(&store, &entry).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_costs_a_few_lookups_their_limit_and_the_others_nothing() {
    let entry = costing(Duration::from_mins(1));
    let (_server, proxy, store) = behind_a_proxy(&entry).await;
    proxy.hang();
    let (mut late, mut away) = (0, 0);
    while away < 100 {
        match store.lookup(&entry.corpus, entry.id).await.unwrap_err().kind() {
            ErrorKind::Timeout => late += 1,
            ErrorKind::Unavailable => away += 1,
            other => panic!("{other:?}"),
        }
    }
    // Those for which this process itself came too late are not counted against the server.
    let status = connection(&store);
    assert!(late <= 3 + status.late_wakeups && !status.up, "{late} waited: {status:?}");
    proxy.heal();
    eventually("it is used again", async || is_served(&store, &entry).await).await;
    assert!(connection(&store).up);
}

/// On one thread, which is blocked while a lookup is under way: as if the machine had left the process no time to run.
#[tokio::test]
async fn a_process_that_ran_too_late_does_not_blame_the_server() {
    // The timer had fired by the time that the reply could be read. Three in a row were taken for a server that is
    // down.
    let server = Server::start();
    let store = Arc::new(connect(&server.url()).await);
    let entry = costing(Duration::from_mins(1));
    fill(&store, &entry).await;
    for round in 0..10 {
        let (looking, entry) = (Arc::clone(&store), entry.clone());
        let lookup = tokio::spawn(async move { is_served(&looking, &entry).await });
        tokio::task::yield_now().await;
        std::thread::sleep(4 * LIMIT);
        assert!(lookup.await.unwrap(), "round {round}: {:?}", connection(&store));
    }
    let status = connection(&store);
    assert!(status.up && status.scheduling_delay_us >= 40_000, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_says_it_is_ready_answers_lookups() {
    // It was another connection that was asked, which may be back before the one that lookups use.
    let server = Server::start();
    let store = patient().connect(&server.url()).await.unwrap();
    let entry = about("why", "a");
    for round in 0..10 {
        server.kill();
        eventually("it is not ready", async || store.ready().await.is_err()).await;
        server.restart();
        eventually("it is ready", async || store.ready().await.is_ok()).await;
        let looked_up = store.lookup(&entry.corpus, entry.id).await;
        assert!(looked_up.is_ok(), "round {round}: {looked_up:?}");
    }
}
