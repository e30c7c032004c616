//! `/healthz` (the process runs) and `/readyz` (it takes requests), both without a token.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;
use wellspring::cache::Cache;

use crate::Gateway;

/// How long the state of the store is cached: health checks need no token and are not rate-limited.
const KEPT: Duration = Duration::from_secs(1);
/// How long a request waits for the store to report its state. Health checkers wait a second or more.
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
#[derive(Debug, Default)]
pub(super) struct StoreCheck {
    /// Held by the request that asks the store; the check, if it goes on.
    turn: tokio::sync::Mutex<Option<AbortOnDropHandle<()>>>,
    /// What a request was last told, and when.
    last: Mutex<Option<(Instant, StoreState)>>,
    /// What the checks found out.
    known: Arc<Mutex<Option<StoreState>>>,
}

impl StoreCheck {
    pub(super) async fn state(&self, cache: &Cache) -> StoreState {
        let mut turn = self.turn.lock().await;
        if let Some((at, state)) = *lock(&self.last)
            && at.elapsed() < KEPT
        {
            return state;
        }
        // A check of a slow store is not given up, or nothing would ever be known of it.
        let mut check = turn.take().unwrap_or_else(|| {
            AbortOnDropHandle::new(tokio::spawn(check(cache.clone(), Arc::clone(&self.known))))
        });
        if tokio::time::timeout(PATIENCE, &mut check).await.is_err() {
            *turn = Some(check);
        }
        let known = *lock(&self.known);
        let state = known.unwrap_or_else(|| {
            // Nothing is known yet, except whether lookups would try.
            let is_used = cache.store_connection().is_none_or(|connection| connection.up);
            if is_used { StoreState::Ok } else { StoreState::Bypassed }
        });
        *lock(&self.last) = Some((Instant::now(), state));
        state
    }
}

/// Asks the store. Lookups wait longer for it than a health checker does, and one reply is enough to know that
/// they are served; all there is to know of it takes several.
async fn check(cache: Cache, known: Arc<Mutex<Option<StoreState>>>) {
    // Lookups use a connection of their own.
    let reached = cache.ready().await;
    if reached.is_ok() {
        let mut known = lock(&known);
        if *known != Some(StoreState::ReadOnly) {
            *known = Some(StoreState::Ok);
        }
    }
    let status = match reached {
        Ok(()) => cache.status().await,
        Err(error) => Err(error),
    };
    let state = match status {
        Ok(status) if status.unwritable.is_some() => StoreState::ReadOnly,
        Ok(_) => StoreState::Ok,
        Err(_) => StoreState::Bypassed,
    };
    *lock(&known) = Some(state);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
