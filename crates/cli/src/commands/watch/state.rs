//! Remembers across restarts which versions of documents were reported.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wellspring::error::{Error, ErrorKind, Result};
use wellspring::key::Corpus;
use wellspring_gateway::rules::Rules;

use crate::commands::input::invalid;
use crate::commands::whole_file::WholeFile;

/// What was reported so far.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// The version of this format, 1.
    v: u32,
    folder: PathBuf,
    corpus: Corpus,
    documents: BTreeMap<String, Known>,
}

/// What was reported of a document. Its version is unknown if one of its files could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    version: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    collections: BTreeSet<String>,
}

/// A change to report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    /// A document with its version from now on; without a version, it is gone or cannot be read.
    Document { id: String, version: Option<String> },
    /// A collection that a changed document belongs to.
    Collection { name: String },
}

impl State {
    /// What was reported so far of `folder`; nothing if there is no file at `path`.
    pub(super) fn load(path: &Path, folder: &Path, corpus: &Corpus) -> Result<Self> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let documents = BTreeMap::new();
                return Ok(Self { v: 1, folder: folder.into(), corpus: corpus.clone(), documents });
            }
            Err(error) => return Err(broken("read", path).with_source(error)),
        };
        let state: Self = serde_json::from_slice(&text).map_err(|error| {
            // Without the state file, everything is reported again, which is safe.
            Error::new(ErrorKind::Corrupt, format!("the state {} is damaged, remove it", path.display()))
                .with_source(error)
        })?;
        if state.v != 1 || state.folder != folder || state.corpus != *corpus {
            return Err(invalid(format!(
                "the state {} belongs to {} and the corpus {}; name another file with --state",
                path.display(),
                state.folder.display(),
                state.corpus
            )));
        }
        Ok(state)
    }

    /// Writes the state whole or not at all.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let write = || {
            let mut file = WholeFile::create(path)?;
            serde_json::to_writer(&mut file, self)?;
            file.finish()
        };
        write().map_err(|error| broken("written", path).with_source(error))
    }

    /// The changes to report: how `files` differ from what was reported before.
    pub(super) fn changes(&self, files: &BTreeMap<String, Option<String>>, rules: &Rules) -> Vec<Change> {
        let now = documents(files, rules);
        let (mut changes, mut collections) = (Vec::new(), BTreeSet::new());
        let ids: BTreeSet<&String> = self.documents.keys().chain(now.keys()).collect();
        for id in ids {
            let (before, after) = (self.documents.get(id), now.get(id));
            if before == after {
                continue;
            }
            collections.extend([before, after].into_iter().flatten().flat_map(|known| &known.collections));
            let version = after.and_then(|known| known.version.clone());
            changes.push(Change::Document { id: id.clone(), version });
        }
        // Collections come first: once a document is recorded as reported, its collections are not reported
        // again.
        let mut all: Vec<Change> =
            collections.into_iter().map(|name| Change::Collection { name: name.clone() }).collect();
        all.append(&mut changes);
        all
    }

    /// Remembers that `changes` were reported.
    pub(super) fn reported(
        &mut self,
        changes: &[Change],
        now: &BTreeMap<String, Option<String>>,
        rules: &Rules,
    ) {
        let now = documents(now, rules);
        for change in changes {
            let Change::Document { id, .. } = change else { continue };
            match now.get(id) {
                Some(known) => drop(self.documents.insert(id.clone(), known.clone())),
                None => drop(self.documents.remove(id)),
            }
        }
    }
}

/// The files of a document with their hashes, and its collections.
type Parts<'a> = (Vec<(&'a str, Option<&'a str>)>, BTreeSet<String>);

/// The documents that `files` make up. If a document has several files, its version is the hash of their
/// names and hashes.
fn documents(files: &BTreeMap<String, Option<String>>, rules: &Rules) -> BTreeMap<String, Known> {
    let mut parts: BTreeMap<String, Parts<'_>> = BTreeMap::new();
    for (path, hash) in files {
        if let Some(mapped) = rules.map(path, &[]) {
            let (files, collections) = parts.entry(mapped.document).or_default();
            files.push((path, hash.as_deref()));
            collections.extend(mapped.collection);
        }
    }
    let one = |(id, (files, collections)): (String, Parts<'_>)| {
        let version = match files.as_slice() {
            [(_, hash)] => hash.map(str::to_owned),
            several => several
                .iter()
                .try_fold(Sha256::new(), |hasher, (path, hash)| {
                    Some(hasher.chain_update(path).chain_update([0]).chain_update((*hash)?))
                })
                .map(|hasher| hex::encode(hasher.finalize())),
        };
        (id, Known { version, collections })
    };
    parts.into_iter().map(one).collect()
}

fn broken(what: &str, path: &Path) -> Error {
    Error::new(ErrorKind::Store, format!("the state {} cannot be {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use wellspring_gateway::rules::{Pattern, Rule};

    use super::*;

    fn files(files: &[(&str, &str)]) -> BTreeMap<String, Option<String>> {
        files.iter().map(|(path, hash)| ((*path).to_owned(), Some((*hash).to_owned()))).collect()
    }

    fn document(id: &str, version: Option<&str>) -> Change {
        Change::Document { id: id.to_owned(), version: version.map(str::to_owned) }
    }

    #[test]
    fn only_what_changed_is_reported_and_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let load = |corpus: &str| State::load(&path, folder.path(), &Corpus::new(corpus).unwrap());
        let rules = Rules::default();
        let mut state = load("c").unwrap();
        let first = files(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let changes = state.changes(&first, &rules);
        assert_eq!(changes.len(), 3);
        state.reported(&changes, &first, &rules);
        state.save(&path).unwrap();
        let state = load("c").unwrap();
        assert!(state.changes(&first, &rules).is_empty());
        let mut second = files(&[("a", "2"), ("b", "1"), ("d", "1")]);
        second.insert("b".into(), None);
        assert_eq!(
            state.changes(&second, &rules),
            [document("a", Some("2")), document("b", None), document("c", None), document("d", Some("1"))]
        );
        assert!(load("other").unwrap_err().is_invalid_input());
        std::fs::write(&path, "{").unwrap();
        assert!(load("c").unwrap_err().is_corrupt());
    }

    #[test]
    fn a_document_of_several_files_changes_with_each() {
        let folder = tempfile::tempdir().unwrap();
        let rule = Rule {
            pattern: Pattern::Glob("*/*".into()),
            document: Some("${dir}".into()),
            collection: Some("all".into()),
        };
        let rules = Rules::new(&[rule]).unwrap();
        let mut state = State::load(&folder.path().join("state"), folder.path(), &Corpus::default()).unwrap();
        let first = files(&[("a/1", "x"), ("a/2", "y"), ("b/1", "z"), ("loose", "w")]);
        let changes = state.changes(&first, &rules);
        assert_eq!(changes.len(), 3, "{changes:?}");
        state.reported(&changes, &first, &rules);
        let second = files(&[("a/1", "x"), ("a/2", "changed"), ("b/1", "z")]);
        let changes = state.changes(&second, &rules);
        assert_eq!(changes[0], Change::Collection { name: "all".into() });
        assert!(matches!(&changes[1..], [Change::Document { id, version: Some(_) }] if id == "a"));
    }
}
