//! The thread that writes the file.
//!
//! It applies commands in the order in which they came, gathers what waits into one transaction, and
//! answers after the commit. That order is the whole of the store's consistency: a fill is checked
//! against a clock that no later change has touched, and a clock on disk is never older than an entry.
//!
//! Removing what is dead waits until the callers are answered, and is done in small steps between their
//! transactions: what an invalidation costs does not depend on how much it ends.
//!
//! If the file cannot be written, the clock in memory has advanced all the same, so nothing stale is
//! served while the process lives; the caller is told that the invalidation is not durable, and the next
//! commit that succeeds writes the whole clock.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redb::Durability;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::super::Serial;
use super::super::clock_rows::ClockRows;
use super::super::file::StoreFile;
use super::super::format::{Batch, Record};
use super::{Command, Step};
use crate::clock::Clock;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Corpus, DependencyId, EntryId};
use crate::store::ledger::{Ledger, Resident};
use crate::store::{ChangeOutcome, Filled};

/// The most commands in one transaction.
const MAX_BATCH: usize = 256;
/// How often what has no caller is done: hit counts, expiry.
const TICK: Duration = Duration::from_secs(1);

type Reply<T> = oneshot::Sender<Result<T>>;

pub(super) struct WriterThread {
    database: Arc<StoreFile>,
    ledger: Arc<Ledger<Serial>>,
    clock: Arc<dyn Clock>,
    next_serial: Serial,
    /// What others see of it: the number below which every fill is done.
    fills: Arc<AtomicU64>,
    hit: Arc<Mutex<HashSet<EntryId>>>,
    /// Corpora whose clock on disk may be behind.
    unsaved: HashSet<Corpus>,
    /// Entries that are forgotten but still in the file.
    unremoved: Vec<EntryId>,
}

/// The commands of one transaction, applied to the books and not committed yet.
#[derive(Default)]
struct Turn {
    batch: Batch,
    admitted: HashMap<EntryId, Resident<Serial>>,
    /// The rows of clocks that may have changed.
    touched: HashMap<Corpus, Vec<DependencyId>>,
    outcomes: Vec<Outcome>,
    settling: Vec<Reply<()>>,
    closing: Vec<Reply<()>>,
    /// Held until the commands are answered.
    places: Vec<OwnedSemaphorePermit>,
}

/// What a command is answered once the commit is known.
enum Outcome {
    Filled(Reply<Filled>, Filled),
    Advanced(Reply<Vec<ChangeOutcome>>, Vec<ChangeOutcome>),
    Judged(Reply<()>),
}

impl WriterThread {
    pub(super) fn new(
        database: Arc<StoreFile>,
        ledger: Arc<Ledger<Serial>>,
        clock: Arc<dyn Clock>,
        fills: Arc<AtomicU64>,
        hit: Arc<Mutex<HashSet<EntryId>>>,
    ) -> Self {
        let (unsaved, unremoved) = (HashSet::new(), Vec::new());
        let next_serial = fills.load(Ordering::Relaxed);
        Self { database, ledger, clock, next_serial, fills, hit, unsaved, unremoved }
    }

    /// Works until the store is closed or its handle dropped.
    pub(super) fn run(mut self, receiver: &Receiver<(Command, OwnedSemaphorePermit)>) {
        let mut is_dirty = true;
        let mut last_tick = Instant::now();
        let mut settling = Vec::new();
        loop {
            // While there is something to clean up, the thread only looks for commands, and works on.
            let wait = if is_dirty { Duration::ZERO } else { TICK };
            let first = match receiver.recv_timeout(wait) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut turn = Turn::default();
            for (command, place) in first.into_iter().chain(receiver.try_iter()).take(MAX_BATCH) {
                turn.places.push(place);
                self.apply(command, &mut turn);
            }
            let (settle, close) = self.finish(turn);
            settling.extend(settle);
            let is_due = last_tick.elapsed() >= TICK;
            if is_due {
                last_tick = Instant::now();
            }
            is_dirty = self.clean_up(is_due || !close.is_empty());
            // Who waits for the end of cleaning up holds nobody else up: commands go first.
            if !is_dirty || !close.is_empty() {
                done(settling.drain(..));
            }
            if !close.is_empty() {
                done(close);
                return;
            }
        }
        self.clean_up(true);
    }

