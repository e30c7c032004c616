//! The thread that writes the file.
//!
//! It applies commands in the order in which they came, gathers the waiting ones into one transaction, and
//! answers after the commit. The consistency of the store rests on that order alone: a fill is checked
//! against a clock that no later change has touched, and a clock on disk is never older than an entry.
//!
//! Dead entries are removed only after the callers are answered, in small steps between the callers'
//! transactions. So the cost of an invalidation does not depend on how many entries it ends.
//!
//! If the file cannot be written, the clock in memory has advanced all the same, so nothing stale is served
//! while the process lives, and the caller gets an error saying that the invalidation is not durable. The
//! database is opened again at once, so that reads go on, except on a file system that has become read-only:
//! there, redb cannot open it, and lookups bypass the store. Nothing is written until [mending](Mending) the
//! file shows that it can be written; mending starts by writing all of the clocks.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::super::Serial;
use super::super::clock_rows::ClockRows;
use super::super::file::StoreFile;
use super::super::format::{Batch, Record};
use super::health::{Health, Mending};
use super::{Command, Step};
use crate::clock::Clock;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Corpus, DependencyId, EntryId};
use crate::store::entry_table::{EntryMeta, EntryTable};
use crate::store::{ChangeOutcome, Filled};

/// The most commands in one transaction.
/// Callers are answered after the commit, so the first of a larger one would wait longer.
const MAX_BATCH: usize = 256;
/// How often the work without a caller is done: hit counts and expiry.
const TICK: Duration = Duration::from_secs(1);

type Reply<T> = oneshot::Sender<Result<T>>;

pub(super) struct WriterThread {
    pub(super) database: Arc<StoreFile>,
    pub(super) entry_table: Arc<EntryTable<Serial>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) next_serial: Serial,
    /// The part that others see: the number below which every fill is done.
    pub(super) fills: Arc<AtomicU64>,
    pub(super) hit: Arc<Mutex<HashSet<EntryId>>>,
    pub(super) health: Arc<Health>,
    /// Corpora whose clock on disk may be behind.
    pub(super) unsaved: HashSet<Corpus>,
    /// Entries that are forgotten but still in the file.
    pub(super) unremoved: Vec<EntryId>,
    pub(super) mending: Mending,
}

/// The commands of one transaction, applied to the table and not committed yet.
#[derive(Default)]
struct GroupCommit {
    batch: Batch,
    admitted: HashMap<EntryId, EntryMeta<Serial>>,
    /// The rows of clocks that may have changed.
    touched: HashMap<Corpus, Vec<DependencyId>>,
    outcomes: Vec<Outcome>,
    idle_waiters: Vec<Reply<()>>,
    closing: Vec<Reply<()>>,
    /// Held until the commands are answered.
    places: Vec<OwnedSemaphorePermit>,
}

/// The answer to a command, sent once the result of the commit is known.
enum Outcome {
    Filled(Reply<Filled>, Filled),
    Advanced(Reply<Vec<ChangeOutcome>>, Vec<ChangeOutcome>),
    Judged(Reply<()>),
}

impl WriterThread {
    /// Works until the store is closed or its handle is dropped.
    pub(super) fn run(mut self, receiver: &Receiver<(Command, OwnedSemaphorePermit)>) {
        let mut is_dirty = true;
        let mut last_tick = Instant::now();
        let mut idle_waiters = Vec::new();
        loop {
            // While there is something to clean up, the thread does not wait for commands: it only checks for
            // them.
            let wait = if is_dirty { Duration::ZERO } else { TICK };
            let first = match receiver.recv_timeout(wait) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            // First: as long as the file counts as unwritable, every command of the turn fails.
            self.mend();
            let mut group = GroupCommit::default();
            for (command, place) in first.into_iter().chain(receiver.try_iter()).take(MAX_BATCH) {
                group.places.push(place);
                self.apply(command, &mut group);
            }
            let (wait_idle, close) = self.finish(group);
            idle_waiters.extend(wait_idle);
            let is_due = last_tick.elapsed() >= TICK;
            if is_due {
                last_tick = Instant::now();
            }
            is_dirty = self.clean_up(is_due || !close.is_empty());
            // Callers that wait for the end of cleaning up do not hold up anyone else: commands go first.
            if !is_dirty || !close.is_empty() {
                done(idle_waiters.drain(..));
            }
            if !close.is_empty() {
                let saved = self.save_clocks();
                for reply in close {
                    drop(reply.send(saved.as_ref().copied().map_err(again)));
                }
                return;
            }
        }
        self.clean_up(true);
        if let Err(error) = self.save_clocks() {
            tracing::error!(%error, "invalidations are lost: the store's file cannot be written");
        }
    }

