//! Many changes in one call to servers: the error when some of them do not get through, the cleanup, and slots that
//! move meanwhile.

use std::sync::Arc;
use std::time::Duration;

use wellspring::store::{ChangeOutcome, Limits, Store};
use wellspring::{Change, Corpus, Entry, ErrorKind};

use crate::support::servers::{Cluster, Flavour, Proxy, Server};
use crate::support::valkey::{cluster_url, patient, shared_server};
use crate::support::{Bench, Kind, about, eventually, fill_all, serves};

on_every_server!(an_error_says_which_changes_are_not_in_force, what_depended_on_many_documents_is_cleaned_up,);

/// So many that there is time to cut a call off.
const COUNT: usize = 20_000;

fn documents(count: usize) -> Vec<Change> {
    (0..count).map(|n| Change::document(n.to_string())).collect()
}

async fn an_error_says_which_changes_are_not_in_force(flavour: Flavour) {
    let server = Server::builder().flavour(flavour).start();
    let options = || patient().buckets(4);
    let store = options().connect(&server.url()).await.unwrap();
    let proxy = Proxy::start(server.port());
    let bulk = options().invalidate_timeout(Duration::from_secs(2)).connect(&proxy.url()).await.unwrap();
    let bulk = Arc::new(bulk);
    let entries: Vec<Entry> =
        (0..COUNT).step_by(500).map(|n| about(&format!("about {n}"), &n.to_string())).collect();
    fill_all(&store, &entries).await;
    // Slow enough to be cut off in the middle.
    proxy.delay_replies(Duration::from_millis(20));
    let call = tokio::spawn({
        let bulk = Arc::clone(&bulk);
        async move { bulk.invalidate(&Corpus::default(), &documents(COUNT)).await }
    });
    eventually("some are in force", async || !serves(&store, &entries[1]).await).await;
    proxy.cut();
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incomplete);
    let places = error.not_in_force();
    let first = places.first().expect("some are not in force").start;
    assert!(first > 0 && places.last().unwrap().end == COUNT, "{places:?}");
    assert!(error.to_string().contains(&format!("({} to ", first + 1)), "{error}");
    for (n, entry) in (0..COUNT).step_by(500).zip(&entries) {
        if !places.iter().any(|place| place.contains(&n)) {
            assert!(!serves(&store, entry).await, "document {n} is said to be in force");
        }
    }
    assert!(serves(&store, entries.last().unwrap()).await, "the last is not");
    // Neither waiting nor trying again does harm.
    proxy.heal();
    proxy.delay_replies(Duration::ZERO);
    eventually("nothing is pending", async || {
        bulk.status().await.is_ok_and(|status| status.pending_invalidations == 0)
    })
    .await;
    bulk.invalidate(&Corpus::default(), &documents(COUNT)).await.unwrap();
    for entry in &entries {
        assert!(!serves(&store, entry).await, "{}", entry.question);
    }
}

async fn what_depended_on_many_documents_is_cleaned_up(flavour: Flavour) {
    let bench = Bench::new(Kind::Valkey(flavour));
    let store = bench.open(Limits::default());
    let entries: Vec<Entry> = (0..600).map(|n| about(&format!("question {n}"), &n.to_string())).collect();
    let fills = entries.iter().map(|entry| fill_all(&*store, std::slice::from_ref(entry)));
    futures::future::join_all(fills).await;
    let outcomes = store.invalidate(&Corpus::default(), &documents(600)).await.unwrap();
    assert_eq!(outcomes, vec![ChangeOutcome::Dropped(1); 600]);
    eventually("nothing is left of them", async || store.status().await.unwrap().entries == 0).await;
    let prefix = bench.folder.path().file_name().unwrap().to_string_lossy().into_owned();
    let keys = shared_server(flavour).command(&["KEYS", &format!("{prefix}:[der]:*")]);
    let keys: Vec<String> = redis::from_redis_value(keys).unwrap();
    assert!(keys.is_empty(), "{keys:?}");
}

/// Mechanism: the sets of dependants were among the keys of the script. While a slot moves, a node that has the clock and
/// not all of the sets refuses such a script until the move is over, and most often there are no sets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_in_force_while_a_slot_moves() {
    let cluster = Cluster::start();
    let options = patient().buckets(1).invalidate_timeout(Duration::from_secs(2));
    let store = options.connect(&cluster_url(&cluster)).await.unwrap();
    let entries = ["a", "b", "c"].map(|document| about(document, document));
    fill_all(&store, &entries).await;
    let clock = "wellspring:c:{default:0}";
    let slot = cluster.slot(clock);
    let from = cluster.owner(slot);
    let to = (0..3).find(|node| *node != from).unwrap();
    let migration = cluster.migrate(slot, to);
    let change = async |document| store.invalidate(&Corpus::default(), &[Change::document(document)]).await;
    change("a").await.unwrap();
    migration.move_key(clock);
    change("b").await.unwrap();
    migration.finish();
    change("c").await.unwrap();
    for entry in &entries {
        eventually("the new owner is known", async || store.lookup(&entry.corpus, entry.id).await.is_ok())
            .await;
        assert!(!serves(&store, entry).await, "{}", entry.question);
    }
}
