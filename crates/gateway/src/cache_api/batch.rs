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
use crate::identity::Identity;

/// The most requests in a batch.
const MOST: usize = 100;

type Answered = Result<Value, Problem>;
/// Reads one request of a batch.
type Each<T> = fn(&Gateway, &Caller, &HeaderMap, Map<String, Value>) -> Result<T, Problem>;

pub(super) async fn lookup(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let headers = request.headers().clone();
    let asked = read(&gateway, &caller, request, lookup::Asked::read).await?;
    Ok(together(lookup::look_up_all(&gateway, &caller, &headers, asked).await))
}

pub(super) async fn fill(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let fills = read(&gateway, &caller, request, fill::Fill::read).await?;
    Ok(together(join_all(fills.into_iter().map(async |fill| fill?.store(&gateway).await)).await))
}

pub(super) async fn put(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let puts = read(&gateway, &caller, request, putting::Put::read).await?;
    Ok(together(putting::put_all(&gateway, puts).await))
}

/// The requests of a batch, as `each` reads them; each counts as one request against the caller's rate.
async fn read<T: Send + 'static>(
    gateway: &Gateway,
    caller: &Caller,
    request: Request,
    each: Each<T>,
) -> Result<Vec<Result<T, Problem>>, Problem> {
    let (identity, headers) = (Identity::of(&request).key(), request.headers().clone());
    let (reading, caller) = (gateway.clone(), caller.clone());
    exact_object(gateway, request, move |fields| {
        let requests = requests(&reading, identity, fields)?.into_iter();
        Ok(requests
            .map(|request| match request {
                Value::Object(fields) => each(&reading, &caller, &headers, fields),
                _ => Err(Problem::invalid("the request is not an object")),
            })
            .collect())
    })
    .await
}

fn requests(
    gateway: &Gateway,
    caller: [u8; 32],
    mut fields: Map<String, Value>,
) -> Result<Vec<Value>, Problem> {
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
    Ok(requests)
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
