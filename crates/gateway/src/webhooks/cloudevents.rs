//! `CloudEvents` 1.0 by HTTP: structured, in batches and binary.
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>
//!
//! An event's subject is the path. Whatever the event's type, its subject has changed.

use std::borrow::Cow;

use axum::http::{HeaderMap, header};
use percent_encoding::percent_decode;
use serde::Deserialize;

use super::{File, Reported, malformed};
use crate::error::Problem;

#[derive(Debug, Deserialize)]
struct Event {
    specversion: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    r#type: String,
    subject: Option<String>,
}

pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Reported, Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = media_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let events = match media_type.as_str() {
        "application/cloudevents+json" => {
            vec![serde_json::from_slice(body).map_err(|error| malformed(&error))?]
        }
        "application/cloudevents-batch+json" => {
            serde_json::from_slice(body).map_err(|error| malformed(&error))?
        }
        _ if headers.contains_key("ce-specversion") => vec![binary(headers)?],
        _ => return Err(Problem::invalid("the request is not a structured, batched or binary CloudEvent")),
    };
    events.into_iter().map(file).collect::<Result<Vec<_>, _>>().map(Reported::Files)
}

fn binary(headers: &HeaderMap) -> Result<Event, Problem> {
    let attribute = |name: &str| {
        let value = headers.get(format!("ce-{name}"))?;
        Some(percent_decode(value.as_bytes()).decode_utf8().map(Cow::into_owned))
    };
    let text = |name: &str| {
        let invalid = |_| Problem::invalid(format!("the header ce-{name} is not UTF-8"));
        attribute(name).transpose().map_err(invalid)
    };
    Ok(Event {
        specversion: text("specversion")?.unwrap_or_default(),
        id: text("id")?.unwrap_or_default(),
        source: text("source")?.unwrap_or_default(),
        r#type: text("type")?.unwrap_or_default(),
        subject: text("subject")?,
    })
}

fn file(event: Event) -> Result<File, Problem> {
    let Event { specversion, id, source, r#type, subject } = event;
    if specversion != "1.0" {
        return Err(Problem::invalid(format!(
            "CloudEvents of version {specversion:?} are not supported, use 1.0"
        )));
    }
    if id.is_empty() || source.is_empty() || r#type.is_empty() {
        return Err(Problem::invalid("a CloudEvent lacks its id, source or type"));
    }
    match subject.filter(|subject| !subject.is_empty()) {
        Some(path) => Ok(File { path, variables: Vec::new() }),
        None => Err(Problem::invalid("a CloudEvent lacks its subject, which names what changed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(
        media_type: &str,
        extra: &[(&'static str, &str)],
        body: &str,
    ) -> Result<Vec<String>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, media_type.parse().unwrap());
        for (name, value) in extra {
            headers.insert(*name, value.parse().unwrap());
        }
        match read(&headers, body.as_bytes())? {
            Reported::Files(files) => Ok(files.into_iter().map(|file| file.path).collect()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_three_modes_show_the_subject() {
        let event = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"a.md","data":{}}"#;
        assert_eq!(reported("application/cloudevents+json; charset=utf-8", &[], event).unwrap(), ["a.md"]);
        let batch = format!("[{event},{event}]");
        assert_eq!(reported("application/cloudevents-batch+json", &[], &batch).unwrap(), ["a.md", "a.md"]);
        let head = [
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
            ("ce-subject", "caf%C3%A9.md"),
        ];
        assert_eq!(reported("text/plain", &head, "anything").unwrap(), ["café.md"]);
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for body in [
            r#"{"specversion":"0.3","id":"1","source":"/s","type":"t","subject":"a"}"#,
            r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#,
            r#"{"specversion":"1.0","source":"/s","type":"t","subject":"a"}"#,
            "[]",
        ] {
            assert!(reported("application/cloudevents+json", &[], body).is_err(), "{body}");
        }
        assert!(reported("application/json", &[], "{}").is_err());
    }
}
