//! Work that was promised and is not done yet, in a file that outlives the process: the outbox of `ValkeyStore`,
//! and the gateway's journal of reported changes.
//!
//! Each line of the file begins with the CRC-32 of the rest of it. `<crc> add <id> <json>` adds a promise;
//! `<crc> done <id>` ends it, or `<crc> done <id> <part>` a part of it. A promise is on disk before it is
//! reported as kept. An incomplete last line, left by a crash or a full disk, is ignored: it was never
//! reported. Losing a `done` is harmless: the work is only done once more. A file without promises is emptied,
//! so that it does not grow for ever.
//!
//! Opening and writing block, so do them only where blocking is allowed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::checksummed::ChecksummedFile;
use crate::error::{Error, ErrorKind, Result};

/// Work that is promised.
pub trait Promise: Serialize + DeserializeOwned {
    /// Does `part` of it, or all if no part is named. Returns whether nothing is left; none if it has no such
    /// part.
    fn done(&mut self, part: Option<&str>) -> Option<bool>;
}

/// Promises under ids that grow.
#[derive(Debug)]
pub struct Promises<T> {
    /// What people call the file, such as `journal`.
    what: &'static str,
    path: Option<PathBuf>,
    file: Option<ChecksummedFile>,
    kept: BTreeMap<u64, T>,
    next: u64,
}

impl<T: Promise> Promises<T> {
    /// Promises in memory, or in the file at `path` with what the last process left there. If there is no file,
    /// it is created when it is first written. Errors and warnings call it `what`, such as `journal`.
    ///
    /// # Errors
    ///
    /// `Locked` if another process has the file open; `Corrupt` if a line other than the last one is damaged;
    /// `Store` if it cannot be opened.
    pub fn open(path: Option<PathBuf>, what: &'static str) -> Result<Self> {
        let is_there = path.as_ref().is_some_and(|path| path.exists());
        Self::new(path, what, is_there)
    }

    /// The same, but the file is created at once, so that no other process can open it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn create(path: Option<PathBuf>, what: &'static str) -> Result<Self> {
        Self::new(path, what, true)
    }

    fn new(path: Option<PathBuf>, what: &'static str, opens: bool) -> Result<Self> {
        let mut promises = Self { what, path, file: None, kept: BTreeMap::new(), next: 0 };
        if let Some(path) = promises.path.as_ref().filter(|_| opens) {
            let (mut file, lines) = ChecksummedFile::open(path, what)?;
            promises.kept = read(&file, &lines)?;
            if promises.kept.is_empty() {
                file.clear();
            }
            promises.file = Some(file);
            promises.next = promises.kept.keys().last().map_or(0, |last| last + 1);
        }
        Ok(promises)
    }

    /// Keeps `promise` in memory, under an id that is greater than those of the others and at least `least`.
    /// Returns the id.
    pub fn insert(&mut self, least: u64, promise: T) -> u64 {
        let id = self.next.max(least);
        self.next = id + 1;
        self.kept.insert(id, promise);
        id
    }

    /// Writes the promise under `id` to the file, if there is to be one. After an error, nothing of it is in the
    /// file.
    ///
    /// # Errors
    ///
    /// `Unavailable` if it cannot be written; those of [`open`](Self::open).
    pub fn write(&mut self, id: u64) -> Result<()> {
        let (Some(promise), Some(path)) = (self.kept.get(&id), &self.path) else { return Ok(()) };
        let json = serde_json::to_string(promise).map_err(|error| {
            Error::new(ErrorKind::Store, "a promise cannot be encoded").with_source(error)
        })?;
        let file = match &mut self.file {
            Some(file) => file,
            file => file.insert(ChecksummedFile::open(path, self.what)?.0),
        };
        file.append(&format!("add {id} {json}"))
    }

    /// Removes a promise from memory: one that could not be written.
    pub fn forget(&mut self, id: u64) {
        self.kept.remove(&id);
    }

    /// Records that `part` of a promise is done, or all of it if no part is named. Returns whether there is such
    /// a promise.
    pub fn done(&mut self, id: u64, part: Option<&str>) -> bool {
        let Some(promise) = self.kept.get_mut(&id) else { return false };
        if promise.done(part) == Some(true) {
            self.kept.remove(&id);
        }
        if let Some(file) = &mut self.file {
            match part {
                _ if self.kept.is_empty() => file.clear(),
                None => file.note(&format!("done {id}")),
                Some(part) => file.note(&format!("done {id} {part}")),
            }
        }
        true
    }

    /// The promises that are not done, in the order of their ids.
    pub fn kept(&self) -> &BTreeMap<u64, T> {
        &self.kept
    }

    /// The promise under `id`. What is changed in it is not written.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        self.kept.get_mut(&id)
    }
}

