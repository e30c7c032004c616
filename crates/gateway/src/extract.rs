//! Extractors for parts of requests; they report mistakes in the same form as all other errors.

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Gateway;
use crate::error::Problem;
use crate::limits::apart;
use crate::proxy::json;

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

/// The object in the body of `request`.
pub(super) async fn object(gateway: &Gateway, request: Request) -> Result<Map<String, Value>, Problem> {
    let body = gateway.options().limits.read(request.into_body()).await?;
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

/// The same, with numbers that [keep their text](json::read), for values that are only compared.
pub(super) async fn exact_object(gateway: &Gateway, request: Request) -> Result<Map<String, Value>, Problem> {
    let limits = gateway.options().limits;
    let body = limits.read(request.into_body()).await?;
    apart(gateway, body.len(), move || {
        limits.check_json(&body)?;
        match std::str::from_utf8(&body).ok().and_then(json::read) {
            Some(value) => json::fields(value).ok_or_else(no_object),
            // This call reports what is wrong.
            None => fields(&body),
        }
    })
    .await?
}

/// Reads the object in the body of `request`; none if the body is empty. (Serde would also accept an array,
/// as the fields in order.)
pub(super) async fn read<T: DeserializeOwned>(gateway: &Gateway, body: Body) -> Result<Option<T>, Problem> {
    let body = gateway.options().limits.read(body).await?;
    if body.is_empty() {
        return Ok(None);
    }
    let fields = parsed(gateway, body).await?;
    serde_json::from_value(Value::Object(fields)).map(Some).map_err(|error| not_valid(&error))
}

/// The fields of the object in `body`.
pub(super) fn fields(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    match serde_json::from_slice(body).map_err(|error| not_valid(&error))? {
        Value::Object(fields) => Ok(fields),
        _ => Err(no_object()),
    }
}

pub(super) fn not_valid(error: &serde_json::Error) -> Problem {
    Problem::invalid(format!("the body is not valid: {error}"))
}

pub(super) fn no_object() -> Problem {
    Problem::invalid("the body is not an object")
}
