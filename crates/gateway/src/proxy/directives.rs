//! What a caller says to the gateway besides the request: the body's field `wellspring`, and headers.

use std::time::Duration;

use axum::http::HeaderMap;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use wellspring::cache::Since;
use wellspring::entry::{Answer, ContentType, Dependency, Usage};
use wellspring::key::{Corpus, MAX_JSON_DEPTH, MAX_NAME_BYTES, Namespace, folded, is_deeper_than};
use wellspring::match_policy::MatchPolicy;

use super::{header_directives, json};
use crate::error::Problem;
use crate::extract::{self, or_default};
use crate::limits::RequestLimits;

/// The most fields that a request may ignore.
const MOST_IGNORED: usize = 64;

/// The field `wellspring`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Directives {
    /// The question, in place of the texts of the last message.
    pub(crate) question: Option<String>,
    /// A fingerprint of the conversation, for questions that continue from another one.
    pub(crate) conversation: Option<String>,
    /// What the answer is derived from.
    #[serde(deserialize_with = "or_default")]
    sources: Vec<Source>,
    /// Sets of documents whose growth can change the answer.
    #[serde(deserialize_with = "or_default")]
    collections: Vec<String>,
    /// Free labels.
    #[serde(deserialize_with = "or_default")]
    tags: Vec<String>,
    /// The permit from a lookup before retrieval.
    pub(crate) permit: Option<String>,
    /// When a lookup before retrieval was made; used for a fill without its permit.
    pub(crate) since: Option<Since>,
    /// Anything else that separates answers, such as the model or the retriever. Numbers keep their text.
    #[serde(deserialize_with = "or_default")]
    pub(crate) parameters: Map<String, Value>,
    /// The body of documents.
    pub(crate) corpus: Option<Corpus>,
    /// The namespace of the answer.
    pub(crate) namespace: Option<Namespace>,
    /// Who shares the answer, among those who share by key or header.
    pub(crate) tenant: Option<String>,
    /// How long the answer lives: seconds, or a text such as "6h".
    #[serde(deserialize_with = "duration")]
    ttl: Option<Duration>,
    #[serde(deserialize_with = "or_default")]
    content_type: ContentType,
    /// Whether the answer says that nothing was found.
    #[serde(deserialize_with = "or_default")]
    negative: bool,
    /// The lowest similarity at which the answer to another question is served.
    threshold: Option<f32>,
    /// The highest accepted share of wrong answers among hits on other wordings.
    max_false_hit_rate: Option<f64>,
    /// Serve only an answer to exactly this question.
    #[serde(deserialize_with = "or_default")]
    pub(crate) exact: bool,
    /// Fields of the request that do not change the answer; `system` also means the system prompt among
    /// messages.
    #[serde(deserialize_with = "or_default")]
    pub(crate) ignore: Vec<String>,
}

/// A document that the answer is derived from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    id: String,
    #[serde(default)]
    version: Option<String>,
    /// The hashes of the chunks that were used; none for the whole document.
    #[serde(default, deserialize_with = "or_default")]
    chunks: Vec<String>,
}

/// Whether `name` can name a tenant.
pub(crate) fn is_tenant(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
}

/// What is wrong if it cannot.
pub(crate) const NO_TENANT: &str = "the tenant is empty or longer than 1024 bytes";

