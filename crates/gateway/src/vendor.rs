//! Which API a request is for.

use axum::http::HeaderMap;

/// The first segments of the gateway's own routes, on either listener. No API behind it has them, and an
/// upstream must not see a request that was sent to the wrong listener.
const OWN: [&str; 9] =
    ["admin", "cache", "dashboard", "documents", "healthz", "metrics", "openapi.json", "readyz", "webhooks"];

/// An API behind the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vendor {
    OpenAi,
    Anthropic,
}

impl Vendor {
    /// The API that a request to `path` with `headers` is for.
    pub(super) fn of(path: &str, headers: &HeaderMap) -> Self {
        match first(path) {
            "messages" => Self::Anthropic,
            "chat" | "completions" | "embeddings" | "openai" | "responses" => Self::OpenAi,
            // Several paths exist in both APIs; only Anthropic's sends versions in a header.
            _ if headers.contains_key("anthropic-version") => Self::Anthropic,
            _ => Self::OpenAi,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }
}

/// Whether `path` is the gateway's own, and not an API's.
pub(super) fn is_own(path: &str) -> bool {
    OWN.contains(&first(path))
}

/// The first segment of `path` after the version.
pub(super) fn first(path: &str) -> &str {
    without_version(path).trim_start_matches('/').split('/').next().unwrap_or_default()
}

pub(super) fn without_version(path: &str) -> &str {
    path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_s_own_paths_are_known_with_and_without_a_version() {
        for path in ["/v1/cache/lookup", "/documents", "/healthz", "//admin/x"] {
            assert!(is_own(path), "{path}");
        }
        for path in ["/v1/files/cache", "/cached", "/v1", "/", "/openai/v1/cache", "/v1cache"] {
            assert!(!is_own(path), "{path}");
        }
    }
}
