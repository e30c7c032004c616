//! OpenAI's chat completions and other vendors' variants of them, and the older completions, whose choices
//! have a text and no message.
//!
//! The vendors' streams differ in what a piece holds. Known texts arrive in parts, which are put together;
//! everything else arrives whole, once or repeatedly. An answer that holds anything unknown here, or two
//! values where there can only be one, is not understood: it is kept, and replayed only in the form in which
//! it was received.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use wellspring::entry::Usage;

use super::super::json;
use super::super::sse::{Event, write};
use super::calls::Calls;
use super::pieces::{add_parts, append, label, put};
use super::{Folded, Summary, count, is_blank, is_error, text_or};

const END: &str = "[DONE]";

/// Fields that label an answer: the same in each piece, or else the first value counts.
const LABELS: [&str; 7] =
    ["id", "object", "created", "model", "system_fingerprint", "service_tier", "provider"];
/// Fields beside the choices that count anew in each piece, so that the last value counts: the usage, and
/// llama.cpp's timings.
const COUNTS: [&str; 2] = ["usage", "timings"];
/// Lists beside the choices that may grow from piece to piece, each of which repeats the one before:
/// Perplexity's search results, and Azure's verdict on the prompt.
const LISTS: [&str; 5] =
    ["citations", "search_results", "images", "related_questions", "prompt_filter_results"];
/// Groq's data about itself.
const GROQ: &str = "x_groq";
/// The texts of a message, which arrive in parts: OpenAI's, and the reasoning under the names that `DeepSeek`
/// and `OpenRouter` use.
const TEXTS: [&str; 4] = ["content", "refusal", "reasoning_content", "reasoning"];
/// The fields of a choice that arrive whole.
const OF_CHOICE: [&str; 4] =
    ["finish_reason", "native_finish_reason", "stop_reason", "content_filter_results"];
/// The fields of a message that arrive whole.
const OF_MESSAGE: [&str; 2] = ["role", "annotations"];

/// The fields of an object that arrive in parts, and those that arrive whole.
type Parts<const N: usize, const M: usize> = ([&'static str; N], [&'static str; M]);
const OF_FUNCTION: Parts<1, 1> = (["arguments"], ["name"]);
const OF_AUDIO: Parts<2, 2> = (["data", "transcript"], ["id", "expires_at"]);

