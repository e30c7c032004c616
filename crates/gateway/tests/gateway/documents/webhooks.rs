//! Webhooks: which requests are accepted, and which answers their payloads end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use wellspring::Corpus;
use wellspring_gateway::rules::{Pattern, Rule, Rules};
use wellspring_gateway::webhooks::{Webhook, WebhookKind};

use crate::documents::start;
use crate::running::{Reply, Running};

const SECRET: &str = "It's a Secret to Everybody";

fn webhook(name: &str, kind: WebhookKind) -> Webhook {
    let rule = Rule {
        pattern: Pattern::Glob("docs/**/*.md".into()),
        document: Some("${stem}".into()),
        collection: Some("docs".into()),
    };
    let rules = if name == "signed" { Rules::default() } else { Rules::new(&[rule]).unwrap() };
    Webhook { name: name.into(), kind, secret: SECRET.into(), corpus: Corpus::default(), rules }
}

async fn hooked() -> (Running, tempfile::TempDir) {
    let header = |name: &str| name.parse().unwrap();
    let timestamp = Some((header("x-timestamp"), Duration::from_mins(5)));
    start(|options| {
        options.webhooks = vec![
            webhook("github", WebhookKind::GitHub { branch: Some("main".into()) }),
            webhook(
                "signed",
                WebhookKind::Hmac { header: header("x-signature"), timestamp: timestamp.clone() },
            ),
            webhook("ruled", WebhookKind::Hmac { header: header("x-signature"), timestamp }),
            webhook("bucket", WebhookKind::S3),
            webhook("events", WebhookKind::CloudEvents),
        ];
    })
    .await
}

/// HMAC-SHA256 by its definition (RFC 2104), not by the library under test.
fn hmac(message: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let mut key = [0_u8; 64];
    key[..SECRET.len()].copy_from_slice(SECRET.as_bytes());
    let inner = Sha256::new().chain_update(key.map(|b| b ^ 0x36)).chain_update(message).finalize();
    hex::encode(Sha256::new().chain_update(key.map(|b| b ^ 0x5c)).chain_update(inner).finalize())
}

async fn send(request: RequestBuilder) -> Reply {
    Reply::of(request.send().await.unwrap()).await
}

