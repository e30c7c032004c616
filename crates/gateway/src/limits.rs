//! What one request, one caller, and all callers together may use of the gateway; a request for more gets a
//! clear 4xx.

use std::time::Duration;

use axum::http::StatusCode;

use crate::error::Problem;

/// The size in bytes from which a body is processed off the threads that serve requests: about a millisecond
/// of work.
pub(super) const LARGE: usize = 64 << 10;

/// The limits on requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestLimits {
    /// The longest body of a request, in bytes; 16 MiB by default.
    pub body_bytes: usize,
    /// The longest body of a webhook, in bytes; 2 MiB by default.
    pub webhook_bytes: usize,
    /// The most values and names in a JSON body; 500,000 by default. A number that is not a plain integer
    /// counts as three.
    pub nodes: usize,
    /// The longest question that a caller names, in bytes; 16 KiB by default. A longer unnamed question is
    /// not looked up.
    pub question_bytes: usize,
    /// The deepest nesting of arrays and objects in a body; 64 by default, which is the most.
    pub depth: usize,
    /// The most sources of one answer; 200 by default.
    pub sources: usize,
    /// How many requests one caller may send in a second, 0 for any number; 0 by default. A caller is
    /// identified by its token, or without one by its address.
    pub rate_per_second: u32,
    /// How many changes one caller without the scope `admin` may report in an hour, 0 for any number; 250,000
    /// by default.
    pub changes_per_hour: u32,
    /// How many corpora one caller without the scope `invalidate` may use for the first time in an hour, 0
    /// for any number; 1,000 by default.
    pub corpora_per_hour: u32,
    /// How many requests of callers are served at a time; 4,096 by default.
    pub concurrency: usize,
    /// How long a request's body may take to arrive; 1 minute by default.
    pub body_timeout: Duration,
    /// How many connections callers may have; 8,192 by default. The limit of open files may lower it.
    /// Administration has connections of its own.
    pub connections: usize,
    /// How long a client may take to send the first bytes on a connection; 10 seconds by default.
    pub open_timeout: Duration,
    /// How long a client may go without taking any of what it is sent; 30 seconds by default.
    pub write_timeout: Duration,
    /// The longest response of an upstream that is kept, in bytes as received; 1 MiB by default.
    pub recording_bytes: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            webhook_bytes: 2 << 20,
            nodes: 500_000,
            question_bytes: 16 << 10,
            depth: 64,
            sources: 200,
            rate_per_second: 0,
            changes_per_hour: 250_000,
            corpora_per_hour: 1_000,
            concurrency: 4_096,
            body_timeout: Duration::from_mins(1),
            connections: 8_192,
            open_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            recording_bytes: 1 << 20,
        }
    }
}

impl RequestLimits {
    /// Checks how deep the JSON in `body` is nested and how many values and names it holds. This happens
    /// before the body is parsed, because a parsed value takes up to a hundred times as much memory as the
    /// two bytes that it may be written in. A number that is more than a plain integer counts as three,
    /// because it may be kept as an object with its text.
    pub(super) fn check_json(&self, body: &[u8]) -> Result<(), Problem> {
        let (mut depth, mut nodes) = (0_usize, 1_usize);
        let mut bytes = body.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => skip_string(&mut bytes),
                b'-' | b'0'..=b'9' if !skip_number(*byte, &mut bytes) => nodes += 2,
                b'[' | b'{' => {
                    depth += 1;
                    nodes += 1;
                }
                b']' | b'}' => depth = depth.saturating_sub(1),
                b',' | b':' => nodes += 1,
                _ => {}
            }
            if depth > self.depth {
                return Err(self.too_deep());
            }
            if nodes > self.nodes {
                let message = format!("the body holds more than {} values and names", self.nodes);
                return Err(Problem::new(StatusCode::BAD_REQUEST, "body_too_complex", message));
            }
        }
        Ok(())
    }

    fn too_deep(&self) -> Problem {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "body_too_deep",
            format!("the body is nested deeper than {} levels", self.depth),
        )
    }
}

/// Skips to the end of a number whose first byte `first` was already read; returns whether it is a plain
/// integer.
fn skip_number(first: u8, bytes: &mut std::slice::Iter<'_, u8>) -> bool {
    let rest = bytes.as_slice();
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let (part, after) = rest.split_at(rest.iter().take_while(|byte| is_part(byte)).count());
    *bytes = after.iter();
    part.len() < 18 && part.iter().all(u8::is_ascii_digit) && (first != b'-' || part.first() != Some(&b'0'))
}

/// Skips to the end of a string whose opening quote was already read.
fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_and_complex_bodies_are_refused_before_they_are_parsed() {
        let limits = RequestLimits { depth: 2, nodes: 5, ..RequestLimits::default() };
        let is_refused = |body: &str| limits.check_json(body.as_bytes()).is_err();
        for fine in [
            "",
            "1",
            "[[1]]",
            r#"{"a":1,"b":2}"#,
            r#"["[[[[,,,,,,", "\"[[[["]"#,
            "[1,-2,30,4]",
            "[[],[]]",
            "[1,2.5]",
        ] {
            assert!(!is_refused(fine), "{fine}");
        }
        for bad in [
            "[[[1]]]",
            "[[[",
            r#"{"a":{"b":[]}}"#,
            "[1,2,3,4,5]",
            "[1.00,-0]",
            "[1,1e5,1]",
            "[1,1,1234567890123456789]",
            r#"{"a":1,"b":2,"c":3}"#,
            "[\"a\\\\\",1,2,3,4]",
        ] {
            assert!(is_refused(bad), "{bad}");
        }
    }
}
