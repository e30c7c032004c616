//! The file: how it is created, opened and closed.
//!
//! A file that is not a store is never written to, and no damage to the file causes a panic. redb asserts its
//! expectations of its own pages, and a damaged file can break them at any time.

use std::fs::OpenOptions;
use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase as _};
use redb::{TableDefinition, WriteTransaction};

use super::backend::Backend;
use super::failures::{corrupt, open_error, read_error, write_error};
use super::format;
use crate::error::{Error, ErrorKind, Result};

/// A table that is written for a moment, only to test whether the file can be written.
const PROBES: TableDefinition<u64, &[u8]> = TableDefinition::new("wellspring.probes");
/// How much room there must be before writing is tried again: enough for some entries and for the clocks of
/// one turn.
const ROOM: usize = 1 << 20;

/// The database of a store.
#[derive(Debug)]
pub(super) struct StoreFile {
    path: PathBuf,
    cache_bytes: usize,
    backend: Backend,
    /// None while the database is being opened again, and if it cannot be opened.
    database: RwLock<Option<Database>>,
    /// Whether a call failed, after which redb may refuse all others.
    has_failed: AtomicBool,
}

impl StoreFile {
    /// Opens the store at `path`. Creates it, and its folder, if there is none.
    pub(super) fn open(path: &Path, cache_bytes: usize) -> Result<Self> {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.len() > 0 => check_foreign(path)?,
            Ok(_) => {}
            Err(_) => make(path)?,
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|e| open_error(path, e.into()))?;
        let file = FileBackend::new(file).map_err(|e| open_error(path, e))?;
        Self::over(Backend::new(file), path, cache_bytes)
    }

    /// Opens the store in `backend`, which is the file at `path`.
    pub(super) fn over(backend: Backend, path: &Path, cache_bytes: usize) -> Result<Self> {
        let (path, database) = (path.to_owned(), RwLock::new(None));
        let file = Self { path, cache_bytes, backend, database, has_failed: AtomicBool::new(false) };
        file.load()?;
        Ok(file)
    }

    fn load(&self) -> Result<()> {
        let open =
            || Database::builder().set_cache_size(self.cache_bytes).create_with_backend(self.backend.clone());
        let database = self.guarded(|| open().map_err(|e| open_error(&self.path, e)))?;
        self.has_failed.store(false, Ordering::Release);
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = Some(database);
        Ok(())
    }

    /// Closes the database and opens it again, in the state after the last successful commit or a later one.
    /// The file stays locked. Until the database is open, every call fails at once instead of waiting.
    pub(super) fn reopen(&self) -> Result<()> {
        self.close();
        self.has_failed.store(true, Ordering::Release);
        self.load()
    }

    pub(super) fn close(&self) {
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
            tracing::error!("the store's file is damaged and could not be closed in order");
        }
    }

    /// Whether anything failed since the database was opened, or the database could not be opened.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Runs `work` with the open database.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = &*database else {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the store's file is being opened again after an error",
            ));
        };
        let done = self.guarded(|| work(database));
        if done.is_err() {
            self.has_failed.store(true, Ordering::Release);
        }
        done
    }

    /// Reads, in a transaction that never waits.
    pub(super) fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T>) -> Result<T> {
        self.with(|database| read(&database.begin_read().map_err(read_error)?))
    }

    /// Runs `write` in a transaction and commits it durably.
    pub(super) fn write(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<()> {
        let write = |database: &Database| -> Result<(), redb::Error> {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            write(&transaction)?;
            transaction.commit()?;
            Ok(())
        };
        self.with(|database| write(database).map_err(|e| write_error(&e)))
    }

    /// Whether there is room to write. This is checked without the database, because an error would close it,
    /// so the answer is not certain.
    pub(super) fn check_room(&self) -> Result<()> {
        let mut scratch = self.path.clone().into_os_string();
        scratch.push(".room");
        let tried = std::fs::write(&scratch, vec![0xA5_u8; ROOM])
            .and_then(|()| std::fs::File::open(&scratch)?.sync_all());
        drop(std::fs::remove_file(&scratch));
        match tried {
            Err(e) if matches!(e.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem) => {
                Err(write_error(&redb::Error::Io(e)))
            }
            // That another file cannot be written in this folder does not mean that this one cannot.
            _ => Ok(()),
        }
    }

    /// Writes as much as there must be room for, and removes it.
    pub(super) fn probe(&self) -> Result<()> {
        self.write(|transaction| {
            transaction.open_table(PROBES)?.insert(0, vec![0xA5_u8; ROOM].as_slice())?;
            Ok(())
        })?;
        self.write(|transaction| {
            transaction.delete_table(PROBES)?;
            Ok(())
        })
    }

    /// Turns a panic into an error: redb asserts its expectations of its own files, and a damaged file can
    /// break them.
    fn guarded<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|_| Err(corrupt(&self.path, "its structure is damaged")))
    }
}

impl Drop for StoreFile {
    fn drop(&mut self) {
        self.close();
    }
}

/// Creates an empty store where there is no file. The store is written under another name and then linked to
/// its own name, which never replaces a file. If it were written in place, a process that dies meanwhile
/// would leave a file that is neither empty nor a store, and no later process could know whose it is.
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
    // Where links cannot be made, the store is created in place when it is opened. If another process was
    // quicker, that process's store is opened.
    let linked = made.map(|()| std::fs::hard_link(&draft, path));
    drop(std::fs::remove_file(&draft));
    linked.map(drop)
}

/// Fails if the file is anything but a store. It does not write to the file, whereas opening a database for
/// writing leaves traces in it.
fn check_foreign(path: &Path) -> Result<()> {
    match Database::builder().open_read_only(path) {
        Ok(database) => format::check_format(&database, path).map(drop),
        // The file was not closed cleanly, and only a process that may write can repair it.
        Err(DatabaseError::RepairAborted) => Ok(()),
        Err(error) => Err(open_error(path, error)),
    }
}
