//! The content of an event, and the forms in which it may be written.

use serde::Deserialize;

use crate::entry::{Change, DocumentVersion};
use crate::key::{Corpus, Namespace};

/// The longest event in bytes.
const MAX_BYTES: usize = 1 << 20;
/// The most changes or chunks that one event may report.
const MAX_CHANGES: usize = 10_000;
/// The field of a stream entry that holds an event in JSON.
const JSON_FIELD: &str = "event";
/// The only version of the format so far.
const FORMAT: u64 = 1;

/// Something that happened to a document, or to a group of documents.
///
/// In **JSON**, as the field `event` of a stream entry or as a message on a channel:
///
/// ```json
/// {"v": 1, "corpus": "default", "type": "changed", "id": "guide.md", "version": "7"}
/// ```
///
/// | field | meaning |
/// |---|---|
/// | `v` | the version of this format, 1; 1 if absent |
/// | `corpus` | the corpus, otherwise the one that the reader was set to (`default`) |
/// | `type` | see below; `changed` if absent |
/// | `id` | the document, or the name of the tag, collection or namespace: a string, or a number, which counts as its digits |
/// | `version` | the document's version from now on: a string or a number; an event with a version that is registered already does nothing |
/// | `chunks` | the hashes that the changed chunks had; without it, the whole document changed |
/// | `at` | when it happened, for people; ignored |
///
/// | type | what it does | needs |
/// |---|---|---|
/// | `changed` | [`Change::Document`], or [`Change::Chunks`] with `chunks` | `id` |
/// | `deleted` | [`Change::Document`] without a version | `id` |
/// | `begin`, `end` | [`begin_update`](crate::Cache::begin_update), [`end_update`](crate::Cache::end_update) | `id` |
/// | `tag`, `collection`, `namespace` | the [`Change`] of that name | `id` |
/// | `everything` | [`Change::Everything`] | |
///
/// As **fields of the stream entry** for producers that have no JSON at hand: `id`, `version`, `corpus` and
/// `type` with the same meanings, and no `event`. `XADD documents * id 4711 version 3` is a change of the
/// document `4711`.
///
/// As **Wellspring announces** its own invalidations on `<prefix>invalidations`, so that one deployment can follow
/// another: `{"v": 1, "corpus": "default", "changes": [{"document": {"id": "guide.md", "version": null}}], "origin": "…",
/// "at_ms": 0}`, where `changes` holds [`Change`]s. What was heard in this form is not announced again, so that
/// deployments may follow each other in a circle.
///
/// Other fields are ignored. An event that lacks required fields, is longer than 1 MiB or reports more than
/// 10,000 changes is malformed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The corpus; none for the one that the reader was set to.
    pub corpus: Option<Corpus>,
    /// What is to be done.
    pub(super) action: Action,
    /// Whether it was announced by Wellspring, here or elsewhere.
    pub(super) is_announcement: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Invalidate(Vec<Change>),
    Begin(String),
    End(String, Option<DocumentVersion>),
}

/// The fields of all forms together.
#[derive(Debug, Default, Deserialize)]
struct Spelled {
    v: Option<u64>,
    corpus: Option<Corpus>,
    r#type: Option<String>,
    id: Option<Name>,
    version: Option<Name>,
    chunks: Option<Vec<String>>,
    changes: Option<Vec<Change>>,
}

/// A name, which a database may hold as a number.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    Unsigned(u64),
    Signed(i64),
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        match name {
            Name::Text(text) => text,
            Name::Unsigned(number) => number.to_string(),
            Name::Signed(number) => number.to_string(),
        }
    }
}

impl Event {
    /// Reads an event in JSON.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("it has {} bytes, the limit is {MAX_BYTES}", text.len()));
        }
        let spelled: Spelled =
            serde_json::from_slice(text).map_err(|error| format!("it is not an event in JSON: {error}"))?;
        spelled.event()
    }

    /// Reads the fields of a stream entry.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn from_fields(fields: &[(Vec<u8>, Vec<u8>)]) -> Result<Self, String> {
        let field = |name: &str| {
            fields.iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value.as_slice())
        };
        if let Some(json) = field(JSON_FIELD) {
            return Self::from_json(json);
        }
        let bytes: usize = fields.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes > MAX_BYTES {
            return Err(format!("it has {bytes} bytes, the limit is {MAX_BYTES}"));
        }
        if field("id").is_none() && field("type").is_none() {
            return Err("it has neither the field event nor id nor type".into());
        }
        let text = |name: &str| {
            let value = field(name).map(std::str::from_utf8).transpose();
            value.map_err(|_| format!("its {name} is not UTF-8"))
        };
        // Producers that cannot leave a field out send it empty.
        let name = |name: &str| Ok::<_, String>(text(name)?.filter(|text| !text.is_empty()));
        let corpus = name("corpus")?.map(Corpus::new).transpose().map_err(|error| error.to_string())?;
        let spelled = Spelled {
            corpus,
            r#type: name("type")?.map(str::to_owned),
            id: name("id")?.map(|id| Name::Text(id.to_owned())),
            version: name("version")?.map(|version| Name::Text(version.to_owned())),
            ..Spelled::default()
        };
        spelled.event()
    }

    /// How many changes it reports.
    pub(super) fn changes(&self) -> usize {
        match &self.action {
            Action::Invalidate(changes) => count(changes),
            Action::Begin(_) | Action::End(..) => 1,
        }
    }
}

