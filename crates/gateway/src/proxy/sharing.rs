//! Which callers share answers.
//!
//! Anything that may reveal to an upstream who asks keeps callers apart. Headers that are known to hold keys,
//! and tokens of the gateway, do so as [`Sharing`] says. All other headers that go upstream, and the query,
//! are part of the key of an answer, regardless of who shares it, unless they are known to change nothing.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use wellspring::key::composed;

use super::irrelevant::HeaderPattern;
use crate::auth::{Caller, KEYS, sha256};
use crate::{Options, Sharing};

/// What the callers that share answers have in common; none if everyone shares. Reveals no secret.
pub(crate) fn tenant(options: &Options, caller: &Caller, headers: &HeaderMap) -> Option<String> {
    match &options.sharing {
        Sharing::Shared => None,
        Sharing::Key => Some(by_caller(caller, headers)),
        Sharing::Header(name) => Some(match headers.get(name) {
            Some(value) => header_label(value.as_bytes()),
            None => by_caller(caller, headers),
        }),
    }
}

/// The tenant `named`, among the callers who share by `shared_by`.
pub(crate) fn joined(shared_by: Option<String>, named: Option<&str>) -> Option<String> {
    let named = named.map(|name| hex::encode(sha256(&composed(name))));
    let tenants: Vec<String> = [shared_by, named].into_iter().flatten().collect();
    (!tenants.is_empty()).then(|| tenants.join("/"))
}

/// What the upstream's answer may depend on besides the body of a request: the `headers` that go to it, each
/// with all its lines, and the query. Keys are left out, because [`tenant`] covers them.
pub(super) fn beside_body(ignored: &[HeaderPattern], headers: &HeaderMap, query: Option<&str>) -> Value {
    let is_identifying =
        |name: &HeaderName| !KEYS.contains(name) && !ignored.iter().any(|known| known.matches(name));
    let lines = |name| headers.get_all(name).iter().map(|value| hex::encode(value.as_bytes())).collect();
    let identifying: BTreeMap<&str, Vec<String>> =
        headers.keys().filter(|name| is_identifying(name)).map(|name| (name.as_str(), lines(name))).collect();
    json!({ "headers": identifying, "query": query })
}

/// The token and the key that were sent: the same key under another token may mean nothing.
fn by_caller(caller: &Caller, headers: &HeaderMap) -> String {
    let shown: Vec<String> = [by_token(caller), by_key(caller, headers)].into_iter().flatten().collect();
    if shown.is_empty() { "nobody".to_owned() } else { shown.join("+") }
}

/// The holder of what is given to this caller: the token if one was sent, else the key. None if neither was
/// sent.
pub(crate) fn holder(caller: &Caller, headers: &HeaderMap) -> Option<String> {
    by_token(caller).or_else(|| by_key(caller, headers))
}

fn by_key(caller: &Caller, headers: &HeaderMap) -> Option<String> {
    // Few requests have more than one key, and looking each name up costs more than one pass.
    let is_key = |name: &&HeaderName| KEYS.contains(name) && !caller.shown_in.contains(name);
    let mut names: Vec<_> = headers.keys().filter(is_key).collect();
    names.sort_unstable_by_key(|name| KEYS.iter().position(|key| key == *name));
    let mut shown = String::new();
    for name in names {
        for value in headers.get_all(name) {
            shown.extend([name.as_str(), ":", &hex::encode(value.as_bytes()), ";"]);
        }
    }
    (!shown.is_empty()).then(|| format!("key:{}", hex::encode(sha256(&shown))))
}

fn by_token(caller: &Caller) -> Option<String> {
    caller.token.as_ref().map(|token| token_label(token.name()))
}

pub(crate) fn token_label(name: &str) -> String {
    format!("token:{}", hex::encode(sha256(&composed(name))))
}

pub(crate) fn header_label(value: &[u8]) -> String {
    format!("header:{}", hex::encode(sha256(&hex::encode(value))))
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;
    use crate::auth::{Permission, Token};

    #[test]
    fn by_default_nobody_shares_with_another_key() {
        let anonymous = Caller::new(None, Vec::new());
        let shared = |caller: &Caller, name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            tenant(&Options::default(), caller, &headers).unwrap()
        };
        let bob = shared(&anonymous, "authorization", "Bearer bob");
        assert_eq!(bob, shared(&anonymous, "authorization", "Bearer bob"));
        assert_ne!(bob, shared(&anonymous, "authorization", "Bearer eve"));
        assert_ne!(bob, shared(&anonymous, "x-api-key", "Bearer bob"));
        assert!(!bob.contains("bob"));
        let token = Token::new("ci", &[Permission::Fill], "secret");
        let caller = Caller::new(Some(token), vec![header::AUTHORIZATION]);
        assert!(shared(&caller, "authorization", "Bearer secret").starts_with("token:"));
    }
}