/// What is not done yet according to `lines` of the file.
fn read<T: Promise>(file: &ChecksummedFile, lines: &[String]) -> Result<BTreeMap<u64, T>> {
    let mut kept: BTreeMap<u64, T> = BTreeMap::new();
    for (n, line) in lines.iter().enumerate() {
        let mut words = line.splitn(3, ' ');
        // There must be room for the ids to come, each greater than the last.
        let id = |word: &str| word.parse::<u64>().ok().filter(|id| *id < 1 << 63);
        match (words.next(), words.next().and_then(id), words.next()) {
            (Some("add"), Some(id), Some(json)) => {
                let promise = serde_json::from_str(json);
                kept.insert(id, promise.map_err(|error| file.damaged(n).with_source(error))?);
            }
            (Some("done"), Some(id), part) => {
                if let Some(promise) = kept.get_mut(&id)
                    && promise.done(part).ok_or_else(|| file.damaged(n))?
                {
                    kept.remove(&id);
                }
            }
            _ => return Err(file.damaged(n)),
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    const CHILD: &str = "WELLSPRING_TEST_PROMISES";

    /// Some parts to do, and some text to fill the disk.
    #[derive(Debug, Serialize, Deserialize)]
    struct Parts(Vec<String>, String);

    impl Promise for Parts {
        fn done(&mut self, part: Option<&str>) -> Option<bool> {
            let place = self.0.iter().position(|one| Some(one.as_str()) == part)?;
            self.0.remove(place);
            Some(self.0.is_empty())
        }
    }

    fn add(promises: &mut Promises<Parts>, parts: &[&str], size: usize) -> Result<u64> {
        let parts = parts.iter().map(|&part| part.to_owned()).collect();
        let id = promises.insert(0, Parts(parts, "x".repeat(size)));
        promises.write(id).inspect_err(|_| promises.forget(id)).map(|()| id)
    }

    fn left(promises: &Promises<Parts>) -> Vec<(u64, Vec<String>)> {
        promises.kept().iter().map(|(id, parts)| (*id, parts.0.clone())).collect()
    }

    /// Cuts the file at each byte. What is left must be what was there after some of the calls, and more can be
    /// added.
    #[test]
    fn a_file_that_was_cut_anywhere_is_in_the_state_after_some_call() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/file");
        let open = || Promises::open(Some(path.clone()), "journal").unwrap();
        let mut promises = open();
        assert!(!path.exists());
        let mut states = vec![left(&promises)];
        let calls: [fn(&mut Promises<Parts>); 4] = [
            |promises| _ = add(promises, &["a", "b"], 0).unwrap(),
            |promises| _ = add(promises, &["c"], 0).unwrap(),
            |promises| assert!(promises.done(0, Some("a"))),
            |promises| assert!(promises.done(0, Some("b")) && !promises.done(0, Some("b"))),
        ];
        for call in calls {
            call(&mut promises);
            states.push(left(&promises));
        }
        drop(promises);
        let whole = std::fs::read(&path).unwrap();
        for end in 0..=whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let mut promises = open();
            let lines = String::from_utf8_lossy(&whole[..end]).matches('\n').count();
            assert_eq!(left(&promises), states[lines], "cut at {end}");
            let id = add(&mut promises, &["d"], 0).unwrap();
            drop(promises);
            assert_eq!(left(&open()).last(), Some(&(id, vec!["d".to_owned()])), "cut at {end}");
        }
    }

    /// What was promised before the disk was full, and once there was room again, outlives the process; what was
    /// refused is not there.
    #[test]
    #[cfg(unix)]
    fn a_full_disk_loses_no_promise_and_keeps_none_that_was_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        // The limit is in blocks of 512 bytes. The signal that it sends is ignored, so that writes fail instead.
        let script =
            "trap '' XFSZ; ulimit -f 8; exec \"$0\" promises::tests::child_process --exact --nocapture";
        let output = std::process::Command::new("sh")
            .args(["-c", script])
            .arg(std::env::current_exe().unwrap())
            .env(CHILD, &path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let promises = Promises::<Parts>::open(Some(path), "journal").unwrap();
        let sizes: Vec<_> = promises.kept().iter().map(|(id, parts)| (*id, parts.1.len())).collect();
        assert_eq!(sizes, [(1, 1_200), (2, 1_200), (4, 0)]);
    }

    #[test]
    fn child_process() {
        let Some(path) = std::env::var_os(CHILD) else { return };
        let mut promises = Promises::create(Some(path.into()), "journal").unwrap();
        for _ in 0..3 {
            add(&mut promises, &["a"], 1_200).unwrap();
        }
        assert_eq!(add(&mut promises, &["a"], 1_200).unwrap_err().kind(), ErrorKind::Unavailable);
        add(&mut promises, &["a"], 0).unwrap();
        assert!(promises.done(0, Some("a")));
    }
}
