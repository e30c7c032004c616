//! `POST /v1/cache/lookup` and `/v1/cache/why`.

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wellspring::SharedError;
use wellspring::cache::{FillPermit, Hit, Lookup, Query, Tier};
use wellspring::embedding::Embedding;
use wellspring::error::{Error, ErrorKind};
use wellspring::key::{IdKey, Scope};

use super::view;
use crate::Gateway;
use crate::auth::{Caller, Permission};
use crate::error::Problem;
use crate::extract::{exact_object, or_default, typed};
use crate::proxy::writers::{self, Said};
use crate::proxy::{Directives, holder, joined, json as exact, tenant};

/// The fields of a lookup that `wellspring` does not have in a request to the proxy.
const OWN: [&str; 4] = ["embedding", "private", "renew", "wait"];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Own {
    /// The question's embedding by the cache's own model.
    embedding: Option<Vec<f32>>,
    /// Whether the answer is personal.
    #[serde(deserialize_with = "or_default")]
    private: bool,
    /// Skip the search, and give a permit for a new answer.
    #[serde(deserialize_with = "or_default")]
    renew: bool,
    /// Wait for others who are making the same answer.
    #[serde(deserialize_with = "or_default")]
    wait: bool,
}

/// An answer, or the permission to make one.
pub(super) async fn lookup(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let headers = request.headers().clone();
    let Asked { query, waits, .. } = Asked::of(&gateway, &caller, request).await?;
    let cache = gateway.cache();
    let found = if waits {
        cache.lookup_or_wait(query).await.map_err(|error| own(&error))?
    } else {
        cache.lookup(query).await?
    };
    lookup_json(&gateway, &caller, &headers, found).await.map(Json)
}

/// Looks up several questions together. A batch that leads a question waits for no one: it might wait for
/// itself, or for a batch that waits for it.
pub(super) async fn look_up_all(
    gateway: &Gateway,
    caller: &Caller,
    headers: &HeaderMap,
    asked: Vec<Result<Asked, Problem>>,
) -> Vec<Result<Value, Problem>> {
    let cache = gateway.cache();
    let queries = |are_to_wait: bool| {
        let chosen = asked.iter().flatten().filter(|asked| asked.waits == are_to_wait);
        chosen.map(|asked| asked.query.clone()).collect::<Vec<_>>()
    };
    let at_once = cache.lookup_all(queries(false)).await;
    let leads = at_once.iter().any(|found| matches!(found, Ok(Lookup::Miss(permit)) if permit.is_leader()));
    let waiting: Vec<_> = if leads {
        cache.lookup_all(queries(true)).await
    } else {
        let waiting = cache.lookup_all_or_wait(queries(true)).await;
        waiting.into_iter().map(|found| found.map_err(|error| own(&error))).collect()
    };
    let (mut at_once, mut waiting) = (at_once.into_iter(), waiting.into_iter());
    let mut all = Vec::with_capacity(asked.len());
    for asked in asked {
        let found = asked.map(|asked| if asked.waits { waiting.next() } else { at_once.next() });
        let missing = || Problem::internal("the gateway failed on this request");
        let found = found.and_then(|found| Ok(found.ok_or_else(missing)??));
        all.push(match found {
            Ok(found) => lookup_json(gateway, caller, headers, found).await,
            Err(problem) => Err(problem),
        });
    }
    all
}

/// The error of a lookup that waited.
fn own(error: &SharedError) -> Error {
    let kind = error.downcast_ref().map_or(ErrorKind::Store, Error::kind);
    Error::new(kind, error.to_string())
}

async fn lookup_json(
    gateway: &Gateway,
    caller: &Caller,
    headers: &HeaderMap,
    found: Lookup,
) -> Result<Value, Problem> {
    let cache = gateway.cache();
    Ok(match found {
        Lookup::Hit(hit) => hit_json(gateway, &hit, &*cache.id_key().await?),
        Lookup::Miss(permit) => miss_json(gateway, caller, headers, permit, &*cache.id_key().await?),
        Lookup::Bypass(reason) => json!({ "status": "bypass", "reason": reason }),
        _ => json!({ "status": "bypass", "reason": "other" }),
    })
}

