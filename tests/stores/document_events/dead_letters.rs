//! Events that cannot be applied.

use redis::from_redis_value;

use crate::document_events::{STREAM, add, cache, events, is_hit, pending, put, reading, server};
use crate::support::eventually;
use crate::support::servers::Flavour;

on_every_server!(malformed_events_are_dead_lettered, dead_letters_are_replayed, dead_letters_are_discarded);

async fn malformed_events_are_dead_lettered(flavour: Flavour) {
    let server = server(flavour);
    let cache = cache(flavour).await;
    let reader = reading(&server, &cache).await;
    put(&cache, "question", "a").await;
    let long = "x".repeat(2_000);
    for fields in [
        &["event", "not JSON"][..],
        &["event", r#"{"v":2,"id":"a"}"#],
        &["type", "renamed", "id", "a"],
        &["name", "a"],
        &["id", &long],
        // The good one in between is not affected by its neighbours.
        &["id", "a"],
        &["corpus", "a\nb", "id", "a"],
    ] {
        add(&server, fields);
    }
    eventually("all is dealt with", async || reader.reports.buried() == 6 && pending(&server) == 0).await;
    assert!(!is_hit(&cache, "question").await);
    assert_eq!(reader.reports.applied(), 1);
    let letters = events(&server, "one").dead_letters().list(None, 100).await.unwrap();
    let reasons: Vec<&str> = letters.iter().map(|letter| letter.reason.as_str()).collect();
    for (reason, part) in
        reasons.iter().zip(["not an event", "format 2", "type", "neither", "limit", "control"])
    {
        assert!(reason.contains(part), "{reasons:?}");
    }
    assert_eq!((letters[0].deliveries, letters[0].group.as_str()), (1, "wellspring"));
    assert_eq!(letters[0].fields, [("event".to_owned(), "not JSON".to_owned())]);
    let first: Vec<(String, Vec<String>)> =
        from_redis_value(server.command(&["XRANGE", STREAM, "-", "+", "COUNT", "1"])).unwrap();
    assert_eq!(letters[0].event, first[0].0);
    let next = events(&server, "one").dead_letters().list(Some(&letters[0].id), 1).await.unwrap();
    assert_eq!(next, letters[1..2]);
    reader.stop().await;
}

async fn dead_letters_are_replayed(flavour: Flavour) {
    let server = server(flavour);
    let cache = cache(flavour).await;
    let reader = reading(&server, &cache).await;
    for n in 0..150 {
        add(&server, &["type", "renamed", "id", &n.to_string()]);
    }
    eventually("all are buried", async || reader.reports.buried() == 150).await;
    let letters = events(&server, "one").dead_letters();
    // They fail again, each once: a replay ends.
    assert_eq!(letters.replay(None).await.unwrap(), 150);
    eventually("all are buried again", async || reader.reports.buried() == 300).await;
    let found = letters.list(None, 1_000).await.unwrap();
    assert_eq!(found.len(), 150);
    assert_eq!(
        found[7].fields,
        [("type".to_owned(), "renamed".to_owned()), ("id".to_owned(), "7".to_owned())]
    );

    let ids = [found[3].id.clone(), found[5].id.clone()];
    assert_eq!(letters.replay(Some(&ids)).await.unwrap(), 2);
    assert!(letters.replay(Some(&ids)).await.unwrap_err().is_invalid_input());
    eventually("the two are buried again", async || reader.reports.buried() == 302).await;
    reader.stop().await;

    // What was not understood is once the reader is a newer one, or the producer's mistake is undone.
    put(&cache, "question", "a").await;
    let dead = format!("{STREAM}:dead");
    server.command(&["DEL", &dead]);
    server.command(&["XADD", &dead, "*", "reason", "too new", "id", "1-1", "f:id", "a"]);
    assert_eq!(letters.replay(None).await.unwrap(), 1);
    let reader = crate::document_events::Reader::start(events(&server, "one"), &cache);
    eventually("it is applied", async || !is_hit(&cache, "question").await).await;
    assert!(letters.list(None, 10).await.unwrap().is_empty());
    reader.stop().await;
}

async fn dead_letters_are_discarded(flavour: Flavour) {
    let server = server(flavour);
    let cache = cache(flavour).await;
    let reader = reading(&server, &cache).await;
    for _ in 0..10 {
        add(&server, &["name", "a"]);
    }
    eventually("all are buried", async || reader.reports.buried() == 10).await;
    let letters = events(&server, "one").dead_letters();
    let first = letters.list(None, 1).await.unwrap().remove(0).id;
    assert_eq!(letters.discard(Some(&[first])).await.unwrap(), 1);
    assert_eq!(letters.discard(None).await.unwrap(), 9);
    assert_eq!(letters.discard(None).await.unwrap(), 0);
    assert_eq!(reader.reports.buried(), 10);
    reader.stop().await;
}
