//! Bodies of requests: decompressed, and received within the limits of one request and of all requests
//! together.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt as _;
use tower_http::decompression::RequestDecompression;

use crate::Gateway;
use crate::error::Problem;
use crate::limits::{LARGE, RequestLimits};

/// How many bodies of the longest length all requests together may hold.
const LONGEST_AT_ONCE: usize = 64;
/// The codings of a body that are read.
const CODINGS: [&str; 5] = ["gzip", "deflate", "br", "zstd", "identity"];
/// The unit in which memory for bodies is counted, in bytes.
const UNIT: usize = 1 << 10;

/// The memory that is left for large bodies. A small body needs none of it: the number of requests that are
/// served at a time bounds those.
#[derive(Debug)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new(limits: &RequestLimits) -> Self {
        let units = limits.body_bytes.saturating_mul(LONGEST_AT_ONCE) / UNIT;
        Self(Arc::new(Semaphore::new(units.clamp(1, Semaphore::MAX_PERMITS))))
    }

    /// Takes room for `bytes` in all, of which `held` is already taken.
    fn take(&self, bytes: usize, held: &mut Option<OwnedSemaphorePermit>) -> Result<(), Problem> {
        if bytes < LARGE {
            return Ok(());
        }
        let units = bytes.div_ceil(UNIT) - held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.0).try_acquire_many_owned(units).map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_much_at_once",
                "the gateway holds as many bytes of requests as it may",
            )
            .retry_after(Duration::from_secs(1))
        })?;
        match held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        Ok(())
    }
}

/// Bytes with the room that they take.
struct Held {
    bytes: BytesMut,
    _room: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The whole body of a request. Its room is free again once all its bytes were dropped.
///
/// # Errors
///
/// 413 if it is too long, 408 if it is too slow, 400 if it breaks off, 503 if all bodies together are too long.
pub(super) async fn read(gateway: &Gateway, body: Body) -> Result<Bytes, Problem> {
    read_at_most(gateway, body, gateway.options().limits.body_bytes).await
}

/// The whole body of a webhook, whose sender is not known yet.
pub(super) async fn read_webhook(gateway: &Gateway, body: Body) -> Result<Bytes, Problem> {
    read_at_most(gateway, body, gateway.options().limits.webhook_bytes).await
}

async fn read_at_most(gateway: &Gateway, body: Body, most: usize) -> Result<Bytes, Problem> {
    let patience = gateway.options().limits.body_timeout;
    let received = receive(gateway.room(), Limited::new(body, most), most);
    tokio::time::timeout(patience, received).await.unwrap_or_else(|_| {
        Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            format!("the body did not arrive within {} s", patience.as_secs()),
        ))
    })
}

async fn receive(room: &Room, mut body: Limited<Body>, most: usize) -> Result<Bytes, Problem> {
    let (mut bytes, mut held) = (BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<LengthLimitError>() {
                let message = format!("the body has more than {most} bytes");
                return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message);
            }
            Problem::invalid("the body broke off, or is not compressed as its Content-Encoding says")
        })?;
        let Ok(data) = frame.into_data() else { continue };
        // Most bodies come in one piece, which is not copied.
        if bytes.is_empty() && data.len() < LARGE && http_body::Body::is_end_stream(&body) {
            return Ok(data);
        }
        room.take(bytes.len() + data.len(), &mut held)?;
        bytes.extend_from_slice(&data);
    }
    Ok(Bytes::from_owner(Held { bytes, _room: held }))
}

/// Decompresses the body of `request` if it has a `Content-Encoding` (RFC 9110, 8.4): what it says to the
/// gateway must be read, and limits are for what it contains. The upstream gets it as it is read here.
/// Any other coding than [those](CODINGS) gets a 415 with `Accept-Encoding`, and so do several at once.
pub(super) async fn decompressed(mut request: Request, next: Next) -> Response {
    let headers = request.headers_mut();
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(coding) = codings.next() else { return next.run(request).await };
    let coding = coding.to_str().unwrap_or_default().trim().to_ascii_lowercase();
    // Names are the same in any case, and this one has two (RFC 9110, 8.4.1).
    let coding = if coding == "x-gzip" { "gzip" } else { &coding };
    let known = CODINGS.into_iter().find(|known| *known == coding && codings.next().is_none());
    let Some(known) = known else {
        let message = "the body has a Content-Encoding that is not read here: send it uncompressed";
        let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", message);
        let mut refused = problem.into_response();
        let accepted = HeaderValue::from_static("gzip, deflate, br, zstd");
        refused.headers_mut().insert(header::ACCEPT_ENCODING, accepted);
        return refused;
    };
    if known == "identity" {
        headers.remove(header::CONTENT_ENCODING);
        return next.run(request).await;
    }
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(known));
    let inner = tower::service_fn(|request: axum::http::Request<_>| {
        let next = next.clone();
        async move { Ok::<_, std::convert::Infallible>(next.run(request.map(Body::new)).await) }
    });
    match RequestDecompression::new(inner).oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}
