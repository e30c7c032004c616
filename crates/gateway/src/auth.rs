//! Who is calling, and what they may do: bearer tokens, kept as SHA-256 hashes and compared in constant time.
//!
//! A token is sent as `Wellspring-Token`, or in place of the key that a client library asks for, in any
//! header for keys and with any scheme; then the gateway's own key goes upstream.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use wellspring::error::{Error, ErrorKind, Result};

use crate::error::Problem;
use crate::listener::Listener;
use crate::{Anonymous, Gateway, hosts, own_headers};

/// The header that carries a token without getting in the way of the upstream's key.
pub const TOKEN_HEADER: HeaderName = HeaderName::from_static("wellspring-token");
/// The header in which Anthropic's clients send their key.
pub const API_KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");

/// The headers in which callers identify themselves to the upstream, or to another gateway in front of it.
pub(crate) const KEYS: [HeaderName; 10] = [
    header::AUTHORIZATION,
    API_KEY_HEADER,
    HeaderName::from_static("api-key"),
    header::COOKIE,
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("ocp-apim-subscription-key"),
    HeaderName::from_static("cf-aig-authorization"),
    HeaderName::from_static("x-litellm-api-key"),
    HeaderName::from_static("x-portkey-api-key"),
    HeaderName::from_static("helicone-auth"),
];

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Look answers up.
    Read,
    /// Ask through the proxy and store answers.
    Fill,
    /// Report whether answers were right.
    Feedback,
    /// Report changed documents.
    Invalidate,
    /// Everything.
    Admin,
}

impl FromStr for Permission {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "read" => Ok(Self::Read),
            "fill" => Ok(Self::Fill),
            "feedback" => Ok(Self::Feedback),
            "invalidate" => Ok(Self::Invalidate),
            "admin" => Ok(Self::Admin),
            _ => Err(bad_token("its scopes must be among read, fill, feedback, invalidate, admin")),
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Fill => "fill",
            Self::Feedback => "feedback",
            Self::Invalidate => "invalidate",
            Self::Admin => "admin",
        })
    }
}

/// A token as it is configured: `NAME:SCOPE[,SCOPE…]:SHA256`, the hash in hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    name: Arc<str>,
    permissions: Arc<[Permission]>,
    hash: [u8; 32],
}

impl Token {
    /// The token whose holder shows `secret`.
    pub fn new(name: &str, permissions: &[Permission], secret: &str) -> Self {
        Self { name: name.into(), permissions: permissions.into(), hash: sha256(secret) }
    }

    /// The name, for logs.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.splitn(3, ':');
        let (Some(name), Some(permissions), Some(hex)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad_token("write it as NAME:SCOPES:SHA256"));
        };
        if name.is_empty() {
            return Err(bad_token("its name is empty"));
        }
        let permissions = permissions.split(',').map(str::parse).collect::<Result<Arc<[Permission]>>>()?;
        let mut hash = [0; 32];
        hex::decode_to_slice(hex, &mut hash)
            .map_err(|_| bad_token("its hash is not 64 hexadecimal digits"))?;
        Ok(Self { name: name.into(), permissions, hash })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permissions: Vec<String> = self.permissions.iter().map(ToString::to_string).collect();
        write!(f, "{}:{}:{}", self.name, permissions.join(","), hex::encode(self.hash))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.name)
    }
}

/// The SHA-256 of `secret`: what is kept of keys and tokens.
pub fn sha256(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn bad_token(why: &str) -> Error {
    Error::new(ErrorKind::Config, format!("not a token: {why}"))
}

/// Who is calling; an extension of every request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The token that was shown, if it is known.
    pub token: Option<Token>,
    /// The headers that showed it, or any other token.
    pub shown_in: Vec<HeaderName>,
    /// Who needs no token at this listener.
    anonymous: Anonymous,
    /// Why a caller without one is not trusted this time: the request may come from another site's page.
    refused: Option<Problem>,
}

impl Caller {
    #[cfg(test)]
    pub(super) fn new(token: Option<Token>, shown_in: Vec<HeaderName>) -> Self {
        Self { token, shown_in, anonymous: Anonymous::None, refused: None }
    }

    /// Whether the caller may do what `permission` is needed for.
    pub fn may(&self, permission: Permission) -> bool {
        match &self.token {
            Some(token) => {
                token.permissions.contains(&permission) || token.permissions.contains(&Permission::Admin)
            }
            // What callers report affects all who share with them.
            None => match self.anonymous {
                Anonymous::None => false,
                Anonymous::Proxy => matches!(permission, Permission::Read | Permission::Fill),
                Anonymous::All => true,
            },
        }
    }
}