    /// Applies a command to the books, and adds to `turn` what has to be written for it.
    fn apply(&mut self, command: Command, turn: &mut Turn) {
        match command {
            Command::Fill { mut resident, entry, reply } => {
                resident.payload = self.next_serial;
                self.next_serial += 1;
                match self.admit(&resident, &entry) {
                    Ok(Ok(record)) => {
                        turn.touched.entry(entry.corpus.clone()).or_default();
                        turn.batch.records.push(record);
                        turn.admitted.insert(entry.id, resident);
                        turn.outcomes.push(Outcome::Filled(reply, Filled::Stored));
                    }
                    Ok(Err(refused)) => turn.outcomes.push(Outcome::Filled(reply, refused)),
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            Command::Advance { corpus, steps, reply } => {
                let ids = turn.touched.entry(corpus.clone()).or_default();
                let advance = |step: Step| {
                    ids.extend(step.dependency_ids());
                    self.step(&corpus, &step)
                };
                let advanced = steps.into_iter().map(advance).collect();
                turn.outcomes.push(Outcome::Advanced(reply, advanced));
            }
            Command::Judge { judgement, reply } => {
                turn.batch.judgements.push(judgement);
                turn.outcomes.push(Outcome::Judged(reply));
            }
            Command::Settle { reply } => turn.settling.push(reply),
            Command::Close { reply } => turn.closing.push(reply),
        }
    }

    fn admit(&self, resident: &Resident<Serial>, entry: &Entry) -> Result<Result<Record, Filled>> {
        match self.ledger.refusal(resident, entry) {
            Some(reason) => Ok(Err(Filled::Refused(reason))),
            None => Record::new(resident, entry).map(Ok),
        }
    }

    fn step(&self, corpus: &Corpus, step: &Step) -> ChangeOutcome {
        match step {
            Step::Apply(change) => {
                self.ledger.invalidate(corpus, std::slice::from_ref(change)).swap_remove(0)
            }
            Step::Hold(document) => {
                self.ledger.begin_update(corpus, document);
                ChangeOutcome::Dropped(0)
            }
            Step::Release { document, change } => self.ledger.end_update(corpus, document, change),
        }
    }

    /// Commits a turn, lists what it stored, and answers its callers. Returns those who wait for more.
    fn finish(&mut self, mut turn: Turn) -> (Vec<Reply<()>>, Vec<Reply<()>>) {
        // Corpora that an earlier commit failed to write come along.
        for corpus in &self.unsaved {
            turn.touched.entry(corpus.clone()).or_default();
        }
        for (corpus, ids) in &turn.touched {
            let whole = self.unsaved.contains(corpus);
            turn.batch.clocks.push(self.ledger.with_clock(corpus, |clock| {
                if whole { ClockRows::all(corpus, clock) } else { ClockRows::of(corpus, clock, ids) }
            }));
        }
        turn.batch.next_serial = self.next_serial;
        let committed = self.commit(&turn.batch);
        if committed.is_ok() {
            self.unsaved.clear();
            for (id, resident) in turn.admitted {
                self.ledger.insert(id, resident);
            }
        } else {
            self.unsaved.extend(turn.touched.into_keys());
        }
        self.fills.store(self.next_serial, Ordering::Release);
        for outcome in turn.outcomes {
            answer(outcome, &committed);
        }
        (turn.settling, turn.closing)
    }

    /// One step of removing what nobody may be served any more; with the counts of hits if they are due.
    /// Returns whether there is more to do.
    fn clean_up(&mut self, hits_are_due: bool) -> bool {
        let (dead, more_dead) = self.ledger.drain();
        let (expired, more_expired) = self.ledger.sweep();
        let evicted = self.ledger.evict();
        let more_evicted = !evicted.is_empty();
        let mut removed = std::mem::take(&mut self.unremoved);
        // What could not be removed before may have been stored anew since.
        removed.retain(|id| self.ledger.hits(*id).is_none());
        removed.extend(dead.into_iter().chain(expired).chain(evicted));
        let hits = if hits_are_due { self.take_hits() } else { Vec::new() };
        let batch = Batch { removed, hits, ..Batch::default() };
        if self.commit(&batch).is_err() {
            // Nothing of it is wrong to be served by a later run: dead entries are dead by the clock.
            self.unremoved = batch.removed;
            return false;
        }
        more_dead || more_expired || more_evicted
    }

    fn take_hits(&self) -> Vec<(EntryId, u64)> {
        let hit = std::mem::take(&mut *self.hit.lock().unwrap_or_else(PoisonError::into_inner));
        hit.into_iter().filter_map(|id| Some((id, self.ledger.hits(id)?))).collect()
    }

    /// Writes `batch` durably. Removals too, though nobody needs that: without an fsync of their own, the
    /// next caller's would have to write all the pages that they touched.
    fn commit(&self, batch: &Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let write = || -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            batch.write(&transaction, self.clock.now())?;
            transaction.commit()?;
            Ok(())
        };
        let result = catch_unwind(AssertUnwindSafe(write))
            .map_err(|_| Error::new(ErrorKind::Corrupt, "the store's file is damaged"))?;
        result.map_err(|e| Error::new(ErrorKind::Store, "cannot write the store's file").with_source(e))
    }
}

fn done(replies: impl IntoIterator<Item = Reply<()>>) {
    for reply in replies {
        drop(reply.send(Ok(())));
    }
}

fn answer(outcome: Outcome, committed: &Result<()>) {
    // A caller that stopped waiting has dropped its receiver; what it asked for is done all the same.
    let failed = || committed.as_ref().err().map(again);
    match outcome {
        Outcome::Filled(reply, filled) => drop(reply.send(failed().map_or(Ok(filled), Err))),
        Outcome::Judged(reply) => drop(reply.send(failed().map_or(Ok(()), Err))),
        Outcome::Advanced(reply, outcomes) => drop(reply.send(failed().map_or(Ok(outcomes), |_| {
            Err(Error::new(
                ErrorKind::Store,
                "the invalidation holds in this process but could not be written to disk; try it again",
            ))
        }))),
    }
}

/// Every caller of a failed batch gets the error; errors are not cloneable.
fn again(error: &Error) -> Error {
    use std::error::Error as _;
    let cause = error.source().map_or_else(String::new, |source| format!(": {source}"));
    Error::new(error.kind(), format!("{error}{cause}"))
}
