//! Requests that are not cached pass through unchanged: every path below the base URL that is not the
//! gateway's own.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};

use super::ask::FIELD;
use super::json;
use super::path;
use super::upstream::{Outgoing, Vendor, passed_on};
use crate::Gateway;
use crate::auth::Caller;
use crate::error::{Problem, no_method, no_route};
use crate::limits::apart;

/// The first segments of the gateway's own routes, on either listener. No API behind it has them, and an
/// upstream must not see a request that was sent to the wrong listener.
const OWN: [&str; 9] =
    ["admin", "cache", "dashboard", "documents", "healthz", "metrics", "openapi.json", "readyz", "webhooks"];

/// The methods that are passed on, and their list as a header's value.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
const ALLOWED: &str = "GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS";

pub(super) fn routes() -> Router<Gateway> {
    let through = pass_through;
    Router::new()
        .route("/v1/models", get(through).fallback(through))
        .route("/v1/models/{*id}", get(through).fallback(through))
        .route("/v1/responses/{*id}", get(through).post(through).delete(through).fallback(through))
        .route("/v1/messages/count_tokens", post(through))
        .route("/{*path}", any(through))
}

pub(super) async fn pass_through(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    // Other methods concern the connection (`TRACE` would return the gateway's key), or belong to no API.
    if !METHODS.contains(&head.method) {
        let mut refused = no_method().await.into_response();
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static(ALLOWED));
        return Ok(refused);
    }
    let path = path::below_version(&head.uri)?;
    let first = path.trim_start_matches('/').split(['/', '?']).next().unwrap_or_default();
    if OWN.contains(&first) {
        return Err(no_route().await);
    }
    if head.headers.get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "no_websocket",
            "the gateway does not forward WebSockets: connect to the API directly",
        )
        .lasting());
    }
    // Several paths exist in both APIs; only Anthropic's sends versions in a header.
    let is_anthropic = first == "messages" || head.headers.contains_key("anthropic-version");
    let vendor = if is_anthropic { Vendor::Anthropic } else { Vendor::OpenAi };
    let outgoing = if is_file(&head.headers) {
        let length = body.size_hint().exact();
        let patience = gateway.options().limits.body_timeout;
        let body = reqwest::Body::wrap_stream(in_time(body, patience));
        let mut outgoing = Outgoing::new(&gateway, vendor, &head, &caller, body)?;
        if let Some(length) = length {
            outgoing.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        outgoing
    } else {
        let body = gateway.options().limits.read(body).await?;
        // Some clients send the field with every request.
        let body = apart(&gateway, body.len(), move || {
            let stripped = json::has(&body, FIELD).then(|| json::without(&body, FIELD)).flatten();
            stripped.unwrap_or(body)
        })
        .await?;
        Outgoing::new(&gateway, vendor, &head, &caller, body)?
    };
    let response = outgoing.send(&gateway).await?;
    let mut passed = passed_on(&response, Body::empty());
    *passed.body_mut() = Body::from_stream(response.bytes_stream());
    Ok(passed)
}

/// Whether the body is a file: not text that could be meant for the gateway, and of any length.
fn is_file(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().trim().to_ascii_lowercase();
    ["multipart/", "audio/", "image/", "video/", "application/octet-stream"]
        .iter()
        .any(|kind| media_type.starts_with(kind))
}

/// The pieces of `body`; each must arrive within `patience`.
fn in_time(body: Body, patience: Duration) -> impl Stream<Item = Result<Bytes, axum::BoxError>> {
    futures::stream::unfold(Some(body.into_data_stream()), move |pieces| async move {
        let mut pieces = pieces?;
        match tokio::time::timeout(patience, pieces.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
            Ok(Some(Err(error))) => Some((Err(error.into()), None)),
            Ok(None) => None,
            Err(late) => Some((Err(late.into()), None)),
        }
    })
}
