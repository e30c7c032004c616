//! Callers who leave more behind than their requests: names in the clock, and corpora.

use serde_json::{Value, json};
use wellspring_gateway::auth::{Permission, Token};

use crate::proxy::{CHAT, chat};
use crate::running::{Reply, Running};

async fn start() -> Running {
    Running::with(|options| {
        options.tokens = vec![
            Token::new("ingestion", &[Permission::Invalidate], "ingestion-token"),
            Token::new("other", &[Permission::Invalidate], "other-token"),
            Token::new("app", &[Permission::Read, Permission::Fill, Permission::Feedback], "app-token"),
            Token::new("ops", &[Permission::Admin], "ops-token"),
        ];
        options.limits.changes_per_hour = 10;
        options.limits.corpora_per_hour = 3;
    })
    .await
}

async fn send(gateway: &Running, url: String, token: &str, body: &Value) -> Reply {
    let request = gateway.client.post(url).json(body).header("wellspring-token", token);
    Reply::of(request.send().await.unwrap()).await
}

/// A token that may report changes made the clock forget the older half of its tombstones, which ended every
/// earlier answer.
#[tokio::test(flavor = "multi_thread")]
async fn one_caller_cannot_flood_the_clock() {
    let gateway = start().await;
    let report = async |token: &str, number: usize| {
        let documents: Vec<Value> =
            (0..number).map(|n| json!({ "id": format!("no one asked {n}") })).collect();
        let url = format!("http://{}/v1/documents/changed", gateway.admin);
        send(&gateway, url, token, &json!({ "documents": documents })).await
    };
    assert_eq!(report("ingestion-token", 8).await.status, 200);
    let refused = report("ingestion-token", 3).await;
    assert_eq!((refused.status, &refused.json()["error"]["kind"]), (429, &json!("too_many_changes")));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 60, "{:?}", refused.headers);
    let tombstones = async || {
        gateway.cache.status().await.unwrap().corpora.iter().map(|corpus| corpus.tombstones).sum::<u64>()
    };
    let before = tombstones().await;
    assert_eq!(report("ingestion-token", 100).await.status, 429, "more at once than in an hour");
    let begin = format!("http://{}/v1/documents/d/begin", gateway.admin);
    assert_eq!(send(&gateway, begin.clone(), "ingestion-token", &json!({})).await.status, 200);
    assert_eq!(report("ingestion-token", 1).await.status, 200);
    assert_eq!(send(&gateway, begin, "ingestion-token", &json!({})).await.status, 429);
    assert_eq!(tombstones().await, before + 2, "a held document, and one that was reported before");
    // Others have their own allowance, and a caller that may do everything needs none.
    assert_eq!(report("other-token", 10).await.status, 200);
    assert_eq!(report("ops-token", 900).await.status, 200);
    // What was never served to the caller leaves no tombstone.
    let before = tombstones().await;
    for n in 0..20 {
        let body = json!({ "entry": format!("{n:032x}"), "verdict": "wrong" });
        let said = send(&gateway, gateway.url("/v1/cache/feedback"), "app-token", &body).await;
        assert_eq!(said.status, 404, "{}", said.body);
    }
    assert_eq!(tombstones().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_caller_cannot_invent_corpora() {
    let gateway = start().await;
    let look = async |token: &str, corpus: &str| {
        let body = json!({ "question": "Who?", "corpus": corpus });
        send(&gateway, gateway.url("/v1/cache/lookup"), token, &body).await
    };
    for corpus in ["a", "b", "a", "c", "default", "b"] {
        assert_eq!(look("app-token", corpus).await.status, 200, "{corpus}");
    }
    let refused = look("app-token", "d").await;
    assert_eq!((refused.status, &refused.json()["error"]["kind"]), (429, &json!("too_many_corpora")));
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(look("app-token", "a").await.status, 200, "it is in use");
    let feedback = json!({ "entry": "0".repeat(32), "verdict": "wrong", "corpus": "e" });
    let said = send(&gateway, gateway.url("/v1/cache/feedback"), "app-token", &feedback).await;
    assert_eq!(said.status, 429);
    // The proxy never fails because of the cache.
    let mut asked = chat("Who?");
    asked["wellspring"] = json!({ "corpus": "f" });
    let passed = send(&gateway, gateway.url(CHAT), "app-token", &asked).await;
    assert_eq!((passed.status, passed.tier()), (200, "bypass"), "{}", passed.body);
    assert!(
        passed.headers.values().any(|value| value.to_str().unwrap_or("").contains("too-many-corpora")),
        "{:?}",
        passed.headers
    );
    assert_eq!(look("ops-token", "d").await.status, 200);
}
