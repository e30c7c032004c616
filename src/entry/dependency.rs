//! What an answer was derived from or belongs to, and the names that the answer carries for it.

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::error::Result;
#[cfg(doc)]
use crate::key::MAX_NAME_BYTES;
use crate::key::{DependencyId, EntryId, Namespace, check_name, composed};

/// A version, revision or content hash of a document. Versions are only compared for equality; they have no
/// order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocumentVersion(String);

impl DocumentVersion {
    /// A version, in the spelling that the source of the documents uses.
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

/// Something that an answer was derived from or belongs to: when it changes, the answer is dropped.
///
/// Names are checked when the answer is stored. So a name that cannot be kept, such as a document id of more
/// than [`MAX_NAME_BYTES`], costs the stored copy and never the answer:
/// [`get_or_fill`](crate::Cache::get_or_fill) returns it with [`FillOutcome::Failed`](crate::FillOutcome),
/// whose error names the limit. To refuse such a name earlier, [`check`](Self::check) the dependency.
///
/// ```
/// use wellspring::Dependency;
///
/// let sources = [
///     Dependency::document("handbook.md"),
///     Dependency::document_version("prices.md", "v7"),
///     Dependency::chunk("manual.pdf", "9c1185a5"),
///     Dependency::collection("handbooks"),
///     Dependency::tag("accounts"),
///     Dependency::namespace("docs:technical")?,
/// ];
/// assert!(sources.iter().all(|source| source.check().is_ok()));
///
/// let error = Dependency::tag("x".repeat(2_000)).check().unwrap_err();
/// assert_eq!(error.to_string(), "tag has 2000 bytes, the limit is 1024");
/// # Ok::<_, wellspring::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Dependency {
    /// A document as a whole, with the version that was read, if it is known.
    Document {
        /// The document's id, unique in its corpus.
        id: String,
        /// The version that the answer was derived from. A fill is refused if the ingestion hook has
        /// registered a different one.
        version: Option<DocumentVersion>,
    },
    /// One chunk of a document. A change of the document that names its changed chunks spares answers that
    /// depend only on the other chunks.
    Chunk {
        /// The document that the chunk belongs to.
        document: String,
        /// The hash of the chunk's content.
        hash: String,
        /// The version of the document that the chunk was read in, if it is known. A fill is refused if the
        /// ingestion hook has registered a different one. Not stored: the hash is what the answer depends on.
        #[serde(skip)]
        version: Option<DocumentVersion>,
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
        Self::Chunk { document: document.into(), hash: hash.into(), version: None }
    }

    /// A chunk of a document that was read in a known version.
    pub fn chunk_version(
        document: impl Into<String>,
        hash: impl Into<String>,
        version: impl Into<DocumentVersion>,
    ) -> Self {
        Self::Chunk { document: document.into(), hash: hash.into(), version: Some(version.into()) }
    }

    /// A set of documents.
    pub fn collection(name: impl Into<String>) -> Self {
        Self::Collection(name.into())
    }

    /// A free label.
    pub fn tag(name: impl Into<String>) -> Self {
        Self::Tag(name.into())
    }

    /// A namespace, by its path.
    ///
    /// # Errors
    ///
    /// Those of [`Namespace::new`].
    pub fn namespace(path: &str) -> Result<Self> {
        Namespace::new(path).map(Self::Namespace)
    }