    /// After an error, finds out whether the file can be written again, if an attempt is due.
    fn mend(&mut self) {
        if !self.mending.is_needed() && self.database.has_failed() {
            self.fail(&Error::new(ErrorKind::Unavailable, "the store's file could not be read"));
        }
        if !self.mending.is_due() {
            return;
        }
        match self.try_again() {
            Ok(()) => {
                tracing::info!("the store's file can be written again");
                self.mending.mended();
                self.health.set_unwritable(None);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn try_again(&mut self) -> Result<()> {
        self.database.check_room()?;
        self.save_clocks()?;
        self.database.probe()
    }

    /// Writes in full the clocks that are not on disk.
    fn save_clocks(&mut self) -> Result<()> {
        if self.database.has_failed() {
            self.database.reopen()?;
        }
        if self.unsaved.is_empty() {
            return Ok(());
        }
        let whole =
            |corpus: &Corpus| self.entry_table.with_clock(corpus, |clock| ClockRows::all(corpus, clock));
        let batch = Batch { clocks: self.unsaved.iter().map(whole).collect(), ..Batch::default() };
        self.database.write(|transaction| batch.write(transaction, self.clock.now()))?;
        self.unsaved.clear();
        self.health.none_pending();
        Ok(())
    }

    /// Records that the file cannot be written, and opens it again for readers.
    fn fail(&mut self, error: &Error) {
        let cause = error as &(dyn std::error::Error + 'static);
        tracing::error!(error = cause, "nothing is stored until the store's file can be written again");
        self.health.set_unwritable(Some(error.to_string()));
        self.mending.failed();
        if self.database.has_failed()
            && let Err(error) = self.database.reopen()
        {
            let cause = &error as &(dyn std::error::Error + 'static);
            tracing::error!(error = cause, "the store's file cannot be opened again yet");
        }
    }

    /// Applies a command to the entry table, and adds what must be written for it to `group`.
    fn apply(&mut self, command: Command, group: &mut GroupCommit) {
        match command {
            Command::Fill { mut meta, entry, reply } => {
                meta.payload = self.next_serial;
                self.next_serial += 1;
                match self.admit(&meta, &entry) {
                    Ok(Ok(record)) => {
                        // The clock goes into the file with the entry. Otherwise the first entry of a corpus
                        // would be dead after a restart, which could only open a clock of another
                        // incarnation.
                        group.touched.entry(entry.corpus.clone()).or_default();
                        group.batch.records.push(record);
                        group.admitted.insert(entry.id, meta);
                        group.outcomes.push(Outcome::Filled(reply, Filled::Stored));
                    }
                    Ok(Err(refused)) => group.outcomes.push(Outcome::Filled(reply, refused)),
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            Command::Advance { corpus, steps, reply } => {
                let ids = group.touched.entry(corpus.clone()).or_default();
                let advance = |step: Step| {
                    ids.extend(step.dependency_ids());
                    self.step(&corpus, &step)
                };
                let advanced = steps.into_iter().map(advance).collect();
                group.outcomes.push(Outcome::Advanced(reply, advanced));
            }
            Command::Judge { judgement, reply } => {
                group.batch.judgements.push(judgement);
                group.outcomes.push(Outcome::Judged(reply));
            }
            Command::WaitIdle { reply } => group.idle_waiters.push(reply),
            Command::Close { reply } => group.closing.push(reply),
        }
    }

    fn admit(&self, meta: &EntryMeta<Serial>, entry: &Entry) -> Result<Result<Record, Filled>> {
        match self.entry_table.refusal(meta, entry) {
            Some(reason) => Ok(Err(Filled::Refused(reason))),
            None => Record::new(meta, entry).map(Ok),
        }
    }

    fn step(&self, corpus: &Corpus, step: &Step) -> ChangeOutcome {
        match step {
            Step::Apply(change) => {
                self.entry_table.invalidate(corpus, std::slice::from_ref(change)).swap_remove(0)
            }
            Step::Hold(document) => {
                self.entry_table.begin_update(corpus, document);
                ChangeOutcome::Dropped(0)
            }
            Step::Release { document, change } => self.entry_table.end_update(corpus, document, change),
        }
    }

    /// Commits a turn, lists the entries that it stored, and answers its callers. Returns the callers that
    /// wait for more.
    fn finish(&mut self, mut group: GroupCommit) -> (Vec<Reply<()>>, Vec<Reply<()>>) {
        // Read after all commands of the turn were applied: so the clock that is written is at least as new
        // as every entry beside it. The other way round, a crash could leave an entry whose read version is
        // ahead of the clock, and which would survive changes that are yet to come.
        for (corpus, ids) in &group.touched {
            group
                .batch
                .clocks
                .push(self.entry_table.with_clock(corpus, |clock| ClockRows::of(corpus, clock, ids)));
        }
        group.batch.next_serial = self.next_serial;
        let committed = self.commit(&group.batch);
        if committed.is_ok() {
            // Listed only now, because a lookup reads the body from the file. A change of the same turn may
            // have ended an entry since it was admitted, so `insert` asks the clock again.
            for (id, meta) in group.admitted {
                self.entry_table.insert(id, meta);
            }
        } else {
            let is_change = |outcome: &&Outcome| matches!(outcome, Outcome::Advanced(..));
            self.health.add_pending(group.outcomes.iter().filter(is_change).count() as u64);
            // The clocks in memory have advanced all the same: nothing that these changes ended is served.
            // They are written before anything else once the file can be written.
            self.unsaved.extend(group.touched.into_keys());
        }
        // After the entries are listed and before their callers hear of it: whoever reads the number may rely
        // on every fill below it being listed, or never stored.
        self.fills.store(self.next_serial, Ordering::Release);
        for outcome in group.outcomes {
            answer(outcome, &committed);
        }
        (group.idle_waiters, group.closing)
    }

    /// Does one step of removing entries that may no longer be served, and writes the hit counts if they are
    /// due. Returns whether there is more to do.
    fn clean_up(&mut self, hits_are_due: bool) -> bool {
        let (dead, more_dead) = self.entry_table.drain();
        let (expired, more_expired) = self.entry_table.sweep();
        let evicted = self.entry_table.evict();
        let more_evicted = !evicted.is_empty();
        let mut removed = std::mem::take(&mut self.unremoved);
        // An entry that could not be removed before may have been stored again since.
        removed.retain(|id| self.entry_table.hits(*id).is_none());
        removed.extend(dead.into_iter().chain(expired).chain(evicted));
        // Hit counts also wait until the file can be written.
        let hits_are_due = hits_are_due && !self.mending.is_needed();
        let hits = if hits_are_due { self.take_hits() } else { Vec::new() };
        let batch = Batch { removed, hits, ..Batch::default() };
        if self.commit(&batch).is_err() {
            // A later run cannot wrongly serve any of these: by the clock, dead entries stay dead.
            self.unremoved = batch.removed;
            return false;
        }
        more_dead || more_expired || more_evicted
    }

    fn take_hits(&self) -> Vec<(EntryId, u64)> {
        let hit = std::mem::take(&mut *self.hit.lock().unwrap_or_else(PoisonError::into_inner));
        hit.into_iter().filter_map(|id| Some((id, self.entry_table.hits(id)?))).collect()
    }

    /// Writes `batch` durably. This includes removals, although no one needs them to be durable: without an
    /// fsync of their own, the next caller's fsync would have to write all the pages that they touched.
    fn commit(&mut self, batch: &Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        if let Some(why) = self.health.unwritable() {
            return Err(Error::new(ErrorKind::Unavailable, why));
        }
        let now = self.clock.now();
        let written = self.database.write(|transaction| batch.write(transaction, now));
        written.inspect_err(|error| self.fail(error))
    }
}

fn done(replies: impl IntoIterator<Item = Reply<()>>) {
    for reply in replies {
        drop(reply.send(Ok(())));
    }
}

fn answer(outcome: Outcome, committed: &Result<()>) {
    // A caller that stopped waiting has dropped its receiver; its command is carried out all the same.
    let failed = || committed.as_ref().err().map(again);
    match outcome {
        Outcome::Filled(reply, filled) => drop(reply.send(failed().map_or(Ok(filled), Err))),
        Outcome::Judged(reply) => drop(reply.send(failed().map_or(Ok(()), Err))),
        Outcome::Advanced(reply, outcomes) => drop(reply.send(failed().map_or(Ok(outcomes), |_| {
            Err(Error::new(
                ErrorKind::Incomplete,
                "the invalidation holds in this process but could not be written to disk yet",
            ))
        }))),
    }
}

/// Every caller of a failed batch gets the error; errors are not cloneable.
fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.to_string())
}
