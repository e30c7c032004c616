//! Answers as they were received, kept beside their text, and replayed in the requested form.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use wellspring::entry::Entry;

use super::api::Api;
use super::json;
use super::shapes::{Folded, Summary};
use super::sse;
use crate::auth::sha256;

/// The media type of streams.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// The field of an entry's metadata that holds a response as it was received.
pub(crate) const RECORDING: &str = "recording";

/// The field that identifies the content of the answer in it.
const CONTENT: &str = "content";
/// Fields of an answer that differ each time, even if an upstream gives the same answer.
const OCCASION: [&str; 8] =
    ["id", "created", "created_at", "completed_at", "usage", "system_fingerprint", "service_tier", "timings"];

/// The form in which an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Form {
    /// As a stream of events.
    pub(super) is_stream: bool,
    /// With the usage at the end of the stream. Only for APIs whose streams omit it by default.
    with_usage: bool,
}

impl Form {
    /// The form that `request` asks for.
    pub(super) fn wanted(request: &Map<String, Value>) -> Self {
        let is_stream = request.get("stream") == Some(&Value::Bool(true));
        let usage = request.get("stream_options").map(|options| &options["include_usage"]);
        Self { is_stream, with_usage: is_stream && usage == Some(&Value::Bool(true)) }
    }
}

/// Records a response on its way to the caller.
#[derive(Debug)]
pub(super) struct Recorder {
    api: Api,
    form: Form,
    /// None if the response is longer than the limit.
    body: Option<Vec<u8>>,
    limit: usize,
}

impl Recorder {
    pub(super) fn new(api: Api, form: Form, limit: usize) -> Self {
        Self { api, form, body: Some(Vec::new()), limit }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        self.body.take_if(|body| body.len() + piece.len() > self.limit);
        if let Some(body) = &mut self.body {
            body.extend_from_slice(piece);
        }
    }

    /// Whether the response is too long to be kept.
    pub(super) fn is_too_long(&self) -> bool {
        self.body.is_none()
    }

    /// The parts of the answer that matter, and the metadata to store it with; none if the response is not a
    /// complete answer that may be kept.
    pub(super) fn finish(self) -> Option<(Summary, Value)> {
        let body = String::from_utf8(self.body?).ok()?;
        let Folded { answer, is_understood } = parse(self.api, self.form, &body)?;
        let summary = self.api.summary(&answer)?;
        let digest = digest(&body);
        // An answer that is not understood may contain anything, and calls of tools are never the same.
        let is_comparable = is_understood && !summary.calls_tools;
        let content = if is_comparable { content(answer) } else { digest.clone() };
        let metadata = json!({ CONTENT: content, RECORDING: {
            "api": self.api.name(), "stream": self.form.is_stream, "with_usage": self.form.with_usage,
            "digest": digest, "body": body,
        } });
        Some((summary, metadata))
    }
}

/// Identifies the content of an answer, regardless of its ids, when it was made and what it used. Two answers
/// that were made at different times with the same content get the same value.
fn content(mut answer: Value) -> String {
    strip(&mut answer);
    digest(&answer.to_string())
}

fn digest(text: &str) -> String {
    hex::encode(&sha256(text)[..16])
}

/// Removes what differs each time from the places where the APIs have it. Anywhere else, a field of such a
/// name may be what the answer says.
fn strip(answer: &mut Value) {
    let remove = |value: &mut Value, names: &[&str]| {
        if let Value::Object(fields) = value {
            fields.retain(|name, _| !names.contains(&name.as_str()));
        }
    };
    remove(answer, &OCCASION);
    let Value::Object(answer) = answer else { return };
    // Groq's data about itself.
    if let Some(beside) = answer.get_mut("x_groq") {
        remove(beside, &["id", "usage"]);
    }
    for item in answer.get_mut("output").and_then(Value::as_array_mut).into_iter().flatten() {
        if matches!(item["type"].as_str(), Some("message" | "reasoning")) {
            remove(item, &["id"]);
        }
    }
    for choice in answer.get_mut("choices").and_then(Value::as_array_mut).into_iter().flatten() {
        let details = choice.pointer_mut("/message/reasoning_details").and_then(Value::as_array_mut);
        details.into_iter().flatten().for_each(|detail| remove(detail, &["id"]));
    }
}

fn parse(api: Api, form: Form, body: &str) -> Option<Folded> {
    if form.is_stream {
        api.fold(&sse::events(body))
    } else {
        json::read(body).map(|answer| Folded { answer, is_understood: true })
    }
}

/// A recording in the form in which an entry holds it.
struct StoredRecording<'a> {
    form: Form,
    body: &'a str,
    digest: &'a str,
}

