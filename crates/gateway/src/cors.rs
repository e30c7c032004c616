//! Which pages of other origins may call the proxy from a browser; none by default.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use reqwest::Url;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer, ExposeHeaders};
use wellspring::error::{Error, ErrorKind, Result};

/// How long a browser remembers what it may do.
const MAX_AGE: Duration = Duration::from_hours(1);

/// An origin as browsers send it, `https://app.example` or `http://localhost:3000`; `*` for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl Origin {
    fn is_any(&self) -> bool {
        self.0 == "*"
    }

    /// Whether `origin` is this one. `*` never matches here: a caller that is trusted without a token must
    /// not extend that trust to pages that anyone may write.
    pub(super) fn is(&self, origin: &HeaderValue) -> bool {
        !self.is_any() && self.0 == origin
    }
}

impl FromStr for Origin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            let message = format!("not an origin such as \"https://app.example\", nor \"*\": {text:?}");
            Error::new(ErrorKind::Config, message)
        };
        if text == "*" {
            return Ok(Self(HeaderValue::from_static("*")));
        }
        let (_, host) = text.split_once("://").ok_or_else(bad)?;
        if host.contains(['@', '*', '/', '\\', '?', '#']) {
            return Err(bad());
        }
        let url: Url = text.parse().map_err(|_| bad())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad());
        }
        // As browsers write it: without the default port, in lower case, and with the shortest address.
        HeaderValue::from_str(&url.origin().ascii_serialization()).map(Self).map_err(|_| bad())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

/// The headers that let pages of `origins` send any request without cookies and read the whole response; none
/// if there are no origins.
pub(super) fn layer(origins: &[Origin]) -> Option<CorsLayer> {
    let allowed = match origins {
        [] => return None,
        origins if origins.iter().any(Origin::is_any) => AllowOrigin::any(),
        origins => AllowOrigin::list(origins.iter().map(|origin| origin.0.clone())),
    };
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods(AllowMethods::mirror_request())
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(ExposeHeaders::list([HeaderName::from_static("*")]))
            .max_age(MAX_AGE),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        for text in ["*", "https://app.example", "http://localhost:3000", "https://[::1]:80"] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), text);
        }
        for (written, sent) in [
            ("https://app.example:443", "https://app.example"),
            ("http://app.example:80", "http://app.example"),
            ("https://app.example:80", "https://app.example:80"),
            ("https://app.example:", "https://app.example"),
            ("HTTPS://App.Example:08443", "https://app.example:8443"),
            ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
            ("https://caf\u{e9}.example", "https://xn--caf-dma.example"),
        ] {
            assert_eq!(written.parse::<Origin>().unwrap().to_string(), sent);
        }
        for text in [
            "",
            "app.example",
            "https://",
            "https://a/b",
            "https://*.example",
            "null",
            "ftp://a",
            "https://u@a",
            "https://a?b",
            "https://a:99999",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
