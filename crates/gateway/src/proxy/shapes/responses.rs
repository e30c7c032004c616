//! OpenAI's responses. Their streams end with the whole answer.

use serde_json::{Value, json};
use wellspring::entry::Usage;

use super::super::json;
use super::super::sse::{Event, write};
use super::{Folded, Summary, count, has_only, is_blank, is_error, replace, text_or};

pub(in super::super) fn fold(events: &[Event<'_>]) -> Option<Folded> {
    let mut last = Value::Null;
    for event in events.iter().filter(|event| event.data != "[DONE]") {
        last = event.json().unwrap_or_default();
        if is_error(&last) || last["type"] == "response.failed" {
            return None;
        }
    }
    let is_whole = last["type"] == "response.completed";
    is_whole.then(|| {
        let is_understood = has_only(&last, &["type", "sequence_number", "response"]);
        Folded { answer: last["response"].take(), is_understood }
    })
}

/// Each kind of item has its own events, so items of a kind that is not known here are not understood.
pub(in super::super) fn unfold(answer: &Value) -> Result<String, &'static str> {
    let items = answer["output"].as_array().ok_or("form")?;
    if !items.iter().all(is_known) {
        return Err("form");
    }
    let mut stream = Stream::default();
    let mut begun = answer.clone();
    begun["status"] = "in_progress".into();
    begun["output"] = json!([]);
    replace(&mut begun, "usage", Value::Null);
    replace(&mut begun, "completed_at", Value::Null);
    stream.push("response.created", json!({ "response": begun }));
    stream.push("response.in_progress", json!({ "response": begun }));
    for (index, item) in items.iter().enumerate() {
        stream.item(index, item);
    }
    stream.push("response.completed", json!({ "response": answer }));
    Ok(stream.text)
}

/// Whether the events of an item can say all that is in it.
fn is_known(item: &Value) -> bool {
    // The events name their item.
    let has_id = item["id"].is_string();
    match item["type"].as_str() {
        Some("message") => {
            has_id
                && has_only(item, &["id", "type", "status", "role", "content", "phase"])
                && item["content"].as_array().is_some_and(|parts| parts.iter().all(is_known_part))
        }
        Some("function_call") => {
            let names =
                ["id", "type", "status", "call_id", "name", "namespace", "arguments", "caller", "created_by"];
            has_id && has_only(item, &names) && item["arguments"].is_string()
        }
        Some("reasoning") => {
            has_only(item, &["id", "type", "status", "summary", "content", "encrypted_content"])
                && is_blank(&item["summary"])
                && is_blank(&item["content"])
        }
        _ => false,
    }
}

fn is_known_part(part: &Value) -> bool {
    match part["type"].as_str() {
        Some("output_text") => {
            part["text"].is_string() && has_only(part, &["type", "text", "annotations", "logprobs"])
        }
        Some("refusal") => part["refusal"].is_string() && has_only(part, &["type", "refusal"]),
        _ => false,
    }
}

#[derive(Default)]
struct Stream {
    text: String,
    sequence: u64,
}

impl Stream {
    fn push(&mut self, name: &str, mut data: Value) {
        data["type"] = name.into();
        data["sequence_number"] = self.sequence.into();
        self.sequence += 1;
        write(&mut self.text, name, &data);
    }

    fn item(&mut self, index: usize, item: &Value) {
        let mut begun = item.clone();
        replace(&mut begun, "status", "in_progress".into());
        match item["type"].as_str() {
            Some("message") => begun["content"] = json!([]),
            Some("function_call") => begun["arguments"] = "".into(),
            _ => {}
        }
        self.push("response.output_item.added", json!({ "output_index": index, "item": begun }));
        if item["type"] == "message" {
            for (at, part) in item["content"].as_array().into_iter().flatten().enumerate() {
                self.part(
                    &json!({ "item_id": item["id"], "output_index": index, "content_index": at }),
                    part,
                );
            }
        }
        if item["type"] == "function_call" {
            let place = json!({ "item_id": item["id"], "output_index": index });
            let arguments = &item["arguments"];
            self.push("response.function_call_arguments.delta", with(&place, "delta", arguments));
            let mut done = with(&place, "arguments", arguments);
            done["name"] = item["name"].clone();
            self.push("response.function_call_arguments.done", done);
        }
        self.push("response.output_item.done", json!({ "output_index": index, "item": item }));
    }

    fn part(&mut self, place: &Value, part: &Value) {
        let (event, field) = match part["type"].as_str() {
            Some("refusal") => ("response.refusal", "refusal"),
            _ => ("response.output_text", "text"),
        };
        let mut begun = part.clone();
        begun[field] = "".into();
        replace(&mut begun, "annotations", json!([]));
        replace(&mut begun, "logprobs", json!([]));
        self.push("response.content_part.added", with(place, "part", &begun));
        let text = |name: &str| {
            let mut data = with(place, name, &part[field]);
            if let Some(logprobs) = part.get("logprobs") {
                data["logprobs"] = logprobs.clone();
            }
            data
        };
        self.push(&format!("{event}.delta"), text("delta"));
        for (index, annotation) in part["annotations"].as_array().into_iter().flatten().enumerate() {
            let annotation = with(&with(place, "annotation_index", &index.into()), "annotation", annotation);
            self.push("response.output_text.annotation.added", annotation);
        }
        self.push(&format!("{event}.done"), text(field));
        self.push("response.content_part.done", with(place, "part", part));
    }
}

