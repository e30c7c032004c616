//! Failures, and what the caller and the cache see of them.

use std::sync::Arc;

use serde_json::{Value, json};
use wellspring_gateway::Disconnected;

use crate::proxy::{CHAT, MESSAGES, RESPONSES, chat, request, streamed};
use crate::running::{Reply, Running};
use crate::support::eventually;

const QUESTION: &str = "When does the café close?";

#[tokio::test]
async fn errors_of_the_upstream_reach_the_caller_as_they_are_and_are_not_kept() {
    let gateway = Running::start().await;
    for path in [CHAT, MESSAGES, RESPONSES] {
        for (model, status) in [("429", 429), ("500", 500)] {
            for round in 0..2 {
                let before = gateway.upstream.calls();
                let reply = gateway.ask(path, &request(path, model, QUESTION)).await;
                assert_eq!(reply.status, status, "{path} {round}");
                assert_eq!(reply.header("retry-after"), "7");
                assert_eq!(reply.header("x-ratelimit-remaining"), "0");
                assert_eq!(reply.json()["error"]["code"], "slow_down");
                assert_eq!(gateway.upstream.calls(), before + 1);
            }
        }
    }
}

#[tokio::test]
async fn what_did_not_come_whole_is_not_kept() {
    let gateway = Running::start().await;
    for path in [CHAT, MESSAGES, RESPONSES] {
        for model in ["cut", "error-event"] {
            let asked = streamed(request(path, model, QUESTION));
            for _ in 0..2 {
                let reply = gateway.ask(path, &asked).await;
                assert_eq!((reply.status, reply.tier()), (200, "miss"), "{path} {model}");
            }
        }
        let abort = gateway.post(path, &streamed(request(path, "abort", QUESTION)));
        assert!(abort.send().await.unwrap().text().await.is_err(), "{path}");
    }
    for model in ["filtered", "garbage"] {
        for _ in 0..2 {
            assert_eq!(gateway.ask(CHAT, &request(CHAT, model, QUESTION)).await.tier(), "miss", "{model}");
        }
    }
    assert!(gateway.cache.entries(None, 10).await.unwrap().is_empty());
}

/// Answers that were cut off, by API.
fn cut_off() -> Vec<(&'static str, serde_json::Value)> {
    let chat = |reason: &str, message: serde_json::Value, more: serde_json::Value| {
        let mut choice = json!({ "index": 0, "message": message, "finish_reason": reason });
        choice.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "id": "c", "object": "chat.completion", "choices": [choice] })
    };
    let call = json!({ "role": "assistant", "content": null, "tool_calls": [
        { "id": "a", "type": "function", "function": { "name": "f", "arguments": "{\"a\":" } },
    ] });
    let text = json!({ "role": "assistant", "content": "At s" });
    vec![
        (CHAT, chat("length", text.clone(), json!({}))),
        (CHAT, chat("tool_calls", call.clone(), json!({}))),
        (CHAT, chat("stop", call, json!({}))),
        (
            MESSAGES,
            json!({
                "id": "m", "type": "message", "role": "assistant", "content": [{ "type": "text", "text": "At s" }],
                "stop_reason": "max_tokens", "usage": { "input_tokens": 1, "output_tokens": 1 },
            }),
        ),
        (
            RESPONSES,
            json!({ "id": "r", "status": "completed", "output": [
            { "type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"a\":" },
        ] }),
        ),
        // Neither is an answer, whatever is configured.
        (CHAT, chat("stop", text.clone(), json!({ "error": { "code": 502, "message": "no" } }))),
        (
            RESPONSES,
            json!({ "id": "r", "status": "incomplete", "output": [
            { "type": "message", "content": [{ "type": "output_text", "text": "At s" }] },
        ] }),
        ),
    ]
}

