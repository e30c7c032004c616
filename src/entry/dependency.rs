//! What an answer was derived from or belongs to, and the names that this gives it.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::key::{DependencyId, EntryId, Namespace, check_name};

/// A version, revision or content hash of a document. Two versions are equal or not; they have no order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocumentVersion(String);

impl DocumentVersion {
    /// A version, in whatever spelling the source of the documents uses.
    pub fn new(version: impl Into<String>) -> Self {
        Self(version.into())
    }

    /// The version as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for DocumentVersion {
    fn from(version: T) -> Self {
        Self::new(version)
    }
}

/// Something that an answer was derived from or belongs to: when it changes, the answer is gone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Dependency {
    /// A document as a whole, with the version that was read if it is known.
    Document {
        /// The document's id, unique in its corpus.
        id: String,
        /// The version that the answer was derived from. A fill is refused if the ingestion hook has
        /// registered another one.
        version: Option<DocumentVersion>,
    },
    /// One chunk of a document. A change of the document that names its changed chunks spares the
    /// answers that depend on the others only.
    Chunk {
        /// The document that the chunk belongs to.
        document: String,
        /// The hash of the chunk's content.
        hash: String,
    },
    /// A set of documents; a document that joins it can change the answer.
    Collection(String),
    /// A free label.
    Tag(String),
    /// A level of the hierarchy of namespaces.
    Namespace(Namespace),
}

impl Dependency {
    /// A document of unknown version.
    pub fn document(id: impl Into<String>) -> Self {
        Self::Document { id: id.into(), version: None }
    }

    /// A document of a known version.
    pub fn document_version(id: impl Into<String>, version: impl Into<DocumentVersion>) -> Self {
        Self::Document { id: id.into(), version: Some(version.into()) }
    }

    /// A chunk of a document.
    pub fn chunk(document: impl Into<String>, hash: impl Into<String>) -> Self {
        Self::Chunk { document: document.into(), hash: hash.into() }
    }

    /// Adds the ids that an entry with this dependency carries.
    ///
    /// An answer that depends on a *whole* document carries the id [`any_change_of`]; one that depends
    /// on a chunk carries the chunk's id and [`whole_change_of`]. So a change that names its chunks
    /// ends the first and those with a changed chunk, and a change that names none ends them all.
    pub(super) fn collect_ids(&self, ids: &mut Vec<DependencyId>) {
        match self {
            Self::Document { id, .. } => ids.push(any_change_of(id)),
            Self::Chunk { document, hash } => ids.extend([chunk(document, hash), whole_change_of(document)]),
            Self::Collection(name) => ids.push(collection(name)),
            Self::Tag(name) => ids.push(tag(name)),
            Self::Namespace(path) => ids.extend(path.prefixes().map(namespace)),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Document { id, version } => {
                check_name("document id", id)?;
                version.as_ref().map_or(Ok(()), |version| check_name("document version", version.as_str()))
            }
            Self::Chunk { document, hash } => {
                check_name("document id", document)?;
                check_name("chunk hash", hash)
            }
            Self::Collection(name) => check_name("collection", name),
            Self::Tag(name) => check_name("tag", name),
            Self::Namespace(_) => Ok(()),
        }
    }
}

pub(crate) fn any_change_of(document: &str) -> DependencyId {
    DependencyId::of("document", &[document])
}

pub(crate) fn whole_change_of(document: &str) -> DependencyId {
    DependencyId::of("document.whole", &[document])
}

pub(crate) fn chunk(document: &str, hash: &str) -> DependencyId {
    DependencyId::of("chunk", &[document, hash])
}

pub(crate) fn collection(name: &str) -> DependencyId {
    DependencyId::of("collection", &[name])
}

pub(crate) fn tag(name: &str) -> DependencyId {
    DependencyId::of("tag", &[name])
}

pub(crate) fn namespace(path: &str) -> DependencyId {
    DependencyId::of("namespace", &[path])
}

/// The id that every entry carries for itself, so that removing one entry is an invalidation like any
/// other and refuses the fills that were on their way.
pub(crate) fn itself(entry: EntryId) -> DependencyId {
    DependencyId::from_bytes(*entry.as_bytes())
}
