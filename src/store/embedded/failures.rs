//! What is reported when the file cannot be opened, read or written.

use std::io;
use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
use std::path::Path;

use redb::{DatabaseError, StorageError};

use crate::error::{Error, ErrorKind};

pub(super) fn corrupt(path: &Path, why: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "cannot open the store {}: {why}; move the file away to start an empty store",
            path.display()
        ),
    )
}

pub(super) fn open_error(path: &Path, error: DatabaseError) -> Error {
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

/// The error for a file that cannot be written, with its cause in the message, since the message is shown to
/// people.
pub(super) fn write_error(error: &redb::Error) -> Error {
    let advice = match error {
        redb::Error::Io(e) => match e.kind() {
            StorageFull | QuotaExceeded | io::ErrorKind::FileTooLarge => {
                "; free space, and writing resumes by itself"
            }
            ReadOnlyFilesystem => "; mount it for writing, and writing resumes by itself",
            _ => "",
        },
        _ => "",
    };
    Error::new(ErrorKind::Unavailable, format!("cannot write the store's file: {error}{advice}"))
}
