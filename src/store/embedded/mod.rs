//! A store in one file on disk, for one process at a time.
//!
//! A read takes the entry's place in the table from memory and its body from the file, in a redb read
//! transaction, which never waits. Writes go through one thread, which gathers the waiting commands into one
//! transaction and one fsync. So once a fill or an invalidation has returned, it is on disk.
//!
//! The clock in memory may be ahead of the clock on disk, but never behind it. It advances before the
//! transaction is committed, and nothing that was stored under the newer clock is written before that clock
//! is.
//!
//! When the file cannot be written, because the disk is full or for another error, the stored answers are
//! still served. Changes take effect in this process, their callers get an error saying that they are not on
//! disk, and fills fail. Writing is tried again every few seconds, and once it works, the clocks are written
//! first.
//!
//! Copying an old file back over a newer one brings back answers that were invalidated in between, and
//! nothing in the file can show that. Invalidate everything after restoring a backup.

mod backend;
mod clock_rows;
mod encoding;
mod failures;
#[cfg(test)]
mod faults;
mod file;
mod format;
mod judgements;
mod secret;
mod writer;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;

use self::failures::{corrupt, read_error};
use self::file::StoreFile;
use self::writer::{Step, Writer};
use crate::clock::{Clock, SystemClock};
use crate::embedding::Embedding;
use crate::entry::{Change, DocumentVersion, Entry};
use crate::error::{Error, ErrorKind, Result};
use crate::judgement::{JudgementCursor, Logged};
use crate::key::{Corpus, EntryId, ScopeId};
use crate::store::batches::Batches;
use crate::store::entry_table::{EntryMeta, EntryTable};
use crate::store::{
    ChangeListener, ChangeOutcome, ConnectionStatus, Coordination, Fetched, Filled, Found, JudgementLog,
    Limits, ReadVersion, ScopeCursor, ScopePage, Store, StoreStatus, StoredEntry,
};

/// Numbers the writes, so that a body is served only together with the entry in the table that it was written
/// with.
type Serial = u64;

/// How many changes one transaction has. Fills wait for it for some tens of milliseconds; lookups do not
/// wait.
const CHANGES_AT_ONCE: usize = 1_000;

/// How an [`EmbeddedStore`] is opened.
#[derive(Debug, Clone)]
#[must_use]
pub struct EmbeddedOptions {
    limits: Limits,
    cache_bytes: usize,
    clock: Arc<dyn Clock>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            cache_bytes: Self::DEFAULT_CACHE_BYTES,
            clock: Arc::new(SystemClock),
        }
    }
}

impl EmbeddedOptions {
    /// How many bytes of the file are kept in memory by default: 64 MiB.
    pub const DEFAULT_CACHE_BYTES: usize = 64 << 20;

    /// Sets how much the store may hold. The file is somewhat larger than its entries and does not shrink.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how many bytes of the file are kept in this process's memory, 64 MiB by default. The
    /// operating system's page cache comes on top.
    pub fn cache_bytes(mut self, cache_bytes: usize) -> Self {
        self.cache_bytes = cache_bytes;
        self
    }

    /// Sets the clock that decides when entries expire.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Opens the store at `path`. Creates it, and its folder, if there is none.
    ///
    /// # Errors
    ///
    /// `Locked` if another process has it open; `Corrupt` if the file is damaged or is not a Wellspring
    /// store, in which case the file is left unchanged; `Store` if it cannot be read or written.
    pub fn open(self, path: impl AsRef<Path>) -> Result<EmbeddedStore> {
        let path = path.as_ref();
        // redb asserts its expectations of its own files, and a damaged file can break them.
        catch_unwind(AssertUnwindSafe(|| self.open_file(path)))
            .unwrap_or_else(|_| Err(corrupt(path, "its structure is damaged")))
    }

    fn open_file(self, path: &Path) -> Result<EmbeddedStore> {
        let file = StoreFile::open(path, self.cache_bytes)?;
        self.over(file, path)
    }

    fn over(self, file: StoreFile, path: &Path) -> Result<EmbeddedStore> {
        let entry_table = Arc::new(EntryTable::new(self.limits, Arc::clone(&self.clock)));
        let next_serial = file.with(|database| format::load(database, &entry_table, path))?;
        let database = Arc::new(file);
        let writer = Writer::spawn(Arc::clone(&database), Arc::clone(&entry_table), self.clock, next_serial)?;
        Ok(EmbeddedStore { database, entry_table, writer, path: path.to_owned() })
    }
}

