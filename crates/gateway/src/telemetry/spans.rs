//! Spans of requests, for traces by OpenTelemetry: one per request, and one per call of an upstream.
//!
//! Contexts are read from and written to the headers of W3C Trace Context if the program has set a
//! propagator; otherwise those headers pass through unchanged. Names are those of OpenTelemetry's semantic
//! conventions for HTTP. No span holds a question, an answer or a key.

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use opentelemetry::global;
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The span of a client's request, within the client's own trace if the request names one.
pub(super) fn request(request: &Request, route: &str) -> Span {
    let span = tracing::debug_span!(
        "request",
        otel.name = %format_args!("{} {route}", request.method()),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = %request.method(),
        http.route = route,
        http.response.status_code = Empty,
    );
    if !span.is_disabled() {
        let context = global::get_text_map_propagator(|propagator| {
            propagator.extract(&HeaderExtractor(request.headers()))
        });
        // Without a layer for OpenTelemetry there is nothing to set it on.
        let _ = span.set_parent(context);
    }
    span
}

/// The span of a call of `upstream`.
pub(crate) fn call(upstream: &str, method: &Method) -> Span {
    tracing::debug_span!(
        "upstream",
        otel.name = %format_args!("{method} {upstream}"),
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = %method,
        http.response.status_code = Empty,
        peer.service = upstream,
    )
}

/// Records in `span` how the request was answered.
pub(crate) fn responded(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// Sends the trace context of `span` to the other end, in `headers`.
pub(crate) fn carry(span: &Span, headers: &mut HeaderMap) {
    if !span.is_disabled() {
        let context = span.context();
        global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&context, &mut HeaderInjector(headers));
        });
    }
}
