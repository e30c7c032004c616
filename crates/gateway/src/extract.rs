//! Extractors for parts of requests; they report mistakes in the same form as all other errors.

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, Request};
use axum::http::Uri;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::admission::apart;
use crate::error::Problem;
use crate::proxy::json;
use crate::{Gateway, body};

/// The query: what follows the `?`.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Gateway> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Gateway) -> Result<Self, Problem> {
        let invalid = |rejection: QueryRejection| Problem::invalid(rejection.body_text());
        Query::from_request_parts(parts, state).await.map(|Query(params)| Self(params)).map_err(invalid)
    }
}

/// The variable part of the path.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Gateway> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Gateway) -> Result<Self, Problem> {
        let invalid = |rejection: PathRejection| Problem::invalid(rejection.body_text());
        Path::from_request_parts(parts, state).await.map(|Path(named)| Self(named)).map_err(invalid)
    }
}

/// Refuses a query where none is read: its sender expects it to have an effect.
///
/// # Errors
///
/// 400 if there is one.
pub(super) fn no_query(uri: &Uri) -> Result<(), Problem> {
    match uri.query().filter(|query| !query.is_empty()) {
        Some(query) => {
            let name = query.split(['=', '&']).next().unwrap_or_default();
            Err(Problem::invalid(format!(
                "the query is not read here, and it has {name}: put what the route takes into the body"
            )))
        }
        None => Ok(()),
    }
}

/// The same, for routes that read nothing of a request besides its path.
pub(super) async fn without_query(request: Request, next: Next) -> Result<Response, Problem> {
    no_query(request.uri())?;
    Ok(next.run(request).await)
}

/// The object in the body of `request`, which has no query.
pub(super) async fn object(gateway: &Gateway, request: Request) -> Result<Map<String, Value>, Problem> {
    no_query(request.uri())?;
    object_in(gateway, request.into_body()).await
}

/// The object in `body`.
pub(super) async fn object_in(gateway: &Gateway, body: Body) -> Result<Map<String, Value>, Problem> {
    let body = body::read(gateway, body).await?;
    parsed(gateway, body).await
}

async fn parsed(gateway: &Gateway, body: Bytes) -> Result<Map<String, Value>, Problem> {
    let limits = gateway.options().limits;
    apart(gateway, body.len(), move || {
        limits.check_json(&body)?;
        fields(&body)
    })
    .await?
}

/// The same, with numbers that [keep their text](json::read), for values that are only compared; and what
/// `work` makes of it, whose time may grow with the length of the body.
pub(super) async fn exact_object<T: Send + 'static>(
    gateway: &Gateway,
    request: Request,
    work: impl FnOnce(Map<String, Value>) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    no_query(request.uri())?;
    let limits = gateway.options().limits;
    let body = body::read(gateway, request.into_body()).await?;
    apart(gateway, body.len(), move || {
        limits.check_json(&body)?;
        let fields = match std::str::from_utf8(&body).ok().and_then(json::read) {
            Some(value) => json::fields(value).ok_or_else(no_object),
            // This call reports what is wrong.
            None => fields(&body),
        };
        drop(body);
        work(fields?)
    })
    .await?
}

/// Reads the object in `body`; none if it is empty. (Serde would also accept an array, as the fields in order.)
pub(super) async fn read<T: DeserializeOwned>(gateway: &Gateway, body: Body) -> Result<Option<T>, Problem> {
    let body = body::read(gateway, body).await?;
    if body.is_empty() {
        return Ok(None);
    }
    typed(parsed(gateway, body).await?).map(Some)
}

/// The fields as a `T`.
///
/// # Errors
///
/// 400 that names the field which is wrong.
pub(super) fn typed<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, Problem> {
    understood(fields).map_err(|why| not_valid(&why))
}

/// The same, with what is wrong as a text.
pub(super) fn understood<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, String> {
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let (path, why) = (error.path().to_string(), error.into_inner());
        if path == "." { why.to_string() } else { format!("{path}: {why}") }
    })
}

/// Reads null as the default: many programs write the fields that they do not set as null.
pub(super) fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The fields of the object in `body`.
pub(super) fn fields(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    match serde_json::from_slice(body).map_err(|error| not_valid(&error.to_string()))? {
        Value::Object(fields) => Ok(fields),
        _ => Err(no_object()),
    }
}

fn not_valid(why: &str) -> Problem {
    Problem::invalid(format!("the body is not valid: {why}"))
}

pub(super) fn no_object() -> Problem {
    Problem::invalid("the body is not an object")
}
