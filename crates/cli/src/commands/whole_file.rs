//! A file that appears only when it is complete.

use std::io::{self, BufWriter, IntoInnerError, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use atomic_write_file::AtomicWriteFile;

use crate::commands::input::invalid;

/// A file that is written beside its destination, under another name, and moved there when it is finished and
/// on the disk. If it is not finished, nothing is left of it, and the file that was at the destination is still
/// there.
#[derive(Debug)]
pub(crate) struct WholeFile {
    path: PathBuf,
    file: BufWriter<AtomicWriteFile>,
}

impl WholeFile {
    /// Begins the file, so that a destination that cannot be written is found out before there is anything to
    /// write.
    ///
    /// # Errors
    ///
    /// If it cannot be written there, or is `-`, which no one means as the name of a file.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot write {}", path.display());
        if path.as_os_str() == "-" {
            return Err(invalid(
                "cannot write -: it stands for the standard output, which this is not; name a file",
            )
            .into());
        }
        if path.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory)).with_context(cannot);
        }
        let file = AtomicWriteFile::open(path).with_context(cannot)?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// The destination of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the file to its destination.
    ///
    /// # Errors
    ///
    /// If the rest cannot be written or the file cannot be moved.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        let Self { path, file } = self;
        let finished =
            file.into_inner().map_err(IntoInnerError::into_error).and_then(AtomicWriteFile::commit);
        finished.with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "old").unwrap();
        let mut dropped = WholeFile::create(&path).unwrap();
        dropped.write_all(b"new").unwrap();
        drop(dropped);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        file.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_place_where_no_file_can_be_is_known_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("no/file"), "-".into()] {
            let error = WholeFile::create(&path).unwrap_err();
            assert!(error.to_string().starts_with("cannot write "), "{error}");
        }
    }
}