/// A store in one file on disk, for one process at a time.
///
/// Once a fill or an invalidation has returned, it is on disk; writes that come together share one fsync.
/// Restoring an old copy of the file brings back answers that were invalidated since, and nothing in the file
/// can show that: invalidate everything after restoring a backup.
///
/// Another process can open the file once the last handle is dropped.
pub struct EmbeddedStore {
    // Dropped first: the writer ends before the database closes.
    writer: Writer,
    database: Arc<StoreFile>,
    entry_table: Arc<EntryTable<Serial>>,
    path: PathBuf,
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// Opens the store at `path` with default options.
    ///
    /// # Errors
    ///
    /// Those of [`EmbeddedOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    /// The options with which to open a store.
    pub fn options() -> EmbeddedOptions {
        EmbeddedOptions::default()
    }

    /// Finds out whether the file can be written, by writing 1 MiB to it and removing that. Blocks. Only for
    /// a store that is not in use, since an error closes the file for a moment.
    ///
    /// # Errors
    ///
    /// `Unavailable` if it cannot be written.
    pub fn check_writable(&self) -> Result<()> {
        self.database.check_room()?;
        self.database.probe()
    }

    /// The body of an entry; none if it was replaced or removed since its place was looked up, or if it is
    /// damaged. Reading takes some microseconds and runs on the caller's thread.
    fn body(&self, id: EntryId, meta: &EntryMeta<Serial>) -> Result<Option<Arc<Entry>>> {
        let body = self.database.read(|transaction| {
            let bodies = transaction.open_table(format::BODIES).map_err(read_error)?;
            let body = bodies.get(id.as_bytes()).map_err(read_error)?;
            Ok(body.and_then(|body| format::decode_body(&meta.corpus, id, body.value())))
        })?;
        Ok(body.filter(|&(written, _)| written == meta.payload).map(|(_, entry)| Arc::new(entry)))
    }

