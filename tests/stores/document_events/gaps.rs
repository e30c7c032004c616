//! Events that may have been missed.

use wellspring::events::{GapReason, OnGap};

use crate::document_events::{Reader, STREAM, add, cache, events, is_hit, pending, put, reading, server};
use crate::support::eventually;
use crate::support::servers::Flavour;

on_every_server!(
    a_trimmed_stream_is_noticed,
    a_trimmed_stream_is_noticed_while_it_is_read,
    trimming_what_was_read_is_no_gap,
    what_a_dead_consumer_lost_is_noticed,
    a_flushed_server_is_begun_with_anew,
    a_gap_that_is_only_reported_ends_nothing,
);

async fn a_trimmed_stream_is_noticed(flavour: Flavour) {
    let server = server(flavour);
    let cache = cache(flavour).await;
    let reader = reading(&server, &cache).await;
    add(&server, &["id", "x"]);
    eventually("it is applied", async || reader.reports.applied() == 1).await;
    assert_eq!(reader.stop().await.all_gaps(), 1);

    for everything in [false, true] {
        put(&cache, "question", "a").await;
        for n in 0..10 {
            add(&server, &["id", if n == 0 { "a" } else { "b" }]);
        }
        server.command(&["XTRIM", STREAM, "MAXLEN", if everything { "0" } else { "5" }]);
        let reader = Reader::start(events(&server, "one"), &cache);
        reader.gap(GapReason::Trimmed).await;
        assert!(!is_hit(&cache, "question").await, "its event is gone");
        // Once is enough, for this reader and the next.
        put(&cache, "question", "a").await;
        add(&server, &["id", "c"]);
        let left = if everything { 1 } else { 6 };
        eventually("the rest is applied", async || reader.reports.applied() == left).await;
        assert_eq!(reader.stop().await.all_gaps(), 1);
        let reader = Reader::start(events(&server, "one"), &cache);
        add(&server, &["id", "c"]);
        eventually("it goes on", async || reader.reports.applied() == 1).await;
        assert_eq!(reader.stop().await.all_gaps(), 0);
        assert!(is_hit(&cache, "question").await);
    }
}

async fn a_trimmed_stream_is_noticed_while_it_is_read(flavour: Flavour) {
    // If reading and looking for gaps were two commands, events that are trimmed in between would be missed unnoticed.
    let server = server(flavour);
    let cache = cache(flavour).await;
    let reader = reading(&server, &cache).await;
    for round in 0..100 {
        put(&cache, "question", "a").await;
        let mut burst = redis::pipe();
        for n in 0..20 {
            let id = if n == 0 { "a" } else { "b" };
            burst.cmd("XADD").arg(STREAM).arg("MAXLEN").arg(1).arg("*").arg("id").arg(id).ignore();
        }
        let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
        burst.exec(&mut connection).unwrap();
        eventually("read or noticed", async || !is_hit(&cache, "question").await).await;
        assert!(round < 100);
    }
    assert_eq!(reader.stop().await.buried(), 0);
}

async fn trimming_what_was_read_is_no_gap(flavour: Flavour) {
    let server = server(flavour);
    let cache = cache(flavour).await;
    let reader = reading(&server, &cache).await;
    put(&cache, "question", "a").await;
    for round in 1..=5 {
        for _ in 0..10 {
            add(&server, &["id", "b"]);
        }
        eventually("all is applied", async || reader.reports.applied() == 10 * round).await;
        eventually("and acknowledged", async || pending(&server) == 0).await;
        match round % 3 {
            0 => drop(server.command(&["XTRIM", STREAM, "MAXLEN", "0"])),
            1 => drop(server.command(&["XTRIM", STREAM, "MAXLEN", "3"])),
            _ => {
                let entries: Vec<(String, Vec<String>)> =
                    redis::from_redis_value(server.command(&["XRANGE", STREAM, "-", "+"])).unwrap();
                for (id, _) in entries {
                    server.command(&["XDEL", STREAM, &id]);
                }
            }
        }
    }
    assert_eq!(reader.stop().await.all_gaps(), 1, "the first start only");
    assert!(is_hit(&cache, "question").await);
}

async fn what_a_dead_consumer_lost_is_noticed(flavour: Flavour) {
    let server = server(flavour);
    let cache = cache(flavour).await;
    reading(&server, &cache).await.stop().await;
    for consumer in ["dead", "one"] {
        put(&cache, "question", "a").await;
        add(&server, &["id", "a"]);
        server.command(&[
            "XREADGROUP",
            "GROUP",
            crate::document_events::GROUP,
            consumer,
            "STREAMS",
            STREAM,
            ">",
        ]);
        server.command(&["XTRIM", STREAM, "MAXLEN", "0"]);
        let reader = Reader::start(events(&server, "one"), &cache);
        reader.gap(GapReason::Trimmed).await;
        assert!(!is_hit(&cache, "question").await);
        eventually("nothing is left", async || pending(&server) == 0).await;
        reader.stop().await;
    }
}

async fn a_flushed_server_is_begun_with_anew(flavour: Flavour) {
    let server = server(flavour);
    let cache = cache(flavour).await;
    let reader = reading(&server, &cache).await;
    put(&cache, "question", "a").await;
    server.command(&["FLUSHALL"]);
    eventually("it is noticed", async || reader.reports.gaps(GapReason::NewGroup) == 2).await;
    assert!(!is_hit(&cache, "question").await);
    put(&cache, "question", "a").await;
    add(&server, &["id", "a"]);
    eventually("it goes on", async || !is_hit(&cache, "question").await).await;
    // As if the events of the group had been deleted with it.
    put(&cache, "question", "a").await;
    server.command(&["DEL", STREAM]);
    eventually("it is noticed", async || reader.reports.gaps(GapReason::NewGroup) == 3).await;
    assert!(!is_hit(&cache, "question").await);
    reader.stop().await;
}

async fn a_gap_that_is_only_reported_ends_nothing(flavour: Flavour) {
    let server = server(flavour);
    let cache = cache(flavour).await;
    put(&cache, "question", "a").await;
    let reader = Reader::start(events(&server, "one").on_gap(OnGap::Report), &cache);
    reader.gap(GapReason::NewGroup).await;
    assert!(is_hit(&cache, "question").await);
    add(&server, &["id", "a"]);
    eventually("events count all the same", async || !is_hit(&cache, "question").await).await;
    reader.stop().await;
}