#[tokio::test]
async fn incomplete_answers_are_kept_for_the_same_request_only_and_only_if_that_is_configured() {
    const CUT: usize = 5;
    let gateway = Running::start().await;
    let keeping = Running::with(|options| options.keep_incomplete = true).await;
    for (number, (path, whole)) in cut_off().into_iter().enumerate() {
        let mut asked = request(path, "recorded", QUESTION);
        asked["recorded"] = json!({ "whole": whole });
        for _ in 0..2 {
            assert_eq!(gateway.ask(path, &asked).await.tier(), "miss", "{path} {whole}");
            // It may be matched by meaning.
            assert_eq!(keeping.ask(path, &asked).await.tier(), "miss", "{path} {whole}");
        }
        let mut named = asked.clone();
        named["wellspring"] = json!({ "question": QUESTION, "exact": true });
        asked["wellspring"] = json!({ "exact": true });
        for again in ["miss", if number < CUT { "exact" } else { "miss" }] {
            assert_eq!(keeping.ask(path, &asked).await.tier(), again, "{path} {whole}");
            assert_eq!(keeping.ask(path, &named).await.tier(), "miss", "{path} {whole}");
        }
    }
    assert!(gateway.cache.entries(None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn refusals_are_negative_answers() {
    let gateway = Running::start().await;
    let message = |reason: &str| {
        json!({
            "id": "m", "type": "message", "role": "assistant", "content": [{ "type": "text", "text": "No." }],
            "stop_reason": reason, "usage": { "input_tokens": 1, "output_tokens": 1 },
        })
    };
    let chat = |refusal: serde_json::Value, content: serde_json::Value| {
        json!({ "id": "c", "object": "chat.completion", "choices": [
        { "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": content, "refusal": refusal } },
    ] })
    };
    let response = |part: serde_json::Value| {
        json!({ "id": "r", "status": "completed", "output": [
        { "type": "message", "content": [part] },
    ] })
    };
    for (number, (path, whole, is_refusal)) in [
        (CHAT, chat(json!("No."), json!(null)), true),
        (CHAT, chat(json!(null), json!("At six.")), false),
        (MESSAGES, message("refusal"), true),
        (MESSAGES, message("end_turn"), false),
        (RESPONSES, response(json!({ "type": "refusal", "refusal": "No." })), true),
        (RESPONSES, response(json!({ "type": "output_text", "text": "At six." })), false),
    ]
    .into_iter()
    .enumerate()
    {
        let mut asked = request(path, "recorded", &format!("Question number {number}?"));
        asked["recorded"] = json!({ "whole": whole });
        assert_eq!(gateway.ask(path, &asked).await.tier(), "miss");
        assert_eq!(gateway.ask(path, &asked).await.tier(), "exact", "{path} {whole}");
        let question = format!("Question number {number}?");
        let entries = gateway.cache.entries(None, 10).await.unwrap();
        let stored = entries.iter().find(|stored| *stored.entry.question == *question).unwrap();
        assert_eq!(stored.entry.answer.negative, is_refusal, "{path} {whole}");
    }
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_reported_in_the_api_s_own_shape() {
    let gateway = Running::with(|options| {
        options.openai.url = "http://127.0.0.1:1/v1".into();
        options.anthropic.url = "http://127.0.0.1:1/v1".into();
    })
    .await;
    let reply = gateway.ask(CHAT, &chat(QUESTION)).await;
    assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (502, Some("upstream_unreachable")));
    let reply = gateway.ask(MESSAGES, &request(MESSAGES, "good", QUESTION)).await;
    assert_eq!((reply.status, reply.json()["error"]["type"].as_str()), (502, Some("api_error")));
}

#[tokio::test]
async fn a_caller_who_goes_leaves_nothing_behind() {
    let gateway = Running::start().await;
    for number in 0..50 {
        let asked = streamed(request(CHAT, "held", &format!("Number {number}?")));
        let mut response = gateway.post(CHAT, &asked).send().await.unwrap();
        response.chunk().await.unwrap().unwrap();
        drop(response);
    }
    eventually("streams are closed", async || gateway.upstream.open() == 0).await;
    eventually("no task stays behind", async || gateway.gateway.tasks().is_empty()).await;
    assert!(gateway.cache.entries(None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn answers_are_finished_without_their_callers_if_that_is_configured() {
    let gateway = Running::with(|options| options.disconnected = Disconnected::Finish).await;
    let asked = streamed(request(CHAT, "slow", QUESTION));
    let mut response = gateway.post(CHAT, &asked).send().await.unwrap();
    response.chunk().await.unwrap().unwrap();
    drop(response);
    eventually("the answer is finished", async || gateway.gateway.tasks().is_empty()).await;
    assert_eq!(gateway.ask(CHAT, &asked).await.tier(), "exact");
}

#[tokio::test]
async fn another_caller_takes_over_from_one_who_goes() {
    let gateway = Running::start().await;
    let asked = streamed(request(CHAT, "held", QUESTION));
    let mut first = gateway.post(CHAT, &asked).send().await.unwrap();
    first.chunk().await.unwrap().unwrap();
    // The stream is held, so whoever is answered now follows it.
    let second = gateway.post(CHAT, &asked).send().await.unwrap();
    drop(first);
    gateway.upstream.release();
    // The other caller reads the same stream, which continues for it.
    let second = Reply::of(second).await;
    assert_eq!((second.status, second.tier()), (200, "shared"));
    assert!(second.body.ends_with("data: [DONE]\n\n"));
    assert_eq!(gateway.upstream.calls(), 1);
    eventually("the answer is stored", async || gateway.gateway.tasks().is_empty()).await;
    assert_eq!(gateway.ask(CHAT, &asked).await.tier(), "exact");
}

#[tokio::test]
async fn another_caller_asks_anew_where_there_is_nothing_to_follow() {
    let gateway = Arc::new(Running::start().await);
    let asked = request(CHAT, "held", QUESTION);
    let ask = |gateway: &Arc<Running>| {
        let (gateway, asked) = (Arc::clone(gateway), asked.clone());
        tokio::spawn(async move { gateway.ask(CHAT, &asked).await })
    };
    let first = ask(&gateway);
    eventually("the first is at it", async || gateway.upstream.calls() == 1).await;
    let second = ask(&gateway);
    // Whether it is in line by now cannot be seen from outside. If it comes later, it has no one to wait for.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(!second.is_finished() && gateway.upstream.calls() == 1);
    first.abort();
    eventually("the second is at it", async || gateway.upstream.calls() == 2).await;
    gateway.upstream.release();
    let second = second.await.unwrap();
    assert_eq!((second.status, second.tier()), (200, "miss"));
}

#[tokio::test]
async fn failures_are_not_shared_and_form_no_queue() {
    let gateway = Running::start().await;
    let mut asked = request(CHAT, "500", QUESTION);
    asked["n"] = json!(1);
    let replies = futures::future::join_all((0..5).map(|_| gateway.ask(CHAT, &asked))).await;
    assert!(replies.iter().all(|reply| reply.status == 500));
    assert_eq!(gateway.upstream.calls(), 5);
}

#[tokio::test]
async fn a_cache_that_is_closed_is_gone_without() {
    let gateway = Running::start().await;
    gateway.cache.close().await.unwrap();
    for _ in 0..2 {
        let reply: Reply = gateway.ask(CHAT, &chat(QUESTION)).await;
        assert_eq!(reply.status, 200);
        assert_ne!(reply.tier(), "exact");
    }
}

/// Some clients ask the same again when an answer is not the JSON that they asked for.
#[tokio::test]
async fn what_is_not_the_json_that_was_asked_for_is_not_kept() {
    let gateway = Running::start().await;
    let ask = async |question: &str, format: &Value, text: &str| {
        let whole = json!({ "choices": [
            { "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" },
        ] });
        let mut asked = request(CHAT, "good", question);
        asked["response_format"] = format.clone();
        asked["recorded"] = json!({ "whole": whole });
        gateway.ask(CHAT, &asked).await;
        gateway.ask(CHAT, &asked).await.tier().to_owned()
    };
    for format in [json!({ "type": "json_object" }), json!({ "type": "json_schema", "json_schema": {} })] {
        assert_eq!(ask("a", &format, "Here you are: {\"a\": 1}").await, "miss");
        assert_eq!(ask("b", &format, "{\"a\": ").await, "miss");
        assert_eq!(ask("c", &format, "{\"a\": 1}").await, "exact");
        assert_eq!(ask("d", &format, "```json\n{\"a\": 1}\n```").await, "exact");
    }
    assert_eq!(ask("e", &json!({ "type": "text" }), "Here you are.").await, "exact");
    // The text that a model adds to a call of a tool does not have to be JSON yet.
    let call = json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let message = json!({ "role": "assistant", "content": "Let me look.", "tool_calls": [call] });
    let whole = json!({ "choices": [{ "index": 0, "message": message, "finish_reason": "tool_calls" }] });
    let mut asked = request(CHAT, "good", "f");
    asked["response_format"] = json!({ "type": "json_object" });
    asked["recorded"] = json!({ "whole": whole });
    assert_eq!(gateway.ask(CHAT, &asked).await.tier(), "miss");
    assert_eq!(gateway.ask(CHAT, &asked).await.tier(), "exact");
    for (path, field, format) in [
        (RESPONSES, "text", json!({ "format": { "type": "json_schema" } })),
        (MESSAGES, "output_config", json!({ "format": { "type": "json_schema" } })),
        (MESSAGES, "output_format", json!({ "type": "json_schema" })),
    ] {
        for streamed in [false, true] {
            let mut asked = request(path, "good", "Which one?");
            asked[field] = format.clone();
            asked["stream"] = streamed.into();
            for _ in 0..2 {
                assert_eq!(gateway.ask(path, &asked).await.tier(), "miss", "{path} {field}");
            }
        }
    }
}
