//! Streams as the vendors document them: kept, returned unchanged, and replayed as a whole and as a stream.
//!
//! The table was written from the vendors' public documentation of their streams.

#![expect(clippy::needless_pass_by_value, reason = "what is passed is written where it is passed")]

use serde_json::{Value, json};

use crate::proxy::{CHAT, COMPLETIONS, MESSAGES, RESPONSES, streamed};
use crate::running::Running;

/// A request that makes the upstream answer like this.
fn recorded(path: &str, vendor: &str, answer: &Value) -> Value {
    let mut request = crate::proxy::request(path, vendor, "When does the café close?");
    request["recorded"] = answer.clone();
    request
}

fn sse(chunks: &[Value]) -> String {
    let mut lines: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    lines.push("data: [DONE]\n\n".into());
    lines.concat()
}

/// Events that are named after their types, as Anthropic's and those of OpenAI's responses are.
fn named(events: &[Value]) -> String {
    let name = |event: &Value| event["type"].as_str().unwrap().to_owned();
    let events: Vec<String> =
        events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", name(event))).collect();
    events.concat()
}

/// A chunk with one piece, and fields beside it.
fn chunk(piece: Value, beside: Value) -> Value {
    let mut chunk = json!({
        "id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [piece],
    });
    chunk.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
    chunk
}

fn delta(delta: Value) -> Value {
    chunk(json!({ "index": 0, "delta": delta, "finish_reason": null }), json!({}))
}

fn end(reason: &str, beside: Value) -> Value {
    chunk(json!({ "index": 0, "delta": {}, "finish_reason": reason }), beside)
}

fn call(index: impl Into<Value>, id: &str, name: &str, arguments: &str) -> Value {
    json!({ "index": index.into(), "id": id, "type": "function", "function": { "name": name, "arguments": arguments } })
}

fn calls(calls: &[Value]) -> Value {
    delta(json!({ "role": "assistant", "content": null, "tool_calls": calls }))
}

fn usage() -> Value {
    json!({ "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 } })
}

/// What a client reads of a stream.
fn read_stream(stream: &str) -> Value {
    let mut read = json!({ "calls": [] });
    for data in stream.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if data == "[DONE]" {
            break;
        }
        let chunk: Value = serde_json::from_str(data).unwrap();
        beside(&mut read, &chunk);
        let piece = &chunk["choices"][0];
        for name in ["content", "reasoning_content", "reasoning"] {
            if let Some(text) = piece["delta"][name].as_str() {
                read[name] = format!("{}{text}", read[name].as_str().unwrap_or_default()).into();
            }
        }
        for detail in piece["delta"]["reasoning_details"].as_array().into_iter().flatten() {
            let text = format!(
                "{}{}",
                read["detail"]["text"].as_str().unwrap_or(""),
                detail["text"].as_str().unwrap_or("")
            );
            read["detail"] = json!({ "text": text, "format": detail["format"], "index": detail["index"] });
        }
        for call in piece["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let id = call["id"].as_str().unwrap_or_default();
            let calls = read["calls"].as_array_mut().unwrap();
            if !id.is_empty() && calls.last().is_none_or(|last| last["id"] != id) {
                calls.push(json!({ "id": id, "name": call["function"]["name"], "arguments": "" }));
            }
            let last = calls.last_mut().unwrap();
            last["arguments"] = format!(
                "{}{}",
                last["arguments"].as_str().unwrap(),
                call["function"]["arguments"].as_str().unwrap_or("")
            )
            .into();
        }
        choice(&mut read, piece);
    }
    read
}

/// What a client reads of a whole answer.
fn read_whole(answer: &Value) -> Value {
    let mut read = json!({ "calls": [] });
    beside(&mut read, answer);
    let message = &answer["choices"][0]["message"];
    for name in ["content", "reasoning_content", "reasoning"] {
        if message[name].is_string() {
            read[name] = message[name].clone();
        }
    }
    for detail in message["reasoning_details"].as_array().into_iter().flatten() {
        read["detail"] =
            json!({ "text": detail["text"], "format": detail["format"], "index": detail["index"] });
    }
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        let call = json!({
            "id": call["id"], "name": call["function"]["name"], "arguments": call["function"]["arguments"],
        });
        read["calls"].as_array_mut().unwrap().push(call);
    }
    choice(&mut read, &answer["choices"][0]);
    read
}

