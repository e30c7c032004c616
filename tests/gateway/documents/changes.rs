//! `/v1/documents`: changes, holds, impact, idempotency.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::documents::start;
use crate::running::{Reply, Running};

async fn with_key(gateway: &Running, key: &str, body: &Value) -> Reply {
    let request = gateway.client.post(gateway.admin_url("/v1/documents/changed"));
    Reply::of(request.header("idempotency-key", key).json(body).send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_ends_what_it_should_and_an_unchanged_document_nothing() {
    let (gateway, _folder) = start(|_| {}).await;
    let changed = async |body: Value| {
        let reply = gateway.admin_post("/v1/documents/changed", &body).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()
    };
    // "hello" as sha256sum prints it.
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    changed(json!({ "id": "a/b.md", "text": "hello" })).await;
    gateway.store("one", &json!([{ "id": "a/b.md", "version": hash }])).await;
    gateway.store("two", &json!([{ "id": "c", "chunks": ["x"] }, { "id": "d", "chunks": ["y"] }])).await;
    assert_eq!(changed(json!({ "id": "a/b.md", "text": "hello" })).await["unchanged"], true);
    assert!(gateway.is_stored("one").await);
    assert_eq!(changed(json!({ "id": "a/b.md", "text": "bye" })).await["dropped"], 1);
    assert!(!gateway.is_stored("one").await);
    assert_eq!(changed(json!({ "documents": [{ "id": "c", "chunks": ["z"] }] })).await["dropped"], 0);
    assert_eq!(changed(json!({ "documents": [{ "id": "c", "chunks": ["x"] }] })).await["dropped"], 1);
    gateway.store("three", &json!([{ "id": "e/f" }])).await;
    let impact = gateway.admin_get("/v1/documents/e%2Ff/impact").await.json();
    assert_eq!((&impact["entries"], &impact["most_hit"][0]["question"]), (&json!(1), &json!("three")));
    assert_eq!(gateway.admin_delete("/v1/documents/e%2Ff").await.json()["dropped"], 1);
    gateway.store("four", &json!([])).await;
    assert_eq!(changed(json!({ "everything": true })).await["dropped"], 1);
    assert!(!gateway.is_stored("four").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_document_is_neither_served_nor_stored_until_its_end() {
    let (gateway, _folder) = start(|_| {}).await;
    gateway.store("q", &json!([{ "id": "a" }])).await;
    let begun = gateway.client.post(gateway.admin_url("/v1/documents/a/begin")).send().await.unwrap();
    assert_eq!(begun.status(), StatusCode::OK);
    let miss = gateway.look("q").await;
    assert_eq!(miss["status"], "miss");
    let fill = json!({ "permit": miss["permit"], "answer": "a", "sources": [{ "id": "a" }] });
    assert_eq!(gateway.ask("/v1/cache/fill", &fill).await.json()["reason"], "held");
    assert_eq!(gateway.admin_post("/v1/documents/a/end", &json!({ "version": "2" })).await.status, 200);
    gateway.store("q", &json!([{ "id": "a", "version": "2" }])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_made_once_under_its_key() {
    let (gateway, _folder) = start(|_| {}).await;
    gateway.store("q", &json!([{ "id": "a" }])).await;
    let body = json!({ "id": "a" });
    let first = with_key(&gateway, "k1", &body).await;
    assert_eq!((first.status, first.json()["dropped"].clone()), (200, json!(1)));
    let again = with_key(&gateway, "k1", &body).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(again.header("idempotent-replayed"), "true");
    let other = with_key(&gateway, "k1", &json!({ "id": "b" })).await;
    assert_eq!((other.status, other.json()["error"]["kind"].clone()), (422, json!("idempotency_key_reused")));
    assert_eq!(with_key(&gateway, "k2", &body).await.json()["dropped"], 0);
    // What failed may be tried again under the same key.
    assert_eq!(with_key(&gateway, "k3", &json!({})).await.status, 400);
    assert_eq!(with_key(&gateway, "k3", &body).await.status, 200);
    assert_eq!(with_key(&gateway, &"k".repeat(256), &body).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_told() {
    let (gateway, _folder) = start(|_| {}).await;
    let many: Vec<Value> = (0..1001).map(|n| json!({ "id": n.to_string() })).collect();
    for (body, part) in [
        (json!({}), "0 changes"),
        (json!({ "id": "" }), "document id is empty"),
        (json!({ "id": "a", "versoin": "1" }), "versoin"),
        (json!({ "documents": many }), "1001 changes"),
        (json!({ "id": "a", "corpus": "" }), "corpus"),
    ] {
        let reply = gateway.admin_post("/v1/documents/changed", &body).await;
        assert_eq!(reply.status, 400);
        assert!(reply.body.contains(part), "{}", reply.body);
    }
    assert_eq!(gateway.admin_get("/v1/documents/pending/7").await.status, 404);
    assert_eq!(
        gateway.admin_get("/v1/documents/a/impact?x=1").await.json()["error"]["kind"],
        "invalid_input"
    );
}