pub(in super::super) fn fold(events: &[Event<'_>]) -> Option<Folded> {
    let (last, chunks) = events.split_last()?;
    if last.data != END {
        return None;
    }
    let mut whole = Whole::default();
    for event in chunks {
        let chunk = event.json()?;
        if reports_error(&chunk) {
            return None;
        }
        let Value::Object(chunk) = chunk else { return None };
        whole.add(chunk)?;
    }
    Some(whole.finish())
}

/// Whether an answer or a chunk of one reports an error, for itself or in a choice. An answer can have ended
/// for a good reason before.
fn reports_error(answer: &Value) -> bool {
    let is_bad_end =
        |reason: &Value| reason.as_str().is_some_and(|reason| !reason.is_empty() && !is_end(reason));
    let is_failed = |choice: &Value| {
        [choice, &choice["message"], &choice["delta"]].into_iter().any(is_error)
            || is_bad_end(&choice["finish_reason"])
    };
    is_error(answer) || answer["choices"].as_array().into_iter().flatten().any(is_failed)
}

/// Whether an answer that ended for this reason may be kept.
fn is_end(reason: &str) -> bool {
    matches!(reason, "stop" | "length" | "tool_calls" | "function_call")
}

/// An answer that is being put together.
#[derive(Default)]
struct Whole {
    head: Map<String, Value>,
    choices: BTreeMap<u64, Choice>,
    is_strange: bool,
}

#[derive(Default)]
struct Choice {
    fields: Map<String, Value>,
    message: Option<Map<String, Value>>,
    calls: Calls,
}

impl Whole {
    fn add(&mut self, chunk: Map<String, Value>) -> Option<()> {
        for (name, value) in chunk {
            match name.as_str() {
                "choices" => {
                    let Value::Array(pieces) = value else { return None };
                    let is_alone = pieces.len() == 1;
                    for piece in pieces {
                        let Value::Object(piece) = piece else { return None };
                        let index = piece.get("index").and_then(Value::as_u64);
                        // Without an index, a second choice cannot be distinguished from more of the first one.
                        self.is_strange |= index.is_none() && !is_alone;
                        let index = index.unwrap_or(0);
                        self.is_strange |= !self.choices.entry(index).or_default().add(piece);
                    }
                }
                // These only hide the length of the piece.
                "obfuscation" | "p" => {}
                name if LABELS.contains(&name) => label(&mut self.head, name, value),
                GROQ if value.is_object() => {
                    let Value::Object(piece) = value else { return None };
                    self.is_strange |= !self.add_groq(piece);
                }
                name if COUNTS.contains(&name) || LISTS.contains(&name) => {
                    if !is_blank(&value) {
                        let is_list = LISTS.contains(&name);
                        let before = self.head.insert(name.to_owned(), value);
                        let repeats = |before: &Value| begins_with(&self.head[name], before);
                        self.is_strange |= is_list && !before.as_ref().is_none_or(repeats);
                    }
                }
                _ => self.is_strange |= !value.is_null(),
            }
        }
        Some(())
    }

    /// Adds a piece of Groq's data about itself. Groq's streams hold the usage there, and its whole answers
    /// where everyone has it.
    fn add_groq(&mut self, mut piece: Map<String, Value>) -> bool {
        let usage = piece.remove("usage").filter(|usage| !is_blank(usage));
        let mut is_understood = usage.is_none_or(|usage| put(&mut self.head, "usage", usage));
        if piece.is_empty() {
            return is_understood;
        }
        let there = self.head.entry(GROQ).or_insert_with(|| json!({}));
        let Value::Object(there) = there else { return false };
        for (name, value) in piece {
            is_understood &= put(there, &name, value);
        }
        is_understood
    }

    fn finish(mut self) -> Folded {
        if self.head.get("object").is_some_and(|object| object == "chat.completion.chunk") {
            self.head.insert("object".into(), "chat.completion".into());
        }
        let choices = self.choices.into_iter().map(|(index, choice)| {
            let mut fields = choice.fields;
            fields.insert("index".into(), index.into());
            if let Some(mut message) = choice.message {
                self.is_strange |= !choice.calls.finish(&mut message);
                fields.insert("message".into(), message.into());
            }
            Value::Object(fields)
        });
        let choices: Value = choices.collect();
        self.head.insert("choices".into(), choices);
        Folded { answer: self.head.into(), is_understood: !self.is_strange }
    }
}

/// Whether a list or a text begins with another one.
fn begins_with(value: &Value, start: &Value) -> bool {
    match (value, start) {
        (Value::Array(items), Value::Array(start)) => items.starts_with(start),
        (Value::String(text), Value::String(start)) => text.starts_with(start.as_str()),
        (value, start) => value == start,
    }
}

impl Choice {
    /// Adds a piece; returns whether it was understood.
    fn add(&mut self, mut piece: Map<String, Value>) -> bool {
        let mut is_understood = true;
        // Beside a delta, Perplexity repeats the whole message so far.
        let repeated = piece.contains_key("delta").then(|| piece.remove("message")).flatten();
        for (name, value) in piece {
            is_understood &= match (name.as_str(), value) {
                ("index", _) => true,
                ("delta", Value::Object(delta)) => self.add_delta(delta),
                ("text", value) => append(&mut self.fields, "text", value),
                ("logprobs", value) => add_logprobs(&mut self.fields, value),
                // An answer that was cut stays so, whatever other reason there is.
                ("finish_reason", value) if value == "length" => {
                    let other = self.fields.insert("finish_reason".into(), value);
                    other.is_none_or(|other| is_blank(&other) || other == "length")
                }
                (name, value) if OF_CHOICE.contains(&name) => put(&mut self.fields, name, value),
                (_, value) => value.is_null(),
            };
        }
        is_understood && repeated.is_none_or(|repeated| self.has_said(&repeated))
    }

    /// Whether the pieces so far say all that is in `message`.
    fn has_said(&self, message: &Value) -> bool {
        let said = |name: &str| self.message.as_ref().and_then(|said| said.get(name));
        let is_said = |(name, value): (&String, &Value)| {
            is_blank(value) || said(name).is_some_and(|said| begins_with(said, value))
        };
        message.is_null() || message.as_object().is_some_and(|fields| fields.iter().all(is_said))
    }

    fn add_delta(&mut self, delta: Map<String, Value>) -> bool {
        let message = self.message.get_or_insert_default();
        let mut is_understood = true;
        for (name, value) in delta {
            is_understood &= match (name.as_str(), value) {
                ("tool_calls", Value::Array(pieces)) => {
                    pieces.into_iter().all(|piece| self.calls.add_call(piece))
                }
                ("reasoning_details", Value::Array(pieces)) => {
                    pieces.into_iter().all(|piece| self.calls.add_detail(piece))
                }
                ("function_call", Value::Object(call)) => {
                    add_parts(message, "function_call", call, &OF_FUNCTION.0, &OF_FUNCTION.1)
                }
                ("audio", Value::Object(audio)) => {
                    add_parts(message, "audio", audio, &OF_AUDIO.0, &OF_AUDIO.1)
                }
                (name, value) if TEXTS.contains(&name) => append(message, name, value),
                (name, value) if OF_MESSAGE.contains(&name) => put(message, name, value),
                (_, value) => is_blank(&value),
            };
        }
        is_understood
    }
}

/// Adds the probabilities of a piece, which are lists; returns whether they really are.
fn add_logprobs(whole: &mut Map<String, Value>, piece: Value) -> bool {
    let Value::Object(piece) = piece else {
        whole.entry("logprobs").or_insert(Value::Null);
        return piece.is_null();
    };
    let there = whole.entry("logprobs").or_insert(Value::Null);
    if there.is_null() {
        *there = piece.into();
        return true;
    }
    let mut is_understood = true;
    for (name, value) in piece {
        match (there.get_mut(&name), value) {
            (Some(Value::Array(there)), Value::Array(piece)) => there.extend(piece),
            (Some(there @ Value::Null), piece) => *there = piece,
            (_, Value::Null) => {}
            _ => is_understood = false,
        }
    }
    is_understood
}

pub(in super::super) fn unfold(answer: &Value, with_usage: bool) -> Result<String, &'static str> {
    let Value::Object(mut head) = answer.clone() else { return Err("form") };
    let choices = head.remove("choices").unwrap_or_default();
    let usage = head.remove("usage").filter(|usage| !usage.is_null());
    if with_usage && usage.is_none() {
        return Err("usage");
    }
    let is_known = |name: &str| {
        LABELS.contains(&name) || COUNTS.contains(&name) || LISTS.contains(&name) || name == GROQ
    };
    if head.iter().any(|(name, value)| !is_known(name) && !value.is_null()) {
        return Err("form");
    }
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
    for (place, choice) in choices.as_array().into_iter().flatten().enumerate() {
        for piece in pieces(choice, place).ok_or("form")? {
            write(&mut stream, "", &chunk(json!([piece])).into());
        }
    }
    if let Some(usage) = usage.filter(|_| with_usage) {
        let mut last = chunk(json!([]));
        last.insert("usage".into(), usage);
        write(&mut stream, "", &last.into());
    }
    Ok(stream + "data: " + END + "\n\n")
}

