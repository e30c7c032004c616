//! Anthropic's messages.

use serde_json::{Map, Value, json};

use super::super::api::Summary;
use super::super::sse::{Event, write};
use super::{count, text_or};
use crate::entry::Usage;

pub(in super::super) fn fold(events: &[Event<'_>]) -> Option<Value> {
    let mut answer = None::<Value>;
    let mut blocks = Vec::<Block>::new();
    let mut is_whole = false;
    for event in events {
        let mut data = event.json()?;
        let place = usize::try_from(count(&data, "index")).ok()?;
        match data["type"].as_str()? {
            "message_start" => answer = Some(data["message"].take()),
            "content_block_start" => {
                if place != blocks.len() {
                    return None;
                }
                blocks.push(Block { block: data["content_block"].take(), input: String::new() });
            }
            "content_block_delta" => blocks.get_mut(place)?.add(&mut data["delta"])?,
            "message_delta" => {
                let answer = answer.as_mut()?;
                update(answer, &data["delta"]);
                update(&mut answer["usage"], &data["usage"]);
            }
            "message_stop" => is_whole = true,
            "error" => return None,
            _ => {}
        }
    }
    let mut answer = answer.filter(|_| is_whole)?;
    answer["content"] = blocks.into_iter().map(Block::whole).collect::<Option<_>>()?;
    Some(answer)
}

/// A block of content that is being told.
struct Block {
    block: Value,
    /// The input of a tool, which comes as pieces of JSON.
    input: String,
}

impl Block {
    /// Adds a piece; none if it is of a kind that is not known, so that nothing is kept without it.
    fn add(&mut self, delta: &mut Value) -> Option<()> {
        let field = match delta["type"].as_str()? {
            "input_json_delta" => {
                self.input.push_str(delta["partial_json"].as_str()?);
                return Some(());
            }
            "citations_delta" => {
                let citation = delta["citation"].take();
                match &mut self.block["citations"] {
                    Value::Array(citations) => citations.push(citation),
                    none => *none = json!([citation]),
                }
                return Some(());
            }
            "text_delta" => "text",
            "thinking_delta" => "thinking",
            "signature_delta" => "signature",
            _ => return None,
        };
        let so_far = self.block[field].as_str().unwrap_or_default();
        self.block[field] = format!("{so_far}{}", delta[field].as_str()?).into();
        Some(())
    }

    fn whole(mut self) -> Option<Value> {
        if !self.input.is_empty() {
            self.block["input"] = serde_json::from_str(&self.input).ok()?;
        }
        Some(self.block)
    }
}

fn update(whole: &mut Value, piece: &Value) {
    for (name, value) in piece.as_object().into_iter().flatten() {
        whole[name] = value.clone();
    }
}

pub(in super::super) fn unfold(answer: &Value) -> String {
    let mut stream = String::new();
    let mut push = |name: &str, data: Value| {
        let mut event = Map::from_iter([("type".to_owned(), name.into())]);
        event.extend(data.as_object().cloned().unwrap_or_default());
        write(&mut stream, name, &event.into());
    };
    let mut begun = answer.clone();
    begun["content"] = json!([]);
    begun["stop_reason"] = Value::Null;
    begun["stop_sequence"] = Value::Null;
    push("message_start", json!({ "message": begun }));
    for (index, block) in answer["content"].as_array().into_iter().flatten().enumerate() {
        let (begun, deltas) = pieces(block);
        push("content_block_start", json!({ "index": index, "content_block": begun }));
        for delta in deltas {
            push("content_block_delta", json!({ "index": index, "delta": delta }));
        }
        push("content_block_stop", json!({ "index": index }));
    }
    let end = json!({ "stop_reason": answer["stop_reason"], "stop_sequence": answer["stop_sequence"] });
    push("message_delta", json!({ "delta": end, "usage": answer["usage"] }));
    push("message_stop", json!({}));
    stream
}

/// A block as it begins, and what is told of it then. Kinds that are not known are told at once.
fn pieces(block: &Value) -> (Value, Vec<Value>) {
    let mut begun = block.clone();
    let mut deltas = Vec::new();
    match block["type"].as_str() {
        Some("text") => {
            begun["text"] = "".into();
            if let Some(citations) = begun.get_mut("citations").filter(|citations| citations.is_array()) {
                *citations = json!([]);
            }
            let citations = block["citations"].as_array().into_iter().flatten();
            deltas
                .extend(citations.map(|citation| json!({ "type": "citations_delta", "citation": citation })));
            deltas.push(json!({ "type": "text_delta", "text": block["text"] }));
        }
        Some("thinking") => {
            begun["thinking"] = "".into();
            begun["signature"] = "".into();
            deltas.push(json!({ "type": "thinking_delta", "thinking": block["thinking"] }));
            deltas.push(json!({ "type": "signature_delta", "signature": block["signature"] }));
        }
        Some("tool_use" | "server_tool_use") => {
            begun["input"] = json!({});
            let input = block["input"].to_string();
            deltas.push(json!({ "type": "input_json_delta", "partial_json": input }));
        }
        _ => {}
    }
    (begun, deltas)
}

pub(in super::super) fn summary(answer: &Value) -> Option<Summary> {
    if !matches!(
        answer["stop_reason"].as_str(),
        Some("end_turn" | "max_tokens" | "stop_sequence" | "tool_use")
    ) {
        return None;
    }
    let content = answer["content"].as_array()?;
    let texts: Vec<&str> = content.iter().filter_map(|block| block["text"].as_str()).collect();
    let calls: Vec<&Value> = content.iter().filter(|block| block["type"] != "thinking").collect();
    let usage = answer.get("usage").filter(|usage| usage.is_object()).map(|usage| Usage {
        prompt_tokens: count(usage, "input_tokens")
            + count(usage, "cache_creation_input_tokens")
            + count(usage, "cache_read_input_tokens"),
        completion_tokens: count(usage, "output_tokens"),
        cost_microusd: 0,
    });
    Some(Summary { text: text_or(texts.concat(), &calls)?, usage })
}

#[cfg(test)]
mod tests {
    use super::super::super::sse::events;
    use super::*;

    fn answer() -> Value {
        json!({
            "id": "msg", "type": "message", "role": "assistant", "model": "m",
            "content": [
                { "type": "thinking", "thinking": "hm", "signature": "s" },
                { "type": "text", "text": "Paris." },
                { "type": "tool_use", "id": "t", "name": "f", "input": { "a": 1 } },
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": { "input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 2 },
        })
    }

    #[test]
    fn a_stream_of_an_answer_folds_back_into_it() {
        let stream = unfold(&answer());
        assert_eq!(fold(&events(&stream)).unwrap(), answer());
        assert_eq!(summary(&answer()).unwrap().usage.unwrap().prompt_tokens, 7);
        let cut = stream.rfind("event: message_stop").unwrap();
        assert_eq!(fold(&events(&stream[..cut])), None);
    }

    #[test]
    fn an_error_or_a_kind_that_is_not_known_ends_the_recording() {
        let stream = unfold(&answer());
        let broken = stream.replace(
            "event: message_delta",
            "event: error\ndata: {\"type\":\"error\"}\n\nevent: message_delta",
        );
        assert_eq!(fold(&events(&broken)), None);
        assert_eq!(fold(&events(&stream.replace("signature_delta", "novelty_delta"))), None);
    }
}
