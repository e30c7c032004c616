//! `/healthz` (the process runs) and `/readyz` (it takes requests), both without a token.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use wellspring::cache::Cache;

use crate::Gateway;

/// How long the state of the store is not asked for again: health checks need no token and count for no rate.
const KEPT: Duration = Duration::from_secs(1);
/// How long the store may take to say how it is. Whoever checks waits a second or more.
const PATIENCE: Duration = Duration::from_millis(900);

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

/// A store that is away, or that cannot be written, does not make the gateway unready: it serves what it can, and says so
/// here.
async fn ready(State(gateway): State<Gateway>) -> (StatusCode, Json<Value>) {
    if gateway.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "draining" })));
    }
    (StatusCode::OK, Json(json!({ "status": "ok", "store": gateway.store_state().await })))
}

/// What the store is good for at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoreState {
    /// All.
    Ok,
    /// What is stored is served, and nothing is stored: a full disk, for one.
    ReadOnly,
    /// Nothing, for it does not answer; requests go to the upstream.
    Bypassed,
}

/// The state of the store as it was found lately.
#[derive(Debug)]
pub(super) struct StoreCheck {
    /// Whose turn it is to ask the store.
    turn: Semaphore,
    last: Mutex<Option<(Instant, StoreState)>>,
}

impl Default for StoreCheck {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), last: Mutex::default() }
    }
}

impl StoreCheck {
    pub(super) async fn state(&self, cache: &Cache) -> StoreState {
        let _turn = self.turn.acquire().await;
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, state)) = last
            && at.elapsed() < KEPT
        {
            return state;
        }
        // Lookups use a connection of their own.
        let status = async {
            cache.ready().await?;
            cache.status().await
        };
        let state = match tokio::time::timeout(PATIENCE, status).await {
            Ok(Ok(status)) if status.unwritable.is_some() => StoreState::ReadOnly,
            Ok(Ok(_)) => StoreState::Ok,
            Ok(Err(_)) | Err(_) => StoreState::Bypassed,
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), state));
        state
    }
}