/// The fields beside the choices: the first name counts, and the last of what grows.
fn beside(read: &mut Value, answer: &Value) {
    for name in ["id", "model", "created"] {
        if !matches!(answer[name].as_str(), Some("")) && answer[name] != 0 && read.get(name).is_none() {
            read[name] = answer[name].clone();
        }
    }
    for name in ["usage", "citations", "provider", "timings", "prompt_filter_results"] {
        if !answer[name].is_null() {
            read[name] = answer[name].clone();
        }
    }
}

fn choice(read: &mut Value, choice: &Value) {
    for name in ["finish_reason", "native_finish_reason", "stop_reason", "content_filter_results"] {
        if choice[name].as_str().is_some_and(|text| !text.is_empty()) || choice[name]["hate"].is_object() {
            read[name] = choice[name].clone();
        }
    }
}

/// Vendors, each with a stream that is understood.
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn understood() -> Vec<(&'static str, Vec<Value>)> {
    let say = |text: &str| delta(json!({ "content": text }));
    let role = || delta(json!({ "role": "assistant", "content": "" }));
    let args = |arguments: &str| json!({ "index": 0, "function": { "arguments": arguments } });
    let safe = json!({ "hate": { "filtered": false, "severity": "safe" } });
    let azure = |delta: Value, filter: &Value, end: Value| {
        chunk(
            json!({ "index": 0, "delta": delta, "finish_reason": end, "content_filter_results": filter, "logprobs": null }),
            json!({}),
        )
    };
    let perplexity = |so_far: &str, piece: &str, end: Value| {
        chunk(
            json!({
                "index": 0, "finish_reason": end, "delta": { "role": "assistant", "content": piece },
                "message": { "role": "assistant", "content": so_far },
            }),
            json!({ "citations": ["https://a.example"], "usage": { "prompt_tokens": 3, "completion_tokens": so_far.len() } }),
        )
    };
    let open_router = |text: &str| {
        delta(json!({ "role": "assistant", "content": "", "reasoning": text, "reasoning_details": [
            { "type": "reasoning.text", "text": text, "format": "anthropic-claude-v1", "index": 0 },
        ] }))
    };
    vec![
        (
            "openai",
            vec![
                role(),
                say("At "),
                say("six."),
                end("stop", json!({ "system_fingerprint": "f", "obfuscation": "x" })),
            ],
        ),
        (
            "openai tools",
            vec![
                calls(&[call(0, "a", "f", "")]),
                calls(&[args("{\"p\":")]),
                calls(&[args("1}")]),
                end("tool_calls", json!({})),
            ],
        ),
        (
            "azure",
            vec![
                json!({
                    "id": "", "object": "", "created": 0, "model": "", "choices": [],
                    "prompt_filter_results": [{ "prompt_index": 0, "content_filter_results": safe }],
                }),
                azure(json!({ "role": "assistant", "content": "" }), &json!({}), Value::Null),
                azure(json!({ "content": "At " }), &safe, Value::Null),
                azure(json!({ "content": "six." }), &safe, Value::Null),
                azure(json!({}), &json!({}), "stop".into()),
            ],
        ),
        (
            "mistral",
            vec![
                role(),
                say("At six."),
                chunk(
                    json!({ "index": 0, "delta": { "content": "", "tool_calls": [call(0, "a", "f", "{}")] }, "finish_reason": "tool_calls" }),
                    usage(),
                ),
            ],
        ),
        (
            "qwen",
            vec![
                calls(&[call(0, "a", "f", "{\"p\":")]),
                delta(
                    json!({ "content": null, "tool_calls": [{ "index": 0, "id": "", "type": "function", "function": { "name": "", "arguments": "1}" } }] }),
                ),
                end("tool_calls", json!({})),
            ],
        ),
        (
            "deepseek",
            vec![
                delta(json!({ "role": "assistant", "content": null, "reasoning_content": "Hm" })),
                delta(json!({ "content": null, "reasoning_content": "m." })),
                delta(json!({ "content": "At six.", "reasoning_content": null })),
                end("stop", usage()),
            ],
        ),
        (
            "perplexity",
            vec![
                perplexity("At ", "At ", Value::Null),
                perplexity("At six.", "six.", Value::Null),
                perplexity("At six.", "", "stop".into()),
            ],
        ),
        (
            "openrouter",
            vec![
                open_router("Hm"),
                open_router("m."),
                chunk(
                    json!({ "index": 0, "delta": { "content": "At six." }, "finish_reason": "stop", "native_finish_reason": "end_turn" }),
                    json!({ "provider": "P" }),
                ),
            ],
        ),
        (
            "vllm",
            vec![
                role(),
                say("At six."),
                chunk(
                    json!({ "index": 0, "delta": { "content": "", "tool_calls": [] }, "finish_reason": "stop", "stop_reason": "###", "token_ids": null }),
                    json!({}),
                ),
            ],
        ),
        (
            "ollama",
            vec![
                delta(json!({ "role": "assistant", "content": "", "reasoning": "Hm." })),
                calls(&[call(0, "a", "f", "{\"p\":1}")]),
                calls(&[call(0, "b", "f", "{\"p\":2}")]),
                end("tool_calls", json!({})),
            ],
        ),
        (
            "llama.cpp",
            vec![
                role(),
                say("At six."),
                end("stop", json!({ "timings": { "prompt_n": 3, "predicted_ms": 1.5 } })),
            ],
        ),
        (
            "gemini",
            vec![
                calls(&[json!({
                    "index": 0, "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" },
                    "extra_content": { "google": { "thought_signature": "s" } },
                })]),
                calls(&[call(0, "b", "g", "{}")]),
                end("tool_calls", usage()),
            ],
        ),
        (
            "an index from 1",
            vec![
                calls(&[call(1, "a", "f", "{\"p\":")]),
                calls(&[json!({ "index": 1, "function": { "arguments": "1}" } })]),
                calls(&[call(2, "b", "f", "{}")]),
                end("tool_calls", json!({})),
            ],
        ),
        (
            "no index",
            vec![
                calls(&[call(Value::Null, "a", "f", "{}"), call(Value::Null, "b", "f", "{}")]),
                end("tool_calls", json!({})),
            ],
        ),
    ]
}

