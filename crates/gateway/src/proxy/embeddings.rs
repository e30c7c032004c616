//! `/v1/embeddings`, with an exact cache of its own: the same texts have the same vectors, whatever they are
//! for.
//!
//! A response is kept if it answers its request: one vector for each input, in order, of the requested kind.
//! Callers that send the same request at the same time share one call. If its response is not kept, each
//! makes its own call; if the caller that makes it leaves, the next one makes it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use moka::sync::Cache as BoundedCache;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use super::ask::{FIELD, pass, refuse_directives};
use super::control::Control;
use super::json;
use super::reply::{self, Forward};
use super::sharing::tenant;
use super::upstream::{Outgoing, passed_on};
use crate::auth::Caller;
use crate::error::Problem;
use crate::{Gateway, admission, body, header_fields};

/// How long vectors are kept. A model may change while its name stays the same.
const TTL: Duration = Duration::from_hours(24);
/// How many different calls are shared at a time, and how long a call may take to be shared.
const CALLS: u64 = 10_000;
const CALL: Duration = Duration::from_mins(10);
/// Roughly the memory that a response takes besides its body.
const OVERHEAD: usize = 256;

/// Responses by the hash of the request that they answer.
#[derive(Debug)]
pub(crate) struct Embeddings {
    responses: BoundedCache<[u8; 32], CachedResponse>,
    /// A caller that asks the upstream holds the lock for its request. If a lock is evicted, that costs one
    /// more call. The value is whether the last call ended without a response to keep.
    calls: BoundedCache<[u8; 32], Arc<Mutex<bool>>>,
}

#[derive(Debug, Clone)]
struct CachedResponse {
    body: Bytes,
    stored: Instant,
}

impl Embeddings {
    pub(crate) fn new(bytes: u64) -> Self {
        let weigh =
            |_: &_, cached: &CachedResponse| u32::try_from(cached.body.len() + OVERHEAD).unwrap_or(u32::MAX);
        Self {
            responses: BoundedCache::builder().max_capacity(bytes).weigher(weigh).time_to_live(TTL).build(),
            calls: BoundedCache::builder().max_capacity(CALLS).time_to_idle(CALL).build(),
        }
    }
}

pub(super) async fn embed(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let body = body::read(&gateway, body).await?;
    let (length, control) = (body.len(), Control::of(&head.headers));
    let mut has_directives = header_fields::is_any(&head.headers);
    let reading = {
        let gateway = gateway.clone();
        move || read(&gateway, &caller, &head, body)
    };
    let (outgoing, asked) = admission::apart(&gateway, length, reading).await??;
    has_directives |= asked.as_ref().is_some_and(|asked| asked.has_field);
    let mut response = respond(&gateway, control, outgoing, asked).await?;
    if has_directives {
        reply::warn_of_ignored_directives(response.headers_mut());
    }
    Ok(response)
}

/// The vectors from the cache or from the upstream.
async fn respond(
    gateway: &Gateway,
    control: Control,
    outgoing: Outgoing,
    asked: Option<Asked>,
) -> Result<Response, Problem> {
    let Some(Asked { fields, key, .. }) = asked.filter(|_| !control.no_store) else {
        let forward = if control.no_store { Forward::Request } else { Forward::Bypass("no-object") };
        return pass(gateway, outgoing, forward).await;
    };
    let embeddings = gateway.embeddings();
    let fresh = || {
        embeddings.responses.get(&key).filter(|cached| {
            let age = cached.stored.elapsed();
            !control.no_cache && control.accepts(age, TTL.saturating_sub(age))
        })
    };
    if let Some(cached) = fresh() {
        return Ok(hit(cached));
    }
    if control.only_if_cached {
        return Err(Problem::not_cached());
    }
    let call = embeddings.calls.get_with(key, Arc::default);
    let mut calling = match call.try_lock() {
        Ok(calling) => Some(calling),
        Err(_) if control.no_cache => None,
        Err(_) => {
            let calling = call.lock().await;
            if let Some(cached) = fresh() {
                return Ok(hit(cached));
            }
            Some(calling).filter(|was_in_vain| !**was_in_vain)
        }
    };
    if let Some(was_in_vain) = &mut calling {
        // Remains so if this caller leaves.
        **was_in_vain = false;
    }
    let called = call_upstream(gateway, outgoing, &fields, key).await;
    if let Some(was_in_vain) = &mut calling {
        **was_in_vain = !matches!(called, Ok((_, true)));
    }
    called.map(|(response, _)| response)
}

