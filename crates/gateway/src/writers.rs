//! Whose word others are served.
//!
//! What a caller fills by itself, or has the upstream say to a question that it names, is its word: nobody else has seen
//! what the answer was made of. Where answers are shared, that of [writers](crate::Options::writers) is served to
//! everybody, and that of all others to themselves. What the upstream says to a request that names nothing is the gateway's
//! own observation: whoever sends the same request would be told the same. But a question may be worded so that its answer
//! misleads whoever asks a similar one, so that of a caller who is no writer serves the same request only.

use axum::http::HeaderMap;
use wellspring::cache::{Principal, Reach};
use wellspring::key::{Scope, TenantId};

use crate::auth::{Caller, Right};
use crate::proxy::{Directives, holder};
use crate::{Gateway, Sharing};

/// The name that makes everybody a writer.
const EVERYBODY: &str = "*";
/// As what all callers without a token confirm answers: what they can make up makes nobody another one.
const NO_TOKEN: &str = "no token";

/// What is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// Something that the caller says.
    ByCaller,
    /// What the upstream says to just this request.
    ByUpstream,
}

impl Said {
    /// What a request to the proxy fills: the caller's word as soon as it says itself what of the request counts.
    pub(super) fn of(directives: &Directives) -> Self {
        let is_plain =
            directives.question.is_none() && directives.permit.is_none() && directives.ignore.is_empty();
        if is_plain { Self::ByUpstream } else { Self::ByCaller }
    }
}

/// As whom `caller` asks and fills; none if nobody else is served what it fills.
pub(super) fn principal(
    gateway: &Gateway,
    caller: &Caller,
    headers: &HeaderMap,
    said: Said,
) -> Option<Principal> {
    if !is_shared(gateway, headers) {
        return None;
    }
    let holder = holder(caller, headers);
    let reach = match said {
        _ if is_writer(gateway, caller) => Reach::Everybody,
        Said::ByUpstream => Reach::SameQuestion,
        Said::ByCaller if holder.is_some() => Reach::Own,
        Said::ByCaller => Reach::Nobody,
    };
    let counts_as = caller.token.as_ref().map_or(NO_TOKEN.into(), |token| format!("token:{}", token.name()));
    let name = if reach == Reach::Own { of_word(holder) } else { of_all_else(holder) };
    Some(Principal::new(name).counts_as(counts_as).reach(reach))
}

/// Whose answers `caller` is served: those of `tenant`, and its own among them.
pub(super) fn tenants(caller: &Caller, headers: &HeaderMap, tenant: Option<String>) -> [Option<TenantId>; 3] {
    let shared = tenant.into_iter().fold(Scope::new(), Scope::tenant);
    let own = |name: fn(Option<String>) -> String| shared.clone().own(&name(holder(caller, headers)));
    [shared.tenant_id(), own(of_word).tenant_id(), own(of_all_else).tenant_id()]
}

/// Kept apart, so that the word of a caller never takes the place of what confirms the answers of others.
fn of_word(holder: Option<String>) -> String {
    format!("the word of {}", of_all_else(holder))
}

fn of_all_else(holder: Option<String>) -> String {
    holder.unwrap_or_else(|| "nobody".to_owned())
}

/// Whether somebody else is served what is filled.
fn is_shared(gateway: &Gateway, headers: &HeaderMap) -> bool {
    match &gateway.options().sharing {
        Sharing::Key => false,
        Sharing::Header(name) => headers.contains_key(name),
        Sharing::Shared => true,
    }
}

/// Without any token, everybody who reaches the gateway is trusted with all of it.
fn is_writer(gateway: &Gateway, caller: &Caller) -> bool {
    let writers = &gateway.options().writers;
    let is_named = |name: &str| writers.iter().any(|writer| writer == name);
    let is_known =
        caller.token.as_ref().is_some_and(|token| is_named(token.name()) || caller.may(Right::Admin));
    is_known || is_named(EVERYBODY) || gateway.tokens().is_empty()
}
