//! The servers' configuration, as far as the user may see it.

use std::collections::HashMap;

use redis::Value;

use crate::store::valkey::{Inner, reply};

/// The settings that the findings use.
const READ: [&str; 8] = [
    "busy-reply-threshold",
    "lazyfree-lazy-eviction",
    "lazyfree-lazy-expire",
    "lazyfree-lazy-user-del",
    "min-replicas-to-write",
    "repl-backlog-ttl",
    "save",
    "tracking-table-max-keys",
];

/// The settings of each server, by address. Empty if they are not visible: administrators reserve the
/// right to read them, and so do hosted services.
#[derive(Debug, Default)]
pub(super) struct Settings(HashMap<String, HashMap<String, String>>);

impl Settings {
    pub(super) async fn read(inner: &Inner) -> Self {
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg(&READ[..]);
        let replies = inner.control.send_to_all(&get, inner.options.invalidate_timeout).await;
        let replies = replies.unwrap_or_default();
        Self(replies.into_iter().map(|(address, reply)| (address, pairs(&reply))).collect())
    }

    /// The settings of one server; none if they are not visible.
    pub(super) fn of(&self, address: &str) -> Option<&HashMap<String, String>> {
        self.0.get(address).filter(|settings| !settings.is_empty())
    }
}

fn pairs(reply: &Value) -> HashMap<String, String> {
    let pairs: Vec<(&Value, &Value)> = match reply {
        Value::Map(pairs) => pairs.iter().map(|(name, value)| (name, value)).collect(),
        other => {
            let items = reply::items(other).unwrap_or_default();
            items.as_chunks::<2>().0.iter().map(|[name, value]| (name, value)).collect()
        }
    };
    pairs
        .into_iter()
        .filter_map(|(name, value)| Some((reply::text(name)?.to_owned(), reply::text(value)?.to_owned())))
        .collect()
}
