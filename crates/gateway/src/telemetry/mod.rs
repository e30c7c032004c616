//! The gateway's own measurements, besides those of the cache.
//!
//! `/metrics` reports them to Prometheus, `/admin/overview` to the page. Labels come from closed sets (routes
//! as they are declared, statuses, names of vendors), never from what a caller sent.

mod exposition;
mod feedback;
mod samples;
pub(super) mod spans;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use tracing::Instrument as _;

pub use self::feedback::FeedbackCounts;
pub(super) use self::samples::{EVERY as SAMPLE_EVERY, Samples};
use crate::Gateway;
use crate::auth::{self, Permission};
use crate::error::Problem;

/// The gateway's own measurements.
pub struct Telemetry {
    requests: Family<RequestLabels, Counter>,
    request_time: Family<RouteLabels, Histogram, fn() -> Histogram>,
    upstream_time: Family<UpstreamLabels, Histogram, fn() -> Histogram>,
    upstreams: Mutex<BTreeMap<(&'static str, Option<u16>), u64>>,
    unsourced: Counter,
    feedback: FeedbackCounts,
    samples: Samples,
    started: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabels {
    upstream: &'static str,
}

/// Buckets that range from the time of a hit to that of a long answer.
fn seconds() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    ])
}

impl Telemetry {
    pub(super) fn new() -> Self {
        Self {
            requests: Family::default(),
            request_time: Family::new_with_constructor(seconds),
            upstream_time: Family::new_with_constructor(seconds),
            upstreams: Mutex::default(),
            unsourced: Counter::default(),
            feedback: FeedbackCounts::new(),
            samples: Samples::default(),
            started: Instant::now(),
        }
    }

    /// How long the gateway has been running.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Callers' feedback on answers.
    pub fn feedback(&self) -> &FeedbackCounts {
        &self.feedback
    }

    /// Counts a named question that came without sources.
    pub(super) fn lacked_sources(&self) {
        self.unsourced.inc();
    }

    pub(super) fn samples(&self) -> &Samples {
        &self.samples
    }

    /// Counts a call of `upstream` that took this long until the head of its response; no status if no
    /// response came.
    pub(super) fn called(&self, upstream: &'static str, status: Option<u16>, took: Duration) {
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        *upstreams.entry((upstream, status)).or_default() += 1;
        drop(upstreams);
        self.upstream_time.get_or_create(&UpstreamLabels { upstream }).observe(took.as_secs_f64());
    }

    /// How often each upstream answered with each status.
    pub(super) fn calls(&self) -> BTreeMap<(&'static str, Option<u16>), u64> {
        self.upstreams.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

pub(super) fn routes() -> Router<Gateway> {
    auth::requiring(Router::new().route("/metrics", get(metrics)), Permission::Read)
}

async fn metrics(State(gateway): State<Gateway>) -> Result<Response, Problem> {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], exposition::text(&gateway).await?).into_response())
}

/// Counts the request and how long its response took to begin.
pub(super) async fn observe(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let span = spans::request(&request, &route);
    let response = next.run(request).instrument(span.clone()).await;
    spans::responded(&span, response.status());
    let telemetry = gateway.telemetry();
    let took = started.elapsed().as_secs_f64();
    telemetry.request_time.get_or_create(&RouteLabels { route: route.clone() }).observe(took);
    telemetry.requests.get_or_create(&RequestLabels { route, status: response.status().as_u16() }).inc();
    response
}
