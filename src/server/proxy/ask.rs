//! A question on its way: to the cache, and to the upstream if the cache has no answer.

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::api::Api;
use super::control::Control;
use super::directives::Directives;
use super::followers::Following;
use super::ids::{self, Ids};
use super::json;
use super::making::Making;
use super::question::{self, Matching};
use super::recording::{Form, replay};
use super::reply::{self, Forward};
use super::sharing::{holder, tenant};
use super::upstream::{Outgoing, passed_on};
use crate::cache::{FillPermit, Hit, Lookup, Query};
use crate::server::Gateway;
use crate::server::auth::Caller;
use crate::server::error::Problem;
use crate::server::permits;

/// What the cache says to a question.
#[expect(clippy::large_enum_variant, reason = "a permit is used where it comes from")]
enum Found {
    Hit(Hit),
    /// The upstream's answer may be stored.
    Make(FillPermit, Forward, Matching),
    /// The answer is coming to another caller.
    Follow(Following),
    /// The upstream's answer goes to the caller only.
    Pass(Forward),
}

/// Answers from the cache, or passes the upstream's answer on and keeps it.
pub(super) async fn ask(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let limits = &gateway.options().limits;
    let body = limits.read(body).await?;
    let api = Api::of(&head.uri);
    let Some(fields) = json::object(&body) else {
        if json::is_too_deep(&body) {
            return Err(limits.too_deep());
        }
        // What is wrong with it is for the upstream to say.
        let outgoing = Outgoing::new(&gateway, api.vendor(), &head, &caller, body)?;
        return pass(&gateway, outgoing, Forward::Bypass("no-object")).await;
    };
    let fields = Value::Object(fields);
    limits.check_depth(&fields)?;
    let Value::Object(fields) = fields else { return Err(Problem::invalid("the body is no object")) };
    let own = fields.get("wellspring").map(json::plain);
    let directives = Directives::new(own.as_ref(), &head.headers, limits)?;
    let outgoing = Outgoing::new(&gateway, api.vendor(), &head, &caller, sent(&fields, body))?;
    let form = Form::wanted(&fields);
    let price = gateway.upstreams().price(api.vendor(), &fields);
    let found = find(&gateway, (api, form), fields, &head, &caller, &directives, &outgoing).await?;
    match found {
        Found::Hit(hit) => match replay(&hit.entry, api, form) {
            Ok(replay) => {
                gateway.telemetry().feedback().served(&hit);
                Ok(reply::hit(&hit, replay, form, &head.headers))
            }
            Err(why) => {
                only_if_cached(Control::of(&head.headers), Found::Pass(Forward::Bypass(why)))?;
                pass(&gateway, outgoing, Forward::Bypass(why)).await
            }
        },
        Found::Make(permit, forward, matching) => {
            let keeps_incomplete = gateway.options().keep_incomplete && matching == Matching::Exact;
            let making = Making { gateway, api, form, directives, permit, forward, price, keeps_incomplete };
            making.start(outgoing).await
        }
        Found::Follow(following) => Ok(reply::followed(following)),
        Found::Pass(forward) => pass(&gateway, outgoing, forward).await,
    }
}

/// The body without what is meant for the gateway.
fn sent(fields: &Map<String, Value>, body: Bytes) -> Bytes {
    if !fields.contains_key("wellspring") {
        return body;
    }
    json::without(&body, "wellspring").unwrap_or(body)
}

