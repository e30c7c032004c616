//! Requests to the APIs behind the gateway.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value};
use tracing::Instrument as _;
use wellspring::error::{Error, ErrorKind, Result};

use super::sharing::beside_body;
use super::{own_key, path};
use crate::auth::{API_KEY_HEADER, Caller, TOKEN_HEADER};
use crate::error::Problem;
use crate::telemetry::spans;
use crate::vendor::Vendor;
use crate::{Gateway, Options, Price, Upstream};

/// The header in which Azure's API takes its key.
const AZURE_KEY: HeaderName = HeaderName::from_static("api-key");

/// How many idle connections to an upstream are kept.
const MAX_IDLE: usize = 256;
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// The clients of both APIs.
pub(crate) struct Upstreams {
    openai: Client,
    anthropic: Client,
}

struct Client {
    http: reqwest::Client,
    base: String,
    api_key: Option<String>,
    prices: Vec<Price>,
}

impl Upstreams {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        Ok(Self { openai: Client::new(&options.openai)?, anthropic: Client::new(&options.anthropic)? })
    }

    fn of(&self, vendor: Vendor) -> &Client {
        match vendor {
            Vendor::OpenAi => &self.openai,
            Vendor::Anthropic => &self.anthropic,
        }
    }

    /// The base URL that `outgoing` goes to, with the deployment if there is one, because another API or
    /// model gives other answers.
    pub(super) fn base(&self, outgoing: &Outgoing) -> String {
        format!("{}{}", self.of(outgoing.vendor).base, path::azure(&outgoing.path))
    }

    /// The price of the model that `fields` request, if it is known.
    pub(super) fn price(&self, vendor: Vendor, fields: &Map<String, Value>) -> Option<Price> {
        let model = fields.get("model")?.as_str()?;
        Price::of(&self.of(vendor).prices, model).cloned()
    }
}

impl Client {
    fn new(upstream: &Upstream) -> Result<Self> {
        let bad = |why: &str| Error::new(ErrorKind::Config, format!("an upstream's URL {why}"));
        let url: reqwest::Url = upstream.url.parse().map_err(|_| bad("is not valid"))?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
            return Err(bad("is not an http or https URL without a query and a fragment"));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(upstream.connect_timeout)
            .read_timeout(upstream.read_timeout)
            .pool_max_idle_per_host(MAX_IDLE)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| Error::new(ErrorKind::Config, "cannot set up an HTTP client").with_source(e))?;
        let base = upstream.url.trim_end_matches('/').to_owned();
        Ok(Self { http, base, api_key: upstream.api_key.clone(), prices: upstream.prices.clone() })
    }
}

/// A request to an upstream.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) vendor: Vendor,
    pub(super) method: Method,
    /// What follows the version in the path, with the query.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    /// What an answer may depend on in this request, besides the body.
    pub(super) beside_body: Value,
    pub(super) body: reqwest::Body,
}

impl Outgoing {
    /// The request with the headers that are meant for the upstream, including the right key.
    pub(super) fn new(
        gateway: &Gateway,
        head: &axum::http::request::Parts,
        caller: &Caller,
        body: impl Into<reqwest::Body>,
    ) -> Result<Self, Problem> {
        let path = path::below_version(&head.uri)?;
        let vendor = Vendor::of(head.uri.path(), &head.headers);
        let mut headers = forwarded(&head.headers);
        let own = gateway.upstreams().of(vendor).api_key.as_deref();
        // Others must not see a token of the gateway.
        for name in &caller.shown_in {
            headers.remove(name);
        }
        let beside_body = beside_body(&gateway.options().ignored_headers, &headers, head.uri.query());
        let has_key =
            [header::AUTHORIZATION, API_KEY_HEADER, AZURE_KEY].iter().any(|name| headers.contains_key(name));
        if let (false, Some(own)) = (has_key, own) {
            check_own_key(gateway.options(), &head.method, &path)?;
            let (name, value) = match vendor {
                Vendor::OpenAi if !path::azure(&path).is_empty() => (AZURE_KEY, own.to_owned()),
                Vendor::OpenAi => (header::AUTHORIZATION, format!("Bearer {own}")),
                Vendor::Anthropic => (API_KEY_HEADER, own.to_owned()),
            };
            let mut value = HeaderValue::try_from(value).map_err(|_| no_key())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        } else if !has_key && caller.shown_in.iter().any(|name| *name != TOKEN_HEADER) {
            return Err(no_key());
        }
        Ok(Self { vendor, method: head.method.clone(), path, headers, beside_body, body: body.into() })
    }

