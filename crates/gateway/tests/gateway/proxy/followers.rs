//! Streams that several callers read while they come.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wellspring::{Change, Corpus};

use crate::proxy::{CHAT, MESSAGES, RESPONSES, request, streamed};
use crate::running::{Reply, Running};

fn asked(path: &str) -> Value {
    let mut asked = streamed(request(path, "held", "When does the café close?"));
    asked["wellspring"] = json!({ "question": "When does the café close?", "sources": [{ "id": "hours" }] });
    asked
}

#[tokio::test]
async fn a_follower_reads_the_pieces_as_they_come() {
    for path in [CHAT, MESSAGES, RESPONSES] {
        let gateway = Running::start().await;
        let mut first = gateway.post(path, &asked(path)).send().await.unwrap();
        first.chunk().await.unwrap().unwrap();
        let mut second = gateway.post(path, &asked(path)).send().await.unwrap();
        assert_eq!(second.headers()["cache-status"], "wellspring; fwd=uri-miss; collapsed");
        let beginning = second.chunk().await.unwrap().unwrap();
        assert_eq!(gateway.upstream.open(), 1, "{path}: the stream has ended before it was followed");
        gateway.upstream.release();
        let rest = second.text().await.unwrap();
        drop(first);
        let received = String::from_utf8_lossy(&beginning).into_owned() + &rest;
        assert_eq!(gateway.upstream.calls(), 1, "{path}");
        crate::support::eventually("the answer is stored", async || gateway.gateway.tasks().is_empty()).await;
        let hit = gateway.ask(path, &asked(path)).await;
        assert_eq!((hit.tier(), &hit.body), ("exact", &received), "{path}");
    }
}

#[tokio::test]
async fn a_follower_is_shown_the_entry_and_may_limit_how_long_the_answer_must_live() {
    let gateway = Running::start().await;
    let mut first = gateway.post(CHAT, &asked(CHAT)).send().await.unwrap();
    first.chunk().await.unwrap().unwrap();
    let second = gateway.post(CHAT, &asked(CHAT)).send().await.unwrap();
    assert_eq!(second.headers()["wellspring-entry"], first.headers()["wellspring-entry"]);
    for (limit, tier) in [("max-age=5", "exact"), ("min-fresh=5", "exact"), ("min-fresh=99999999", "miss")] {
        let gateway = Running::start().await;
        let mut first = gateway.post(CHAT, &asked(CHAT)).send().await.unwrap();
        first.chunk().await.unwrap().unwrap();
        let second = tokio::spawn(gateway.post(CHAT, &asked(CHAT)).header("cache-control", limit).send());
        crate::support::eventually("both ask", async || gateway.gateway.in_flight() == 2).await;
        gateway.upstream.release();
        let second = Reply::of(second.await.unwrap().unwrap()).await;
        assert_eq!(second.tier(), tier, "{limit}");
    }
}

#[tokio::test]
async fn who_comes_after_a_change_does_not_follow_what_was_begun_before() {
    let corpus = Corpus::default();
    for is_held in [false, true] {
        let gateway = Running::start().await;
        let mut first = gateway.post(CHAT, &asked(CHAT)).send().await.unwrap();
        first.chunk().await.unwrap().unwrap();
        if is_held {
            gateway.cache.begin_update(&corpus, "hours").await.unwrap();
        } else {
            gateway.cache.invalidate(&corpus, &[Change::document("hours")]).await.unwrap();
        }
        gateway.upstream.release();
        let again = asked(CHAT);
        let second = gateway.ask(CHAT, &again);
        let (first, second) = futures::future::join(first.text(), second).await;
        assert_eq!(second.tier(), "miss");
        assert_ne!(second.body, first.unwrap());
        assert_eq!(gateway.upstream.calls(), 2);
        let again = gateway.ask(CHAT, &asked(CHAT)).await;
        assert_eq!(again.tier(), if is_held { "miss" } else { "exact" });
        assert!(is_held || again.body == second.body);
    }
}

#[tokio::test]
async fn a_follower_need_not_wait_for_one_who_does_not_read() {
    // More than the buffers between the gateway and a caller hold.
    let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": "a".repeat(2_000) } }] });
    let (stream, times) = (format!("data: {chunk}\n\n"), 6_000);
    let mut request = streamed(request(CHAT, "long", "When does the café close?"));
    request["recorded"] = json!({ "stream": stream, "times": times });
    let gateway = Running::start().await;
    let first = gateway.post(CHAT, &request).send().await.unwrap();
    let second = tokio::time::timeout(Duration::from_mins(1), gateway.ask(CHAT, &request)).await.unwrap();
    assert_eq!((second.tier(), second.body.len()), ("shared", times * stream.len()));
    assert_eq!(first.text().await.unwrap().len(), times * stream.len());
    assert_eq!(gateway.upstream.calls(), 1);
}

#[tokio::test]
async fn what_changed_elsewhere_does_not_keep_anybody_from_following() {
    let gateway = Running::start().await;
    let mut first = gateway.post(CHAT, &asked(CHAT)).send().await.unwrap();
    first.chunk().await.unwrap().unwrap();
    gateway.cache.invalidate(&Corpus::default(), &[Change::document("menu")]).await.unwrap();
    let second = gateway.post(CHAT, &asked(CHAT)).send().await.unwrap();
    gateway.upstream.release();
    assert_eq!(Reply::of(second).await.tier(), "shared");
}

#[tokio::test]
async fn another_form_and_another_key_are_not_followed() {
    let gateway = Arc::new(Running::start().await);
    let mut first = gateway.post(CHAT, &asked(CHAT)).send().await.unwrap();
    first.chunk().await.unwrap().unwrap();
    let other = gateway.client.post(gateway.url(CHAT)).json(&asked(CHAT)).bearer_auth("another-key");
    // Its own stream is held, too.
    let other = other.send().await.unwrap();
    assert_eq!(gateway.upstream.calls(), 2);
    let mut whole = asked(CHAT);
    whole["stream"] = false.into();
    let waiting = gateway.ask(CHAT, &whole);
    let release = async {
        assert_eq!(gateway.upstream.open(), 2);
        gateway.upstream.release();
        (first.text().await, Reply::of(other).await)
    };
    let ((first, other), waiting) = futures::future::join(release, waiting).await;
    assert!(first.is_ok());
    assert_eq!((other.tier(), waiting.tier()), ("miss", "exact"));
    // A stream that fails is not followed to its end.
    let failing = streamed(request(CHAT, "500", "Another question?"));
    let replies = futures::future::join_all((0..5).map(|_| gateway.ask(CHAT, &failing))).await;
    assert!(replies.iter().all(|reply| reply.status == 500));
}

#[tokio::test]
async fn a_stream_that_breaks_off_breaks_off_for_all_and_is_not_stored() {
    let gateway = Running::start().await;
    let asked = streamed(request(CHAT, "abort", "When does the café close?"));
    let read = async || gateway.post(CHAT, &asked).send().await.unwrap().text().await;
    let replies = futures::future::join_all((0..5).map(|_| read())).await;
    assert!(replies.iter().all(Result::is_err));
    assert!(gateway.cache.entries(None, 10).await.unwrap().is_empty());
}
