//! `POST /v1/cache/clear`: removes the entries of some callers, parameters, namespace or age.
//!
//! Nothing is said of what they hold, but how many there are.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wellspring::clock::{Clock as _, SystemClock};
use wellspring::entry::{Change, Dependency, Entry};
use wellspring::key::{Corpus, EntryId, Namespace, Scope, ScopeId, TenantId};

use super::asking::joined;
use crate::Gateway;
use crate::error::Problem;
use crate::extract::{exact_object, not_valid};
use crate::proxy::{duration, json as exact, tenant_named};

/// How many entries are read at a time.
const PAGE: usize = 500;
/// How many entries one request looks at. One that has seen them all says where to go on.
const LOOKED_AT: usize = 100_000;

/// What is to go: what all that is given says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    corpus: Option<Corpus>,
    /// Whose answers: where they are shared by key, the name of the caller's token; where by a header, its value.
    caller: Option<String>,
    /// Whose answers, as callers name them by `tenant`.
    tenant: Option<String>,
    /// A namespace with those below it.
    namespace: Option<Namespace>,
    /// All the parameters of a lookup.
    #[serde(skip)]
    parameters: Option<Map<String, Value>>,
    private: bool,
    /// A scope as entries name it.
    scope: Option<ScopeId>,
    #[serde(deserialize_with = "duration")]
    older_than: Option<Duration>,
    /// Count, and remove nothing.
    dry_run: bool,
    /// Where the request before ended.
    after: Option<EntryId>,
}

pub(super) async fn clear(State(gateway): State<Gateway>, request: Request) -> Result<Json<Value>, Problem> {
    let mut fields = exact_object(&gateway, request).await?;
    let parameters = match fields.remove("parameters") {
        None => None,
        Some(Value::Object(parameters)) => Some(parameters),
        Some(_) => return Err(Problem::invalid("parameters is no object")),
    };
    let fields = exact::plain(&fields.into()).ok_or_else(exact::out_of_range)?;
    let wanted: Wanted = serde_json::from_value(fields).map_err(|error| not_valid(&error))?;
    let wanted = Wanted { parameters, ..wanted };
    let chosen = Chosen::new(&gateway, &wanted)?;
    let (mut after, mut looked_at, mut matched, mut removed) = (wanted.after, 0, 0_usize, 0_u64);
    let mut is_done = false;
    while looked_at < LOOKED_AT && !is_done {
        let found = gateway.cache().entries(after, PAGE).await?;
        let Some(last) = found.last() else {
            is_done = true;
            break;
        };
        after = Some(last.entry.id);
        looked_at += found.len();
        let mut going: BTreeMap<Corpus, Vec<Change>> = BTreeMap::new();
        for entry in found.iter().map(|stored| &stored.entry).filter(|entry| chosen.has(entry)) {
            matched += 1;
            going.entry(entry.corpus.clone()).or_default().push(Change::Entry(entry.id));
        }
        for (corpus, changes) in going.iter().filter(|_| !wanted.dry_run) {
            removed += gateway.cache().invalidate(corpus, changes).await?.dropped();
        }
    }
    if !wanted.dry_run {
        tracing::info!(removed, "entries were cleared by what they belong to");
    }
    let next = after.filter(|_| !is_done);
    Ok(Json(json!({ "matched": matched, "removed": removed, "looked_at": looked_at, "next": next })))
}

/// The same by what entries hold.
struct Chosen<'a> {
    wanted: &'a Wanted,
    tenant: Option<TenantId>,
    scope: Option<ScopeId>,
}

impl<'a> Chosen<'a> {
    fn new(gateway: &Gateway, wanted: &'a Wanted) -> Result<Self, Problem> {
        let Wanted { corpus, caller, tenant, namespace, parameters, private, scope, older_than, .. } = wanted;
        let is_narrow = caller.is_some()
            || tenant.is_some()
            || namespace.is_some()
            || parameters.is_some()
            || scope.is_some()
            || older_than.is_some();
        if corpus.is_none() && !is_narrow {
            return Err(Problem::invalid(
                "name what to clear: corpus, caller, tenant, namespace, parameters, scope or older_than; \
                 everything goes by {\"everything\": true} at /v1/documents/changed",
            ));
        }
        let shared_by = caller.as_deref().map(|caller| {
            tenant_named(gateway.options(), caller).ok_or_else(|| {
                Problem::invalid("all callers share their answers here: name a tenant, not a caller")
            })
        });
        let shared_by = shared_by.transpose()?;
        let tenant = joined(shared_by, tenant.as_deref());
        let scope = match (parameters, scope) {
            (None, None) if *private => return Err(Problem::invalid("private needs parameters beside it")),
            (None, scope) => *scope,
            (Some(_), Some(_)) => return Err(Problem::invalid("scope and parameters exclude each other")),
            (Some(parameters), None) => {
                let mut of_lookup = Scope::new();
                if let Some(tenant) = &tenant {
                    of_lookup = of_lookup.tenant(tenant);
                }
                if let Some(namespace) = namespace {
                    of_lookup = of_lookup.namespace(namespace.clone());
                }
                if *private {
                    of_lookup = of_lookup.private();
                }
                for (name, value) in parameters {
                    of_lookup = of_lookup.parameter(name, value.clone());
                }
                Some(gateway.cache().scope_id(&corpus.clone().unwrap_or_default(), &of_lookup)?)
            }
        };
        Ok(Self { wanted, tenant: tenant.as_deref().map(TenantId::of), scope })
    }

    fn has(&self, entry: &Entry) -> bool {
        let Wanted { corpus, namespace, older_than, .. } = self.wanted;
        let is_below = |wanted: &Namespace| {
            let is_in = |dependency: &Dependency| match dependency {
                Dependency::Namespace(path) => path.prefixes().any(|prefix| prefix == wanted.as_str()),
                _ => false,
            };
            entry.dependencies.iter().any(is_in)
        };
        corpus.as_ref().is_none_or(|corpus| entry.corpus == *corpus)
            && self.tenant.is_none_or(|tenant| entry.tenant == Some(tenant))
            && self.scope.is_none_or(|scope| entry.scope == scope)
            && namespace.as_ref().is_none_or(is_below)
            && older_than.is_none_or(|age| SystemClock.now().saturating_since(entry.created_at) > age)
    }
}