/// The choice at this place as two steps, its content and then its end; none if it is not understood.
fn pieces(choice: &Value, place: usize) -> Option<Vec<Value>> {
    let mut first = choice.as_object()?.clone();
    // Only a piece of a stream needs an index.
    let index = first.entry("index").or_insert(Value::Null);
    if index.is_null() {
        *index = place.into();
    }
    let index = index.clone();
    let is_known =
        |name: &str| matches!(name, "index" | "message" | "text" | "logprobs") || OF_CHOICE.contains(&name);
    if first.iter().any(|(name, value)| !is_known(name) && !value.is_null()) {
        return None;
    }
    let Some(message) = first.remove("message") else { return Some(vec![first.into()]) };
    let Value::Object(mut message) = message else { return None };
    for (name, value) in &message {
        let is_understood = match name.as_str() {
            "tool_calls" => value.as_array().is_some_and(|calls| calls.iter().all(Calls::is_call)),
            "reasoning_details" => value.as_array().is_some_and(|items| items.iter().all(Calls::is_detail)),
            "function_call" => is_whole(value, name, &OF_FUNCTION),
            "audio" => is_whole(value, name, &OF_AUDIO),
            name if TEXTS.contains(&name) => value.is_string(),
            name => OF_MESSAGE.contains(&name),
        };
        if !is_understood && !value.is_null() {
            return None;
        }
    }
    for (index, call) in
        message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten().enumerate()
    {
        call["index"] = index.into();
    }
    let mut end = Map::from_iter([("index".to_owned(), index), ("delta".to_owned(), json!({}))]);
    for name in OF_CHOICE {
        end.extend(first.remove(name).map(|value| (name.to_owned(), value)));
    }
    first.insert("finish_reason".into(), Value::Null);
    first.insert("delta".into(), message.into());
    Some(vec![first.into(), end.into()])
}

