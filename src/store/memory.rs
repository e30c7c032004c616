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
use crate::store::ledger::{Ledger, Resident};
use crate::store::{
    ChangeListener, ChangeOutcome, ConnectionStatus, Coordination, Fetched, Filled, Found, JudgementLog,
    Limits, ScopeCursor, ScopePage, Snapshot, Store, StoreStatus, StoredEntry, closed,
};

/// How many changes are applied while others wait, which takes some tens of microseconds.
const CHANGES_AT_ONCE: usize = 64;

/// A bounded store in memory.
///
/// Nothing in it outlives the process, and no other process sees it. Methods fail only for invalid input, and
/// wait only for a short lock.
#[derive(Debug)]
pub struct MemoryStore {
    ledger: Ledger<Arc<Entry>>,
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
            ledger: Ledger::new(limits, clock),
            judgements: Mutex::default(),
            secret: OnceLock::new(),
            closed: AtomicBool::new(false),
        }
    }

    fn ledger(&self) -> Result<&Ledger<Arc<Entry>>> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(&self.ledger) }
    }

    /// Does one bounded step of cleaning up, and returns whether there is more to do.
    fn clean(&self) -> bool {
        let (_, more_dead) = self.ledger.drain();
        let (_, more_expired) = self.ledger.sweep();
        let evicted = self.ledger.evict();
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
        let (snapshot, found) = self.ledger()?.lookup(corpus, id);
        let found = match found {
            None => Found::Absent,
            Some(Ok(resident)) => Found::Live(Arc::clone(&resident.payload)),
            Some(Err(reason)) => Found::Dead(reason),
        };
        Ok(Fetched { snapshot, found })
    }

    async fn fill(&self, snapshot: Snapshot, entry: Arc<Entry>) -> Result<Filled> {
        let ledger = self.ledger()?;
        let dependencies = entry.check()?;
        ledger.check_size(&entry)?;
        let resident = Resident::new(&entry, snapshot, dependencies, Arc::clone(&entry));
        let filled = match ledger.fill(&entry, resident) {
            Ok(()) => Filled::Stored,
            Err(reason) => Filled::Refused(reason),
        };
        self.clean();
        Ok(filled)
    }

    async fn would_take(&self, snapshot: Snapshot, entry: &Entry) -> Result<bool> {
        self.ledger()?.would_take(snapshot, entry)
    }

    async fn versions(
        &self,
        corpus: &Corpus,
        _id: EntryId,
        documents: &[&str],
    ) -> Result<Vec<Option<DocumentVersion>>> {
        Ok(self.ledger()?.versions(corpus, documents))
    }

    async fn invalidate(&self, corpus: &Corpus, changes: &[Change]) -> Result<Vec<ChangeOutcome>> {
        Change::check_all(changes)?;
        let mut outcomes = Vec::with_capacity(changes.len());
        // While changes are applied, lookups wait for the lock, and other tasks wait for the thread.
        for (n, some) in changes.chunks(CHANGES_AT_ONCE).enumerate() {
            if n > 0 {
                tokio::task::yield_now().await;
            }
            outcomes.extend(self.ledger()?.invalidate(corpus, some));
            self.clean();
        }
        Ok(outcomes)
    }

    async fn begin_update(&self, corpus: &Corpus, document: &str) -> Result<()> {
        Change::document(document).check()?;
        self.ledger()?.begin_update(corpus, document);
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
        let outcome = self.ledger()?.end_update(corpus, document, &change);
        self.clean();
        Ok(outcome)
    }

    async fn dependants(&self, corpus: &Corpus, change: &Change) -> Result<Vec<StoredEntry>> {
        change.check()?;
        Ok(self.ledger()?.dependants(corpus, change).iter().map(|(_, resident)| stored(resident)).collect())
    }

    async fn scan(&self, after: Option<EntryId>, limit: usize) -> Result<Vec<StoredEntry>> {
        Ok(self.ledger()?.page(after, limit).iter().map(|(_, resident)| stored(resident)).collect())
    }

    async fn scope_page(
        &self,
        corpus: &Corpus,
        scope: ScopeId,
        cursor: Option<ScopeCursor>,
    ) -> Result<ScopePage> {
        Ok(self.ledger()?.scope_page(corpus, scope, cursor, |_| 0))
    }

    async fn embeddings(&self, _corpus: &Corpus, ids: &[EntryId]) -> Result<Vec<Option<Embedding>>> {
        let ledger = self.ledger()?;
        // Not a lookup, because that would count as a use.
        Ok(ids.iter().map(|id| ledger.listed(*id)?.payload.embedding.clone()).collect())
    }

    fn holds(&self, scope: ScopeId) -> bool {
        self.ledger.holds(scope)
    }

    fn fills(&self) -> Option<u64> {
        None
    }

    fn record_hit(&self, _corpus: &Corpus, id: EntryId) {
        self.ledger.record_hit(id);
    }

    fn listen(&self, listener: Arc<dyn ChangeListener>) {
        self.ledger.listen(listener);
    }

    async fn status(&self) -> Result<StoreStatus> {
        let ledger = self.ledger()?;
        // Otherwise dead entries that are not cleaned up yet would be counted.
        while self.clean() {
            tokio::task::yield_now().await;
        }
        Ok(StoreStatus { location: "memory:".into(), ..ledger.status() })
    }

    async fn ready(&self) -> Result<()> {
        self.ledger().map(drop)
    }

    fn connection(&self) -> Option<ConnectionStatus> {
        None
    }

    fn coordination(&self) -> Option<&dyn Coordination> {
        None
    }

    async fn secret(&self, offered: [u8; 32]) -> Result<[u8; 32]> {
        self.ledger()?;
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
        self.ledger()?;
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
        self.ledger()?;
        let judgements = self.judgements.lock().unwrap_or_else(PoisonError::into_inner);
        let first = after.map_or(0, |JudgementCursor(_, number)| number + 1);
        let start = judgements.partition_point(|(number, _)| *number < first);
        let page = judgements.range(start..).take(limit);
        Ok(page.map(|(number, logged)| (JudgementCursor(0, *number), logged.clone())).collect())
    }
}

fn stored(resident: &Resident<Arc<Entry>>) -> StoredEntry {
    StoredEntry { entry: Arc::clone(&resident.payload), hits: resident.hits.load(Ordering::Relaxed) }
}
