//! `Idempotency-Key`: a request that is sent again gets the response to the first one.
//!
//! Responses to successful requests are kept in memory for a day, at most the 10,000 most recent; a request
//! that failed can be tried again with the same key. Reporting a change twice does no harm, so forgetting a
//! key does none either.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use moka::policy::EvictionPolicy;
use moka::sync::Cache as BoundedCache;
use sha2::{Digest as _, Sha256};

use crate::auth::Caller;
use crate::error::Problem;
use crate::{Gateway, body};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const MAX_KEY_BYTES: usize = 255;
const KEPT_FOR: Duration = Duration::from_hours(24);
const MOST_KEPT: u64 = 10_000;

/// Requests that were made under a key.
#[derive(Debug)]
pub(crate) struct Keys {
    requests: BoundedCache<[u8; 32], Arc<Made>>,
}

/// A request and its response, once there is one.
#[derive(Debug)]
struct Made {
    fingerprint: [u8; 32],
    response: Mutex<Option<(StatusCode, HeaderMap, Bytes)>>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            requests: BoundedCache::builder()
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(KEPT_FOR)
                .max_capacity(MOST_KEPT)
                .build(),
        }
    }
}

/// Forgets a request that ends without a response.
struct Pending<'a> {
    keys: &'a Keys,
    key: [u8; 32],
    is_made: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.is_made {
            self.keys.requests.invalidate(&self.key);
        }
    }
}

pub(super) async fn once(
    State(gateway): State<Gateway>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(key) = request.headers().get(KEY) else { return Ok(next.run(request).await) };
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(Problem::invalid(format!("the Idempotency-Key must have 1 to {MAX_KEY_BYTES} bytes")));
    }
    let caller = request.extensions().get::<Caller>().and_then(|caller| caller.token.as_ref());
    let key = digest(&[caller.map_or("", |token| token.name()).as_bytes(), key.as_bytes()]);
    let (head, body) = request.into_parts();
    let body = body::read(&gateway, body).await?;
    let fingerprint =
        digest(&[head.method.as_str().as_bytes(), head.uri.to_string().as_bytes(), body.as_ref()]);
    let keys = gateway.idempotency();
    let made = Made { fingerprint, response: Mutex::default() };
    let entry = keys.requests.entry(key).or_insert_with(|| made.into());
    let (is_first, made) = (entry.is_fresh(), entry.into_value());
    if !is_first {
        return again(&made, fingerprint);
    }
    let mut pending = Pending { keys, key, is_made: false };
    let response = next.run(Request::from_parts(head, Body::from(body))).await;
    if !response.status().is_success() {
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|_| Problem::invalid("the response broke off"))?.to_bytes();
    let response = (head.status, head.headers, body);
    *made.response.lock().unwrap_or_else(PoisonError::into_inner) = Some(response.clone());
    pending.is_made = true;
    Ok(response.into_response())
}

/// The response to a request whose key was seen before.
fn again(made: &Made, fingerprint: [u8; 32]) -> Result<Response, Problem> {
    if made.fingerprint != fingerprint {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "another request was made with this Idempotency-Key",
        ));
    }
    let response = made.response.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some((status, mut headers, body)) = response else {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "idempotency_key_in_use",
            "the first request with this Idempotency-Key is not answered yet",
        )
        .retry_after(Duration::from_secs(1)));
    };
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    Ok((status, headers, body).into_response())
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}
