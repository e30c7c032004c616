//! Whether a request comes from a sender that knows the secret; compared in constant time.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::Webhook;
use super::deliveries::{Signed, now};
use crate::auth::sha256;
use crate::error::Problem;

/// The header of GitHub's signature.
pub(super) const GITHUB: HeaderName = HeaderName::from_static("x-hub-signature-256");

/// Checks the signature of `body` in the header `name`.
pub(super) fn check(
    webhook: &Webhook,
    name: &HeaderName,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<[u8; 32], Problem> {
    verify(webhook, name, headers, &[body])
}

/// Checks that the header `name` holds a signature, before the body that it may sign is read.
pub(super) fn check_shown(name: &HeaderName, headers: &HeaderMap) -> Result<(), Problem> {
    shown(name, headers).map(|_| ())
}

/// Checks the signature, and the time if one is required; then returns what distinguishes the request from
/// others.
pub(super) fn check_timed(
    webhook: &Webhook,
    name: &HeaderName,
    timestamp: Option<&(HeaderName, Duration)>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<Signed>, Problem> {
    let Some((time_header, tolerance)) = timestamp else {
        return check(webhook, name, headers, body).map(|_| None);
    };
    let time = text(headers, time_header)?;
    let signature = verify(webhook, name, headers, &[time.as_bytes(), b".", body])?;
    let now = now();
    match seconds(time) {
        Some(time) if time.abs_diff(now) <= *tolerance => Ok(Some(Signed { signature, time })),
        Some(_) => Err(refused(format!("{time_header} is more than {} s from now", tolerance.as_secs()))),
        None => Err(refused(format!("{time_header} is not a time in seconds since 1970"))),
    }
}

/// A number of seconds, with up to nine digits after a dot.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b.is_ascii_digit()) => (whole, fraction),
        Some(_) => return None,
        None => (text, "0"),
    };
    if !(1..=9).contains(&fraction.len()) {
        return None;
    }
    Some(Duration::new(whole.parse().ok()?, format!("{fraction:0<9}").parse().ok()?))
}

fn verify(
    webhook: &Webhook,
    name: &HeaderName,
    headers: &HeaderMap,
    signed: &[&[u8]],
) -> Result<[u8; 32], Problem> {
    let signature = shown(name, headers)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(webhook.secret.as_bytes())
        .map_err(|_| refused("the secret cannot sign".into()))?;
    for part in signed {
        mac.update(part);
    }
    mac.verify_slice(&signature)
        .map_err(|_| refused(format!("{name} is not the signature of this request")))?;
    Ok(signature)
}

fn shown(name: &HeaderName, headers: &HeaderMap) -> Result<[u8; 32], Problem> {
    let shown = text(headers, name)?;
    let mut signature = [0; 32];
    hex::decode_to_slice(shown.strip_prefix("sha256=").unwrap_or(shown), &mut signature)
        .map_err(|_| refused(format!("{name} is not an HMAC-SHA256 in hexadecimal")))?;
    Ok(signature)
}

/// Checks the bearer token. Some senders omit the scheme.
pub(super) fn check_bearer(webhook: &Webhook, headers: &HeaderMap) -> Result<(), Problem> {
    let shown = text(headers, &header::AUTHORIZATION)?;
    let shown = match shown.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => shown,
    };
    if bool::from(sha256(shown).ct_eq(&sha256(&webhook.secret))) {
        return Ok(());
    }
    Err(refused("the bearer token is not the webhook's secret".into()))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Problem> {
    let value = headers.get(name).ok_or_else(|| refused(format!("the header {name} is missing")))?;
    value.to_str().map_err(|_| refused(format!("the header {name} is not ASCII")))
}

fn refused(message: String) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_may_have_a_fraction() {
        for (text, nanoseconds) in [("7", 0), ("7.0", 0), ("7.25", 250_000_000), ("7.000000001", 1)] {
            assert_eq!(seconds(text), Some(Duration::new(7, nanoseconds)), "{text}");
        }
        for text in
            ["", ".", "7.", ".5", "7.0000000001", "7.+5", "7.5.5", "-7", "7e3", "18446744073709551616"]
        {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