/// How many changes these are; each chunk is one.
fn count(changes: &[Change]) -> usize {
    let count = changes.iter().map(|change| match change {
        Change::Chunks { hashes, .. } => hashes.len(),
        _ => 1,
    });
    count.sum()
}

impl Spelled {
    fn event(self) -> Result<Event, String> {
        if let Some(version) = self.v.filter(|version| *version != FORMAT) {
            return Err(format!("its format {version} is not known"));
        }
        let is_announcement = self.changes.is_some();
        let corpus = self.corpus.clone();
        let action = match self.changes {
            Some(changes) if changes.is_empty() => return Err("its list of changes is empty".into()),
            Some(changes) => Action::Invalidate(changes),
            None => self.action()?,
        };
        action.check()?;
        Ok(Event { corpus, action, is_announcement })
    }

    fn action(self) -> Result<Action, String> {
        let kind = self.r#type.as_deref().unwrap_or("changed");
        let version = self.version.map(|version| DocumentVersion::new(String::from(version)));
        let id = || self.id.map(String::from).ok_or_else(|| format!("it is of type {kind} and has no id"));
        let change = match (kind, self.chunks) {
            ("changed", None) => Change::Document { id: id()?, version },
            ("changed", Some(hashes)) => Change::Chunks { document: id()?, hashes, version },
            ("deleted", _) => Change::document(id()?),
            ("begin", _) => return Ok(Action::Begin(id()?)),
            ("end", _) => return Ok(Action::End(id()?, version)),
            ("tag", _) => Change::Tag(id()?),
            ("collection", _) => Change::Collection(id()?),
            ("namespace", _) => Change::Namespace(Namespace::new(&id()?).map_err(|error| error.to_string())?),
            ("everything", _) => Change::Everything,
            _ => return Err("its type is not known".into()),
        };
        Ok(Action::Invalidate(vec![change]))
    }
}

