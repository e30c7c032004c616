//! The tier in memory above the one on the server.

use std::time::{Duration, Instant};

use wellspring::store::{Freshness, ValkeyOptions};
use wellspring::{Cache, Change, Dependency, Lookup};

use crate::invalidation_strategies::{
    calls_of, change, exactly, hit, is_hit, process, process_with, put, server,
};
use crate::support::eventually;
use crate::support::servers::{Flavour, Proxy, Server};
use crate::support::valkey::patient_now;

on_every_server!(
    the_payload_is_not_sent_again,
    bounded_freshness_is_served_without_a_round_trip,
    bounded_freshness_is_kept_short_by_the_server,
    bounded_freshness_gives_up_what_it_says,
    bounded_freshness_holds_in_the_process_that_changes,
    bounded_freshness_serves_a_renewed_answer,
);

const PAYLOAD: usize = 200_000;
const LOOKUPS: usize = 20;

fn bounded(time: Duration) -> ValkeyOptions {
    patient_now().freshness(Freshness::Bounded(time))
}

/// Waits until `question` is served from memory. A notification that is still under way makes the next lookup ask
/// the server again.
async fn warm(server: &Server, cache: &Cache, question: &str) {
    eventually("it is served from memory", async || {
        let before = calls_of(server, "evalsha");
        serves(cache, question).await && calls_of(server, "evalsha") == before
    })
    .await;
}

/// Whether `question` is a hit. Without the server it may be neither a hit nor a miss.
async fn serves(cache: &Cache, question: &str) -> bool {
    matches!(cache.lookup(exactly(question)).await.unwrap(), Lookup::Hit(_))
}

/// What the server has sent to all clients so far.
fn sent(server: &Server) -> usize {
    server.info("total_net_output_bytes").unwrap().parse().unwrap()
}

async fn the_payload_is_not_sent_again(flavour: Flavour) {
    let server = server(flavour);
    let writer = process(&server).await;
    put(&writer, "question", "x".repeat(PAYLOAD), vec![Dependency::document("a")]).await;
    for (bytes, expected) in [(64 << 20, PAYLOAD..2 * PAYLOAD), (0, LOOKUPS * PAYLOAD..usize::MAX)] {
        let options = patient_now().memory_tier_bytes(bytes);
        let reader = process_with(&server.url(), options, |builder| builder).await;
        let before = sent(&server);
        for _ in 0..LOOKUPS {
            assert_eq!(hit(&reader, "question").await.unwrap().answer().text.len(), PAYLOAD);
        }
        let sent = sent(&server) - before;
        assert!(expected.contains(&sent), "{sent} bytes with a tier of {bytes}");
        // The server was asked anyway, so the next one is as new as possible.
        change(&writer, &[Change::document("a")]).await;
        assert!(!is_hit(&reader, "question").await);
        put(&writer, "question", "x".repeat(PAYLOAD), vec![Dependency::document("a")]).await;
    }
}

async fn bounded_freshness_is_served_without_a_round_trip(flavour: Flavour) {
    let server = server(flavour);
    let reader = process_with(&server.url(), bounded(Duration::from_mins(1)), |builder| builder).await;
    put(&reader, "question", "answer", vec![]).await;
    eventually("a server that answers no one is not needed", async || {
        warm(&server, &reader, "question").await;
        server.stop();
        let mut served = 0;
        while served < 100 && serves(&reader, "question").await {
            served += 1;
        }
        server.cont();
        served == 100
    })
    .await;
}

async fn bounded_freshness_is_kept_short_by_the_server(flavour: Flavour) {
    let server = server(flavour);
    let writer = process(&server).await;
    let reader = process_with(&server.url(), bounded(Duration::from_mins(10)), |builder| builder).await;
    put(&writer, "question", "old", vec![Dependency::document("a")]).await;
    warm(&server, &reader, "question").await;
    change(&writer, &[Change::document("a")]).await;
    // Which is far less than the bound.
    eventually("the server tells of the change", async || !is_hit(&reader, "question").await).await;
}

async fn bounded_freshness_gives_up_what_it_says(flavour: Flavour) {
    const BOUND: Duration = Duration::from_secs(5);
    let server = server(flavour);
    let proxy = Proxy::start(server.port());
    let writer = process(&server).await;
    let options = bounded(BOUND).command_timeout(Duration::from_millis(100));
    let reader = process_with(&proxy.url(), options, |builder| builder).await;
    let mut validated = Instant::now();
    eventually("it is served although it is stale, which is the bargain", async || {
        proxy.heal();
        put(&writer, "question", "old", vec![Dependency::document("a")]).await;
        warm(&server, &reader, "question").await;
        validated = Instant::now();
        // Cut off without notice, the reader cannot be notified.
        proxy.hang();
        change(&writer, &[Change::document("a")]).await;
        serves(&reader, "question").await
    })
    .await;
    eventually("the bound is over", async || {
        let asked = validated.elapsed();
        let serves = serves(&reader, "question").await;
        assert!(!serves || asked <= BOUND, "served {asked:?} after it was validated");
        !serves
    })
    .await;
    proxy.heal();
}

async fn bounded_freshness_holds_in_the_process_that_changes(flavour: Flavour) {
    // The server notified the process of its own change on another connection, perhaps after `invalidate` returned.
    let server = server(flavour);
    let cache = process_with(&server.url(), bounded(Duration::from_mins(1)), |builder| builder).await;
    for n in 0..300 {
        put(&cache, "question", "old", vec![Dependency::document("a")]).await;
        assert!(is_hit(&cache, "question").await);
        change(&cache, &[Change::document("a")]).await;
        assert!(!is_hit(&cache, "question").await, "round {n}");
    }
}

async fn bounded_freshness_serves_a_renewed_answer(flavour: Flavour) {
    // A fill changes no clock, so the server notifies no one: the process that filled went on with the old answer, and
    // an early refresh of it was due at every hit.
    let server = server(flavour);
    let cache = process_with(&server.url(), bounded(Duration::from_mins(1)), |builder| builder).await;
    put(&cache, "question", "first", vec![]).await;
    assert!(is_hit(&cache, "question").await);
    put(&cache, "question", "second", vec![]).await;
    assert_eq!(&*hit(&cache, "question").await.unwrap().answer().text, "second");
}
