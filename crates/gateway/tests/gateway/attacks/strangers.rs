//! Pages in browsers, callers without a name, and addresses that anyone can reach.

use serde_json::json;
use wellspring::embed::FakeEmbedder;
use wellspring::store::Limits;
use wellspring::{Cache, MemoryStore};
use wellspring_gateway::auth::{Permission, Token};
use wellspring_gateway::{Anonymous, Gateway, Listeners, Options, listen};

use crate::proxy::{CHAT, chat};
use crate::running::{Reply, Running};

const CHANGED: &str = "/v1/documents/changed";

#[tokio::test]
async fn a_page_of_another_origin_reaches_neither_listener() {
    let gateway = Running::with(|options| options.hosts = vec!["gateway.example".into()]).await;
    let send = async |address: std::net::SocketAddr, method: &str, path: &str, lines: &[(&str, &str)]| {
        let request = gateway.client.request(method.parse().unwrap(), format!("http://{address}{path}"));
        let body = if path == CHANGED { json!({ "everything": true }) } else { chat("Who?") };
        let mut request = if method == "POST" { request.json(&body) } else { request };
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        Reply::of(request.send().await.unwrap()).await
    };
    let same = format!("http://{}", gateway.admin);
    for (method, path) in
        [("POST", CHANGED), ("GET", "/admin/entries"), ("GET", "/metrics"), ("DELETE", "/v1/documents/a")]
    {
        for lines in [
            &[("host", "evil.example")][..],
            &[("host", "evil.example:7332")],
            &[("host", "127.0.0.1.evil.example")],
            &[("origin", "http://evil.example")],
            &[("origin", "null")],
            &[("origin", "http://127.0.0.1:1")],
            &[("host", "gateway.example"), ("origin", "http://evil.example")],
        ] {
            let refused = send(gateway.admin, method, path, lines).await;
            assert_eq!(
                (refused.status, refused.json()["error"]["kind"].as_str()),
                (403, Some("not_for_this_host")),
                "{path} {lines:?}"
            );
        }
        for lines in [
            &[][..],
            &[("host", "localhost:7332")],
            &[("host", "gateway.example")],
            &[("origin", &same)],
            &[("origin", "https://gateway.example")],
        ] {
            assert_eq!(
                send(gateway.admin, method, path, lines).await.status,
                200,
                "{method} {path} {lines:?}"
            );
        }
    }
    for lines in [("host", "evil.example"), ("origin", "http://evil.example")] {
        for path in [CHAT, "/v1/cache/lookup", "/v1/models/good"] {
            let method = if path.ends_with("good") { "GET" } else { "POST" };
            assert_eq!(send(gateway.public, method, path, &[lines]).await.status, 403, "{path}");
        }
        assert_eq!(send(gateway.public, "GET", "/healthz", &[lines]).await.status, 200);
    }
    assert_eq!(gateway.upstream.calls(), 0);
}

#[tokio::test]
async fn a_token_is_proof_enough_under_any_name() {
    let gateway =
        Running::with(|options| options.tokens = vec![Token::new("ops", &[Permission::Admin], "secret")])
            .await;
    let ask = async |token: &str| {
        let request = gateway
            .client
            .post(format!("http://{}{CHANGED}", gateway.admin))
            .json(&json!({ "everything": true }));
        request
            .header("host", "gateway.internal")
            .header("wellspring-token", token)
            .send()
            .await
            .unwrap()
            .status()
    };
    assert_eq!((ask("secret").await.as_u16(), ask("guessed").await.as_u16()), (200, 401));
}

#[tokio::test]
async fn what_a_page_may_send_anywhere_changes_nothing() {
    let gateway = Running::start().await;
    let body = json!({ "everything": true }).to_string();
    for path in
        [CHANGED, "/admin/invalidate", "/admin/hold", "/v1/documents/a/begin", "/v1/cache/judgements/revoke"]
    {
        for media_type in
            [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("text/json")]
        {
            let mut request =
                gateway.client.post(format!("http://{}{path}", gateway.admin)).body(body.clone());
            if let Some(media_type) = media_type {
                request = request.header("content-type", media_type);
            }
            assert_eq!(request.send().await.unwrap().status(), 415, "{path} {media_type:?}");
        }
    }
    let request = gateway.client.post(gateway.url("/v1/cache/feedback")).body("{}");
    assert_eq!(request.header("content-type", "text/plain").send().await.unwrap().status(), 415);
    // A request without a body needs no type.
    let begun =
        gateway.client.post(format!("http://{}/v1/documents/a/begin", gateway.admin)).send().await.unwrap();
    assert_eq!(begun.status(), 200);
}

#[tokio::test]
async fn names_that_nobody_has_checked_are_one_caller() {
    for headers in ["wellspring-token", "authorization", "x-api-key"] {
        let gateway = Running::with(|options| {
            options.limits.rate_per_second = 3;
            options.tokens = vec![Token::new("app", &[Permission::Fill], "known")];
            options.anonymous = Anonymous::Proxy;
            options.openai.api_key = Some("own-key".into());
        })
        .await;
        let ask = async |value: String| {
            let request = gateway.client.get(gateway.url("/v1/models")).header(headers, value);
            request.send().await.unwrap().status().as_u16()
        };
        let replies = futures::future::join_all((0..30).map(|number| ask(format!("guess-{number}")))).await;
        assert!(replies.iter().filter(|&&status| status == 429).count() > 10, "{headers}: {replies:?}");
        // An authenticated caller has its own rate.
        assert_eq!(ask("known".into()).await, 200, "{headers}");
    }
}

#[tokio::test]
async fn an_open_relay_is_asked_for_by_name() {
    let bind = async |change: fn(&mut Options)| {
        let cache =
            Cache::builder(FakeEmbedder::new(64), MemoryStore::new(Limits::default())).build().await.unwrap();
        let (mut options, mut listeners) = (Options::default(), Listeners::default());
        (options.anonymous, options.openai.api_key) = (Anonymous::Proxy, Some("own-key".into()));
        listeners.public = "0.0.0.0:0".parse().unwrap();
        listeners.admin = "127.0.0.1:0".parse().unwrap();
        change(&mut options);
        listen::bind(Gateway::new(cache, options).unwrap(), listeners)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let error = bind(|_| {}).await.unwrap_err();
    assert!(
        error.contains("uses the gateway's own") && error.contains("server.anonymous = \"relay\""),
        "{error}"
    );
    assert!(bind(|options| options.tokens = vec![Token::new("a", &[Permission::Fill], "s")]).await.is_err());
    assert!(bind(|options| options.anonymous = Anonymous::All).await.is_err());
    bind(|options| options.open_relay = true).await.unwrap();
    bind(|options| options.openai.api_key = None).await.unwrap();
}
