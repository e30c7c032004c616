//! How a stored answer is shown.

use owo_colors::OwoColorize as _;
use serde::Serialize;
use serde_json::Value;
use wellspring::entry::{ContentType, Dependency, Entry, Usage};
use wellspring::key::{EntryId, ScopeId};
use wellspring::store::StoredEntry;

use crate::commands::context::Context;
use crate::commands::output::{Column, table};
use crate::commands::units;

/// A stored answer as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct EntryJson<'a> {
    entry: EntryId,
    corpus: &'a str,
    scope: ScopeId,
    question: &'a str,
    answer: &'a str,
    content_type: ContentType,
    negative: bool,
    created_at: String,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hits: Option<u64>,
    usage: Option<Usage>,
    metadata: &'a Value,
    dependencies: &'a [Dependency],
}

impl<'a> EntryJson<'a> {
    /// An entry without its hits, which only the store knows.
    pub(crate) fn new(entry: &'a Entry) -> Self {
        Self {
            entry: entry.id,
            corpus: entry.corpus.as_str(),
            scope: entry.scope,
            question: &entry.question,
            answer: &entry.answer.text,
            content_type: entry.answer.content_type,
            negative: entry.answer.negative,
            created_at: units::rfc3339(entry.created_at),
            expires_at: units::rfc3339(entry.expires_at),
            hits: None,
            usage: entry.answer.usage,
            metadata: &entry.answer.metadata,
            dependencies: &entry.dependencies,
        }
    }
}

impl<'a> From<&'a StoredEntry> for EntryJson<'a> {
    fn from(stored: &'a StoredEntry) -> Self {
        Self { hits: Some(stored.hits), ..Self::new(&stored.entry) }
    }
}

/// A table of stored answers, one line each.
pub(crate) fn entries(entries: &[StoredEntry]) -> String {
    let columns = [
        Column::Left("ENTRY"),
        Column::Right("HITS"),
        Column::Right("AGE"),
        Column::Right("LEFT"),
        Column::Right("DOCS"),
        Column::Rest("QUESTION"),
    ];
    table(
        &columns,
        entries.iter().map(|stored| {
            let entry = &stored.entry;
            vec![
                units::short(entry.id),
                units::count(stored.hits),
                age(entry),
                left(entry),
                units::count(entry.documents().count() as u64),
                entry.question.to_string(),
            ]
        }),
    )
}

/// How long ago the answer was stored.
pub(crate) fn age(entry: &Entry) -> String {
    units::span(Context::now().saturating_since(entry.created_at))
}

/// How long the answer will live.
pub(crate) fn left(entry: &Entry) -> String {
    units::span(entry.expires_at.saturating_since(Context::now()))
}

/// What the answer was derived from or belongs to, each in a few words.
pub(crate) fn dependencies(dependencies: &[Dependency]) -> Vec<String> {
    dependencies
        .iter()
        .map(|dependency| match dependency {
            Dependency::Document { id, version: None } => format!("document {id}"),
            Dependency::Document { id, version: Some(version) } => {
                format!("document {id}{}", format!("@{}", version.as_str()).dimmed())
            }
            Dependency::Chunk { document, hash, .. } => {
                format!("chunk {document}{}", format!("#{hash}").dimmed())
            }
            Dependency::Collection(name) => format!("collection {name}"),
            Dependency::Tag(name) => format!("tag {name}"),
            Dependency::Namespace(path) => format!("namespace {path}"),
            _ => "something else".to_owned(),
        })
        .collect()
}

/// The content type as it is written in JSON and on the command line.
pub(crate) fn content_type(content_type: ContentType) -> &'static str {
    match content_type {
        ContentType::General => "general",
        ContentType::StaticFact => "static_fact",
        ContentType::Documentation => "documentation",
        ContentType::UserData => "user_data",
        ContentType::RealTime => "real_time",
        _ => "other",
    }
}
