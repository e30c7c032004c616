//! The file: making it, opening it, and closing it.
//!
//! Nothing that is not a store is ever written to, and nothing that is wrong with the file becomes a
//! panic. redb asserts what it expects of its own pages, which a damaged file can break at any time.

use std::io;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{Database, DatabaseError, StorageError};

use super::format;
use crate::error::{Error, ErrorKind, Result};

/// The open database of a store.
#[derive(Debug)]
pub(super) struct StoreFile(Option<Database>);

impl StoreFile {
    /// Opens the store at `path`, which is made if there is none, with its folder.
    pub(super) fn open(path: &Path, cache_bytes: usize) -> Result<Self> {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.len() > 0 => check_foreign(path)?,
            Ok(_) => {}
            Err(_) => make(path)?,
        }
        let database = Database::builder().set_cache_size(cache_bytes).create(path);
        Ok(Self(Some(database.map_err(|e| open_error(path, e))?)))
    }
}

impl Deref for StoreFile {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.0.as_ref().expect("it is taken only when dropped")
    }
}

impl Drop for StoreFile {
    fn drop(&mut self) {
        let database = self.0.take();
        if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
            tracing::error!("the store's file is damaged and could not be closed in order");
        }
    }
}

/// Makes an empty store where there is no file. It is written under another name and then linked to its
/// own, which never replaces a file: a process that dies meanwhile would leave one that is neither empty
/// nor a store, and no later process could tell whose it is.
fn make(path: &Path) -> Result<()> {
    let failed = || format!("cannot make the store {}; check that the folder is writable", path.display());
    let failed = |e: redb::Error| Error::new(ErrorKind::Store, failed()).with_source(e);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|e| failed(redb::Error::Io(e)))?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!("{name}.{:016x}.new", rand::random::<u64>()));
    let made = Database::create(&draft)
        .map_err(redb::Error::from)
        .and_then(|database| format::create(&database))
        .map_err(failed);
    // Where links cannot be made, the store is made in its place when it is opened. So it is if another
    // process was quicker: then that one's is opened.
    let linked = made.map(|()| std::fs::hard_link(&draft, path));
    drop(std::fs::remove_file(&draft));
    linked.map(drop)
}

/// Fails if the file is anything but a store, without writing to it: opening a database for writing
/// leaves marks of that.
fn check_foreign(path: &Path) -> Result<()> {
    match Database::builder().open_read_only(path) {
        Ok(database) => format::check_format(&database, path).map(drop),
        // It was not closed cleanly, and only who may write can repair it.
        Err(DatabaseError::RepairAborted) => Ok(()),
        Err(error) => Err(open_error(path, error)),
    }
}

pub(super) fn corrupt(path: &Path, why: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "cannot open the store {}: {why}; move the file away to start an empty store",
            path.display()
        ),
    )
}

fn open_error(path: &Path, error: DatabaseError) -> Error {
    match error {
        DatabaseError::DatabaseAlreadyOpen => Error::new(
            ErrorKind::Locked,
            format!(
                "the store {} is already open, in another process or in this one; close it or use another file",
                path.display()
            ),
        ),
        DatabaseError::UpgradeRequired(_) => corrupt(path, "it was written by an incompatible version"),
        DatabaseError::Storage(StorageError::Corrupted(_)) => corrupt(path, "it is damaged"),
        DatabaseError::Storage(StorageError::Io(e)) if e.kind() == io::ErrorKind::InvalidData => {
            corrupt(path, "it is not a Wellspring store")
        }
        DatabaseError::Storage(StorageError::Io(e)) if e.kind() == io::ErrorKind::UnexpectedEof => {
            corrupt(path, "it ends too soon")
        }
        error => Error::new(
            ErrorKind::Store,
            format!("cannot open the store {}; check that the folder is writable", path.display()),
        )
        .with_source(error),
    }
}

pub(super) fn read_error(error: impl Into<redb::Error>) -> Error {
    Error::new(ErrorKind::Store, "cannot read the store's file").with_source(error.into())
}
