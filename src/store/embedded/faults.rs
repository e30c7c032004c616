//! Disks that fail: full disks, at any write, and disks that return errors.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use redb::StorageBackend;
use redb::backends::FileBackend;
use tokio::task::JoinSet;

use super::backend::Backend;
use super::file::StoreFile;
use super::*;
use crate::entry::{Answer, Dependency};
use crate::error::ErrorKind;
use crate::key::{CacheKey, ScopeId};

/// How a disk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing can be written.
    Full,
    /// Nothing can be written or read.
    Broken,
}

/// A file on a disk that fails after some writes.
#[derive(Debug)]
struct Faulty {
    file: FileBackend,
    fault: Fault,
    left: Arc<AtomicI64>,
}

impl Faulty {
    fn error(&self) -> io::Error {
        match self.fault {
            Fault::Full => io::ErrorKind::StorageFull.into(),
            Fault::Broken => io::Error::other("input/output error"),
        }
    }

    /// Counts a write, and fails if it comes after the last one that works.
    fn count(&self) -> io::Result<()> {
        if self.left.fetch_sub(1, Ordering::SeqCst) > 0 { Ok(()) } else { Err(self.error()) }
    }
}

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.fault == Fault::Broken && self.left.load(Ordering::SeqCst) < 0 {
            return Err(self.error());
        }
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.count()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.count()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if let Err(error) = self.count() {
            self.file.write(offset, &data[..data.len() / 2])?;
            return Err(error);
        }
        self.file.write(offset, data)
    }
}

const WORKS: i64 = i64::MAX / 2;

struct Disk {
    folder: tempfile::TempDir,
    left: Arc<AtomicI64>,
}

impl Disk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), left: Arc::new(WORKS.into()) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("store.redb")
    }

    fn open(&self, fault: Fault) -> EmbeddedStore {
        drop(EmbeddedStore::open(self.path()).unwrap());
        let file = std::fs::File::options().read(true).write(true).open(self.path()).unwrap();
        let backend = Faulty { file: FileBackend::new(file).unwrap(), fault, left: Arc::clone(&self.left) };
        let file = StoreFile::over(Backend::new(backend), &self.path(), 1 << 20).unwrap();
        EmbeddedStore::options().over(file, &self.path()).unwrap()
    }

    fn fails_after(&self, writes: i64) {
        self.left.store(writes, Ordering::SeqCst);
    }
}

fn entry(n: usize) -> Entry {
    let key =
        CacheKey::new(Corpus::default(), ScopeId::from_bytes([0; 16]), &format!("question {n}")).unwrap();
    let now = SystemClock.now();
    Entry {
        id: key.exact,
        corpus: key.corpus,
        scope: key.scope,
        tenant: None,
        question: key.text,
        embedding: None,
        answer: Answer::new("an answer ".repeat(1_000)),
        dependencies: vec![Dependency::document(format!("d{n}"))],
        created_at: now,
        expires_at: now.saturating_add(Duration::from_hours(1)),
        recompute: Duration::ZERO,
    }
}

async fn fill(store: &EmbeddedStore, n: usize) -> Result<()> {
    let entry = entry(n);
    let read_version = store.lookup(&entry.corpus, entry.id).await?.read_version;
    let filled = store.fill(read_version, Arc::new(entry)).await?;
    assert_eq!(filled, Filled::Stored);
    Ok(())
}

async fn end(store: &EmbeddedStore, n: usize) -> Result<()> {
    store.invalidate(&Corpus::default(), &[Change::document(format!("d{n}"))]).await.map(drop)
}

