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

use super::ask::{FIELD, pass};
use super::reply::{self, Forward};
use super::upstream::Outgoing;
use super::{json, path};
use crate::admission::apart;
use crate::auth::Caller;
use crate::error::{Problem, no_method, no_route};
use crate::{Gateway, body, header_fields, vendor};

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
    path::below_version(&head.uri)?;
    if vendor::is_own(head.uri.path()) {
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
    let mut has_directives = header_fields::is_any(&head.headers);
    let outgoing = if is_file(&head.headers) {
        let length = body.size_hint().exact();
        let patience = gateway.options().limits.body_timeout;
        let body = reqwest::Body::wrap_stream(in_time(body, patience));
        let mut outgoing = Outgoing::new(&gateway, &head, &caller, body)?;
        if let Some(length) = length {
            outgoing.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        outgoing
    } else {
        let body = body::read(&gateway, body).await?;
        // Some clients send the field with every request. A body without it is not parsed.
        let limits = gateway.options().limits;
        let (body, has_field) = apart(&gateway, body.len(), move || {
            if !json::names(&body, FIELD) {
                return Ok::<_, Problem>((body, false));
            }
            limits.check_json(&body)?;
            let stripped = json::has(&body, FIELD).then(|| json::without(&body, FIELD)).flatten();
            let has_field = stripped.is_some();
            Ok((stripped.unwrap_or(body), has_field))
        })
        .await??;
        has_directives |= has_field;
        Outgoing::new(&gateway, &head, &caller, body)?
    };
    let mut passed = pass(&gateway, outgoing, Forward::Bypass("path")).await?;
    if has_directives {
        reply::warn_of_ignored_directives(passed.headers_mut());
    }
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
