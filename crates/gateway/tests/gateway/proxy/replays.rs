//! A replay is the response that was received, in the form that is requested.

use serde_json::{Value, json};

use crate::proxy::{CHAT, COMPLETIONS, MESSAGES, RESPONSES, request, streamed};
use crate::running::Running;
use crate::support::eventually;

const APIS: [&str; 4] = [CHAT, MESSAGES, RESPONSES, COMPLETIONS];
const QUESTION: &str = "When does the café close?";

#[tokio::test]
async fn a_hit_is_byte_for_byte_what_was_received() {
    let gateway = Running::start().await;
    for path in APIS {
        for request in [request(path, "good", QUESTION), streamed(request(path, "good", "And on Sunday?"))] {
            let before = gateway.upstream.calls();
            let miss = gateway.ask(path, &request).await;
            assert_eq!((miss.status, miss.tier()), (200, "miss"), "{path} {}", miss.body);
            assert_eq!(miss.header("cache-status"), "wellspring; fwd=uri-miss");
            let hit = gateway.ask(path, &request).await;
            assert_eq!((hit.status, hit.tier()), (200, "exact"), "{path}");
            assert_eq!(hit.body, miss.body, "{path}");
            assert_eq!(hit.header("wellspring-entry"), miss.header("wellspring-entry"));
            assert_eq!(hit.header("content-length"), hit.body.len().to_string());
            let media_type = |reply: &crate::running::Reply| {
                reply.header("content-type").split(';').next().unwrap().to_owned()
            };
            assert_eq!(media_type(&hit), media_type(&miss));
            assert_eq!(gateway.upstream.calls(), before + 1, "{path}");
        }
    }
}

#[tokio::test]
async fn an_answer_is_replayed_in_the_other_form_with_its_usage() {
    let gateway = Running::start().await;
    for path in APIS {
        let is_openai = path == CHAT || path == COMPLETIONS;
        let (whole, stream) = ("Told at once first?", "Streamed at first, this one?");
        let first = gateway.ask(path, &request(path, "good", whole)).await;
        let replayed = gateway.ask(path, &streamed(request(path, "good", whole))).await;
        assert_eq!(replayed.tier(), "exact", "{path}");
        assert!(replayed.header("content-type").starts_with("text/event-stream"));
        assert!(replayed.body.contains("café closes"), "{path} {}", replayed.body);
        assert_ne!(first.body, replayed.body);
        let mut asked = streamed(request(path, "good", stream));
        if is_openai {
            asked["stream_options"] = json!({ "include_usage": true });
        }
        let first = gateway.ask(path, &asked).await;
        assert_eq!(first.tier(), "miss");
        let replayed = gateway.ask(path, &request(path, "good", stream)).await;
        assert_eq!(replayed.tier(), "exact", "{path}");
        let number = gateway.upstream.calls();
        let text = crate::upstream::text(number);
        assert!(replayed.json().to_string().contains(&text), "{path} {}", replayed.body);
        let name = if is_openai { "completion_tokens" } else { "output_tokens" };
        assert!(replayed.json()["usage"][name] == 7, "{path} {}", replayed.body);
    }
}

#[tokio::test]
async fn the_usage_ends_a_stream_if_it_is_asked_for() {
    let gateway = Running::start().await;
    let plain = streamed(request(CHAT, "good", QUESTION));
    let mut with_usage = plain.clone();
    with_usage["stream_options"] = json!({ "include_usage": true });
    assert!(!gateway.ask(CHAT, &request(CHAT, "good", QUESTION)).await.body.contains("chunk"));
    let replayed = gateway.ask(CHAT, &with_usage).await;
    assert_eq!(replayed.tier(), "exact");
    assert!(replayed.body.contains("\"total_tokens\":18"), "{}", replayed.body);
    let replayed = gateway.ask(CHAT, &plain).await;
    assert!(!replayed.body.contains("usage"), "{}", replayed.body);
}

