//! Anthropic's messages.

use serde_json::{Map, Value, json};
use wellspring::entry::Usage;

use super::super::json;
use super::super::sse::{Event, write};
use super::{Folded, Summary, count, has_only, is_blank, is_error, replace, text_or};

/// The fields of an answer, and those of them that are known only at the end.
const OF_ANSWER: [&str; 12] = [
    "id",
    "type",
    "role",
    "model",
    "content",
    "usage",
    "diagnostics",
    "stop_reason",
    "stop_sequence",
    "stop_details",
    "container",
    "context_management",
];
/// The kinds of blocks whose input arrives in pieces.
const TOOLS: [&str; 3] = ["tool_use", "server_tool_use", "mcp_tool_use"];
/// What the last piece says of how the answer ended.
const OF_END: [&str; 4] = ["stop_reason", "stop_sequence", "stop_details", "container"];

/// The fields of a block of this kind; none if the kind is not known.
fn of_block(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "text" => &["type", "text", "citations"],
        "thinking" => &["type", "thinking", "signature"],
        "redacted_thinking" => &["type", "data"],
        "tool_use" | "server_tool_use" => &["type", "id", "name", "input", "caller", "toolset_name"],
        "mcp_tool_use" => &["type", "id", "name", "input", "server_name"],
        "web_search_tool_result"
        | "web_fetch_tool_result"
        | "code_execution_tool_result"
        | "bash_code_execution_tool_result"
        | "text_editor_code_execution_tool_result"
        | "tool_search_tool_result" => &["type", "tool_use_id", "content", "caller"],
        "mcp_tool_result" => &["type", "tool_use_id", "content", "is_error"],
        "container_upload" => &["type", "file_id"],
        _ => return None,
    })
}

fn is_known(block: &Value) -> bool {
    block["type"].as_str().and_then(of_block).is_some_and(|names| has_only(block, names))
}

/// A piece of an unknown kind, or with an unknown field, makes the answer not understood.
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
            "message_start" => {
                let message = object(&mut data, "message")?;
                is_understood &=
                    answer.is_none() && is_begun(&message) && has_only(&data, &["type", "message"]);
                answer = Some(message);
            }
            "content_block_start" => {
                if place != blocks.len() {
                    return None;
                }
                let block = object(&mut data, "content_block")?;
                is_understood &= is_known(&block) && has_only(&data, &["type", "index", "content_block"]);
                blocks.push(Block { block, input: String::new() });
            }
            "content_block_delta" => {
                is_understood &= blocks.get_mut(place)?.add(&mut data["delta"])?;
                is_understood &= has_only(&data, &["type", "index", "delta"]);
            }
            "content_block_stop" => is_understood &= has_only(&data, &["type", "index"]),
            "message_delta" => {
                is_understood &= data["delta"].is_null() || has_only(&data["delta"], &OF_END);
                is_understood &= has_only(&data, &["type", "delta", "usage", "context_management"]);
                let answer = answer.as_mut()?;
                update(answer, &data["delta"])?;
                if !data["usage"].is_null() {
                    update(&mut answer["usage"], &data["usage"])?;
                }
                if let Some(edits) = data.get("context_management") {
                    update(answer, &json!({ "context_management": edits }))?;
                }
            }
            "message_stop" => {
                is_whole = true;
                is_understood &= has_only(&data, &["type"]);
            }
            "ping" => {}
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

/// Whether this is how an answer begins: without content, which arrives later.
fn is_begun(message: &Value) -> bool {
    has_only(message, &OF_ANSWER) && is_blank(&message["content"])
}

/// A block of content that is arriving.
struct Block {
    block: Value,
    /// A tool's input, which arrives as pieces of JSON.
    input: String,
}

