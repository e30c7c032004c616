//! Callers whose feedback affects what others are served.

use serde_json::{Value, json};
use wellspring_gateway::Sharing;
use wellspring_gateway::auth::{Permission, Token};

use crate::running::{Reply, Running};

fn tokens() -> Vec<Token> {
    let all = [Permission::Read, Permission::Fill, Permission::Feedback];
    vec![
        Token::new("alice", &all, "alice"),
        Token::new("bob", &all, "bob"),
        Token::new("app", &[Permission::Read, Permission::Fill], "app"),
        Token::new("ingestion", &[Permission::Invalidate], "ingestion"),
        Token::new("ops", &[Permission::Admin], "ops"),
    ]
}

async fn post(gateway: &Running, token: &str, path: &str, body: &Value) -> Reply {
    let request = gateway.client.post(gateway.url(path)).json(body).header("wellspring-token", token);
    Reply::of(request.send().await.unwrap()).await
}

async fn look(gateway: &Running, token: &str, body: &Value) -> Value {
    let reply = post(gateway, token, "/v1/cache/lookup", body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

/// Stores the answer to what `body` asks; returns its entry.
async fn store(gateway: &Running, token: &str, body: &Value) -> String {
    let miss = look(gateway, token, body).await;
    let fill = json!({ "permit": miss["permit"], "answer": "an answer", "sources": [{ "id": "d" }] });
    let stored = post(gateway, token, "/v1/cache/fill", &fill).await.json();
    assert_eq!(stored["status"], "stored", "{stored}");
    stored["entry"].as_str().unwrap().to_owned()
}

async fn say(gateway: &Running, token: &str, body: &Value) -> (u16, Value) {
    let reply = post(gateway, token, "/v1/cache/feedback", body).await;
    (reply.status, reply.json())
}

#[tokio::test]
async fn an_answer_of_another_tenant_is_not_distinguished_from_one_that_is_gone() {
    let gateway = Running::with(|options| options.tokens = tokens()).await;
    let asked = json!({ "question": "What is the plan?" });
    let entry = store(&gateway, "alice", &asked).await;
    for verdict in ["wrong", "right"] {
        let on = |entry: &str| json!({ "entry": entry, "verdict": verdict });
        let (status, body) = say(&gateway, "bob", &on(&entry)).await;
        assert_eq!((status, &body["error"]["kind"]), (404, &json!("no_entry")));
        assert_eq!((status, body), say(&gateway, "bob", &on(&"0".repeat(32))).await);
        // A caller that names a tenant is still limited to its own answers.
        let named = json!({ "entry": entry, "verdict": verdict, "tenant": "alice" });
        assert_eq!(say(&gateway, "bob", &named).await.0, 404);
        // An invalid question reveals nothing either.
        let invalid = |entry: &str| json!({ "entry": entry, "verdict": verdict, "question": "" });
        let (of_alice, of_nobody) = (invalid(&entry), invalid(&"0".repeat(32)));
        assert_eq!(say(&gateway, "bob", &of_alice).await, say(&gateway, "bob", &of_nobody).await);
    }
    assert_eq!(look(&gateway, "alice", &asked).await["status"], "hit");
    let (status, done) = say(&gateway, "alice", &json!({ "entry": entry, "verdict": "wrong" })).await;
    assert_eq!((status, &done["dropped"]), (200, &json!(1)));
    assert_eq!(look(&gateway, "alice", &asked).await["status"], "miss");
}

#[tokio::test]
async fn feedback_has_a_permission_of_its_own_and_reaches_named_tenants_and_operators() {
    let gateway = Running::with(|options| options.tokens = tokens()).await;
    let asked = json!({ "question": "What is the plan?", "tenant": "acme" });
    let entry = store(&gateway, "alice", &asked).await;
    let right = json!({ "entry": entry, "verdict": "right" });
    assert_eq!(say(&gateway, "app", &right).await.0, 403);
    assert_eq!(say(&gateway, "alice", &right).await.0, 404, "another tenant of hers");
    let named = json!({ "entry": entry, "verdict": "right", "tenant": "acme" });
    assert_eq!(say(&gateway, "alice", &named).await.0, 200);
    assert_eq!(say(&gateway, "ops", &right).await.0, 200);
    let unknown = json!({ "entry": entry, "verdict": "right", "ttl": "1h" });
    assert_eq!(say(&gateway, "alice", &unknown).await.0, 400);
}

#[tokio::test]
async fn those_who_share_answers_speak_of_the_same() {
    let gateway = Running::with(|options| {
        options.tokens = tokens();
        options.sharing = Sharing::Shared;
        options.writers = vec!["alice".into()];
    })
    .await;
    let asked = json!({ "question": "What is the plan?" });
    let entry = store(&gateway, "alice", &asked).await;
    let (status, done) = say(&gateway, "bob", &json!({ "entry": entry, "verdict": "wrong" })).await;
    assert_eq!((status, &done["dropped"]), (200, &json!(1)));
}

#[tokio::test]
async fn whoever_reports_changes_reads_no_questions() {
    let gateway = Running::with(|options| options.tokens = tokens()).await;
    store(&gateway, "alice", &json!({ "question": "What is the plan?" })).await;
    let impact = async |token: &str| {
        let url = format!("http://{}/v1/documents/d/impact", gateway.admin);
        let request = gateway.client.get(url).header("wellspring-token", token);
        Reply::of(request.send().await.unwrap()).await.json()
    };
    assert_eq!(impact("ingestion").await, json!({ "entries": 1, "hits": 0 }));
    assert_eq!(impact("ops").await["most_hit"][0]["question"], "What is the plan?");
}

#[tokio::test]
async fn what_callers_said_is_shown_to_operators_and_taken_back() {
    let gateway = Running::with(|options| options.tokens = tokens()).await;
    let entry = store(&gateway, "alice", &json!({ "question": "What is the plan?" })).await;
    let said = json!({ "entry": entry, "verdict": "right", "question": "What do we plan?" });
    assert_eq!(say(&gateway, "alice", &said).await.0, 200);
    let shown = async || {
        let url = format!("http://{}/v1/cache/judgements?feedback=true", gateway.admin);
        let request = gateway.client.get(url).header("wellspring-token", "ops");
        Reply::of(request.send().await.unwrap()).await.json()["judgements"].clone()
    };
    let revoke = async |body: Value| {
        let url = format!("http://{}/v1/cache/judgements/revoke", gateway.admin);
        let request = gateway.client.post(url).json(&body).header("wellspring-token", "ops");
        let reply = Reply::of(request.send().await.unwrap()).await;
        (reply.status, reply.json()["revoked"].clone())
    };
    let before = shown().await;
    assert_eq!((&before[0]["by"], &before[0]["judge"]), (&json!("token:alice"), &json!("caller")));
    assert!(before[0]["at"].as_u64().unwrap() > 0);
    // Decisions of judges are separate.
    assert_eq!(revoke(json!({ "all": true })).await, (200, json!(0)));
    assert_eq!(revoke(json!({ "feedback": true })).await.0, 400);
    assert_eq!(revoke(json!({ "feedback": true, "by": "token:bob" })).await, (200, json!(0)));
    assert_eq!(shown().await, before);
    assert_eq!(revoke(json!({ "feedback": true, "by": "token:alice" })).await, (200, json!(1)));
    assert_eq!(shown().await, json!([]));
}