async fn serves(store: &EmbeddedStore, n: usize) -> bool {
    let entry = entry(n);
    for _ in 0..600 {
        match store.lookup(&entry.corpus, entry.id).await {
            Ok(fetched) => return matches!(fetched.found, Found::Live(_)),
            // The file is being opened again.
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the file is not opened again");
}

/// Waits until the status of the store is as `what` requires.
async fn until(store: &EmbeddedStore, what: impl Fn(&StoreStatus) -> bool) {
    for _ in 0..600 {
        // While the file cannot even be opened again, there is no status.
        if store.status().await.is_ok_and(|status| what(&status)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?}", store.status().await);
}

/// Does fills and invalidations in turn; returns which fills and which invalidations succeeded.
async fn work(store: &EmbeddedStore) -> (Vec<usize>, Vec<usize>) {
    let (mut filled, mut ended) = (Vec::new(), Vec::new());
    for n in 0..6 {
        if fill(store, n).await.is_ok() {
            filled.push(n);
        }
        if n % 3 == 2 && end(store, n - 2).await.is_ok() {
            ended.push(n - 2);
        }
    }
    (filled, ended)
}

const TO_END: [usize; 2] = [0, 3];

/// Runs the work on a disk that fails after `writes`, and returns whether the disk failed at all.
async fn fails_at(fault: Fault, writes: i64, is_killed: bool) -> bool {
    let disk = Disk::new();
    let store = disk.open(fault);
    disk.fails_after(writes);
    let (filled, ended) = work(&store).await;
    let has_failed = disk.left.load(Ordering::SeqCst) < 0;
    let at = format!("{fault:?} after {writes} writes");
    if is_killed {
        drop(store);
        let store = EmbeddedStore::open(disk.path()).unwrap();
        for &n in &filled {
            assert!(TO_END.contains(&n) || serves(&store, n).await, "{n} is lost, {at}");
        }
        for n in ended {
            assert!(!serves(&store, n).await, "{n} is back, {at}");
        }
        return has_failed;
    }
    if has_failed {
        // Perhaps only the cleaning up failed.
        disk.fails_after(0);
        assert!(fill(&store, 7).await.is_err());
        assert_eq!(end(&store, 9).await.unwrap_err().kind(), ErrorKind::Incomplete);
        assert!(store.writer.unwritable().is_some() && store.writer.pending_invalidations() > 0, "{at}");
    }
    disk.fails_after(WORKS);
    until(&store, |status| status.unwritable.is_none() && status.pending_invalidations == 0).await;
    fill(&store, 8).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(disk.path()).unwrap();
    for n in filled.into_iter().chain([8]) {
        assert_eq!(serves(&store, n).await, !TO_END.contains(&n), "{n}, {at}");
    }
    has_failed
}

/// After the first error of the disk, every write was refused until the process started again.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_at_any_write_is_written_again_by_itself_and_nothing_is_lost() {
    for (fault, is_killed) in
        [(Fault::Full, false), (Fault::Full, true), (Fault::Broken, false), (Fault::Broken, true)]
    {
        let mut runs = JoinSet::new();
        for writes in 0..400 {
            // Each of the first ones, then some of those that follow.
            if writes < 60 || writes % 7 == 0 {
                runs.spawn(fails_at(fault, writes, is_killed));
            }
        }
        let outcomes = runs.join_all().await;
        let failed = outcomes.iter().filter(|has_failed| **has_failed).count();
        assert!(failed > 60 && failed < outcomes.len(), "{failed} of {} disks failed", outcomes.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_could_not_be_read_is_read_again() {
    let disk = Disk::new();
    let store = disk.open(Fault::Broken);
    fill(&store, 1).await.unwrap();
    store.status().await.unwrap();
    disk.fails_after(0);
    // Some of the file may be cached in memory.
    drop(fill(&store, 2).await);
    assert_eq!(store.status().await.unwrap_err().kind(), ErrorKind::Unavailable);
    disk.fails_after(WORKS);
    until(&store, |status| status.unwritable.is_none()).await;
    assert!(serves(&store, 1).await);
}

#[tokio::test]
async fn nobody_else_opens_a_file_that_is_opened_again() {
    let disk = Disk::new();
    drop(EmbeddedStore::open(disk.path()).unwrap());
    let file = StoreFile::open(&disk.path(), 1 << 20).unwrap();
    for _ in 0..3 {
        file.close();
        assert!(EmbeddedStore::open(disk.path()).unwrap_err().is_locked());
        file.reopen().unwrap();
    }
    drop(file);
    EmbeddedStore::open(disk.path()).unwrap();
}