#[tokio::test]
async fn a_stream_is_replayed_whole_and_the_whole_as_a_stream() {
    let gateway = Running::start().await;
    for (vendor, chunks) in understood() {
        let stream = sse(&chunks);
        let request = recorded(CHAT, vendor, &json!({ "stream": stream }));
        let miss = gateway.ask(CHAT, &streamed(request.clone())).await;
        assert_eq!((miss.tier(), &miss.body), ("miss", &stream), "{vendor}");
        let whole = gateway.ask(CHAT, &request).await;
        assert_eq!(whole.tier(), "exact", "{vendor} {}", whole.header("cache-status"));
        assert_eq!(read_whole(&whole.json()), read_stream(&stream), "{vendor}");
        assert_eq!(whole.json()["object"], "chat.completion");
        for made_up in ["[null", "\"usage\":null", "\"tool_calls\":null"] {
            assert!(!whole.body.contains(made_up), "{vendor} {}", whole.body);
        }

        let request = recorded(CHAT, vendor, &json!({ "whole": whole.json() }));
        assert_eq!(gateway.ask(CHAT, &request).await.tier(), "miss", "{vendor}");
        let mut other = streamed(request);
        // Some vendors send it without being asked.
        if whole.json()["usage"].is_object() {
            other["stream_options"] = json!({ "include_usage": true });
        }
        let replayed = gateway.ask(CHAT, &other).await;
        assert_eq!(replayed.tier(), "exact", "{vendor} {}", replayed.header("cache-status"));
        assert_eq!(read_stream(&replayed.body), read_stream(&stream), "{vendor}");
        assert!(!replayed.body.contains("\"tool_calls\":null"), "{vendor} {}", replayed.body);
    }
}

