//! What is stored: answers, the documents that they came from, and the scopes that they are shared in.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use wellspring::entry::{Change, Dependency, Entry};
use wellspring::error::Result;
use wellspring::key::{Corpus, EntryId, ScopeId, composed};
use wellspring::store::StoredEntry;

use super::{Answered, Asked, EntryView, json, parameters};
use crate::Gateway;

/// How many entries one request looks at.
const MOST_SCANNED: usize = 20_000;
/// How many entries are read from the store at a time.
const PAGE: usize = 500;
/// How many entries, documents or scopes one response names.
const MOST_NAMED: usize = 200;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EntriesParameters {
    /// Part of a question, an answer, or the name of a source, in any case.
    search: String,
    corpus: Option<Corpus>,
    after: Option<EntryId>,
    limit: Option<usize>,
}

/// Stored answers, ordered by id. `next` is the id to continue after; it is null at the end.
pub(super) async fn entries(State(gateway): State<Gateway>, asked: Asked<EntriesParameters>) -> Answered {
    let asked = parameters(asked)?;
    let limit = asked.limit.unwrap_or(50).clamp(1, MOST_NAMED);
    let search = asked.search.to_lowercase();
    let mut found = Vec::new();
    let next = scan(&gateway, asked.after, |stored| {
        let is_in = asked.corpus.as_ref().is_none_or(|corpus| *corpus == stored.entry.corpus);
        if is_in && matches(&stored.entry, &search) {
            found.push(EntryView::from(stored));
        }
        found.len() < limit
    })
    .await?;
    json(&json!({ "entries": found, "next": next }))
}

/// Passes the entries after `after` to `see` until it has enough; returns where to continue.
async fn scan(
    gateway: &Gateway,
    mut after: Option<EntryId>,
    mut see: impl FnMut(&StoredEntry) -> bool,
) -> Result<Option<EntryId>> {
    for _ in 0..MOST_SCANNED / PAGE {
        let page = gateway.cache().entries(after, PAGE).await?;
        let is_last = page.len() < PAGE;
        for (index, stored) in page.iter().enumerate() {
            after = Some(stored.entry.id);
            if !see(stored) {
                return Ok(after.filter(|_| !is_last || index + 1 < page.len()));
            }
        }
        if is_last {
            return Ok(None);
        }
    }
    Ok(after)
}

fn matches(entry: &Entry, search: &str) -> bool {
    search.is_empty()
        || entry.question.to_lowercase().contains(search)
        || entry.answer.text.to_lowercase().contains(search)
        || entry.id.to_string().starts_with(search)
        || entry.dependencies.iter().any(|dependency| name(dependency).to_lowercase().contains(search))
}

fn name(dependency: &Dependency) -> &str {
    match dependency {
        Dependency::Document { id, .. } => id,
        Dependency::Chunk { document, .. } => document,
        Dependency::Collection(name) | Dependency::Tag(name) => name,
        Dependency::Namespace(path) => path.as_str(),
        _ => "",
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ContentsParameters {
    /// Part of the name of a document, in any case.
    search: String,
}

#[derive(Debug, Default, Serialize)]
struct Counted {
    answers: u64,
    hits: u64,
}

impl Counted {
    fn add(&mut self, stored: &StoredEntry) {
        self.answers += 1;
        self.hits += stored.hits;
    }
}

/// The documents that answers came from and the scopes that they are shared in, with the most answers first.
pub(super) async fn contents(State(gateway): State<Gateway>, asked: Asked<ContentsParameters>) -> Answered {
    let search = composed(&parameters(asked)?.search).to_lowercase();
    let mut documents = BTreeMap::<(Corpus, String), Counted>::new();
    let mut scopes = BTreeMap::<(Corpus, ScopeId), (Counted, String)>::new();
    let rest = scan(&gateway, None, |stored| {
        let entry = &stored.entry;
        let (count, example) = scopes.entry((entry.corpus.clone(), entry.scope)).or_default();
        count.add(stored);
        if example.is_empty() {
            *example = entry.question.to_string();
        }
        // Several chunks of one document count as one document.
        let named: BTreeSet<_> = entry.documents().map(|(id, _)| composed(id)).collect();
        for id in named.into_iter().filter(|id| search.is_empty() || id.to_lowercase().contains(&search)) {
            documents.entry((entry.corpus.clone(), id.into_owned())).or_default().add(stored);
        }
        true
    })
    .await?;
    let mut documents: Vec<_> = documents.into_iter().collect();
    documents.sort_by_key(|(_, count)| std::cmp::Reverse(count.answers));
    let mut scopes: Vec<_> = scopes.into_iter().collect();
    scopes.sort_by_key(|(_, (count, _))| std::cmp::Reverse(count.answers));
    let is_part = rest.is_some() || documents.len() > MOST_NAMED || scopes.len() > MOST_NAMED;
    let documents: Vec<_> = documents
        .iter()
        .take(MOST_NAMED)
        .map(|((corpus, id), count)| {
            json!({ "corpus": corpus, "document": id, "answers": count.answers, "hits": count.hits })
        })
        .collect();
    let scopes: Vec<_> = scopes
        .iter()
        .take(MOST_NAMED)
        .map(|((corpus, scope), (count, example))| {
            json!({ "corpus": corpus, "scope": scope, "answers": count.answers, "hits": count.hits, "example": example })
        })
        .collect();
    json(&json!({ "documents": documents, "scopes": scopes, "is_part": is_part }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DependantsParameters {
    #[serde(default)]
    corpus: Corpus,
    document: String,
}

/// The answers that would be removed if the document changed, the most often hit first.
pub(super) async fn dependants(
    State(gateway): State<Gateway>,
    asked: Asked<DependantsParameters>,
) -> Answered {
    let DependantsParameters { corpus, document } = parameters(asked)?;
    let entries = gateway.cache().impact(&corpus, &Change::document(&document)).await?;
    let status = gateway.cache().status().await?;
    let is_same = |held: &String| composed(held) == composed(&document);
    let is_held = status.corpora.iter().any(|known| known.corpus == corpus && known.held.iter().any(is_same));
    let shown: Vec<_> = entries.iter().take(MOST_NAMED).map(EntryView::from).collect();
    json(&json!({
        "corpus": corpus, "document": document, "is_held": is_held, "answers": entries.len(), "entries": shown,
    }))
}
