//! Recorded webhooks that are sent again, and forged ones.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use wellspring::store::Limits;
use wellspring::{Cache, Corpus, MemoryStore};
use wellspring_gateway::rules::Rules;
use wellspring_gateway::webhooks::{Webhook, WebhookKind};
use wellspring_gateway::{Listeners, Options};

use crate::proxy::CHAT;
use crate::running::{Reply, Running};

const SECRET: &str = "secret";

fn webhook(name: &str, kind: WebhookKind) -> Webhook {
    let (name, secret) = (name.into(), SECRET.into());
    Webhook { name, kind, secret, corpus: Corpus::default(), rules: Rules::default() }
}

fn add_webhooks(options: &mut Options) {
    let header = |name: &str| name.parse().unwrap();
    let timestamp = Some((header("x-timestamp"), Duration::from_mins(5)));
    options.webhooks = vec![
        webhook("timed", WebhookKind::Hmac { header: header("x-signature"), timestamp }),
        webhook("plain", WebhookKind::Hmac { header: header("x-signature"), timestamp: None }),
        webhook("bucket", WebhookKind::S3),
    ];
}

fn sign(message: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Reports this version of the document, signed at `time` or without a time.
async fn report(gateway: &Running, version: &str, time: Option<u64>) -> Reply {
    report_at(gateway, version, time.map(|time| time.to_string())).await
}

async fn report_at(gateway: &Running, version: &str, time: Option<String>) -> Reply {
    let body = json!({ "id": "hours", "version": version }).to_string();
    let name = if time.is_some() { "timed" } else { "plain" };
    let url = format!("http://{}/v1/webhooks/{name}", gateway.admin);
    let mut request = gateway.client.post(url).body(body.clone());
    request = match time {
        Some(time) => {
            request.header("x-timestamp", &time).header("x-signature", sign(&format!("{time}.{body}")))
        }
        None => request.header("x-signature", sign(&body)),
    };
    Reply::of(request.send().await.unwrap()).await
}

/// Asks with this version of the document as the source; the tier that answers.
async fn ask(gateway: &Running, version: &str) -> String {
    let asked = json!({
        "model": "good", "messages": [{ "role": "user", "content": "prompt" }],
        "wellspring": { "question": "When does the museum open?", "sources": [{ "id": "hours", "version": version }] },
    });
    gateway.ask(CHAT, &asked).await.tier().to_owned()
}

#[tokio::test]
async fn a_recorded_delivery_brings_no_earlier_version_back() {
    for (first, second) in
        [(None, None), (Some(now() + 1), Some(now() + 2)), (Some(now() - 60), Some(now() + 1))]
    {
        let gateway = Running::with(add_webhooks).await;
        assert_eq!(report(&gateway, "1", first).await.status, 200);
        assert_eq!(report(&gateway, "2", second).await.status, 200);
        assert_eq!((ask(&gateway, "2").await, ask(&gateway, "2").await), ("miss".into(), "exact".into()));
        // An attacker recorded the first one and sends it again.
        assert_eq!(report(&gateway, "1", first).await.status, 200);
        // What was made from the latest version is served, or made again and kept: it is not treated as old.
        ask(&gateway, "2").await;
        assert_eq!(ask(&gateway, "2").await, "exact", "{first:?} {second:?}");
    }
}

#[tokio::test]
async fn what_is_signed_late_ends_answers_and_reports_no_version() {
    let gateway = Running::with(add_webhooks).await;
    assert_eq!(report(&gateway, "2", Some(now() + 5)).await.status, 200);
    ask(&gateway, "2").await;
    // Signed before the other one, and arrived after it.
    assert_eq!(report(&gateway, "1", Some(now() + 4)).await.json()["dropped"], 1);
    assert_eq!((ask(&gateway, "2").await, ask(&gateway, "2").await), ("miss".into(), "exact".into()));
    // The latest one is trusted.
    assert_eq!(report(&gateway, "3", Some(now() + 30)).await.json()["dropped"], 1);
    assert_eq!((ask(&gateway, "2").await, ask(&gateway, "2").await), ("miss".into(), "miss".into()));
}

#[tokio::test]
async fn what_is_signed_late_leaves_the_latest_version() {
    let gateway = Running::with(add_webhooks).await;
    assert_eq!(report(&gateway, "2", Some(now() + 5)).await.status, 200);
    assert_eq!(report(&gateway, "1", Some(now() + 1)).await.status, 200);
    for version in ["1", "0"] {
        assert_eq!(
            (ask(&gateway, version).await, ask(&gateway, version).await),
            ("miss".into(), "miss".into())
        );
    }
    assert_eq!((ask(&gateway, "2").await, ask(&gateway, "2").await), ("miss".into(), "exact".into()));
}

#[tokio::test]
async fn of_two_versions_signed_at_the_same_time_neither_is_believed() {
    let gateway = Running::with(add_webhooks).await;
    let time = now() + 1;
    assert_eq!(report(&gateway, "2", Some(time)).await.status, 200);
    assert_eq!(ask(&gateway, "2").await, "miss");
    // The earlier one arrives after the later one.
    assert_eq!(report(&gateway, "1", Some(time)).await.json()["dropped"], 1);
    assert_eq!((ask(&gateway, "2").await, ask(&gateway, "2").await), ("miss".into(), "exact".into()));
    // A sender that is more precise is believed.
    assert_eq!(report_at(&gateway, "3", Some(format!("{time}.25"))).await.json()["dropped"], 1);
    assert_eq!((ask(&gateway, "2").await, ask(&gateway, "2").await), ("miss".into(), "miss".into()));
    assert_eq!((ask(&gateway, "3").await, ask(&gateway, "3").await), ("miss".into(), "exact".into()));
}

#[tokio::test]
async fn strangers_are_not_listened_to() {
    let gateway = Running::with(add_webhooks).await;
    let send = async |name: &str, bytes: usize, header: Option<(&str, &str)>| {
        let url = format!("http://{}/v1/webhooks/{name}", gateway.admin);
        let mut request = gateway.client.post(url).body("x".repeat(bytes));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        request.send().await.map(|response| response.status().as_u16()).ok()
    };
    let wrong = "00".repeat(32);
    for (name, header) in [
        ("timed", None),
        ("plain", Some(("x-signature", "short"))),
        ("bucket", Some(("authorization", "Bearer x"))),
    ] {
        assert_eq!(send(name, 10, header).await, Some(401), "{name}");
        // Refused before it was read: the connection may be gone before all was sent.
        assert!(matches!(send(name, 8 << 20, header).await, Some(401) | None), "{name}");
    }
    assert_eq!(send("plain", 10, Some(("x-signature", &wrong))).await, Some(401));
    assert!(matches!(send("plain", 3 << 20, Some(("x-signature", &wrong))).await, Some(413) | None));
}

#[tokio::test]
async fn webhooks_that_have_a_listener_of_their_own_are_nowhere_else() {
    let upstream = crate::upstream::Upstream::start().await;
    let store = MemoryStore::new(Limits::default());
    let cache = Cache::builder(wellspring::embed::FakeEmbedder::new(64), store).build().await.unwrap();
    let (mut options, mut listeners) = (Options::default(), Listeners::default());
    add_webhooks(&mut options);
    listeners.webhooks = Some("127.0.0.1:0".parse().unwrap());
    let gateway = Running::serve(upstream, cache, options, listeners);
    let hooks = gateway.webhooks.unwrap();
    let (body, time) = (json!({ "id": "hours" }).to_string(), now());
    let send = async |address, path: &str| {
        let request = gateway.client.post(format!("http://{address}{path}")).header("x-timestamp", time);
        let request =
            request.header("x-signature", sign(&format!("{time}.{body}"))).header("host", "hooks.example");
        request.body(body.clone()).send().await.unwrap().status().as_u16()
    };
    assert_eq!(send(gateway.admin, "/v1/webhooks/timed").await, 404);
    // The proxy does not have that name, and a request with another name gets no further.
    assert_eq!(send(gateway.public, "/v1/webhooks/timed").await, 403);
    assert_eq!(send(hooks, "/v1/webhooks/timed").await, 200);
    for path in ["/v1/documents/changed", "/admin/invalidate", "/metrics", CHAT] {
        assert_eq!(send(hooks, path).await, 404, "{path}");
    }
    let health = gateway.client.get(format!("http://{hooks}/healthz")).send().await.unwrap();
    assert_eq!(health.status(), 200);
}
