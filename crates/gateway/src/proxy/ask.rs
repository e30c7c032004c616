//! How a question is answered: from the cache, or by the upstream if the cache has no answer.

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value};
use wellspring::cache::{FillPermit, Hit, Lookup, Query};
use wellspring::key::EntryId;

use super::api::Api;
use super::control::Control;
use super::directives::Directives;
use super::followers::Following;
use super::held::Held;
use super::json;
use super::question::{self, Matching};
use super::recording::{self, Form, replay};
use super::reply::{self, Forward};
use super::sharing::{holder, tenant};
use super::upstream::{Outgoing, passed_on};
use super::upstream_fill::UpstreamFill;
use super::writers::{self, Said};
use crate::auth::Caller;
use crate::error::Problem;
use crate::{Gateway, Price, admission, body, header_fields, permits};

/// The field of a body that is meant for the gateway.
pub(super) const FIELD: &str = "wellspring";

/// The cache's response to a question.
#[expect(clippy::large_enum_variant, reason = "a permit is used where it comes from")]
enum Found {
    Hit(Hit),
    /// The caller gets the upstream's answer, which may be stored.
    Make(FillPermit, Forward, Matching),
    /// Another caller is already receiving the answer, which will be stored under this id.
    Follow(EntryId, Following),
    /// The upstream's answer goes to the caller and is not stored.
    Pass(Forward),
}

/// A question after parsing.
struct Asked {
    outgoing: Outgoing,
    directives: Directives,
    form: Form,
    price: Option<Price>,
    /// Whether the answer is to be JSON.
    wants_json: bool,
    /// Why the cache is not asked.
    bypass: Option<&'static str>,
    /// The answers that the conversation already holds.
    held: Held,
    query: Query,
    matching: Matching,
}

/// What a request turned out to be.
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it comes from")]
enum Read {
    Question(Asked),
    /// A request that only the upstream can respond to.
    Other(Outgoing),
}

