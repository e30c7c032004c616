//! Invalidations that are not in force everywhere yet, kept until they are.
//!
//! Each is a promise whose parts are the buckets in which it is not in force.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::operation::Operation;
use crate::error::{Error, ErrorKind, Result};
use crate::key::Corpus;
use crate::promises::{Promise, Promises};

/// The most invalidations that are kept. Further ones are still reported as incomplete, but the caller must
/// repeat them.
const MAX_PENDING: usize = 100_000;

#[derive(Debug)]
pub(super) struct Outbox {
    promises: Mutex<Promises<Pending>>,
    /// Whether any is pending, so that lookups need no lock.
    is_pending: AtomicBool,
}

/// An operation and the buckets in which it is not in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) operation: Operation,
    pub(super) buckets: BTreeSet<u16>,
}

impl Promise for Pending {
    fn done(&mut self, bucket: Option<&str>) -> Option<bool> {
        self.buckets.remove(&bucket?.parse().ok()?);
        Some(self.buckets.is_empty())
    }
}

impl Outbox {
    /// Opens an outbox in memory, or in the file at `path` with what the last process left there.
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        let promises = Promises::create(path.map(Path::to_owned), "outbox")?;
        let is_pending = AtomicBool::new(!promises.kept().is_empty());
        Ok(Self { promises: promises.into(), is_pending })
    }

    /// Keeps `operation` for `buckets`, durably if there is a file. Blocks.
    pub(super) fn add(&self, operation: &Operation, buckets: BTreeSet<u16>) -> Result<()> {
        let mut promises = self.lock();
        if promises.kept().len() >= MAX_PENDING {
            return Err(Error::new(ErrorKind::Store, "the outbox is full"));
        }
        // From now on the buckets are bypassed, even if the file cannot be written.
        let id = promises.insert(0, Pending { operation: operation.clone(), buckets });
        self.is_pending.store(true, Ordering::Release);
        promises.write(id)
    }

    /// Records that the operation is in force in `bucket`. Blocks.
    pub(super) fn done(&self, id: u64, bucket: u16) {
        let mut promises = self.lock();
        promises.done(id, Some(&bucket.to_string()));
        self.is_pending.store(!promises.kept().is_empty(), Ordering::Release);
    }

    /// Whether an operation is pending in a bucket.
    pub(super) fn is_pending_in(&self, corpus: &Corpus, bucket: u16) -> bool {
        self.is_pending.load(Ordering::Acquire)
            && self
                .lock()
                .kept()
                .values()
                .any(|pending| pending.operation.corpus == *corpus && pending.buckets.contains(&bucket))
    }

    /// The buckets of `corpus` in which an operation is pending.
    pub(super) fn pending_buckets(&self, corpus: &Corpus) -> BTreeSet<u16> {
        let promises = self.lock();
        let of_corpus = promises.kept().values().filter(|pending| pending.operation.corpus == *corpus);
        of_corpus.flat_map(|pending| pending.buckets.iter().copied()).collect()
    }

    pub(super) fn pending(&self) -> Vec<(u64, Pending)> {
        self.lock().kept().iter().map(|(id, pending)| (*id, pending.clone())).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().kept().len()
    }

    fn lock(&self) -> MutexGuard<'_, Promises<Pending>> {
        self.promises.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use wellspring_test_support::fuzz::Target;

    use super::*;
    use crate::checksummed::ChecksummedFile;
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
            let mut file = ChecksummedFile::open(&path, "outbox").unwrap().0;
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
                let added = |(id, pending): &(u64, Pending)| {
                    format!("add {id} {}", serde_json::to_string(pending).unwrap())
                };
                outbox.pending().iter().map(added).collect()
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
