//! Ids of entries that an attacker computes, guesses or learns.

use std::sync::Arc;

use serde_json::json;
use wellspring::key::ShownId;
use wellspring::{Corpus, EntryId, MemoryStore, Store};

use super::sharing::{fill, look, post, say, start};
use crate::proxy::{CHAT, chat};
use crate::running::{Reply, Running};

async fn gateway(store: Arc<dyn Store>) -> Running {
    start(store, 1, |options| options.writers = vec!["*".into()]).await
}

async fn of_admin(gateway: &Running, method: reqwest::Method, id: &str) -> Reply {
    let url = format!("http://{}/v1/cache/entries/{id}", gateway.admin);
    Reply::of(gateway.client.request(method, url).header("wellspring-token", "ops").send().await.unwrap())
        .await
}

#[tokio::test]
async fn an_id_that_can_be_computed_is_worth_nothing() {
    let gateway = gateway(Arc::new(MemoryStore::default())).await;
    let asked = json!({ "question": "Where is the key?" });
    let shown = fill(&gateway, "alice", &asked, "In the drawer.", "d").await;
    // Anyone who knows corpus, scope and question can compute this.
    let own = gateway.cache.entries(None, 1).await.unwrap()[0].entry.id;
    assert_ne!(shown, own.to_string());
    for verdict in ["right", "wrong"] {
        assert_eq!(say(&gateway, "alice", &own.to_string(), verdict).await, 404);
    }
    let hit = look(&gateway, "bob", &asked).await;
    assert_eq!(hit["entry"], shown);
    let why = post(&gateway, "bob", "/v1/cache/why", &asked).await;
    assert_eq!((&why.json()["served"], &why.json()["exact"]), (&json!(shown), &json!(shown)));
    let near = post(&gateway, "bob", "/v1/cache/why", &json!({ "question": "where is the key" })).await;
    assert_eq!(near.json()["candidates"][0]["entry"], shown);
    let miss = look(&gateway, "bob", &json!({ "question": "Who has it?" })).await;
    for body in [hit.to_string(), why.body, near.body, miss.to_string()] {
        assert!(!body.contains(&own.to_string()), "{body}");
    }
    assert_eq!(say(&gateway, "bob", &shown, "right").await, 200);
}

#[tokio::test]
async fn headers_show_what_the_interfaces_show() {
    let gateway = gateway(Arc::new(MemoryStore::default())).await;
    let miss = post(&gateway, "alice", CHAT, &chat("Where is the key?")).await;
    let hit = post(&gateway, "bob", CHAT, &chat("Where is the key?")).await;
    let shown = hit.header("wellspring-entry");
    assert_eq!((hit.tier(), miss.header("wellspring-entry")), ("exact", shown));
    let own = gateway.cache.entries(None, 1).await.unwrap()[0].entry.id;
    assert_eq!(gateway.cache.id_key().await.unwrap().show(own).to_string(), shown);
    assert_eq!(say(&gateway, "bob", shown, "wrong").await, 200);
    assert_eq!(post(&gateway, "bob", CHAT, &chat("Where is the key?")).await.tier(), "miss");
}

#[tokio::test]
async fn operators_name_entries_by_either_id() {
    let gateway = gateway(Arc::new(MemoryStore::default())).await;
    for by_own in [true, false] {
        let shown = fill(&gateway, "alice", &json!({ "question": "Where is the key?" }), "There.", "d").await;
        let own = gateway.cache.entries(None, 1).await.unwrap()[0].entry.id.to_string();
        let id = if by_own { &own } else { &shown };
        let one = of_admin(&gateway, reqwest::Method::GET, id).await;
        assert_eq!(one.json()["entry"], own, "{}", one.body);
        assert_eq!(say(&gateway, "ops", id, "right").await, 200);
        let removed = of_admin(&gateway, reqwest::Method::DELETE, id).await;
        assert_eq!(removed.json()["dropped"], 1, "{}", removed.body);
        assert_eq!(of_admin(&gateway, reqwest::Method::GET, id).await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_share_a_store_show_the_same() {
    use crate::support::servers::Server;
    use crate::support::valkey::{connect, patient_now};

    let server = Server::start();
    let open = || Arc::new(connect(patient_now(), &server.url()));
    let (one, two) = (gateway(open()).await, gateway(open()).await);
    let shown = fill(&one, "alice", &json!({ "question": "Where is the key?" }), "There.", "d").await;
    assert_eq!(look(&two, "bob", &json!({ "question": "Where is the key?" })).await["entry"], shown);
    assert_eq!(say(&two, "bob", &shown, "wrong").await, 200);
    assert_eq!(look(&one, "bob", &json!({ "question": "Where is the key?" })).await["status"], "miss");
    // Another installation shows the same entry under a different id.
    let elsewhere = gateway(Arc::new(MemoryStore::default())).await;
    let other = fill(&elsewhere, "alice", &json!({ "question": "Where is the key?" }), "There.", "d").await;
    assert_ne!(other, shown);
    let id: ShownId = shown.parse().unwrap();
    let own: EntryId = one.cache.id_key().await.unwrap().entry(id);
    assert_eq!(one.cache.named(&Corpus::default(), own).await.unwrap(), own);
}
