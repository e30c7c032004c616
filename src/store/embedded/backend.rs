//! The layer through which redb reads and writes, so that a database that failed can be opened again under
//! the same lock.
//!
//! After any disk error, redb refuses every call until the database is opened again. No other process may
//! have the file in between: the table of this process would not know what the other one changed.

use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use redb::{BackendError, StorageBackend};

type Range = (Bound<u64>, Bound<u64>);

/// A file that stays locked while databases over it are opened and closed. It is unlocked when the last clone
/// is dropped.
#[derive(Debug, Clone)]
pub(super) struct Backend(Arc<LockedFile>);

#[derive(Debug)]
struct LockedFile {
    file: Box<dyn StorageBackend>,
    locks: Mutex<Vec<Range>>,
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // The locks end with the file in any case.
        drop(self.file.close());
    }
}

impl Backend {
    pub(super) fn new(file: impl StorageBackend) -> Self {
        Self(Arc::new(LockedFile { file: Box::new(file), locks: Mutex::default() }))
    }

    fn lock(
        &self,
        range: Range,
        lock: impl FnOnce(&dyn StorageBackend) -> Result<bool, BackendError>,
    ) -> Result<bool, BackendError> {
        let mut locks = self.0.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_locked = locks.contains(&range) || lock(&*self.0.file)?;
        if is_locked && !locks.contains(&range) {
            locks.push(range);
        }
        Ok(is_locked)
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.file.write(offset, data)
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.lock((start, end), |file| file.try_lock_range(start, end))
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.lock((start, end), |file| file.try_lock_shared_range(start, end))
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.lock((start, end), |file| file.lock_range(start, end).map(|()| true)).map(drop)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.lock((start, end), |file| file.lock_shared_range(start, end).map(|()| true)).map(drop)
    }

    fn unlock_range(&self, _start: Bound<u64>, _end: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.query_lock_range(start, end)
    }
}
