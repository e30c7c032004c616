//! How each API represents an answer, whole or as a stream, and the conversion between the two.

mod calls;
pub(super) mod chat;
pub(super) mod messages;
mod pieces;
pub(super) mod responses;

use serde_json::Value;
use wellspring::entry::Usage;

/// The parts of an answer that matter to the cache.
#[derive(Debug, PartialEq)]
pub(super) struct Summary {
    /// Its text, or its tool calls.
    pub(super) text: String,
    pub(super) usage: Option<Usage>,
    /// Whether the model refused to answer.
    pub(super) is_refusal: bool,
    /// Whether a token limit cut it off.
    pub(super) is_incomplete: bool,
    /// Whether it calls tools, so that its text is not yet the final answer.
    pub(super) calls_tools: bool,
}

/// The answer that a stream holds.
#[derive(Debug)]
pub(super) struct Folded {
    pub(super) answer: Value,
    /// Whether `answer` holds everything in the stream. Otherwise it is only good for a [`Summary`].
    pub(super) is_understood: bool,
}

/// Sets a field that there is to `value`.
fn replace(fields: &mut Value, name: &str, value: Value) {
    if let Some(field) = fields.get_mut(name) {
        *field = value;
    }
}

/// A number in a usage; 0 if it is missing.
fn count(usage: &Value, name: &str) -> u64 {
    usage[name].as_u64().unwrap_or(0)
}

/// Whether a value is empty: some vendors send such a value where others omit the field.
pub(super) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(number) => number.as_u64() == Some(0),
        Value::Bool(_) => false,
    }
}

/// Whether `value` has only fields of these names, apart from fields that are null.
fn has_only(value: &Value, names: &[&str]) -> bool {
    value.as_object().is_some_and(|fields| {
        fields.iter().all(|(name, value)| names.contains(&name.as_str()) || value.is_null())
    })
}

/// Whether `value` reports an error, in any of the ways that vendors have.
fn is_error(value: &Value) -> bool {
    value.get("error").is_some_and(|error| !error.is_null())
        || [&value["object"], &value["type"]].into_iter().any(|kind| kind == "error")
}

/// The text of an answer; its tool calls if it has no text.
fn text_or(text: String, calls: &[&Value]) -> Option<String> {
    match (text.trim().is_empty(), calls) {
        (false, _) => Some(text),
        (true, []) => None,
        (true, calls) => serde_json::to_string(calls).ok(),
    }
}