impl Directives {
    /// Reads the field, if there is one, and the headers. Numbers in the field [keep their text](json::read).
    pub(crate) fn new(
        field: Option<Value>,
        headers: &HeaderMap,
        limits: &RequestLimits,
    ) -> Result<Self, Problem> {
        let mut fields = match field {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(fields)) => fields,
            Some(_) => return Err(Problem::invalid("the field wellspring is not an object")),
        };
        header_directives::add(&mut fields, headers)?;
        for (name, value) in &mut fields {
            if name != "parameters" {
                *value = json::plain(value).ok_or_else(json::out_of_range)?;
            }
        }
        let directives: Self = extract::understood(fields).map_err(|why| {
            Problem::invalid(format!("the field wellspring, or a header for it, is not valid: {why}"))
        })?;
        directives.check(limits)?;
        Ok(directives)
    }

    fn check(&self, limits: &RequestLimits) -> Result<(), Problem> {
        if let Some(question) = &self.question {
            folded(question)?;
            if !self.exact && question.len() > limits.question_bytes {
                return Err(Problem::invalid(format!(
                    "the question has {} bytes, the limit for matching by meaning is {}: set `exact` to match it as a whole",
                    question.len(),
                    limits.question_bytes
                )));
            }
        }
        if self.parameters.values().any(|value| is_deeper_than(value, MAX_JSON_DEPTH)) {
            return Err(Problem::invalid(format!(
                "parameters are nested deeper than {MAX_JSON_DEPTH} levels"
            )));
        }
        if self.tenant.as_deref().is_some_and(|tenant| !is_tenant(tenant)) {
            return Err(Problem::invalid(NO_TENANT));
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
        if self.ignore.len() > MOST_IGNORED {
            return Err(Problem::invalid(format!(
                "ignore names {} fields, the limit is {MOST_IGNORED}",
                self.ignore.len()
            )));
        }
        if self.threshold.is_some() && self.max_false_hit_rate.is_some() {
            return Err(Problem::invalid("threshold and max_false_hit_rate exclude each other"));
        }
        self.match_policy().map(MatchPolicy::checked).transpose()?;
        Ok(())
    }

    /// The match policy for hits, if the request sets one.
    pub(crate) fn match_policy(&self) -> Option<MatchPolicy> {
        let rate = self.max_false_hit_rate.map(MatchPolicy::MaxFalseHitRate);
        self.threshold.map(MatchPolicy::SimilarityThreshold).or(rate)
    }

    /// Whether a change can be reported that ends the answer.
    pub(super) fn have_sources(&self) -> bool {
        !(self.sources.is_empty() && self.collections.is_empty() && self.tags.is_empty())
    }

    /// Whether an answer would be stored under a named question, and no change of a document would end it.
    pub(super) fn lack_sources(&self) -> bool {
        self.question.is_some() && !self.have_sources()
    }

    /// What the answer depends on.
    pub(crate) fn dependencies(&self) -> Vec<Dependency> {
        let mut dependencies = Vec::new();
        for Source { id, version, chunks } in &self.sources {
            if chunks.is_empty() {
                dependencies.push(match version {
                    Some(version) => Dependency::document_version(id, version.as_str()),
                    None => Dependency::document(id),
                });
            }
            dependencies.extend(chunks.iter().map(|hash| match version {
                Some(version) => Dependency::chunk_version(id, hash, version.as_str()),
                None => Dependency::chunk(id, hash),
            }));
        }
        dependencies.extend(self.collections.iter().cloned().map(Dependency::Collection));
        dependencies.extend(self.tags.iter().cloned().map(Dependency::Tag));
        dependencies
    }

    /// The answer `text` in the form in which it is stored.
    pub(crate) fn answer(&self, text: String, usage: Option<Usage>, metadata: Value) -> Answer {
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

/// A time in the form in which callers write it.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(u64),
        Text(String),
    }
    match Option::deserialize(deserializer)? {
        None => Ok(None),
        Some(Written::Seconds(seconds)) => Ok(Some(Duration::from_secs(seconds))),
        Some(Written::Text(text)) => {
            let bad = |_| serde::de::Error::custom("ttl is a number of seconds, or a text such as \"6h\"");
            humantime::parse_duration(&text).map(Some).map_err(bad)
        }
    }
}

