//! Which callers are accepted, how much they may use, and how the gateway starts and stops.

use std::sync::Arc;

use serde_json::{Value, json};
use wellspring::embed::FakeEmbedder;
use wellspring::store::Limits;
use wellspring::{Cache, MemoryStore};
use wellspring_gateway::auth::{Permission, Token};
use wellspring_gateway::{Anonymous, Gateway, Listeners, Options, listen};

use crate::proxy::{CHAT, MESSAGES, chat, request, streamed};
use crate::running::{Reply, Running};
use crate::support::eventually;
use crate::support::faulty::{Fault, FaultyStore};
use crate::support::servers::{Proxy, Server};
use crate::support::valkey::patient_now;

fn tokens() -> Vec<Token> {
    vec![
        Token::new("app", &[Permission::Fill], "app-token"),
        Token::new("reader", &[Permission::Read], "read-token"),
    ]
}

#[tokio::test]
async fn a_token_opens_the_proxy_and_does_not_go_upstream() {
    let gateway = Running::with(|options| {
        options.tokens = tokens();
        options.openai.api_key = Some("own-key".into());
    })
    .await;
    let ask = async |name: &str, value: &str| {
        let request = gateway.client.post(gateway.url(CHAT)).json(&chat("Who?")).header(name, value);
        Reply::of(request.send().await.unwrap()).await
    };
    let refused = ask("authorization", "Bearer some-key").await;
    assert_eq!((refused.status, &refused.json()["error"]["type"]), (401, &json!("authentication_error")));
    assert_eq!(refused.header("www-authenticate"), "Bearer");
    assert_eq!(ask("wellspring-token", "read-token").await.status, 403);
    assert_eq!(gateway.upstream.calls(), 0);
    assert_eq!(ask("authorization", "Bearer app-token").await.tier(), "miss");
    assert_eq!(ask("wellspring-token", "app-token").await.tier(), "exact");
    let seen = &gateway.upstream.seen()[0];
    assert_eq!(seen.headers["authorization"], "Bearer own-key");
    let with_both = gateway.post(CHAT, &chat("And whose?")).header("wellspring-token", "app-token");
    assert_eq!(with_both.send().await.unwrap().status(), 200);
    let seen = &gateway.upstream.seen()[1];
    assert_eq!(seen.headers["authorization"], "Bearer caller-key");
    assert!(!seen.headers.contains_key("wellspring-token"));
    // Without a key of its own, the gateway has none to send.
    let keyless = gateway.client.post(gateway.url(MESSAGES)).json(&request(MESSAGES, "good", "Who?"));
    assert_eq!(keyless.header("x-api-key", "app-token").send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_token_goes_upstream_in_none_of_its_spellings() {
    let gateway = Running::with(|options| {
        options.tokens = tokens();
        options.anonymous = Anonymous::Proxy;
        options.openai.api_key = Some("own-key".into());
    })
    .await;
    for (number, lines) in [
        &[("api-key", "app-token")][..],
        &[("x-goog-api-key", "app-token")],
        &[("authorization", "Token app-token")],
        &[("authorization", "Bearer caller-key"), ("authorization", "Bearer app-token")],
    ]
    .into_iter()
    .enumerate()
    {
        let request = gateway.client.post(gateway.url(CHAT)).json(&chat(&format!("Who is number {number}?")));
        let request = lines.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        assert_eq!(request.send().await.unwrap().status(), 200, "{lines:?}");
        let seen = &gateway.upstream.seen()[number];
        let shows = |value: &axum::http::HeaderValue| value.to_str().unwrap().contains("app-token");
        assert!(!seen.headers.values().any(shows), "{lines:?}: {:?}", seen.headers);
        assert_eq!(seen.headers["authorization"], "Bearer own-key", "{lines:?}");
    }
}

#[tokio::test]
async fn callers_of_the_proxy_need_no_token_if_that_is_configured() {
    let gateway = Running::with(|options| {
        options.tokens = tokens();
        options.anonymous = Anonymous::Proxy;
    })
    .await;
    assert_eq!(gateway.ask(CHAT, &chat("Who?")).await.status, 200);
}

#[tokio::test]
async fn what_is_too_much_is_refused_in_the_api_s_own_shape() {
    let gateway = Running::with(|options| {
        options.limits.body_bytes = 2_000;
        options.limits.question_bytes = 50;
        options.limits.sources = 2;
    })
    .await;
    let large = gateway.ask(MESSAGES, &request(MESSAGES, "good", &"x".repeat(3_000))).await;
    assert_eq!((large.status, &large.json()["error"]["type"]), (413, &json!("request_too_large")));
    let named = |wellspring: Value| {
        let mut request = chat("q");
        request["wellspring"] = wellspring;
        request
    };
    let long = gateway.ask(CHAT, &named(json!({ "question": "x".repeat(51) }))).await;
    assert_eq!(long.status, 400);
    let source = json!({ "id": "a" });
    let many =
        gateway.ask(CHAT, &named(json!({ "question": "q", "sources": [source, source, source] }))).await;
    assert!(many.body.contains("3 sources, the limit is 2"), "{}", many.body);
    let mut deep = json!(1);
    for _ in 0..70 {
        deep = json!([deep]);
    }
    assert_eq!(gateway.ask(CHAT, &named(deep)).await.json()["error"]["code"], "body_too_deep");
    let deeper = format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500));
    let sent = gateway.client.post(gateway.url(CHAT)).body(deeper).send().await.unwrap();
    assert_eq!(sent.status(), 400);
    assert_eq!(gateway.upstream.calls(), 0);
    // A request with no named question is answered, too.
    assert_eq!(gateway.ask(CHAT, &chat(&"long ".repeat(20))).await.status, 200);
}

