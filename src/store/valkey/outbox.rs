//! Invalidations that are not in force everywhere yet, kept until they are.
//!
//! Each invalidation is a line of the outbox' file, which begins with the CRC-32 of the rest of the line:
//! `<crc> add <id> <json>`, and `<crc> done <id> <bucket>` for each bucket in which it is in force. A line is
//! on disk before its invalidation is reported as incomplete. If a crash left an unfinished last line, that
//! line is ignored: its invalidation was not reported.
//!
//! Losing a `done` is harmless: the invalidation is only made once more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::operation::Operation;
use crate::error::{Error, ErrorKind, Result};
use crate::key::Corpus;
use crate::sealed::SealedFile;

/// The most invalidations that are kept. Further ones are still reported as incomplete, but the caller must
/// repeat them.
const MAX_PENDING: usize = 100_000;

#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// Whether any is pending, so that lookups need no lock.
    is_pending: AtomicBool,
}

#[derive(Debug)]
struct State {
    file: Option<SealedFile>,
    pending: BTreeMap<u64, Pending>,
    next: u64,
}

/// An operation and the buckets in which it is not in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) operation: Operation,
    pub(super) buckets: BTreeSet<u16>,
}

impl Outbox {
    /// Opens an outbox in memory, or in the file at `path` with what the last process left there.
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        let mut pending = BTreeMap::new();
        let file = match path {
            None => None,
            Some(path) => {
                let (mut file, lines) = SealedFile::open(path, "outbox")?;
                pending = read(&file, &lines)?;
                if pending.is_empty() {
                    file.clear();
                }
                Some(file)
            }
        };
        let next = pending.keys().last().map_or(0, |last| last + 1);
        let is_pending = AtomicBool::new(!pending.is_empty());
        Ok(Self { state: State { file, pending, next }.into(), is_pending })
    }

    /// Keeps `operation` for `buckets`, durably if there is a file. Blocks.
    pub(super) fn add(&self, operation: &Operation, buckets: BTreeSet<u16>) -> Result<()> {
        let mut state = self.lock();
        if state.pending.len() >= MAX_PENDING {
            return Err(Error::new(ErrorKind::Store, "the outbox is full"));
        }
        let id = state.next;
        state.next += 1;
        let pending = Pending { operation: operation.clone(), buckets };
        let line = added(id, &pending)?;
        // From now on the buckets are bypassed, even if the file cannot be written.
        state.pending.insert(id, pending);
        self.is_pending.store(true, Ordering::Release);
        match &mut state.file {
            Some(file) => file.append(&line),
            None => Ok(()),
        }
    }

    /// Records that the operation is in force in `bucket`. Blocks.
    pub(super) fn done(&self, id: u64, bucket: u16) {
        let mut state = self.lock();
        let state = &mut *state;
        let Some(pending) = state.pending.get_mut(&id) else { return };
        pending.buckets.remove(&bucket);
        if pending.buckets.is_empty() {
            state.pending.remove(&id);
        }
        let is_empty = state.pending.is_empty();
        self.is_pending.store(!is_empty, Ordering::Release);
        let Some(file) = &mut state.file else { return };
        // The file of an empty outbox is started again, so that it does not grow for ever.
        if is_empty {
            file.clear();
        } else {
            file.note(&format!("done {id} {bucket}"));
        }
    }

    /// Whether an operation is pending in a bucket.
    pub(super) fn is_pending_in(&self, corpus: &Corpus, bucket: u16) -> bool {
        self.is_pending.load(Ordering::Acquire)
            && self
                .lock()
                .pending
                .values()
                .any(|pending| pending.operation.corpus == *corpus && pending.buckets.contains(&bucket))
    }

    /// The buckets of `corpus` in which an operation is pending.
    pub(super) fn pending_buckets(&self, corpus: &Corpus) -> BTreeSet<u16> {
        let state = self.lock();
        let of_corpus = state.pending.values().filter(|pending| pending.operation.corpus == *corpus);
        of_corpus.flat_map(|pending| pending.buckets.iter().copied()).collect()
    }

    pub(super) fn pending(&self) -> Vec<(u64, Pending)> {
        self.lock().pending.iter().map(|(id, pending)| (*id, pending.clone())).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().pending.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The operations that are still pending according to these lines of the file.
fn read(file: &SealedFile, lines: &[String]) -> Result<BTreeMap<u64, Pending>> {
    let mut pending: BTreeMap<u64, Pending> = BTreeMap::new();
    for (n, content) in lines.iter().enumerate() {
        let mut words = content.splitn(3, ' ');
        // There must be a greater id for the next one.
        let id = |word: &str| word.parse::<u64>().ok().filter(|id| *id < u64::MAX);
        match (words.next(), words.next().and_then(id), words.next()) {
            (Some("add"), Some(id), Some(json)) => {
                let added = serde_json::from_str(json).map_err(|error| file.damaged(n).with_source(error))?;
                pending.insert(id, added);
            }
            (Some("done"), Some(id), Some(bucket)) => {
                if let (Some(found), Ok(bucket)) = (pending.get_mut(&id), bucket.parse()) {
                    found.buckets.remove(&bucket);
                    if found.buckets.is_empty() {
                        pending.remove(&id);
                    }
                }
            }
            _ => return Err(file.damaged(n)),
        }
    }
    Ok(pending)
}

fn added(id: u64, pending: &Pending) -> Result<String> {
    let json = serde_json::to_string(pending).map_err(|error| {
        Error::new(ErrorKind::Store, "an invalidation cannot be encoded").with_source(error)
    })?;
    Ok(format!("add {id} {json}"))
}

#[cfg(test)]
mod tests {
    use wellspring_test_support::fuzz::Target;

    use super::*;
    use crate::entry::Change;

    fn operation(document: &str) -> Operation {
        Operation::changes(&Corpus::default(), &[Change::document(document)])
    }

    fn documents(outbox: &Outbox) -> Vec<(String, Vec<u16>)> {
        let one = |(_, pending): (u64, Pending)| {
            (format!("{:?}", pending.operation.steps), pending.buckets.into_iter().collect())
        };
        outbox.pending().into_iter().map(one).collect()
    }

    #[test]
    fn what_is_pending_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/outbox");
        let outbox = Outbox::open(Some(&path)).unwrap();
        outbox.add(&operation("a"), [1, 2].into()).unwrap();
        outbox.add(&operation("b"), [3].into()).unwrap();
        outbox.done(0, 2);
        let before = documents(&outbox);
        assert!(outbox.is_pending_in(&Corpus::default(), 1));
        assert!(!outbox.is_pending_in(&Corpus::default(), 2));
        assert!(!outbox.is_pending_in(&Corpus::new("other").unwrap(), 1));
        assert!(Outbox::open(Some(&path)).unwrap_err().is_locked());
        drop(outbox);

        let outbox = Outbox::open(Some(&path)).unwrap();
        assert_eq!(documents(&outbox), before);
        outbox.done(0, 1);
        outbox.done(1, 3);
        assert!(!outbox.is_pending_in(&Corpus::default(), 3));
        drop(outbox);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    }

    #[test]
    fn a_torn_last_line_is_ignored_and_damage_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox");
        let outbox = Outbox::open(Some(&path)).unwrap();
        outbox.add(&operation("a"), [1].into()).unwrap();
        outbox.add(&operation("b"), [1].into()).unwrap();
        drop(outbox);
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for end in first..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let outbox = Outbox::open(Some(&path)).unwrap();
            assert_eq!(outbox.len(), 1, "cut at {end}");
            outbox.add(&operation("c"), [1].into()).unwrap();
            drop(outbox);
            assert_eq!(Outbox::open(Some(&path)).unwrap().len(), 2, "cut at {end}");
        }
        for at in 0..first {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&path, damaged).unwrap();
            assert!(Outbox::open(Some(&path)).unwrap_err().is_corrupt(), "flipped at {at}");
        }
    }

    #[test]
    fn whatever_lines_it_holds_they_are_read_and_kept_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox");
        let opened = |lines: &[String]| {
            drop(std::fs::remove_file(&path));
            let mut file = SealedFile::open(&path, "outbox").unwrap().0;
            for line in lines {
                file.note(line);
            }
            drop(file);
            Outbox::open(Some(&path))
        };
        Target::new("outbox").room(64 << 10, 256).run(|input| {
            let lines: Vec<_> = String::from_utf8_lossy(input).lines().map(str::to_owned).collect();
            let Ok(outbox) = opened(&lines) else { return false };
            let kept = |outbox: &Outbox| -> Vec<String> {
                outbox.pending().iter().map(|(id, pending)| added(*id, pending).unwrap()).collect()
            };
            let before = kept(&outbox);
            drop(outbox);
            let outbox = opened(&before).unwrap();
            assert_eq!(kept(&outbox), before);
            outbox.add(&operation("a"), [1].into()).unwrap();
            assert_eq!(outbox.len(), before.len() + 1);
            true
        });
    }
}
