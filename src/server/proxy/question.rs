//! What is asked, and the fingerprint of everything else: who may be given the same answer.
//!
//! A named question replaces the conversation in the key; an unnamed one is the last message, if it is a plain text
//! of a user. An unnamed text of several lines may be code or data, where whitespace has a meaning, so it is
//! matched exactly as it stands. Everything else (pictures, results of tools) is matched as a whole.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::api::Api;
use super::directives::Directives;
use super::upstream::Outgoing;
use crate::cache::Query;
use crate::key::{Scope, normalise};
use crate::server::auth::sha256;

/// What is no part of an answer's identity: it only says how the answer is sent.
const TRANSPORT: [&str; 3] = ["stream", "stream_options", "wellspring"];

/// A question and what its answer depends on beside it.
#[derive(Debug, PartialEq)]
struct Asked {
    text: String,
    /// The text as it stands, if that counts.
    verbatim: Option<String>,
    is_exact: bool,
    /// Everything else of the request.
    rest: Map<String, Value>,
}

/// The query for the request `fields`, shared by `tenant`.
pub(super) fn query(
    api: Api,
    mut fields: Map<String, Value>,
    directives: &Directives,
    outgoing: &Outgoing,
    (base, tenant): (&str, Option<String>),
    longest: usize,
) -> Query {
    fields.retain(|name, _| !TRANSPORT.contains(&name.as_str()) && !directives.ignore.contains(name));
    let asked = match &directives.question {
        Some(question) => named(api, fields, question, directives),
        None => unnamed(api, fields, longest),
    };
    let everything = json!({
        "api": api.name(), "base": base, "beside_body": outgoing.beside_body,
        "named": directives.question.is_some(), "request": asked.rest,
        "verbatim": asked.verbatim,
    });
    let mut scope = Scope::new().parameter("gateway", digest(&everything));
    let tenants = [tenant, directives.tenant.as_deref().map(|name| hex::encode(sha256(name)))];
    let tenants: Vec<String> = tenants.into_iter().flatten().collect();
    if !tenants.is_empty() {
        scope = scope.tenant(tenants.join("/"));
    }
    if let Some(namespace) = &directives.namespace {
        scope = scope.namespace(namespace.clone());
    }
    // A conversation that is not named is part of the scope as a whole.
    let conversation = match &directives.conversation {
        Some(conversation) => Some(conversation.as_str()),
        None if directives.question.is_none() => Some(""),
        None => None,
    };
    let mut query = Query::new(asked.text).scope(scope);
    if let Some(conversation) = conversation {
        query = query.conversation(conversation);
    }
    if let Some(corpus) = &directives.corpus {
        query = query.corpus(corpus.clone());
    }
    if let Some(criterion) = directives.criterion() {
        query = query.criterion(criterion);
    }
    if asked.is_exact || directives.exact { query.exact_only() } else { query }
}

/// The caller says what is asked. Of the conversation only the system prompt counts: the rest is what was
/// retrieved for this question.
fn named(api: Api, mut rest: Map<String, Value>, question: &str, directives: &Directives) -> Asked {
    let turns = rest.remove(api.turns()).unwrap_or_default();
    if let Value::Array(turns) = turns
        && !directives.ignore.iter().any(|name| name == "system")
    {
        let system = |turn: &Value| matches!(turn["role"].as_str(), Some("system" | "developer"));
        rest.insert(api.turns().to_owned(), turns.into_iter().filter(system).collect());
    }
    Asked { text: question.to_owned(), verbatim: None, is_exact: false, rest }
}

fn unnamed(api: Api, mut rest: Map<String, Value>, longest: usize) -> Asked {
    let verbatim = rest.get_mut(api.turns()).and_then(take_text);
    let text = verbatim.as_ref().filter(|text| text.len() <= longest && normalise(text).is_ok());
    match text {
        Some(text) if !text.trim().contains(['\n', '\r', '\t']) => {
            Asked { text: text.clone(), verbatim: None, is_exact: false, rest }
        }
        Some(text) => Asked { text: text.clone(), verbatim, is_exact: true, rest },
        None => {
            let whole = json!([&rest, &verbatim]);
            let text = format!("{} request {}", api.name(), digest(&whole));
            Asked { text, verbatim, is_exact: true, rest }
        }
    }
}

/// The text of the last turn, taken out of it, if that is all there is to it.
fn take_text(turns: &mut Value) -> Option<String> {
    let content = match turns {
        Value::String(text) => return Some(std::mem::take(text)),
        Value::Array(turns) => {
            let last = turns.last_mut()?.as_object_mut()?;
            let is_message = last.get("type").is_none_or(|kind| kind == "message");
            if !is_message || last.get("role")? != "user" {
                return None;
            }
            last.get_mut("content")?
        }
        _ => return None,
    };
    match content {
        Value::String(text) => Some(std::mem::take(text)),
        Value::Array(parts) => {
            let is_text = |part: &Value| {
                matches!(part["type"].as_str(), Some("text" | "input_text")) && part["text"].is_string()
            };
            if parts.is_empty() || !parts.iter().all(is_text) {
                return None;
            }
            let texts = parts.iter_mut().filter_map(|part| match part["text"].take() {
                Value::String(text) => Some(text),
                _ => None,
            });
            Some(texts.collect::<Vec<_>>().join("\n"))
        }
        _ => None,
    }
}

fn digest(value: &Value) -> String {
    // The fields of objects are sorted, so that their order does not matter.
    hex::encode(Sha256::digest(value.to_string().as_bytes()))
}