#[tokio::test]
async fn rate_and_number_are_limited() {
    let gateway = Running::with(|options| options.limits.rate_per_second = 2).await;
    let asked = chat("Who?");
    // So many that even a busy machine does not spread them over as many seconds.
    let replies = futures::future::join_all((0..200).map(|_| gateway.ask(CHAT, &asked))).await;
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status == 429).collect();
    assert!(!refused.is_empty() && refused.len() < 200);
    assert_eq!(refused[0].header("retry-after"), "1");

    let gateway = Running::with(|options| options.limits.concurrency = 1).await;
    let mut held = gateway.post(CHAT, &streamed(request(CHAT, "held", "Who?"))).send().await.unwrap();
    held.chunk().await.unwrap();
    assert_eq!(gateway.ask(CHAT, &chat("And who else?")).await.json()["error"]["code"], "too_many_at_once");
    gateway.upstream.release();
    while held.chunk().await.unwrap().is_some() {}
    drop(held);
    let asked = chat("And who else?");
    eventually("there is room again", async || gateway.ask(CHAT, &asked).await.status == 200).await;
}

#[tokio::test]
async fn it_says_how_it_is_and_ends_when_what_runs_has_ended() {
    let mut gateway = Running::start().await;
    for address in [gateway.public, gateway.admin] {
        for path in ["healthz", "readyz"] {
            let response = gateway.client.get(format!("http://{address}/{path}")).send().await.unwrap();
            assert_eq!(response.json::<Value>().await.unwrap()["status"], "ok");
        }
    }
    let mut held = gateway.post(CHAT, &streamed(request(CHAT, "held", "Who?"))).send().await.unwrap();
    held.chunk().await.unwrap();
    let served = gateway.end();
    gateway.upstream.release();
    let rest = held.text().await.unwrap();
    assert!(rest.ends_with("data: [DONE]\n\n"));
    served.await.unwrap().unwrap();
    assert!(gateway.client.get(gateway.url("/healthz")).send().await.is_err());
}

#[tokio::test]
async fn readiness_is_what_is_true_of_the_store_and_of_the_end() {
    let store = FaultyStore::new(Fault::Breaks, MemoryStore::new(Limits::default()));
    let gateway = Running::over(Arc::clone(&store) as _, |_| {}).await;
    let ready = async || Reply::of(gateway.client.get(gateway.url("/readyz")).send().await.unwrap()).await;
    let until = async |state: &str| {
        eventually(&format!("the store is {state}"), async || {
            let reply = ready().await;
            assert_eq!((reply.status, &reply.json()["status"]), (200, &"ok".into()));
            reply.json()["store"] == state
        })
        .await;
    };
    until("ok").await;
    store.broken.store(true, std::sync::atomic::Ordering::SeqCst);
    until("bypassed").await;
    assert_eq!(gateway.ask(CHAT, &chat("Who?")).await.tier(), "bypass", "what it says is true");
    store.broken.store(false, std::sync::atomic::Ordering::SeqCst);
    until("ok").await;
    gateway.gateway.begin_draining();
    let reply = ready().await;
    assert_eq!((reply.status, &reply.json()["status"]), (503, &"draining".into()));
    let alive = Reply::of(gateway.client.get(gateway.url("/healthz")).send().await.unwrap()).await;
    assert_eq!((alive.status, alive.body.as_str()), (200, "{\"status\":\"ok\"}"));
}

