//! What changed, as it is reported: one document, or several with collections, tags and namespaces.

use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use wellspring::entry::Change;
use wellspring::key::{Corpus, Namespace};

use super::job::{Job, weight};
use crate::error::Problem;
use crate::extract::{self, or_default};

/// The most changes in one request; each chunk counts as one.
pub(crate) const MOST_CHANGES: usize = 50_000;

/// The body of `POST /v1/documents/changed`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Changed {
    #[serde(deserialize_with = "or_default")]
    corpus: Corpus,
    #[serde(deserialize_with = "or_default")]
    documents: Vec<Document>,
    #[serde(deserialize_with = "or_default")]
    collections: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    tags: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    namespaces: Vec<Namespace>,
    #[serde(deserialize_with = "or_default")]
    everything: bool,
}

/// A document; a single one may be the whole body, together with its corpus.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    corpus: Option<Corpus>,
    id: String,
    /// Its version or content hash from now on. A version that is already known changes nothing.
    #[serde(default)]
    version: Option<String>,
    /// Its content from now on; the SHA-256 of the content is the version.
    #[serde(default)]
    text: Option<String>,
    /// The hashes that its changed chunks had before; none if the whole document changed.
    #[serde(default, deserialize_with = "or_default")]
    chunks: Vec<String>,
}

impl Document {
    fn change(self) -> Result<Change, Problem> {
        let version = match (self.version, self.text) {
            (Some(_), Some(_)) => {
                return Err(Problem::invalid("a document has a version or a text, not both"));
            }
            (version, text) => version.or_else(|| text.map(|text| hex::encode(Sha256::digest(text)))),
        };
        let version = version.map(Into::into);
        if self.chunks.is_empty() {
            return Ok(Change::Document { id: self.id, version });
        }
        Ok(Change::Chunks { document: self.id, hashes: self.chunks, version })
    }
}

/// Reads the fields of a body. `rename` maps the ids of documents; a document that it gives no id is left
/// out.
pub(crate) fn read(
    fields: Map<String, Value>,
    corpus: Option<&Corpus>,
    rename: impl Fn(String) -> Option<String>,
) -> Result<Job, Problem> {
    let has = |name: &str| fields.get(name).is_some_and(|value| !value.is_null());
    let (is_one, names_corpus) = (fields.contains_key("id"), has("corpus"));
    let mut changed = if is_one {
        let document: Document = extract::typed(fields)?;
        Changed {
            corpus: document.corpus.clone().or_else(|| corpus.cloned()).unwrap_or_default(),
            documents: vec![document],
            ..Changed::default()
        }
    } else {
        let mut changed: Changed = extract::typed(fields)?;
        if changed.documents.iter().any(|document| document.corpus.is_some()) {
            return Err(Problem::invalid("put the corpus beside the documents, not inside them"));
        }
        if let Some(corpus) = corpus.filter(|_| !names_corpus) {
            changed.corpus = corpus.clone();
        }
        changed
    };
    let is_empty = changed.documents.is_empty();
    let mut changes = Vec::new();
    for mut document in std::mem::take(&mut changed.documents) {
        if let Some(id) = rename(document.id) {
            document.id = id;
            changes.push(document.change()?);
        }
    }
    changes.extend(changed.collections.into_iter().map(Change::Collection));
    changes.extend(changed.tags.into_iter().map(Change::Tag));
    changes.extend(changed.namespaces.into_iter().map(Change::Namespace));
    changes.extend(changed.everything.then_some(Change::Everything));
    let count: usize = changes.iter().map(weight).sum();
    if (changes.is_empty() && is_empty) || count > MOST_CHANGES {
        return Err(miscounted(count));
    }
    Ok(Job::invalidate(changed.corpus, changes))
}

/// The error for a request with too few or too many changes.
pub(crate) fn miscounted(count: usize) -> Problem {
    let what = if count == 0 { "name what changed" } else { "report them in several requests" };
    Problem::invalid(format!("{count} changes are named, expected 1 to {MOST_CHANGES}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::super::job::Action;
    use super::*;

    fn changes(body: &str) -> Result<Vec<Change>, Problem> {
        match read(extract::fields(body.as_bytes())?, None, Some)?.action {
            Action::Invalidate(changes) => Ok(changes),
            Action::End { .. } => unreachable!(),
        }
    }

    #[test]
    fn one_and_many_are_read() {
        let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        for (body, expected) in [
            (r#"{"id":"a"}"#, vec![Change::document("a")]),
            (r#"{"id":"a","text":"hello"}"#, vec![Change::document_version("a", hash)]),
            (
                r#"{"documents":[{"id":"a","version":"1"},{"id":"b","chunks":["x"]}],"tags":["t"],
                    "collections":["c"],"namespaces":["n:m"],"everything":true}"#,
                vec![
                    Change::document_version("a", "1"),
                    Change::Chunks { document: "b".into(), hashes: vec!["x".into()], version: None },
                    Change::Collection("c".into()),
                    Change::Tag("t".into()),
                    Change::Namespace(Namespace::new("n:m").unwrap()),
                    Change::Everything,
                ],
            ),
            (
                r#"{"id":"a","version":null,"text":null,"chunks":null,"corpus":null}"#,
                vec![Change::document("a")],
            ),
            (
                r#"{"corpus":null,"documents":[{"id":"a","version":null}],"tags":null,"everything":null}"#,
                vec![Change::document("a")],
            ),
        ] {
            assert_eq!(changes(body).unwrap(), expected, "{body}");
        }
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"everything":false}"#,
            r#"{"id":"a","versoin":"1"}"#,
            r#"{"id":"a","version":"1","text":"t"}"#,
            r#"{"documents":[{"id":"a","corpus":"c"}]}"#,
            r#"{"namespaces":["a::b"]}"#,
        ] {
            assert!(changes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_corpus_of_the_body_goes_over_the_given_one() {
        let other = Corpus::new("other").unwrap();
        let corpus =
            |body: &str| read(extract::fields(body.as_bytes()).unwrap(), Some(&other), Some).unwrap().corpus;
        assert_eq!(corpus(r#"{"id":"a"}"#), other);
        assert_eq!(corpus(r#"{"tags":["a"]}"#), other);
        assert_eq!(corpus(r#"{"id":"a","corpus":"mine"}"#).as_str(), "mine");
        assert_eq!(corpus(r#"{"tags":["a"],"corpus":"mine"}"#).as_str(), "mine");
    }
}