impl Action {
    /// Changes that the store would refuse make an event malformed.
    fn check(&self) -> Result<(), String> {
        let check = |change: &Change| change.check().map_err(|error| error.to_string());
        match self {
            Self::Invalidate(changes) => {
                let count = count(changes);
                if count > MAX_CHANGES {
                    return Err(format!("it reports {count} changes, the limit is {MAX_CHANGES}"));
                }
                changes.iter().try_for_each(check)
            }
            Self::Begin(document) => check(&Change::document(document)),
            Self::End(document, version) => {
                check(&Change::Document { id: document.clone(), version: version.clone() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use wellspring_test_support::fuzz::Target;

    use super::*;

    fn json(text: &str) -> Result<Action, String> {
        Event::from_json(text.as_bytes()).map(|event| event.action)
    }

    fn fields(fields: &[(&str, &str)]) -> Result<Action, String> {
        let fields: Vec<_> =
            fields.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
        Event::from_fields(&fields).map(|event| event.action)
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands for what reading returns")]
    fn one(change: Change) -> Result<Action, String> {
        Ok(Action::Invalidate(vec![change]))
    }

    #[test]
    fn every_type_in_every_spelling_is_read() {
        let chunks = Change::Chunks {
            document: "a".into(),
            hashes: vec!["h1".into(), "h2".into()],
            version: Some("2".into()),
        };
        let docs = Namespace::new("docs:technical").unwrap();
        for (text, expected) in [
            (r#"{"v":1,"type":"changed","id":"a","at":"2026-01-01T00:00:00Z"}"#, one(Change::document("a"))),
            (r#"{"id":"a","version":"2","more":[1]}"#, one(Change::document_version("a", "2"))),
            (r#"{"id":4711,"version":-2}"#, one(Change::document_version("4711", "-2"))),
            (r#"{"id":"a","version":null,"chunks":null}"#, one(Change::document("a"))),
            (r#"{"id":"a","chunks":["h1","h2"],"version":2}"#, one(chunks)),
            (r#"{"type":"deleted","id":"a","version":"2"}"#, one(Change::document("a"))),
            (r#"{"type":"begin","id":"a"}"#, Ok(Action::Begin("a".into()))),
            (r#"{"type":"end","id":"a","version":"2"}"#, Ok(Action::End("a".into(), Some("2".into())))),
            (r#"{"type":"tag","id":"t"}"#, one(Change::Tag("t".into()))),
            (r#"{"type":"collection","id":"c"}"#, one(Change::Collection("c".into()))),
            (r#"{"type":"namespace","id":"docs:technical"}"#, one(Change::Namespace(docs))),
            (r#"{"type":"everything"}"#, one(Change::Everything)),
            (
                r#"{"v":1,"corpus":"c","changes":[{"document":{"id":"a","version":null}},"everything"],"origin":"0","at_ms":1}"#,
                Ok(Action::Invalidate(vec![Change::document("a"), Change::Everything])),
            ),
        ] {
            assert_eq!(json(text), expected, "{text}");
            assert_eq!(fields(&[("event", text), ("id", "ignored")]), expected, "{text}");
        }
        assert_eq!(fields(&[("id", "4711"), ("version", "")]), one(Change::document("4711")));
        assert_eq!(
            fields(&[("id", "a"), ("version", "3"), ("type", "end")]),
            Ok(Action::End("a".into(), Some("3".into())))
        );
        assert_eq!(fields(&[("type", "everything")]), one(Change::Everything));
        let event = Event::from_json(br#"{"corpus":"c","id":"a"}"#).unwrap();
        assert_eq!(event.corpus.as_ref().map(Corpus::as_str), Some("c"));
        assert!(!event.is_announcement);
    }

    #[test]
    fn what_is_malformed_says_why() {
        for (text, part) in [
            ("", "not an event in JSON"),
            ("[]", "not an event in JSON"),
            ("{}", "of type changed and has no id"),
            (r#"{"v":2,"id":"a"}"#, "format 2 is not known"),
            (r#"{"type":"renamed","id":"a"}"#, "type is not known"),
            (r#"{"type":"tag"}"#, "of type tag and has no id"),
            (r#"{"id":""}"#, "document id is empty"),
            (r#"{"id":1.5}"#, "not an event in JSON"),
            (r#"{"id":"a","chunks":[]}"#, "no changed chunk"),
            (r#"{"type":"namespace","id":"a::b"}"#, "empty level"),
            (r#"{"corpus":"","id":"a"}"#, "corpus is empty"),
            (r#"{"changes":[]}"#, "list of changes is empty"),
            (r#"{"changes":["nothing"]}"#, "not an event in JSON"),
            ("{\"id\":\"a\\u0000b\"}", "control character"),
        ] {
            let error = json(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(fields(&[("name", "a")]).unwrap_err().contains("neither the field event nor id"));
        assert!(Event::from_fields(&[(b"id".to_vec(), vec![0xff])]).unwrap_err().contains("not UTF-8"));
        let long = format!(r#"{{"id":"a","at":"{}"}}"#, "x".repeat(MAX_BYTES));
        assert!(json(&long).unwrap_err().contains("the limit is 1048576"));
        let hashes = vec!["h"; MAX_CHANGES + 1];
        let many = serde_json::json!({"id": "a", "chunks": hashes}).to_string();
        assert!(json(&many).unwrap_err().contains("reports 10001 changes"));
    }

    #[test]
    fn whatever_bytes_arrive_they_are_an_event_or_say_why_not() {
        Target::new("event").run(|input| {
            let fields: Vec<_> =
                input.split(|byte| *byte == b',').map(|part| (part.to_vec(), part.to_vec())).collect();
            drop(Event::from_fields(&fields));
            let Ok(Event { corpus, action, .. }) = Event::from_json(input) else { return false };
            let mut written = match &action {
                Action::Invalidate(changes) => serde_json::json!({ "v": FORMAT, "changes": changes }),
                Action::Begin(id) => serde_json::json!({ "type": "begin", "id": id }),
                Action::End(id, version) => {
                    serde_json::json!({ "type": "end", "id": id, "version": version })
                }
            };
            if let Some(corpus) = &corpus {
                written["corpus"] = corpus.as_str().into();
            }
            let again = Event::from_json(written.to_string().as_bytes()).unwrap();
            assert_eq!((again.corpus, again.action), (corpus, action));
            true
        });
    }
}