#[test]
fn the_signature_is_githubs() {
    // From GitHub's documentation on validating deliveries.
    assert_eq!(hmac("Hello, World!"), "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_ends_the_answers_from_its_files() {
    let (gateway, _folder) = hooked().await;
    gateway.store("one", &json!([{ "id": "guide" }])).await;
    gateway.store("two", &json!([{ "id": "other" }])).await;
    let push = json!({
        "ref": "refs/heads/main", "repository": { "full_name": "o/r" },
        "commits": [{ "added": [], "modified": ["docs/a/guide.md", "src/main.rs"], "removed": [] }],
    })
    .to_string();
    let event = |signature: &str| {
        gateway
            .hook("github", &push)
            .header("x-github-event", "push")
            .header("x-hub-signature-256", signature)
    };
    assert_eq!(send(event(&format!("sha256={}", hmac("other")))).await.status, 401);
    assert_eq!(send(event("sha256=00")).await.status, 401);
    assert_eq!(send(gateway.hook("github", &push)).await.status, 401);
    assert!(gateway.is_stored("one").await);
    let done = send(event(&format!("sha256={}", hmac(&push)))).await;
    assert_eq!((done.status, done.json()["dropped"].clone()), (200, json!(1)), "{}", done.body);
    assert!(!gateway.is_stored("one").await && gateway.is_stored("two").await);
    let forced = push.replace("\"ref\"", "\"forced\":true,\"ref\"");
    let event = gateway.hook("github", &forced).header("x-github-event", "push");
    let done = send(event.header("x-hub-signature-256", format!("sha256={}", hmac(&forced)))).await;
    assert_eq!(done.json()["dropped"], 1, "{}", done.body);
    assert!(!gateway.is_stored("two").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_request_is_applied_once_and_only_in_its_time() {
    let (gateway, _folder) = hooked().await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let body = r#"{"id":"a","version":"1"}"#;
    let at = |time: u64, signed: u64| {
        let request = gateway.hook("signed", body).header("x-timestamp", time.to_string());
        request.header("x-signature", hmac(&format!("{signed}.{body}")))
    };
    gateway.store("q", &json!([{ "id": "a" }])).await;
    assert_eq!(send(at(now - 301, now - 301)).await.status, 401);
    assert_eq!(send(at(now + 400, now + 400)).await.status, 401);
    assert_eq!(send(at(now, now - 1)).await.status, 401);
    assert!(gateway.is_stored("q").await);
    assert_eq!(send(at(now, now)).await.json()["dropped"], 1);
    gateway.admin_post("/v1/documents/changed", &json!({ "id": "a", "version": "2" })).await;
    gateway.store("q", &json!([{ "id": "a", "version": "2" }])).await;
    // An attacker recorded it and sends it again.
    assert_eq!(send(at(now, now)).await.json()["state"], "ignored");
    assert!(gateway.is_stored("q").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_change_ends_the_answers_from_its_collection_too() {
    let (gateway, _folder) = hooked().await;
    let permit = gateway.look("which documents exist").await["permit"].clone();
    let fill = json!({ "permit": permit, "answer": "a", "collections": ["docs"] });
    assert_eq!(gateway.ask("/v1/cache/fill", &fill).await.json()["status"], "stored");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let report = async |body: &str| {
        let request = gateway.hook("ruled", body).header("x-timestamp", now.to_string());
        send(request.header("x-signature", hmac(&format!("{now}.{body}")))).await.json()
    };
    assert_eq!(report(r#"{"id":"src/main.rs"}"#).await["state"], "ignored");
    let documents = r#"{"documents":[{"id":"docs/new.md","version":"1"},{"id":"docs/other.md"}]}"#;
    let done = report(documents).await;
    assert_eq!((&done["dropped"], &done["changes"]), (&json!(1), &json!(3)), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_of_buckets_and_cloud_events_end_answers() {
    let (gateway, _folder) = hooked().await;
    let record = json!({ "Records": [{ "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": "b" }, "object": { "key": "docs/my+guide.md" } } }] });
    gateway.store("q", &json!([{ "id": "my guide" }])).await;
    let body = record.to_string();
    assert_eq!(send(gateway.hook("bucket", &body).bearer_auth("wrong")).await.status, 401);
    assert_eq!(send(gateway.hook("bucket", &body).bearer_auth(SECRET)).await.json()["dropped"], 1);

    let event: Value =
        json!({ "specversion": "1.0", "id": "1", "source": "/s", "type": "t", "subject": "docs/guide.md" });
    let structured = |event: &Value| {
        let request = gateway.hook("events", &event.to_string()).bearer_auth(SECRET);
        request.header("content-type", "application/cloudevents+json")
    };
    gateway.store("q", &json!([{ "id": "guide" }])).await;
    assert_eq!(send(structured(&event)).await.json()["dropped"], 1);
    gateway.store("q", &json!([{ "id": "guide" }])).await;
    let mut binary = gateway.hook("events", "data").bearer_auth(SECRET);
    for (name, value) in event.as_object().unwrap() {
        binary = binary.header(format!("ce-{name}"), value.as_str().unwrap());
    }
    assert_eq!(send(binary).await.json()["dropped"], 1);
    // A new document changes what its collection answers.
    let body = json!({ "permit": gateway.look("which documents exist").await["permit"], "answer": "a", "collections": ["docs"] });
    assert_eq!(gateway.ask("/v1/cache/fill", &body).await.json()["status"], "stored");
    let other =
        json!({ "specversion": "1.0", "id": "2", "source": "/s", "type": "t", "subject": "docs/new.md" });
    assert_eq!(send(structured(&other)).await.json()["dropped"], 1);
    let elsewhere = json!({ "specversion": "1.0", "id": "3", "source": "/s", "type": "t", "subject": "x" });
    assert_eq!(send(structured(&elsewhere)).await.json()["state"], "ignored");
    assert_eq!(send(structured(&json!({ "specversion": "1.0" }))).await.status, 400);
    assert_eq!(send(gateway.hook("unknown", "")).await.status, 404);
    let ask = gateway.client.request(reqwest::Method::OPTIONS, gateway.admin_url("/v1/webhooks/events"));
    let allowed = send(ask.header("webhook-request-origin", "events.example")).await;
    assert_eq!(allowed.header("webhook-allowed-origin"), "events.example");
}
