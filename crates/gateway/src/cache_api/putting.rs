//! `POST /v1/cache/put`: an answer that was made without a permit.
//!
//! It is fenced by `since`, which every miss returns. Without `since`, it is fenced by the versions of all
//! its sources, which must be the versions that were reported last. An answer that may be older than its
//! documents gets a 409.

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, StatusCode};
use futures::future::join_all;
use serde_json::{Map, Value};
use wellspring::cache::{FillOutcome, Query, Since};
use wellspring::entry::{Answer, Dependency};

use super::fill::{self, Made};
use super::lookup::Asked;
use crate::Gateway;
use crate::auth::Caller;
use crate::error::Problem;
use crate::extract::exact_object;

/// An answer to be stored.
pub(super) struct Put {
    query: Query,
    answer: Answer,
    dependencies: Vec<Dependency>,
    since: Option<Since>,
}

pub(super) async fn put(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (headers, reading) = (request.headers().clone(), gateway.clone());
    let read = move |fields| Put::read(&reading, &caller, &headers, fields);
    exact_object(&gateway, request, read).await?.store(&gateway).await.map(Json)
}

/// Stores several answers, whose questions are embedded together.
pub(super) async fn put_all(
    gateway: &Gateway,
    puts: Vec<Result<Put, Problem>>,
) -> Vec<Result<Value, Problem>> {
    let queries = puts.iter().flatten().map(|put| put.query.clone()).collect();
    let mut queries = gateway.cache().embed_all(queries).await.into_iter();
    let puts = puts.into_iter().map(|put| {
        put.map(|put| match queries.next() {
            Some(query) => Put { query, ..put },
            None => put,
        })
    });
    join_all(puts.map(async |put| put?.store(gateway).await)).await
}

impl Put {
    pub(super) fn read(
        gateway: &Gateway,
        caller: &Caller,
        headers: &HeaderMap,
        mut fields: Map<String, Value>,
    ) -> Result<Self, Problem> {
        let made = Made::take(&mut fields)?;
        let Asked { query, directives, .. } = Asked::read(gateway, caller, headers, fields)?;
        if directives.permit.is_some() {
            return Err(Problem::invalid("a put takes no permit: give it to /v1/cache/fill"));
        }
        let (dependencies, since) = (directives.dependencies(), directives.since);
        Ok(Self { query, answer: made.answer(&directives), dependencies, since })
    }

    async fn store(self, gateway: &Gateway) -> Result<Value, Problem> {
        let Self { query, answer, dependencies, since } = self;
        match gateway.cache().put(query, answer, dependencies, since.as_ref()).await? {
            FillOutcome::Refused(reason) => {
                Err(Problem::new(StatusCode::CONFLICT, reason.name(), reason.to_string()))
            }
            outcome => fill::outcome_json(gateway, outcome).await,
        }
    }
}
