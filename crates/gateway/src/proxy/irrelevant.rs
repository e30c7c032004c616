//! Headers of a request that do not change the answer, by name; all others are part of the key of an answer.

use std::fmt;
use std::str::FromStr;

use axum::http::HeaderName;
use wellspring::error::{Error, ErrorKind, Result};

/// Headers that clients, browsers, proxies and tracing add, and that no upstream bases its answers on. A
/// prefix is listed only if no header that begins with it can reveal who asks: `x-forwarded-user` and
/// `cf-aig-authorization` do.
const BY_DEFAULT: &str = "accept accept-* content-type content-length user-agent date priority \
    idempotency-key x-stainless-* x-openai-client-user-agent x-goog-api-client x-ms-useragent \
    anthropic-dangerous-direct-browser-access \
    origin referer sec-* dnt upgrade-insecure-requests \
    traceparent tracestate baggage b3 x-b3-* uber-trace-id sentry-trace newrelic x-datadog-* \
    elastic-apm-traceparent x-amzn-trace-id x-cloud-trace-context x-ot-span-context \
    request-id x-request-id x-correlation-id x-client-request-id x-ms-client-request-id x-request-start \
    forwarded via x-real-ip x-client-ip x-cluster-client-ip true-client-ip \
    x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-forwarded-scheme x-forwarded-ssl \
    x-forwarded-server x-forwarded-by x-forwarded-prefix x-forwarded-path x-original-forwarded-for x-scheme \
    x-envoy-* cf-ray cf-connecting-ip cf-connecting-ipv6 cf-ipcountry cf-visitor cf-worker cf-ew-via cdn-loop \
    x-amz-cf-id x-azure-ref x-azure-clientip x-azure-socketip x-azure-fdid x-azure-requestchain \
    x-vercel-id x-vercel-ip-* fly-client-ip fly-forwarded-port fly-region fly-request-id fly-trace-id";

/// The name of a header; with a `*` at its end, all names that begin with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderPattern {
    name: String,
    is_prefix: bool,
}

impl HeaderPattern {
    /// The headers that are irrelevant unless configured otherwise.
    pub fn defaults() -> Vec<Self> {
        BY_DEFAULT.split_whitespace().filter_map(|text| text.parse().ok()).collect()
    }

    /// Whether the header `name` matches.
    pub fn matches(&self, name: &HeaderName) -> bool {
        if self.is_prefix { name.as_str().starts_with(&self.name) } else { name.as_str() == self.name }
    }
}

impl FromStr for HeaderPattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, is_prefix) = text.strip_suffix('*').map_or((text, false), |name| (name, true));
        // A header's name may contain a `*`, which here would be mistaken for a wildcard.
        let name = if name.contains('*') { "" } else { name };
        name.parse::<HeaderName>().map(|name| Self { name: name.as_str().to_owned(), is_prefix }).map_err(
            |_| {
                Error::new(
                    ErrorKind::Config,
                    format!("not the name of a header, or its beginning and a *: {text:?}"),
                )
            },
        )
    }
}

impl fmt::Display for HeaderPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        f.write_str(if self.is_prefix { "*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact_or_begin_alike() {
        for text in ["user-agent", "x-stainless-*"] {
            assert_eq!(text.parse::<HeaderPattern>().unwrap().to_string(), text);
        }
        for bad in ["", "*", "a b", "a*b", "a:"] {
            assert!(bad.parse::<HeaderPattern>().is_err(), "{bad}");
        }
        let defaults = HeaderPattern::defaults();
        assert_eq!(defaults.len(), BY_DEFAULT.split_whitespace().count());
        let is_ignored =
            |name: &'static str| defaults.iter().any(|p| p.matches(&HeaderName::from_static(name)));
        for name in
            ["user-agent", "x-stainless-os", "traceparent", "x-forwarded-for", "cf-ray", "accept-language"]
        {
            assert!(is_ignored(name), "{name}");
        }
        for name in [
            "x-forwarded-user",
            "cf-aig-authorization",
            "anthropic-beta",
            "x-user-agent",
            "cf-access-jwt-assertion",
        ] {
            assert!(!is_ignored(name), "{name}");
        }
    }
}