/// Whether an object that arrived whole is understood.
fn is_whole<const N: usize, const M: usize>(value: &Value, name: &str, parts: &Parts<N, M>) -> bool {
    let Value::Object(fields) = value.clone() else { return false };
    add_parts(&mut Map::new(), name, fields, &parts.0, &parts.1)
}

pub(in super::super) fn summary(answer: &Value) -> Option<Summary> {
    let choices = answer["choices"].as_array().filter(|choices| !choices.is_empty())?;
    let is_whole = |choice: &Value| choice["finish_reason"].as_str().is_some_and(is_end);
    if reports_error(answer) || !choices.iter().all(is_whole) {
        return None;
    }
    let mut texts = Vec::new();
    let mut calls = Vec::new();
    let (mut is_refusal, mut is_incomplete) = (false, false);
    for choice in choices {
        let message = &choice["message"];
        let refusal = message["refusal"].as_str().filter(|refusal| !refusal.is_empty());
        is_refusal |= refusal.is_some();
        is_incomplete |= choice["finish_reason"] == "length";
        texts.extend(message["content"].as_str().filter(|text| !text.is_empty()).or(refusal));
        let parts = message["content"].as_array().into_iter().flatten();
        texts.extend(parts.filter_map(|part| part["text"].as_str()));
        texts.extend(choice["text"].as_str());
        calls.extend(message["tool_calls"].as_array().into_iter().flatten());
        calls.extend(message.get("function_call").filter(|call| !call.is_null()));
        calls.extend(message.get("audio").filter(|audio| !audio.is_null()));
    }
    is_incomplete |= calls.iter().any(|call| {
        let arguments = call.get("arguments").or_else(|| call["function"].get("arguments"));
        let arguments = arguments.and_then(Value::as_str).filter(|arguments| !arguments.is_empty());
        arguments.is_some_and(|arguments| json::read(arguments).is_none())
    });
    let usage = answer.get("usage").filter(|usage| usage.is_object());
    let usage = usage.map(|usage| Usage {
        prompt_tokens: count(usage, "prompt_tokens"),
        completion_tokens: count(usage, "completion_tokens"),
        cost_microusd: 0,
    });
    let calls_tools = !calls.is_empty();
    let text = text_or(texts.join("\n"), &calls)?;
    Some(Summary { text, usage, is_refusal, is_incomplete, calls_tools })
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
        let stream = unfold(&answer(), true).unwrap();
        let folded = fold(&events(&stream)).unwrap();
        assert_eq!((folded.answer, folded.is_understood), (answer(), true));
        let cut = stream.strip_suffix("data: [DONE]\n\n").unwrap();
        assert!(fold(&events(cut)).is_none());
        assert!(!unfold(&answer(), false).unwrap().contains("usage"));
        let mut without = answer();
        without.as_object_mut().unwrap().remove("usage");
        assert_eq!(unfold(&without, true), Err("usage"));
    }

    #[test]
    fn an_answer_that_did_not_end_is_none_and_one_that_was_cut_is_incomplete() {
        let with = |name: &str, value: Value| {
            let mut answer = answer();
            answer["choices"][0][name] = value;
            summary(&answer)
        };
        let summary = summary(&answer()).unwrap();
        assert_eq!(summary.usage.unwrap().prompt_tokens, 3);
        assert!(!summary.is_incomplete && !summary.is_refusal);
        assert_eq!(with("finish_reason", json!(null)), None);
        assert_eq!(with("finish_reason", json!("content_filter")), None);
        assert_eq!(with("error", json!({ "code": 502 })), None);
        assert!(with("finish_reason", json!("length")).unwrap().is_incomplete);
        let call = |arguments: &str| json!({ "content": null, "tool_calls": [{ "function": { "name": "f", "arguments": arguments } }] });
        assert!(with("message", call("{\"a\":")).unwrap().is_incomplete);
        assert!(!with("message", call("")).unwrap().is_incomplete);
        assert!(with("message", json!({ "content": null, "refusal": "No." })).unwrap().is_refusal);
    }

    #[test]
    fn choices_without_an_index_get_their_place_in_a_stream() {
        let mut answer = answer();
        let choice = |text: &str| json!({ "message": { "content": text }, "finish_reason": "stop" });
        answer["choices"] = json!([choice("a"), choice("b")]);
        let stream = unfold(&answer, false).unwrap();
        assert!(!stream.contains("\"index\":null"), "{stream}");
        let folded = fold(&events(&stream)).unwrap();
        for (place, text) in ["a", "b"].into_iter().enumerate() {
            let choice = &folded.answer["choices"][place];
            assert_eq!((&choice["index"], &choice["message"]["content"]), (&json!(place), &json!(text)));
        }
    }

    /// Only the last detail used to be continued, so that two that arrive by turns became many.
    #[test]
    fn details_that_arrive_by_turns_are_put_together_by_their_places() {
        let stream: String = [(0, "a"), (1, "b"), (0, "c"), (1, "d")]
            .map(|(index, text)| {
                let detail = json!({ "type": "reasoning.text", "index": index, "text": text });
                let delta = json!({ "content": "x", "reasoning_details": [detail] });
                let piece = json!({ "index": 0, "delta": delta, "finish_reason": "stop" });
                format!("data: {}\n\n", json!({ "choices": [piece] }))
            })
            .concat();
        let folded = fold(&events(&format!("{stream}data: [DONE]"))).unwrap();
        assert!(folded.is_understood);
        let detail =
            |index: u8, text: &str| json!({ "type": "reasoning.text", "index": index, "text": text });
        let details = &folded.answer["choices"][0]["message"]["reasoning_details"];
        assert_eq!(details, &json!([detail(0, "ac"), detail(1, "bd")]));
    }

    #[test]
    fn a_call_whose_arguments_are_no_text_is_not_understood() {
        let mut answer = answer();
        answer["choices"][0]["message"] =
            json!({ "function_call": { "name": "f", "arguments": { "a": 1 } } });
        assert_eq!(unfold(&answer, false), Err("form"));
    }
}
