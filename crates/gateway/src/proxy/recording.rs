//! Answers as they were received, kept beside their text, and given back in the form that is asked for.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use wellspring::entry::Entry;

use super::api::{Api, Folded, Summary};
use super::json;
use super::sse;
use crate::auth::sha256;

/// The media type of streams.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// The field of an entry's metadata that holds a response as it was received.
pub(crate) const RECORDING: &str = "recording";

/// The field that names what is said there.
const CONTENT: &str = "content";
/// What is another one each time that an upstream says the same.
const OCCASION: [&str; 8] =
    ["id", "created", "created_at", "completed_at", "usage", "system_fingerprint", "service_tier", "timings"];

/// In which form an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Form {
    /// As a stream of events.
    pub(super) is_stream: bool,
    /// With the usage at the stream's end. Only where streams come without it by default.
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

/// What is recorded of a response on its way to the caller.
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

    /// Whether the response is longer than what is kept.
    pub(super) fn is_too_long(&self) -> bool {
        self.body.is_none()
    }

    /// What of the answer matters, and the metadata to store it with; none if it is not the whole of an answer
    /// that may be kept.
    pub(super) fn finish(self) -> Option<(Summary, Value)> {
        let body = String::from_utf8(self.body?).ok()?;
        let Folded { answer, is_understood } = parse(self.api, self.form, &body)?;
        let summary = self.api.summary(&answer)?;
        let digest = digest(&body);
        // What is not understood may be anything.
        let content = if is_understood { content(answer) } else { digest.clone() };
        let metadata = json!({ CONTENT: content, RECORDING: {
            "api": self.api.name(), "stream": self.form.is_stream, "with_usage": self.form.with_usage,
            "digest": digest, "body": body,
        } });
        Some((summary, metadata))
    }
}

/// Names all that an answer says, whatever it is called by, when it was made and what it took. Two answers that were made
/// apart and say the same have the same.
fn content(mut answer: Value) -> String {
    strip(&mut answer);
    digest(&answer.to_string())
}

fn digest(text: &str) -> String {
    hex::encode(&sha256(text)[..16])
}

fn strip(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Object(fields) => {
            fields.retain(|name, _| !OCCASION.contains(&name.as_str()));
            fields.values_mut().for_each(strip);
        }
        _ => {}
    }
}

fn parse(api: Api, form: Form, body: &str) -> Option<Folded> {
    if form.is_stream {
        api.fold(&sse::events(body))
    } else {
        json::read(body).map(|answer| Folded { answer, is_understood: true })
    }
}

/// A recording as it stands in an entry.
struct Kept<'a> {
    form: Form,
    body: &'a str,
    digest: &'a str,
}

impl<'a> Kept<'a> {
    /// The recording in `entry`; none if it holds none of this API.
    fn of(entry: &'a Entry, api: Api) -> Option<Self> {
        let recording = entry.answer.metadata.get(RECORDING).filter(|kept| kept["api"] == api.name())?;
        let form = Form {
            is_stream: recording["stream"].as_bool()?,
            with_usage: recording["with_usage"].as_bool()?,
        };
        Some(Self { form, body: recording["body"].as_str()?, digest: recording["digest"].as_str()? })
    }
}

/// The whole answer in `entry`; none if it holds no recording of this API.
pub(super) fn answer(entry: &Entry, api: Api) -> Option<Value> {
    let kept = Kept::of(entry, api)?;
    parse(api, kept.form, kept.body).map(|folded| folded.answer)
}

/// Whether the usage is wanted at the end of a stream, and the recording in `entry` does not hold it because nobody asked.
pub(super) fn lacks_usage(entry: &Entry, api: Api, wanted: Form) -> bool {
    let kept = Kept::of(entry, api).filter(|kept| wanted.with_usage && !kept.form.with_usage);
    let folded = kept.and_then(|kept| parse(api, kept.form, kept.body));
    folded.is_some_and(|folded| folded.is_understood && folded.answer["usage"].is_null())
}

/// A response from a recording.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) body: Bytes,
    /// Names exactly these bytes.
    pub(super) etag: String,
}

/// The response in `entry`, in the form that is wanted: the very bytes that were received if they have it.
///
/// # Errors
///
/// Why there is none: `no-recording` if the entry holds none of this API, `form` if not all of it is understood, so that
/// it is good only in the form in which it was received, `usage` if that is wanted and not known.
pub(super) fn replay(entry: &Arc<Entry>, api: Api, wanted: Form) -> Result<Replay, &'static str> {
    let Kept { form, body, digest } = Kept::of(entry, api).ok_or("no-recording")?;
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

/// The recorded bytes, where they are.
struct Recorded(Arc<Entry>);

impl AsRef<[u8]> for Recorded {
    fn as_ref(&self) -> &[u8] {
        self.0.answer.metadata[RECORDING]["body"].as_str().unwrap_or_default().as_bytes()
    }
}
