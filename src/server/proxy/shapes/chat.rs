//! OpenAI's chat completions, and the older completions, whose choices have a text and no message.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::api::Summary;
use super::super::sse::{Event, write};
use super::{count, text_or};
use crate::entry::Usage;

const END: &str = "[DONE]";
/// Texts that come whole; all others come in pieces.
const WHOLE: [&str; 5] = ["role", "id", "type", "name", "finish_reason"];

pub(in super::super) fn fold(events: &[Event<'_>]) -> Option<Value> {
    let (last, chunks) = events.split_last()?;
    if last.data != END {
        return None;
    }
    let mut answer = Map::new();
    let mut choices = BTreeMap::<u64, Map<String, Value>>::new();
    for event in chunks {
        let Value::Object(chunk) = event.json()? else { return None };
        if chunk.contains_key("error") {
            return None;
        }
        for (name, value) in chunk {
            match (name.as_str(), value) {
                ("choices", Value::Array(pieces)) => {
                    for piece in pieces {
                        let choice = choices.entry(count(&piece, "index")).or_default();
                        fold_choice(choice, piece);
                    }
                }
                // It only hides the length of the piece.
                ("obfuscation", _) | (_, Value::Null) => {}
                (_, value) => drop(answer.insert(name, value)),
            }
        }
    }
    let is_chat = answer.get("object").is_some_and(|object| object == "chat.completion.chunk");
    if is_chat {
        answer.insert("object".into(), "chat.completion".into());
    }
    let choices = choices.into_iter().map(|(index, mut choice)| {
        choice.insert("index".into(), index.into());
        Value::Object(choice)
    });
    answer.insert("choices".into(), choices.collect());
    Some(answer.into())
}

fn fold_choice(choice: &mut Map<String, Value>, piece: Value) {
    let Value::Object(piece) = piece else { return };
    for (name, value) in piece {
        let name = if name == "delta" { "message".to_owned() } else { name };
        merge(choice.entry(name.clone()).or_insert(Value::Null), value, &name);
    }
}

/// Adds a piece to what is there of it.
fn merge(whole: &mut Value, piece: Value, name: &str) {
    match (whole, piece) {
        (_, Value::Null) => {}
        (Value::String(whole), Value::String(piece)) if !WHOLE.contains(&name) => whole.push_str(&piece),
        (Value::Object(whole), Value::Object(piece)) => {
            for (name, value) in piece {
                merge(whole.entry(name.clone()).or_insert(Value::Null), value, &name);
            }
        }
        (whole, Value::Array(pieces)) => {
            if !whole.is_array() {
                *whole = Value::Array(Vec::new());
            }
            let Value::Array(items) = whole else { return };
            for piece in pieces {
                merge_item(items, piece);
            }
        }
        (whole, Value::Object(piece)) => {
            *whole = Value::Object(Map::new());
            merge(whole, Value::Object(piece), name);
        }
        (whole, piece) => *whole = piece,
    }
}

/// Items with an index are pieces of the item at that place; others come whole.
fn merge_item(items: &mut Vec<Value>, mut piece: Value) {
    /// More than any answer has; an index beyond is no place.
    const MOST: usize = 1_024;
    let index = piece.as_object_mut().and_then(|piece| piece.remove("index"));
    let index = index.and_then(|index| usize::try_from(index.as_u64()?).ok()).filter(|index| *index < MOST);
    let Some(index) = index else { return items.push(piece) };
    if items.len() <= index {
        items.resize(index + 1, Value::Null);
    }
    merge(&mut items[index], piece, "");
}

pub(in super::super) fn unfold(answer: &Value, with_usage: bool) -> String {
    let mut head = answer.as_object().cloned().unwrap_or_default();
    let choices = head.remove("choices").unwrap_or_default();
    let usage = head.remove("usage").unwrap_or_default();
    if head.get("object").is_some_and(|object| object == "chat.completion") {
        head.insert("object".into(), "chat.completion.chunk".into());
    }
    if with_usage {
        head.insert("usage".into(), Value::Null);
    }
    let chunk = |choices: Value| {
        let mut chunk = head.clone();
        chunk.insert("choices".into(), choices);
        chunk
    };
    let mut stream = String::new();
    for choice in choices.as_array().into_iter().flatten() {
        for piece in pieces(choice) {
            write(&mut stream, "", &chunk(json!([piece])).into());
        }
    }
    if with_usage {
        let mut last = chunk(json!([]));
        last.insert("usage".into(), usage);
        write(&mut stream, "", &last.into());
    }
    stream + "data: " + END + "\n\n"
}

/// A choice as what it says, then how it ends.
fn pieces(choice: &Value) -> Vec<Value> {
    let mut first = choice.as_object().cloned().unwrap_or_default();
    let Some(mut message) = first.remove("message") else { return vec![choice.clone()] };
    for (index, call) in message["tool_calls"].as_array_mut().into_iter().flatten().enumerate() {
        call["index"] = index.into();
    }
    let end = first.insert("finish_reason".into(), Value::Null).unwrap_or_default();
    first.insert("delta".into(), message);
    vec![
        first.into(),
        json!({ "index": choice["index"], "delta": {}, "logprobs": null, "finish_reason": end }),
    ]
}

pub(in super::super) fn summary(answer: &Value) -> Option<Summary> {
    let choices = answer["choices"].as_array().filter(|choices| !choices.is_empty())?;
    let is_whole = |choice: &Value| {
        matches!(choice["finish_reason"].as_str(), Some("stop" | "length" | "tool_calls" | "function_call"))
    };
    if answer.get("error").is_some_and(|error| !error.is_null()) || !choices.iter().all(is_whole) {
        return None;
    }
    let mut texts = Vec::new();
    let mut calls = Vec::new();
    for choice in choices {
        let message = &choice["message"];
        texts.extend(message["content"].as_str().or(message["refusal"].as_str()).or(choice["text"].as_str()));
        calls.extend(message["tool_calls"].as_array().into_iter().flatten());
        calls.extend(message.get("function_call"));
        calls.extend(message.get("audio").filter(|audio| !audio.is_null()));
    }
    let usage = answer.get("usage").filter(|usage| usage.is_object());
    let usage = usage.map(|usage| Usage {
        prompt_tokens: count(usage, "prompt_tokens"),
        completion_tokens: count(usage, "completion_tokens"),
        cost_microusd: 0,
    });
    Some(Summary { text: text_or(texts.join("\n"), &calls)?, usage })
}

#[cfg(test)]
mod tests {
    use super::super::super::sse::events;
    use super::*;

    fn answer() -> Value {
        json!({
            "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": "Paris.", "tool_calls": [
                    { "id": "t0", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } },
                ] },
                "logprobs": null, "finish_reason": "tool_calls",
            }],
            "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 },
        })
    }

    #[test]
    fn a_stream_of_an_answer_folds_back_into_it() {
        let stream = unfold(&answer(), true);
        assert_eq!(fold(&events(&stream)).unwrap(), answer());
        let cut = stream.strip_suffix("data: [DONE]\n\n").unwrap();
        assert_eq!(fold(&events(cut)), None);
        assert!(!unfold(&answer(), false).contains("usage"));
    }

    #[test]
    fn pieces_are_put_together() {
        let chunk = |choice: Value| {
            format!("data: {}\n\n", json!({ "object": "chat.completion.chunk", "choices": [choice] }))
        };
        let call = |index: u64, arguments: &str| {
            json!({ "index": 0, "delta": { "tool_calls": [
                { "index": index, "id": format!("t{index}"), "function": { "arguments": arguments } },
            ] } })
        };
        let stream = [
            chunk(json!({ "index": 0, "delta": { "role": "assistant", "content": null } })),
            chunk(call(0, "{\"a\"")),
            chunk(call(0, ":1}")),
            chunk(call(1, "{}")),
            chunk(json!({ "index": 0, "delta": {}, "finish_reason": "tool_calls" })),
            "data: [DONE]\n\n".into(),
        ]
        .concat();
        let answer = fold(&events(&stream)).unwrap();
        let calls = &answer["choices"][0]["message"]["tool_calls"];
        assert_eq!(calls[0]["function"]["arguments"], "{\"a\":1}");
        assert_eq!(calls[1], json!({ "id": "t1", "function": { "arguments": "{}" } }));
        assert!(summary(&answer).unwrap().text.contains("t1"));
    }

    #[test]
    fn an_answer_that_did_not_end_is_not_kept() {
        assert_eq!(summary(&answer()).unwrap().usage.unwrap().prompt_tokens, 3);
        for reason in [json!(null), json!("content_filter")] {
            let mut answer = answer();
            answer["choices"][0]["finish_reason"] = reason;
            assert_eq!(summary(&answer), None);
        }
    }
}
