//! The rules of HTTP for caches.

use reqwest::header::{CACHE_CONTROL, IF_NONE_MATCH};
use serde_json::{Value, json};

use crate::proxy::{CHAT, chat, streamed};
use crate::running::{Reply, Running};

const QUESTION: &str = "When does the café close?";

async fn ask(gateway: &Running, control: &str) -> Reply {
    let request = gateway.post(CHAT, &chat(QUESTION)).header(CACHE_CONTROL, control);
    Reply::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn callers_say_what_they_want_of_the_cache() {
    let gateway = Running::start().await;
    let none = ask(&gateway, "only-if-cached").await;
    assert_eq!((none.status, none.json()["error"]["code"].as_str()), (504, Some("not_cached")));
    // The APIs' clients would repeat the request by themselves.
    assert_eq!(none.header("x-should-retry"), "false");
    let texts = gateway.post("/v1/embeddings", &json!({ "input": "Who?" }));
    let none = Reply::of(texts.header(CACHE_CONTROL, "only-if-cached").send().await.unwrap()).await;
    assert_eq!((none.status, none.header("x-should-retry")), (504, "false"));
    let unstored = ask(&gateway, "no-store").await;
    assert_eq!((unstored.tier(), unstored.header("cache-status")), ("bypass", "wellspring; fwd=request"));
    assert_eq!(ask(&gateway, "only-if-cached").await.status, 504);
    let first = ask(&gateway, "max-age=60").await;
    assert_eq!(first.tier(), "miss");
    let hit = ask(&gateway, "only-if-cached").await;
    assert_eq!((hit.status, &hit.body), (200, &first.body));
    assert_eq!((hit.header("age"), hit.header("cache-control")), ("0", "private, no-cache"));
    assert!(hit.header("cache-status").contains("; hit; ttl="));
    assert_eq!(ask(&gateway, "max-age=60").await.tier(), "exact");
    let stale = ask(&gateway, "max-age=0").await;
    assert_eq!(stale.header("cache-status"), "wellspring; fwd=stale");
    let renewed = ask(&gateway, "no-cache").await;
    assert_eq!((renewed.tier(), renewed.header("cache-status")), ("miss", "wellspring; fwd=request"));
    let hit = ask(&gateway, "max-age=60").await;
    assert_eq!((hit.tier(), &hit.body), ("exact", &renewed.body));
    assert_eq!(ask(&gateway, "min-fresh=900000").await.header("cache-status"), "wellspring; fwd=stale");
}

#[tokio::test]
async fn a_permit_does_not_go_over_what_callers_say() {
    // A permit was looked at first: its answer was stored in spite of `no-store`, and made in spite of
    // `only-if-cached`.
    let gateway = Running::start().await;
    let miss = async || {
        let miss = gateway.look(QUESTION).await;
        assert_eq!(miss["status"], "miss", "{miss}");
        miss["permit"].clone()
    };
    let with_permit = |permit: &Value| {
        let mut body = chat("Context: …");
        body["wellspring"] = json!({ "question": QUESTION, "permit": permit, "tags": ["t"] });
        body
    };
    let ask = async |permit: &Value, control: &str| {
        let request = gateway.post(CHAT, &with_permit(permit)).header(CACHE_CONTROL, control);
        Reply::of(request.send().await.unwrap()).await
    };
    let permit = miss().await;
    let none = ask(&permit, "only-if-cached").await;
    assert_eq!((none.status, none.json()["error"]["code"].as_str()), (504, Some("not_cached")));
    assert_eq!(gateway.upstream.seen().len(), 0);
    let unstored = ask(&permit, "no-store").await;
    assert_eq!((unstored.status, unstored.header("cache-status")), (200, "wellspring; fwd=request"));
    assert_eq!(ask(&permit, "no-store").await.status, 410, "it is used up");
    let permit = miss().await;
    assert_eq!(ask(&permit, "no-cache").await.tier(), "miss");
    assert!(gateway.is_stored(QUESTION).await);
}

#[tokio::test]
async fn a_permit_does_not_go_over_the_rules_of_the_operator() {
    let gateway = Running::with(|options| options.max_temperature = Some(0.5)).await;
    let permit = gateway.look(QUESTION).await["permit"].clone();
    let mut body = chat("Context: …");
    body["wellspring"] = json!({ "question": QUESTION, "permit": permit, "tags": ["t"] });
    let passed = gateway.ask(CHAT, &body).await;
    assert_eq!((passed.status, passed.tier()), (200, "bypass"));
    assert!(!gateway.is_stored(QUESTION).await);
}

#[tokio::test]
async fn who_has_the_answer_is_not_sent_it_again() {
    let gateway = Running::start().await;
    gateway.ask(CHAT, &chat(QUESTION)).await;
    let hit = gateway.ask(CHAT, &chat(QUESTION)).await;
    let again = async |etag: &str, body| {
        let request = gateway.post(CHAT, &body).header(IF_NONE_MATCH, etag);
        Reply::of(request.send().await.unwrap()).await
    };
    let etag = hit.header("etag").to_owned();
    let known = again(&format!("\"x\", W/{etag}"), chat(QUESTION)).await;
    assert_eq!((known.status, known.body.as_str(), known.header("etag")), (304, "", etag.as_str()));
    assert_eq!(again("\"x\"", chat(QUESTION)).await.status, 200);
    let other_form = again(&etag, streamed(chat(QUESTION))).await;
    assert_eq!(other_form.status, 200);
    assert_ne!(other_form.header("etag"), etag);
}
