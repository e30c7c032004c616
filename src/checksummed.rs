//! Files of lines that show whether they are complete: each line begins with the CRC-32 of the rest of it.
//!
//! If a crash or a full disk leaves part of a line, that part never stands before another line: it is cut off
//! before the next line is written, and when the file is opened. Such files hold [promises](crate::promises).
//!
//! All methods block, so call them only where blocking is allowed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// A file of checksummed lines that is appended to, and that stays locked while it is open.
#[derive(Debug)]
pub(crate) struct ChecksummedFile {
    /// What people call the file, such as `journal`.
    what: &'static str,
    path: PathBuf,
    file: File,
    /// The end of the last line that was written completely.
    end: u64,
    /// Whether the file may hold more than that.
    is_torn: bool,
    /// Lines that no one waits for and that could not be written yet.
    owed: String,
}

impl ChecksummedFile {
    /// Opens the file at `path` and also returns the contents of its lines. Creates the file, and its folder,
    /// if there is none. Errors and warnings call it `what`, such as `journal`.
    ///
    /// # Errors
    ///
    /// `Locked` if another process has it open; `Corrupt` if a line other than the last one is damaged;
    /// `Store` if it cannot be opened.
    pub(crate) fn open(path: &Path, what: &'static str) -> Result<(Self, Vec<String>)> {
        let failed = |error| {
            let message = format!("{what} {} cannot be opened: {error}", path.display());
            Error::new(ErrorKind::Store, message).with_source(error)
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message =
                    format!("{what} {} is in use by another process, give each its own", path.display());
                return Err(Error::new(ErrorKind::Locked, message));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        let (mut lines, mut end) = (Vec::new(), 0);
        for (n, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            // Only the last line can be without a line end.
            if !line.ends_with(b"\n") {
                break;
            }
            lines.push(verified_line(line).ok_or_else(|| damaged(what, path, n))?.to_owned());
            end += line.len() as u64;
        }
        let is_torn = end < text.len() as u64;
        Ok((Self { what, path: path.to_owned(), file, end, is_torn, owed: String::new() }, lines))
    }

    /// A `Corrupt` error for line `n`, counted from 0, whose content makes no sense to the caller.
    pub(crate) fn damaged(&self, n: usize) -> Error {
        damaged(self.what, &self.path, n)
    }

    /// Adds a line, which is on disk when this returns. After an error, nothing of it is in the file.
    /// `content` must not hold a line end.
    ///
    /// # Errors
    ///
    /// `Unavailable` if it cannot be written.
    pub(crate) fn append(&mut self, content: &str) -> Result<()> {
        let line = checksummed_line(content);
        let written = self.write(&line);
        let appended = written.and_then(|()| {
            self.file.sync_data().inspect_err(|_| {
                // The line may be on disk or not. Its caller is about to hear that it was not kept, so it
                // must not come back after a restart.
                self.end -= line.len() as u64;
                self.is_torn = true;
            })
        });
        appended.map_err(|error| {
            // If this fails now, it is tried again before the next line.
            drop(self.mend());
            let message = format!("{} {} cannot be written: {error}", self.what, self.path.display());
            Error::new(ErrorKind::Unavailable, message)
        })
    }

    /// Adds a line that may be lost in a crash. If it cannot be written now, it is written before the next
    /// one. `content` must not hold a line end.
    pub(crate) fn note(&mut self, content: &str) {
        self.owed += &checksummed_line(content);
        if let Err(error) = self.write("") {
            tracing::warn!(%error, path = %self.path.display(), "the {} cannot be written", self.what);
        }
    }

    /// Removes all lines. If that fails, they may come back, and a warning is logged.
    pub(crate) fn clear(&mut self) {
        (self.end, self.is_torn) = (0, true);
        self.owed.clear();
        if let Err(error) = self.mend() {
            tracing::warn!(%error, path = %self.path.display(), "the {} cannot be emptied", self.what);
        }
    }

    /// Writes the lines that are owed, then `line`; a line only counts if it was written completely.
    fn write(&mut self, line: &str) -> io::Result<()> {
        let owed = std::mem::take(&mut self.owed);
        if let Err(error) = self.write_at_end(&owed) {
            self.owed = owed;
            return Err(error);
        }
        self.write_at_end(line)
    }

    fn write_at_end(&mut self, lines: &str) -> io::Result<()> {
        self.mend()?;
        self.file.seek(SeekFrom::Start(self.end))?;
        // Set before anything is written, so that it is right however the write ends.
        self.is_torn = true;
        self.file.write_all(lines.as_bytes())?;
        self.end += lines.len() as u64;
        self.is_torn = false;
        Ok(())
    }

    /// Cuts off whatever was not written completely.
    fn mend(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.end)?;
            self.is_torn = false;
        }
        Ok(())
    }
}