/// The upstream's response, and whether it was kept.
async fn call_upstream(
    gateway: &Gateway,
    outgoing: Outgoing,
    fields: &Map<String, Value>,
    key: [u8; 32],
) -> Result<(Response, bool), Problem> {
    let most = gateway.options().limits.body_bytes;
    let mut response = outgoing.send(gateway).await?;
    let mut passed = passed_on(&response, Body::empty());
    Forward::Miss.write_headers(passed.headers_mut(), false, None, None);
    if response.status() != StatusCode::OK || response.headers().contains_key(header::CONTENT_ENCODING) {
        *passed.body_mut() = Body::from_stream(response.bytes_stream());
        return Ok((passed, false));
    }
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(|_| {
        Problem::new(StatusCode::BAD_GATEWAY, "upstream_broke_off", "the upstream's answer broke off")
    })? {
        body.extend_from_slice(&piece);
        if body.len() > most {
            let rest = response.bytes_stream();
            let whole = futures::stream::once(async { Ok(body.freeze()) }).chain(rest);
            *passed.body_mut() = Body::from_stream(whole);
            return Ok((passed, false));
        }
    }
    let body = body.freeze();
    let is_kept = answers(fields, &body);
    if is_kept {
        let cached = CachedResponse { body: body.clone(), stored: Instant::now() };
        gateway.embeddings().responses.insert(key, cached);
    }
    *passed.body_mut() = Body::from(body);
    Ok((passed, is_kept))
}

/// A request for vectors, and the key under which they are kept.
struct Asked {
    fields: Map<String, Value>,
    key: [u8; 32],
    /// Whether the body had the field `wellspring`.
    has_field: bool,
}

/// The body that goes upstream, and the key under which its vectors are kept; none if the body is not an
/// object. The time it takes grows with the length of `body`.
fn read(
    gateway: &Gateway,
    caller: &Caller,
    head: &Parts,
    body: Bytes,
) -> Result<(Outgoing, Option<Asked>), Problem> {
    gateway.options().limits.check_json(&body)?;
    let Some(mut fields) = json::object(&body) else {
        refuse_directives(&body)?;
        return Outgoing::new(gateway, head, caller, body).map(|outgoing| (outgoing, None));
    };
    // For vectors, the gateway takes no directives, but some clients send the field with every request.
    let has_field = fields.remove(FIELD).is_some();
    let body = if has_field { json::without(&body, FIELD).unwrap_or(body) } else { body };
    let outgoing = Outgoing::new(gateway, head, caller, body)?;
    let tenant = tenant(gateway.options(), caller, &head.headers);
    let base = gateway.upstreams().base(&outgoing);
    let key = serde_json::json!([base, tenant, outgoing.beside_body, fields]);
    let key = Sha256::digest(key.to_string().as_bytes()).into();
    Ok((outgoing, Some(Asked { fields, key, has_field })))
}

/// Whether `body` holds a vector for each input of the request `fields`, in the same order and in the
/// requested form.
fn answers(fields: &Map<String, Value>, body: &[u8]) -> bool {
    let Some(Value::Object(answer)) = json::unambiguous(body) else { return false };
    let inputs = match fields.get("input") {
        Some(Value::String(_)) => 1,
        // A list of numbers is one text in the form of tokens.
        Some(Value::Array(items)) if items.iter().all(Value::is_number) => usize::from(!items.is_empty()),
        Some(Value::Array(items)) => items.len(),
        _ => return false,
    };
    let Some(Value::Array(data)) = answer.get("data") else { return false };
    // OpenAI's clients ask for base64 on their own, and also accept lists from servers that support nothing
    // else.
    let is_list = |item: &Value| item["embedding"].is_array();
    let is_base64 = fields.get("encoding_format").is_some_and(|format| format == "base64")
        && !data.first().is_some_and(is_list);
    let mut lengths = data.iter().enumerate().map(|(place, item)| {
        let is_in_place = item.get("index").is_none_or(|index| index.as_u64() == Some(place as u64));
        is_in_place.then(|| length(&item["embedding"], is_base64)).flatten()
    });
    let first = fields.get("dimensions").and_then(Value::as_u64).map(|most| usize::try_from(most).ok());
    let first = first.unwrap_or_else(|| data.first().and_then(|item| length(&item["embedding"], is_base64)));
    let has_error = answer.get("error").is_some_and(|error| !error.is_null());
    !has_error
        && data.len() == inputs
        && first.is_some_and(|length| length > 0)
        && lengths.all(|length| length == first)
}

