//! The ids by which a conversation holds what it was answered before.
//!
//! Clients tell messages apart by the ids of responses, and some replace the one that they have by another of the same
//! id. So an answer that a conversation holds already is not given to it a second time.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::api::Api;
use super::recording;
use crate::entry::Entry;

pub(super) type Ids = HashSet<String>;

/// The fields that hold ids of responses, or of parts of them.
const FIELDS: [&str; 5] = ["id", "call_id", "tool_call_id", "tool_use_id", "previous_response_id"];

/// The ids that the conversation of a request names.
pub(super) fn of_request(api: Api, fields: &Map<String, Value>) -> Ids {
    let mut ids = Ids::new();
    if let Some(Value::String(id)) = fields.get("previous_response_id") {
        ids.insert(id.clone());
    }
    collect(fields.get(api.turns()).unwrap_or(&Value::Null), &mut ids);
    ids
}

/// Whether a conversation that holds `ids` holds the answer of `entry`.
pub(super) fn is_held(ids: &Ids, entry: &Entry, api: Api) -> bool {
    if ids.is_empty() {
        return false;
    }
    let mut own = Ids::new();
    collect(&recording::answer(entry, api).unwrap_or_default(), &mut own);
    !ids.is_disjoint(&own)
}

/// Only strings count: a number may be anything.
fn collect(value: &Value, ids: &mut Ids) {
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
