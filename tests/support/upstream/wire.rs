//! Answers as the APIs send them: whole, or as the pieces of a stream that do not end where events do.

use bytes::Bytes;
use serde_json::{Value, json};

/// The text of the answer with this number.
pub(crate) fn text(number: usize) -> String {
    format!("Answer {number}: the café closes at 18:00.")
}

pub(super) fn whole(path: &str, request: &Value, number: usize) -> Value {
    let is_tools = request["model"] == "tools";
    match path {
        "/v1/messages" => message(request, number),
        "/v1/responses" => response(request, number),
        "/v1/completions" => json!({
            "id": format!("cmpl-{number}"), "object": "text_completion", "created": 1, "model": request["model"],
            "choices": [{ "index": 0, "text": text(number), "logprobs": null, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18 },
        }),
        _ => json!({
            "id": format!("chatcmpl-{number}"), "object": "chat.completion", "created": 1, "model": request["model"],
            "choices": [{
                "index": 0, "logprobs": null,
                "message": if is_tools {
                    json!({ "role": "assistant", "content": null, "refusal": null, "tool_calls": [call(number)] })
                } else {
                    let says = if request["model"] == "same" { 0 } else { number };
                    json!({ "role": "assistant", "content": text(says), "refusal": null })
                },
                "finish_reason": match request["model"].as_str() {
                    Some("tools") => "tool_calls",
                    Some("filtered") => "content_filter",
                    _ => "stop",
                },
            }],
            "usage": { "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18 },
        }),
    }
}

fn call(number: usize) -> Value {
    json!({
        "id": format!("call_{number}"), "type": "function",
        "function": { "name": "opening_hours", "arguments": "{\"place\":\"café\"}" },
    })
}

fn message(request: &Value, number: usize) -> Value {
    let is_tools = request["model"] == "tools";
    let content = if is_tools {
        json!([{ "type": "tool_use", "id": format!("toolu_{number}"), "name": "opening_hours",
                 "input": { "place": "café" } }])
    } else {
        json!([{ "type": "text", "text": text(number) }])
    };
    json!({
        "id": format!("msg_{number}"), "type": "message", "role": "assistant", "model": request["model"],
        "content": content, "stop_reason": if is_tools { "tool_use" } else { "end_turn" }, "stop_sequence": null,
        "usage": { "input_tokens": 11, "output_tokens": 7 },
    })
}

fn response(request: &Value, number: usize) -> Value {
    json!({
        "id": format!("resp_{number}"), "object": "response", "created_at": 1, "status": "completed",
        "model": request["model"], "error": null, "incomplete_details": null, "instructions": null,
        "metadata": {}, "parallel_tool_calls": true, "temperature": 1.0, "tool_choice": "auto", "tools": [],
        "top_p": 1.0,
        "output": [{
            "id": format!("item_{number}"), "type": "message", "role": "assistant", "status": "completed",
            "content": [{ "type": "output_text", "text": text(number), "annotations": [], "logprobs": [] }],
        }],
        "usage": {
            "input_tokens": 11, "input_tokens_details": { "cached_tokens": 0 }, "output_tokens": 7,
            "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 18,
        },
    })
}

/// The pieces of a stream: cut in the middle of events, lines and characters.
pub(super) fn stream(path: &str, request: &Value, number: usize) -> Vec<Bytes> {
    let text = match path {
        "/v1/messages" => anthropic(request, number),
        "/v1/responses" => responses(request, number),
        _ => openai(path, request, number),
    };
    text.as_bytes().chunks(97).map(Bytes::copy_from_slice).collect()
}

fn openai(path: &str, request: &Value, number: usize) -> String {
    let answer = whole(path, request, number);
    let mut head = answer.clone();
    let head = head.as_object_mut().unwrap();
    let usage = head.remove("usage").unwrap();
    let choice = head.remove("choices").unwrap()[0].take();
    let with_usage = request["stream_options"]["include_usage"] == true;
    let is_chat = path == "/v1/chat/completions";
    if is_chat {
        head.insert("object".into(), "chat.completion.chunk".into());
    }
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = head.clone();
        chunk.insert("choices".into(), choices);
        if with_usage {
            chunk.insert("usage".into(), usage);
        }
        format!("data: {}\n\n", Value::from(chunk))
    };
    let mut stream = String::new();
    let mut push = |delta: Value| {
        stream += &chunk(json!([{ "index": 0, "delta": delta, "finish_reason": null }]), Value::Null);
    };
    if !is_chat {
        for word in text(number).split_inclusive(' ') {
            stream += &chunk(json!([{ "index": 0, "text": word, "finish_reason": null }]), Value::Null);
        }
    } else if choice["message"]["tool_calls"].is_array() {
        push(json!({ "role": "assistant", "content": null, "tool_calls": [
            { "index": 0, "id": format!("call_{number}"), "type": "function",
              "function": { "name": "opening_hours", "arguments": "" } },
        ] }));
        for part in ["{\"place\":", "\"café\"}"] {
            push(json!({ "tool_calls": [{ "index": 0, "function": { "arguments": part } }] }));
        }
    } else {
        push(json!({ "role": "assistant", "content": "", "refusal": null }));
        text(number).split_inclusive(' ').for_each(|word| push(json!({ "content": word })));
    }
    let mut end = json!({ "index": 0, "finish_reason": choice["finish_reason"] });
    end[if is_chat { "delta" } else { "text" }] = if is_chat { json!({}) } else { json!("") };
    stream += &chunk(json!([end]), Value::Null);
    if with_usage {
        stream += &chunk(json!([]), usage);
    }
    stream + "data: [DONE]\n\n"
}

fn anthropic(request: &Value, number: usize) -> String {
    let answer = message(request, number);
    let mut begun = answer.clone();
    begun["content"] = json!([]);
    begun["stop_reason"] = Value::Null;
    begun["usage"]["output_tokens"] = 1.into();
    let block = &answer["content"][0];
    let mut empty = block.clone();
    let mut deltas = Vec::new();
    if block["type"] == "text" {
        empty["text"] = "".into();
        deltas.extend(text(number).split_inclusive(' ').map(|t| json!({ "type": "text_delta", "text": t })));
    } else {
        empty["input"] = json!({});
        deltas.extend(
            ["{\"place\": ", "\"café\"}"]
                .map(|part| json!({ "type": "input_json_delta", "partial_json": part })),
        );
    }
    let mut events = vec![
        json!({ "type": "message_start", "message": begun }),
        json!({ "type": "content_block_start", "index": 0, "content_block": empty }),
        json!({ "type": "ping" }),
    ];
    events
        .extend(deltas.into_iter().map(|d| json!({ "type": "content_block_delta", "index": 0, "delta": d })));
    events.push(json!({ "type": "content_block_stop", "index": 0 }));
    let end = json!({ "stop_reason": answer["stop_reason"], "stop_sequence": null });
    events.push(json!({ "type": "message_delta", "delta": end, "usage": { "output_tokens": 7 } }));
    events.push(json!({ "type": "message_stop" }));
    named(&events)
}

fn responses(request: &Value, number: usize) -> String {
    let answer = response(request, number);
    let item = &answer["output"][0];
    let mut begun = answer.clone();
    begun["status"] = "in_progress".into();
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    let place = json!({ "item_id": item["id"], "output_index": 0, "content_index": 0 });
    let at = |event: &str, name: &str, value: Value| {
        let mut data = place.clone();
        data["type"] = event.into();
        data[name] = value;
        data
    };
    let mut empty = item.clone();
    empty["content"] = json!([]);
    let mut events = vec![
        json!({ "type": "response.created", "response": begun }),
        json!({ "type": "response.output_item.added", "output_index": 0, "item": empty }),
        at(
            "response.content_part.added",
            "part",
            json!({ "type": "output_text", "text": "", "annotations": [] }),
        ),
    ];
    for word in text(number).split_inclusive(' ') {
        events.push(at("response.output_text.delta", "delta", word.into()));
    }
    events.push(at("response.output_text.done", "text", text(number).into()));
    events.push(at("response.content_part.done", "part", item["content"][0].clone()));
    events.push(json!({ "type": "response.output_item.done", "output_index": 0, "item": item }));
    events.push(json!({ "type": "response.completed", "response": answer }));
    for (sequence, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = sequence.into();
    }
    named(&events)
}

fn named(events: &[Value]) -> String {
    let line = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    events.iter().map(line).collect()
}