fn with(place: &Value, name: &str, value: &Value) -> Value {
    let mut data = place.clone();
    data[name] = value.clone();
    data
}

pub(in super::super) fn summary(answer: &Value) -> Option<Summary> {
    let output = answer["output"].as_array()?;
    // Items of some kinds have no status.
    let is_whole = |item: &Value| item["status"].as_str().is_none_or(|status| status == "completed");
    let is_failed = |item: &Value| is_error(item) || !is_whole(item);
    if answer["status"] != "completed" || is_error(answer) || output.iter().any(is_failed) {
        return None;
    }
    let is_refusal = output
        .iter()
        .flat_map(|item| item["content"].as_array().into_iter().flatten())
        .any(|part| part["type"] == "refusal");
    let is_incomplete = output.iter().any(|item| {
        let arguments = item["arguments"].as_str().filter(|arguments| !arguments.is_empty());
        item["type"] == "function_call" && arguments.is_some_and(|arguments| json::read(arguments).is_none())
    });
    let parts = output.iter().flat_map(|item| item["content"].as_array().into_iter().flatten());
    let texts: Vec<&str> =
        parts.filter_map(|part| part["text"].as_str().or(part["refusal"].as_str())).collect();
    let calls: Vec<&Value> = output.iter().filter(|item| item["type"] != "reasoning").collect();
    let usage = answer.get("usage").filter(|usage| usage.is_object()).map(|usage| Usage {
        prompt_tokens: count(usage, "input_tokens"),
        completion_tokens: count(usage, "output_tokens"),
        cost_microusd: 0,
    });
    let calls_tools = calls.iter().any(|item| item["type"] != "message");
    let text = text_or(texts.join("\n"), &calls)?;
    Some(Summary { text, usage, is_refusal, is_incomplete, calls_tools })
}

#[cfg(test)]
mod tests {
    use super::super::super::sse::events;
    use super::*;

    #[test]
    fn a_stream_of_an_answer_folds_back_into_it() {
        let answer = json!({
            "id": "r", "status": "completed", "usage": { "input_tokens": 3, "output_tokens": 2 },
            "output": [
                { "id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [
                    { "type": "output_text", "text": "Paris.", "annotations": [] },
                ] },
                { "id": "f", "type": "function_call", "name": "f", "call_id": "c", "arguments": "{}" },
            ],
        });
        let stream = unfold(&answer).unwrap();
        assert_eq!(fold(&events(&stream)).unwrap().answer, answer);
        assert!(stream.contains("response.output_text.delta"));
        assert_eq!(summary(&answer).unwrap().text, "Paris.");
        let cut = stream.rfind("event: response.completed").unwrap();
        assert!(fold(&events(&stream[..cut])).is_none());
        for strange in [json!({ "type": "web_search_call" }), json!({ "type": "reasoning", "summary": [1] })]
        {
            assert_eq!(unfold(&json!({ "status": "completed", "output": [strange] })), Err("form"));
        }
    }

    /// Texts and arguments of another type used to be dropped or sent as they are, and fields that an answer
    /// lacks used to be made up.
    #[test]
    fn what_the_events_cannot_say_is_given_back_as_it_came_only() {
        let message = |content: Value| json!({ "id": "m", "type": "message", "content": content });
        for strange in [
            message("Paris.".into()),
            message(json!([{ "type": "output_text", "text": 1 }])),
            message(json!([{ "type": "output_text", "text": "Paris.", "novelty": 1 }])),
            json!({ "type": "message", "content": [] }),
            json!({ "id": "m", "type": "message", "content": [], "novelty": 1 }),
            json!({ "id": "f", "type": "function_call", "name": "f", "arguments": { "a": 1 } }),
            json!({ "id": "f", "type": "function_call", "name": "f" }),
        ] {
            assert_eq!(unfold(&json!({ "status": "completed", "output": [strange] })), Err("form"));
        }
        let text = json!({ "type": "output_text", "text": "Paris.", "logprobs": [{ "token": "Paris." }] });
        let answer = json!({ "status": "completed", "output": [message(json!([text]))] });
        let stream = unfold(&answer).unwrap();
        assert!(!stream.contains("usage"), "{stream}");
        let read = events(&stream);
        let of = |name: &str| read.iter().find(|event| event.name == name).unwrap().json().unwrap();
        assert_eq!(of("response.output_item.added")["item"].get("status"), None);
        assert_eq!(of("response.output_text.delta")["logprobs"], text["logprobs"]);
        let strange = stream
            .replace("\"type\":\"response.completed\"", "\"type\":\"response.completed\",\"novelty\":1");
        assert!(!fold(&events(&strange)).unwrap().is_understood);
    }
}
