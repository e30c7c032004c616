//! Which requests are admitted, and where the work on them is done.

use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http_body::{Frame, SizeHint};
use tokio::sync::Semaphore;

use crate::connections::Connection;
use crate::error::Problem;
use crate::identity::{Identity, SERVED, Served};
use crate::limits::{LARGE, RequestLimits};
use crate::listener::Listener;
use crate::{Gateway, body, health};

/// The number of requests after which the rates of callers that have gone are forgotten.
const SWEEP: u32 = 10_000;

/// Does `work` on a body of `bytes` bytes. A large body is processed off the threads that serve requests, and
/// at most as many large bodies at a time as there are processors.
pub(super) async fn apart<T: Send + 'static>(
    gateway: &Gateway,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    if bytes < LARGE {
        return Ok(work());
    }
    let failed = || Problem::internal("the gateway failed on this request");
    let turn = Arc::clone(&gateway.admission().large).acquire_owned().await.map_err(|_| failed())?;
    // What the caller may use is counted there, too.
    let served = SERVED.try_with(Served::clone).ok();
    let done = tokio::task::spawn_blocking(move || {
        let _held = turn;
        match served {
            Some(served) => SERVED.sync_scope(served, work),
            None => work(),
        }
    });
    done.await.map_err(|_| failed())
}

/// How much each caller has left.
#[derive(Debug)]
pub(super) struct Admission {
    rates: Option<DefaultKeyedRateLimiter<[u8; 32]>>,
    until_sweep: AtomicU32,
    places: Arc<Semaphore>,
    concurrency: usize,
    /// Permits for work on large bodies.
    large: Arc<Semaphore>,
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
            large: Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, Into::into))),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.concurrency.saturating_sub(self.places.available_permits())
    }

    /// Counts `more` requests of `caller` that came in as one.
    pub(super) fn charge(&self, caller: [u8; 32], more: usize) -> Result<(), Problem> {
        let more = u32::try_from(more).ok().and_then(NonZeroU32::new);
        let (Some(rates), Some(more)) = (&self.rates, more) else { return Ok(()) };
        let early = match rates.check_key_n(&caller, more) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(early)) => early.wait_time_from(DefaultClock::default().now()),
            // More than the rate allows in any second.
            Err(_) => Duration::ZERO,
        };
        Err(too_often().retry_after(early))
    }

    fn check_rate(&self, caller: impl FnOnce() -> [u8; 32]) -> Result<(), Problem> {
        let Some(rates) = &self.rates else { return Ok(()) };
        if self.until_sweep.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.until_sweep.store(SWEEP, Ordering::Relaxed);
            rates.retain_recent();
        }
        rates
            .check_key(&caller())
            .map_err(|early| too_often().retry_after(early.wait_time_from(DefaultClock::default().now())))
    }
}

fn too_often() -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "too many requests in this second")
}

/// Admits a request, or says why not. Its place is free again once its whole response was sent. Callers do
/// not take places of administration, and health checks need none.
pub(super) async fn admit(
    State((gateway, listener)): State<(Gateway, Listener)>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if health::is_check(request.uri()) {
        return Ok(next.run(request).await);
    }
    let admission = gateway.admission();
    admission.check_rate(|| Identity::of(&request).key())?;
    let served = Served::of(&gateway, &request);
    let running = request.extensions().get().map(Connection::run);
    if listener != Listener::Public {
        let response = SERVED.scope(served, body::decompressed(request, next)).await;
        return Ok(holding(response, running));
    }
    let Ok(place) = Arc::clone(&admission.places).try_acquire_owned() else {
        return Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_at_once",
            "the gateway serves as many requests as it may",
        )
        .retry_after(Duration::from_secs(1)));
    };
    let response = SERVED.scope(served, body::decompressed(request, next)).await;
    Ok(holding(response, (running, place)))
}

/// `response`, which holds `held` until it was sent.
fn holding(response: Response, held: impl Send + Unpin + 'static) -> Response {
    response.map(|body| Body::new(Holding { body, _held: held }))
}

/// A body that holds something until it was sent. (The adapters of `http_body_util` forget its length.)
struct Holding<T> {
    body: Body,
    _held: T,
}

impl<T: Unpin> http_body::Body for Holding<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_asks_too_often_learns_when_to_come_back() {
        let limits = RequestLimits { rate_per_second: 2, ..RequestLimits::default() };
        let admission = Admission::new(&limits);
        let ask = |caller| admission.check_rate(|| [caller; 32]).is_ok();
        assert!(ask(1) && ask(1) && !ask(1));
        assert!(ask(2));
    }
}
