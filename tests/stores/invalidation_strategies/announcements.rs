//! Reporting changes to other services.

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};
use wellspring::{Change, Corpus, Dependency, Namespace};

use crate::invalidation_strategies::{change, process, put, server};
use crate::support::servers::Flavour;

on_every_server!(announcement_to_other_services);

async fn announcement_to_other_services(flavour: Flavour) {
    let server = server(flavour);
    let cache = process(&server).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut service = client.get_async_pubsub().await.unwrap();
    service.subscribe("wellspring:invalidations").await.unwrap();
    let mut messages = service.on_message();
    let mut next = async || -> Value {
        let message = tokio::time::timeout(Duration::from_mins(2), messages.next()).await.unwrap().unwrap();
        serde_json::from_slice(message.get_payload_bytes()).unwrap()
    };

    put(&cache, "question", "answer", vec![Dependency::document("guide")]).await;
    let entry = crate::invalidation_strategies::hit(&cache, "question").await.unwrap().entry.id;
    change(
        &cache,
        &[
            Change::document("guide"),
            Change::document_version("faq", "7"),
            Change::Chunks { document: "faq".into(), hashes: vec!["h1".into()], version: None },
            Change::Collection("handbook".into()),
            Change::Tag("pricing".into()),
            Change::Namespace(Namespace::new("docs:technical").unwrap()),
            Change::Entry(entry),
            Change::Everything,
        ],
    )
    .await;
    let message = next().await;
    let expected = json!([
        {"document": {"id": "guide", "version": null}},
        {"document": {"id": "faq", "version": "7"}},
        {"chunks": {"document": "faq", "hashes": ["h1"], "version": null}},
        {"collection": "handbook"},
        {"tag": "pricing"},
        {"namespace": "docs:technical"},
        {"entry": entry.to_string()},
        "everything",
    ]);
    assert_eq!(message["changes"], expected);
    assert_eq!((&message["v"], &message["corpus"]), (&json!(1), &json!("default")));
    assert_eq!(message["origin"].as_str().unwrap().len(), 32);
    assert!(message["at_ms"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(message.as_object().unwrap().len(), 5);

    // A report without a change is not announced.
    let other = Corpus::new("other").unwrap();
    cache.invalidate(&other, &[Change::document_version("faq", "8")]).await.unwrap();
    cache.invalidate(&other, &[Change::document_version("faq", "8")]).await.unwrap();
    cache.begin_update(&other, "guide").await.unwrap();
    cache.end_update(&other, "guide", Some("2".into())).await.unwrap();
    for expected in [
        json!([{"document": {"id": "faq", "version": "8"}}]),
        json!([{"document": {"id": "guide", "version": "2"}}]),
    ] {
        let message = next().await;
        assert_eq!((&message["corpus"], &message["changes"]), (&json!("other"), &expected));
    }
}
