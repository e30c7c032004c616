//! `/v1/documents`: where whatever changes documents reports the changes.
//!
//! A 200 means that no lookup is served an answer from the changed documents any more. A 202 means that the
//! change is kept, on disk if the gateway has a journal, and is retried until it is applied; until then old
//! answers may be served.

mod changed;
mod idempotency;
mod job;
mod journal;
mod pending;
mod queue;

use axum::extract::{Extension, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wellspring::entry::{Change, DocumentVersion};
use wellspring::invalidate::Invalidation;
use wellspring::key::Corpus;

pub(super) use self::changed::{MOST_CHANGES, miscounted, read};
pub(super) use self::idempotency::Keys;
pub(super) use self::job::{Action, Job, weight};
pub(super) use self::queue::{Queue, Submitted};
use crate::Gateway;
use crate::auth::{self, Caller, Permission};
use crate::cache_api::view;
use crate::error::Problem;
use crate::extract::{self, Named, Params};

/// The most items that a response lists of any kind.
const LISTED: usize = 1_000;

pub(super) fn routes(gateway: &Gateway) -> Router<Gateway> {
    let changing = Router::new()
        .route("/v1/documents/changed", post(changed))
        .route("/v1/documents/{id}", delete(deleted))
        .route("/v1/documents/{id}/begin", post(begin))
        .route("/v1/documents/{id}/end", post(end));
    let looking = Router::new().route("/v1/documents/{id}/impact", get(impact));
    let [changes @ .., look] = namesakes();
    let changing = changes.into_iter().fold(changing, add);
    let changing = changing.route_layer(from_fn_with_state(gateway.clone(), idempotency::once));
    auth::requiring(changing.merge(add(looking, look)).merge(pending::routes()), Permission::Invalidate)
}

fn add(router: Router<Gateway>, (path, methods): (&str, MethodRouter<Gateway>)) -> Router<Gateway> {
    router.route(path, methods)
}

/// Routes for documents whose name equals a fixed part of a path, which would otherwise shadow them. The last
/// route changes nothing.
fn namesakes() -> [(&'static str, MethodRouter<Gateway>); 5] {
    let removing =
        |id: &'static str| delete(move |state: Asked, params: InQuery| deleted(state, named(id), params));
    [
        ("/v1/documents/changed", removing("changed")),
        ("/v1/documents/pending", removing("pending")),
        (
            "/v1/documents/pending/begin",
            post(|state: Asked, params: Beside, request: Request| {
                begin(state, named("pending"), params, request)
            }),
        ),
        (
            "/v1/documents/pending/end",
            post(|state: Asked, params: Beside, request: Request| {
                end(state, named("pending"), params, request)
            }),
        ),
        (
            "/v1/documents/pending/impact",
            get(|state: Asked, by: Extension<Caller>, params: InQuery| {
                impact(state, by, named("pending"), params)
            }),
        ),
    ]
}

type Asked = State<Gateway>;
type InQuery = Params<InCorpus>;
/// Of a request whose body may name the corpus, too.
type Beside = Params<OfCorpus>;

fn named(id: &str) -> Named<String> {
    Named(id.to_owned())
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct InCorpus {
    corpus: Corpus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OfCorpus {
    corpus: Option<Corpus>,
}

impl OfCorpus {
    /// The corpus that a query names, or a body, or both.
    fn or(self, in_body: Option<Corpus>) -> Result<Corpus, Problem> {
        match (self.corpus, in_body) {
            (Some(in_query), Some(in_body)) if in_query != in_body => Err(Problem::invalid(format!(
                "the query names the corpus {in_query}, and the body {in_body}: name one"
            ))),
            (in_query, in_body) => Ok(in_query.or(in_body).unwrap_or_default()),
        }
    }
}

async fn changed(
    State(gateway): State<Gateway>,
    Params(in_query): Beside,
    request: Request,
) -> Result<Response, Problem> {
    let fields = extract::object_in(&gateway, request.into_body()).await?;
    let mut job = changed::read(fields, in_query.corpus.as_ref(), Some)?;
    job.corpus = in_query.or(Some(job.corpus))?;
    Ok(submitted_response(gateway.submit(job).await?, &gateway))
}

async fn deleted(
    State(gateway): State<Gateway>,
    Named(id): Named<String>,
    Params(InCorpus { corpus }): Params<InCorpus>,
) -> Result<Response, Problem> {
    Ok(submitted_response(
        gateway.submit(Job::invalidate(corpus, vec![Change::document(id)])).await?,
        &gateway,
    ))
}

async fn begin(
    State(gateway): State<Gateway>,
    Named(id): Named<String>,
    Params(in_query): Beside,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let OfCorpus { corpus } = optional(&gateway, request).await?;
    let corpus = in_query.or(corpus)?;
    gateway.hold(&corpus, &id).await?;
    Ok(Json(json!({ "held": id, "corpus": corpus })))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct End {
    corpus: Option<Corpus>,
    version: Option<String>,
}

async fn end(
    State(gateway): State<Gateway>,
    Named(document): Named<String>,
    Params(in_query): Beside,
    request: Request,
) -> Result<Response, Problem> {
    let End { corpus, version } = optional(&gateway, request).await?;
    let corpus = in_query.or(corpus)?;
    let action = Action::End { document, version: version.map(DocumentVersion::new) };
    Ok(submitted_response(gateway.submit(Job { corpus, action }).await?, &gateway))
}

async fn impact(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    Named(id): Named<String>,
    Params(InCorpus { corpus }): Params<InCorpus>,
) -> Result<Json<Value>, Problem> {
    let entries = gateway.cache().impact(&corpus, &Change::document(id)).await?;
    let hits: u64 = entries.iter().map(|stored| stored.hits).sum();
    let mut body = json!({ "entries": entries.len(), "hits": hits });
    // A caller that reports changes need not know what others ask.
    if caller.may(Permission::Admin) {
        body["most_hit"] = entries.iter().take(LISTED).map(view::line).collect();
    }
    Ok(Json(body))
}

/// The body, if there is one.
async fn optional<T: Default + DeserializeOwned>(gateway: &Gateway, request: Request) -> Result<T, Problem> {
    Ok(extract::read(gateway, request.into_body()).await?.unwrap_or_default())
}

/// The response to changes: 200 if they are in force, 202 if they are kept.
pub(super) fn submitted_response(submitted: Submitted, gateway: &Gateway) -> Response {
    match submitted {
        Submitted::Applied(done) => Json(report(&done)).into_response(),
        Submitted::Pending(id) => {
            let location = format!("/v1/documents/pending/{id}");
            let mut body = pending::view(id, gateway.queue().find(id).as_ref());
            body["status_url"] = location.clone().into();
            (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(body)).into_response()
        }
    }
}

fn report(done: &Invalidation) -> Value {
    json!({
        "state": "applied", "dropped": done.dropped(), "unchanged": done.is_unchanged(),
        "matched_nothing": done.matched_nothing(), "changes": done.outcomes.len(),
        "outcomes": &done.outcomes[..done.outcomes.len().min(LISTED)],
    })
}
