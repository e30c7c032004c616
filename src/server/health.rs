//! `/healthz` (the process runs) and `/readyz` (it takes requests), both without a token.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::server::Gateway;

pub(super) fn routes() -> Router<Gateway> {
    Router::new().route("/healthz", get(health)).route("/readyz", get(ready))
}

/// Whether `uri` is one of these.
pub(super) fn is_check(uri: &Uri) -> bool {
    matches!(uri.path(), "/healthz" | "/readyz")
}

async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// A store that is away does not make the gateway unready: it goes without the cache then, and says so here.
async fn ready(State(gateway): State<Gateway>) -> (StatusCode, Json<Value>) {
    if gateway.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "draining" })));
    }
    let store = if gateway.store_is_up().await { "ok" } else { "bypassed" };
    (StatusCode::OK, Json(json!({ "status": "ok", "store": store })))
}