    /// The names that an entry with this dependency carries.
    ///
    /// An answer that depends on a *whole* document carries the name [`any_change`]; one that depends on a
    /// chunk carries the chunk's name and [`whole_change`]. So a change that names its chunks ends answers
    /// from the whole document and answers from a changed chunk. A change that names none ends all of them.
    pub(super) fn names(&self) -> Vec<Name<'_>> {
        match self {
            Self::Document { id, .. } => vec![any_change(id)],
            Self::Chunk { document, hash, .. } => vec![chunk(document, hash), whole_change(document)],
            Self::Collection(name) => vec![collection(name)],
            Self::Tag(name) => vec![tag(name)],
            Self::Namespace(path) => path.prefixes().map(namespace).collect(),
        }
    }

    /// The same with its names in Unicode NFC, the form in which entries are stored.
    #[must_use]
    pub fn composed(self) -> Self {
        let compose = |name: String| if is_nfc(&name) { name } else { composed(&name).into_owned() };
        match self {
            Self::Document { id, version } => Self::Document { id: compose(id), version },
            Self::Chunk { document, hash, version } => {
                Self::Chunk { document: compose(document), hash: compose(hash), version }
            }
            Self::Collection(name) => Self::Collection(compose(name)),
            Self::Tag(name) => Self::Tag(compose(name)),
            Self::Namespace(path) => Self::Namespace(path),
        }
    }

    /// Whether every change of it reaches an entry that was stored at a time when names were hashed as given.
    #[cfg(any(test, feature = "embedded", feature = "valkey"))]
    pub(super) fn is_reached(&self) -> bool {
        self.names().into_iter().all(Name::is_in_one_form)
    }

    /// Checks the names in the dependency, as storing an answer does.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a name is empty, longer than [`MAX_NAME_BYTES`] or holds a control character.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Document { id, version } => {
                check_name("document id", id)?;
                check_version(version.as_ref())
            }
            Self::Chunk { document, hash, version } => {
                check_name("document id", document)?;
                check_name("chunk hash", hash)?;
                check_version(version.as_ref())
            }
            Self::Collection(name) => check_name("collection", name),
            Self::Tag(name) => check_name("tag", name),
            Self::Namespace(_) => Ok(()),
        }
    }
}

fn check_version(version: Option<&DocumentVersion>) -> Result<()> {
    version.map_or(Ok(()), |version| check_name("document version", version.as_str()))
}

/// A name that answers can be invalidated by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'a> {
    kind: &'static str,
    first: &'a str,
    second: Option<&'a str>,
}

impl Name<'_> {
    /// The id of the name in NFC.
    pub(super) fn id(self) -> DependencyId {
        let (first, second) = (composed(self.first), self.second.map(composed));
        self.hash(&first, second.as_deref())
    }

    /// The id of the name in NFC, and its id in NFD if that is different. Names were once hashed as they were
    /// given, and other processes that share the store may still do so. A tombstone or an entry from them may
    /// have either form, and with both ids it meets its counterpart.
    pub(super) fn ids(self) -> impl Iterator<Item = DependencyId> {
        let decomposed = (!self.is(str::is_ascii)).then(|| {
            let decompose = |part: &str| part.nfd().collect::<String>();
            self.hash(&decompose(self.first), self.second.map(decompose).as_deref())
        });
        let id = self.id();
        std::iter::once(id).chain(decomposed.filter(move |decomposed| *decomposed != id))
    }

    #[cfg(any(test, feature = "embedded", feature = "valkey"))]
    fn is_in_one_form(self) -> bool {
        self.is(str::is_ascii) || self.is(is_nfc) || self.is(unicode_normalization::is_nfd)
    }

    /// Whether `so` holds for all parts of the name.
    fn is(self, so: impl Fn(&str) -> bool) -> bool {
        so(self.first) && self.second.is_none_or(so)
    }

    fn hash(self, first: &str, second: Option<&str>) -> DependencyId {
        match second {
            Some(second) => DependencyId::of(self.kind, &[first, second]),
            None => DependencyId::of(self.kind, &[first]),
        }
    }
}

fn name<'a>(kind: &'static str, first: &'a str) -> Name<'a> {
    Name { kind, first, second: None }
}

pub(super) fn any_change(document: &str) -> Name<'_> {
    name("document", document)
}

pub(super) fn whole_change(document: &str) -> Name<'_> {
    name("document.whole", document)
}

pub(super) fn chunk<'a>(document: &'a str, hash: &'a str) -> Name<'a> {
    Name { kind: "chunk", first: document, second: Some(hash) }
}

pub(super) fn collection(collection: &str) -> Name<'_> {
    name("collection", collection)
}

pub(super) fn tag(tag: &str) -> Name<'_> {
    name("tag", tag)
}

pub(super) fn namespace(path: &str) -> Name<'_> {
    name("namespace", path)
}

/// The id that identifies a document.
pub(crate) fn any_change_of(document: &str) -> DependencyId {
    any_change(document).id()
}

/// The ids that every answer carries that depends on any part of a document.
pub(crate) fn ids_of_document(document: &str) -> Vec<DependencyId> {
    any_change(document).ids().chain(whole_change(document).ids()).collect()
}

/// The id that every entry carries for itself. So removing one entry is an invalidation like any other, and
/// it refuses the fills that were on their way.
pub(crate) fn itself(entry: EntryId) -> DependencyId {
    DependencyId::from_bytes(*entry.as_bytes())
}
