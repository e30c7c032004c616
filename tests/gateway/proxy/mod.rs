//! The gateway over real sockets: what callers and upstreams see of it.

mod access;
mod faults;
mod followers;
mod http_caching;
mod identity;
mod questions;
mod replays;
mod tls;
mod vendors;

use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";
const RESPONSES: &str = "/v1/responses";
const COMPLETIONS: &str = "/v1/completions";

/// A request to `path` that asks `question` of `model`.
fn request(path: &str, model: &str, question: &str) -> Value {
    match path {
        RESPONSES => json!({ "model": model, "input": question }),
        COMPLETIONS => json!({ "model": model, "prompt": question }),
        _ => json!({
            "model": model, "max_tokens": 100,
            "messages": [{ "role": "user", "content": question }],
        }),
    }
}

fn streamed(mut request: Value) -> Value {
    request["stream"] = true.into();
    request
}

fn chat(question: &str) -> Value {
    request(CHAT, "good", question)
}
