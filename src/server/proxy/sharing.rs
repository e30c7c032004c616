//! Who shares answers with whom.

use axum::http::{HeaderMap, HeaderName, header};

use crate::server::auth::{API_KEY_HEADER, Caller, sha256};
use crate::server::{Options, Sharing};

/// Where callers show who they are to the upstream.
const KEYS: [HeaderName; 4] =
    [header::AUTHORIZATION, API_KEY_HEADER, HeaderName::from_static("api-key"), header::COOKIE];

/// What those who share answers have in common; none if everybody does. Tells no secret.
pub(in crate::server) fn tenant(options: &Options, caller: &Caller, headers: &HeaderMap) -> Option<String> {
    let by_key =
        || by_key(caller, headers).or_else(|| by_token(caller)).unwrap_or_else(|| "nobody".to_owned());
    match &options.sharing {
        Sharing::Shared => None,
        Sharing::Key => Some(by_key()),
        Sharing::Header(name) => Some(match headers.get(name) {
            Some(value) => format!("header:{}", hex::encode(sha256(&hex::encode(value.as_bytes())))),
            None => by_key(),
        }),
    }
}

/// Who may use what is given to this caller: the token if one was shown, else the key. None if neither was.
pub(in crate::server) fn holder(caller: &Caller, headers: &HeaderMap) -> Option<String> {
    by_token(caller).or_else(|| by_key(caller, headers))
}

fn by_key(caller: &Caller, headers: &HeaderMap) -> Option<String> {
    let is_own = |name: &HeaderName| !caller.shown_in.contains(name);
    let mut shown = String::new();
    for name in KEYS.iter().filter(|name| is_own(name)) {
        for value in headers.get_all(name) {
            shown.extend([name.as_str(), ":", &hex::encode(value.as_bytes()), ";"]);
        }
    }
    (!shown.is_empty()).then(|| format!("key:{}", hex::encode(sha256(&shown))))
}

fn by_token(caller: &Caller) -> Option<String> {
    caller.token.as_ref().map(|token| format!("token:{}", hex::encode(sha256(token.name()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::auth::{Right, Token};

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
        let token = Token::new("ci", &[Right::Fill], "secret");
        let caller = Caller::new(Some(token), vec![header::AUTHORIZATION]);
        assert!(shared(&caller, "authorization", "Bearer secret").starts_with("token:"));
    }
}
