//! How each API tells an answer, at once or as a stream, and from one to the other.

mod calls;
pub(super) mod chat;
pub(super) mod messages;
pub(super) mod responses;

use serde_json::Value;

/// A number of a usage; 0 if there is none.
fn count(usage: &Value, name: &str) -> u64 {
    usage[name].as_u64().unwrap_or(0)
}

/// Whether a value says nothing: some vendors send it where others send no field.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(number) => number.as_u64() == Some(0),
        Value::Bool(_) => false,
    }
}

/// The text of an answer; its calls of tools if it has none.
fn text_or(text: String, calls: &[&Value]) -> Option<String> {
    match (text.trim().is_empty(), calls) {
        (false, _) => Some(text),
        (true, []) => None,
        (true, calls) => serde_json::to_string(calls).ok(),
    }
}