/// Answers from the cache, or passes the upstream's answer on and stores it.
pub(super) async fn ask(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let body = body::read(&gateway, body).await?;
    let length = body.len();
    let (api, headers, control) = (Api::of(&head.uri), head.headers.clone(), Control::of(&head.headers));
    let reading = {
        let (gateway, caller) = (gateway.clone(), caller.clone());
        move || read(&gateway, &caller, &head, body)
    };
    let asked = match admission::apart(&gateway, length, reading).await?? {
        Read::Question(asked) => asked,
        Read::Other(outgoing) => {
            let mut passed = Box::pin(pass(&gateway, outgoing, Forward::Bypass("no-object"))).await?;
            if header_fields::is_any(&headers) {
                reply::warn_of_ignored_directives(passed.headers_mut());
            }
            return Ok(passed);
        }
    };
    let Asked { outgoing, directives, form, price, wants_json, bypass, held, query, matching } = asked;
    let is_too_many = |corpus| gateway.allowances().take_corpus(corpus).is_err();
    let bypass =
        bypass.or_else(|| directives.corpus.as_ref().is_some_and(is_too_many).then_some("too-many-corpora"));
    let lacks_sources = directives.lack_sources();
    if lacks_sources {
        gateway.telemetry().lacked_sources();
    }
    // A caller that wants a stored answer or nothing makes none, and keeps its permit.
    let name = directives.permit.as_deref().filter(|_| !control.only_if_cached);
    let permit = name.map(|name| permitted(&gateway, &caller, &headers, name, &directives)).transpose()?;
    let passed = if control.no_store { Some(Forward::Request) } else { bypass.map(Forward::Bypass) };
    let found = if let Some(forward) = passed {
        // Others may make the answer now.
        permit.into_iter().for_each(FillPermit::decline);
        only_if_cached(control, Found::Pass(forward))?
    } else if let Some(permit) = permit {
        Found::Make(permit, Forward::Miss, Matching::Loose)
    } else {
        let refuse = |hit: &Hit| {
            if !control.accepts(hit.age, reply::left(hit)) {
                Some(Forward::Stale)
            } else if held.holds(&hit.entry, api) {
                Some(Forward::Held)
            } else if recording::lacks_usage(&hit.entry, api, form) {
                Some(Forward::Usage)
            } else {
                None
            }
        };
        let found = look_up(&gateway, (query, matching, form), control, refuse).await;
        only_if_cached(control, fenced(found, &directives)?)?
    };
    // A caller is answered even if the id of the entry cannot be shown. A request that bypasses the cache
    // asks the store for nothing.
    let ids = async || gateway.cache().id_key().await.ok();
    let mut response = match found {
        Found::Hit(hit) => match replay(&hit.entry, api, form) {
            Ok(replay) => {
                gateway.telemetry().feedback().served(&hit);
                let shown = ids().await.map(|ids| ids.show(hit.entry.id));
                Ok(reply::hit(&hit, shown, replay, form, &headers))
            }
            Err(why) => {
                only_if_cached(control, Found::Pass(Forward::Bypass(why)))?;
                Box::pin(pass(&gateway, outgoing, Forward::Bypass(why))).await
            }
        },
        Found::Make(permit, forward, matching) => {
            let keeps_incomplete = gateway.options().keep_incomplete && matching == Matching::Exact;
            let shown = ids().await.map(|ids| ids.show(permit.entry_id()));
            let upstream_fill = UpstreamFill {
                gateway,
                api,
                form,
                directives,
                permit,
                shown,
                forward,
                price,
                wants_json,
                keeps_incomplete,
            };
            // What only follows a miss is boxed, here and below: a hit would be moved around with room for it.
            Box::pin(upstream_fill.start(outgoing)).await
        }
        Found::Follow(id, following) => Ok(reply::followed(following, ids().await.map(|ids| ids.show(id)))),
        Found::Pass(forward) => Box::pin(pass(&gateway, outgoing, forward)).await,
    }?;
    if lacks_sources {
        reply::warn_of_no_sources(response.headers_mut());
    }
    Ok(response)
}

/// The permit named `name`, for the question that `directives` name.
fn permitted(
    gateway: &Gateway,
    caller: &Caller,
    headers: &HeaderMap,
    name: &str,
    directives: &Directives,
) -> Result<FillPermit, Problem> {
    let permit = gateway.permits().take(name, holder(caller, headers).as_deref());
    let permit = permit.ok_or_else(permits::gone)?;
    // If the question is not named, it cannot be separated from what was retrieved for it.
    let question = directives.question.as_deref();
    let question =
        question.ok_or_else(|| Problem::invalid("a permit needs its question beside it, named"))?;
    permits::check_question(&permit, question)?;
    Ok(permit)
}

/// Parses the request. The time it takes grows with the length of `body`.
fn read(gateway: &Gateway, caller: &Caller, head: &Parts, body: Bytes) -> Result<Read, Problem> {
    let limits = &gateway.options().limits;
    limits.check_json(&body)?;
    let api = Api::of(&head.uri);
    let Some(fields) = json::object(&body) else {
        refuse_directives(&body)?;
        // The upstream reports what is wrong with it.
        return Outgoing::new(gateway, head, caller, body).map(Read::Other);
    };
    let own = fields.get(FIELD);
    let directives = Directives::new(own.cloned(), &head.headers, limits)?;
    let body = if own.is_some() { json::without(&body, FIELD).unwrap_or(body) } else { body };
    let outgoing = Outgoing::new(gateway, head, caller, body)?;
    let form = Form::wanted(&fields);
    let price = gateway.upstreams().price(outgoing.vendor, &fields);
    let wants_json = api.wants_json(&fields);
    let bypass = if api.is_stateful(&fields, directives.have_sources()) {
        Some("stateful")
    } else if gateway.options().max_temperature.is_some_and(|most| temperature(&fields) > most) {
        Some("temperature")
    } else {
        None
    };
    let held = if directives.question.is_some() { Held::by(api, &fields) } else { Held::default() };
    let base = gateway.upstreams().base(&outgoing);
    let tenant = tenant(gateway.options(), caller, &head.headers);
    let longest = limits.question_bytes;
    let (mut query, matching) =
        question::query(api, fields, &directives, &outgoing, (&base, tenant), longest);
    if let Some(principal) = writers::principal(gateway, caller, &head.headers, Said::of(&directives)) {
        query = query.principal(principal);
    }
    Ok(Read::Question(Asked { outgoing, directives, form, price, wants_json, bypass, held, query, matching }))
}