    fn bodies(&self, metas: Vec<(EntryId, Arc<EntryMeta<Serial>>)>) -> Result<Vec<StoredEntry>> {
        let mut entries = Vec::with_capacity(metas.len());
        for (id, meta) in metas {
            if let Some(entry) = self.body(id, &meta)? {
                entries.push(StoredEntry { entry, hits: meta.hits.load(Ordering::Relaxed) });
            }
        }
        Ok(entries)
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn lookup(&self, corpus: &Corpus, id: EntryId) -> Result<Fetched> {
        self.writer.check_open()?;
        let (read_version, found) = self.entry_table.lookup(corpus, id);
        let found = match found {
            None => Found::Absent,
            Some(Err(reason)) => Found::Dead(reason),
            Some(Ok(meta)) => self.body(id, &meta)?.map_or(Found::Absent, Found::Live),
        };
        Ok(Fetched { read_version, found })
    }

    async fn fill(&self, read_version: ReadVersion, entry: Arc<Entry>) -> Result<Filled> {
        let dependencies = entry.check()?;
        self.entry_table.check_size(&entry)?;
        self.writer.fill(read_version, dependencies, entry).await
    }

    async fn would_take(&self, read_version: ReadVersion, entry: &Entry) -> Result<bool> {
        self.entry_table.would_take(read_version, entry)
    }

    async fn versions(
        &self,
        corpus: &Corpus,
        _id: EntryId,
        documents: &[&str],
    ) -> Result<Vec<Option<DocumentVersion>>> {
        self.writer.check_open()?;
        Ok(self.entry_table.versions(corpus, documents))
    }

    async fn invalidate(&self, corpus: &Corpus, changes: &[Change]) -> Result<Vec<ChangeOutcome>> {
        Change::check_all(changes)?;
        let mut batches = Batches::default();
        for some in changes.chunks(CHANGES_AT_ONCE) {
            let steps = some.iter().cloned().map(Step::Apply).collect();
            batches.add(some.len(), self.writer.advance(corpus, steps).await);
        }
        batches.outcomes()
    }

    async fn begin_update(&self, corpus: &Corpus, document: &str) -> Result<()> {
        Change::document(document).check()?;
        self.writer.advance(corpus, vec![Step::Hold(document.to_owned())]).await.map(drop)
    }

    async fn end_update(
        &self,
        corpus: &Corpus,
        document: &str,
        version: Option<DocumentVersion>,
    ) -> Result<ChangeOutcome> {
        let change = Change::Document { id: document.to_owned(), version };
        change.check()?;
        let release = Step::Release { document: document.to_owned(), change };
        let outcomes = self.writer.advance(corpus, vec![release]).await?;
        Ok(outcomes.into_iter().next().unwrap_or(ChangeOutcome::Dropped(0)))
    }

    async fn dependants(&self, corpus: &Corpus, change: &Change) -> Result<Vec<StoredEntry>> {
        self.writer.check_open()?;
        change.check()?;
        self.bodies(self.entry_table.dependants(corpus, change))
    }

    async fn scan(&self, after: Option<EntryId>, limit: usize) -> Result<Vec<StoredEntry>> {
        self.writer.check_open()?;
        let mut after = after;
        loop {
            let page = self.entry_table.page(after, limit);
            let Some(&(last, _)) = page.last() else { return Ok(Vec::new()) };
            let entries = self.bodies(page)?;
            // All entries of a page may have been removed meanwhile, or be damaged, and an empty page would
            // mean the end.
            if !entries.is_empty() {
                return Ok(entries);
            }
            after = Some(last);
        }
    }

    async fn scope_page(
        &self,
        corpus: &Corpus,
        scope: ScopeId,
        cursor: Option<ScopeCursor>,
    ) -> Result<ScopePage> {
        self.writer.check_open()?;
        Ok(self.entry_table.scope_page(corpus, scope, cursor, |meta| meta.payload))
    }

    fn holds(&self, scope: ScopeId) -> bool {
        self.entry_table.holds(scope)
    }

    fn fills(&self) -> Option<u64> {
        Some(self.writer.fills())
    }

    async fn embeddings(&self, _corpus: &Corpus, ids: &[EntryId]) -> Result<Vec<Option<Embedding>>> {
        self.writer.check_open()?;
        let embedding = |id: &EntryId| {
            // Not a lookup, because that would count as a use.
            let Some(meta) = self.entry_table.listed(*id) else { return Ok(None) };
            Ok(self.body(*id, &meta)?.and_then(|entry| entry.embedding.clone()))
        };
        ids.iter().map(embedding).collect()
    }

    fn record_hit(&self, _corpus: &Corpus, id: EntryId) {
        self.entry_table.record_hit(id);
        self.writer.record_hit(id);
    }

    fn listen(&self, listener: Arc<dyn ChangeListener>) {
        self.entry_table.listen(listener);
    }

    async fn status(&self) -> Result<StoreStatus> {
        let unwritable = self.writer.unwritable();
        // While the file cannot be written, nothing in it is cleaned up, and opening it again may take
        // seconds.
        if unwritable.is_none() {
            self.writer.wait_idle().await?;
        } else {
            self.writer.check_open()?;
            // If the file could not be opened again either, nothing is served.
            self.database.with(|_| Ok(()))?;
        }
        Ok(StoreStatus {
            location: format!("embedded:{}", self.path.display()),
            pending_invalidations: self.writer.pending_invalidations(),
            unwritable,
            ..self.entry_table.status()
        })
    }

    async fn ready(&self) -> Result<()> {
        self.status().await.map(drop)
    }

    fn connection(&self) -> Option<ConnectionStatus> {
        None
    }

    fn coordination(&self) -> Option<&dyn Coordination> {
        None
    }

    async fn secret(&self, offered: [u8; 32]) -> Result<[u8; 32]> {
        self.writer.check_open()?;
        let database = Arc::clone(&self.database);
        let kept = tokio::task::spawn_blocking(move || secret::keep(&database, offered));
        kept.await
            .map_err(|e| Error::new(ErrorKind::Store, "cannot read the store's secret").with_source(e))?
    }

    async fn close(&self) -> Result<()> {
        self.writer.close().await
    }
}

#[async_trait]
impl JudgementLog for EmbeddedStore {
    async fn record_judgement(&self, logged: &Logged) -> Result<()> {
        self.writer.judge(judgements::encode(logged)?).await
    }

    async fn judgements(
        &self,
        after: Option<JudgementCursor>,
        limit: usize,
    ) -> Result<Vec<(JudgementCursor, Logged)>> {
        self.writer.check_open()?;
        self.database.read(|transaction| judgements::read(transaction, after, limit))
    }
}
