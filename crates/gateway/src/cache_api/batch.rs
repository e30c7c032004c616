//! Several lookups, fills or puts in one request: `{"requests": [...]}`, each with the same fields as when it
//! is sent alone.
//!
//! The response is `{"responses": [{"status", "body"}]}` in the same order: for each request, the status and
//! the body that it would get alone. A request that is not valid fails by itself. Headers apply to all of
//! them.

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::HeaderMap;
use futures::future::join_all;
use serde_json::{Map, Value, json};

use super::{fill, lookup, putting};
use crate::Gateway;
use crate::auth::Caller;
use crate::error::Problem;
use crate::extract::exact_object;
use crate::limits;

/// The most requests in a batch.
const MOST: usize = 100;

type Fields = Result<Map<String, Value>, Problem>;
type Answered = Result<Value, Problem>;

pub(super) async fn lookup(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (headers, requests) = read(&gateway, request).await?;
    let asked = requests
        .into_iter()
        .map(|fields| lookup::Asked::read(&gateway, &caller, &headers, fields?))
        .collect();
    Ok(together(lookup::look_up_all(&gateway, &caller, &headers, asked).await))
}

pub(super) async fn fill(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (headers, requests) = read(&gateway, request).await?;
    let filled =
        requests.into_iter().map(async |fields| fill::fill_one(&gateway, &caller, &headers, fields?).await);
    Ok(together(join_all(filled).await))
}

pub(super) async fn put(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (headers, requests) = read(&gateway, request).await?;
    let read = requests.into_iter().map(|fields| putting::Put::read(&gateway, &caller, &headers, fields?));
    Ok(together(putting::put_all(&gateway, read.collect()).await))
}

/// The requests of a batch; each counts as one request against the caller's rate.
async fn read(gateway: &Gateway, request: Request) -> Result<(HeaderMap, Vec<Fields>), Problem> {
    let (headers, caller) = (request.headers().clone(), limits::Identity::of(&request).key());
    let mut fields = exact_object(gateway, request).await?;
    let requests = fields.remove("requests");
    if let Some(name) = fields.keys().next() {
        return Err(Problem::invalid(format!(
            "the body of a batch has only the field requests, not {name}: put other fields into each request"
        )));
    }
    let Some(Value::Array(requests)) = requests else {
        return Err(Problem::invalid("the body has no list named requests"));
    };
    if !(1..=MOST).contains(&requests.len()) {
        return Err(Problem::invalid(format!(
            "a batch has {} requests, expected 1 to {MOST}",
            requests.len()
        )));
    }
    let rate = gateway.options().limits.rate_per_second as usize;
    if rate > 0 && requests.len() > rate {
        return Err(Problem::invalid(format!(
            "a batch has {} requests, and only {rate} may be sent in a second: send them in smaller batches",
            requests.len()
        )));
    }
    // The request itself was counted when it was admitted.
    gateway.admission().charge(caller, requests.len() - 1)?;
    let fields = |request| match request {
        Value::Object(fields) => Ok(fields),
        _ => Err(Problem::invalid("the request is not an object")),
    };
    Ok((headers, requests.into_iter().map(fields).collect()))
}

fn together(answered: Vec<Answered>) -> Json<Value> {
    let responses: Vec<Value> = answered
        .into_iter()
        .map(|answered| {
            let (status, body) = answered.map_or_else(|problem| problem.plain(), |body| (200, body));
            json!({ "status": status, "body": body })
        })
        .collect();
    Json(json!({ "responses": responses }))
}
