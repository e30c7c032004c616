//! Where the gateway's own key is sent. With a key of their own, callers reach everything below the base URL.
//! With the gateway's key, they reach only what is meant for them, and nothing that reads or changes other
//! things in the account.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use axum::http::Method;
use wellspring::error::{Error, ErrorKind, Result};

use super::path;
use crate::vendor;

/// The routes that the gateway answers itself, and those that report models and counts; OpenAI's also where
/// Azure has them.
const BY_DEFAULT: &str = "POST:chat/completions POST:completions POST:responses GET:responses/* POST:responses/* \
    DELETE:responses/* POST:embeddings GET:models GET:models/* POST:moderations POST:messages \
    POST:messages/count_tokens";

static DEFAULTS: LazyLock<Vec<PathPattern>> =
    LazyLock::new(|| BY_DEFAULT.split_whitespace().filter_map(|text| text.parse().ok()).collect());

/// Whether the gateway's own key is sent with `method` to `path`, whatever the configuration.
pub(super) fn is_lent(method: &Method, path: &str) -> bool {
    let azure = path::azure(path);
    let path = &path[azure.len()..];
    let is_there = azure.is_empty() || vendor::first(path) != "messages";
    is_there && DEFAULTS.iter().any(|pattern| pattern.matches(method, path))
}

/// Paths below an upstream's base URL, as `[METHOD:]PATH`. A `*` matches one segment, and at the end one or
/// more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    method: Option<Method>,
    segments: Vec<String>,
}

impl PathPattern {
    /// Whether a request with `method` to `path` matches; `path` begins with a slash and has no query. The
    /// path is compared as it is written: a path with unnecessary encoding does not match.
    pub(super) fn matches(&self, method: &Method, path: &str) -> bool {
        let asked: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let is_long_enough = match self.segments.last().map(String::as_str) {
            Some("*") => asked.len() >= self.segments.len(),
            _ => asked.len() == self.segments.len(),
        };
        is_long_enough
            && self.method.as_ref().is_none_or(|own| own == method)
            && self.segments.iter().zip(asked).all(|(own, asked)| own == "*" || own == asked)
    }
}

impl FromStr for PathPattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        const METHODS: [Method; 6] =
            [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];
        let method = text.split_once(':').and_then(|(name, path)| {
            Some((METHODS.into_iter().find(|method| method.as_str() == name)?, path))
        });
        let (method, path) = method.map_or((None, text), |(method, path)| (Some(method), path));
        let segments: Vec<String> = path.trim_start_matches('/').split('/').map(str::to_owned).collect();
        let is_plain = |segment: &String| {
            segment == "*"
                || !segment.is_empty()
                    && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~:".contains(&b))
                    && !segment.bytes().all(|b| b == b'.')
        };
        if segments.first().is_some_and(|first| first == "v1") || !segments.iter().all(is_plain) {
            let message = format!(
                "not a path below the base URL such as \"audio/*\" or \"POST:files\", without the version: {text:?}"
            );
            return Err(Error::new(ErrorKind::Config, message));
        }
        Ok(Self { method, segments })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(method) = &self.method {
            write!(f, "{method}:")?;
        }
        f.write_str(&self.segments.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_key_goes_where_questions_go() {
        assert_eq!(DEFAULTS.len(), BY_DEFAULT.split_whitespace().count());
        for (method, path) in [
            (Method::POST, "/chat/completions"),
            (Method::GET, "/models/org%2Fname"),
            (Method::DELETE, "/responses/r_1"),
            (Method::POST, "/openai/deployments/d/embeddings"),
            (Method::POST, "/openai/v1/chat/completions"),
            (Method::GET, "/openai/v1/responses/r_1"),
            (Method::POST, "/openai/responses"),
        ] {
            assert!(is_lent(&method, path), "{method} {path}");
        }
        for (method, path) in [
            (Method::GET, "/chat/completions"),
            (Method::DELETE, "/models/ft:x"),
            (Method::GET, "/files"),
            (Method::PUT, "/responses/r_1"),
            (Method::POST, "/chat%2Fcompletions"),
            (Method::POST, "/openai/deployments/d/images/generations"),
            (Method::POST, "/openai/deployments/d/e/embeddings"),
            (Method::POST, "/openai/v1/files"),
            (Method::POST, "/openai/v1/messages"),
            (Method::GET, "/openai/v1"),
            (Method::POST, "/openai/v1/openai/v1/responses"),
            (Method::GET, "/models;x"),
            (Method::GET, "/Models"),
        ] {
            assert!(!is_lent(&method, path), "{method} {path}");
        }
    }

    #[test]
    fn patterns_read_back_as_they_are_written() {
        for text in ["*", "audio/*", "POST:files", "a/*/b", "models/ft:a:b"] {
            assert_eq!(text.parse::<PathPattern>().unwrap().to_string(), text);
        }
        for text in ["", "/", "a//b", "../x", "a/..", "v1/files", "a?b", "a%2fb", "post:files/", "a b", "a*"]
        {
            assert!(text.parse::<PathPattern>().is_err(), "{text}");
        }
        let everything: PathPattern = "*".parse().unwrap();
        assert!(everything.matches(&Method::PUT, "/a/b"));
        let below: PathPattern = "audio/*".parse().unwrap();
        assert!(below.matches(&Method::POST, "/audio/speech") && !below.matches(&Method::POST, "/audio"));
    }
}