/// Attaches the [`Caller`] to the request.
pub(super) async fn identify(
    State((gateway, listener)): State<(Gateway, Listener)>,
    mut request: Request,
    next: Next,
) -> std::result::Result<Response, Problem> {
    own_headers::check(gateway.options(), listener, request.headers())?;
    let (options, tokens) = (gateway.options(), gateway.tokens());
    let (shown, shown_in): (Vec<_>, _) = find(&tokens, request.headers()).into_iter().unzip();
    let token = shown.into_iter().next();
    let anonymous = match options.anonymous {
        _ if tokens.is_empty() => Anonymous::All,
        Anonymous::Proxy if listener != Listener::Public => Anonymous::None,
        anonymous => anonymous,
    };
    let is_ambient = token.is_none() && anonymous != Anonymous::None;
    let origins = if listener == Listener::Public { options.cors.as_slice() } else { &[] };
    let checked = hosts::check(&options.hosts, origins, request.uri(), request.headers());
    let refused = checked.err().filter(|_| is_ambient);
    request.extensions_mut().insert(Caller { token, shown_in, anonymous, refused });
    Ok(next.run(request).await)
}

/// The known tokens that `headers` show, and where.
fn find(tokens: &[Token], headers: &HeaderMap) -> Vec<(Token, HeaderName)> {
    if tokens.is_empty() {
        return Vec::new();
    }
    // A browser sends cookies with the requests of any page.
    let places = std::iter::once(TOKEN_HEADER).chain(KEYS).filter(|name| *name != header::COOKIE);
    let known = places.filter_map(|name| {
        let lines = headers.get_all(&name).into_iter();
        let lines = lines.filter_map(|line| std::str::from_utf8(line.as_bytes()).ok());
        let token = lines.flat_map(secrets).find_map(|secret| known(tokens, secret))?;
        Some((token, name))
    });
    known.collect()
}

/// The token whose secret is `shown`.
fn known(tokens: &[Token], shown: &str) -> Option<Token> {
    let shown = sha256(shown);
    // Compares every token, so that the time taken reveals nothing.
    let mut found = None;
    for token in tokens {
        if bool::from(token.hash.ct_eq(&shown)) {
            found = Some(token);
        }
    }
    found.cloned()
}

/// What may be the secret in the line of a header: all of it, or what follows a scheme such as `Bearer`.
fn secrets(line: &str) -> impl Iterator<Item = &str> {
    let line = line.trim();
    let after_scheme = line.split_once([' ', '\t']).map(|(_, secret)| secret.trim());
    std::iter::once(line).chain(after_scheme)
}

/// `routes`, for callers with `permission` only, whose bodies must be declared as JSON.
pub fn requiring(routes: Router<Gateway>, permission: Permission) -> Router<Gateway> {
    requiring_any_body(routes.route_layer(from_fn(hosts::only_json)), permission)
}

/// `routes`, for callers with `permission` only, with bodies that are not for the gateway to read.
pub fn requiring_any_body(routes: Router<Gateway>, permission: Permission) -> Router<Gateway> {
    routes.route_layer(from_fn_with_state(permission, check))
}

async fn check(
    State(permission): State<Permission>,
    request: Request,
    next: Next,
) -> std::result::Result<Response, Problem> {
    match request.extensions().get::<Caller>() {
        Some(Caller { refused: Some(problem), .. }) => Err(problem.clone()),
        Some(caller) if caller.may(permission) => Ok(next.run(request).await),
        Some(Caller { token: Some(_), .. }) => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("this token lacks the scope {permission}"),
        )),
        _ => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "a valid token is needed here, send it as Wellspring-Token",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_what_they_print_and_hide_their_hash() {
        let token = Token::new("ci", &[Permission::Read, Permission::Fill], "secret");
        assert_eq!(token.to_string().parse::<Token>().unwrap(), token);
        assert_eq!(format!("{token:?}"), "Token(ci)");
        for bad in ["", "ci", "ci:read", "ci:read:12", ":read:00", "ci:write:00"] {
            assert!(bad.parse::<Token>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_is_found_in_each_of_its_places() {
        let tokens =
            [Token::new("ci", &[Permission::Fill], "s1"), Token::new("ops", &[Permission::Admin], "s2")];
        let find = |lines: &[(&str, &str)]| -> Vec<String> {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            }
            let found = find(&tokens, &headers).into_iter();
            found.map(|(token, name)| format!("{} in {name}", token.name())).collect()
        };
        assert_eq!(find(&[("wellspring-token", "s1")]), ["ci in wellspring-token"]);
        for value in ["s2", "bearer s2", "Token s2", "Bearer \t s2 "] {
            for name in KEYS.iter().filter(|name| **name != header::COOKIE) {
                assert_eq!(find(&[(name.as_str(), value)]), [format!("ops in {name}")], "{value}");
            }
        }
        assert_eq!(find(&[("authorization", "Bearer s3"), ("authorization", "Bearer s2")]).len(), 1);
        assert_eq!(find(&[("api-key", "s2"), ("wellspring-token", "s1")])[0], "ci in wellspring-token");
        for (name, value) in [("authorization", "Bearer s3"), ("cookie", "s2"), ("x-other", "s2")] {
            assert!(find(&[(name, value)]).is_empty(), "{name}: {value}");
        }
    }

    #[test]
    fn the_admin_scope_allows_everything() {
        let caller = |permissions: &[Permission]| Caller {
            token: Some(Token::new("t", permissions, "s")),
            shown_in: Vec::new(),
            anonymous: Anonymous::All,
            refused: None,
        };
        assert!(caller(&[Permission::Admin]).may(Permission::Invalidate));
        assert!(!caller(&[Permission::Read]).may(Permission::Fill));
    }
}
