//! The formats of events.

use wellspring::{Change, Corpus, Dependency, DocumentVersion, Namespace, Query};

use crate::document_events::{add, cache, is_hit, pending, put, put_from, reading, server};
use crate::support::eventually;
use crate::support::servers::Flavour;

on_every_server!(every_type_does_what_it_says, an_acknowledged_event_is_in_force, a_version_is_registered);

async fn every_type_does_what_it_says(flavour: Flavour) {
    let server = server(flavour);
    let cache = cache(flavour).await;
    let reader = reading(&server, &cache).await;
    let docs = Dependency::Namespace(Namespace::new("docs:technical").unwrap());
    for (dependency, fields) in [
        (Dependency::document("4711"), &["id", "4711", "version", "3"][..]),
        (Dependency::document("a"), &["event", r#"{"v":1,"type":"changed","id":"a"}"#]),
        (Dependency::document("a"), &["id", "a", "type", "deleted", "op", "d"]),
        (Dependency::chunk("a", "h1"), &["event", r#"{"id":"a","chunks":["h0","h1"]}"#]),
        (Dependency::Tag("t".into()), &["type", "tag", "id", "t"]),
        (Dependency::Collection("c".into()), &["event", r#"{"type":"collection","id":"c"}"#]),
        (docs, &["type", "namespace", "id", "docs"]),
        (Dependency::document("b"), &["event", r#"{"type":"everything"}"#]),
        (
            Dependency::document("c"),
            &["event", r#"{"v":1,"corpus":"default","changes":[{"document":{"id":"c","version":null}}]}"#],
        ),
    ] {
        put_from(&cache, "question", vec![dependency.clone()]).await;
        put_from(&cache, "other", vec![Dependency::chunk("a", "h2")]).await;
        add(&server, fields);
        eventually("the event is applied", async || !is_hit(&cache, "question").await).await;
        if matches!(dependency, Dependency::Tag(_) | Dependency::Chunk { .. }) {
            assert!(is_hit(&cache, "other").await, "{fields:?} ended too much");
        }
    }

    put(&cache, "held", "d").await;
    add(&server, &["id", "d", "type", "begin"]);
    eventually("the document is held", async || !is_hit(&cache, "held").await).await;
    let held = cache.status().await.unwrap().corpora[0].held.clone();
    assert_eq!(held, ["d"]);
    add(&server, &["id", "d", "type", "end", "version", "2"]);
    eventually("it is released", async || cache.status().await.unwrap().corpora[0].held.is_empty()).await;
    assert_eq!(reader.stop().await.buried(), 0);
}

async fn an_acknowledged_event_is_in_force(flavour: Flavour) {
    let server = server(flavour);
    let cache = cache(flavour).await;
    let reader = reading(&server, &cache).await;
    for round in 0..50 {
        put(&cache, "question", "a").await;
        assert!(is_hit(&cache, "question").await);
        let id = add(&server, &["id", "a"]);
        let is_acknowledged = async || {
            let group: Vec<std::collections::HashMap<String, redis::Value>> =
                redis::from_redis_value(server.command(&["XINFO", "GROUPS", crate::document_events::STREAM]))
                    .unwrap();
            let last: String = redis::from_redis_value(group[0]["last-delivered-id"].clone()).unwrap();
            last == id && pending(&server) == 0
        };
        eventually("it is acknowledged", is_acknowledged).await;
        assert!(!is_hit(&cache, "question").await, "stale in round {round}");
    }
    reader.stop().await;
}

async fn a_version_is_registered(flavour: Flavour) {
    let server = server(flavour);
    let cache = cache(flavour).await;
    let reader = reading(&server, &cache).await;
    add(&server, &["id", "a", "version", "7", "corpus", "manuals"]);
    let corpus = Corpus::new("manuals").unwrap();
    eventually("it is applied", async || reader.reports.applied() == 1).await;
    let same = cache.invalidate(&corpus, &[Change::document_version("a", "7")]).await.unwrap();
    assert!(same.is_unchanged());
    // A fill from another version is refused: retrieval that lags behind the events does no harm.
    let query = Query::new("question").corpus(corpus).exact_only();
    let wellspring::Lookup::Miss(permit) = cache.lookup(query).await.unwrap() else { panic!("not stored") };
    let read = Dependency::Document { id: "a".into(), version: Some(DocumentVersion::new("6")) };
    let outcome = permit.fill("old", vec![read]).await;
    assert!(matches!(outcome, wellspring::FillOutcome::Refused(_)), "{outcome:?}");
    reader.stop().await;
}
