//! The versions that an answer was made from, written into the answer itself.
//!
//! An answer ends with `[read Warsaw#28@v3, Warsaw#1@v1]`. So the demo can check every answer that the
//! cache serves against the documents' current versions, without asking the cache.

use std::fmt;

use wellspring::entry::{Dependency, DocumentVersion};

/// The version of a document; the first is 1, and each edit raises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Version(u64);

impl Version {
    /// The version of a document that has not been edited.
    pub(crate) const FIRST: Self = Self(1);

    /// The version with this number.
    #[cfg(test)]
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    /// The version after this one.
    #[must_use]
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl From<Version> for DocumentVersion {
    fn from(version: Version) -> Self {
        Self::new(version.to_string())
    }
}

/// A document that an answer was made from, at the version that was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DocumentRead {
    /// The document's id.
    pub(crate) id: String,
    /// The version that was read.
    pub(crate) version: Version,
}

impl DocumentRead {
    /// The dependency that the answer is filled with.
    pub(crate) fn dependency(&self) -> Dependency {
        Dependency::document_version(&*self.id, self.version)
    }
}

/// `answer` with the marker for what was read. Document ids of the demo contain neither `,` nor `]`.
pub(super) fn mark(answer: &str, read: &[DocumentRead]) -> String {
    let read: Vec<String> = read.iter().map(|read| format!("{}@{}", read.id, read.version)).collect();
    format!("{answer}\n[read {}]", read.join(", "))
}

/// What was read according to the marker at the end of `answer`; none if there is no valid marker.
pub(crate) fn parse(answer: &str) -> Option<Vec<DocumentRead>> {
    let last = answer.rsplit('\n').next()?;
    let read = last.strip_prefix("[read ")?.strip_suffix(']')?;
    read.split(", ")
        .map(|read| {
            let (id, version) = read.rsplit_once("@v")?;
            Some(DocumentRead { id: id.to_owned(), version: Version(version.parse().ok()?) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_says_what_was_read() {
        let read = [("Warsaw#28", 3), ("odd@v2#1", 1)]
            .map(|(id, version)| DocumentRead { id: id.into(), version: Version::new(version) });
        let answer = mark("The gmina.\n[read Warsaw#28@v1]", &read);
        assert!(answer.ends_with("\n[read Warsaw#28@v3, odd@v2#1@v1]"));
        assert_eq!(parse(&answer).unwrap(), read);
    }

    #[test]
    fn other_endings_are_no_markers() {
        for answer in
            ["", "The gmina.", "[read a@v1] or so", "[read a]", "[read a@vx]", "[read ]", "x [read a@v1]"]
        {
            assert_eq!(parse(answer), None, "{answer}");
        }
    }

    #[test]
    fn a_read_is_a_dependency_on_its_version() {
        let read = DocumentRead { id: "Warsaw#28".into(), version: Version::FIRST.next() };
        assert_eq!(read.dependency(), Dependency::document_version("Warsaw#28", "v2"));
    }
}
