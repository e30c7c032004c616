//! What a body's field `wellspring` says, headers say, too.

use serde_json::{Value, json};

use crate::proxy::{CHAT, chat};
use crate::running::{Reply, Running};

const QUESTION: &str = "When do you open?";

async fn ask(gateway: &Running, field: Option<Value>, headers: &[(&str, &str)]) -> Reply {
    // Of a named question the messages are no part of the key.
    let mut body = chat("Context: …");
    if let Some(field) = field {
        body["wellspring"] = field;
    }
    let request = headers
        .iter()
        .fold(gateway.post(CHAT, &body), |request, (name, value)| request.header(*name, *value));
    Reply::of(request.send().await.unwrap()).await
}

async fn invalidate(gateway: &Running, change: Value) {
    let request = gateway.client.post(format!("http://{}/v1/documents/changed", gateway.admin));
    assert_eq!(request.json(&change).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn each_field_is_a_header_with_the_same_effect() {
    let gateway = Running::start().await;
    let named = ("wellspring-question", QUESTION);
    for (name, value, field) in [
        ("wellspring-tenant", "acme", json!({ "tenant": "acme" })),
        ("wellspring-corpus", "maps", json!({ "corpus": "maps" })),
        ("wellspring-namespace", "docs:faq", json!({ "namespace": "docs:faq" })),
        ("wellspring-ignore", "user, model", json!({ "ignore": ["user", "model"] })),
    ] {
        let mut field = field;
        field["question"] = QUESTION.into();
        field["tags"] = json!(["t"]);
        assert_eq!(ask(&gateway, Some(field), &[]).await.tier(), "miss", "{name}");
        assert_eq!(ask(&gateway, None, &[named, (name, value)]).await.tier(), "exact", "{name}");
        let other = if name == "wellspring-ignore" { "user" } else { "other" };
        assert_eq!(ask(&gateway, None, &[named, (name, other)]).await.tier(), "miss", "{name}");
    }
    let follow_up = ("wellspring-question", "and in Germany?");
    let conversation = |name| [follow_up, ("wellspring-conversation", name)];
    assert_eq!(ask(&gateway, None, &[follow_up]).await.tier(), "bypass");
    assert_eq!(ask(&gateway, None, &conversation("c%2C1")).await.tier(), "miss");
    let field = json!({ "question": follow_up.1, "conversation": "c,1" });
    assert_eq!(ask(&gateway, Some(field), &[]).await.tier(), "exact");
    assert_eq!(ask(&gateway, None, &conversation("other")).await.tier(), "miss");
    let long =
        ask(&gateway, None, &[("wellspring-question", "Who wrote Faust?"), ("wellspring-ttl", "5m")]).await;
    assert_eq!(long.tier(), "miss");
    let hit = ask(&gateway, None, &[("wellspring-question", "Who wrote Faust?")]).await;
    let status = hit.header("cache-status");
    let ttl: u64 = status.split("ttl=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    assert!(hit.tier() == "exact" && ttl <= 330, "{status}");
    for seen in gateway.upstream.seen() {
        assert!(seen.headers.keys().all(|name| !name.as_str().starts_with("wellspring-")));
    }
}

#[tokio::test]
async fn a_change_of_what_a_header_names_ends_the_answer() {
    let gateway = Running::start().await;
    let all = [
        ("wellspring-question", QUESTION),
        ("wellspring-sources", "hours.md@7f, me%40example.com, parts#1"),
        ("wellspring-collections", "manuals"),
        ("wellspring-tags", "t,u"),
    ];
    for change in [
        json!({ "documents": [{ "id": "hours.md", "version": "80" }] }),
        json!({ "documents": [{ "id": "me@example.com" }] }),
        json!({ "documents": [{ "id": "parts" }] }),
        json!({ "collections": ["manuals"] }),
        json!({ "tags": ["u"] }),
    ] {
        // One that was read in another version than the registered one is not stored.
        let headers = if gateway.upstream.calls() == 0 {
            &all[..]
        } else {
            &[all[0], ("wellspring-sources", "me%40example.com, parts#1"), all[2], all[3]]
        };
        assert_eq!(ask(&gateway, None, headers).await.tier(), "miss", "{change}");
        let hit = ask(&gateway, None, headers).await;
        assert_eq!((hit.tier(), hit.header("wellspring-warning")), ("exact", ""), "{change}");
        invalidate(&gateway, change).await;
    }
    assert_eq!(ask(&gateway, None, &[all[0]]).await.tier(), "miss");
}

#[tokio::test]
async fn a_named_question_without_sources_is_told_and_counted() {
    let gateway = Running::start().await;
    let named = [("wellspring-question", QUESTION)];
    for tier in ["miss", "exact"] {
        let reply = ask(&gateway, None, &named).await;
        assert_eq!((reply.tier(), reply.header("wellspring-warning")), (tier, "no sources"));
    }
    let field = json!({ "question": QUESTION, "collections": ["c"] });
    assert_eq!(ask(&gateway, Some(field), &[]).await.header("wellspring-warning"), "");
    assert_eq!(ask(&gateway, None, &[]).await.header("wellspring-warning"), "");
    let metrics = gateway.client.get(format!("http://{}/metrics", gateway.admin)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("wellspring_questions_without_sources_total 2\n"), "{metrics}");
}

#[tokio::test]
async fn what_is_not_valid_is_refused_by_name() {
    let gateway = Running::start().await;
    for (header, told) in [
        (("wellspring-sources", "a@b@c"), "wellspring-sources"),
        (("wellspring-negative", "maybe"), "wellspring-negative"),
        (("wellspring-threshold", "high"), "wellspring-threshold"),
        (("wellspring-content-type", "prose"), "prose"),
        (("wellspring-ttl", "soon"), "ttl"),
        (("wellspring-source", "a"), "did you mean `wellspring-sources`"),
    ] {
        let reply = ask(&gateway, None, &[("wellspring-question", QUESTION), header]).await;
        assert_eq!(reply.status, 400, "{header:?}");
        assert!(reply.body.contains(told), "{header:?}: {}", reply.body);
    }
    assert_eq!(gateway.upstream.calls(), 0);
}