#[tokio::test]
async fn what_is_not_understood_is_given_back_as_it_came_only() {
    let gateway = Running::start().await;
    let thinking = json!([{ "type": "thinking", "thinking": [{ "type": "text", "text": "Hm." }] }]);
    let cited = |links: &[&str]| {
        chunk(json!({ "index": 0, "delta": { "content": "a" } }), json!({ "citations": links }))
    };
    let severity = |severity: &str| {
        let filter = json!({ "hate": { "filtered": false, "severity": severity } });
        chunk(json!({ "index": 0, "delta": { "content": "a" }, "content_filter_results": filter }), json!({}))
    };
    for (vendor, chunks) in [
        (
            "mistral's list and then text",
            vec![delta(json!({ "content": thinking })), delta(json!({ "content": "At six." }))],
        ),
        ("two severities", vec![severity("safe"), severity("low")]),
        ("a text of the future", vec![delta(json!({ "content": "a", "thoughts": "b" }))]),
        (
            "a field of the future",
            vec![chunk(json!({ "index": 0, "delta": { "content": "a" }, "novelty": 1 }), json!({}))],
        ),
        (
            "beside it",
            vec![chunk(json!({ "index": 0, "delta": { "content": "a" } }), json!({ "novelty": [1] }))],
        ),
        ("a link in each chunk", vec![cited(&["https://a.example"]), cited(&["https://b.example"])]),
        (
            "a message that says more than its pieces",
            vec![chunk(
                json!({ "index": 0, "delta": { "content": "a" }, "message": { "content": "a", "steps": [1] } }),
                json!({}),
            )],
        ),
        (
            "two choices without an index",
            vec![json!({ "choices": [{ "delta": { "content": "a" } }, { "delta": { "content": "b" } }] })],
        ),
        ("two calls without ids", vec![calls(&[call(0, "", "f", "1")]), calls(&[call(0, "", "f", "2")])]),
    ] {
        let stream = sse(&[chunks, vec![end("stop", json!({}))]].concat());
        let request = recorded(CHAT, vendor, &json!({ "stream": stream }));
        for tier in ["miss", "exact"] {
            let reply = gateway.ask(CHAT, &streamed(request.clone())).await;
            assert_eq!((reply.tier(), &reply.body), (tier, &stream), "{vendor}");
        }
        let other = gateway.ask(CHAT, &request).await;
        assert_eq!(other.header("cache-status"), "wellspring; fwd=bypass; detail=form", "{vendor}");
        assert_eq!(gateway.ask(CHAT, &streamed(request)).await.tier(), "exact", "{vendor}");
    }
    let whole = json!({ "id": "c", "object": "chat.completion", "choices": [{
        "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "a", "novelty": 1 },
    }] });
    let request = recorded(CHAT, "whole", &json!({ "whole": whole }));
    assert_eq!(gateway.ask(CHAT, &request).await.tier(), "miss");
    let other = gateway.ask(CHAT, &streamed(request)).await;
    assert_eq!(other.header("cache-status"), "wellspring; fwd=bypass; detail=form");
}

#[tokio::test]
async fn usage_that_is_not_known_is_not_made_up() {
    let gateway = Running::start().await;
    let plain = streamed(crate::proxy::chat("When does the café close?"));
    assert_eq!(gateway.ask(CHAT, &plain).await.tier(), "miss");
    let mut with_usage = plain.clone();
    with_usage["stream_options"] = json!({ "include_usage": true });
    let reply = gateway.ask(CHAT, &with_usage).await;
    assert_eq!(reply.header("cache-status"), "wellspring; fwd=miss; detail=usage");
    assert!(reply.body.contains("\"total_tokens\":18"), "{}", reply.body);
    // An answer that was made with it also serves callers who do not ask for it.
    let again = gateway.ask(CHAT, &with_usage).await;
    assert_eq!((again.tier(), &again.body), ("exact", &reply.body));
    let without = gateway.ask(CHAT, &plain).await;
    assert_eq!(without.tier(), "exact");
    assert!(!without.body.contains("usage"), "{}", without.body);
    // A vendor that never sends it is not asked repeatedly.
    let stream = sse(&[delta(json!({ "content": "At six." })), end("stop", json!({}))]);
    let mut silent = streamed(recorded(CHAT, "silent", &json!({ "stream": stream })));
    assert_eq!(gateway.ask(CHAT, &silent).await.tier(), "miss");
    silent["stream_options"] = json!({ "include_usage": true });
    let tiers = [gateway.ask(CHAT, &silent).await, gateway.ask(CHAT, &silent).await];
    assert_eq!(tiers.map(|reply| reply.tier().to_owned()), ["miss", "exact"]);
}

