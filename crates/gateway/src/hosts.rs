//! Whether a request was meant for this gateway.
//!
//! A page in a browser can make the browser send requests to any address, including this machine's. It can do
//! so under the page's own origin, or, once the page's name was made to point here, as if both were of one
//! origin. Both cases can be detected: either `Host` is a name that the gateway does not have, or `Origin`
//! belongs to another page. So a caller that is trusted without a token must call the gateway by an address,
//! as `localhost`, or by a name of `server.hosts`. A token is proof enough, because no browser adds it by
//! itself.

use std::net::IpAddr;

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::cors::Origin;
use crate::error::Problem;

/// Checks the name by which `headers` and `uri` call the gateway, and the origin. `names` are the names that
/// the gateway has, and pages of `origins` may call it.
///
/// # Errors
///
/// 403 if it is called by a name that it does not have, or from a page that is not its own.
pub(super) fn check(
    names: &[String],
    origins: &[Origin],
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let is_name = |host: &str| names.iter().any(|name| name.eq_ignore_ascii_case(host));
    let called = called(uri, headers).ok_or_else(|| refused("the request does not name a host"))?;
    let host = bare(&called);
    let is_address = host.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost");
    if !is_address && !is_name(host) {
        return Err(refused(
            "the gateway does not accept this host name: add it to server.hosts, or send a token",
        ));
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    if origins.iter().any(|known| known.is(origin)) {
        return Ok(());
    }
    let origin =
        origin.to_str().ok().and_then(|origin| origin.split_once("://")?.1.parse::<Authority>().ok());
    match origin {
        Some(origin) if origin.as_str().eq_ignore_ascii_case(called.as_str()) || is_name(bare(&origin)) => {
            Ok(())
        }
        _ => Err(refused(
            "the request comes from a page of another origin: add its host to server.hosts, or send a token",
        )),
    }
}

/// The host that the request is for; none if the request does not name one, or names two.
fn called(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    if let Some(authority) = uri.authority() {
        return Some(authority.clone());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?.parse().ok()?;
    hosts.next().is_none().then_some(host)
}

/// The host without a port, brackets or the trailing dot of the root.
fn bare(authority: &Authority) -> &str {
    let host = authority.host();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host)
}

fn refused(message: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "not_for_this_host", message)
}

/// Refuses bodies that are not declared as JSON: a page may send text anywhere, but JSON only where it is
/// allowed to. Also refuses those that would be ignored, because of the method.
pub(super) async fn only_json(request: Request, next: Next) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let has_body = !body.is_end_stream();
    if has_body && matches!(head.method, Method::GET | Method::HEAD | Method::DELETE) {
        return Err(Problem::invalid(format!(
            "the body of a {} is not read: put what the route takes into the query",
            head.method
        )));
    }
    if has_body && head.method != Method::OPTIONS && !is_json(&head) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "no_json",
            "the body is not declared as JSON: send it with the header Content-Type: application/json",
        ));
    }
    Ok(next.run(Request::from_parts(head, body)).await)
}

fn is_json(head: &Parts) -> bool {
    let media_type =
        head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_let_in(host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        check(&["gateway.example".into()], &[], &"/x".parse().unwrap(), &headers).is_ok()
    }

    #[test]
    fn only_addresses_and_names_of_its_own_are_let_in() {
        for host in [
            "127.0.0.1:7332",
            "[::1]:7332",
            "localhost",
            "LOCALHOST:1",
            "10.1.2.3",
            "gateway.example:80",
            "Gateway.Example.",
        ] {
            assert!(is_let_in(host, None), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:7332",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "127.0.0.1@evil.example",
            "",
            "a b",
        ] {
            assert!(!is_let_in(host, None), "{host}");
        }
    }

    #[test]
    fn only_pages_of_its_own_are_let_in() {
        let here = "127.0.0.1:7332";
        assert!(is_let_in(here, Some("http://127.0.0.1:7332")));
        assert!(is_let_in(here, Some("https://gateway.example")));
        for origin in [
            "http://evil.example",
            "null",
            "http://127.0.0.1:3000",
            "http://6.6.6.6",
            "http://localhost:7332",
            "",
            "file://",
        ] {
            assert!(!is_let_in(here, Some(origin)), "{origin}");
        }
    }
}
