//! A store in the memory of one process: fast, bounded, and lost when the process ends.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;

use crate::clock::{Clock, SystemClock};
use crate::embedding::Embedding;
use crate::entry::{Change, DocumentVersion, Entry};
use crate::error::Result;
use crate::judgement::{JudgementCursor, Logged, MAX_JUDGEMENTS};
use crate::key::{Corpus, EntryId, ScopeId};
use crate::store::entry_table::{EntryMeta, EntryTable};
use crate::store::{
    ChangeListener, ChangeOutcome, ConnectionStatus, Coordination, Fetched, Filled, Found, JudgementLog,
    Limits, ReadVersion, ScopeCursor, ScopePage, Store, StoreStatus, StoredEntry, closed,
};

/// How many changes are applied while others wait, which takes some tens of microseconds.
const CHANGES_AT_ONCE: usize = 64;

/// A bounded store in memory.
///
/// Nothing in it outlives the process, and no other process sees it. Methods fail only for invalid input, and
/// wait only for a short lock.
#[derive(Debug)]
pub struct MemoryStore {
    entry_table: EntryTable<Arc<Entry>>,
    /// The newest records of the log of judgements with their numbers, oldest first.
    judgements: Mutex<VecDeque<(u64, Logged)>>,
    secret: OnceLock<[u8; 32]>,
    closed: AtomicBool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(limits: Limits) -> Self {
        Self::with_clock(limits, Arc::new(SystemClock))
    }

    /// An empty store in which `clock` decides when entries expire.
    pub fn with_clock(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self {
            entry_table: EntryTable::new(limits, clock),
            judgements: Mutex::default(),
            secret: OnceLock::new(),
            closed: AtomicBool::new(false),
        }
    }

