//! Changes that cannot be applied: kept, shown and retried, also after restarts, with a real server that dies.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use wellspring::Store;

use crate::running::{Reply, Running};
use crate::support::eventually;
use crate::support::servers::Server;
use crate::support::valkey::patient_now;

async fn before(server: &Server, journal: &Path) -> Running {
    let store = patient_now()
        .connect_timeout(Duration::from_secs(3))
        .command_timeout(Duration::from_secs(3))
        .invalidate_timeout(Duration::from_secs(3))
        .connect(&server.url())
        .await
        .unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    Running::over(store, |options| options.journal = Some(journal.to_owned())).await
}

/// Waits until `path` of the administration shows `state`.
async fn until_state(gateway: &Running, path: &str, state: &str) {
    eventually(&format!("{path} is {state}"), async || {
        let shown = gateway.admin_get(path).await;
        shown.status == 200 && shown.json()["state"] == state
    })
    .await;
}

/// Waits until the store answers lookups again.
async fn until_missed(gateway: &Running, question: &str) {
    eventually("it is no longer bypassed", async || {
        let found = gateway.look(question).await;
        assert_ne!(found["status"], "hit", "a stale answer was served");
        found["status"] == "miss"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_kept_while_the_server_is_away_and_applied_when_it_is_back() {
    let server = Server::builder().config("appendonly", "yes").config("appendfsync", "always").start();
    let folder = tempfile::tempdir().unwrap();
    let gateway = before(&server, &folder.path().join("journal")).await;
    gateway.store("q", &json!([{ "id": "a" }])).await;
    server.kill();
    let reply = gateway.admin_post("/v1/documents/changed", &json!({ "id": "a", "version": "2" })).await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    let url = reply.header("location").to_owned();
    assert_eq!(reply.json()["status_url"], url);
    let listed = gateway.admin_get("/v1/documents/pending").await.json();
    assert_eq!(listed["count"], 1, "{listed}");
    assert_eq!(listed["pending"][0]["job"]["action"]["invalidate"][0]["document"]["id"], "a");
    // A hold cannot be promised for later.
    let held = gateway.admin_post("/v1/documents/b/begin", &json!({})).await;
    assert_eq!((held.status, held.json()["error"]["kind"].clone()), (503, json!("incomplete")));
    // Later changes wait behind it, and can be dropped.
    let second = gateway.admin_post("/v1/documents/changed", &json!({ "id": "b" })).await;
    assert_eq!(second.status, 202);
    assert_eq!(gateway.admin_delete(second.header("location")).await.status, 204);
    assert_eq!(gateway.admin_post(&format!("{url}/retry"), &json!({})).await.status, 202);
    assert_eq!(gateway.admin_post("/v1/documents/pending/99/retry", &json!({})).await.status, 404);
    server.restart();
    until_state(&gateway, &url, "applied").await;
    assert_eq!(gateway.admin_get("/v1/documents/pending").await.json()["count"], 0);
    until_missed(&gateway, "q").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_first_request_is_not_answered_yet_is_in_use() {
    let server = Server::builder().start();
    let folder = tempfile::tempdir().unwrap();
    let gateway = before(&server, &folder.path().join("journal")).await;
    let send = || {
        let request = gateway.client.post(gateway.admin_url("/v1/documents/changed"));
        request.header("idempotency-key", "k").json(&json!({ "id": "a" })).send()
    };
    server.stop();
    let first = tokio::spawn(send());
    let in_use = loop {
        let reply = Reply::of(send().await.unwrap()).await;
        // Whichever of the two came first, the other one gets the conflict.
        if reply.status == 409 || first.is_finished() {
            break reply;
        }
    };
    server.cont();
    let first = Reply::of(first.await.unwrap().unwrap()).await;
    let conflict = if in_use.status == 409 { in_use } else { first };
    assert_eq!(
        (conflict.status, conflict.json()["error"]["kind"].clone()),
        (409, json!("idempotency_key_in_use"))
    );
    assert_eq!(conflict.header("retry-after"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_outlives_the_gateway_and_is_applied_before_it_serves() {
    let server = Server::builder().config("appendonly", "yes").config("appendfsync", "always").start();
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let mut first = before(&server, &journal).await;
    first.store("q", &json!([{ "id": "a" }])).await;
    server.kill();
    assert_eq!(first.admin_post("/v1/documents/changed", &json!({ "id": "a" })).await.status, 202);
    // The store's own outbox is in memory, and goes with the process.
    let _ = first.end().await.unwrap();
    drop(first);
    assert!(std::fs::metadata(&journal).unwrap().len() > 0);
    server.restart();
    let second = before(&server, &journal).await;
    assert_ne!(second.look("q").await["status"], "hit", "a stale answer was served");
    until_missed(&second, "q").await;
    assert_eq!(std::fs::metadata(&journal).unwrap().len(), 0);
}
