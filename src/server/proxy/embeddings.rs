//! `/v1/embeddings`, with an exact cache of its own: the same texts have the same vectors, whatever they are for.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use moka::sync::Cache as Responses;
use sha2::{Digest as _, Sha256};

use super::ask::{FIELD, pass, refuse_directives};
use super::control::Control;
use super::json;
use super::reply::Forward;
use super::sharing::tenant;
use super::upstream::{Outgoing, Vendor, passed_on};
use crate::server::auth::Caller;
use crate::server::error::Problem;
use crate::server::{Gateway, limits};

/// How long vectors are kept. A model may be changed behind its name.
const TTL: Duration = Duration::from_hours(24);
/// About what a response takes beside its body.
const OVERHEAD: usize = 256;

/// Responses by the hash of what they answer.
#[derive(Debug)]
pub(in crate::server) struct Embeddings {
    responses: Responses<[u8; 32], Kept>,
}

#[derive(Debug, Clone)]
struct Kept {
    body: Bytes,
    stored: Instant,
}

impl Embeddings {
    pub(in crate::server) fn new(bytes: u64) -> Self {
        let weigh = |_: &_, kept: &Kept| u32::try_from(kept.body.len() + OVERHEAD).unwrap_or(u32::MAX);
        Self { responses: Responses::builder().max_capacity(bytes).weigher(weigh).time_to_live(TTL).build() }
    }
}

pub(super) async fn embed(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let most = gateway.options().limits.body_bytes;
    let body = gateway.options().limits.read(body).await?;
    let (length, control) = (body.len(), Control::of(&head.headers));
    let reading = {
        let gateway = gateway.clone();
        move || read(&gateway, &caller, &head, body)
    };
    let (outgoing, key) = limits::apart(&gateway, length, reading).await??;
    let Some(key) = key.filter(|_| !control.no_store) else {
        let forward = if control.no_store { Forward::Request } else { Forward::Bypass("no-object") };
        return pass(&gateway, outgoing, forward).await;
    };
    let kept = gateway.embeddings().responses.get(&key);
    let fresh = kept.filter(|kept| {
        let age = kept.stored.elapsed();
        !control.no_cache && control.accepts(age, TTL.saturating_sub(age))
    });
    if let Some(kept) = fresh {
        return Ok(hit(kept));
    }
    if control.only_if_cached {
        return Err(Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "not_cached",
            "there is no answer in the cache",
        ));
    }
    let response = outgoing.send(&gateway).await?;
    let mut passed = passed_on(&response, Body::empty());
    Forward::Miss.tell(passed.headers_mut(), None);
    let is_kept =
        response.status() == StatusCode::OK && !response.headers().contains_key(header::CONTENT_ENCODING);
    let length = response.content_length().and_then(|length| usize::try_from(length).ok());
    if !is_kept || length.is_none_or(|length| length > most) {
        *passed.body_mut() = Body::from_stream(response.bytes_stream());
        return Ok(passed);
    }
    let body = response.bytes().await.map_err(|_| {
        Problem::new(StatusCode::BAD_GATEWAY, "upstream_broke_off", "the upstream's answer broke off")
    })?;
    if json::object(&body).is_some_and(|answer| answer.contains_key("data")) {
        gateway.embeddings().responses.insert(key, Kept { body: body.clone(), stored: Instant::now() });
    }
    *passed.body_mut() = Body::from(body);
    Ok(passed)
}

/// What goes upstream, and what its vectors are kept by; nothing if it is no object. Takes time by the length of `body`.
fn read(
    gateway: &Gateway,
    caller: &Caller,
    head: &Parts,
    body: Bytes,
) -> Result<(Outgoing, Option<[u8; 32]>), Problem> {
    gateway.options().limits.check_json(&body)?;
    let Some(mut fields) = json::object(&body) else {
        refuse_directives(&body)?;
        return Outgoing::new(gateway, Vendor::OpenAi, head, caller, body).map(|outgoing| (outgoing, None));
    };
    // There is nothing to tell the gateway of vectors, but some clients send the field with every request.
    let body =
        if fields.remove(FIELD).is_some() { json::without(&body, FIELD).unwrap_or(body) } else { body };
    let outgoing = Outgoing::new(gateway, Vendor::OpenAi, head, caller, body)?;
    let tenant = tenant(gateway.options(), caller, &head.headers);
    let base = gateway.upstreams().base(&outgoing);
    let key = serde_json::json!([base, tenant, outgoing.beside_body, fields]);
    Ok((outgoing, Some(Sha256::digest(key.to_string().as_bytes()).into())))
}

fn hit(kept: Kept) -> Response {
    let age = kept.stored.elapsed();
    let mut response = Response::new(Body::from(kept.body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::AGE, HeaderValue::from(age.as_secs()));
    headers.insert("wellspring-tier", HeaderValue::from_static("exact"));
    let status = format!("wellspring; hit; ttl={}; detail=exact", TTL.saturating_sub(age).as_secs());
    if let Ok(status) = HeaderValue::from_str(&status) {
        headers.insert("cache-status", status);
    }
    response
}