impl<'a> StoredRecording<'a> {
    /// The recording in `entry`; none if it holds no recording of this API.
    fn of(entry: &'a Entry, api: Api) -> Option<Self> {
        let recording = entry.answer.metadata.get(RECORDING).filter(|stored| stored["api"] == api.name())?;
        let form = Form {
            is_stream: recording["stream"].as_bool()?,
            with_usage: recording["with_usage"].as_bool()?,
        };
        Some(Self { form, body: recording["body"].as_str()?, digest: recording["digest"].as_str()? })
    }
}

/// The whole answer in `entry`; none if it holds no recording of this API.
pub(super) fn answer(entry: &Entry, api: Api) -> Option<Value> {
    let stored = StoredRecording::of(entry, api)?;
    parse(api, stored.form, stored.body).map(|folded| folded.answer)
}

/// Whether the usage is wanted at the end of a stream, and the recording in `entry` lacks it because no one
/// asked for it.
pub(super) fn lacks_usage(entry: &Entry, api: Api, wanted: Form) -> bool {
    let stored =
        StoredRecording::of(entry, api).filter(|stored| wanted.with_usage && !stored.form.with_usage);
    let folded = stored.and_then(|stored| parse(api, stored.form, stored.body));
    folded.is_some_and(|folded| folded.is_understood && folded.answer["usage"].is_null())
}

/// A response from a recording.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) body: Bytes,
    /// Identifies exactly these bytes.
    pub(super) etag: String,
}

/// The response in `entry`, in the form that is wanted: the very bytes that were received, if they have that
/// form.
///
/// # Errors
///
/// Why there is none: `no-recording` if the entry holds no recording of this API; `form` if not all of it is
/// understood, so that it can only be replayed in the form in which it was received; `usage` if the usage is
/// wanted but not known.
pub(super) fn replay(entry: &Arc<Entry>, api: Api, wanted: Form) -> Result<Replay, &'static str> {
    let StoredRecording { form, body, digest } = StoredRecording::of(entry, api).ok_or("no-recording")?;
    if form == wanted {
        let body = Bytes::from_owner(Recorded(Arc::clone(entry)));
        return Ok(Replay { body, etag: format!("\"{digest}\"") });
    }
    let Folded { answer, is_understood } = parse(api, form, body).ok_or("no-recording")?;
    if !is_understood {
        return Err("form");
    }
    let (body, kind) = if wanted.is_stream {
        (api.unfold(&answer, wanted.with_usage)?, if wanted.with_usage { "stream-usage" } else { "stream" })
    } else {
        (json::write(&answer), "whole")
    };
    Ok(Replay { body: body.into(), etag: format!("\"{digest}-{kind}\"") })
}

/// The recorded bytes, still in their entry.
struct Recorded(Arc<Entry>);

impl AsRef<[u8]> for Recorded {
    fn as_ref(&self) -> &[u8] {
        self.0.answer.metadata[RECORDING]["body"].as_str().unwrap_or_default().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use wellspring_test_support::fuzz::Target;

    use super::*;

    const APIS: [Api; 4] = [Api::Chat, Api::Completions, Api::Responses, Api::Messages];

    /// What is written for a caller who wants a stream must be events again.
    fn check_stream(api: Api, answer: &Value) {
        if api.summary(answer).is_none() {
            return;
        }
        for with_usage in [false, true] {
            let Ok(stream) = api.unfold(answer, with_usage) else { continue };
            let events = sse::events(&stream);
            assert!(events.iter().all(|event| event.data == "[DONE]" || event.json().is_some()), "{stream}");
            drop(api.fold(&events));
        }
    }

    #[test]
    fn whatever_an_upstream_sends_it_is_an_answer_or_none() {
        Target::new("sse").room(256 << 10, 1_024).run(|input| {
            let Ok(text) = std::str::from_utf8(input) else { return false };
            let events = sse::events(text);
            for event in &events {
                let Some(data) = event.json() else { continue };
                let mut written = String::new();
                sse::write(&mut written, event.name, &data);
                let again = sse::events(&written);
                let again: Vec<_> = again.iter().map(|event| (event.name, event.json())).collect();
                assert_eq!(again, [(event.name, Some(data))]);
            }
            let mut is_read = false;
            for api in APIS {
                if let Some(folded) = api.fold(&events) {
                    is_read = true;
                    if folded.is_understood {
                        check_stream(api, &folded.answer);
                    }
                }
                if let Some(answer) = json::read(text) {
                    is_read = true;
                    check_stream(api, &answer);
                }
            }
            is_read
        });
    }
}
