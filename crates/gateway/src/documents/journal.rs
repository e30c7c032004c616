//! Jobs that are not in force yet, in the order in which they were reported; they are on disk before the
//! gateway promises to keep them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wellspring::clock::{Clock as _, SystemClock, Timestamp};
use wellspring::error::{Error, ErrorKind, Result};
use wellspring::promises::{Promise, Promises};

use super::job::Job;

/// The most jobs that are kept. Further jobs are rejected.
const MAX_PENDING: usize = 100_000;

#[derive(Debug)]
pub(super) struct Journal(Promises<PendingJob>);

/// A job and what has happened to it so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PendingJob {
    pub(super) job: Job,
    pub(super) since: Timestamp,
    #[serde(skip)]
    pub(super) attempts: u32,
    /// Why the last attempt failed; none if there was no attempt since the process started.
    #[serde(skip)]
    pub(super) error: Option<(ErrorKind, String)>,
    /// Whether it is tried again only on request.
    #[serde(skip)]
    pub(super) is_dead_lettered: bool,
}

impl PendingJob {
    pub(super) fn new(job: Job) -> Self {
        Self { job, since: SystemClock.now(), attempts: 0, error: None, is_dead_lettered: false }
    }
}

impl Promise for PendingJob {
    fn done(&mut self, part: Option<&str>) -> Option<bool> {
        part.is_none().then_some(true)
    }
}

impl Journal {
    /// Opens a journal in memory, or in the file at `path` with the jobs that the last process left there.
    /// Blocks.
    pub(super) fn open(path: Option<PathBuf>) -> Result<Self> {
        Promises::open(path, "journal").map(Self)
    }

    /// Keeps a job after those that are already kept; returns its id. Blocks.
    pub(super) fn add(&mut self, pending: PendingJob) -> Result<u64> {
        if self.pending().len() >= MAX_PENDING {
            return Err(Error::new(ErrorKind::Unavailable, "too many changes wait to be applied"));
        }
        // Ids are not reused after the file was emptied and the process restarted.
        let id = self.0.insert(SystemClock.now().as_millis(), pending);
        self.0.write(id).inspect_err(|_| self.0.forget(id)).map(|()| id)
    }

    /// Removes the job, because it is in force or no longer wanted; returns whether it was there. Blocks.
    pub(super) fn done(&mut self, id: u64) -> bool {
        self.0.done(id, None)
    }

    pub(super) fn pending(&self) -> &BTreeMap<u64, PendingJob> {
        self.0.kept()
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut PendingJob> {
        self.0.get_mut(id)
    }

    /// The job to try next.
    pub(super) fn next(&self) -> Option<(u64, &PendingJob)> {
        self.pending()
            .iter()
            .find(|(_, pending)| !pending.is_dead_lettered)
            .map(|(id, pending)| (*id, pending))
    }
}

#[cfg(test)]
mod tests {
    use wellspring::entry::Change;
    use wellspring::key::Corpus;
    use wellspring_test_support::fuzz::Target;

    use super::*;

    fn pending(document: &str) -> PendingJob {
        PendingJob::new(Job::invalidate(Corpus::default(), vec![Change::document(document)]))
    }

    fn jobs(journal: &Journal) -> Vec<Job> {
        journal.pending().values().map(|pending| pending.job.clone()).collect()
    }

    #[test]
    fn what_is_kept_outlives_the_process_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/journal");
        let mut journal = Journal::open(Some(path.clone())).unwrap();
        assert!(!path.exists());
        let first = journal.add(pending("a")).unwrap();
        let second = journal.add(pending("b")).unwrap();
        let third = journal.add(pending("c")).unwrap();
        assert!(first < second && second < third);
        journal.done(second);
        assert!(Journal::open(Some(path.clone())).unwrap_err().is_locked());
        drop(journal);
        let mut journal = Journal::open(Some(path.clone())).unwrap();
        assert_eq!(jobs(&journal), [pending("a").job, pending("c").job]);
        journal.done(first);
        journal.done(third);
        drop(journal);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    }

    #[test]
    fn a_torn_last_line_is_ignored_and_damage_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(Some(path.clone())).unwrap();
        journal.add(pending("a")).unwrap();
        journal.add(pending("b")).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for end in first..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let mut journal = Journal::open(Some(path.clone())).unwrap();
            assert_eq!(jobs(&journal), [pending("a").job], "cut at {end}");
            journal.add(pending("c")).unwrap();
            drop(journal);
            assert_eq!(Journal::open(Some(path.clone())).unwrap().pending().len(), 2, "cut at {end}");
        }
        for at in 0..first {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&path, damaged).unwrap();
            assert!(Journal::open(Some(path.clone())).unwrap_err().is_corrupt(), "flipped at {at}");
        }
    }

    #[test]
    fn whatever_lines_it_holds_they_are_read_and_kept_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let opened = |lines: &[String]| {
            drop(std::fs::remove_file(&path));
            let sealed = |line: &String| format!("{:08x} {line}\n", crc32fast::hash(line.as_bytes()));
            std::fs::write(&path, lines.iter().map(sealed).collect::<String>()).unwrap();
            Journal::open(Some(path.clone()))
        };
        Target::new("journal").room(64 << 10, 256).run(|input| {
            let lines: Vec<_> = String::from_utf8_lossy(input).lines().map(str::to_owned).collect();
            let Ok(mut journal) = opened(&lines) else { return false };
            let before = jobs(&journal);
            let written = |(id, pending): (&u64, &PendingJob)| {
                format!("add {id} {}", serde_json::to_string(pending).unwrap())
            };
            let lines: Vec<_> = journal.pending().iter().map(written).collect();
            let last = journal.add(pending("a")).unwrap();
            assert!(journal.pending().keys().all(|id| *id <= last));
            drop(journal);
            assert_eq!(jobs(&opened(&lines).unwrap()), before);
            true
        });
    }
}
