//! The earlier answers that a conversation already holds.
//!
//! Clients identify messages by the ids of responses, and some replace the message that they have by another
//! of the same id. Other clients show an answer that they cannot use, and what is wrong with it, as further
//! turns, because they want a better one. So an answer that a conversation already holds is not given to it a
//! second time.

use std::collections::HashSet;

use serde_json::{Map, Value};
use wellspring::entry::Entry;

use super::api::Api;
use super::recording;

/// The fields that hold ids of responses, or of parts of them.
const FIELDS: [&str; 5] = ["id", "call_id", "tool_call_id", "tool_use_id", "previous_response_id"];

#[derive(Debug, Default)]
pub(super) struct Held {
    ids: HashSet<String>,
    /// The last answer, without white space, because the way it was split into parts does not matter.
    text: String,
}

impl Held {
    /// Collects what the conversation of a request holds.
    pub(super) fn by(api: Api, fields: &Map<String, Value>) -> Self {
        let turns = fields.get(api.turns()).unwrap_or(&Value::Null);
        let mut held = Self::default();
        if let Some(Value::String(id)) = fields.get("previous_response_id") {
            held.ids.insert(id.clone());
        }
        collect(turns, &mut held.ids);
        let last = turns.as_array().and_then(|turns| turns.iter().rfind(|turn| turn["role"] == "assistant"));
        held.text = last.map(|turn| text(&turn["content"])).unwrap_or_default();
        held
    }

    /// Whether the conversation holds the answer of `entry`.
    pub(super) fn holds(&self, entry: &Entry, api: Api) -> bool {
        if !self.text.is_empty() && self.text == squeezed(&entry.answer.text) {
            return true;
        }
        if self.ids.is_empty() {
            return false;
        }
        let mut own = HashSet::new();
        collect(&recording::answer(entry, api).unwrap_or_default(), &mut own);
        !self.ids.is_disjoint(&own)
    }
}

/// The text of a turn, without white space.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => squeezed(text),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part["text"].as_str().or(part["refusal"].as_str()));
            texts.map(squeezed).collect()
        }
        _ => String::new(),
    }
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Only strings count, because a number may mean anything.
fn collect(value: &Value, ids: &mut HashSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, ids)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(id) if FIELDS.contains(&name.as_str()) && !id.is_empty() => {
                        ids.insert(id.clone());
                    }
                    value => collect(value, ids),
                }
            }
        }
        _ => {}
    }
}