async fn find(
    gateway: &Gateway,
    (api, form): (Api, Form),
    fields: Map<String, Value>,
    head: &Parts,
    caller: &Caller,
    directives: &Directives,
    outgoing: &Outgoing,
) -> Result<Found, Problem> {
    let control = Control::of(&head.headers);
    if let Some(name) = &directives.permit {
        let holder = holder(caller, &head.headers);
        let permit = gateway.permits().take(name, holder.as_deref()).ok_or_else(permits::gone)?;
        return Ok(Found::Make(permit, Forward::Miss, Matching::Loose));
    }
    let bypass = if control.no_store {
        Some(Forward::Request)
    } else if api.is_stateful(&fields) {
        Some(Forward::Bypass("stateful"))
    } else if gateway.options().max_temperature.is_some_and(|most| temperature(&fields) > most) {
        Some(Forward::Bypass("temperature"))
    } else {
        None
    };
    if let Some(forward) = bypass {
        return only_if_cached(control, Found::Pass(forward));
    }
    let is_named = directives.question.is_some();
    let held = if is_named { ids::of_request(api, &fields) } else { Ids::default() };
    let base = gateway.upstreams().base(api.vendor());
    let tenant = tenant(gateway.options(), caller, &head.headers);
    let longest = gateway.options().limits.question_bytes;
    let (query, matching) = question::query(api, fields, directives, outgoing, (base, tenant), longest);
    let refuse = |hit: &Hit| {
        if !control.accepts(hit.age, reply::left(hit)) {
            Some(Forward::Stale)
        } else if ids::is_held(&held, &hit.entry, api) {
            Some(Forward::Held)
        } else {
            None
        }
    };
    only_if_cached(control, look_up(gateway, (query, matching, form), control, refuse).await)
}

/// The temperature that is asked for. Both APIs take 1 where none is named.
fn temperature(fields: &Map<String, Value>) -> f64 {
    fields.get("temperature").and_then(|value| json::plain(value).as_f64()).unwrap_or(1.0)
}

/// A caller who wants what is stored or nothing is not kept waiting by the upstream.
fn only_if_cached(control: Control, found: Found) -> Result<Found, Problem> {
    if control.only_if_cached && !matches!(found, Found::Hit(_)) {
        return Err(Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "not_cached",
            "there is no answer in the cache",
        ));
    }
    Ok(found)
}

/// Looks for an answer, and for a permit to make another one if `refuse` says why a hit is not served.
async fn look_up(
    gateway: &Gateway,
    (query, matching, form): (Query, Matching, Form),
    control: Control,
    refuse: impl Fn(&Hit) -> Option<Forward>,
) -> Found {
    let mut forward = Forward::Request;
    if !control.no_cache {
        let id = gateway.cache().entry_id(&query).ok().filter(|_| form.is_stream && !control.only_if_cached);
        let looking = look(gateway, query.clone(), control, Forward::Miss, matching);
        let found = match id {
            Some(id) => tokio::select! {
                biased;
                found = looking => found,
                following = gateway.followers().follow((id, form)) => Found::Follow(following),
            },
            None => looking.await,
        };
        match found {
            Found::Hit(hit) => match refuse(&hit) {
                Some(why) => forward = why,
                None => return Found::Hit(hit),
            },
            found => return found,
        }
    }
    look(gateway, query.renew(), control, forward, matching).await
}

async fn look(
    gateway: &Gateway,
    query: Query,
    control: Control,
    forward: Forward,
    matching: Matching,
) -> Found {
    let cache = gateway.cache();
    let looked_up = if control.only_if_cached {
        cache.lookup(query).await.ok()
    } else {
        cache.lookup_or_wait(query).await.ok()
    };
    match looked_up {
        Some(Lookup::Hit(hit)) => Found::Hit(hit),
        Some(Lookup::Miss(permit)) => Found::Make(permit, forward, matching),
        Some(Lookup::Bypass(reason)) => Found::Pass(Forward::bypass(reason)),
        None => Found::Pass(Forward::Bypass("failed")),
    }
}

/// Passes the upstream's answer on, whatever it is.
pub(super) async fn pass(
    gateway: &Gateway,
    outgoing: Outgoing,
    forward: Forward,
) -> Result<Response, Problem> {
    let response = outgoing.send(gateway).await?;
    let mut passed = passed_on(&response, Body::empty());
    forward.tell(passed.headers_mut(), None);
    *passed.body_mut() = Body::from_stream(response.bytes_stream());
    Ok(passed)
}
