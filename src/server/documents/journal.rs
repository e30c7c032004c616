//! Jobs that are not in force yet, in the order in which they were told, on disk before their keeping is promised.
//!
//! Each is a line `<crc> add <id> <json>`, and `<crc> done <id>` ends it; the CRC-32 is that of the rest of the line.
//! What a crash left of a last line is ignored; it was not promised. The file is made when it is first needed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::job::Job;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::sealed::{sealed, unsealed};

/// The most jobs that are kept. More are turned away.
const MAX_KEPT: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Journal {
    path: Option<PathBuf>,
    file: Option<File>,
    kept: BTreeMap<u64, Kept>,
}

/// A job and what became of it so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) job: Job,
    pub(super) since: Timestamp,
    #[serde(skip)]
    pub(super) attempts: u32,
    /// Why the last attempt failed; none if there was none since the process started.
    #[serde(skip)]
    pub(super) error: Option<(ErrorKind, String)>,
    /// Whether it is tried again only when somebody says so.
    #[serde(skip)]
    pub(super) is_put_aside: bool,
}

impl Kept {
    pub(super) fn new(job: Job) -> Self {
        Self { job, since: SystemClock.now(), attempts: 0, error: None, is_put_aside: false }
    }
}

impl Journal {
    /// A journal in memory, or in the file at `path` with what the last process left there. Blocks.
    pub(super) fn open(path: Option<PathBuf>) -> Result<Self> {
        let mut journal = Self { path, ..Self::default() };
        if let Some(path) = journal.path.clone().filter(|path| path.exists()) {
            let mut file = open(&path)?;
            let (kept, whole) = read(&mut file, &path)?;
            let keep = if kept.is_empty() { 0 } else { whole };
            file.set_len(keep)
                .and_then(|()| file.seek(SeekFrom::Start(keep)))
                .map_err(|error| broken("written", &path).with_source(error))?;
            journal.file = Some(file);
            journal.kept = kept;
        }
        Ok(journal)
    }

    /// Keeps a job after those that are kept already; returns its id. Blocks.
    pub(super) fn add(&mut self, kept: Kept) -> Result<u64> {
        if self.kept.len() >= MAX_KEPT {
            return Err(Error::new(ErrorKind::Unavailable, "too many changes wait to be applied"));
        }
        // Ids are not used again after the file was emptied and the process started anew.
        let id = self.kept.keys().last().map_or(0, |last| last + 1).max(SystemClock.now().as_millis());
        if let Some(path) = &self.path {
            let json = serde_json::to_string(&kept).map_err(|error| {
                Error::new(ErrorKind::Store, "a change cannot be encoded").with_source(error)
            })?;
            let file = match &mut self.file {
                Some(file) => file,
                file => file.insert(open(path)?),
            };
            let end = file.stream_position();
            let written = file.write_all(sealed(&format!("add {id} {json}")).as_bytes());
            if let Err(error) = written.and_then(|()| file.sync_data()) {
                // Half a line must not stand before the next one.
                if let Ok(end) = end {
                    let _ = file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end)));
                }
                return Err(broken("written", path).with_source(error));
            }
        }
        self.kept.insert(id, kept);
        Ok(id)
    }

    /// The job is in force, or is not wanted any more. Blocks.
    pub(super) fn done(&mut self, id: u64) -> Option<Kept> {
        let kept = self.kept.remove(&id)?;
        if let Some(file) = &mut self.file {
            // Losing this is harmless: the job is done once more.
            let written = if self.kept.is_empty() {
                file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)).map(drop))
            } else {
                file.write_all(sealed(&format!("done {id}")).as_bytes())
            };
            if let Err(error) = written {
                tracing::warn!(%error, "the journal of changes cannot be written");
            }
        }
        Some(kept)
    }

    pub(super) fn kept(&self) -> &BTreeMap<u64, Kept> {
        &self.kept
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Kept> {
        self.kept.get_mut(&id)
    }

    /// The job that is to be tried next.
    pub(super) fn next(&self) -> Option<(u64, &Kept)> {
        self.kept.iter().find(|(_, kept)| !kept.is_put_aside).map(|(id, kept)| (*id, kept))
    }
}

fn open(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| broken("made", path).with_source(error))?;
    }
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(|error| broken("opened", path).with_source(error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::new(
            ErrorKind::Locked,
            format!("journal {} is in use by another process, give each its own", path.display()),
        )),
        Err(TryLockError::Error(error)) => Err(broken("locked", path).with_source(error)),
    }
}

/// What is kept in the file, and how many bytes of it are whole lines.
fn read(file: &mut File, path: &Path) -> Result<(BTreeMap<u64, Kept>, u64)> {
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(|error| broken("read", path).with_source(error))?;
    let (mut kept, mut whole) = (BTreeMap::new(), 0);
    for (n, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if !line.ends_with(b"\n") {
            break;
        }
        // What a change says must not be guessed, and none may be skipped.
        let damaged = || {
            let message = format!(
                "journal {} is damaged at line {}: invalidate everything, then remove it",
                path.display(),
                n + 1
            );
            Error::new(ErrorKind::Corrupt, message)
        };
        let content = unsealed(line).ok_or_else(damaged)?;
        let mut words = content.splitn(3, ' ');
        match (words.next(), words.next().and_then(|id| id.parse().ok()), words.next()) {
            (Some("add"), Some(id), Some(json)) => {
                kept.insert(id, serde_json::from_str(json).map_err(|error| damaged().with_source(error))?);
            }
            (Some("done"), Some(id), None) => drop(kept.remove(&id)),
            _ => return Err(damaged()),
        }
        whole += line.len() as u64;
    }
    Ok((kept, whole))
}

fn broken(what: &str, path: &Path) -> Error {
    Error::new(ErrorKind::Store, format!("journal {} cannot be {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Change;
    use crate::key::Corpus;

    fn kept(document: &str) -> Kept {
        Kept::new(Job::invalidate(Corpus::default(), vec![Change::document(document)]))
    }

    fn jobs(journal: &Journal) -> Vec<Job> {
        journal.kept().values().map(|kept| kept.job.clone()).collect()
    }

    #[test]
    fn what_is_kept_outlives_the_process_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/journal");
        let mut journal = Journal::open(Some(path.clone())).unwrap();
        assert!(!path.exists());
        let first = journal.add(kept("a")).unwrap();
        let second = journal.add(kept("b")).unwrap();
        let third = journal.add(kept("c")).unwrap();
        assert!(first < second && second < third);
        journal.done(second);
        assert!(Journal::open(Some(path.clone())).unwrap_err().is_locked());
        drop(journal);
        let mut journal = Journal::open(Some(path.clone())).unwrap();
        assert_eq!(jobs(&journal), [kept("a").job, kept("c").job]);
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
        journal.add(kept("a")).unwrap();
        journal.add(kept("b")).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for end in first..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let mut journal = Journal::open(Some(path.clone())).unwrap();
            assert_eq!(jobs(&journal), [kept("a").job], "cut at {end}");
            journal.add(kept("c")).unwrap();
            drop(journal);
            assert_eq!(Journal::open(Some(path.clone())).unwrap().kept().len(), 2, "cut at {end}");
        }
        for at in 0..first {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&path, damaged).unwrap();
            assert!(Journal::open(Some(path.clone())).unwrap_err().is_corrupt(), "flipped at {at}");
        }
    }
}
