//! The commands for the thread that writes the file, and the handle that sends them.

mod health;
mod thread;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use self::health::{Health, Mending};
use self::thread::WriterThread;
use super::Serial;
use super::file::StoreFile;
use crate::clock::Clock;
use crate::entry::{Change, Entry, ids_of_document};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Corpus, DependencyId, EntryId};
use crate::store::entry_table::{EntryMeta, EntryTable};
use crate::store::{ChangeOutcome, Filled, ReadVersion, closed};

/// The most commands that may wait for the writer; further callers wait for a free place.
const MAX_WAITING: usize = 1024;

/// A step of a corpus' clock.
#[derive(Debug)]
pub(super) enum Step {
    Apply(Change),
    Hold(String),
    Release { document: String, change: Change },
}

impl Step {
    fn dependency_ids(&self) -> Vec<DependencyId> {
        match self {
            Self::Apply(change) => change.dependency_ids(),
            Self::Hold(document) | Self::Release { document, .. } => ids_of_document(document),
        }
    }
}

enum Command {
    /// Stores an entry if the clock allows it.
    Fill { meta: EntryMeta<Serial>, entry: Arc<Entry>, reply: oneshot::Sender<Result<Filled>> },
    /// Advances a clock.
    Advance { corpus: Corpus, steps: Vec<Step>, reply: oneshot::Sender<Result<Vec<ChangeOutcome>>> },
    /// Appends to the log of judgements.
    Judge { judgement: Vec<u8>, reply: oneshot::Sender<Result<()>> },
    /// Cleans up everything that is due.
    WaitIdle { reply: oneshot::Sender<Result<()>> },
    /// Writes out what is pending and ends the thread.
    Close { reply: oneshot::Sender<Result<()>> },
}

/// The handle of the writer thread. When it is dropped, the thread writes what was already sent and ends.
#[derive(Debug)]
pub(super) struct Writer {
    sender: Option<Sender<(Command, OwnedSemaphorePermit)>>,
    places: Arc<Semaphore>,
    hit: Arc<Mutex<HashSet<EntryId>>>,
    /// Every fill with a lower number is either listed or was never stored.
    fills: Arc<AtomicU64>,
    health: Arc<Health>,
    closed: AtomicBool,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn spawn(
        database: Arc<StoreFile>,
        entry_table: Arc<EntryTable<Serial>>,
        clock: Arc<dyn Clock>,
        next_serial: Serial,
    ) -> Result<Self> {
        let (sender, receiver) = channel();
        let hit = Arc::new(Mutex::new(HashSet::new()));
        let fills = Arc::new(AtomicU64::new(next_serial));
        let health = Arc::new(Health::default());
        let state = WriterThread {
            database,
            entry_table,
            clock,
            next_serial,
            fills: Arc::clone(&fills),
            hit: Arc::clone(&hit),
            health: Arc::clone(&health),
            unsaved: HashSet::new(),
            unremoved: Vec::new(),
            mending: Mending::default(),
        };
        let thread = std::thread::Builder::new()
            .name("wellspring-store".into())
            .spawn(move || state.run(&receiver))
            .map_err(|e| Error::new(ErrorKind::Store, "cannot start the store's thread").with_source(e))?;
        let places = Arc::new(Semaphore::new(MAX_WAITING));
        let (sender, closed, thread) = (Some(sender), AtomicBool::new(false), Some(thread));
        Ok(Self { sender, places, hit, fills, health, closed, thread })
    }

    pub(super) async fn fill(
        &self,
        read_version: ReadVersion,
        dependencies: Vec<DependencyId>,
        entry: Arc<Entry>,
    ) -> Result<Filled> {
        // The writer thread sets the number.
        let meta = EntryMeta::new(&entry, read_version, dependencies, 0);
        self.call(|reply| Command::Fill { meta, entry, reply }).await
    }

    pub(super) async fn advance(&self, corpus: &Corpus, steps: Vec<Step>) -> Result<Vec<ChangeOutcome>> {
        self.call(|reply| Command::Advance { corpus: corpus.clone(), steps, reply }).await
    }

    pub(super) async fn judge(&self, judgement: Vec<u8>) -> Result<()> {
        self.call(|reply| Command::Judge { judgement, reply }).await
    }

    pub(super) async fn wait_idle(&self) -> Result<()> {
        self.call(|reply| Command::WaitIdle { reply }).await
    }

    pub(super) async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        match self.send(|reply| Command::Close { reply }).await {
            // The thread has ended already.
            Err(error) if error.kind() == ErrorKind::Closed => Ok(()),
            done => done,
        }
    }

    /// An error once the store is closed.
    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(()) }
    }

    /// How many fills were answered, or slightly fewer.
    pub(super) fn fills(&self) -> u64 {
        self.fills.load(Ordering::Acquire)
    }

    /// Why the file cannot be written at present; none if it can.
    pub(super) fn unwritable(&self) -> Option<String> {
        self.health.unwritable()
    }

    /// How many invalidations are in force in this process but not in the file yet.
    pub(super) fn pending_invalidations(&self) -> u64 {
        self.health.pending()
    }

    pub(super) fn record_hit(&self, id: EntryId) {
        self.hit.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    async fn call<T>(&self, command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command) -> Result<T> {
        self.check_open()?;
        self.send(command).await
    }

    async fn send<T>(&self, command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command) -> Result<T> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        let sender = self.sender.as_ref().ok_or_else(closed)?;
        sender.send((command(reply), place)).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was already reported to its callers.
            drop(thread.join());
        }
    }
}
