//! OpenAI's responses. Their streams end with the whole answer.

use serde_json::{Value, json};
use wellspring::entry::Usage;

use super::super::json;
use super::super::sse::{Event, write};
use super::{Folded, Summary, count, is_blank, is_error, text_or};

pub(in super::super) fn fold(events: &[Event<'_>]) -> Option<Folded> {
    let mut last = Value::Null;
    for event in events.iter().filter(|event| event.data != "[DONE]") {
        last = event.json().unwrap_or_default();
        if is_error(&last) || last["type"] == "response.failed" {
            return None;
        }
    }
    let is_whole = last["type"] == "response.completed";
    is_whole.then(|| Folded { answer: last["response"].take(), is_understood: true })
}

/// Each kind of item has its own events, so items of a kind that is not known here are not understood.
pub(in super::super) fn unfold(answer: &Value) -> Result<String, &'static str> {
    let is_known = |item: &Value| match item["type"].as_str() {
        Some("message") => item["content"]
            .as_array()
            .into_iter()
            .flatten()
            .all(|part| matches!(part["type"].as_str(), Some("output_text" | "refusal"))),
        Some("function_call") => true,
        Some("reasoning") => is_blank(&item["summary"]) && is_blank(&item["content"]),
        _ => false,
    };
    if !answer["output"].as_array().into_iter().flatten().all(is_known) {
        return Err("form");
    }
    let mut stream = Stream::default();
    let mut begun = answer.clone();
    begun["status"] = "in_progress".into();
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    stream.push("response.created", json!({ "response": begun }));
    stream.push("response.in_progress", json!({ "response": begun }));
    for (index, item) in answer["output"].as_array().into_iter().flatten().enumerate() {
        stream.item(index, item);
    }
    stream.push("response.completed", json!({ "response": answer }));
    Ok(stream.text)
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
        begun["status"] = "in_progress".into();
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
        if let Some(annotations) = begun.get_mut("annotations") {
            *annotations = json!([]);
        }
        self.push("response.content_part.added", with(place, "part", &begun));
        self.push(&format!("{event}.delta"), with(place, "delta", &part[field]));
        for (index, annotation) in part["annotations"].as_array().into_iter().flatten().enumerate() {
            let annotation = with(&with(place, "annotation_index", &index.into()), "annotation", annotation);
            self.push("response.output_text.annotation.added", annotation);
        }
        self.push(&format!("{event}.done"), with(place, field, &part[field]));
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
}
