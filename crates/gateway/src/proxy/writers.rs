//! Which callers' answers are served to others.
//!
//! What a caller fills itself counts as that caller's word. So does what the upstream says to a question that
//! the caller names: no one else has seen what the answer was made from. Where answers are shared, the word
//! of [writers](crate::Options::writers) is served to everyone, and the word of any other caller to that
//! caller only. What the upstream says to a request that names nothing is the gateway's own observation:
//! anyone who sends the same request would get the same answer. But a question may be worded so that its
//! answer misleads anyone who asks a similar one. So such an answer to a caller that is not a writer serves
//! the same request only.

use axum::http::HeaderMap;
use wellspring::cache::{Principal, Visibility};
use wellspring::key::{Scope, TenantId};

use super::directives::Directives;
use super::sharing::holder;
use crate::auth::{Caller, Permission};
use crate::{Gateway, Sharing};

/// The name that makes everyone a writer.
const EVERYBODY: &str = "*";
/// The one name under which all callers without a token confirm answers: a key that a caller can make up does
/// not make it another caller.
const NO_TOKEN: &str = "no token";

/// The origin of what is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// Something that the caller says.
    ByCaller,
    /// What the upstream says to just this request.
    ByUpstream,
}

impl Said {
    /// Classifies what a request to the proxy fills: it is the caller's word if the caller itself says which
    /// part of the request counts.
    pub(crate) fn of(directives: &Directives) -> Self {
        let is_plain =
            directives.question.is_none() && directives.permit.is_none() && directives.ignore.is_empty();
        if is_plain { Self::ByUpstream } else { Self::ByCaller }
    }
}

/// The principal under which `caller` asks and fills; none if what it fills is served to no one else.
pub(crate) fn principal(
    gateway: &Gateway,
    caller: &Caller,
    headers: &HeaderMap,
    said: Said,
) -> Option<Principal> {
    if !is_shared(gateway, caller, headers) {
        return None;
    }
    let holder = holder(caller, headers);
    let visibility = match said {
        _ if is_writer(gateway, caller) => Visibility::Everyone,
        Said::ByUpstream => Visibility::SameQuestion,
        Said::ByCaller if holder.is_some() => Visibility::Own,
        Said::ByCaller => Visibility::NoOne,
    };
    let counts_as = caller.token.as_ref().map_or(NO_TOKEN.into(), |token| format!("token:{}", token.name()));
    let name = if visibility == Visibility::Own { of_word(holder) } else { of_all_else(holder) };
    Some(Principal::new(name).counts_as(counts_as).visibility(visibility))
}

/// The tenants whose answers `caller` is served: those of `tenant`, and the caller's own within it.
pub(crate) fn tenants(caller: &Caller, headers: &HeaderMap, tenant: Option<String>) -> [Option<TenantId>; 3] {
    let shared = tenant.into_iter().fold(Scope::new(), Scope::tenant);
    let own = |name: fn(Option<String>) -> String| shared.clone().own(&name(holder(caller, headers)));
    [shared.tenant_id(), own(of_word).tenant_id(), own(of_all_else).tenant_id()]
}

/// A separate name, so that a caller's word never takes the place of what confirms the answers of others.
fn of_word(holder: Option<String>) -> String {
    format!("the word of {}", of_all_else(holder))
}

fn of_all_else(holder: Option<String>) -> String {
    holder.unwrap_or_else(|| "nobody".to_owned())
}

/// Whether what is filled is served to anyone else. Callers who show nothing cannot be distinguished, so they
/// share with one another whatever the others do.
fn is_shared(gateway: &Gateway, caller: &Caller, headers: &HeaderMap) -> bool {
    let shares = match &gateway.options().sharing {
        Sharing::Key => false,
        Sharing::Header(name) => headers.contains_key(name),
        Sharing::Shared => true,
    };
    shares || holder(caller, headers).is_none() && !gateway.tokens().is_empty()
}

/// Without any tokens, everyone who reaches the gateway is fully trusted.
fn is_writer(gateway: &Gateway, caller: &Caller) -> bool {
    let writers = &gateway.options().writers;
    let is_named = |name: &str| writers.iter().any(|writer| writer == name);
    let is_known =
        caller.token.as_ref().is_some_and(|token| is_named(token.name()) || caller.may(Permission::Admin));
    is_known || is_named(EVERYBODY) || gateway.tokens().is_empty()
}
