//! What happened to the sources of answers.

use serde::{Deserialize, Serialize};

use super::dependency::{
    Dependency, DocumentVersion, Name, any_change, chunk, collection, ids_of_document, itself, namespace, tag,
};
use crate::error::{Error, Result};
use crate::key::{DependencyId, EntryId, Namespace, check_name};

/// The most changes that one call may report.
const MAX_CHANGES: usize = 1_000_000;
/// The most chunks that one change may name.
const MAX_CHUNKS: usize = 10_000;

/// A change in the outside world that ends answers.
///
/// ```
/// use wellspring::Change;
///
/// let changes = [
///     Change::document("handbook.md"),
///     Change::document_version("prices.md", "v8"),
///     Change::chunks("manual.pdf", ["9c1185a5"]),
///     Change::collection("handbooks"),
///     Change::tag("accounts"),
///     Change::namespace("docs:technical")?,
/// ];
/// Change::check_all(&changes)?;
/// # Ok::<_, wellspring::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Change {
    /// A document changed or was deleted. If a version is given and it is the registered one, nothing changed
    /// and nothing is dropped; otherwise it is registered. A change without a version, and a change of
    /// everything, forget the registered version. So report either every change or no version: a change that
    /// was never reported, and then undone, looks like no change.
    Document {
        /// The document's id.
        id: String,
        /// Its version from now on.
        version: Option<DocumentVersion>,
    },
    /// Some chunks of a document changed or went; the others stayed as they were.
    Chunks {
        /// The document's id.
        document: String,
        /// The hashes that the changed chunks had when answers were derived from them, at most 10,000.
        hashes: Vec<String>,
        /// The document's version from now on.
        version: Option<DocumentVersion>,
    },
    /// A collection gained, lost or changed a document.
    Collection(String),
    /// Everything with this tag changed.
    Tag(String),
    /// Everything in this namespace and below it changed.
    Namespace(Namespace),
    /// One entry is wrong.
    Entry(EntryId),
    /// Everything in the corpus changed.
    Everything,
}

impl Change {
    /// A document changed, and its new version is not known.
    pub fn document(id: impl Into<String>) -> Self {
        Self::Document { id: id.into(), version: None }
    }

    /// A document may have changed; `version` is its version or content hash from now on.
    pub fn document_version(id: impl Into<String>, version: impl Into<DocumentVersion>) -> Self {
        Self::Document { id: id.into(), version: Some(version.into()) }
    }

    /// Chunks of a document changed, which had these `hashes`; its new version is not known.
    pub fn chunks(document: impl Into<String>, hashes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let hashes = hashes.into_iter().map(Into::into).collect();
        Self::Chunks { document: document.into(), hashes, version: None }
    }

    /// A collection gained, lost or changed a document.
    pub fn collection(name: impl Into<String>) -> Self {
        Self::Collection(name.into())
    }

    /// Everything with this tag changed.
    pub fn tag(name: impl Into<String>) -> Self {
        Self::Tag(name.into())
    }

    /// Everything in the namespace with this path and below it changed.
    ///
    /// # Errors
    ///
    /// Those of [`Namespace::new`].
    pub fn namespace(path: &str) -> Result<Self> {
        Namespace::new(path).map(Self::Namespace)
    }

    /// Checks the changes of one call, as [`Cache::invalidate`](crate::Cache::invalidate) does first. For
    /// callers that accept changes and report them later.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there are more than 1,000,000 changes, or if one of them is not
    /// [valid](Self::check).
    pub fn check_all(changes: &[Self]) -> Result<()> {
        if changes.len() > MAX_CHANGES {
            let count = changes.len();
            return Err(Error::invalid(format!(
                "one call reports {count} changes, the limit is {MAX_CHANGES}: report them in several calls"
            )));
        }
        changes.iter().try_for_each(Self::check)
    }

