//! The gateway over real sockets: what callers and upstreams see of it.

mod access;
mod cors;
mod faults;
mod followers;
mod headers;
mod http_caching;
mod identity;
mod questions;
mod replays;
mod through;
mod tls;
mod vendors;

use serde_json::{Value, json};

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const MESSAGES: &str = "/v1/messages";
pub(crate) const RESPONSES: &str = "/v1/responses";
pub(crate) const COMPLETIONS: &str = "/v1/completions";

/// A request to `path` that asks `question` of `model`.
pub(crate) fn request(path: &str, model: &str, question: &str) -> Value {
    match path {
        RESPONSES => json!({ "model": model, "input": question }),
        COMPLETIONS => json!({ "model": model, "prompt": question }),
        _ => json!({
            "model": model, "max_tokens": 100,
            "messages": [{ "role": "user", "content": question }],
        }),
    }
}

pub(crate) fn streamed(mut request: Value) -> Value {
    request["stream"] = true.into();
    request
}

pub(crate) fn chat(question: &str) -> Value {
    request(CHAT, "good", question)
}