/// A store that took longer to report its state than a health checker waits was said to be bypassed, although lookups
/// waited for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_store_that_serves_is_not_said_to_be_bypassed() {
    let server = Server::start();
    let network = Proxy::start(server.port());
    let store = patient_now().connect(&network.url()).await.unwrap();
    let gateway = Running::over(Arc::new(store), |_| {}).await;
    let ready = async || {
        let reply = Reply::of(gateway.client.get(gateway.url("/readyz")).send().await.unwrap()).await;
        reply.json()["store"].clone()
    };
    network.delay_replies(std::time::Duration::from_millis(600));
    assert_ne!(gateway.ask(CHAT, &chat("Who?")).await.tier(), "bypass");
    for _ in 0..3 {
        assert_eq!(ready().await, "ok");
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    }
    network.cut();
    eventually("it is bypassed", async || ready().await == "bypassed").await;
    network.heal();
    eventually("it is used again", async || ready().await == "ok").await;
}

#[tokio::test]
async fn an_address_that_others_reach_needs_to_know_who_asks() {
    let cache = || async {
        Cache::builder(FakeEmbedder::new(64), MemoryStore::new(Limits::default())).build().await.unwrap()
    };
    let bind = async |options: Options, public: &str, admin: &str| {
        let mut listeners = Listeners::default();
        listeners.public = public.parse().unwrap();
        listeners.admin = admin.parse().unwrap();
        listen::bind(Gateway::new(cache().await, options).unwrap(), listeners).map(drop)
    };
    let (anywhere, here) = ("0.0.0.0:0", "127.0.0.1:0");
    let error = bind(Options::default(), anywhere, here).await.unwrap_err().to_string();
    assert!(error.starts_with("server.listen is 0.0.0.0:0, which other machines can reach"), "{error}");
    assert!(bind(Options::default(), here, anywhere).await.is_err());
    let mut proxy = Options::default();
    proxy.anonymous = Anonymous::Proxy;
    assert!(bind(proxy.clone(), anywhere, here).await.is_ok());
    assert!(bind(proxy, here, anywhere).await.is_err());
    let mut known = Options::default();
    known.tokens = tokens();
    assert!(bind(known, anywhere, anywhere).await.is_ok());
}

#[tokio::test]
async fn documents_are_reported_at_the_other_listener_with_the_permission_to_invalidate() {
    let gateway = Running::with(|options| {
        options.tokens = tokens();
        options.tokens.push(Token::new("ingestion", &[Permission::Invalidate], "ingestion-token"));
        options.anonymous = Anonymous::Proxy;
    })
    .await;
    let mut asked = chat("a prompt");
    asked["wellspring"] =
        json!({ "question": "Who rules?", "sources": [{ "id": "people", "version": "1" }] });
    gateway.ask(CHAT, &asked).await;
    let report = async |token: &str, body: Value| {
        let url = format!("http://{}/v1/documents/changed", gateway.admin);
        Reply::of(gateway.client.post(url).bearer_auth(token).json(&body).send().await.unwrap()).await
    };
    let change = json!({ "documents": [{ "id": "people", "version": "2" }] });
    assert_eq!(report("none", change.clone()).await.status, 401);
    assert_eq!(report("app-token", change.clone()).await.json()["error"]["kind"], "forbidden");
    assert_eq!(gateway.ask(CHAT, &asked).await.tier(), "exact");
    assert_eq!(report("ingestion-token", change.clone()).await.json()["dropped"], 1);
    assert_eq!(report("ingestion-token", change).await.json()["unchanged"], true);
    for wrong in [json!({}), json!({ "documents": [{ "id": "" }] }), json!({ "document": 1 })] {
        assert_eq!(report("ingestion-token", wrong).await.status, 400);
    }
    let mut again = asked.clone();
    again["wellspring"]["sources"][0]["version"] = "2".into();
    assert_eq!(gateway.ask(CHAT, &again).await.tier(), "miss");
    assert_eq!(gateway.ask(CHAT, &again).await.tier(), "exact");
    let url = gateway.url("/v1/documents/changed");
    assert_eq!(gateway.client.post(url).json(&json!({})).send().await.unwrap().status(), 404);
}
