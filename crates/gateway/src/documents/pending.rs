//! `/v1/documents/pending`: changes that are kept because they could not be applied.

use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::journal::PendingJob;
use super::{LISTED, report};
use crate::Gateway;
use crate::error::Problem;
use crate::extract::{Named, without_query};

/// How many changes of a job are shown.
const SHOWN: usize = 100;

pub(super) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/documents/pending", get(list))
        .route("/v1/documents/pending/{id}", get(one).delete(drop_one))
        .route("/v1/documents/pending/{id}/retry", post(retry))
        .route_layer(from_fn(without_query))
}

/// A job as it is shown: the first of its names, but no content, because none was kept.
pub(super) fn view(id: u64, pending: Option<&PendingJob>) -> Value {
    let Some(pending) = pending else { return json!({ "id": id.to_string(), "state": "applied" }) };
    json!({
        "id": id.to_string(),
        "state": if pending.is_dead_lettered { "dead_lettered" } else { "waiting" },
        "since_ms": pending.since.as_millis(),
        "attempts": pending.attempts,
        "error": pending.error.as_ref().map(|(kind, message)| {
            json!({ "kind": kind.name(), "message": message })
        }),
        "changes": pending.job.changes(),
        "job": pending.job.first(SHOWN),
    })
}

async fn list(State(gateway): State<Gateway>) -> Json<Value> {
    let pending = gateway.queue().pending();
    let shown: Vec<Value> =
        pending.iter().take(LISTED).map(|(id, pending)| view(*id, Some(pending))).collect();
    // What the store itself could not complete yet. None if the store is away and cannot report it.
    let in_store = gateway.cache().status().await.ok().map(|status| status.pending_invalidations);
    Json(json!({ "count": pending.len(), "in_store": in_store, "pending": shown }))
}

async fn one(State(gateway): State<Gateway>, Named(id): Named<u64>) -> Result<Json<Value>, Problem> {
    if let Some(pending) = gateway.queue().find(id) {
        return Ok(Json(view(id, Some(&pending))));
    }
    match gateway.queue().applied(id) {
        Some(done) => {
            let mut body = report(&done);
            body["id"] = id.to_string().into();
            Ok(Json(body))
        }
        None => Err(unknown()),
    }
}

async fn retry(State(gateway): State<Gateway>, Named(id): Named<u64>) -> Result<StatusCode, Problem> {
    if gateway.try_again(id) { Ok(StatusCode::ACCEPTED) } else { Err(unknown()) }
}

async fn drop_one(State(gateway): State<Gateway>, Named(id): Named<u64>) -> Result<StatusCode, Problem> {
    if gateway.forget(id).await { Ok(StatusCode::NO_CONTENT) } else { Err(unknown()) }
}

fn unknown() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not_pending",
        "no change with this id is pending: it was applied an hour ago or more, dropped, or never kept",
    )
}
