//! Events are applied at least once, even if processes die and servers are down.

use std::time::Duration;

use redis::from_redis_value;
use wellspring::events::Report;

use crate::document_events::{
    GROUP, Reader, STREAM, WordEmbedder, add, cache, events, is_hit, pending, put, reading, server,
};
use crate::support::eventually;
use crate::support::servers::{Flavour, Proxy};
use crate::support::valkey::patient_now;

on_every_server!(
    what_a_killed_consumer_left_is_claimed,
    a_consumer_that_comes_back_goes_on_with_what_it_left,
    many_consumers_share_the_work,
    an_incomplete_invalidation_is_not_acknowledged,
    events_from_before_the_group_are_applied,
    a_restarted_server_is_gone_on_with,
);

/// A consumer reads everything and never acknowledges it, like one that dies at that moment.
fn die_as(server: &crate::document_events::Server, consumer: &str) {
    server.command(&["XREADGROUP", "GROUP", GROUP, consumer, "STREAMS", STREAM, ">"]);
}

async fn what_a_killed_consumer_left_is_claimed(flavour: Flavour) {
    let server = server(flavour);
    let cache = cache(flavour).await;
    reading(&server, &cache).await.stop().await;
    for n in 0..250 {
        put(&cache, &format!("question {n}"), &n.to_string()).await;
        add(&server, &["id", &n.to_string()]);
    }
    die_as(&server, "dead");
    assert_eq!(pending(&server), 250);
    let survivor = Reader::start(events(&server, "two").batch(50), &cache);
    eventually("all is claimed and acknowledged", async || pending(&server) == 0).await;
    for n in 0..250 {
        assert!(!is_hit(&cache, &format!("question {n}")).await);
    }
    let reports = survivor.stop().await;
    assert_eq!((reports.applied(), reports.all_gaps()), (250, 0));
}

async fn a_consumer_that_comes_back_goes_on_with_what_it_left(flavour: Flavour) {
    let server = server(flavour);
    let cache = cache(flavour).await;
    reading(&server, &cache).await.kill().await;
    for n in 0..250 {
        put(&cache, &format!("question {n}"), &n.to_string()).await;
        add(&server, &["id", &n.to_string()]);
    }
    die_as(&server, "one");
    // Long before anyone else would claim it.
    let back = events(&server, "one").claim_idle(Duration::from_hours(1));
    let back = Reader::start(back, &cache);
    eventually("all is acknowledged", async || pending(&server) == 0).await;
    assert!(!is_hit(&cache, "question 249").await);
    assert_eq!(back.stop().await.all_gaps(), 0);
}

async fn many_consumers_share_the_work(flavour: Flavour) {
    const EVENTS: usize = 2_000;
    let server = server(flavour);
    let cache = cache(flavour).await;
    reading(&server, &cache).await.stop().await;
    // No consumer is idle for so long, so each event is read once.
    let readers: Vec<_> = (0..4)
        .map(|n| events(&server, &n.to_string()).claim_idle(Duration::from_hours(1)).batch(10))
        .map(|events| Reader::start(events, &cache))
        .collect();
    for n in 0..EVENTS {
        add(&server, &["id", &n.to_string()]);
    }
    let applied = || readers.iter().map(|reader| reader.reports.applied()).collect::<Vec<_>>();
    eventually("all is applied", async || applied().iter().sum::<usize>() >= EVENTS).await;
    assert_eq!(applied().iter().sum::<usize>(), EVENTS);
    assert!(applied().iter().filter(|applied| **applied > 0).count() > 1, "{:?}", applied());
    for reader in readers {
        assert_eq!(reader.stop().await.all_gaps(), 0);
    }
}

async fn an_incomplete_invalidation_is_not_acknowledged(flavour: Flavour) {
    let (server, store) = (server(flavour), server(flavour));
    let proxy = Proxy::start(store.port());
    let options = patient_now()
        .command_timeout(Duration::from_millis(200))
        .invalidate_timeout(Duration::from_millis(300));
    let connect = async |url: String| {
        let store = options.clone().connect(&url).await.unwrap();
        wellspring::Cache::builder(WordEmbedder::default(), store).build().await.unwrap()
    };
    let (cache, witness) = (connect(proxy.url()).await, connect(store.url()).await);
    let reader = reading(&server, &cache).await;
    put(&witness, "question", "a").await;
    proxy.cut();
    add(&server, &["id", "a"]);
    let waits = |report: &Report| matches!(report, Report::Waiting { .. });
    eventually("it is tried", async || reader.reports.count(waits) > 0).await;
    // A reader that has ended acknowledges nothing any more.
    let reports = reader.stop().await;
    assert_eq!((pending(&server), reports.applied()), (1, 0));
    assert!(is_hit(&witness, "question").await);
    let reader = Reader::start(events(&server, "one"), &cache);
    eventually("it is tried again", async || reader.reports.count(waits) > 0).await;
    // No matter how long the store is down, the outbox holds the change once.
    proxy.heal();
    eventually("it is acknowledged", async || pending(&server) == 0).await;
    assert!(!is_hit(&witness, "question").await);
    assert_eq!(reader.stop().await.buried(), 0);
}

async fn events_from_before_the_group_are_applied(flavour: Flavour) {
    let server = server(flavour);
    let cache = cache(flavour).await;
    for n in 0..20 {
        add(&server, &["id", &n.to_string()]);
    }
    let reader = reading(&server, &cache).await;
    eventually("all are applied", async || reader.reports.applied() == 20).await;
    reader.stop().await;
}

async fn a_restarted_server_is_gone_on_with(flavour: Flavour) {
    use crate::document_events::GapReason::OtherServer;
    let server = crate::document_events::Server::builder()
        .flavour(flavour)
        .config("appendonly", "yes")
        .config("appendfsync", "always")
        .start();
    let cache = cache(flavour).await;
    let reader = reading(&server, &cache).await;
    put(&cache, "question", "a").await;
    put(&cache, "other", "b").await;
    server.kill();
    let lost = |report: &Report| matches!(report, Report::Disconnected { .. });
    eventually("it is noticed", async || reader.reports.count(lost) > 0).await;
    server.restart();
    reader.gap(OtherServer).await;
    assert!(!is_hit(&cache, "other").await, "what the old server had last may be missing");
    put(&cache, "question", "a").await;
    add(&server, &["id", "a"]);
    eventually("events are applied again", async || !is_hit(&cache, "question").await).await;
    let acknowledged: i64 = from_redis_value(server.command(&["XLEN", STREAM])).unwrap();
    assert_eq!(acknowledged, 1, "the stream is the producers'");
    reader.stop().await;
}