impl Block {
    /// Adds a piece; returns whether it is known in a block of this kind. None if the piece is broken.
    fn add(&mut self, delta: &mut Value) -> Option<bool> {
        let (field, kinds): (_, &[&str]) = match delta["type"].as_str()? {
            "input_json_delta" => ("partial_json", &TOOLS),
            "citations_delta" => ("citation", &["text"]),
            "text_delta" => ("text", &["text"]),
            "thinking_delta" => ("thinking", &["thinking"]),
            "signature_delta" => ("signature", &["thinking"]),
            _ => return Some(false),
        };
        let kind = self.block["type"].as_str();
        let is_known = kind.is_some_and(|kind| kinds.contains(&kind)) && has_only(delta, &["type", field]);
        if field == "citation" {
            let citation = delta["citation"].take();
            match &mut self.block["citations"] {
                Value::Array(citations) => citations.push(citation),
                none => *none = json!([citation]),
            }
            return Some(is_known);
        }
        let part = delta[field].as_str()?;
        if field == "partial_json" {
            self.input.push_str(part);
            return Some(is_known);
        }
        match &mut self.block[field] {
            Value::String(so_far) => so_far.push_str(part),
            other => *other = part.into(),
        }
        Some(is_known)
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

/// Every stream has the usage at its end, and clients read it without looking.
pub(in super::super) fn unfold(answer: &Value) -> Result<String, &'static str> {
    let blocks = answer["content"].as_array().ok_or("form")?;
    if !has_only(answer, &OF_ANSWER) || !blocks.iter().all(is_known) {
        return Err("form");
    }
    if answer["usage"].is_null() {
        return Err("usage");
    }
    let mut stream = String::new();
    let mut push = |name: &str, data: Value| {
        let mut event = Map::from_iter([("type".to_owned(), name.into())]);
        event.extend(data.as_object().cloned().unwrap_or_default());
        write(&mut stream, name, &event.into());
    };
    let mut begun = answer.clone();
    begun["content"] = json!([]);
    let mut end = json!({ "delta": {}, "usage": answer["usage"] });
    for name in OF_END {
        replace(&mut begun, name, Value::Null);
        if let Some(value) = answer.get(name) {
            end["delta"][name] = value.clone();
        }
    }
    replace(&mut begun, "context_management", Value::Null);
    if let Some(edits) = answer.get("context_management") {
        end["context_management"] = edits.clone();
    }
    push("message_start", json!({ "message": begun }));
    for (index, block) in blocks.iter().enumerate() {
        let (begun, deltas) = pieces(block);
        push("content_block_start", json!({ "index": index, "content_block": begun }));
        for delta in deltas {
            push("content_block_delta", json!({ "index": index, "delta": delta }));
        }
        push("content_block_stop", json!({ "index": index }));
    }
    push("message_delta", end);
    push("message_stop", json!({}));
    Ok(stream)
}

/// A block as it begins, and the pieces that complete it. Blocks of the other kinds are sent whole at once.
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
        Some(kind) if TOOLS.contains(&kind) && json::is_object(&block["input"]) => {
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
        let stream = unfold(&answer()).unwrap();
        let folded = fold(&events(&stream)).unwrap();
        assert_eq!((folded.answer, folded.is_understood), (answer(), true));
        assert_eq!(summary(&answer()).unwrap().usage.unwrap().prompt_tokens, 7);
        let cut = stream.rfind("event: message_stop").unwrap();
        assert!(fold(&events(&stream[..cut])).is_none());
    }

    #[test]
    fn an_error_ends_the_recording_and_a_kind_that_is_not_known_is_not_understood() {
        let stream = unfold(&answer()).unwrap();
        let broken = stream.replace(
            "event: message_delta",
            "event: error\ndata: {\"type\":\"error\"}\n\nevent: message_delta",
        );
        assert!(fold(&events(&broken)).is_none());
        assert!(!fold(&events(&stream.replace("signature_delta", "novelty_delta"))).unwrap().is_understood);
    }

