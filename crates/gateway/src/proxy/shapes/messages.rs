//! Anthropic's messages.

use serde_json::{Map, Value, json};
use wellspring::entry::Usage;

use super::super::json;
use super::super::sse::{Event, write};
use super::{Folded, Summary, count, is_error, text_or};

/// A piece of an unknown kind makes the answer not understood.
pub(in super::super) fn fold(events: &[Event<'_>]) -> Option<Folded> {
    let mut answer = None::<Value>;
    let mut blocks = Vec::<Block>::new();
    let (mut is_whole, mut is_understood) = (false, true);
    for event in events {
        let mut data = event.json()?;
        if [&data, &data["message"], &data["content_block"], &data["delta"]].into_iter().any(is_error) {
            return None;
        }
        let place = usize::try_from(count(&data, "index")).ok()?;
        match data["type"].as_str()? {
            "message_start" => answer = Some(object(&mut data, "message")?),
            "content_block_start" => {
                if place != blocks.len() {
                    return None;
                }
                blocks.push(Block { block: object(&mut data, "content_block")?, input: String::new() });
            }
            "content_block_delta" => is_understood &= blocks.get_mut(place)?.add(&mut data["delta"])?,
            "message_delta" => {
                let answer = answer.as_mut()?;
                update(answer, &data["delta"])?;
                update(&mut answer["usage"], &data["usage"])?;
            }
            "message_stop" => is_whole = true,
            "content_block_stop" | "ping" => {}
            _ => is_understood = false,
        }
    }
    let mut answer = answer.filter(|_| is_whole)?;
    answer["content"] = blocks.into_iter().map(Block::whole).collect::<Option<_>>()?;
    Some(Folded { answer, is_understood })
}

/// Takes the field `name`; none if it is no object.
fn object(data: &mut Value, name: &str) -> Option<Value> {
    Some(data[name].take()).filter(json::is_object)
}

/// A block of content that is arriving.
struct Block {
    block: Value,
    /// A tool's input, which arrives as pieces of JSON.
    input: String,
}

impl Block {
    /// Adds a piece; returns whether its kind is known. None if the piece is broken.
    fn add(&mut self, delta: &mut Value) -> Option<bool> {
        let field = match delta["type"].as_str()? {
            "input_json_delta" => {
                self.input.push_str(delta["partial_json"].as_str()?);
                return Some(true);
            }
            "citations_delta" => {
                let citation = delta["citation"].take();
                match &mut self.block["citations"] {
                    Value::Array(citations) => citations.push(citation),
                    none => *none = json!([citation]),
                }
                return Some(true);
            }
            "text_delta" => "text",
            "thinking_delta" => "thinking",
            "signature_delta" => "signature",
            _ => return Some(false),
        };
        let part = delta[field].as_str()?;
        match &mut self.block[field] {
            Value::String(so_far) => so_far.push_str(part),
            other => *other = part.into(),
        }
        Some(true)
    }

    fn whole(mut self) -> Option<Value> {
        if !self.input.is_empty() {
            self.block["input"] = json::read(&self.input)?;
        }
        Some(self.block)
    }
}

/// Sets the fields of `piece`, if it has any; none if one of the two is no object.
fn update(whole: &mut Value, piece: &Value) -> Option<()> {
    if piece.is_null() {
        return Some(());
    }
    if !json::is_object(piece) || !(whole.is_null() || json::is_object(whole)) {
        return None;
    }
    for (name, value) in piece.as_object().into_iter().flatten() {
        if value.is_null() && whole.get(name).is_some() {
            continue;
        }
        whole[name] = value.clone();
    }
    Some(())
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

/// A block as it begins, and the pieces that complete it. Blocks of unknown kinds are sent whole at once.
fn pieces(block: &Value) -> (Value, Vec<Value>) {
    // Other vendors that speak this API sign nothing.
    let has_plain_signature = block["signature"].is_string() || block["signature"].is_null();
    let mut begun = block.clone();
    let mut deltas = Vec::new();
    match block["type"].as_str() {
        Some("text") if block["text"].is_string() => {
            begun["text"] = "".into();
            if let Some(citations) = begun.get_mut("citations").filter(|citations| citations.is_array()) {
                *citations = json!([]);
            }
            let citations = block["citations"].as_array().into_iter().flatten();
            deltas
                .extend(citations.map(|citation| json!({ "type": "citations_delta", "citation": citation })));
            deltas.push(json!({ "type": "text_delta", "text": block["text"] }));
        }
        Some("thinking") if block["thinking"].is_string() && has_plain_signature => {
            begun["thinking"] = "".into();
            deltas.push(json!({ "type": "thinking_delta", "thinking": block["thinking"] }));
            if let Some(signature) = begun.get_mut("signature").filter(|signature| !signature.is_null()) {
                *signature = "".into();
                deltas.push(json!({ "type": "signature_delta", "signature": block["signature"] }));
            }
        }
        Some("tool_use" | "server_tool_use") => {
            begun["input"] = json!({});
            let input = json::write(&block["input"]);
            deltas.push(json!({ "type": "input_json_delta", "partial_json": input }));
        }
        _ => {}
    }
    (begun, deltas)
}

/// Whether a block reports an error: its own, or that of a tool which the upstream ran.
fn is_failed(block: &Value) -> bool {
    let kind = block["content"]["type"].as_str().unwrap_or_default();
    is_error(block) || block["is_error"] == true || kind.ends_with("_tool_result_error")
}

pub(in super::super) fn summary(answer: &Value) -> Option<Summary> {
    if !matches!(
        answer["stop_reason"].as_str(),
        Some(
            "end_turn"
                | "max_tokens"
                | "model_context_window_exceeded"
                | "refusal"
                | "stop_sequence"
                | "tool_use"
        )
    ) {
        return None;
    }
    let content = answer["content"].as_array()?;
    if is_error(answer) || content.iter().any(is_failed) {
        return None;
    }
    let texts: Vec<&str> = content.iter().filter_map(|block| block["text"].as_str()).collect();
    let calls: Vec<&Value> = content.iter().filter(|block| block["type"] != "thinking").collect();
    let usage = answer.get("usage").filter(|usage| usage.is_object()).map(|usage| Usage {
        prompt_tokens: count(usage, "input_tokens")
            .saturating_add(count(usage, "cache_creation_input_tokens"))
            .saturating_add(count(usage, "cache_read_input_tokens")),
        completion_tokens: count(usage, "output_tokens"),
        cost_microusd: 0,
    });
    let is_refusal = answer["stop_reason"] == "refusal";
    let is_incomplete =
        matches!(answer["stop_reason"].as_str(), Some("max_tokens" | "model_context_window_exceeded"));
    let calls_tools = answer["stop_reason"] == "tool_use";
    Some(Summary { text: text_or(texts.concat(), &calls)?, usage, is_refusal, is_incomplete, calls_tools })
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
        let folded = fold(&events(&stream)).unwrap();
        assert_eq!((folded.answer, folded.is_understood), (answer(), true));
        assert_eq!(summary(&answer()).unwrap().usage.unwrap().prompt_tokens, 7);
        let cut = stream.rfind("event: message_stop").unwrap();
        assert!(fold(&events(&stream[..cut])).is_none());
    }

    #[test]
    fn an_error_ends_the_recording_and_a_kind_that_is_not_known_is_not_understood() {
        let stream = unfold(&answer());
        let broken = stream.replace(
            "event: message_delta",
            "event: error\ndata: {\"type\":\"error\"}\n\nevent: message_delta",
        );
        assert!(fold(&events(&broken)).is_none());
        assert!(!fold(&events(&stream.replace("signature_delta", "novelty_delta"))).unwrap().is_understood);
    }

    /// A part that is no object where there must be one used to be indexed by a name, which panics.
    #[test]
    fn a_stream_whose_parts_are_no_objects_is_none() {
        let stream = unfold(&answer());
        for part in ["message", "content_block", "delta", "usage"] {
            let at = stream.find(&format!("\"{part}\":{{")).unwrap() + part.len() + 3;
            let mut read = serde_json::Deserializer::from_str(&stream[at..]).into_iter::<Value>();
            read.next().unwrap().unwrap();
            let end = at + read.byte_offset();
            for strange in ["1", "1.50", "\"x\"", "[]"] {
                let broken = format!("{}{strange}{}", &stream[..at], &stream[end..]);
                assert!(fold(&events(&broken)).is_none(), "{broken}");
            }
        }
    }

    /// Such a block used to be written as a piece without a text, which no one can read.
    #[test]
    fn a_block_that_lacks_its_text_is_sent_whole() {
        for block in [
            json!({ "type": "text" }),
            json!({ "type": "text", "text": 1 }),
            json!({ "type": "thinking", "signature": "s" }),
            json!({ "type": "thinking", "thinking": "hm", "signature": 1 }),
        ] {
            let mut answer = answer();
            answer["content"][0] = block;
            assert_eq!(fold(&events(&unfold(&answer))).unwrap().answer, answer);
        }
    }

    #[test]
    fn tokens_that_no_number_can_count_are_the_most_that_one_can() {
        let mut answer = answer();
        answer["usage"]["input_tokens"] = u64::MAX.into();
        assert_eq!(summary(&answer).unwrap().usage.unwrap().prompt_tokens, u64::MAX);
    }

    #[test]
    fn what_was_cut_is_incomplete_and_inputs_keep_their_numbers() {
        let with = |reason: &str| {
            let mut answer = answer();
            answer["stop_reason"] = reason.into();
            summary(&answer)
        };
        assert!(with("max_tokens").unwrap().is_incomplete);
        assert!(with("refusal").unwrap().is_refusal);
        assert_eq!(with("pause_turn"), None);
        let input = r#"{"n":1500000000000000000000,"x":-0,"y":1.50}"#;
        let mut answer = answer();
        answer["content"][2]["input"] = json::read(input).unwrap();
        let folded = fold(&events(&unfold(&answer))).unwrap().answer;
        assert_eq!(json::write(&folded["content"][2]["input"]), input);
    }
}
