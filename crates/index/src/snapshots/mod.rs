//! Snapshots of indexes in a folder, so that a process that starts again need not rebuild them.
//!
//! ```text
//! folder/lock                             held by the one process that may save here
//! folder/<name>/0000000000000007.index    the newest generation of one index
//! folder/<name>/0000000000000006.index    the one before
//! folder/<name>/0000000000000008.draft    being written, or left by a process that died
//! ```
//!
//! # Guarantees
//!
//! - A generation is either complete or does not appear: it is written under another name, flushed to the
//!   disk, and then renamed. Older ones are removed only after that, and the previous one stays.
//! - Loading takes the newest generation that is undamaged and matches the request, else the one before, else
//!   none, and reports why it skipped the others. Damaged data never gets into an index, and never ends the
//!   process.
//! - Processes that share a folder do not harm each other: the first may save, the others may load. The lock
//!   belongs to the operating system and ends with the process, however that ends.
//!
//! # Limits
//!
//! A snapshot is a hint. It does not know which entries have been added or removed since, so a caller that
//! loads one must compare its ids with those of their source. Saving takes the space of up to three generations,
//! and only one index of a folder is saved at a time. Embeddings are written unencrypted, so the folder must
//! be as private as what they were made of.

mod files;
mod generations;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::generations::{Generations, PassedOver, Restored, Saved};
use crate::error::{Error, ErrorKind, Result};

const LOCK: &str = "lock";
/// Room for the hexadecimal form of 256 bits.
const MAX_NAME_LEN: usize = 64;

/// A folder with the snapshots of many indexes.
///
/// The process that opens it first may save, until it drops this and all [`Generations`] from it.
#[derive(Debug, Clone)]
pub struct Snapshots {
    folder: Arc<Folder>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// The lock, held as long as this lives, or the reason why it could not be taken.
    lock: Result<Lock>,
    /// Locked while files are created, renamed or removed.
    changing: Mutex<()>,
}

impl Snapshots {
    /// Opens the folder at `path`, creates it if it does not exist, and removes what interrupted saves left.
    ///
    /// If another process saves in it, or it cannot be written to, this process may still load;
    /// [`refusal`](Self::refusal) gives the reason.
    ///
    /// # Errors
    ///
    /// `Io` if the folder does not exist and cannot be created.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        std::fs::create_dir_all(&path).map_err(|e| failed("make the folder", &path, e))?;
        let lock = lock(&path.join(LOCK));
        let snapshots = Self { folder: Arc::new(Folder { path, lock, changing: Mutex::new(()) }) };
        if snapshots.refusal().is_none() {
            for name in snapshots.names()? {
                files::tidy(&snapshots.folder.path.join(name));
            }
        }
        Ok(snapshots)
    }

    /// Why this process cannot save here: `Locked` if another process holds the lock, `Io` if the folder
    /// cannot be written to or does not support locks. None if it can save.
    pub fn refusal(&self) -> Option<&Error> {
        self.folder.lock.as_ref().err()
    }

    /// The names under which there may be snapshots, in no particular order.
    ///
    /// # Errors
    ///
    /// `Io` if the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        let path = &self.folder.path;
        let names = files::names(path).map_err(|e| failed("list the folder", path, e))?;
        Ok(names.into_iter().filter(|name| is_name(name) && path.join(name).is_dir()).collect())
    }

    /// The snapshots of the index called `name`: 1 to 64 lower-case hexadecimal digits, such as a
    /// hash of what it is for. Touches no file yet.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the name is anything else.
    pub fn generations(&self, name: &str) -> Result<Generations> {
        if !is_name(name) {
            return Err(Error::invalid(format!(
                "name of a snapshot is not 1 to {MAX_NAME_LEN} lower-case hexadecimal digits"
            )));
        }
        Ok(Generations::new(Arc::clone(&self.folder), self.folder.path.join(name)))
    }
}

/// The lock, until dropped.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone is not enough: a child process that is just being started may still hold the file
        // open, and with it the lock.
        drop(self.0.unlock());
    }
}

impl Folder {
    /// The right to change files, if this process has it.
    fn change(&self) -> Option<MutexGuard<'_, ()>> {
        self.lock.is_ok().then(|| self.changing.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_LEN).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The file stays when the lock ends: another process may just have opened it, and removing it would take it
/// away.
fn lock(path: &Path) -> Result<Lock> {
    let cannot = |e| failed("lock", path, e);
    let file = File::options().write(true).create(true).truncate(false).open(path).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(Error::new(
            ErrorKind::Locked,
            format!("another process saves indexes in {}", path.parent().unwrap_or(path).display()),
        )),
        Err(TryLockError::Error(e)) => Err(cannot(e)),
    }
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    let message = format!("cannot {what} {} for snapshots of indexes", path.display());
    Error::new(ErrorKind::Io, message).with_source(error)
}