    /// A field beside a piece, or within it, used to be dropped, and so was a block whose pieces are not known.
    #[test]
    fn what_is_not_known_of_an_event_makes_the_answer_not_understood() {
        let stream = unfold(&answer()).unwrap();
        for (piece, strange) in [
            ("\"message\":{", "\"message\":{\"novelty\":1,"),
            ("\"message\":{\"content\":[]", "\"message\":{\"content\":[{}]"),
            ("\"content_block\":{", "\"content_block\":{\"novelty\":1,"),
            ("\"type\":\"tool_use\"", "\"type\":\"novel\""),
            ("\"delta\":{\"text\"", "\"delta\":{\"novelty\":1,\"text\""),
            ("\"delta\":{\"stop_reason\"", "\"delta\":{\"novelty\":1,\"stop_reason\""),
            ("\"delta\":{", "\"novelty\":1,\"delta\":{"),
            ("text_delta", "thinking_delta\",\"thinking\":\""),
            ("\"type\":\"content_block_stop\"", "\"novelty\":1,\"type\":\"content_block_stop\""),
            ("\"type\":\"message_delta\"", "\"novelty\":1,\"type\":\"message_delta\""),
            ("\"type\":\"message_stop\"", "\"novelty\":1,\"type\":\"message_stop\""),
        ] {
            assert!(stream.contains(piece), "{piece} {stream}");
            let strange = stream.replacen(piece, strange, 1);
            assert!(!fold(&events(&strange)).unwrap().is_understood, "{strange}");
        }
        for (name, value) in [("novelty", json!(1)), ("content", json!([{ "type": "novel", "text": "x" }]))] {
            let mut answer = answer();
            answer[name] = value;
            assert_eq!(unfold(&answer), Err("form"));
        }
        for content in
            [json!({ "type": "compaction", "content": "x" }), json!({ "type": "text", "novelty": 1 })]
        {
            let mut answer = answer();
            answer["content"][0] = content;
            assert_eq!(unfold(&answer), Err("form"));
        }
    }

    /// Clients take these from the last piece only. They used to be in the first one, or nowhere.
    #[test]
    fn what_is_known_only_at_the_end_comes_with_the_last_piece() {
        let mut answer = answer();
        answer["context_management"] = json!({ "applied_edits": [{ "cleared_tool_uses": 8 }] });
        answer["container"] = json!({ "id": "c" });
        answer["stop_details"] = json!({ "type": "x" });
        let stream = unfold(&answer).unwrap();
        let read = events(&stream);
        let (first, last) = (read[0].json().unwrap(), read[read.len() - 2].json().unwrap());
        for name in ["container", "stop_details"] {
            assert_eq!((&first["message"][name], &last["delta"][name]), (&Value::Null, &answer[name]));
        }
        assert_eq!(last["context_management"], answer["context_management"]);
        let folded = fold(&read).unwrap();
        assert_eq!((folded.answer, folded.is_understood), (answer, true));
    }

    #[test]
    fn usage_and_inputs_that_are_missing_are_not_made_up() {
        let mut without = answer();
        without.as_object_mut().unwrap().remove("usage");
        assert_eq!(unfold(&without), Err("usage"));
        let usage = format!("\"usage\":{}", answer()["usage"]);
        let stream = unfold(&answer()).unwrap();
        let stream = stream.replace(&format!(",{usage}"), "");
        assert!(!stream.contains("usage"), "{stream}");
        let folded = fold(&events(&stream)).unwrap();
        assert_eq!((folded.answer, folded.is_understood), (without, true));
        let mut answer = answer();
        answer["content"][2].as_object_mut().unwrap().remove("input");
        assert_eq!(fold(&events(&unfold(&answer).unwrap())).unwrap().answer, answer);
    }

    /// A part that is no object where there must be one used to be indexed by a name, which panics.
    #[test]
    fn a_stream_whose_parts_are_no_objects_is_none() {
        let stream = unfold(&answer()).unwrap();
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
            assert_eq!(fold(&events(&unfold(&answer).unwrap())).unwrap().answer, answer);
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
        let folded = fold(&events(&unfold(&answer).unwrap())).unwrap().answer;
        assert_eq!(json::write(&folded["content"][2]["input"]), input);
    }
}