#[tokio::test]
async fn a_last_line_without_its_blank_line_ends_a_stream_and_half_of_it_does_not() {
    let gateway = Running::start().await;
    let stream = sse(&[delta(json!({ "content": "At six." })), end("stop", json!({}))]);
    for (vendor, cut, tier) in [("one", 1, "exact"), ("two", 2, "exact"), ("half", 4, "miss")] {
        let stream = &stream[..stream.len() - cut];
        let request = streamed(recorded(CHAT, vendor, &json!({ "stream": stream })));
        assert_eq!(gateway.ask(CHAT, &request).await.body, stream);
        assert_eq!(gateway.ask(CHAT, &request).await.tier(), tier, "{vendor}");
    }
}

#[tokio::test]
async fn messages_without_a_signature_have_none_and_inputs_keep_their_numbers() {
    let gateway = Running::start().await;
    let whole = r#"{"content":[{"thinking":"Hm.","type":"thinking"},{"id":"t","input":{"n":1500000000000000000000,"x":1.50},"name":"f","type":"tool_use"}],"id":"m","model":"m","role":"assistant","stop_reason":"tool_use","stop_sequence":null,"type":"message","usage":{"input_tokens":3,"output_tokens":2}}"#;
    let request = recorded(MESSAGES, "whole", &json!({ "text": whole }));
    assert_eq!(gateway.ask(MESSAGES, &request).await.body, whole);
    let replayed = gateway.ask(MESSAGES, &streamed(request)).await;
    assert_eq!(replayed.tier(), "exact");
    assert!(!replayed.body.contains("signature"), "{}", replayed.body);
    let request = recorded(MESSAGES, "stream", &json!({ "stream": replayed.body }));
    assert_eq!(gateway.ask(MESSAGES, &streamed(request.clone())).await.tier(), "miss");
    let again = gateway.ask(MESSAGES, &request).await;
    assert_eq!((again.tier(), again.body.as_str()), ("exact", whole));
    let strange = replayed.body.replace("thinking_delta", "novelty_delta");
    let request = recorded(MESSAGES, "strange", &json!({ "stream": strange }));
    assert_eq!(gateway.ask(MESSAGES, &streamed(request.clone())).await.tier(), "miss");
    assert_eq!(gateway.ask(MESSAGES, &streamed(request.clone())).await.tier(), "exact");
    assert_eq!(
        gateway.ask(MESSAGES, &request).await.header("cache-status"),
        "wellspring; fwd=bypass; detail=form"
    );
}