/// The known fields, as the error for an unknown one lists them.
#[cfg(test)]
pub(crate) fn fields() -> Vec<String> {
    let unknown = Map::from_iter([("?".to_owned(), Value::Null)]);
    let message = Directives::deserialize(Value::Object(unknown)).unwrap_err().to_string();
    message.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wellspring_test_support::fuzz::{Target, head_and_body};

    use super::*;
    use crate::header_fields;

    #[test]
    fn each_field_has_its_header_and_each_header_its_field() {
        let headers: Vec<String> = header_fields::names().map(str::to_owned).collect();
        let expected: Vec<String> =
            fields().iter().map(|field| format!("wellspring-{}", field.replace('_', "-"))).collect();
        assert!(expected.len() > 10, "{expected:?}");
        assert_eq!(headers, expected);
    }

    #[test]
    fn parameters_keep_their_text_in_the_body_and_in_a_header() {
        let field = json::read(r#"{"question":"q","parameters":{"a":[1.50,1e400],"é":"x%y"}}"#).unwrap();
        let in_body = read(&field).unwrap().parameters;
        let mut headers = HeaderMap::new();
        headers.insert("wellspring-parameters", r#"{"%C3%A9": "x%25y", "a":[1.50,1e400]}"#.parse().unwrap());
        let limits = RequestLimits::default();
        let in_header = Directives::new(None, &headers, &limits).unwrap().parameters;
        assert_eq!(in_body, in_header);
        for bad in ["[1]", "7", "{\"a\":1,\"a\":2}", "{"] {
            headers.insert("wellspring-parameters", bad.parse().unwrap());
            assert!(Directives::new(None, &headers, &limits).is_err(), "{bad}");
        }
        assert!(read(&json!({ "parameters": [1] })).is_err());
        assert!(read(&json::read(r#"{"threshold":1e400}"#).unwrap()).is_err());
    }

    fn read(field: &Value) -> Result<Directives, Problem> {
        Directives::new(Some(field.clone()), &HeaderMap::new(), &RequestLimits::default())
    }

    #[test]
    fn sources_are_documents_versions_and_chunks() {
        let directives = read(&json!({
            "question": "q", "ttl": "5m", "tags": ["t"],
            "sources": [{ "id": "a" }, { "id": "b", "version": "2" }, { "id": "c", "chunks": ["1", "2"] },
                        { "id": "d", "version": "3", "chunks": ["4"] }],
        }))
        .unwrap();
        assert_eq!(
            directives.dependencies(),
            [
                Dependency::document("a"),
                Dependency::document_version("b", "2"),
                Dependency::chunk("c", "1"),
                Dependency::chunk("c", "2"),
                Dependency::chunk_version("d", "4", "3"),
                Dependency::Tag("t".into()),
            ]
        );
        assert_eq!(directives.ttl, Some(Duration::from_mins(5)));
    }

    #[test]
    fn what_is_null_is_not_said() {
        let mut nulls: Map<String, Value> = fields().into_iter().map(|name| (name, Value::Null)).collect();
        nulls.insert("sources".to_owned(), json!([{ "id": "a", "version": null, "chunks": null }]));
        let directives = read(&nulls.into()).unwrap();
        assert_eq!(directives.dependencies(), [Dependency::document("a")]);
        assert!(read(&Value::Null).unwrap().dependencies().is_empty());
        // A parameter's value may be null.
        let directives = read(&json!({ "parameters": { "a": null } })).unwrap();
        assert_eq!(directives.parameters, Map::from_iter([("a".to_owned(), Value::Null)]));
        let mut headers = HeaderMap::new();
        headers.insert("wellspring-sources", "b".parse().unwrap());
        let field = json!({ "sources": null });
        let directives = Directives::new(Some(field), &headers, &RequestLimits::default()).unwrap();
        assert_eq!(directives.dependencies(), [Dependency::document("b")]);
    }

    #[test]
    fn an_error_names_the_field() {
        for (bad, name) in [
            (json!({ "tags": [1] }), "tags[0]"),
            (json!({ "tags": [null] }), "tags[0]"),
            (json!({ "sources": [{ "id": "a" }, { "id": "b", "chunks": [null] }] }), "sources[1].chunks[0]"),
            (json!({ "content_type": "poem" }), "content_type"),
            (json!({ "ttl": [] }), "ttl"),
            (json!({ "negative": "yes" }), "negative"),
        ] {
            let problem = format!("{:?}", read(&bad).unwrap_err());
            assert!(problem.contains(&format!("not valid: {name}: ")), "{bad}: {problem}");
        }
    }

    #[test]
    fn what_is_not_known_or_not_valid_is_refused() {
        for bad in [
            json!({ "qestion": "q" }),
            json!({ "qestion": null }),
            json!({ "question": " " }),
            json!({ "threshold": 2 }),
            json!({ "max_false_hit_rate": 0 }),
            json!({ "max_false_hit_rate": 0.02, "threshold": 0.9 }),
            json!({ "ttl": "soon" }),
            json!({ "sources": [{ "id": "" }] }),
            json!({ "tags": ["a\nb"] }),
            json!({ "namespace": "a::b" }),
            json!({ "ignore": vec!["user"; MOST_IGNORED + 1] }),
            json!([1]),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
        assert!(read(&json!({ "ignore": vec!["user"; MOST_IGNORED] })).is_ok());
    }

    #[test]
    fn whatever_a_request_holds_it_is_understood_or_refused() {
        let limits = RequestLimits::default();
        // A number such as 1.50 is kept as an object with its text.
        Target::new("directives").room(64 << 10, 1_024).run(|input| {
            let (headers, body) = head_and_body(input);
            if limits.check_json(body).is_err() {
                return false;
            }
            let Some(mut fields) = json::object(body) else { return false };
            let written = json::write(&Value::Object(fields.clone()));
            assert_eq!(json::object(written.as_bytes()).as_ref(), Some(&fields));
            let field = fields.remove("wellspring");
            assert_eq!(json::has(body, "wellspring"), field.is_some());
            assert_eq!(json::object(&json::without(body, "wellspring").unwrap()), Some(fields));
            let Ok(directives) = Directives::new(field, &headers, &limits) else { return false };
            drop((directives.dependencies(), directives.answer(String::new(), None, Value::Null)));
            true
        });
    }
}
