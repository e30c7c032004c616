//! The path of a request to an upstream, checked segment by segment.
//!
//! An upstream is asked only below its base URL, because the gateway's own key goes with the request. So a
//! segment is refused, however it is encoded, if any reader on the way could take it for a step up or for no
//! segment at all.

use std::borrow::Cow;

use axum::http::Uri;
use percent_encoding::percent_decode;

use crate::error::Problem;
use crate::vendor::without_version;

/// How many times a segment may be encoded on top of itself. A segment that needs more is refused.
const MOST_DECODINGS: usize = 4;

/// What follows the version in the path of `uri`, with the query.
///
/// # Errors
///
/// 400 if a segment is empty or a dot segment, or holds a backslash or a control character, encoded or not.
pub(super) fn below_version(uri: &Uri) -> Result<String, Problem> {
    let path = without_version(uri.path());
    let is_safe = path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_safe));
    if !is_safe {
        return Err(Problem::invalid(
            "the path has a segment that is empty, a dot segment, or holds a backslash or a control character",
        ));
    }
    Ok(match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    })
}

/// What `path` has before the API's own path in Azure: `/openai/deployments/NAME`, `/openai/v1` or `/openai`;
/// else empty.
pub(super) fn azure(path: &str) -> &str {
    const DEPLOYMENTS: &str = "/openai/deployments/";
    let deployment = path.strip_prefix(DEPLOYMENTS).and_then(|rest| rest.find('/'));
    if let Some(end) = deployment {
        return &path[..DEPLOYMENTS.len() + end];
    }
    let is_before = |base: &&str| path.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
    ["/openai/v1", "/openai"].into_iter().find(is_before).unwrap_or_default()
}

/// Whether `segment` is one name, or several separated by encoded slashes, however often it is decoded.
fn is_safe(segment: &str) -> bool {
    let mut bytes = Cow::Borrowed(segment.as_bytes());
    for _ in 0..=MOST_DECODINGS {
        let decoded = match Cow::from(percent_decode(&bytes)) {
            Cow::Borrowed(_) => {
                return std::str::from_utf8(&bytes).is_ok_and(|text| text.split('/').all(is_name));
            }
            Cow::Owned(decoded) => decoded,
        };
        bytes = decoded.into();
    }
    false
}

fn is_name(name: &str) -> bool {
    // Some servers cut off everything after a semicolon before they look for dot segments.
    let before = name.split(';').next().unwrap_or_default();
    !before.chars().all(|c| c == '.' || c.is_whitespace())
        && !name.contains(|c: char| c == '\\' || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(path: &str) -> Option<String> {
        below_version(&path.parse().unwrap()).ok()
    }

    #[test]
    fn ids_of_all_kinds_pass_as_they_stand() {
        for path in [
            "/models/gpt-4o",
            "/models/org%2Fname",
            "/models/ft:a:b::c",
            "/responses/r_1/cancel",
            "/models/a..b",
        ] {
            assert_eq!(below(&format!("/v1{path}")).as_deref(), Some(path));
        }
        assert_eq!(below("/v1/models?limit=1&after=../x").as_deref(), Some("/models?limit=1&after=../x"));
    }

    #[test]
    fn no_segment_leads_elsewhere() {
        for segment in [
            "..",
            ".",
            "",
            "%2e%2e",
            ".%2E",
            "%252e%252e",
            "%25252e.",
            "..%2fx",
            "x%2F..",
            "x%252f..%252fy",
            "..\\x",
            "%5c..",
            "x%5Cy",
            "..;",
            "..;a=b",
            "%2e%2e%3bx",
            "...",
            "%00",
            "a%0d%0ab",
            "%c0%ae%c0%ae",
            "x%2f%2fy",
            ".%20",
            "%2525252525252e",
        ] {
            for path in [format!("/v1/models/{segment}"), format!("/v1/responses/{segment}/x")] {
                assert_eq!(below(&path), None, "{path}");
            }
        }
        assert_eq!(below("/v1models"), Some("/v1models".into()));
    }

    #[test]
    fn azure_s_paths_begin_in_three_ways() {
        for (start, rest) in [
            ("/openai/deployments/d", "/chat/completions"),
            ("/openai/v1", "/responses"),
            ("/openai", "/responses"),
            ("/openai", "/v1x/responses"),
            ("/openai", "/deployments/d"),
            ("", "/chat/completions"),
            ("", "/openai"),
            ("", "/openaix/responses"),
        ] {
            assert_eq!(azure(&format!("{start}{rest}")), start, "{start}{rest}");
        }
    }
}
