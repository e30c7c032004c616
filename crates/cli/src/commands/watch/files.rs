//! The files of a folder with their hashes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use walkdir::{DirEntry, WalkDir};

use super::notice::Noticed;

/// How much of a file is read at a time.
const PIECE: usize = 64 << 10;

/// What is known of a folder. Paths are relative to it, with `/` between.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    state: PathBuf,
    /// The hash of each file; none if it cannot be read.
    known: BTreeMap<String, Option<String>>,
}

impl Files {
    /// The files in `folder`, except the one that holds the state; none is read yet.
    pub(super) fn new(folder: PathBuf, state: &Path) -> Self {
        let state = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
        Self { folder, state, known: BTreeMap::new() }
    }

    pub(super) fn known(&self) -> &BTreeMap<String, Option<String>> {
        &self.known
    }

    /// Reads what may have changed; returns what could not be read. This call blocks.
    pub(super) fn read(&mut self, noticed: &Noticed) -> Vec<String> {
        let mut troubles = Vec::new();
        if !self.folder.is_dir() {
            // It is more likely that the folder is not mounted than that every document is gone.
            troubles.push(format!("{} is missing, nothing is reported", self.folder.display()));
            return troubles;
        }
        match noticed {
            Noticed::Everything => {
                let before = std::mem::take(&mut self.known);
                self.walk(&self.folder.clone(), &before, &mut troubles);
            }
            Noticed::Paths(paths) => {
                for path in paths {
                    let Some(name) = self.name(path, &mut troubles) else { continue };
                    // Everything under this name is gone, or is read again.
                    let prefix = format!("{name}/");
                    let is_under =
                        |known: &String| name.is_empty() || *known == name || known.starts_with(&prefix);
                    let before: BTreeMap<_, _> =
                        self.known.extract_if(.., |known, _| is_under(known)).collect();
                    if path.symlink_metadata().is_ok() && !is_hidden_below(&name) {
                        self.walk(path, &before, &mut troubles);
                    }
                }
            }
        }
        troubles
    }

    fn walk(&mut self, from: &Path, before: &BTreeMap<String, Option<String>>, troubles: &mut Vec<String>) {
        let is_wanted =
            |entry: &DirEntry| entry.depth() == 0 || !is_hidden(entry.file_name().as_encoded_bytes());
        for entry in WalkDir::new(from).follow_links(false).into_iter().filter_entry(is_wanted) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let is_gone =
                        error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound);
                    if !is_gone {
                        troubles.push(error.to_string());
                        self.keep_unread(error.path(), before, troubles);
                    }
                    continue;
                }
            };
            if !entry.file_type().is_file() || entry.path() == self.state {
                continue;
            }
            let Some(name) = self.name(entry.path(), troubles) else { continue };
            match hash(entry.path()) {
                Ok(hash) => drop(self.known.insert(name, Some(hash))),
                // The file was removed while the folder was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    troubles.push(format!("{} cannot be read: {error}", entry.path().display()));
                    self.known.insert(name, None);
                }
            }
        }
    }

    /// Files below a folder that cannot be read may have changed, but they are not known to be gone.
    fn keep_unread(
        &mut self,
        folder: Option<&Path>,
        before: &BTreeMap<String, Option<String>>,
        troubles: &mut Vec<String>,
    ) {
        let Some(name) = folder.and_then(|folder| self.name(folder, troubles)) else { return };
        let prefix = if name.is_empty() { name } else { format!("{name}/") };
        let below = before.keys().filter(|known| known.starts_with(&prefix));
        self.known.extend(below.map(|known| (known.clone(), None)));
    }

    /// The name of `path`; none if it lies elsewhere or is not UTF-8.
    fn name(&self, path: &Path, troubles: &mut Vec<String>) -> Option<String> {
        let relative = path.strip_prefix(&self.folder).ok()?;
        let parts: Option<Vec<&str>> = relative.iter().map(std::ffi::OsStr::to_str).collect();
        if parts.is_none() {
            troubles.push(format!("{} is skipped: its name is not UTF-8", path.display()));
        }
        parts.map(|parts| parts.join("/"))
    }
}

fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".")
}

fn is_hidden_below(name: &str) -> bool {
    name.split('/').any(|part| is_hidden(part.as_bytes()))
}

/// The SHA-256 of a file's content, in hexadecimal.
fn hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            length => hasher.update(&piece[..length]),
        }
    }
}
