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

/// How long the state of the store is cached: health checks need no token and are not rate-limited.
const KEPT: Duration = Duration::from_secs(1);
/// How long the store may take to report its state. Health checkers wait a second or more.
const PATIENCE: Duration = Duration::from_millis(900);

pub(super) fn routes() -> Router<Gateway> {
    Router::new().route("/healthz", get(health)).route("/readyz", get(ready))
}

/// Whether `uri` is one of the health checks.
pub(super) fn is_check(uri: &Uri) -> bool {
    matches!(uri.path(), "/healthz" | "/readyz")
}

async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// A store that is away or cannot be written to does not make the gateway unready: the gateway serves what it
/// can, and this response reports the store's state.
async fn ready(State(gateway): State<Gateway>) -> (StatusCode, Json<Value>) {
    if gateway.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "draining" })));
    }
    (StatusCode::OK, Json(json!({ "status": "ok", "store": gateway.store_state().await })))
}

/// What the store can do at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoreState {
    /// Everything.
    Ok,
    /// What is stored is served, but nothing new is stored; for example, because the disk is full.
    ReadOnly,
    /// Nothing, because it does not answer; requests go to the upstream.
    Bypassed,
}

/// The state of the store when it was last checked.
#[derive(Debug)]
pub(super) struct StoreCheck {
    /// Held by the request that asks the store.
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
