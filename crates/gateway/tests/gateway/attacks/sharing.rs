//! Callers who share answers, for tests of how one of them affects the others.

use std::sync::Arc;

use serde_json::{Value, json};
use wellspring::embed::FakeEmbedder;
use wellspring::{Admission, Cache, Store};
use wellspring_gateway::auth::{Permission, Token};
use wellspring_gateway::{Listeners, Options, Sharing};

use crate::running::{Reply, Running};
use crate::upstream::Upstream;

/// The names of callers, each of which is its secret, too.
const CALLERS: [&str; 5] = ["alice", "bob", "carol", "dave", "eve"];

/// A gateway of callers who share, over `store`.
pub(super) async fn start(
    store: Arc<dyn Store>,
    confirmations: u32,
    change: impl FnOnce(&mut Options),
) -> Running {
    let upstream = Upstream::start().await;
    let builder = Cache::builder_from(Arc::new(FakeEmbedder::new(128)), store).similarity_threshold(0.8);
    let admission = Admission::default().confirmations(confirmations);
    let cache = builder.admission(admission).build().await.unwrap();
    let all = [Permission::Read, Permission::Fill, Permission::Feedback];
    let mut options = Options::default();
    options.tokens = CALLERS.map(|name| Token::new(name, &all, name)).into();
    options.tokens.push(Token::new("ops", &[Permission::Admin], "ops"));
    options.sharing = Sharing::Shared;
    options.openai.url = upstream.url();
    options.anthropic.url = upstream.url();
    change(&mut options);
    Running::serve(upstream, cache, options, Listeners::default())
}

pub(super) async fn post(gateway: &Running, caller: &str, path: &str, body: &Value) -> Reply {
    let request = gateway.client.post(gateway.url(path)).json(body).header("wellspring-token", caller);
    Reply::of(request.send().await.unwrap()).await
}

/// The response to `caller` when it asks the cache for what `asked` names.
pub(super) async fn look(gateway: &Running, caller: &str, asked: &Value) -> Value {
    let reply = post(gateway, caller, "/v1/cache/lookup", asked).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

/// The answer that `caller` is served, if it is.
pub(super) async fn served(gateway: &Running, caller: &str, asked: &Value) -> Option<String> {
    let found = look(gateway, caller, asked).await;
    found["answer"].as_str().map(str::to_owned)
}

/// Stores `answer` for what `asked` names, in place of what is stored, as derived from `document`; its entry.
pub(super) async fn fill(
    gateway: &Running,
    caller: &str,
    asked: &Value,
    answer: &str,
    document: &str,
) -> String {
    let mut asked = asked.clone();
    asked["renew"] = true.into();
    let miss = look(gateway, caller, &asked).await;
    let fill = json!({ "permit": miss["permit"], "answer": answer, "sources": [{ "id": document }] });
    let stored = post(gateway, caller, "/v1/cache/fill", &fill).await.json();
    assert_eq!(stored["status"], "stored", "{stored}");
    stored["entry"].as_str().unwrap().to_owned()
}

/// Sends the feedback of `caller` on `entry`; the status.
pub(super) async fn say(gateway: &Running, caller: &str, entry: &str, verdict: &str) -> u16 {
    post(gateway, caller, "/v1/cache/feedback", &json!({ "entry": entry, "verdict": verdict })).await.status
}

/// Reports that `document` changed.
pub(super) async fn change(gateway: &Running, document: &str) {
    let url = format!("http://{}/v1/documents/changed", gateway.admin);
    let request = gateway.client.post(url).json(&json!({ "id": document })).header("wellspring-token", "ops");
    assert_eq!(request.send().await.unwrap().status(), 200);
}
