//! What one request, one caller and all together may take of the gateway; more is a clear 4xx.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::server::Gateway;
use crate::server::auth::{API_KEY_HEADER, TOKEN_HEADER, sha256};
use crate::server::error::Problem;
use crate::server::{Gateway, health};

/// After how many requests the rates of callers that have gone are forgotten.
const SWEEP: u32 = 10_000;

/// What requests may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestLimits {
    /// The longest body of a request, in bytes; 16 MiB by default.
    pub body_bytes: usize,
    /// The longest question that a caller names, in bytes; 16 KiB by default. An unnamed one that is longer is
    /// not looked up.
    pub question_bytes: usize,
    /// The deepest nesting of arrays and objects in a body; 64 by default, which is the most.
    pub depth: usize,
    /// The most sources of one answer; 200 by default.
    pub sources: usize,
    /// How many requests one caller may send in a second, 0 for any number; 0 by default.
    pub rate_per_second: u32,
    /// How many requests of callers are served at a time; 4,096 by default.
    pub concurrency: usize,
    /// How long a request's body may take to arrive; 1 minute by default.
    pub body_timeout: Duration,
    /// How many connections callers may have, at most as many as the limit of open files allows; 8,192 by default.
    /// Administration has others.
    pub connections: usize,
    /// How long a client may take to begin to speak on a connection; 10 seconds by default.
    pub open_timeout: Duration,
    /// How long a client may take nothing of what it is sent; 30 seconds by default.
    pub write_timeout: Duration,
    /// The longest response of an upstream that is kept, in bytes as received; 1 MiB by default.
    pub recording_bytes: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            question_bytes: 16 << 10,
            depth: 64,
            sources: 200,
            rate_per_second: 0,
            concurrency: 4_096,
            body_timeout: Duration::from_mins(1),
            connections: 8_192,
            open_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            recording_bytes: 1 << 20,
        }
    }
}

impl RequestLimits {
    /// The whole body of a request.
    pub(super) async fn read(&self, body: Body) -> Result<Bytes, Problem> {
        let collected =
            tokio::time::timeout(self.body_timeout, Limited::new(body, self.body_bytes).collect());
        match collected.await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                format!("the body has more than {} bytes", self.body_bytes),
            )),
            Ok(Err(_)) => Err(Problem::invalid("the body broke off")),
            Err(_) => Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "timeout",
                format!("the body did not arrive within {} s", self.body_timeout.as_secs()),
            )),
        }
    }

    /// Checks how deep `value` is nested, without recursion.
    pub(super) fn check_depth(&self, value: &Value) -> Result<(), Problem> {
        let mut open = vec![(value, 0)];
        while let Some((value, depth)) = open.pop() {
            if depth > self.depth {
                return Err(self.too_deep());
            }
            match value {
                Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
                Value::Object(fields) => open.extend(fields.values().map(|item| (item, depth + 1))),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn too_deep(&self) -> Problem {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "body_too_deep",
            format!("the body is nested deeper than {} levels", self.depth),
        )
    }
}

/// Who has how much left.
#[derive(Debug)]
pub(super) struct Admission {
    rates: Option<DefaultKeyedRateLimiter<[u8; 32]>>,
    until_sweep: AtomicU32,
    places: Arc<Semaphore>,
    concurrency: usize,
}

impl Admission {
    pub(super) fn new(limits: &RequestLimits) -> Self {
        let rate = NonZeroU32::new(limits.rate_per_second);
        let concurrency = limits.concurrency.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            rates: rate.map(|rate| RateLimiter::keyed(Quota::per_second(rate))),
            until_sweep: AtomicU32::new(SWEEP),
            places: Arc::new(Semaphore::new(concurrency)),
            concurrency,
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.concurrency.saturating_sub(self.places.available_permits())
    }

    fn check_rate(&self, caller: impl FnOnce() -> [u8; 32]) -> Result<(), Problem> {
        let Some(rates) = &self.rates else { return Ok(()) };
        if self.until_sweep.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.until_sweep.store(SWEEP, Ordering::Relaxed);
            rates.retain_recent();
        }
        rates.check_key(&caller()).map_err(|early| {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "too many requests in this second")
                .retry_after(early.wait_time_from(DefaultClock::default().now()))
        })
    }
}

/// Lets a request in, or says why not. Its place is free again when its response was sent whole.
pub(super) async fn admit(
    State((gateway, door)): State<(Gateway, Door)>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if health::is_check(request.uri()) {
        return Ok(next.run(request).await);
    }
    let admission = gateway.admission();
    admission.check_rate(|| identity(&request))?;
    if door != Door::Public {
        return Ok(next.run(request).await);
    }
    let Ok(place) = Arc::clone(&admission.places).try_acquire_owned() else {
        return Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_at_once",
            "the gateway serves as many requests as it may",
        )
        .retry_after(Duration::from_secs(1)));
    };
    let response = next.run(request).await;
    Ok(response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &place;
            frame
        }))
    }))
}

/// Whose rate counts: that of the key or token, else that of the address.
fn identity(request: &Request) -> [u8; 32] {
    let shown = |headers: &HeaderMap| {
        [TOKEN_HEADER, header::AUTHORIZATION, API_KEY_HEADER]
            .iter()
            .find_map(|name| headers.get(name)?.to_str().ok().map(sha256))
    };
    shown(request.headers()).unwrap_or_else(|| {
        let address = request.extensions().get::<ConnectInfo<SocketAddr>>();
        sha256(&address.map(|info| info.0.ip().to_string()).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_asks_too_often_is_told_when_to_come_back() {
        let limits = RequestLimits { rate_per_second: 2, ..RequestLimits::default() };
        let admission = Admission::new(&limits);
        let ask = |caller| admission.check_rate(|| [caller; 32]).is_ok();
        assert!(ask(1) && ask(1) && !ask(1));
        assert!(ask(2));
    }

    #[test]
    fn deep_bodies_are_refused() {
        let limits = RequestLimits { depth: 2, ..RequestLimits::default() };
        assert!(limits.check_depth(&serde_json::json!([[1]])).is_ok());
        assert!(limits.check_depth(&serde_json::json!([[[1]]])).is_err());
    }
}
