//! Putting objects together from pieces: fields that arrive whole, and texts that arrive in parts.

use serde_json::{Map, Value, json};

use super::is_blank;

/// Keeps the first value that is not blank.
pub(super) fn label(whole: &mut Map<String, Value>, name: &str, value: Value) {
    if whole.get(name).is_none_or(is_blank) {
        whole.insert(name.to_owned(), value);
    }
}

/// The same; returns whether there is no other value.
pub(super) fn put(whole: &mut Map<String, Value>, name: &str, value: Value) -> bool {
    let is_same = is_blank(&value) || whole.get(name).is_none_or(|there| is_blank(there) || *there == value);
    label(whole, name, value);
    is_same
}

/// Adds a part of a text; returns whether it is text.
pub(super) fn append(whole: &mut Map<String, Value>, name: &str, part: Value) -> bool {
    match (whole.get_mut(name), part) {
        (Some(Value::String(text)), Value::String(part)) => text.push_str(&part),
        (None | Some(Value::Null), part @ (Value::String(_) | Value::Null)) => {
            whole.insert(name.to_owned(), part);
        }
        (_, Value::Null) => {}
        // If the content is of several kinds, its last value is kept, so that its text can be found.
        (_, part) => {
            whole.insert(name.to_owned(), part);
            return false;
        }
    }
    true
}

/// Adds a piece of an object, some of whose fields arrive in parts and some whole; returns whether it was
/// understood.
pub(super) fn add_parts(
    whole: &mut Map<String, Value>,
    name: &str,
    piece: Map<String, Value>,
    texts: &[&str],
    labels: &[&str],
) -> bool {
    let there = whole.entry(name).or_insert_with(|| json!({}));
    if !there.is_object() {
        *there = json!({});
    }
    let Value::Object(there) = there else { return false };
    let mut is_understood = true;
    for (name, value) in piece {
        is_understood &= if texts.contains(&name.as_str()) {
            append(there, &name, value)
        } else if labels.contains(&name.as_str()) {
            put(there, &name, value)
        } else {
            is_blank(&value)
        };
    }
    is_understood
}