    fn entry_table(&self) -> Result<&EntryTable<Arc<Entry>>> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(&self.entry_table) }
    }

    /// Does one bounded step of cleaning up, and returns whether there is more to do.
    fn clean(&self) -> bool {
        let (_, more_dead) = self.entry_table.drain();
        let (_, more_expired) = self.entry_table.sweep();
        let evicted = self.entry_table.evict();
        more_dead || more_expired || !evicted.is_empty()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn lookup(&self, corpus: &Corpus, id: EntryId) -> Result<Fetched> {
        let (read_version, found) = self.entry_table()?.lookup(corpus, id);
        let found = match found {
            None => Found::Absent,
            Some(Ok(meta)) => Found::Live(Arc::clone(&meta.payload)),
            Some(Err(reason)) => Found::Dead(reason),
        };
        Ok(Fetched { read_version, found })
    }

    async fn fill(&self, read_version: ReadVersion, entry: Arc<Entry>) -> Result<Filled> {
        let entry_table = self.entry_table()?;
        let dependencies = entry.check()?;
        entry_table.check_size(&entry)?;
        let meta = EntryMeta::new(&entry, read_version, dependencies, Arc::clone(&entry));
        // This store has no thread of its own, so whoever adds something also does one bounded step of
        // cleaning up.
        let filled = match entry_table.fill(&entry, meta) {
            Ok(()) => Filled::Stored,
            Err(reason) => Filled::Refused(reason),
        };
        self.clean();
        Ok(filled)
    }

    async fn would_take(&self, read_version: ReadVersion, entry: &Entry) -> Result<bool> {
        self.entry_table()?.would_take(read_version, entry)
    }

    async fn versions(
        &self,
        corpus: &Corpus,
        _id: EntryId,
        documents: &[&str],
    ) -> Result<Vec<Option<DocumentVersion>>> {
        Ok(self.entry_table()?.versions(corpus, documents))
    }

    async fn invalidate(&self, corpus: &Corpus, changes: &[Change]) -> Result<Vec<ChangeOutcome>> {
        Change::check_all(changes)?;
        let mut outcomes = Vec::with_capacity(changes.len());
        // While changes are applied, lookups wait for the lock, and other tasks wait for the thread.
        for (n, some) in changes.chunks(CHANGES_AT_ONCE).enumerate() {
            if n > 0 {
                tokio::task::yield_now().await;
            }
            outcomes.extend(self.entry_table()?.invalidate(corpus, some));
            self.clean();
        }
        Ok(outcomes)
    }

    async fn begin_update(&self, corpus: &Corpus, document: &str) -> Result<()> {
        Change::document(document).check()?;
        self.entry_table()?.begin_update(corpus, document);
        Ok(())
    }

    async fn end_update(
        &self,
        corpus: &Corpus,
        document: &str,
        version: Option<DocumentVersion>,
    ) -> Result<ChangeOutcome> {
        let change = Change::Document { id: document.to_owned(), version };
        change.check()?;
        let outcome = self.entry_table()?.end_update(corpus, document, &change);
        self.clean();
        Ok(outcome)
    }

    async fn dependants(&self, corpus: &Corpus, change: &Change) -> Result<Vec<StoredEntry>> {
        change.check()?;
        Ok(self.entry_table()?.dependants(corpus, change).iter().map(|(_, meta)| stored(meta)).collect())
    }

    async fn scan(&self, after: Option<EntryId>, limit: usize) -> Result<Vec<StoredEntry>> {
        Ok(self.entry_table()?.page(after, limit).iter().map(|(_, meta)| stored(meta)).collect())
    }

    async fn scope_page(
        &self,
        corpus: &Corpus,
        scope: ScopeId,
        cursor: Option<ScopeCursor>,
    ) -> Result<ScopePage> {
        Ok(self.entry_table()?.scope_page(corpus, scope, cursor, |_| 0))
    }

    async fn embeddings(&self, _corpus: &Corpus, ids: &[EntryId]) -> Result<Vec<Option<Embedding>>> {
        let entry_table = self.entry_table()?;
        // Not a lookup, because that would count as a use.
        Ok(ids.iter().map(|id| entry_table.listed(*id)?.payload.embedding.clone()).collect())
    }

    fn holds(&self, scope: ScopeId) -> bool {
        self.entry_table.holds(scope)
    }

    fn fills(&self) -> Option<u64> {
        None
    }

    fn record_hit(&self, _corpus: &Corpus, id: EntryId) {
        self.entry_table.record_hit(id);
    }

    fn listen(&self, listener: Arc<dyn ChangeListener>) {
        self.entry_table.listen(listener);
    }

    async fn status(&self) -> Result<StoreStatus> {
        let entry_table = self.entry_table()?;
        // Otherwise dead entries that are not cleaned up yet would be counted.
        while self.clean() {
            tokio::task::yield_now().await;
        }
        Ok(StoreStatus { location: "memory:".into(), ..entry_table.status() })
    }

    async fn ready(&self) -> Result<()> {
        self.entry_table().map(drop)
    }

    fn connection(&self) -> Option<ConnectionStatus> {
        None
    }

    fn coordination(&self) -> Option<&dyn Coordination> {
        None
    }

    async fn secret(&self, offered: [u8; 32]) -> Result<[u8; 32]> {
        self.entry_table()?;
        Ok(*self.secret.get_or_init(|| offered))
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}

#[async_trait]
impl JudgementLog for MemoryStore {
    async fn record_judgement(&self, logged: &Logged) -> Result<()> {
        self.entry_table()?;
        let mut judgements = self.judgements.lock().unwrap_or_else(PoisonError::into_inner);
        let number = judgements.back().map_or(0, |(number, _)| number + 1);
        judgements.push_back((number, logged.clone()));
        if judgements.len() > MAX_JUDGEMENTS {
            judgements.pop_front();
        }
        Ok(())
    }

    async fn judgements(
        &self,
        after: Option<JudgementCursor>,
        limit: usize,
    ) -> Result<Vec<(JudgementCursor, Logged)>> {
        self.entry_table()?;
        let judgements = self.judgements.lock().unwrap_or_else(PoisonError::into_inner);
        let first = after.map_or(0, |JudgementCursor(_, number)| number + 1);
        let start = judgements.partition_point(|(number, _)| *number < first);
        let page = judgements.range(start..).take(limit);
        Ok(page.map(|(number, logged)| (JudgementCursor(0, *number), logged.clone())).collect())
    }
}

fn stored(meta: &EntryMeta<Arc<Entry>>) -> StoredEntry {
    StoredEntry { entry: Arc::clone(&meta.payload), hits: meta.hits.load(Ordering::Relaxed) }
}
