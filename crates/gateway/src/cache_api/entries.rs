//! `/v1/cache/entries`: what is stored, over all scopes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use wellspring::entry::{Change, Dependency};
use wellspring::key::{Corpus, EntryId, composed};
use wellspring::store::StoredEntry;

use super::view;
use crate::Gateway;
use crate::documents::{Job, submitted_response};
use crate::error::Problem;
use crate::extract::{Named, Params};

/// How many entries a page holds, by default and at most.
const PAGE: (usize, usize) = (50, 500);
/// How many entries one request looks at. A search that reaches this number reports where to continue.
const LOOKED_AT: usize = 10_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    /// The last entry of the previous page.
    after: Option<EntryId>,
    limit: Option<usize>,
    corpus: Option<Corpus>,
    /// Part of the question, in any case.
    search: Option<String>,
    /// A document that the answer is derived from.
    document: Option<String>,
}

impl Wanted {
    fn accepts(&self, stored: &StoredEntry) -> bool {
        let entry = &stored.entry;
        let has = |text: &str| entry.question.to_lowercase().contains(&text.to_lowercase());
        let is_of = |document: &str| entry.documents().any(|(id, _)| composed(id) == composed(document));
        self.corpus.as_ref().is_none_or(|corpus| entry.corpus == *corpus)
            && self.search.as_deref().is_none_or(has)
            && self.document.as_deref().is_none_or(is_of)
    }
}

/// A page of entries; `next` is the `after` of the next one.
pub(super) async fn list(
    State(gateway): State<Gateway>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<Value>, Problem> {
    let limit = wanted.limit.unwrap_or(PAGE.0);
    if !(1..=PAGE.1).contains(&limit) {
        return Err(Problem::invalid(format!("the limit is {limit}, expected 1 to {}", PAGE.1)));
    }
    let (mut page, mut after, mut looked_at) = (Vec::new(), wanted.after, 0);
    let mut next = None;
    'scan: while looked_at < LOOKED_AT {
        let found = gateway.cache().entries(after, PAGE.1).await?;
        for stored in &found {
            after = Some(stored.entry.id);
            if wanted.accepts(stored) {
                page.push(view::line(stored));
            }
            if page.len() == limit {
                next = after;
                break 'scan;
            }
        }
        looked_at += found.len();
        if found.len() < PAGE.1 {
            return Ok(Json(json!({ "entries": page, "next": null })));
        }
        next = after;
    }
    Ok(Json(json!({ "entries": page, "next": next })))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct InCorpus {
    corpus: Corpus,
}

/// An entry with its answer and its sources.
pub(super) async fn one(
    State(gateway): State<Gateway>,
    Named(id): Named<EntryId>,
    Params(InCorpus { corpus }): Params<InCorpus>,
) -> Result<Json<Value>, Problem> {
    let id = gateway.cache().named(&corpus, id).await?;
    let Some(stored) = gateway.cache().entry(&corpus, id).await? else { return Err(no_entry()) };
    let mut body = view::answer(&stored.entry);
    body["hits"] = stored.hits.into();
    body["corpus"] = json!(stored.entry.corpus);
    body["scope"] = json!(stored.entry.scope);
    body["sources"] = stored.entry.dependencies.iter().map(source).collect();
    Ok(Json(body))
}

fn source(dependency: &Dependency) -> Value {
    match dependency {
        Dependency::Document { id, version } => json!({ "document": id, "version": version }),
        Dependency::Chunk { document, hash, .. } => json!({ "document": document, "chunk": hash }),
        Dependency::Collection(name) => json!({ "collection": name }),
        Dependency::Tag(name) => json!({ "tag": name }),
        Dependency::Namespace(path) => json!({ "namespace": path }),
        _ => json!(dependency),
    }
}

/// Removes an entry; if its answer is being filled at this moment, the fill is refused.
pub(super) async fn remove(
    State(gateway): State<Gateway>,
    Named(id): Named<EntryId>,
    Params(InCorpus { corpus }): Params<InCorpus>,
) -> Result<Response, Problem> {
    // If the store cannot be read, the invalidation is kept, with the id as given.
    let id = gateway.cache().named(&corpus, id).await.unwrap_or(id);
    Ok(submitted_response(gateway.submit(Job::invalidate(corpus, vec![Change::Entry(id)])).await?, &gateway))
}

pub(super) fn no_entry() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_entry",
        "no live entry that you may be served has this id in this corpus",
    )
}
