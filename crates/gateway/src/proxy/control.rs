//! `Cache-Control` of a request (RFC 9111, 5.2.1).

use std::time::Duration;

use axum::http::{HeaderMap, header};

/// What the caller asks of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Control {
    /// Neither look for an answer nor store one.
    pub(super) no_store: bool,
    /// Do not serve what is stored, but store the new answer.
    pub(super) no_cache: bool,
    /// Serve what is stored, or nothing.
    pub(super) only_if_cached: bool,
    /// The maximum age of an answer that is served.
    pub(super) max_age: Option<Duration>,
    /// How much longer an answer must still live.
    pub(super) min_fresh: Option<Duration>,
}

impl Control {
    /// Unknown and invalid directives are ignored, as the standard requires.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        let values = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
        for directive in values.flat_map(|value| value.split(',')) {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let seconds = || value.trim().trim_matches('"').parse().ok().map(Duration::from_secs);
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" => control.no_store = true,
                "no-cache" => control.no_cache = true,
                "only-if-cached" => control.only_if_cached = true,
                "max-age" => control.max_age = seconds(),
                "min-fresh" => control.min_fresh = seconds(),
                _ => {}
            }
        }
        // The form for HTTP/1.0 caches.
        if !headers.contains_key(header::CACHE_CONTROL) {
            control.no_cache = headers.get(header::PRAGMA).is_some_and(|value| value == "no-cache");
        }
        control
    }

    /// Whether the caller does not accept every answer that is fresh.
    pub(super) fn limits_age(&self) -> bool {
        self.max_age.is_some() || self.min_fresh.is_some()
    }

    /// Whether an answer of this age, with this time left, is acceptable to the caller.
    pub(super) fn accepts(&self, age: Duration, left: Duration) -> bool {
        self.max_age.is_none_or(|most| age.as_secs() <= most.as_secs() && !most.is_zero())
            && self.min_fresh.is_none_or(|least| left >= least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_in_any_case_and_number() {
        let mut headers = HeaderMap::new();
        headers.append(header::CACHE_CONTROL, "No-Cache, max-age=\"30\"".parse().unwrap());
        headers.append(header::CACHE_CONTROL, "only-if-cached,unknown=1, min-fresh=x".parse().unwrap());
        let control = Control::of(&headers);
        assert!(control.no_cache && control.only_if_cached && !control.no_store);
        assert_eq!(control.max_age, Some(Duration::from_secs(30)));
        assert!(control.accepts(Duration::from_millis(30_900), Duration::ZERO));
        assert!(!control.accepts(Duration::from_secs(31), Duration::ZERO));
    }
}