    /// Checks the names in the change.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a name is empty, too long or holds a control character, or if the change names no
    /// chunks or too many.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Document { id, version } => {
                Dependency::Document { id: id.clone(), version: version.clone() }.check()
            }
            Self::Chunks { document, hashes, version } => {
                Dependency::Document { id: document.clone(), version: version.clone() }.check()?;
                if hashes.is_empty() {
                    return Err(Error::invalid("no changed chunk is named"));
                }
                if hashes.len() > MAX_CHUNKS {
                    let count = hashes.len();
                    return Err(Error::invalid(format!(
                        "{count} changed chunks of one document are named, the limit is {MAX_CHUNKS}: report that the \
                         whole document changed"
                    )));
                }
                hashes.iter().try_for_each(|hash| check_name("chunk hash", hash))
            }
            Self::Collection(name) => check_name("collection", name),
            Self::Tag(name) => check_name("tag", name),
            Self::Namespace(_) | Self::Entry(_) | Self::Everything => Ok(()),
        }
    }

    /// The ids that the change ends: every entry that has one of them among its
    /// [own](crate::Entry::dependency_ids). None for [`Change::Everything`], which needs none.
    pub fn dependency_ids(&self) -> Vec<DependencyId> {
        match self {
            Self::Document { id, .. } => ids_of_document(id),
            Self::Chunks { document, hashes, .. } => {
                let chunks = hashes.iter().map(|hash| chunk(document, hash));
                std::iter::once(any_change(document)).chain(chunks).flat_map(Name::ids).collect()
            }
            Self::Collection(name) => collection(name).ids().collect(),
            Self::Tag(name) => tag(name).ids().collect(),
            Self::Namespace(path) => namespace(path.as_str()).ids().collect(),
            // Principals that had the same answer confirmed a wrong one.
            Self::Entry(id) => vec![itself(*id), itself(id.confirmations())],
            Self::Everything => Vec::new(),
        }
    }

    /// The document that changed, and its new version if the change reports one.
    pub(crate) fn reported_document(&self) -> Option<(&str, Option<&DocumentVersion>)> {
        match self {
            Self::Document { id: document, version } | Self::Chunks { document, version, .. } => {
                Some((document, version.as_ref()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::composed;

    fn ids(dependency: &Dependency) -> Vec<DependencyId> {
        dependency.names().into_iter().flat_map(Name::ids).collect()
    }

    fn ends(change: &Change, dependency: &Dependency) -> bool {
        change.dependency_ids().iter().any(|id| ids(dependency).contains(id))
    }

    #[test]
    fn a_change_ends_what_it_should_and_nothing_else() {
        let whole = Dependency::document_version("a", "1");
        let (one, two) = (Dependency::chunk("a", "1"), Dependency::chunk("a", "2"));
        let document = Change::document("a");
        let chunks = Change::Chunks { document: "a".into(), hashes: vec!["1".into()], version: None };
        for (change, dependency, expected) in [
            (&document, &whole, true),
            (&document, &one, true),
            (&document, &two, true),
            // Nothing shows that the changed chunk did not matter to an answer from the whole document.
            (&chunks, &whole, true),
            (&chunks, &one, true),
            (&chunks, &two, false),
            (&document, &Dependency::document("b"), false),
            (&document, &Dependency::Tag("a".into()), false),
            (&Change::Tag("a".into()), &Dependency::Collection("a".into()), false),
        ] {
            assert_eq!(ends(change, dependency), expected, "{change:?} on {dependency:?}");
        }
    }

    #[test]
    fn a_name_is_the_same_in_every_form() {
        // German in NFC, in NFD, and in a mixture, as when a folder and its file come from two systems;
        // Hangul; a singleton.
        let forms: [&[&str]; 3] = [
            &["Vertr\u{e4}ge/\u{dc}ber", "Vertra\u{308}ge/U\u{308}ber", "Vertra\u{308}ge/\u{dc}ber"],
            &["\u{d55c}\u{ae00}", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"],
            &["\u{212b}", "\u{c5}", "A\u{30a}"],
        ];
        let namespace = |path| Namespace::new(path).unwrap();
        for forms in forms {
            for (stored, changed) in forms.iter().flat_map(|a| forms.iter().map(move |b| (*a, *b))) {
                let chunks =
                    Change::Chunks { document: changed.into(), hashes: vec![changed.into()], version: None };
                for (change, dependency) in [
                    (Change::document(changed), Dependency::document(stored)),
                    (Change::document(changed), Dependency::chunk(stored, stored)),
                    (chunks.clone(), Dependency::document(stored)),
                    (chunks, Dependency::chunk(stored, stored)),
                    (Change::Collection(changed.into()), Dependency::Collection(stored.into())),
                    (Change::Tag(changed.into()), Dependency::Tag(stored.into())),
                    (Change::Namespace(namespace(changed)), Dependency::Namespace(namespace(stored))),
                ] {
                    assert!(ends(&change, &dependency), "{change:?} on {dependency:?}");
                }
            }
        }
        assert!(!ends(&Change::document("A\u{308}"), &Dependency::document("A")));
    }

    #[test]
    fn a_change_reaches_names_that_were_hashed_as_they_were_given() {
        let old = |name: &str| DependencyId::of("document", &[name]);
        for (stored, is_reached) in
            [("\u{e4}", true), ("a\u{308}", true), ("\u{e4}a\u{308}", false), ("plain", true)]
        {
            for changed in [stored.to_owned(), composed(stored).into_owned()] {
                let ends = Change::document(changed).dependency_ids().contains(&old(stored));
                assert_eq!(ends, is_reached, "{stored:?}");
            }
            assert_eq!(Dependency::document(stored).is_reached(), is_reached);
            assert!(Dependency::document(stored).composed().is_reached());
        }
    }

    #[test]
    fn a_namespace_ends_what_is_below_it() {
        let path = |path| Namespace::new(path).unwrap();
        let entry = Dependency::Namespace(path("docs:technical"));
        assert!(ends(&Change::Namespace(path("docs")), &entry));
        assert!(ends(&Change::Namespace(path("docs:technical")), &entry));
        assert!(!ends(&Change::Namespace(path("docs:technical:api")), &entry));
        assert!(!ends(&Change::Namespace(path("doc")), &entry));
    }
}