/// Refuses a body with directives that the gateway cannot read. The upstream must not see them, and the
/// caller must not believe that they took effect.
pub(super) fn refuse_directives(body: &[u8]) -> Result<(), Problem> {
    let quoted = format!("\"{FIELD}\"");
    let is_quoted = || body.windows(quoted.len()).any(|window| window == quoted.as_bytes());
    if is_quoted() || json::names(body, FIELD) {
        return Err(Problem::invalid(
            "the body has a field wellspring but is ambiguous: it is not valid JSON, or a name occurs twice",
        ));
    }
    // Some upstreams also read UTF-16 and UTF-32, in which text has zeros.
    if body.contains(&0) || std::str::from_utf8(body).is_err() {
        return Err(Problem::invalid("the body is not JSON in UTF-8 (RFC 8259, 8.1)"));
    }
    Ok(())
}

/// The temperature that is requested. Both APIs use 1 if none is named.
fn temperature(fields: &Map<String, Value>) -> f64 {
    fields.get("temperature").and_then(|value| json::plain(value)?.as_f64()).unwrap_or(1.0)
}

/// Fences an answer that is still to be made, by the lookup after which the caller retrieved.
fn fenced(found: Found, directives: &Directives) -> Result<Found, Problem> {
    Ok(match (found, &directives.since) {
        (Found::Make(mut permit, forward, matching), Some(since)) => {
            if permit.fence(since)? {
                Found::Make(permit, forward, matching)
            } else {
                permit.decline();
                Found::Pass(Forward::Bypass("clock-lost"))
            }
        }
        (found, _) => found,
    })
}

/// A caller that wants a stored answer or nothing must not wait for the upstream.
fn only_if_cached(control: Control, found: Found) -> Result<Found, Problem> {
    if !control.only_if_cached || matches!(found, Found::Hit(_)) {
        return Ok(found);
    }
    let problem = Problem::not_cached();
    // With this value, a caller that retrieves now and asks again can have the answer fenced from here on.
    Err(match found {
        Found::Make(permit, ..) => problem.since(permit.since()),
        _ => problem,
    })
}

/// Looks for an answer. If `refuse` returns a reason not to serve a hit, looks for a permit to make another
/// answer.
async fn look_up(
    gateway: &Gateway,
    (query, matching, form): (Query, Matching, Form),
    control: Control,
    refuse: impl Fn(&Hit) -> Option<Forward>,
) -> Found {
    let mut forward = Forward::Request;
    if !control.no_cache {
        // How long the answer will live is not known before it is whole.
        let may_follow = form.is_stream && !control.only_if_cached && !control.limits_age();
        let id = if may_follow { gateway.cache().entry_id(&query).ok() } else { None };
        let looking = look(gateway, query.clone(), control, Forward::Miss, matching);
        let found = match id {
            Some(id) => tokio::select! {
                biased;
                found = looking => found,
                following = gateway.followers().follow((id, form)) => Found::Follow(id, following),
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
    Box::pin(look(gateway, query.renew(), control, forward, matching)).await
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
        _ => Found::Pass(Forward::Bypass("failed")),
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
    forward.write_headers(passed.headers_mut(), false, None, None);
    *passed.body_mut() = Body::from_stream(response.bytes_stream());
    Ok(passed)
}
