//! `POST /v1/documents/changed`: what changed, told by whatever changes documents.

use axum::extract::{Request, State};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::entry::Change;
use crate::key::Corpus;
use crate::server::Gateway;
use crate::server::auth::{self, Right};
use crate::server::error::Problem;

/// The most changes of one request.
const MOST: usize = 1_000;

pub(super) fn routes() -> Router<Gateway> {
    auth::requiring(Router::new().route("/v1/documents/changed", post(changed)), Right::Invalidate)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Changed {
    corpus: Corpus,
    documents: Vec<Document>,
    collections: Vec<String>,
    tags: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    id: String,
    /// Its version or content hash from now on. One that is known already changes nothing.
    #[serde(default)]
    version: Option<String>,
    /// The hashes that its changed chunks had; none if the whole document changed.
    #[serde(default)]
    chunks: Vec<String>,
}

impl Document {
    fn change(self) -> Change {
        let version = self.version.map(Into::into);
        if self.chunks.is_empty() {
            return Change::Document { id: self.id, version };
        }
        Change::Chunks { document: self.id, hashes: self.chunks, version }
    }
}

/// Answers once no lookup is served an answer from what changed any more.
async fn changed(State(gateway): State<Gateway>, request: Request) -> Result<Json<Value>, Problem> {
    let body = gateway.options().limits.read(request.into_body()).await?;
    let changed: Changed = serde_json::from_slice(&body)
        .map_err(|error| Problem::invalid(format!("the body is not valid: {error}")))?;
    let mut changes: Vec<Change> = changed.documents.into_iter().map(Document::change).collect();
    changes.extend(changed.collections.into_iter().map(Change::Collection));
    changes.extend(changed.tags.into_iter().map(Change::Tag));
    if changes.is_empty() || changes.len() > MOST {
        return Err(Problem::invalid(format!("{} changes are named, expected 1 to {MOST}", changes.len())));
    }
    let done = gateway.cache().invalidate(&changed.corpus, &changes).await?;
    Ok(Json(json!({
        "dropped": done.dropped(), "unchanged": done.is_unchanged(),
        "matched_nothing": done.matched_nothing(), "outcomes": done.outcomes,
    })))
}
