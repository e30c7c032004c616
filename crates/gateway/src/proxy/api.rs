//! The APIs whose answers are kept.

use axum::http::Uri;
use serde_json::{Map, Value};

use super::path;
use super::shapes::{Folded, Summary, chat, is_blank, messages, responses};
use super::sse::Event;

/// An API whose answers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    /// OpenAI's `/v1/chat/completions`
    Chat,
    /// OpenAI's `/v1/completions`
    Completions,
    /// OpenAI's `/v1/responses`
    Responses,
    /// Anthropic's `/v1/messages`
    Messages,
}

impl Api {
    /// The API that a request to `uri` is for.
    pub(super) fn of(uri: &Uri) -> Self {
        let path = uri.path().strip_prefix("/v1").unwrap_or(uri.path());
        match &path[path::azure(path).len()..] {
            "/completions" => Self::Completions,
            "/responses" => Self::Responses,
            "/messages" => Self::Messages,
            _ => Self::Chat,
        }
    }

    /// The name under which recordings are kept.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Chat => "openai.chat",
            Self::Completions => "openai.completions",
            Self::Responses => "openai.responses",
            Self::Messages => "anthropic.messages",
        }
    }

    /// The field that holds the conversation.
    pub(super) fn turns(self) -> &'static str {
        match self {
            Self::Chat | Self::Messages => "messages",
            Self::Completions => "prompt",
            Self::Responses => "input",
        }
    }

    /// Whether the answer depends on what the upstream remembers of other requests, or is not contained in
    /// the response. If the request `has_sources`, what it names at the upstream without a version counts as
    /// one of them, whose changes are reported.
    pub(super) fn is_stateful(self, request: &Map<String, Value>, has_sources: bool) -> bool {
        let field = |name: &str| request.get(name).unwrap_or(&Value::Null);
        let is_set = |name: &str| !matches!(field(name), Value::Null | Value::Bool(false));
        let items = |name: &str| field(name).as_array().into_iter().flatten();
        match self {
            Self::Responses => {
                let has_unversioned = !field("prompt")["id"].is_null()
                    && field("prompt")["version"].is_null()
                    || items("tools").any(|tool| !is_blank(&tool["vector_store_ids"]));
                is_set("conversation")
                    || is_set("background")
                    || items("tools").chain(items("input")).any(names_container)
                    || !has_sources && has_unversioned
            }
            Self::Messages => is_set("container"),
            // Azure's indexes.
            Self::Chat => !has_sources && !is_blank(field("data_sources")),
            Self::Completions => false,
        }
    }

    /// Whether the answer to `request` is to be JSON.
    pub(super) fn wants_json(self, request: &Map<String, Value>) -> bool {
        let format = match self {
            Self::Chat | Self::Completions => request.get("response_format"),
            Self::Responses => request.get("text").map(|text| &text["format"]),
            Self::Messages => {
                let config = request.get("output_config").map(|config| &config["format"]);
                request.get("output_format").or(config)
            }
        };
        matches!(format.and_then(|format| format["type"].as_str()), Some("json_object" | "json_schema"))
    }

    /// The answer that the events of a stream hold; none if they are not the whole answer, or if one of them
    /// reports an error.
    pub(super) fn fold(self, events: &[Event<'_>]) -> Option<Folded> {
        if events.iter().any(Event::is_error) {
            return None;
        }
        match self {
            Self::Chat | Self::Completions => chat::fold(events),
            Self::Responses => responses::fold(events),
            Self::Messages => messages::fold(events),
        }
    }

    /// A stream that holds `answer`.
    ///
    /// # Errors
    ///
    /// The reason why there is none: `form` if not all of the answer is understood, `usage` if the usage is
    /// wanted but not known.
    pub(super) fn unfold(self, answer: &Value, with_usage: bool) -> Result<String, &'static str> {
        match self {
            Self::Chat | Self::Completions => chat::unfold(answer, with_usage),
            Self::Responses => responses::unfold(answer),
            Self::Messages => messages::unfold(answer),
        }
    }

    /// The parts of `answer` that matter; none if it is not an answer that may be kept.
    pub(super) fn summary(self, answer: &Value) -> Option<Summary> {
        match self {
            Self::Chat | Self::Completions => chat::summary(answer),
            Self::Responses => responses::summary(answer),
            Self::Messages => messages::summary(answer),
        }
    }
}

/// Whether a tool, or an earlier call of it, names a container that exists already.
fn names_container(item: &Value) -> bool {
    let places = [item, &item["container"], &item["environment"]];
    item["container"].is_string() || places.iter().any(|place| !place["container_id"].is_null())
}
