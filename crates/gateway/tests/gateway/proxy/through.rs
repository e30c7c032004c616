//! Requests that are not cached are passed through; with the gateway's own key, only to allowed paths.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wellspring_gateway::auth::{Permission, Token};

use crate::proxy::{CHAT, RESPONSES, chat, request};
use crate::running::{Reply, Running};

async fn send(gateway: &Running, method: Method, path: &str) -> Reply {
    let request = gateway.client.request(method, gateway.url(path)).body("{}");
    Reply::of(request.send().await.unwrap()).await
}

async fn lent_key(pass: &[&str]) -> Running {
    Running::with(|options| {
        options.openai.api_key = Some("own-key".into());
        options.anthropic.api_key = Some("own-key".into());
        options.pass = pass.iter().map(|path| path.parse().unwrap()).collect();
    })
    .await
}

#[tokio::test]
async fn every_path_below_the_base_goes_through_with_the_caller_s_key() {
    let gateway = Running::start().await;
    for (method, path, below) in [
        (Method::POST, "/v1/moderations", "/moderations"),
        (Method::POST, "/moderations", "/moderations"),
        (Method::DELETE, "/v1/files/f-1", "/files/f-1"),
        (Method::GET, "/v1/batches?limit=1&after=../x", "/batches?limit=1&after=../x"),
        (Method::POST, "/v1/vector_stores/vs/files", "/vector_stores/vs/files"),
        (Method::POST, "/v1/conversations/c/items", "/conversations/c/items"),
        (Method::GET, "/v1/chat/completions", "/chat/completions"),
        (Method::DELETE, "/v1/models/ft:x", "/models/ft:x"),
        (Method::POST, "/v1/messages/batches", "/messages/batches"),
        (Method::PATCH, "/new/and/unknown", "/new/and/unknown"),
        (
            Method::POST,
            "/openai/deployments/d/images/generations?api-version=1",
            "/openai/deployments/d/images/generations?api-version=1",
        ),
    ] {
        let before = gateway.upstream.calls();
        let request = gateway.client.request(method.clone(), gateway.url(path)).bearer_auth("caller-key");
        let reply = Reply::of(request.body("{\"a\": 1, \"wellspring\": {}}").send().await.unwrap()).await;
        // The upstream's response reaches the caller unchanged.
        assert!(matches!(reply.status, 404 | 405), "{method} {path}: {}", reply.body);
        let seen = gateway.upstream.seen();
        // The fake upstream does not record requests with a method that it does not have.
        if reply.status == 404 {
            assert_eq!(seen.len(), before + 1, "{method} {path}");
            let seen = seen.last().unwrap();
            assert_eq!(seen.path, format!("/v1{below}"));
            assert_eq!(seen.headers["authorization"], "Bearer caller-key");
            assert_eq!(seen.body, "{\"a\":1}");
        }
        assert_eq!(
            (reply.header("cache-status"), reply.tier()),
            ("wellspring; fwd=bypass; detail=path", "bypass"),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn directives_that_take_no_effect_are_reported() {
    let gateway = Running::start().await;
    let plain = json!({ "model": "good", "input": "Who?" });
    let mut named = plain.clone();
    named["wellspring"] = json!({ "sources": ["a"] });
    for path in ["/v1/moderations", "/openai/v1/files", "/v1/embeddings"] {
        let warning = async |body: &Value, headers: &[&str]| {
            let mut request = gateway.post(path, body);
            for name in headers {
                request = request.header(*name, "a");
            }
            Reply::of(request.send().await.unwrap()).await.header("wellspring-warning").to_owned()
        };
        assert_eq!(warning(&plain, &["x-a"]).await, "", "{path}");
        assert_eq!(warning(&named, &[]).await, "directives ignored", "{path}");
        assert_eq!(warning(&plain, &["wellspring-tags"]).await, "directives ignored", "{path}");
    }
    let upload = gateway.client.post(gateway.url("/v1/files")).bearer_auth("caller-key");
    let list = gateway.client.post(gateway.url(CHAT)).bearer_auth("caller-key");
    for request in [upload.header("content-type", "multipart/form-data; boundary=x"), list] {
        let reply = request.header("wellspring-tags", "a").body("[]").send().await.unwrap();
        assert_eq!(reply.headers()["wellspring-warning"], "directives ignored");
    }
}

#[tokio::test]
async fn a_base_url_without_a_version_and_azure_s_paths_are_cached() {
    let gateway = Running::start().await;
    assert_eq!(gateway.ask("/chat/completions", &chat("Who?")).await.tier(), "miss");
    assert_eq!(gateway.ask(CHAT, &chat("Who?")).await.tier(), "exact");
    let body = json!({ "messages": [{ "role": "user", "content": "Who?" }] });
    let texts = json!({ "input": "Who?" });
    let mut answers = Vec::new();
    for deployment in ["small", "large"] {
        let path = |rest: &str| format!("/openai/deployments/{deployment}/{rest}?api-version=1");
        let ask = async |path: &str, body: &Value, key: &str| {
            let request = gateway.client.post(gateway.url(path)).json(body).header("api-key", key);
            Reply::of(request.send().await.unwrap()).await
        };
        let first = ask(&path("chat/completions"), &body, "a").await;
        assert_eq!((first.status, first.tier()), (200, "miss"), "{}", first.body);
        assert_eq!(ask(&path("chat/completions"), &body, "a").await.tier(), "exact");
        assert_eq!(ask(&path("chat/completions"), &body, "b").await.tier(), "miss");
        assert_eq!(ask(&path("embeddings"), &texts, "a").await.tier(), "miss");
        assert_eq!(ask(&path("embeddings"), &texts, "a").await.tier(), "exact");
        answers.push(first.body);
    }
    // The body does not name the model, so only the deployment distinguishes them.
    assert_ne!(answers[0], answers[1]);
}

#[tokio::test]
async fn azure_s_paths_without_a_deployment_are_cached_too() {
    let gateway = lent_key(&[]).await;
    for path in [
        "/openai/v1/chat/completions",
        "/openai/v1/responses",
        "/openai/v1/responses?api-version=preview",
        "/openai/responses?api-version=1",
        "/openai/v1/embeddings",
    ] {
        let body = match path {
            path if path.ends_with("/embeddings") => json!({ "model": "good", "input": "Who?" }),
            path if path.ends_with("/completions") => chat("Who?"),
            _ => request(RESPONSES, "good", "Who?"),
        };
        let ask = async || {
            let request = gateway.client.post(gateway.url(path)).json(&body);
            Reply::of(request.send().await.unwrap()).await
        };
        let first = ask().await;
        assert_eq!((first.status, first.tier()), (200, "miss"), "{path}: {}", first.body);
        let seen = gateway.upstream.seen().pop().unwrap();
        assert_eq!(
            (seen.path, &seen.headers["api-key"]),
            (format!("/v1{path}"), &"own-key".parse().unwrap())
        );
        let again = ask().await;
        assert_eq!((again.tier(), &again.body), ("exact", &first.body), "{path}");
    }
}

#[tokio::test]
async fn the_own_key_goes_where_it_is_meant_to_and_nowhere_else() {
    let gateway = lent_key(&[]).await;
    let paths = [
        (Method::GET, "/v1/files"),
        (Method::DELETE, "/v1/files/f-1"),
        (Method::GET, "/v1/organization/api_keys"),
        (Method::DELETE, "/v1/models/ft:x"),
        (Method::GET, "/v1/chat/completions"),
        (Method::POST, "/v1/audio/speech"),
        (Method::POST, "/audio/speech"),
        (Method::POST, "/v1/v1/moderations"),
        (Method::POST, "/v1/%6doderations"),
        (Method::GET, "/v1/models;x/y"),
        (Method::PUT, "/v1/responses/r"),
        (Method::POST, "/openai/deployments/d/images/generations"),
        (Method::POST, "/openai/v1/files"),
        (Method::POST, "/openai/v1/messages"),
    ];
    for (method, path) in paths.clone() {
        let refused = send(&gateway, method.clone(), path).await;
        assert_eq!(refused.status, 403, "{method} {path}: {}", refused.body);
        assert!(refused.body.contains("server.pass"), "{}", refused.body);
        assert_eq!(refused.json()["error"]["code"], "own_key_not_lent", "{method} {path}: {}", refused.body);
    }
    // Errors have the shape of the API that the request is for.
    for path in ["/v1/files", "/files", "/v1/complete"] {
        let anthropic = gateway.client.get(gateway.url(path)).header("anthropic-version", "1");
        let refused = Reply::of(anthropic.send().await.unwrap()).await;
        let error = refused.json();
        assert_eq!((refused.status, &error["type"]), (403, &"error".into()), "{path}");
        assert_eq!(error["error"]["type"], "permission_error", "{path}");
    }
    assert_eq!(gateway.upstream.calls(), 0);
    for path in ["/v1/moderations", "/moderations", "/v1/responses/r/cancel"] {
        assert_eq!(send(&gateway, Method::POST, path).await.status, 404, "{path}");
        assert_eq!(gateway.upstream.seen().last().unwrap().headers["authorization"], "Bearer own-key");
    }
    // The gateway's own key is never added to a key of the caller.
    let azure = gateway.client.post(gateway.url("/v1/files")).header("api-key", "caller-key").send().await;
    assert_eq!(azure.unwrap().status(), 404);
    assert!(!gateway.upstream.seen().last().unwrap().headers.contains_key("authorization"));
    // Azure receives the own key in the header that it reads.
    send(&gateway, Method::POST, "/openai/deployments/d/chat/completions").await;
    assert_eq!(gateway.upstream.seen().last().unwrap().headers["api-key"], "own-key");

    let extended = lent_key(&["POST:audio/*", "files/*"]).await;
    for (method, path, status) in [
        (Method::POST, "/v1/audio/speech", 404),
        (Method::GET, "/v1/audio/speech", 403),
        (Method::DELETE, "/v1/files/f-1", 404),
        (Method::GET, "/v1/files", 403),
    ] {
        assert_eq!(send(&extended, method.clone(), path).await.status, status, "{method} {path}");
    }
}

/// A change that is reported to the wrong address must not reach an upstream, and the sender must not believe that it
/// was accepted.
#[tokio::test]
async fn what_is_the_gateway_s_own_goes_to_no_upstream() {
    let gateway = Running::with(|options| {
        options.tokens = vec![Token::new("app", &[Permission::Fill], "app-token")];
        options.openai.api_key = Some("own-key".into());
        options.pass = vec!["*".parse().unwrap()];
    })
    .await;
    for path in [
        "/v1/documents/changed",
        "/documents/changed",
        "/v1/webhooks/github",
        "/v1/cache/entries",
        "/metrics",
        "/admin/overview",
    ] {
        let request = gateway.client.post(gateway.url(path)).bearer_auth("app-token").body("{}");
        let reply = Reply::of(request.send().await.unwrap()).await;
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(reply.json()["error"]["kind"], "no_route", "{path}: {}", reply.body);
        assert_eq!(send(&gateway, Method::POST, path).await.status, 401, "{path}");
    }
    assert_eq!(gateway.upstream.calls(), 0);
}

#[tokio::test]
async fn uploads_are_passed_on_as_they_come() {
    // For a piece of a body; those of a test come much sooner, even on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(4);
    let gateway = Running::with(|options| {
        options.limits.body_bytes = 1_000;
        options.limits.body_timeout = PATIENCE;
    })
    .await;
    let upload = async |media_type: &str, body: reqwest::Body| {
        let request = gateway.client.post(gateway.url("/v1/files")).bearer_auth("caller-key");
        let reply = request.header("content-type", media_type).body(body).send().await.unwrap();
        reply.status().as_u16()
    };
    let file = vec![7; 3 << 20];
    for media_type in ["multipart/form-data; boundary=x", "application/octet-stream", "audio/wav"] {
        assert_eq!(upload(media_type, file.clone().into()).await, 404, "{media_type}");
        let seen = gateway.upstream.seen().pop().unwrap();
        assert_eq!(
            (seen.body.len(), &seen.headers["content-type"]),
            (file.len(), &media_type.parse().unwrap())
        );
        assert_eq!(seen.headers["content-length"], file.len().to_string());
    }
    // Its length is not known in advance, and as a whole it is slower than one piece may be.
    let pieces = futures::stream::unfold(0, |sent| async move {
        tokio::time::sleep(PATIENCE / 5).await;
        (sent < 6).then(|| (Ok::<_, std::io::Error>(vec![7; 1_000]), sent + 1))
    });
    assert_eq!(upload("multipart/form-data; boundary=x", reqwest::Body::wrap_stream(pieces)).await, 404);
    assert_eq!(gateway.upstream.seen().pop().unwrap().body.len(), 6_000);
    let stalled = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    assert!(upload("multipart/form-data; boundary=x", reqwest::Body::wrap_stream(stalled)).await >= 400);
    // A body that may contain directives to the gateway is read, with a limit.
    assert_eq!(upload("application/json", file.into()).await, 413);
}

#[tokio::test]
async fn a_websocket_is_sent_where_to_go() {
    let gateway = Running::start().await;
    for path in ["/v1/realtime?model=x", "/realtime?model=x"] {
        let request = gateway.client.get(gateway.url(path)).bearer_auth("caller-key");
        let request = request.header("connection", "upgrade").header("upgrade", "websocket");
        let reply = Reply::of(request.send().await.unwrap()).await;
        assert_eq!((reply.status, reply.header("x-should-retry")), (501, "false"));
        assert_eq!(reply.json()["error"]["code"], "no_websocket", "{}", reply.body);
        assert!(reply.body.contains("connect to the API directly"), "{}", reply.body);
    }
}
