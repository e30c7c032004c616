//! What a response reports about the cache: to caches by RFC 9111 and RFC 9211, to people by plain headers.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use wellspring::cache::{BypassReason, Hit, Since, Tier};
use wellspring::entry::Entry;
use wellspring::key::ShownId;

use super::followers::Following;
use super::recording::{EVENT_STREAM, Form, Replay};
use crate::error::SINCE_HEADER;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const TIER: HeaderName = HeaderName::from_static("wellspring-tier");
const SIMILARITY: HeaderName = HeaderName::from_static("wellspring-similarity");
const ENTRY: HeaderName = HeaderName::from_static("wellspring-entry");

const WARNING: HeaderName = HeaderName::from_static("wellspring-warning");

/// Why a request goes to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forward {
    /// There is no answer.
    Miss,
    /// The answer is older than the caller wants.
    Stale,
    /// The caller does not want what is stored.
    Request,
    /// The conversation already holds the stored answer.
    Held,
    /// The stored answer does not include its usage, and the caller wants it.
    Usage,
    /// The cache cannot be used.
    Bypass(&'static str),
}

impl Forward {
    /// The reason for which the cache itself is bypassed.
    pub(super) fn bypass(reason: BypassReason) -> Self {
        match reason {
            BypassReason::NoStore => Self::Request,
            BypassReason::FollowUp => Self::Bypass("follow-up"),
            BypassReason::Store => Self::Bypass("store"),
            BypassReason::StoreUnavailable => Self::Bypass("store-unavailable"),
            BypassReason::StoreTimeout => Self::Bypass("store-timeout"),
            BypassReason::InvalidationPending => Self::Bypass("invalidation-pending"),
            BypassReason::Embedder => Self::Bypass("embedder"),
            BypassReason::InvalidQuery => Self::Bypass("invalid-query"),
            BypassReason::Verifier => Self::Bypass("verifier"),
            _ => Self::Bypass("other"),
        }
    }

    /// Adds to the upstream's response why the request went to the upstream.
    pub(super) fn write_headers(
        self,
        headers: &mut HeaderMap,
        may_be_kept: bool,
        entry: Option<ShownId>,
        since: Option<Since>,
    ) {
        let (status, tier) = match self {
            Self::Miss => ("wellspring; fwd=uri-miss".to_owned(), "miss"),
            Self::Stale => ("wellspring; fwd=stale".to_owned(), "miss"),
            Self::Request => ("wellspring; fwd=request".to_owned(), "bypass"),
            Self::Held => ("wellspring; fwd=miss; detail=held".to_owned(), "miss"),
            Self::Usage => ("wellspring; fwd=miss; detail=usage".to_owned(), "miss"),
            Self::Bypass(why) => (format!("wellspring; fwd=bypass; detail={why}"), "bypass"),
        };
        let tier = if may_be_kept { "miss" } else { tier };
        // An upstream behind a cache of its own may have set this header already; this cache is nearer to the
        // caller.
        append(headers, CACHE_STATUS, &status);
        headers.insert(TIER, HeaderValue::from_static(tier));
        if let Some(entry) = entry.filter(|_| may_be_kept) {
            insert(headers, ENTRY, &entry.to_string());
        }
        if let Some(since) = since {
            insert(headers, SINCE_HEADER, &since.to_string());
        }
    }
}

/// Warns that the question was named without the sources of its answer, so that no change of a document will
/// end the answer.
pub(super) fn warn_of_no_sources(headers: &mut HeaderMap) {
    headers.insert(WARNING, HeaderValue::from_static("no sources"));
}

/// Warns that the request has directives, and that nothing heeds them where it goes.
pub(super) fn warn_of_ignored_directives(headers: &mut HeaderMap) {
    headers.insert(WARNING, HeaderValue::from_static("directives ignored"));
}

/// How much longer `hit` lives.
pub(super) fn left(hit: &Hit) -> Duration {
    let Entry { created_at, expires_at, .. } = &*hit.entry;
    expires_at.saturating_since(*created_at).saturating_sub(hit.age)
}

/// The response to a hit; 304 if the caller already has it.
pub(super) fn hit(
    hit: &Hit,
    entry: Option<ShownId>,
    replay: Replay,
    form: Form,
    request: &HeaderMap,
) -> Response {
    let is_known = request.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        let tags = value.to_str().unwrap_or_default().split(',').map(str::trim);
        let weak = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag) == replay.etag;
        tags.into_iter().any(|tag| tag == "*" || weak(tag))
    });
    let mut response = Response::new(if is_known { Body::empty() } else { Body::from(replay.body) });
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    if !is_known {
        let media_type = if form.is_stream { EVENT_STREAM } else { "application/json" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    // Anyone who keeps the response must ask again, because a document may change at any time.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::AGE, HeaderValue::from(hit.age.as_secs()));
    insert(headers, header::ETAG, &replay.etag);
    let tier = match hit.tier {
        Tier::Semantic { similarity, .. } => {
            insert(headers, SIMILARITY, &format!("{similarity:.4}"));
            "semantic"
        }
        _ => "exact",
    };
    insert(headers, CACHE_STATUS, &format!("wellspring; hit; ttl={}; detail={tier}", left(hit).as_secs()));
    headers.insert(TIER, HeaderValue::from_static(tier));
    if let Some(entry) = entry {
        insert(headers, ENTRY, &entry.to_string());
    }
    response
}

/// The response to a caller that follows a stream that another caller requested (RFC 9211, 2.6).
pub(super) fn followed(following: Following, entry: Option<ShownId>) -> Response {
    let mut response = Response::new(following.into_body());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(CACHE_STATUS, HeaderValue::from_static("wellspring; fwd=uri-miss; collapsed"));
    headers.insert(TIER, HeaderValue::from_static("shared"));
    if let Some(entry) = entry {
        insert(headers, ENTRY, &entry.to_string());
    }
    response
}

/// Inserts a value that the gateway itself made, which is plain ASCII.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.append(name, value);
    }
}
