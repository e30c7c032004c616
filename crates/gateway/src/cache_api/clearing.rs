//! `POST /v1/cache/clear`: removes the entries of some callers, parameters, namespace or age.
//!
//! The response reveals nothing of their content, only how many there are.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wellspring::clock::{Clock as _, SystemClock};
use wellspring::entry::{Change, Selection};
use wellspring::key::{Corpus, EntryId, Namespace, Scope, ScopeId, TenantId};

use crate::error::Problem;
use crate::extract::{exact_object, or_default, typed};
use crate::proxy::{duration, json as exact};
use crate::{Gateway, Sharing};

/// How many entries are read at a time.
const PAGE: usize = 500;
/// How many entries one request looks at. A request that reaches this number reports where to continue.
const LOOKED_AT: usize = 100_000;

/// What is to be removed: the entries that match all the given fields.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    corpus: Option<Corpus>,
    /// Whose answers: the name of the caller's token where answers are shared by key; the header's value
    /// where they are shared by a header.
    caller: Option<String>,
    /// Whose answers, by the `tenant` that callers name.
    tenant: Option<String>,
    /// A namespace and those below it.
    namespace: Option<Namespace>,
    /// All the parameters of a lookup.
    #[serde(skip)]
    parameters: Option<Map<String, Value>>,
    #[serde(deserialize_with = "or_default")]
    private: bool,
    /// A scope as entries name it.
    scope: Option<ScopeId>,
    #[serde(deserialize_with = "duration")]
    older_than: Option<Duration>,
    /// Count, and remove nothing.
    #[serde(deserialize_with = "or_default")]
    dry_run: bool,
    /// Where the previous request ended.
    after: Option<EntryId>,
}

pub(super) async fn clear(State(gateway): State<Gateway>, request: Request) -> Result<Json<Value>, Problem> {
    let mut fields = exact_object(&gateway, request, Ok).await?;
    let parameters = match fields.remove("parameters") {
        None | Some(Value::Null) => None,
        Some(Value::Object(parameters)) => Some(parameters),
        Some(_) => return Err(Problem::invalid("parameters is not an object")),
    };
    let fields = exact::plain(&fields.into()).and_then(exact::fields).ok_or_else(exact::out_of_range)?;
    let wanted: Wanted = typed(fields)?;
    let wanted = Wanted { parameters, ..wanted };
    let (dry_run, mut after) = (wanted.dry_run, wanted.after);
    let chosen = selection(&gateway, wanted)?;
    let (mut looked_at, mut matched, mut removed) = (0, 0_usize, 0_u64);
    let mut is_done = false;
    while looked_at < LOOKED_AT && !is_done {
        let found = gateway.cache().entries(after, PAGE).await?;
        let Some(last) = found.last() else {
            is_done = true;
            break;
        };
        after = Some(last.entry.id);
        let now = SystemClock.now();
        looked_at += found.len();
        let mut going: BTreeMap<Corpus, Vec<Change>> = BTreeMap::new();
        for entry in found.iter().map(|stored| &stored.entry).filter(|entry| chosen.has(entry, now)) {
            matched += 1;
            going.entry(entry.corpus.clone()).or_default().push(Change::Entry(entry.id));
        }
        for (corpus, changes) in going.iter().filter(|_| !dry_run) {
            removed += gateway.cache().invalidate(corpus, changes).await?.dropped();
        }
    }
    if !dry_run {
        tracing::info!(removed, "entries were cleared by what they belong to");
    }
    let next = after.filter(|_| !is_done);
    Ok(Json(json!({ "matched": matched, "removed": removed, "looked_at": looked_at, "next": next })))
}

/// The same selection, in terms of what entries hold.
fn selection(gateway: &Gateway, wanted: Wanted) -> Result<Selection, Problem> {
    let Wanted { corpus, caller, tenant, namespace, parameters, private, scope, older_than, .. } = wanted;
    let sharing = &gateway.options().sharing;
    // Both are hashed together with the caller, so without it they name no answer that is stored here.
    if *sharing != Sharing::Shared && caller.is_none() && (tenant.is_some() || parameters.is_some()) {
        return Err(Problem::invalid(
            "answers are kept apart by caller here, as server.sharing says: name the caller beside tenant and \
             parameters, or clear by corpus, namespace, scope or older_than",
        ));
    }
    let tenant = sharing.tenant(caller.as_deref(), tenant.as_deref())?;
    let scope = match (parameters, scope) {
        (None, None) if private => return Err(Problem::invalid("private needs parameters beside it")),
        (None, scope) => scope,
        (Some(_), Some(_)) => return Err(Problem::invalid("scope and parameters exclude each other")),
        (Some(parameters), None) => {
            let mut of_lookup = Scope::new();
            if let Some(tenant) = &tenant {
                of_lookup = of_lookup.tenant(tenant);
            }
            if let Some(namespace) = &namespace {
                of_lookup = of_lookup.namespace(namespace.clone());
            }
            if private {
                of_lookup = of_lookup.private();
            }
            for (name, value) in parameters {
                of_lookup = of_lookup.parameter(name, value);
            }
            Some(gateway.cache().scope_id(&corpus.clone().unwrap_or_default(), &of_lookup)?)
        }
    };
    let mut selection = Selection::default();
    selection.corpus = corpus;
    selection.tenants = tenant.as_deref().map(TenantId::of).map(|tenant| vec![tenant]);
    selection.scopes = scope.map(|scope| vec![scope]);
    selection.namespace = namespace;
    selection.older_than = older_than;
    if selection.is_everything() {
        return Err(Problem::invalid(
            "name what to clear: corpus, caller, tenant, namespace, parameters, scope or older_than; \
             to drop everything, send {\"everything\": true} to /v1/documents/changed",
        ));
    }
    Ok(selection)
}