fn hit_json(gateway: &Gateway, hit: &Hit, ids: &IdKey) -> Value {
    gateway.telemetry().feedback().served(hit);
    let mut body = view::answer(&hit.entry);
    body["entry"] = json!(ids.show(hit.entry.id));
    body["status"] = "hit".into();
    body["age_ms"] = u64::try_from(hit.age.as_millis()).unwrap_or(u64::MAX).into();
    (body["tier"], body["similarity"], body["confidence"]) = match hit.tier {
        Tier::Semantic { similarity, confidence } => {
            ("semantic".into(), similarity.into(), confidence.into())
        }
        _ => ("exact".into(), Value::Null, Value::Null),
    };
    body
}

fn miss_json(
    gateway: &Gateway,
    caller: &Caller,
    headers: &HeaderMap,
    permit: FillPermit,
    ids: &IdKey,
) -> Value {
    let mut body = json!({
        "status": "miss", "entry": ids.show(permit.entry_id()), "question": permit.question(),
        "is_leader": permit.is_leader(), "since": permit.since(),
        "embedding": permit.embedding().map(Embedding::as_slice),
    });
    // A caller that may only read cannot use the permit; without it here, others can make the answer sooner.
    if caller.may(Permission::Fill) {
        body["permit"] = gateway.permits().keep(permit, holder(caller, headers)).into();
        body["permit_ttl_ms"] =
            u64::try_from(gateway.options().permit_ttl.as_millis()).unwrap_or(u64::MAX).into();
    }
    body
}

/// What a lookup would do, and why. Stores and counts nothing.
pub(super) async fn why(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let Asked { query, .. } = Asked::of(&gateway, &caller, request).await?;
    let explanation = gateway.cache().explain(query).await?;
    let failed = |_| Problem::invalid("the explanation has no JSON");
    let mut body = serde_json::to_value(&explanation).map_err(failed)?;
    let ids = gateway.cache().id_key().await?;
    body["exact"] = json!(ids.show(explanation.exact));
    body["served"] = json!(explanation.served.map(|served| ids.show(served)));
    for (n, candidate) in explanation.candidates.iter().enumerate() {
        body["candidates"][n]["entry"] = json!(ids.show(candidate.entry));
    }
    Ok(Json(body))
}

/// The tenant of the answers that the caller may be served: given by who the caller is, and within that by
/// the tenant it names.
pub(super) fn tenant_of(
    gateway: &Gateway,
    caller: &Caller,
    headers: &HeaderMap,
    directives: &Directives,
) -> Option<String> {
    joined(tenant(gateway.options(), caller, headers), directives.tenant.as_deref())
}

/// A question as it was asked.
pub(super) struct Asked {
    pub(super) query: Query,
    pub(super) directives: Directives,
    /// Whether to wait for others who ask the same.
    pub(super) waits: bool,
}

impl Asked {
    async fn of(gateway: &Gateway, caller: &Caller, request: Request) -> Result<Self, Problem> {
        let (made, caller, headers) = (gateway.clone(), caller.clone(), request.headers().clone());
        exact_object(gateway, request, move |fields| Self::read(&made, &caller, &headers, fields)).await
    }

    /// The question in `fields`, whose numbers keep their text.
    pub(super) fn read(
        gateway: &Gateway,
        caller: &Caller,
        headers: &HeaderMap,
        fields: Map<String, Value>,
    ) -> Result<Self, Problem> {
        let (own, shared): (Map<_, _>, Map<_, _>) =
            fields.into_iter().partition(|(name, _)| OWN.contains(&name.as_str()));
        let own = exact::plain(&own.into()).and_then(exact::fields).ok_or_else(exact::out_of_range)?;
        let own: Own = typed(own)?;
        let mut directives = Directives::new(Some(shared.into()), headers, &gateway.options().limits)?;
        // Moved rather than copied: the parameters may be nearly all of the body, so each copy matters.
        let parameters = std::mem::take(&mut directives.parameters);
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
        if let Some(match_policy) = directives.match_policy() {
            query = query.match_policy(match_policy);
        }
        if let Some(embedding) = own.embedding {
            query = query.embedding(embedding);
        }
        if let Some(principal) = writers::principal(gateway, caller, headers, Said::ByCaller) {
            query = query.principal(principal);
        }
        if directives.exact {
            query = query.exact_only();
        }
        if own.renew {
            query = query.renew();
        }
        Ok(Self { query, directives, waits: own.wait })
    }
}
