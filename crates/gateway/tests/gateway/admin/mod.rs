//! What operators of the gateway see: metrics, the page and its data, the description of the routes.

mod access;
mod browser;
mod data;
mod grafana;
mod judgements;
mod metrics;
mod openapi;
mod page;

use serde_json::{Value, json};

use crate::running::{Reply, Running};

const CHAT: &str = "/v1/chat/completions";

/// A question that names the document that its answer comes from.
fn asked(question: &str, document: &str) -> Value {
    json!({
        "model": "good", "messages": [{ "role": "user", "content": question }],
        "wellspring": { "question": question, "sources": [{ "id": document }] },
    })
}

async fn ask(gateway: &Running, question: &str, document: &str) -> Reply {
    gateway.ask(CHAT, &asked(question, document)).await
}

async fn get(gateway: &Running, path: &str) -> Reply {
    Reply::of(gateway.client.get(format!("http://{}{path}", gateway.admin)).send().await.unwrap()).await
}

async fn post(gateway: &Running, path: &str, body: &Value) -> Reply {
    let request = gateway.client.post(format!("http://{}{path}", gateway.admin)).json(body);
    Reply::of(request.send().await.unwrap()).await
}

/// Two wordings, near to one another for the fake embedder.
const ONE: &str = "how long does it take until a refund of my order arrives";
const OTHER: &str = "how long does it take until a refund of my order arrives please";
