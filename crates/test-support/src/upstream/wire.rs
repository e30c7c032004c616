//! Answers as the APIs send them: whole, or as the pieces of a stream, which do not end where events do.

use bytes::Bytes;
use serde_json::{Value, json};

use super::agent::{Said, says, text};

pub(super) fn whole(path: &str, request: &Value, number: usize) -> Value {
    match path {
        "/v1/messages" => message(request, number),
        path if path.ends_with("/responses") => response(request, number),
        "/v1/completions" => json!({
            "id": format!("cmpl-{number}"), "object": "text_completion", "created": 1, "model": request["model"],
            "choices": [{ "index": 0, "text": text(number), "logprobs": null, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18 },
        }),
        _ => json!({
            "id": format!("chatcmpl-{number}"), "object": "chat.completion", "created": 1, "model": request["model"],
            "choices": (0..request["n"].as_u64().unwrap_or(1)).map(|index| choice(request, number, index)).collect::<Vec<_>>(),
            "usage": { "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18 },
        }),
    }
}

fn choice(request: &Value, number: usize, index: u64) -> Value {
    let mut message = json!({ "role": "assistant", "content": null, "refusal": null });
    let reason = match says(request, number) {
        Said::Text(said) => {
            message["content"] = if index == 0 { said } else { format!("{said} ({index})") }.into();
            if request["model"] == "filtered" { "content_filter" } else { "stop" }
        }
        Said::Calls(calls) => {
            let call = |(place, (name, arguments)): (usize, (String, Value))| {
                json!({
                    "id": id("call", number, place), "type": "function",
                    "function": { "name": name, "arguments": arguments.to_string() },
                })
            };
            message["tool_calls"] = calls.into_iter().enumerate().map(call).collect();
            "tool_calls"
        }
    };
    json!({ "index": index, "logprobs": null, "message": message, "finish_reason": reason })
}

/// The id of a part of an answer.
fn id(kind: &str, number: usize, place: usize) -> String {
    if place == 0 { format!("{kind}_{number}") } else { format!("{kind}_{number}_{place}") }
}

fn message(request: &Value, number: usize) -> Value {
    let (content, reason) = match says(request, number) {
        Said::Text(text) => (json!([{ "type": "text", "text": text }]), "end_turn"),
        Said::Calls(calls) => {
            let block = |(place, (name, input))| json!({ "type": "tool_use", "id": id("toolu", number, place), "name": name, "input": input });
            (calls.into_iter().enumerate().map(block).collect(), "tool_use")
        }
    };
    json!({
        "id": format!("msg_{number}"), "type": "message", "role": "assistant", "model": request["model"],
        "content": content, "stop_reason": reason, "stop_sequence": null,
        "usage": { "input_tokens": 11, "output_tokens": 7 },
    })
}

fn response(request: &Value, number: usize) -> Value {
    let output = match says(request, number) {
        Said::Text(text) => json!([{
            "id": id("item", number, 0), "type": "message", "role": "assistant", "status": "completed",
            "content": [{ "type": "output_text", "text": text, "annotations": [], "logprobs": [] }],
        }]),
        Said::Calls(calls) => {
            let item = |(place, (name, arguments)): (usize, (String, Value))| {
                json!({
                    "id": id("item", number, place), "type": "function_call", "status": "completed",
                    "call_id": id("call", number, place), "name": name, "arguments": arguments.to_string(),
                })
            };
            calls.into_iter().enumerate().map(item).collect()
        }
    };
    json!({
        "id": format!("resp_{number}"), "object": "response", "created_at": 1, "status": "completed",
        "model": request["model"], "error": null, "incomplete_details": null, "instructions": null,
        "metadata": {}, "parallel_tool_calls": true, "temperature": 1.0, "tool_choice": "auto", "tools": [],
        "top_p": 1.0, "output": output,
        "usage": {
            "input_tokens": 11, "input_tokens_details": { "cached_tokens": 0 }, "output_tokens": 7,
            "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 18,
        },
    })
}

/// The pieces of a stream, cut in the middle of events, lines and characters.
pub(super) fn stream(path: &str, request: &Value, number: usize) -> Vec<Bytes> {
    let text = match path {
        "/v1/messages" => anthropic(request, number),
        path if path.ends_with("/responses") => responses(request, number),
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
    } else if let Some(calls) = choice["message"]["tool_calls"].as_array() {
        for (place, call) in calls.iter().enumerate() {
            let mut begun = call.clone();
            begun["index"] = place.into();
            begun["function"]["arguments"] = "".into();
            push(json!({ "role": "assistant", "content": null, "tool_calls": [begun] }));
            for part in call["function"]["arguments"].as_str().unwrap().split_inclusive(':') {
                push(json!({ "tool_calls": [{ "index": place, "function": { "arguments": part } }] }));
            }
        }
    } else {
        push(json!({ "role": "assistant", "content": "", "refusal": null }));
        let text = choice["message"]["content"].as_str().unwrap();
        text.split_inclusive(' ').for_each(|word| push(json!({ "content": word })));
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
    let mut events = vec![json!({ "type": "message_start", "message": begun }), json!({ "type": "ping" })];
    for (index, block) in answer["content"].as_array().unwrap().iter().enumerate() {
        let mut empty = block.clone();
        let deltas: Vec<Value> = if let Some(text) = block["text"].as_str() {
            empty["text"] = "".into();
            text.split_inclusive(' ').map(|part| json!({ "type": "text_delta", "text": part })).collect()
        } else {
            empty["input"] = json!({});
            let input = block["input"].to_string();
            let delta = |part| json!({ "type": "input_json_delta", "partial_json": part });
            input.split_inclusive(':').map(delta).collect()
        };
        events.push(json!({ "type": "content_block_start", "index": index, "content_block": empty }));
        let delta = |delta| json!({ "type": "content_block_delta", "index": index, "delta": delta });
        events.extend(deltas.into_iter().map(delta));
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    let end = json!({ "stop_reason": answer["stop_reason"], "stop_sequence": null });
    events.push(json!({ "type": "message_delta", "delta": end, "usage": { "output_tokens": 7 } }));
    events.push(json!({ "type": "message_stop" }));
    named(&events)
}

fn responses(request: &Value, number: usize) -> String {
    let answer = response(request, number);
    let mut begun = answer.clone();
    begun["status"] = "in_progress".into();
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    let mut events = vec![json!({ "type": "response.created", "response": begun })];
    for (index, item) in answer["output"].as_array().unwrap().iter().enumerate() {
        events.extend(events_of(index, item));
    }
    events.push(json!({ "type": "response.completed", "response": answer }));
    for (sequence, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = sequence.into();
    }
    named(&events)
}

/// The events that describe an item of a response.
fn events_of(index: usize, item: &Value) -> Vec<Value> {
    let at = |event: &str, name: &str, value: Value| {
        let mut data = json!({ "type": event, "item_id": item["id"], "output_index": index });
        if item["type"] == "message" {
            data["content_index"] = 0.into();
        }
        data[name] = value;
        data
    };
    let mut begun = item.clone();
    begun["status"] = "in_progress".into();
    let mut events = Vec::new();
    if let Some(arguments) = item["arguments"].as_str() {
        begun["arguments"] = "".into();
        for part in arguments.split_inclusive(':') {
            events.push(at("response.function_call_arguments.delta", "delta", part.into()));
        }
        let mut done = at("response.function_call_arguments.done", "arguments", arguments.into());
        done["name"] = item["name"].clone();
        events.push(done);
    } else {
        begun["content"] = json!([]);
        let part = &item["content"][0];
        let empty = json!({ "type": "output_text", "text": "", "annotations": [] });
        events.push(at("response.content_part.added", "part", empty));
        for word in part["text"].as_str().unwrap().split_inclusive(' ') {
            events.push(at("response.output_text.delta", "delta", word.into()));
        }
        events.push(at("response.output_text.done", "text", part["text"].clone()));
        events.push(at("response.content_part.done", "part", part.clone()));
    }
    events.insert(0, json!({ "type": "response.output_item.added", "output_index": index, "item": begun }));
    events.push(json!({ "type": "response.output_item.done", "output_index": index, "item": item }));
    events
}

fn named(events: &[Value]) -> String {
    let line = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    events.iter().map(line).collect()
}
