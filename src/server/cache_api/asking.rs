//! `POST /v1/cache/lookup` and `/v1/cache/why`.

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::view;
use crate::SharedError;
use crate::cache::{Lookup, Query, Tier};
use crate::embedding::Embedding;
use crate::error::{Error, ErrorKind};
use crate::key::Scope;
use crate::server::Gateway;
use crate::server::auth::{Caller, Right, sha256};
use crate::server::error::Problem;
use crate::server::extract::exact_object;
use crate::server::proxy::{Directives, holder, json as exact, tenant};

/// The fields that a lookup has over those of `wellspring` in a request to the proxy.
const OWN: [&str; 4] = ["embedding", "private", "renew", "wait"];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Own {
    /// The question's embedding by the cache's own model.
    embedding: Option<Vec<f32>>,
    /// Whether the answer is personal.
    private: bool,
    /// Look for nothing, but give a permit for a new answer.
    renew: bool,
    /// Wait for others who make the same answer.
    wait: bool,
}

/// An answer, or the permission to make one.
pub(super) async fn lookup(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let headers = request.headers().clone();
    let fields = exact_object(&gateway, request).await?;
    let (query, waits) = query(&gateway, &caller, &headers, fields)?;
    let cache = gateway.cache();
    let found = if waits {
        let failed = |error: SharedError| {
            let kind = error.downcast_ref().map_or(ErrorKind::Store, Error::kind);
            Error::new(kind, error.to_string())
        };
        cache.lookup_or_wait(query).await.map_err(failed)?
    } else {
        cache.lookup(query).await?
    };
    Ok(Json(match found {
        Lookup::Hit(hit) => {
            gateway.telemetry().feedback().served(&hit);
            let mut body = view::answer(&hit.entry);
            body["status"] = "hit".into();
            body["age_ms"] = u64::try_from(hit.age.as_millis()).unwrap_or(u64::MAX).into();
            (body["tier"], body["similarity"], body["confidence"]) = match hit.tier {
                Tier::Exact => ("exact".into(), Value::Null, Value::Null),
                Tier::Semantic { similarity, confidence } => {
                    ("semantic".into(), similarity.into(), confidence.into())
                }
            };
            body
        }
        Lookup::Miss(permit) => {
            let mut body = json!({
                "status": "miss", "entry": permit.entry_id(), "question": permit.question(),
                "is_leader": permit.is_leader(),
                "embedding": permit.embedding().map(Embedding::as_slice),
            });
            // Whoever may only read has no use for it, and others make the answer sooner.
            if caller.may(Right::Fill) {
                body["permit"] = gateway.permits().keep(permit, holder(&caller, &headers)).into();
                body["permit_ttl_ms"] =
                    u64::try_from(gateway.options().permit_ttl.as_millis()).unwrap_or(u64::MAX).into();
            }
            body
        }
        Lookup::Bypass(reason) => json!({ "status": "bypass", "reason": reason }),
    }))
}

/// What a lookup would do, and why. Stores nothing and counts nothing.
pub(super) async fn why(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let headers = request.headers().clone();
    let fields = exact_object(&gateway, request).await?;
    let (query, _) = query(&gateway, &caller, &headers, fields)?;
    let explanation = gateway.cache().explain(query).await?;
    let failed = |_| Problem::invalid("the explanation has no JSON");
    serde_json::to_value(&explanation).map(Json).map_err(failed)
}

/// The tenant of the answers that the caller may be served: by who they are, and within that by whom they name.
pub(super) fn tenant_of(
    gateway: &Gateway,
    caller: &Caller,
    headers: &HeaderMap,
    directives: &Directives,
) -> Option<String> {
    let named = directives.tenant.as_deref().map(|name| hex::encode(sha256(name)));
    let tenants: Vec<String> =
        [tenant(gateway.options(), caller, headers), named].into_iter().flatten().collect();
    (!tenants.is_empty()).then(|| tenants.join("/"))
}

/// The question in `fields`, whose numbers keep their text, and whether to wait for others who ask the same.
fn query(
    gateway: &Gateway,
    caller: &Caller,
    headers: &HeaderMap,
    mut fields: Map<String, Value>,
) -> Result<(Query, bool), Problem> {
    // What changes the answer: model, system prompt, retriever.
    let parameters = match fields.remove("parameters") {
        None => Map::new(),
        Some(Value::Object(parameters)) => parameters,
        Some(_) => return Err(Problem::invalid("the body is not valid: parameters is no object")),
    };
    let fields = fields.into_iter().map(|(name, value)| (name, exact::plain(&value)));
    let (own, shared): (Map<_, _>, Map<_, _>) = fields.partition(|(name, _)| OWN.contains(&name.as_str()));
    let own: Own = serde_json::from_value(own.into())
        .map_err(|error| Problem::invalid(format!("the body is not valid: {error}")))?;
    let directives = Directives::new(Some(&shared.into()), headers, &gateway.options().limits)?;
    let Some(question) = &directives.question else {
        return Err(Problem::invalid("the body has no question"));
    };
    let mut scope = Scope::new();
    if let Some(tenant) = tenant_of(gateway, caller, headers, &directives) {
        scope = scope.tenant(tenant);
    }
    if let Some(namespace) = &directives.namespace {
        scope = scope.namespace(namespace.clone());
    }
    if own.private {
        scope = scope.private();
    }
    for (name, value) in parameters {
        scope = scope.parameter(name, value);
    }
    let mut query = Query::new(question).scope(scope);
    if let Some(conversation) = &directives.conversation {
        query = query.conversation(conversation);
    }
    if let Some(corpus) = &directives.corpus {
        gateway.allowances().take_corpus(corpus)?;
        query = query.corpus(corpus.clone());
    }
    if let Some(criterion) = directives.criterion() {
        query = query.criterion(criterion);
    }
    if let Some(embedding) = own.embedding {
        query = query.embedding(embedding);
    }
    if directives.exact {
        query = query.exact_only();
    }
    if own.renew {
        query = query.renew();
    }
    Ok((query, own.wait))
}
