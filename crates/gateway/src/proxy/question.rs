//! The question, and the fingerprint of everything else, which decides who may get the same answer.
//!
//! A named question replaces the texts of the last message in the key, if that message is a user's; an
//! unnamed question is that text. If folding would change an unnamed text, it may be code or data, where
//! whitespace has a meaning, so it is matched exactly as it stands. What a user's message holds beside its
//! texts (pictures, files) stays in the key: a name says what is asked, not what it is asked about. A last
//! message without a text, and results of tools, are matched as a whole, whatever the question's name,
//! because a later step of an agent is not its first step.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use wellspring::cache::Query;
use wellspring::key::{Scope, composed, normalise};

use super::api::Api;
use super::directives::Directives;
use super::sharing::joined;
use super::upstream::Outgoing;

/// Fields that are not part of an answer's identity: they only say how the answer is sent.
const TRANSPORT: [&str; 3] = ["stream", "stream_options", "wellspring"];

/// Fields of a user's message that a named question replaces together with the texts of its content.
const OF_TEXT: [&str; 5] = ["role", "type", "id", "name", "status"];

/// A question and what else its answer depends on.
#[derive(Debug, PartialEq)]
struct Asked {
    text: String,
    /// The text as it stands, or the texts of its parts, if the exact text matters. For a named question, what
    /// it does not replace in the last message. Otherwise null.
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
    let ignored: HashSet<&str> = directives.ignore.iter().map(String::as_str).collect();
    fields.retain(|name, _| !TRANSPORT.contains(&name.as_str()) && !ignored.contains(name.as_str()));
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
    if let Some(tenant) = joined(tenant, directives.tenant.as_deref()) {
        scope = scope.tenant(tenant);
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

/// For a question that the caller names. The texts of the last message hold the question and what was
/// retrieved for it, and are not part of the key. The earlier turns are part of it, unless the caller sends a
/// fingerprint of what matters in the conversation.
fn named(api: Api, mut rest: Map<String, Value>, question: &str, directives: &Directives) -> Asked {
    let is_system = |turn: &Value| matches!(turn["role"].as_str(), Some("system" | "developer"));
    let verbatim = if let Some(Value::Array(turns)) = rest.get_mut(api.turns())
        && turns.iter().any(Value::is_object)
    {
        if !turns.last().is_some_and(|turn| has_text_of_user(api, turn)) {
            return whole(api, rest, &question.into());
        }
        let beside_texts = turns.pop().map(|turn| without_texts(api, turn)).unwrap_or_default();
        let ignores_system = directives.ignore.iter().any(|name| name == "system");
        let ignores_turns = directives.conversation.is_some();
        turns.retain(|turn| if is_system(turn) { !ignores_system } else { !ignores_turns });
        beside_texts
    } else {
        // Each of several prompts gets an answer.
        match rest.remove(api.turns()) {
            Some(Value::Array(prompts)) if prompts.len() > 1 && !prompts.iter().all(Value::is_number) => {
                prompts.len().into()
            }
            _ => Value::Null,
        }
    };
    Asked { text: question.to_owned(), verbatim, is_exact: false, rest }
}

/// Whether a turn is a user's and holds a text, rather than a tool's result or only a picture.
fn has_text_of_user(api: Api, turn: &Value) -> bool {
    let has_text = match &turn["content"] {
        Value::String(_) => true,
        Value::Array(parts) => {
            let is_result =
                |part: &Value| part["type"].as_str().is_some_and(|kind| kind.ends_with("_result"));
            parts.iter().any(|part| is_text(api, part))
                && !parts.iter().any(|part| is_result(part) && !is_text(api, part))
        }
        _ => false,
    };
    turn["role"] == "user" && turn.get("type").is_none_or(|kind| kind == "message") && has_text
}

/// Whether a named question replaces this part of a message: a text, or in Anthropic's API a document or a
/// result of a search that was retrieved as text. A PDF is part of the key, as other files are.
fn is_text(api: Api, part: &Value) -> bool {
    match part["type"].as_str() {
        Some("text" | "input_text") => part["text"].is_string(),
        Some("search_result") => api == Api::Messages,
        Some("document") if api == Api::Messages => match part["source"]["type"].as_str() {
            Some("text") => true,
            Some("content") => match &part["source"]["content"] {
                Value::Array(parts) => parts.iter().all(|part| part["type"] == "text"),
                content => content.is_string(),
            },
            _ => false,
        },
        _ => false,
    }
}

/// What a turn holds beside its texts; null if that is nothing.
fn without_texts(api: Api, turn: Value) -> Value {
    let Value::Object(mut turn) = turn else { return Value::Null };
    if let Some(Value::Array(parts)) = turn.get_mut("content") {
        parts.retain(|part| !is_text(api, part));
    }
    turn.retain(|name, value| match name.as_str() {
        "content" => value.as_array().is_some_and(|parts| !parts.is_empty()),
        name => !OF_TEXT.contains(&name) && !value.is_null(),
    });
    if turn.is_empty() { Value::Null } else { turn.into() }
}

fn unnamed(api: Api, mut rest: Map<String, Value>, longest: usize) -> Asked {
    let texts = rest.get_mut(api.turns()).and_then(take_texts).unwrap_or_default();
    // The boundaries between parts matter too.
    let verbatim = match texts.as_slice() {
        [text] => composed(text).into(),
        texts => Value::from(texts),
    };
    let text = texts.join("\n");
    match normalise(&text) {
        Ok(folded) if text.len() <= longest => {
            if verbatim.as_str().is_some_and(|text| without_surroundings(api, text) == folded) {
                return Asked { text, verbatim: Value::Null, is_exact: false, rest };
            }
            Asked { text, verbatim, is_exact: true, rest }
        }
        _ => whole(api, rest, &texts.into()),
    }
}

/// A message without the line breaks that a template leaves around it, and without whitespace at its end. A
/// message that begins with spaces may be code. A model continues a prompt where it ends, so there all
/// whitespace matters.
fn without_surroundings(api: Api, text: &str) -> &str {
    match api {
        Api::Completions => text,
        Api::Chat | Api::Responses | Api::Messages => text.trim_start_matches(['\r', '\n']).trim_end(),
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
