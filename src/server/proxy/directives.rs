//! What a caller tells the gateway beside the request: the body's field `wellspring`, and headers.

use std::time::Duration;

use axum::http::HeaderMap;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::told;
use crate::criterion::Criterion;
use crate::entry::{Answer, ContentType, Dependency, Usage};
use crate::key::{Corpus, MAX_NAME_BYTES, Namespace};
use crate::server::error::Problem;
use crate::server::limits::RequestLimits;

/// The field `wellspring`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::server) struct Directives {
    /// What is asked, in place of the last message.
    pub(in crate::server) question: Option<String>,
    /// A fingerprint of the conversation, for questions that go on from another one.
    pub(in crate::server) conversation: Option<String>,
    /// What the answer is derived from.
    sources: Vec<Source>,
    /// Sets of documents whose growth can change the answer.
    collections: Vec<String>,
    /// Free labels.
    tags: Vec<String>,
    /// The permit that a lookup before retrieval gave.
    pub(in crate::server) permit: Option<String>,
    /// The body of documents.
    pub(in crate::server) corpus: Option<Corpus>,
    /// Where the answer belongs.
    pub(in crate::server) namespace: Option<Namespace>,
    /// Who shares the answer among those who share by key or header.
    pub(in crate::server) tenant: Option<String>,
    /// How long the answer lives: seconds, or a text such as "6h".
    #[serde(deserialize_with = "duration")]
    ttl: Option<Duration>,
    content_type: ContentType,
    /// Whether the answer says that nothing was found.
    negative: bool,
    /// The least similarity of another question whose answer is served.
    threshold: Option<f32>,
    /// The greatest share of wrong answers among hits on other wordings that is accepted.
    max_false_hit_rate: Option<f64>,
    /// Serve the answer to exactly this question only.
    pub(in crate::server) exact: bool,
    /// Fields of the request that do not change the answer; `system` is also the system prompt among messages.
    pub(in crate::server) ignore: Vec<String>,
}

/// A document that the answer is derived from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    id: String,
    #[serde(default)]
    version: Option<String>,
    /// The hashes of those of its chunks that were used; none for the whole document.
    #[serde(default)]
    chunks: Vec<String>,
}

impl Directives {
    /// Reads the field, if there is one, and the headers.
    pub(in crate::server) fn new(
        field: Option<&Value>,
        headers: &HeaderMap,
        limits: &RequestLimits,
    ) -> Result<Self, Problem> {
        let mut fields = match field {
            None => Map::new(),
            Some(Value::Object(fields)) => fields.clone(),
            Some(_) => return Err(Problem::invalid("the field wellspring is no object")),
        };
        told::add(&mut fields, headers)?;
        let directives = Self::deserialize(Value::Object(fields)).map_err(|error| {
            Problem::invalid(format!("the field wellspring, or a header for it, is not valid: {error}"))
        })?;
        directives.check(limits)?;
        Ok(directives)
    }

    fn check(&self, limits: &RequestLimits) -> Result<(), Problem> {
        if let Some(question) = &self.question {
            crate::key::normalise(question)?;
            if question.len() > limits.question_bytes {
                return Err(Problem::invalid(format!(
                    "the question has {} bytes, the limit is {}",
                    question.len(),
                    limits.question_bytes
                )));
            }
        }
        let names = self
            .sources
            .iter()
            .flat_map(|Source { id, version, chunks }| std::iter::once(id).chain(version).chain(chunks));
        for name in names.chain(&self.collections).chain(&self.tags) {
            if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(char::is_control) {
                return Err(Problem::invalid(format!(
                    "the name of a source, collection or tag is empty, longer than {MAX_NAME_BYTES} bytes, or holds \
                     a control character"
                )));
            }
        }
        let sources = self.sources.iter().map(|source| source.chunks.len().max(1)).sum::<usize>();
        if sources > limits.sources {
            return Err(Problem::invalid(format!(
                "the answer has {sources} sources, the limit is {}; name a collection instead",
                limits.sources
            )));
        }
        if self.threshold.is_some() && self.max_false_hit_rate.is_some() {
            return Err(Problem::invalid("threshold and max_false_hit_rate exclude each other"));
        }
        self.criterion().map(Criterion::checked).transpose()?;
        Ok(())
    }

    /// What the caller accepts, if the request says so.
    pub(in crate::server) fn criterion(&self) -> Option<Criterion> {
        let rate = self.max_false_hit_rate.map(Criterion::MaxFalseHitRate);
        self.threshold.map(Criterion::SimilarityThreshold).or(rate)
    }

    /// Whether an answer would be stored under a named question that no change of a document ends.
    pub(super) fn lack_sources(&self) -> bool {
        let is_bare = self.sources.is_empty() && self.collections.is_empty() && self.tags.is_empty();
        self.question.is_some() && is_bare
    }

    /// What the answer depends on.
    pub(in crate::server) fn dependencies(&self) -> Vec<Dependency> {
        let mut dependencies = Vec::new();
        for Source { id, version, chunks } in &self.sources {
            if chunks.is_empty() {
                dependencies.push(match version {
                    Some(version) => Dependency::document_version(id, version.as_str()),
                    None => Dependency::document(id),
                });
            }
            dependencies.extend(chunks.iter().map(|hash| Dependency::chunk(id, hash)));
        }
        dependencies.extend(self.collections.iter().cloned().map(Dependency::Collection));
        dependencies.extend(self.tags.iter().cloned().map(Dependency::Tag));
        dependencies
    }

    /// The answer `text` as it is to be stored.
    pub(in crate::server) fn answer(&self, text: String, usage: Option<Usage>, metadata: Value) -> Answer {
        let mut answer = if self.negative { Answer::negative(text) } else { Answer::new(text) };
        answer = answer.content_type(self.content_type).metadata(metadata);
        if let Some(ttl) = self.ttl {
            answer = answer.ttl(ttl);
        }
        if let Some(usage) = usage {
            answer = answer.usage(usage);
        }
        answer
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(u64),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Seconds(seconds) => Ok(Some(Duration::from_secs(seconds))),
        Written::Text(text) => {
            let bad = |_| serde::de::Error::custom("ttl is a number of seconds, or a text such as \"6h\"");
            humantime::parse_duration(&text).map(Some).map_err(bad)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(field: &Value) -> Result<Directives, Problem> {
        Directives::new(Some(field), &HeaderMap::new(), &RequestLimits::default())
    }

    #[test]
    fn sources_are_documents_versions_and_chunks() {
        let directives = read(&json!({
            "question": "q", "ttl": "5m", "tags": ["t"],
            "sources": [{ "id": "a" }, { "id": "b", "version": "2" }, { "id": "c", "chunks": ["1", "2"] }],
        }))
        .unwrap();
        assert_eq!(
            directives.dependencies(),
            [
                Dependency::document("a"),
                Dependency::document_version("b", "2"),
                Dependency::chunk("c", "1"),
                Dependency::chunk("c", "2"),
                Dependency::Tag("t".into()),
            ]
        );
        assert_eq!(directives.ttl, Some(Duration::from_mins(5)));
    }

    #[test]
    fn what_is_not_known_or_not_valid_is_refused() {
        for bad in [
            json!({ "qestion": "q" }),
            json!({ "question": " " }),
            json!({ "threshold": 2 }),
            json!({ "max_false_hit_rate": 0 }),
            json!({ "max_false_hit_rate": 0.02, "threshold": 0.9 }),
            json!({ "ttl": "soon" }),
            json!({ "sources": [{ "id": "" }] }),
            json!({ "tags": ["a\nb"] }),
            json!({ "namespace": "a::b" }),
            json!([1]),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }
}