impl Drop for ChecksummedFile {
    /// Closing the file would not do: a process that this one is about to start may hold it open for a moment longer.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// The content of a damaged line must not be guessed, and no line may be skipped.
fn damaged(what: &str, path: &Path, n: usize) -> Error {
    let message = format!(
        "{what} {} is damaged at line {}: invalidate everything, then remove it",
        path.display(),
        n + 1
    );
    Error::new(ErrorKind::Corrupt, message)
}

/// `content` as a line.
fn checksummed_line(content: &str) -> String {
    format!("{:08x} {content}\n", crc32fast::hash(content.as_bytes()))
}

/// The content of a line with its end; none if the line is not complete.
fn verified_line(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (crc, content) = line.split_once(' ')?;
    (u32::from_str_radix(crc, 16).ok()? == crc32fast::hash(content.as_bytes())).then_some(content)
}

#[cfg(test)]
mod tests {
    use wellspring_test_support::fuzz::Target;

    use super::*;

    const CHILD: &str = "WELLSPRING_TEST_SEALED_FILE";

    fn lines(path: &Path) -> Vec<String> {
        ChecksummedFile::open(path, "journal").unwrap().1
    }

    #[test]
    fn only_a_whole_line_is_read() {
        let line = checksummed_line("add 1 {\"a\":2}");
        assert_eq!(verified_line(line.as_bytes()), Some("add 1 {\"a\":2}"));
        for end in 0..line.len() {
            assert_eq!(verified_line(&line.as_bytes()[..end]), None, "{end}");
        }
        assert_eq!(verified_line(line.replace('2', "3").as_bytes()), None);
    }

    #[test]
    fn a_file_that_was_cut_anywhere_has_its_whole_lines_and_takes_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = ChecksummedFile::open(&path, "journal").unwrap().0;
        file.append("add 1").unwrap();
        file.note("done 1");
        file.append("add 2").unwrap();
        drop(file);
        let whole = std::fs::read(&path).unwrap();
        for end in 0..=whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let (mut file, left) = ChecksummedFile::open(&path, "journal").unwrap();
            let ends = String::from_utf8_lossy(&whole[..end]).matches('\n').count();
            assert_eq!(left, ["add 1", "done 1", "add 2"][..ends], "cut at {end}");
            file.append("add 3").unwrap();
            drop(file);
            assert_eq!(lines(&path).last().map(String::as_str), Some("add 3"), "cut at {end}");
        }
    }

    /// Part of a line for which there was no room used to stand before the next line, which then counted as
    /// damage.
    #[test]
    #[cfg(unix)]
    fn what_had_no_room_leaves_nothing_before_the_next_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        // The limit is in blocks of 512 bytes. The signal that it sends is ignored, so that writes fail
        // instead.
        let script =
            "trap '' XFSZ; ulimit -f 8; exec \"$0\" checksummed::tests::child_process --exact --nocapture";
        let output = std::process::Command::new("sh")
            .args(["-c", script])
            .arg(std::env::current_exe().unwrap())
            .env(CHILD, &path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = lines(&path);
        let names: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(names, ["large", "large", "large", "small", "owed", "small"]);
    }

    #[test]
    fn child_process() {
        let Some(path) = std::env::var_os(CHILD) else { return };
        let mut file = ChecksummedFile::open(Path::new(&path), "journal").unwrap().0;
        let large = format!("large {}", "x".repeat(1_200));
        for _ in 0..3 {
            file.append(&large).unwrap();
        }
        // There is room for 448 more bytes.
        assert_eq!(file.append(&large).unwrap_err().kind(), ErrorKind::Unavailable);
        file.append("small").unwrap();
        let owed = format!("owed {}", "x".repeat(420));
        file.note(&owed);
        assert!(file.append("small").is_err(), "what is owed comes first");
        file.owed = checksummed_line("owed");
        file.append("small").unwrap();
    }

    #[test]
    fn whatever_a_file_holds_its_lines_are_whole_or_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, again) = (folder.path().join("file"), folder.path().join("again"));
        // Into a new file each time: some file systems write a file at once that is cut and filled again.
        let write = |path: &Path, bytes: &[u8]| {
            drop(std::fs::remove_file(path));
            std::fs::write(path, bytes).unwrap();
        };
        let sealed_all =
            |lines: &[String]| lines.iter().map(|line| checksummed_line(line)).collect::<String>();
        Target::new("sealed").run(|input| {
            // Lines at random hardly ever have the right checksum, so they are also given it.
            let contents: Vec<_> = String::from_utf8_lossy(input).split('\n').map(str::to_owned).collect();
            write(&path, sealed_all(&contents).as_bytes());
            assert_eq!(lines(&path), contents);
            write(&path, input);
            let Ok((_, read)) = ChecksummedFile::open(&path, "journal") else { return false };
            write(&again, sealed_all(&read).as_bytes());
            assert_eq!(lines(&again), read);
            true
        });
    }
}
