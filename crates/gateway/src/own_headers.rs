//! Headers that are meant for the gateway: those that begin with `wellspring-`.
//!
//! An unknown one is treated as a misspelt name, because its sender expects it to have an effect. As with
//! unknown fields, the error suggests the nearest known name.

use axum::http::{HeaderMap, HeaderName};

use crate::error::Problem;
use crate::listener::Listener;
use crate::{Options, Sharing, header_fields};

/// The prefix of their names.
const PREFIX: &str = "wellspring-";
/// Names that are always known, besides those that stand for fields. Some of them may appear in a request
/// that was made from a response.
const KNOWN: [&str; 6] = [
    "wellspring-token",
    "wellspring-share",
    "wellspring-tier",
    "wellspring-similarity",
    "wellspring-entry",
    "wellspring-warning",
];

/// The names that are known whatever the configuration.
pub(super) fn known() -> impl Iterator<Item = &'static str> {
    KNOWN.into_iter().chain(header_fields::names())
}

/// Checks the names of `headers`.
///
/// # Errors
///
/// 400 if one begins with `wellspring-` and is not known, or stands for a field where no field is read from
/// headers.
pub(super) fn check(options: &Options, listener: Listener, headers: &HeaderMap) -> Result<(), Problem> {
    let shared_by = match &options.sharing {
        Sharing::Header(name) => Some(name),
        Sharing::Key | Sharing::Shared => None,
    };
    let is_known = |name: &HeaderName| known().any(|known| known == name.as_str()) || shared_by == Some(name);
    let unknown = headers.keys().find(|name| name.as_str().starts_with(PREFIX) && !is_known(name));
    let Some(unknown) = unknown else { return heard(listener, headers) };
    let far = |known: &&str| strsim::levenshtein(known, unknown.as_str());
    let nearest = known().min_by_key(far).unwrap_or_default();
    Err(Problem::invalid(format!("unknown header `{unknown}`, did you mean `{nearest}`?")))
}

/// Refuses headers in place of fields for all listeners but the public one, which serve those who report
/// changes and those who look at all corpora.
fn heard(listener: Listener, headers: &HeaderMap) -> Result<(), Problem> {
    if listener == Listener::Public {
        return Ok(());
    }
    match headers.keys().find(|name| header_fields::names().any(|known| known == name.as_str())) {
        Some(name) => Err(Problem::invalid(format!(
            "the header `{name}` is not read at this address: use the body or the query"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_known_gets_the_nearest_as_a_hint() {
        let check = |options: &Options, name: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, "x".parse().unwrap());
            check(options, Listener::Public, &headers).map_err(|problem| format!("{problem:?}"))
        };
        let mut options = Options::default();
        for name in known().chain(["x-wellspring", "wellspring"]) {
            assert!(check(&options, name).is_ok(), "{name}");
        }
        let error = check(&options, "wellspring-qestion").unwrap_err();
        assert!(error.contains("did you mean `wellspring-question`?"), "{error}");
        assert!(check(&options, "wellspring-team").is_err());
        options.sharing = Sharing::Header(HeaderName::from_static("wellspring-team"));
        assert!(check(&options, "wellspring-team").is_ok());
    }
}