/// Streams that end as they should although something in them reports an error, by API.
fn failed_streams() -> Vec<(&'static str, &'static str, String)> {
    let say = || delta(json!({ "role": "assistant", "content": "At s" }));
    let chat = |chunks: &[Value]| sse(&[&[say()], chunks].concat());
    let piece = |piece: Value| chunk(piece, json!({}));
    let late = |event: &str| {
        format!("data: {}\n\ndata: {}\n\n{event}data: [DONE]\n\n", say(), end("stop", json!({})))
    };
    let message = |events: &[Value]| {
        let start = json!({ "type": "message_start", "message": {
            "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": null,
            "stop_sequence": null, "usage": { "input_tokens": 3, "output_tokens": 1 },
        } });
        let block = json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "At s" } });
        let end = json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 2 } });
        named(&[&[start, block, end], events].concat())
    };
    let stop = || json!({ "type": "message_stop" });
    let response = |events: &[Value], item: Value| {
        let text = json!({ "id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [
            { "type": "output_text", "text": "At s", "annotations": [] },
        ] });
        let whole = json!({ "type": "response.completed", "response": {
            "id": "r", "status": "completed", "error": null, "output": [item, text],
        } });
        named(&[events, &[whole]].concat())
    };
    let reasoning = || json!({ "id": "t", "type": "reasoning", "summary": [] });
    vec![
        (
            CHAT,
            "in a choice",
            chat(&[piece(
                json!({ "index": 0, "delta": {}, "finish_reason": "stop", "error": { "code": 502 } }),
            )]),
        ),
        (CHAT, "in a delta", chat(&[delta(json!({ "error": { "code": 502 } })), end("stop", json!({}))])),
        (
            CHAT,
            "in a message",
            chat(&[piece(json!({ "index": 0, "message": { "error": "x" }, "finish_reason": "stop" }))]),
        ),
        (CHAT, "an event", late("event: error\ndata: {\"message\":\"overloaded\"}\n\n")),
        (CHAT, "an event without JSON", late("event: error\ndata: overloaded\n\n")),
        (CHAT, "an object", late("data: {\"object\":\"error\",\"message\":\"boom\"}\n\n")),
        (CHAT, "a second end", chat(&[end("stop", json!({})), end("error", json!({}))])),
        (
            CHAT,
            "cut by a filter after its end",
            chat(&[end("stop", json!({})), end("content_filter", json!({}))]),
        ),
        (CHAT, "cut by a limit after its end", chat(&[end("stop", json!({})), end("length", json!({}))])),
        (
            COMPLETIONS,
            "in a choice",
            sse(&[json!({ "id": "c", "choices": [
                { "index": 0, "text": "At s", "finish_reason": "stop", "error": { "code": 502 } },
            ] })]),
        ),
        (MESSAGES, "an event", message(&[json!({ "type": "error" }), stop()])),
        (MESSAGES, "after the end", message(&[stop(), json!({ "type": "error" })])),
        (
            MESSAGES,
            "in a delta",
            message(&[json!({ "type": "message_delta", "delta": { "error": "x" }, "usage": {} }), stop()]),
        ),
        (
            MESSAGES,
            "of a search",
            message(&[
                json!({ "type": "content_block_start", "index": 1, "content_block": {
                    "type": "web_search_tool_result", "tool_use_id": "s",
                    "content": { "type": "web_search_tool_result_error", "error_code": "unavailable" },
                } }),
                stop(),
            ]),
        ),
        (
            RESPONSES,
            "an event",
            response(&[json!({ "type": "error", "message": "overloaded" })], reasoning()),
        ),
        (RESPONSES, "failed", response(&[json!({ "type": "response.failed" })], reasoning())),
        (
            RESPONSES,
            "a message that was cut",
            response(&[], json!({ "id": "n", "type": "message", "status": "incomplete", "content": [] })),
        ),
        (
            RESPONSES,
            "a picture",
            response(&[], json!({ "id": "i", "type": "image_generation_call", "status": "failed" })),
        ),
        (
            RESPONSES,
            "a tool",
            response(&[], json!({ "id": "i", "type": "mcp_call", "name": "f", "error": "unavailable" })),
        ),
    ]
}

/// Only an `error` of a whole chunk used to end a recording. In a choice, a message or an event of its own it
/// was kept with the half of an answer beside it, and served.
#[tokio::test]
async fn an_answer_that_reports_an_error_is_not_kept_wherever_it_stands() {
    let gateway = Running::start().await;
    for (path, error, stream) in failed_streams() {
        let request = streamed(recorded(path, error, &json!({ "stream": stream })));
        for _ in 0..2 {
            let reply = gateway.ask(path, &request).await;
            assert_eq!((reply.tier(), &reply.body), ("miss", &stream), "{path} {error}");
        }
    }
    let chat = |choice: Value| json!({ "id": "c", "object": "chat.completion", "choices": [choice] });
    let text = || json!([{ "type": "text", "text": "At s" }]);
    for (path, error, whole) in [
        (
            CHAT,
            "in a choice",
            chat(
                json!({ "message": { "content": "At s" }, "finish_reason": "stop", "error": { "code": 502 } }),
            ),
        ),
        (
            CHAT,
            "in a message",
            chat(
                json!({ "message": { "content": "At s", "error": { "code": 502 } }, "finish_reason": "stop" }),
            ),
        ),
        (
            MESSAGES,
            "beside the content",
            json!({ "content": text(), "stop_reason": "end_turn", "error": { "type": "overloaded_error" } }),
        ),
        (
            MESSAGES,
            "of a tool",
            json!({ "content": [{ "type": "mcp_tool_result", "is_error": true }, text()[0]], "stop_reason": "end_turn" }),
        ),
        (
            RESPONSES,
            "of an item",
            json!({ "status": "completed", "output": [
                { "type": "web_search_call", "status": "failed" }, { "type": "message", "content": text() },
            ] }),
        ),
    ] {
        let request = recorded(path, error, &json!({ "whole": whole }));
        for _ in 0..2 {
            assert_eq!(gateway.ask(path, &request).await.tier(), "miss", "{path} {error}");
        }
    }
    assert!(gateway.cache.entries(None, 10).await.unwrap().is_empty());
}

