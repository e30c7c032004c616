//! The two files of a stream: cached questions `{"id","q"}`, and queries `{"q","expect": id or null}`, with
//! an optional `domain` that names their subject.

use std::collections::HashMap;

use serde::Deserialize;
use wellspring::error::{Error, ErrorKind, Result};
use wellspring::key::normalise;

/// A question in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// Identifies it; unique in its file.
    pub id: String,
    /// The question, normalised.
    pub question: String,
}

/// A question asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The question, normalised.
    pub question: String,
    /// The position of the cached question whose answer is right; none if no answer is.
    pub expect: Option<usize>,
    /// Its subject, if the file names one.
    pub domain: Option<String>,
}

#[derive(Deserialize)]
struct CachedLine {
    id: Id,
    q: String,
}

#[derive(Deserialize)]
struct QueryLine {
    q: String,
    expect: Option<Id>,
    domain: Option<String>,
}

/// An id; some files write it as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(u64),
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        match id {
            Id::Text(text) => text,
            Id::Number(number) => number.to_string(),
        }
    }
}

/// Reads the cached questions.
///
/// # Errors
///
/// `InvalidInput` that names the line.
pub fn cached(text: &str) -> Result<Vec<Cached>> {
    let mut seen = HashMap::new();
    lines(text)
        .map(|(number, line)| {
            let CachedLine { id, q } = read(number, line)?;
            let id = String::from(id);
            if let Some(first) = seen.insert(id.clone(), number) {
                return Err(at(number, &format!("the id of line {first} is repeated")));
            }
            Ok(Cached { id, question: question(number, "q", &q)? })
        })
        .collect()
}

/// Reads the queries, whose answers are among `cached`.
///
/// # Errors
///
/// `InvalidInput` that names the line.
pub fn queries(text: &str, cached: &[Cached]) -> Result<Vec<Query>> {
    let places: HashMap<&str, usize> =
        cached.iter().enumerate().map(|(at, entry)| (&*entry.id, at)).collect();
    lines(text)
        .map(|(number, line)| {
            let QueryLine { q, expect, domain } = read(number, line)?;
            let place = |id: Id| {
                let id = String::from(id);
                places.get(&*id).copied().ok_or_else(|| at(number, "`expect` names no cached question"))
            };
            Ok(Query { question: question(number, "q", &q)?, expect: expect.map(place).transpose()?, domain })
        })
        .collect()
}

/// The lines that are not blank, each with its number from 1.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty())
}

/// A line as JSON of this form.
pub(super) fn read<'a, T: Deserialize<'a>>(number: usize, line: &'a str) -> Result<T> {
    serde_json::from_str(line).map_err(|error| {
        // The message of serde may quote the question; the column does not.
        at(number, &format!("not a line of this file (column {})", error.column())).with_source(error)
    })
}

/// The question in a field, normalised.
pub(super) fn question(number: usize, field: &str, text: &str) -> Result<String> {
    normalise(text).map_err(|error| at(number, &format!("field `{field}`: {error}")))
}

/// An error about a line.
pub(super) fn at(number: usize, what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("line {number}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_join_the_two_files() {
        let cached = cached("{\"id\":\"a\",\"q\":\"one  \"}\n\n{\"id\":7,\"q\":\"two\"}").unwrap();
        assert_eq!((&*cached[0].question, &*cached[1].id), ("one", "7"));
        let queries = queries(
            "{\"q\":\"x\",\"expect\":\"7\",\"domain\":\"law\"}\n{\"q\":\"y\",\"expect\":null}\n{\"q\":\"z\",\"expect\":7}",
            &cached,
        )
        .unwrap();
        assert_eq!(queries.iter().map(|q| q.expect).collect::<Vec<_>>(), [Some(1), None, Some(1)]);
        assert_eq!(
            queries.iter().map(|q| q.domain.as_deref()).collect::<Vec<_>>(),
            [Some("law"), None, None]
        );
    }

    #[test]
    fn faults_name_their_line() {
        let one = cached("{\"id\":\"a\",\"q\":\"one\"}").unwrap();
        for (error, message) in [
            (
                cached("{\"id\":\"a\",\"q\":\"x\"}\n{\"id\":\"a\",\"q\":\"y\"}").unwrap_err(),
                "line 2: the id of line 1 is repeated",
            ),
            (cached("{\"q\":\"x\"}").unwrap_err(), "line 1: not a line of this file (column 9)"),
            (cached("{\"id\":1,\"q\":\" \"}").unwrap_err(), "line 1: field `q`: question is empty"),
            (
                queries("{\"q\":\"x\",\"expect\":\"b\"}", &one).unwrap_err(),
                "line 1: `expect` names no cached question",
            ),
        ] {
            assert_eq!(error.to_string(), message);
            assert!(error.is_invalid_input());
        }
    }
}
