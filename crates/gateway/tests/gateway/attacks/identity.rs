//! Answers that reach a caller to whom the upstream would have given a different answer.

use serde_json::json;
use wellspring_gateway::Sharing;
use wellspring_gateway::auth::{Permission, Token};
use wellspring_gateway::proxy::HeaderPattern;

use crate::proxy::{CHAT, chat};
use crate::running::{Reply, Running};

/// Asks one question with `lines` as headers, at `path`; the tier that answers.
async fn tier(gateway: &Running, path: &str, lines: &[(&str, &str)]) -> String {
    let mut request = gateway.client.post(gateway.url(path)).json(&chat("Who am I?"));
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    let reply = Reply::of(request.send().await.unwrap()).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.tier().to_owned()
}

#[tokio::test]
async fn whatever_may_hold_a_credential_keeps_callers_apart() {
    let gateway = Running::start().await;
    for name in [
        "authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "ocp-apim-subscription-key",
        "cf-aig-authorization",
        "x-litellm-api-key",
        "x-portkey-provider",
        "openai-organization",
        "x-forwarded-user",
        "x-forwarded-access-token",
        "cf-access-jwt-assertion",
        "cookie",
        "x-key-of-a-gateway-that-no-one-knows",
    ] {
        assert_eq!(tier(&gateway, CHAT, &[(name, "alice")]).await, "miss", "{name}");
        assert_eq!(tier(&gateway, CHAT, &[(name, "bob")]).await, "miss", "{name}");
        assert_eq!(tier(&gateway, CHAT, &[(name, "alice")]).await, "exact", "{name}");
    }
    for (alice, bob) in
        [("?key=a", "?key=b"), ("?api-version=1", "?api-version=2"), ("?api-version=1&x", "?x")]
    {
        for (query, expected) in [(alice, "miss"), (bob, "miss"), (alice, "exact")] {
            let path = format!("{CHAT}{query}");
            assert_eq!(tier(&gateway, &path, &[]).await, expected, "{query}");
        }
    }
}

#[tokio::test]
async fn every_line_of_a_header_counts() {
    let gateway = Running::start().await;
    let (a, b) = (("anthropic-beta", "a"), ("anthropic-beta", "b"));
    assert_eq!(tier(&gateway, CHAT, &[a]).await, "miss");
    assert_eq!(tier(&gateway, CHAT, &[a, b]).await, "miss");
    assert_eq!(tier(&gateway, CHAT, &[b, a]).await, "miss");
    assert_eq!(tier(&gateway, CHAT, &[a, b]).await, "exact");
    // A header that `Connection` names does not go upstream, but still identifies the caller.
    let (key, hidden) = (("authorization", "Bearer a"), ("connection", "authorization"));
    assert_eq!(tier(&gateway, CHAT, &[key, hidden]).await, "miss");
    assert_eq!(tier(&gateway, CHAT, &[("authorization", "Bearer b"), hidden]).await, "miss");
}

#[tokio::test]
async fn two_tokens_are_two_tenants_whatever_key_they_send() {
    let tokens = || {
        let token = |name: &str, secret: &str| Token::new(name, &[Permission::Fill], secret);
        vec![token("alice", "1"), token("alice", "2"), token("bob", "3")]
    };
    let gateway = Running::with(|options| options.tokens = tokens()).await;
    let ask = async |token: &str, key: &str| {
        tier(&gateway, CHAT, &[("wellspring-token", token), ("authorization", key)]).await
    };
    assert_eq!(ask("1", "Bearer dummy").await, "miss");
    assert_eq!(ask("3", "Bearer dummy").await, "miss");
    assert_eq!(ask("1", "Bearer other").await, "miss");
    // A token that replaces another one has its name.
    assert_eq!(ask("2", "Bearer dummy").await, "exact");
    let shared = Running::with(|options| {
        options.tokens = tokens();
        options.sharing = Sharing::Shared;
    })
    .await;
    let ask = async |token: &str| {
        tier(&shared, CHAT, &[("wellspring-token", token), ("x-goog-api-key", &format!("key {token}!"))])
            .await
    };
    assert_eq!((ask("1").await, ask("3").await), ("miss".into(), "exact".into()));
}

#[tokio::test]
async fn what_proxies_clients_and_tracing_add_costs_no_hits() {
    let gateway = Running::with(|options| options.ignored_headers.push("x-noise-*".parse().unwrap())).await;
    assert_eq!(tier(&gateway, CHAT, &[]).await, "miss");
    for (name, value) in [
        ("user-agent", "curl/8"),
        ("accept", "text/event-stream"),
        ("accept-language", "de"),
        ("x-stainless-retry-count", "1"),
        ("idempotency-key", "stainless-python-retry-1"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("x-request-id", "17"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=10.0.0.1"),
        ("via", "1.1 proxy"),
        ("cf-ray", "8a"),
        ("x-b3-traceid", "1"),
        ("x-noise-of-ours", "1"),
        ("connection", "keep-alive"),
        ("cache-control", "max-age=600"),
    ] {
        assert_eq!(tier(&gateway, CHAT, &[(name, value)]).await, "exact", "{name}");
    }
    assert!("x-noise*".parse::<HeaderPattern>().is_ok() && "*".parse::<HeaderPattern>().is_err());
}

#[tokio::test]
async fn vectors_are_kept_apart_as_answers_are() {
    let gateway = Running::start().await;
    let embed = async |query: &str, name: &str, value: &str| {
        let url = gateway.url(&format!("/v1/embeddings{query}"));
        let request =
            gateway.client.post(url).json(&json!({ "model": "e", "input": "a" })).header(name, value);
        Reply::of(request.send().await.unwrap()).await.tier().to_owned()
    };
    for (query, name, value, expected) in [
        ("", "x-goog-api-key", "a", "miss"),
        ("", "x-goog-api-key", "b", "miss"),
        ("", "openai-project", "a", "miss"),
        ("?key=a", "x-goog-api-key", "a", "miss"),
        ("", "x-goog-api-key", "a", "exact"),
    ] {
        assert_eq!(embed(query, name, value).await, expected, "{query} {name} {value}");
    }
}
