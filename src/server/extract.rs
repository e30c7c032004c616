//! Parts of requests, whose mistakes are told like all others.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::server::Gateway;
use crate::server::error::Problem;

/// What stands behind the `?`.
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
    let limits = &gateway.options().limits;
    let body = limits.read(request.into_body()).await?;
    let value: Value = serde_json::from_slice(&body)
        .map_err(|error| Problem::invalid(format!("the body is not valid: {error}")))?;
    limits.check_depth(&value)?;
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(Problem::invalid("the body is no object")),
    }
}
