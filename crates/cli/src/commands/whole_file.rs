//! A file that appears only when it is complete.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A file that is written beside its destination, under its name with `.partial`, and moved there when it is
/// finished. If it is not finished, nothing is left of it, and the file that was at the destination is still
/// there.
#[derive(Debug)]
pub(crate) struct WholeFile {
    path: PathBuf,
    file: BufWriter<File>,
    // Dropped after the file, which is closed first.
    partial: Partial,
}

/// Removes the partial file that is left.
#[derive(Debug)]
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl WholeFile {
    /// Begins the file, so that a destination that cannot be written is found out before there is anything to
    /// write.
    ///
    /// # Errors
    ///
    /// If it cannot be written there.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot write {}", path.display());
        if path.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory)).with_context(cannot);
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial).with_context(cannot)?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), partial: Partial(partial) })
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
        let Self { path, file, partial } = self;
        let moved = || {
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            std::fs::rename(&partial.0, &path)
        };
        moved().with_context(|| format!("cannot write {}", path.display()))
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
        for path in [folder.path().to_owned(), folder.path().join("no/file")] {
            let error = WholeFile::create(&path).unwrap_err();
            assert!(error.to_string().starts_with("cannot write "), "{error}");
        }
    }
}
