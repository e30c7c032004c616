//! What goes wrong at the gateway itself, in the shape that the caller's client library expects.
//!
//! A [`Problem`] is written by `in_dialect`, the outermost layer: it knows which API the request is for.
//! Errors of the upstream never become a [`Problem`]: they are passed on as they are.

use std::any::Any;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use wellspring::cache::Since;
use wellspring::error::{Error, ErrorKind};

use crate::vendor::{self, Vendor};

/// When the question was looked up; sent with the response to a miss.
pub(super) const SINCE_HEADER: HeaderName = HeaderName::from_static("wellspring-since");

/// Whether the clients of both APIs repeat a request by themselves.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The shape of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `{"error": {"kind", "message"}}`, as the command line's `--json` prints them.
    Plain,
    /// `{"error": {"message", "type", "param", "code"}}`
    OpenAi,
    /// `{"type": "error", "error": {"type", "message"}}`
    Anthropic,
}

impl Dialect {
    /// The shape that the client of a request to `path` with `headers` expects. What is not the gateway's own
    /// is an API's, also on a listener that does not pass it on: the client of an API asks for it.
    pub fn of(path: &str, headers: &HeaderMap) -> Self {
        if path.len() <= 1 || vendor::is_own(path) {
            return Self::Plain;
        }
        match Vendor::of(path, headers) {
            Vendor::OpenAi => Self::OpenAi,
            Vendor::Anthropic => Self::Anthropic,
        }
    }
}

/// Why the gateway does not serve a request.
#[derive(Debug, Clone)]
#[must_use]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    message: String,
    retry_after: Option<Duration>,
    since: Option<Since>,
    is_final: bool,
}

impl Problem {
    /// A problem with a `kind` for programs to match on, and a `message` for people: no question, no answer,
    /// no key.
    pub fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), retry_after: None, since: None, is_final: false }
    }

    /// 400: something in the request is not valid.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_input", message)
    }

    /// 500: the gateway itself failed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// 504: the caller wants a stored answer or nothing.
    pub(super) fn not_cached() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "not_cached", "there is no answer in the cache").lasting()
    }

    /// Adds that the same request would get the same response. The APIs' own clients otherwise repeat what
    /// fails with a status from 500.
    pub(super) fn lasting(mut self) -> Self {
        self.is_final = true;
        self
    }

    /// Adds when the question without an answer was looked up.
    pub fn since(mut self, since: Since) -> Self {
        self.since = Some(since);
        self
    }

    /// Adds when to try again.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The status and the body, in the form of the gateway's own interfaces.
    pub(super) fn plain(&self) -> (u16, Value) {
        (self.status.as_u16(), self.body(Dialect::Plain))
    }

    fn body(&self, dialect: Dialect) -> Value {
        let Self { kind, message, status, .. } = self;
        match dialect {
            Dialect::Plain => json!({ "error": { "kind": kind, "message": message } }),
            Dialect::OpenAi => {
                json!({ "error": { "message": message, "type": self.api_type(), "param": null, "code": kind } })
            }
            Dialect::Anthropic => {
                // Anthropic's clients know this status by another name.
                let name = if *status == StatusCode::PAYLOAD_TOO_LARGE {
                    "request_too_large"
                } else {
                    self.api_type()
                };
                json!({ "type": "error", "error": { "type": name, "message": message } })
            }
        }
    }

    /// The error type that both APIs use for this status.
    fn api_type(&self) -> &'static str {
        match self.status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::NOT_FOUND => "not_found_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_client_error() => "invalid_request_error",
            _ => "api_error",
        }
    }

    /// The response in the shape of `dialect`.
    pub fn response(&self, dialect: Dialect) -> Response {
        let mut response = (self.status, axum::Json(self.body(dialect))).into_response();
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        if let Some(since) = self.since.and_then(|since| HeaderValue::from_str(&since.to_string()).ok()) {
            headers.insert(SINCE_HEADER, since);
        }
        if self.is_final {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.response(Dialect::Plain);
        response.extensions_mut().insert(self);
        response
    }
}

/// What the library cannot do for a request. For internal failures, only the kind and the message are
/// reported.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (status, kind) = match error.kind() {
            ErrorKind::InvalidInput => (StatusCode::BAD_REQUEST, "invalid_input"),
            ErrorKind::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
            ErrorKind::Unavailable | ErrorKind::Closed => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            ErrorKind::Incomplete => (StatusCode::SERVICE_UNAVAILABLE, "incomplete"),
            ErrorKind::Upstream => (StatusCode::BAD_GATEWAY, "upstream"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self::new(status, kind, error.to_string())
    }
}

/// Rewrites a [`Problem`] into the shape that the path's clients expect.
pub(super) async fn in_dialect(request: Request, next: Next) -> Response {
    let dialect = Dialect::of(request.uri().path(), request.headers());
    let response = next.run(request).await;
    match response.extensions().get::<Problem>() {
        Some(problem) if dialect != Dialect::Plain => {
            let mut rewritten = problem.response(dialect);
            // What methods a path has, and what it reads, is not the problem's to know.
            for name in [header::ALLOW, header::ACCEPT_ENCODING] {
                if let Some(value) = response.headers().get(&name) {
                    rewritten.headers_mut().insert(name, value.clone());
                }
            }
            rewritten
        }
        _ => response,
    }
}

pub(super) async fn no_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_route", "the gateway has no such route")
}

pub(super) async fn no_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no_method", "the route has no such method")
}

/// The panic itself is in the log of the process, not in the response.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the gateway failed on this request")
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_api_has_errors_of_its_own_shape() {
        let plain = HeaderMap::new();
        let versioned = HeaderMap::from_iter([(
            HeaderName::from_static("anthropic-version"),
            HeaderValue::from_static("1"),
        )]);
        for (path, without, with) in [
            ("/v1/messages/count_tokens", Dialect::Anthropic, Dialect::Anthropic),
            ("/messages", Dialect::Anthropic, Dialect::Anthropic),
            ("/v1/chat/completions", Dialect::OpenAi, Dialect::OpenAi),
            ("/openai/v1/responses", Dialect::OpenAi, Dialect::OpenAi),
            ("/v1/models", Dialect::OpenAi, Dialect::Anthropic),
            ("/files", Dialect::OpenAi, Dialect::Anthropic),
            ("/v1/complete", Dialect::OpenAi, Dialect::Anthropic),
            ("/audio/speech", Dialect::OpenAi, Dialect::Anthropic),
            ("/v1/cache/lookup", Dialect::Plain, Dialect::Plain),
            ("/metrics", Dialect::Plain, Dialect::Plain),
            ("/", Dialect::Plain, Dialect::Plain),
        ] {
            assert_eq!(Dialect::of(path, &plain), without, "{path}");
            assert_eq!(Dialect::of(path, &versioned), with, "{path}");
        }
        let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "m");
        assert_eq!(problem.body(Dialect::Plain)["error"]["kind"], "body_too_large");
        assert_eq!(problem.body(Dialect::OpenAi)["error"]["type"], "invalid_request_error");
        assert_eq!(problem.body(Dialect::Anthropic)["error"]["type"], "request_too_large");
    }
}
