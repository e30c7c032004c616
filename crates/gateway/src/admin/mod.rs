//! The data behind the dashboard, for people and programs that run the gateway.
//!
//! Numbers need the permission to read. Questions and answers need the permission to administer, because they
//! may come from any caller. Nothing here reads the whole store: a request looks at a bounded number of
//! entries.

mod actions;
mod contents;
mod overview;
mod why;

use axum::extract::rejection::QueryRejection;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde_json::Value;
use wellspring::clock::Timestamp;
use wellspring::entry::{ContentType, Dependency, Usage};
use wellspring::key::{Corpus, EntryId, ScopeId};
use wellspring::store::StoredEntry;

use crate::Gateway;
use crate::auth::{Permission, requiring};
use crate::error::Problem;

pub(super) fn routes() -> Router<Gateway> {
    let numbers = Router::new()
        .route("/admin/overview", get(overview::overview))
        .route("/admin/threshold", get(overview::threshold));
    let contents = Router::new()
        .route("/admin/entries", get(contents::entries))
        .route("/admin/contents", get(contents::contents))
        .route("/admin/dependants", get(contents::dependants))
        .route("/admin/log", get(overview::log))
        .route("/admin/why", post(why::why));
    let actions = Router::new()
        .route("/admin/invalidate", post(actions::invalidate))
        .route("/admin/hold", post(actions::hold))
        .route("/admin/release", post(actions::release));
    requiring(numbers, Permission::Read)
        .merge(requiring(contents, Permission::Admin))
        .merge(requiring(actions, Permission::Invalidate))
}

/// A stored answer.
#[derive(Debug, Serialize)]
struct EntryView {
    entry: EntryId,
    corpus: Corpus,
    scope: ScopeId,
    question: String,
    answer: String,
    content_type: ContentType,
    created_at: Timestamp,
    expires_at: Timestamp,
    hits: u64,
    usage: Option<Usage>,
    dependencies: Vec<Dependency>,
}

impl From<&StoredEntry> for EntryView {
    fn from(stored: &StoredEntry) -> Self {
        let entry = &stored.entry;
        Self {
            entry: entry.id,
            corpus: entry.corpus.clone(),
            scope: entry.scope,
            question: entry.question.to_string(),
            answer: entry.answer.text.to_string(),
            content_type: entry.answer.content_type,
            created_at: entry.created_at,
            expires_at: entry.expires_at,
            hits: stored.hits,
            usage: entry.answer.usage,
            dependencies: entry.dependencies.clone(),
        }
    }
}

type Answered = Result<Json<Value>, Problem>;
/// The query parameters of a request.
type Asked<T> = Result<axum::extract::Query<T>, QueryRejection>;

fn parameters<T>(asked: Asked<T>) -> Result<T, Problem> {
    asked.map(|asked| asked.0).map_err(|rejected| Problem::invalid(rejected.body_text()))
}

/// Serialising these values fails only through a fault in the gateway.
fn json(value: &impl Serialize) -> Answered {
    serde_json::to_value(value).map(Json).map_err(|_| Problem::internal("the answer cannot be written"))
}