    /// Sends the request; returns when the head of the response has arrived.
    pub(super) async fn send(self, gateway: &Gateway) -> Result<reqwest::Response, Problem> {
        let Self { vendor, method, path, mut headers, body, .. } = self;
        let client = gateway.upstreams().of(vendor);
        let span = spans::call(vendor.name(), &method);
        spans::carry(&span, &mut headers);
        let request =
            client.http.request(method, format!("{}{path}", client.base)).headers(headers).body(body);
        let started = Instant::now();
        let sent = request.send().instrument(span.clone()).await;
        let status = sent.as_ref().ok().map(reqwest::Response::status);
        // A caller that gets no response from the upstream gets a 502.
        spans::responded(&span, status.unwrap_or(StatusCode::BAD_GATEWAY));
        gateway.telemetry().called(vendor.name(), status.map(|status| status.as_u16()), started.elapsed());
        sent.map_err(|error| {
            // Its URL may hold a secret.
            let error = error.without_url();
            tracing::warn!(%error, "the upstream cannot be reached");
            if error.is_timeout() {
                Problem::new(
                    StatusCode::GATEWAY_TIMEOUT,
                    "upstream_timeout",
                    "the upstream did not answer in time",
                )
            } else {
                Problem::new(
                    StatusCode::BAD_GATEWAY,
                    "upstream_unreachable",
                    "the upstream cannot be reached",
                )
            }
        })
    }
}

/// Allows the gateway's own key only for the listed paths, and for nothing else in the account.
fn check_own_key(options: &Options, method: &Method, path: &str) -> Result<(), Problem> {
    let path = path.split('?').next().unwrap_or_default();
    if own_key::is_lent(method, path) || options.pass.iter().any(|pattern| pattern.matches(method, path)) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "own_key_not_lent",
        "the gateway's own key is not sent to this path: send your own key for the API, or have the path added to \
         server.pass",
    ))
}

fn no_key() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "no_upstream_key",
        "a token was sent in place of the upstream's key, and the gateway has no key of its own",
    )
}

/// The headers that are meant for the upstream, without those of this connection and of the gateway.
fn forwarded(headers: &HeaderMap) -> HeaderMap {
    const OWN: [HeaderName; 9] = [
        header::HOST,
        header::CONTENT_LENGTH,
        // A kept response must be readable by every caller.
        header::ACCEPT_ENCODING,
        header::CACHE_CONTROL,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::PRAGMA,
        header::EXPECT,
        TOKEN_HEADER,
    ];
    let is_own = |name: &HeaderName| OWN.contains(name) || name.as_str().starts_with("wellspring-");
    end_to_end(headers).filter(|(name, _)| !is_own(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
}

/// The headers that do not concern only one connection (RFC 9110, 7.6.1).
fn end_to_end(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    const HOP_BY_HOP: [&str; 8] = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    headers.iter().filter(move |(name, _)| {
        !HOP_BY_HOP.contains(&name.as_str()) && !named.iter().any(|named| named == name.as_str())
    })
}

/// The head of the upstream's response, to be passed on with `body`.
pub(super) fn passed_on(response: &reqwest::Response, body: Body) -> Response {
    let mut passed = Response::new(body);
    *passed.status_mut() = response.status();
    *passed.headers_mut() =
        end_to_end(response.headers()).map(|(name, value)| (name.clone(), value.clone())).collect();
    passed
}