/// Groq's streams hold the usage in a field of Groq's own, where no client of whole answers looks for it.
#[tokio::test]
async fn the_usage_in_a_stream_of_groq_stands_where_whole_answers_have_it() {
    let gateway = Running::start().await;
    let first = chunk(
        json!({ "index": 0, "delta": { "role": "assistant", "content": "At six." }, "finish_reason": null }),
        json!({ "x_groq": { "id": "req", "seed": 7 } }),
    );
    let last = end("stop", json!({ "x_groq": { "id": "req", "usage": usage()["usage"] } }));
    let request = recorded(CHAT, "groq", &json!({ "stream": sse(&[first, last]) }));
    assert_eq!(gateway.ask(CHAT, &streamed(request.clone())).await.tier(), "miss");
    let whole = gateway.ask(CHAT, &request).await;
    assert_eq!(whole.tier(), "exact", "{}", whole.header("cache-status"));
    assert_eq!(whole.json()["usage"], usage()["usage"]);
    assert_eq!(whole.json()["x_groq"], json!({ "id": "req", "seed": 7 }));
    let mut with_usage = streamed(request);
    with_usage["stream_options"] = json!({ "include_usage": true });
    let replayed = gateway.ask(CHAT, &with_usage).await;
    assert_eq!(replayed.tier(), "exact", "{}", replayed.header("cache-status"));
    assert_eq!(read_stream(&replayed.body)["usage"], usage()["usage"]);
}

/// Blocks, texts and arguments of another kind used to be dropped, or sent in a way that clients do not read.
#[tokio::test]
async fn whole_answers_with_something_unknown_are_not_streamed() {
    let gateway = Running::start().await;
    let message = |block: Value| {
        json!({
            "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
            "content": [block, { "type": "text", "text": "At six." }],
            "usage": { "input_tokens": 3, "output_tokens": 2 },
        })
    };
    let mut silent = message(json!({ "type": "text", "text": "Hm." }));
    silent.as_object_mut().unwrap().remove("usage");
    let response = |item: Value| {
        let text = json!({ "id": "n", "type": "message", "content": [{ "type": "output_text", "text": "At six." }] });
        json!({ "id": "r", "status": "completed", "output": [item, text] })
    };
    for (path, vendor, whole, why) in [
        (MESSAGES, "novel", message(json!({ "type": "novel", "text": "x" })), "form"),
        (MESSAGES, "compaction", message(json!({ "type": "compaction", "content": "x" })), "form"),
        (MESSAGES, "silent", silent, "usage"),
        (RESPONSES, "text", response(json!({ "id": "m", "type": "message", "content": "Hm." })), "form"),
        (
            RESPONSES,
            "arguments",
            response(json!({ "id": "f", "type": "function_call", "name": "f", "arguments": { "a": 1 } })),
            "form",
        ),
    ] {
        let request = recorded(path, vendor, &json!({ "whole": whole }));
        assert_eq!(gateway.ask(path, &request).await.tier(), "miss", "{vendor}");
        let stream = gateway.ask(path, &streamed(request.clone())).await;
        let status = format!("wellspring; fwd=bypass; detail={why}");
        assert_eq!(stream.header("cache-status"), status, "{vendor}");
        let again = gateway.ask(path, &request).await;
        assert_eq!((again.tier(), again.json()), ("exact", whole), "{vendor}");
    }
}
