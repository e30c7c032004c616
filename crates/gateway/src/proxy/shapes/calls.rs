//! Tool calls and details of reasoning: lists whose items arrive in pieces that name their place.

use serde_json::{Map, Value};

use super::is_blank;
use super::pieces::{add_parts, append, put};

/// The fields of a detail that arrive in parts, and those that arrive whole.
const DETAIL: ([&str; 2], [&str; 6]) =
    (["text", "summary"], ["type", "id", "format", "index", "signature", "data"]);

/// The lists of a message that is being put together.
#[derive(Default)]
pub(super) struct Calls {
    /// Each call with the place that its pieces name.
    calls: Vec<(Option<u64>, Map<String, Value>)>,
    details: Vec<(Option<u64>, Map<String, Value>)>,
}

impl Calls {
    /// Adds a piece of a call; returns whether it was understood.
    pub(super) fn add_call(&mut self, piece: Value) -> bool {
        let Value::Object(mut piece) = piece else { return false };
        let place = piece.remove("index").and_then(|index| index.as_u64());
        let id = piece.get("id").and_then(Value::as_str).unwrap_or_default();
        let last = self.calls.iter_mut().rev().find(|(its, _)| place.is_none() || *its == place);
        let call = match last {
            // Some vendors send several whole calls at one place; another id then means another call.
            Some((_, call))
                if id.is_empty() || call.get("id").is_none_or(|its| is_blank(its) || its == id) =>
            {
                call
            }
            _ => {
                self.calls.push((place, Map::new()));
                let Some((_, call)) = self.calls.last_mut() else { return false };
                call
            }
        };
        // Without ids, a second call cannot be distinguished from more of the first one.
        let names = |call: &Map<String, Value>| {
            call.get("function").and_then(|function| function.get("name")).is_some_and(|name| !is_blank(name))
        };
        let arguments = call.get("function").and_then(|function| function.get("arguments"));
        let has_arguments = arguments.is_some_and(|arguments| !is_blank(arguments));
        let mut is_understood = !(id.is_empty() && names(&piece) && has_arguments);
        for (name, value) in piece {
            is_understood &= match (name.as_str(), value) {
                ("function", Value::Object(function)) => {
                    add_parts(call, "function", function, &["arguments"], &["name"])
                }
                ("custom", Value::Object(custom)) => add_parts(call, "custom", custom, &["input"], &["name"]),
                // The last field holds the signatures of Gemini's thoughts.
                ("id" | "type" | "extra_content", value) => put(call, &name, value),
                (_, value) => is_blank(&value),
            };
        }
        is_understood
    }

    /// Adds a piece of a detail; returns whether it was understood.
    pub(super) fn add_detail(&mut self, piece: Value) -> bool {
        let Value::Object(piece) = piece else { return false };
        let place = piece.get("index").and_then(Value::as_u64);
        let kind = piece.get("type");
        let same = |detail: &Map<String, Value>| kind.is_none() || detail.get("type") == kind;
        let is_begun = |(its, detail): &(_, Map<_, _>)| place.is_some() && *its == place && same(detail);
        let at = self.details.iter().rposition(is_begun).unwrap_or_else(|| {
            self.details.push((place, Map::new()));
            self.details.len() - 1
        });
        let Some((_, detail)) = self.details.get_mut(at) else { return false };
        let mut is_understood = true;
        for (name, value) in piece {
            is_understood &= if DETAIL.0.contains(&name.as_str()) {
                append(detail, &name, value)
            } else if DETAIL.1.contains(&name.as_str()) {
                put(detail, &name, value)
            } else {
                is_blank(&value)
            };
        }
        is_understood
    }

    /// Adds the lists to their message; returns whether every call has a name.
    pub(super) fn finish(self, message: &mut Map<String, Value>) -> bool {
        let list =
            |items: Vec<(_, Map<_, _>)>| items.into_iter().map(|(_, item)| Value::Object(item)).collect();
        let is_understood = self.calls.iter().all(|(_, call)| {
            let name =
                |kind: &str| call.get(kind).and_then(|of| of.get("name")).is_some_and(|name| !is_blank(name));
            name("function") || name("custom")
        });
        if !self.calls.is_empty() {
            message.insert("tool_calls".into(), list(self.calls));
        }
        if !self.details.is_empty() {
            message.insert("reasoning_details".into(), list(self.details));
        }
        is_understood
    }

    /// Whether a call that arrived whole is understood.
    pub(super) fn is_call(call: &Value) -> bool {
        Self::default().add_call(call.clone())
    }

    /// Whether a detail that arrived whole is understood.
    pub(super) fn is_detail(detail: &Value) -> bool {
        Self::default().add_detail(detail.clone())
    }
}
