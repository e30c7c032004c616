//! The question, and the fingerprint of everything else, which decides who may get the same answer.
//!
//! A named question replaces the last message in the key, if that message is a user's text; an unnamed
//! question is that text. If folding would change an unnamed text, it may be code or data, where whitespace
//! has a meaning, so it is matched exactly as it stands. Any other last message (pictures, results of tools)
//! is matched as a whole, whatever the question's name, because a later step of an agent is not its first
//! step.

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use wellspring::cache::Query;
use wellspring::key::{Scope, composed, normalise};

use super::api::Api;
use super::directives::Directives;
use super::upstream::Outgoing;
use crate::auth::sha256;

/// Fields that are not part of an answer's identity: they only say how the answer is sent.
const TRANSPORT: [&str; 3] = ["stream", "stream_options", "wellspring"];

/// A question and what else its answer depends on.
#[derive(Debug, PartialEq)]
struct Asked {
    text: String,
    /// The text as it stands, or the texts of its parts, if the exact text matters; otherwise null.
    verbatim: Value,
    is_exact: bool,
    /// Everything else of the request.
    rest: Map<String, Value>,
}

/// What an answer depends on besides the question. The fields are in the order of their names, as those of
/// all objects in it are, so that the order in which a caller sent them does not matter.
#[derive(Serialize)]
struct Everything<'a> {
    api: &'a str,
    base: &'a str,
    beside_body: &'a Value,
    named: bool,
    request: &'a Map<String, Value>,
    verbatim: &'a Value,
}

/// How a question is matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matching {
    /// By meaning, or by a name that the caller gave it.
    Loose,
    /// Only the same request gets the same answer.
    Exact,
}

/// The query for the request `fields`, shared by `tenant`, and the way it is matched.
pub(super) fn query(
    api: Api,
    mut fields: Map<String, Value>,
    directives: &Directives,
    outgoing: &Outgoing,
    (base, tenant): (&str, Option<String>),
    longest: usize,
) -> (Query, Matching) {
    fields.retain(|name, _| !TRANSPORT.contains(&name.as_str()) && !directives.ignore.contains(name));
    let asked = match &directives.question {
        Some(question) => named(api, fields, question, directives),
        None => unnamed(api, fields, longest),
    };
    let everything = Everything {
        api: api.name(),
        base,
        beside_body: &outgoing.beside_body,
        named: directives.question.is_some(),
        request: &asked.rest,
        verbatim: &asked.verbatim,
    };
    let mut scope = Scope::new().parameter("gateway", digest(&everything));
    let tenants = [tenant, directives.tenant.as_deref().map(|name| hex::encode(sha256(name)))];
    let tenants: Vec<String> = tenants.into_iter().flatten().collect();
    if !tenants.is_empty() {
        scope = scope.tenant(tenants.join("/"));
    }
    if let Some(namespace) = &directives.namespace {
        scope = scope.namespace(namespace.clone());
    }
    if !directives.parameters.is_empty() {
        scope = scope.parameter("parameters", directives.parameters.clone());
    }
    // If the conversation is not named, all of it is part of the scope.
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
    if let Some(match_policy) = directives.match_policy() {
        query = query.match_policy(match_policy);
    }
    let is_exact = asked.is_exact || directives.exact;
    let matching = if is_exact && directives.question.is_none() { Matching::Exact } else { Matching::Loose };
    (if is_exact { query.exact_only() } else { query }, matching)
}

/// For a question that the caller names. The last message holds the question and what was retrieved for it,
/// and is not part of the key. The earlier turns are part of it, unless the caller sends a fingerprint of
/// what matters in the conversation.
fn named(api: Api, mut rest: Map<String, Value>, question: &str, directives: &Directives) -> Asked {
    let is_system = |turn: &Value| matches!(turn["role"].as_str(), Some("system" | "developer"));
    if let Some(Value::Array(turns)) = rest.get_mut(api.turns())
        && turns.iter().any(Value::is_object)
    {
        if !turns.last().is_some_and(is_text_of_user) {
            return whole(api, rest, &question.into());
        }
        turns.pop();
        let ignores_system = directives.ignore.iter().any(|name| name == "system");
        let ignores_turns = directives.conversation.is_some();
        turns.retain(|turn| if is_system(turn) { !ignores_system } else { !ignores_turns });
    } else {
        rest.remove(api.turns());
    }
    Asked { text: question.to_owned(), verbatim: Value::Null, is_exact: false, rest }
}

/// Whether a turn is a user's text, rather than a tool's result or a picture.
fn is_text_of_user(turn: &Value) -> bool {
    let is_text = match &turn["content"] {
        Value::String(_) => true,
        Value::Array(parts) => {
            let is_result =
                |part: &Value| part["type"].as_str().is_some_and(|kind| kind.ends_with("_result"));
            parts.iter().any(|part| part["text"].is_string()) && !parts.iter().any(is_result)
        }
        _ => false,
    };
    turn["role"] == "user" && turn.get("type").is_none_or(|kind| kind == "message") && is_text
}

fn unnamed(api: Api, mut rest: Map<String, Value>, longest: usize) -> Asked {
    let texts = rest.get_mut(api.turns()).and_then(take_texts).unwrap_or_default();
    // The boundaries between parts matter too.
    let verbatim = match texts.as_slice() {
        [text] => composed(text.trim()).into(),
        texts => Value::from(texts),
    };
    let text = texts.join("\n");
    match normalise(&text) {
        Ok(folded) if text.len() <= longest => {
            if verbatim == folded {
                return Asked { text, verbatim: Value::Null, is_exact: false, rest };
            }
            Asked { text, verbatim, is_exact: true, rest }
        }
        _ => whole(api, rest, &texts.into()),
    }
}

/// The request as a whole, together with what was taken out of it.
fn whole(api: Api, rest: Map<String, Value>, taken: &Value) -> Asked {
    let text = format!("{} request {}", api.name(), digest(&(&rest, taken)));
    Asked { text, verbatim: Value::Null, is_exact: true, rest }
}

/// Takes the text of the last turn out of it, part by part, if the turn holds nothing else.
fn take_texts(turns: &mut Value) -> Option<Vec<String>> {
    let content = match turns {
        Value::String(text) => return Some(vec![std::mem::take(text)]),
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
        Value::String(text) => Some(vec![std::mem::take(text)]),
        Value::Array(parts) => {
            let is_text = |part: &Value| {
                matches!(part["type"].as_str(), Some("text" | "input_text")) && part["text"].is_string()
            };
            if !parts.iter().all(is_text) {
                return None;
            }
            let texts = parts.iter_mut().filter_map(|part| match part["text"].take() {
                Value::String(text) => Some(text),
                _ => None,
            });
            Some(texts.collect())
        }
        _ => None,
    }
}

/// The SHA-256 of `value` as JSON.
fn digest(value: &impl Serialize) -> String {
    // Texts alone, with texts as names, can always be written.
    hex::encode(Sha256::digest(serde_json::to_vec(value).unwrap_or_default()))
}