/// The length of a vector; none if it is of another kind, or if one of its numbers is not finite.
fn length(vector: &Value, is_base64: bool) -> Option<usize> {
    if !is_base64 {
        let numbers = vector.as_array()?;
        return numbers.iter().all(is_finite).then_some(numbers.len());
    }
    let bytes = BASE64.decode(vector.as_str()?).ok()?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    let is_finite = numbers.iter().all(|bytes| f32::from_le_bytes(*bytes).is_finite());
    (rest.is_empty() && is_finite).then_some(numbers.len())
}

/// Whether `number` is one, and clients can read it into 32 bits.
fn is_finite(number: &Value) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "too large a number becomes infinite")]
    number.as_f64().is_some_and(|number| (number as f32).is_finite())
}

fn hit(cached: CachedResponse) -> Response {
    let age = cached.stored.elapsed();
    let mut response = Response::new(Body::from(cached.body));
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn is_kept(request: Value, answer: &str) -> bool {
        let Value::Object(fields) = request else { unreachable!() };
        answers(&fields, answer.as_bytes())
    }

    #[test]
    fn an_answer_has_one_vector_for_each_input_in_order() {
        let two = json!({ "input": ["a", "b"] });
        let data = |items: &str| format!("{{\"data\":[{items}]}}");
        let item = |index: u64, vector: &str| format!("{{\"index\":{index},\"embedding\":{vector}}}");
        let good = data(&format!("{},{}", item(0, "[1,0.5]"), item(1, "[1e-5,2]")));
        assert!(is_kept(two.clone(), &good));
        assert!(is_kept(json!({ "input": "a" }), &data("{\"embedding\":[1]}")));
        assert!(is_kept(json!({ "input": [1, 2, 3] }), &data(&item(0, "[1]"))));
        for bad in [
            data(""),
            data(&item(0, "[1]")),
            data(&format!("{},{}", item(0, "[1]"), item(0, "[2]"))),
            data(&format!("{},{}", item(1, "[1]"), item(0, "[2]"))),
            data(&format!("{},{}", item(0, "[1]"), item(1, "[2,3]"))),
            data(&format!("{},{}", item(0, "[1]"), item(1, "[null]"))),
            data(&format!("{},{}", item(0, "[1]"), item(1, "[1e400]"))),
            data(&format!("{},{}", item(0, "[1]"), item(1, "[1e39]"))),
            data(&format!("{},{}", item(0, "[1]"), "{\"index\":1,\"embedding\":[3],\"embedding\":[2]}")),
            data(&format!("{},{}", item(0, "[]"), item(1, "[]"))),
            data(&format!("{},{}", item(0, "\"AAAAAA==\""), item(1, "\"AAAAAA==\""))),
            good.replacen('{', "{\"error\":{\"code\":502},", 1),
            "[]".to_owned(),
        ] {
            assert!(!is_kept(two.clone(), &bad), "{bad}");
        }
    }

    #[test]
    fn the_kind_and_the_dimensions_are_those_that_were_asked_for() {
        let base64 = |more: Value| {
            let mut request = json!({ "input": "a", "encoding_format": "base64" });
            request.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
            request
        };
        let answer = |vector: &str| format!("{{\"data\":[{{\"index\":0,\"embedding\":{vector}}}]}}");
        let one = BASE64.encode(1.5_f32.to_le_bytes());
        assert!(is_kept(base64(json!({ "dimensions": 1 })), &answer(&format!("\"{one}\""))));
        assert!(!is_kept(base64(json!({ "dimensions": 2 })), &answer(&format!("\"{one}\""))));
        assert!(is_kept(base64(json!({})), &answer("[1.5]")));
        let mixed = format!("{{\"data\":[{{\"embedding\":[1.5]}},{{\"embedding\":\"{one}\"}}]}}");
        assert!(!is_kept(base64(json!({ "input": ["a", "b"] })), &mixed));
        assert!(!is_kept(base64(json!({})), &answer("\"AAA=\"")));
        let nan = BASE64.encode(f32::NAN.to_le_bytes());
        assert!(!is_kept(base64(json!({})), &answer(&format!("\"{nan}\""))));
    }
}