#[tokio::test]
async fn calls_of_tools_are_replayed() {
    let gateway = Running::start().await;
    for path in [CHAT, MESSAGES] {
        let mut asked = request(path, "tools", QUESTION);
        asked["tools"] = json!([{ "name": "opening_hours" }]);
        let mut stream = streamed(asked.clone());
        if path == CHAT {
            stream["stream_options"] = json!({ "include_usage": true });
        }
        let miss = gateway.ask(path, &stream).await;
        let hit = gateway.ask(path, &stream).await;
        assert_eq!((hit.tier(), &hit.body), ("exact", &miss.body));
        let whole = gateway.ask(path, &asked).await;
        assert_eq!(whole.tier(), "exact", "{path}");
        let arguments = if path == CHAT {
            let call = &whole.json()["choices"][0]["message"]["tool_calls"][0];
            serde_json::from_str::<Value>(call["function"]["arguments"].as_str().unwrap()).unwrap()
        } else {
            whole.json()["content"][0]["input"].clone()
        };
        assert_eq!(arguments, json!({ "place": "café" }));
    }
}

#[tokio::test]
async fn a_question_of_the_same_meaning_is_answered_and_another_is_not() {
    let gateway = Running::start().await;
    gateway.ask(CHAT, &crate::proxy::chat("when does the small café in the old town close today")).await;
    let near =
        gateway.ask(CHAT, &crate::proxy::chat("When does the small café in the old town close today?")).await;
    assert_eq!(near.tier(), "semantic");
    assert!(near.header("wellspring-similarity").parse::<f32>().unwrap() > 0.8);
    assert!(
        near.header("cache-status").starts_with("wellspring; hit; ttl="),
        "{}",
        near.header("cache-status")
    );
    assert_eq!(gateway.ask(CHAT, &crate::proxy::chat("who painted the ceiling")).await.tier(), "miss");
}

#[tokio::test]
async fn embeddings_have_an_exact_cache_and_models_go_through() {
    let gateway = Running::start().await;
    let asked = json!({ "model": "e", "input": ["a", "b"] });
    let miss = gateway.ask("/v1/embeddings", &asked).await;
    let hit = gateway.ask("/v1/embeddings", &asked).await;
    assert_eq!((miss.tier(), hit.tier()), ("miss", "exact"));
    assert_eq!(miss.body, hit.body);
    let other = gateway.ask("/v1/embeddings", &json!({ "model": "e", "input": "a" })).await;
    assert_ne!(other.body, hit.body);
    for bad in [
        json!({ "data": [] }),
        json!({ "data": [{ "index": 0, "embedding": [1] }] }),
        json!({ "data": [{ "index": 0, "embedding": [1] }, { "index": 0, "embedding": [1] }] }),
        json!({ "data": [{ "index": 0, "embedding": [1] }, { "index": 1, "embedding": [null] }] }),
        json!({ "error": { "message": "overloaded" }, "data": [] }),
    ] {
        let asked = json!({ "model": "e", "input": ["a", "b"], "recorded": { "whole": bad } });
        for _ in 0..2 {
            let reply = gateway.ask("/v1/embeddings", &asked).await;
            assert_eq!((reply.tier(), reply.json()), ("miss", bad.clone()));
        }
    }
    // Without a length, and asked for at once.
    let before = gateway.upstream.calls();
    let asked = json!({ "model": "slow", "input": ["a", "b"] });
    let replies = futures::future::join_all((0..20).map(|_| gateway.ask("/v1/embeddings", &asked))).await;
    assert_eq!(gateway.upstream.calls(), before + 1);
    assert_eq!(replies.iter().filter(|reply| reply.tier() == "miss").count(), 1);
    assert!(replies.iter().all(|reply| reply.body == replies[0].body));
    // A caller that leaves hands its call over to one of the others.
    let before = gateway.upstream.calls();
    let asked = json!({ "model": "held", "input": ["a", "b"] });
    let post = |asked: &Value| tokio::spawn(gateway.post("/v1/embeddings", asked).send());
    let leader = post(&asked);
    eventually("the leader calls", async || gateway.upstream.calls() == before + 1).await;
    let others: Vec<_> = (0..10).map(|_| post(&asked)).collect();
    eventually("the others wait", async || gateway.gateway.in_flight() == 11).await;
    leader.abort();
    eventually("another one calls", async || gateway.upstream.calls() > before + 1).await;
    gateway.upstream.release();
    for other in others {
        assert_eq!(other.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(gateway.upstream.calls(), before + 2);
    let models = gateway.client.get(gateway.url("/v1/models")).send().await.unwrap();
    assert_eq!(models.json::<Value>().await.unwrap()["data"][0]["id"], "good");
}
