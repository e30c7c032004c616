//! Headers can say everything that the body's field `wellspring` can.

use serde_json::{Value, json};

use crate::proxy::{CHAT, chat};
use crate::running::{Reply, Running};

const QUESTION: &str = "When do you open?";

async fn ask(gateway: &Running, field: Option<Value>, headers: &[(&str, &str)]) -> Reply {
    // The messages of a named question are not part of the key.
    let mut body = chat("Context: …");
    if let Some(field) = field {
        body["wellspring"] = field;
    }
    let request = headers
        .iter()
        .fold(gateway.post(CHAT, &body), |request, (name, value)| request.header(*name, *value));
    Reply::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn they_can_be_as_long_over_http_2_as_over_http_1() {
    let gateway = Running::start().await;
    let sources: Vec<String> = (0..150).map(|n| format!("{}-{n}", "d".repeat(150))).collect();
    let sources = sources.join(",");
    let headers = [("wellspring-question", QUESTION), ("wellspring-sources", &sources)];
    let reply = ask(&gateway, None, &headers);
    assert_eq!(reply.await.status, 200);
    let stream = tokio::net::TcpStream::connect(gateway.public).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = axum::http::Request::post(gateway.url(CHAT))
        .header("authorization", "Bearer caller-key")
        .header("wellspring-question", QUESTION)
        .header("wellspring-sources", sources)
        .body(())
        .unwrap();
    let (response, mut body) = client.ready().await.unwrap().send_request(request, false).unwrap();
    body.send_data(chat("Context: …").to_string().into(), true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["wellspring-tier"], "exact", "it is the same request");
}

async fn invalidate(gateway: &Running, change: Value) {
    let request = gateway.client.post(format!("http://{}/v1/documents/changed", gateway.admin));
    assert_eq!(request.json(&change).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn each_field_is_a_header_with_the_same_effect() {
    let gateway = Running::start().await;
    let named = ("wellspring-question", QUESTION);
    let parameters = json!({ "parameters": { "a": 1, "b": "x%" } });
    for (name, value, field) in [
        ("wellspring-tenant", "acme", json!({ "tenant": "acme" })),
        ("wellspring-corpus", "maps", json!({ "corpus": "maps" })),
        ("wellspring-namespace", "docs:faq", json!({ "namespace": "docs:faq" })),
        ("wellspring-parameters", r#"{"b": "x%25", "a": 1}"#, parameters),
        ("wellspring-ignore", "user, model", json!({ "ignore": ["user", "model"] })),
    ] {
        let mut field = field;
        field["question"] = QUESTION.into();
        field["tags"] = json!(["t"]);
        assert_eq!(ask(&gateway, Some(field), &[]).await.tier(), "miss", "{name}");
        assert_eq!(ask(&gateway, None, &[named, (name, value)]).await.tier(), "exact", "{name}");
        let other = match name {
            "wellspring-ignore" => "user",
            "wellspring-parameters" => r#"{"b": "x%25", "a": 2}"#,
            _ => "other",
        };
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
async fn parameters_separate_answers_and_cannot_be_taken_for_the_request() {
    let gateway = Running::start().await;
    let ask = async |parameters: Value| {
        let field = json!({ "question": QUESTION, "tags": ["t"], "parameters": parameters });
        ask(&gateway, Some(field), &[]).await.tier().to_owned()
    };
    for parameters in [
        json!({}),
        json!({ "retriever": "v1" }),
        json!({ "retriever": "v2" }),
        json!({ "gateway": "x" }),
        json!({ "gateway": "y" }),
        json!({ "parameters": { "retriever": "v1" } }),
        json!({ "wellspring.conversation": "c" }),
    ] {
        assert_eq!(ask(parameters.clone()).await, "miss", "{parameters}");
        assert_eq!(ask(parameters.clone()).await, "exact", "{parameters}");
    }
    let bad = json!({ "question": QUESTION, "parameters": [1] });
    let mut body = chat("Who?");
    body["wellspring"] = bad;
    assert_eq!(gateway.ask(CHAT, &body).await.status, 400);
}

#[tokio::test]
async fn a_miss_says_since_when_and_what_changed_since_refuses_the_answer() {
    let gateway = Running::start().await;
    let sources = ("wellspring-sources", "hours.md");
    let named = ("wellspring-question", QUESTION);
    // A lookup before retrieval, through the proxy itself.
    let before = ask(&gateway, None, &[named, ("cache-control", "only-if-cached")]).await;
    assert_eq!((before.status, before.header("wellspring-since").len()), (504, 56), "{}", before.body);
    let since = before.header("wellspring-since").to_owned();
    invalidate(&gateway, json!({ "id": "hours.md" })).await;
    let late = [named, sources, ("wellspring-since", since.as_str())];
    // Answered, and not stored: it was retrieved before the change.
    assert_eq!(ask(&gateway, None, &late).await.tier(), "miss");
    let miss = ask(&gateway, None, &[named, sources]).await;
    assert_eq!(miss.tier(), "miss", "what was retrieved before the change is not stored");
    assert_eq!(miss.header("wellspring-since").len(), 56);
    let hit = ask(&gateway, None, &late).await;
    assert_eq!((hit.tier(), hit.header("wellspring-since")), ("exact", ""));
    // One of another question, and one that was never given.
    let other = ask(&gateway, None, &[("wellspring-question", "Who wrote Faust?"), late[2]]).await;
    assert_eq!(other.status, 400, "{}", other.body);
    assert_eq!(ask(&gateway, None, &[named, ("wellspring-since", "0")]).await.status, 400);
    let forged = format!("{:016x}{}", 9, &since[16..]);
    let renewed = [named, sources, ("wellspring-since", forged.as_str()), ("cache-control", "no-cache")];
    let passed = ask(&gateway, None, &renewed).await;
    assert_eq!((passed.status, passed.tier()), (200, "bypass"));
    assert!(passed.header("cache-status").contains("clock-lost"), "{}", passed.header("cache-status"));
}

#[tokio::test]
async fn an_exact_question_may_have_any_length() {
    let gateway = Running::start().await;
    let long = "long ".repeat(20_000);
    let ask = async |question: &str, exact: bool| {
        let field = json!({ "question": question, "exact": exact, "tags": ["t"] });
        ask(&gateway, Some(field), &[]).await
    };
    let refused = ask(&long, false).await;
    assert!(refused.status == 400 && refused.body.contains("exact"), "{}", refused.body);
    assert_eq!(ask(&long, true).await.tier(), "miss");
    assert_eq!(ask(&long, true).await.tier(), "exact");
    assert_eq!(ask(&format!("{long}!"), true).await.tier(), "miss");
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
        // An answer whose document was read in another version than the registered one is not stored.
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
async fn a_named_question_without_sources_is_reported_and_counted() {
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
    for (header, named) in [
        (("wellspring-sources", "a@b@c"), "wellspring-sources"),
        (("wellspring-negative", "maybe"), "wellspring-negative"),
        (("wellspring-threshold", "high"), "wellspring-threshold"),
        (("wellspring-content-type", "prose"), "prose"),
        (("wellspring-ttl", "soon"), "ttl"),
        (("wellspring-source", "a"), "did you mean `wellspring-sources`"),
    ] {
        let reply = ask(&gateway, None, &[("wellspring-question", QUESTION), header]).await;
        assert_eq!(reply.status, 400, "{header:?}");
        assert!(reply.body.contains(named), "{header:?}: {}", reply.body);
    }
    assert_eq!(gateway.upstream.calls(), 0);
}
