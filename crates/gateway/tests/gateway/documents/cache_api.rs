//! Lookup, fill, feedback, why and entries.

use std::time::Duration;

use serde_json::json;
use wellspring_gateway::auth::{Permission, Token};

use crate::documents::start;
use crate::running::Reply;

#[tokio::test(flavor = "multi_thread")]
async fn a_miss_gives_a_permit_and_its_answer_is_the_next_hit() {
    let (gateway, _folder) = start(|_| {}).await;
    let miss = gateway.look("when do we open").await;
    assert_eq!(miss["status"], "miss");
    assert_eq!(miss["embedding"].as_array().unwrap().len(), 128);
    assert_eq!(miss["permit_ttl_ms"], 300_000);
    assert_eq!(miss["permit"].as_str().unwrap().len(), 32);
    let fill = json!({
        "permit": miss["permit"], "answer": "At nine.", "metadata": { "a": [1] },
        "sources": [{ "id": "docs/hours.md", "version": "1" }], "tags": ["t"], "ttl": "1h",
        "usage": { "prompt_tokens": 7, "completion_tokens": 2, "cost_microusd": 1 },
    });
    let stored = gateway.ask("/v1/cache/fill", &fill).await.json();
    assert_eq!(stored["status"], "stored", "{stored}");
    let hit = gateway.look("when do we open").await;
    assert_eq!((&hit["status"], &hit["tier"]), (&json!("hit"), &json!("exact")));
    assert_eq!((&hit["answer"], &hit["metadata"]), (&json!("At nine."), &json!({ "a": [1] })));
    assert_eq!(hit["usage"]["prompt_tokens"], 7);
    // A permit can be used once.
    let again = gateway.ask("/v1/cache/fill", &fill).await;
    assert_eq!((again.status, again.json()["error"]["kind"].clone()), (410, json!("permit_gone")));
    let why = gateway.ask("/v1/cache/why", &json!({ "question": "when do we open" })).await.json();
    assert_eq!(why["served"], stored["entry"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_document_changed_meanwhile_is_refused() {
    let (gateway, _folder) = start(|_| {}).await;
    let permit = gateway.look("q").await["permit"].clone();
    assert_eq!(gateway.admin_post("/v1/documents/changed", &json!({ "id": "a" })).await.status, 200);
    let body = json!({ "permit": permit, "answer": "old", "sources": [{ "id": "a" }] });
    let reply = gateway.ask("/v1/cache/fill", &body).await.json();
    assert_eq!((&reply["status"], &reply["reason"]), (&json!("refused"), &json!("dependency_changed")));
    assert!(!gateway.is_stored("q").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_expires_and_is_its_holders_only() {
    let (gateway, _folder) = start(|options| options.permit_ttl = Duration::ZERO).await;
    let permit = gateway.look("q").await["permit"].clone();
    let reply = gateway.ask("/v1/cache/fill", &json!({ "permit": permit, "answer": "a" })).await;
    assert_eq!(reply.status, 410, "{}", reply.body);

    let (gateway, _folder) = start(|_| {}).await;
    let permit = gateway.look("q").await["permit"].clone();
    let body = json!({ "permit": permit, "answer": "a" });
    let request = gateway.client.post(gateway.url("/v1/cache/fill")).json(&body).bearer_auth("another");
    assert_eq!(Reply::of(request.send().await.unwrap()).await.status, 410);
    // Another caller's attempt did not use it up, and no one else is served the answer.
    assert_eq!(gateway.ask("/v1/cache/fill", &body).await.json()["status"], "stored");
    let question = json!({ "question": "q" });
    let request = gateway.client.post(gateway.url("/v1/cache/lookup")).json(&question).bearer_auth("another");
    assert_eq!(Reply::of(request.send().await.unwrap()).await.json()["status"], "miss");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_read_gets_no_permit() {
    let tokens = vec![Token::new("reader", &[Permission::Read], "caller-key")];
    let (gateway, _folder) = start(|options| options.tokens = tokens).await;
    let miss = gateway.look("q").await;
    assert_eq!((&miss["status"], miss.get("permit")), (&json!("miss"), None));
    let reply = gateway.ask("/v1/cache/fill", &json!({ "permit": "0", "answer": "a" })).await;
    assert_eq!(reply.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_removed_and_what_is_right_stays() {
    let (gateway, _folder) = start(|_| {}).await;
    let entry = gateway.store("q", &json!([])).await;
    let said = async |verdict: &str| {
        gateway.ask("/v1/cache/feedback", &json!({ "entry": entry, "verdict": verdict })).await
    };
    assert_eq!(said("maybe").await.status, 400);
    assert_eq!(said("right").await.status, 200);
    assert!(gateway.is_stored("q").await);
    assert_eq!(said("wrong").await.json()["dropped"], 1);
    assert!(!gateway.is_stored("q").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_paged_searched_shown_and_removed() {
    let (gateway, _folder) = start(|_| {}).await;
    let mut stored = Vec::new();
    for n in 0..5 {
        stored.push(gateway.store(&format!("Question {n}?"), &json!([{ "id": format!("d{n}") }])).await);
    }
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = gateway.admin_get(&format!("/v1/cache/entries?limit=2{after}")).await.json();
        seen.extend(
            page["entries"].as_array().unwrap().iter().map(|e| e["entry"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    // Operators see the internal ids of entries.
    let ids = gateway.cache.id_key().await.unwrap();
    let mut stored: Vec<_> =
        stored.iter().map(|shown| ids.entry(shown.parse().unwrap()).to_string()).collect();
    seen.sort();
    stored.sort();
    assert_eq!(seen, stored);
    let found = gateway.admin_get("/v1/cache/entries?search=QUESTION%203").await.json();
    assert_eq!(found["entries"].as_array().unwrap().len(), 1);
    let found = gateway.admin_get("/v1/cache/entries?document=d4").await.json();
    let entry = found["entries"][0]["entry"].as_str().unwrap();
    let path = format!("/v1/cache/entries/{entry}");
    let whole = gateway.admin_get(&path).await.json();
    assert_eq!(whole["answer"], "answer to Question 4?");
    assert_eq!(whole["sources"], json!([{ "document": "d4", "version": null }]));
    assert_eq!(gateway.admin_delete(&path).await.json()["dropped"], 1);
    assert_eq!(gateway.admin_get(&path).await.status, 404);
    assert_eq!(gateway.admin_get("/v1/cache/entries?limit=0").await.status, 400);
    assert_eq!(gateway.admin_get("/v1/cache/entries/12").await.json()["error"]["kind"], "invalid_input");
}
