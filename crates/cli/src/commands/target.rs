//! The flags that name what changed.

use std::collections::BTreeMap;

use clap::Args;
use wellspring::entry::{Change, DocumentVersion};
use wellspring::error::Result;
use wellspring::key::{Corpus, EntryId, Namespace};

use crate::commands::input::invalid;

/// What changed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Targets")]
pub(crate) struct TargetArgs {
    /// A document, with its new version. The last @ separates id and version; if an id contains @ and no version
    /// follows, end it with another @. Repeatable
    #[arg(long = "doc", value_name = "ID[@VERSION]")]
    documents: Vec<String>,
    /// A changed chunk of a document; answers from its other chunks are kept. Repeatable
    #[arg(long = "chunk", value_name = "DOC#HASH", value_parser = chunk)]
    chunks: Vec<(String, String)>,
    /// Everything with a tag. Repeatable
    #[arg(long = "tag", value_name = "NAME")]
    tags: Vec<String>,
    /// A collection in which a document was added, removed or changed. Repeatable
    #[arg(long = "collection", value_name = "NAME")]
    collections: Vec<String>,
    /// A namespace and everything below it. Repeatable
    #[arg(long = "namespace", value_name = "PATH")]
    namespaces: Vec<Namespace>,
    /// An answer, by its 32-digit id. Repeatable
    #[arg(long = "entry", value_name = "ID")]
    entries: Vec<EntryId>,
    /// Everything in the corpus
    #[arg(long)]
    pub(crate) everything: bool,
}

/// What belongs to targets and is none.
#[derive(Debug, Args)]
pub(crate) struct TargetOptions {
    /// The new version of the single --doc, whose id is then taken literally
    #[arg(long, value_name = "VERSION", requires = "documents")]
    doc_version: Option<String>,
    /// The corpus: the body of documents
    #[arg(long, value_name = "NAME", default_value_t)]
    pub(crate) corpus: Corpus,
}

impl TargetArgs {
    /// The changes, in the order of the flags' help, after those that are `listed` elsewhere; at least one.
    pub(crate) fn changes(self, options: &TargetOptions, listed: Vec<Change>) -> Result<Vec<Change>> {
        let mut changes = listed;
        match (&options.doc_version, &self.documents[..]) {
            (None, documents) => changes.extend(documents.iter().map(|text| {
                let (id, version) = document(text);
                Change::Document { id, version }
            })),
            (Some(version), [id]) => changes.push(Change::document_version(id, version.as_str())),
            (Some(_), _) => {
                return Err(invalid("--doc-version goes with one --doc; write several as --doc ID@VERSION"));
            }
        }
        let mut chunks = BTreeMap::<String, Vec<String>>::new();
        for (document, hash) in self.chunks {
            chunks.entry(document).or_default().push(hash);
        }
        changes.extend(chunks.into_iter().map(|(document, hashes)| Change::Chunks {
            document,
            hashes,
            version: None,
        }));
        changes.extend(self.tags.into_iter().map(Change::Tag));
        changes.extend(self.collections.into_iter().map(Change::Collection));
        changes.extend(self.namespaces.into_iter().map(Change::Namespace));
        changes.extend(self.entries.into_iter().map(Change::Entry));
        if self.everything {
            changes.push(Change::Everything);
        }
        if changes.is_empty() {
            return Err(invalid(
                "nothing is named, give --doc, --chunk, --tag, --collection, --namespace, --entry or --everything",
            ));
        }
        Ok(changes)
    }
}

/// A change in a few words.
pub(crate) fn describe(change: &Change) -> String {
    match change {
        Change::Document { id, version: None } => format!("document {id}"),
        Change::Document { id, version: Some(version) } => format!("document {id}@{}", version.as_str()),
        Change::Chunks { document, hashes, .. } => format!("chunks of {document}: {}", hashes.join(", ")),
        Change::Collection(name) => format!("collection {name}"),
        Change::Tag(name) => format!("tag {name}"),
        Change::Namespace(path) => format!("namespace {path}"),
        Change::Entry(id) => format!("entry {id}"),
        Change::Everything => "everything".into(),
        _ => "something else".into(),
    }
}

/// `ID[@VERSION]`. The last `@` splits, so `a@b@` is the id `a@b` without a version.
pub(crate) fn document(text: &str) -> (String, Option<DocumentVersion>) {
    match text.rsplit_once('@') {
        Some((id, "")) => (id.to_owned(), None),
        Some((id, version)) => (id.to_owned(), Some(version.into())),
        None => (text.to_owned(), None),
    }
}

/// `DOC#HASH`. The last `#` splits: ids may contain one, hashes do not.
pub(crate) fn chunk(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('#') {
        Some((document, hash)) if !document.is_empty() && !hash.is_empty() => {
            Ok((document.to_owned(), hash.to_owned()))
        }
        _ => Err("expected DOC#HASH".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_separator_splits() {
        assert_eq!(document("guide"), ("guide".into(), None));
        assert_eq!(document("guide@v3"), ("guide".into(), Some("v3".into())));
        assert_eq!(document("me@example.com@7"), ("me@example.com".into(), Some("7".into())));
        assert_eq!(document("me@example.com@"), ("me@example.com".into(), None));
        assert_eq!(chunk("Warsaw#28#ab12").unwrap(), ("Warsaw#28".into(), "ab12".into()));
        assert!(chunk("guide").is_err() && chunk("guide#").is_err() && chunk("#a").is_err());
    }
}
