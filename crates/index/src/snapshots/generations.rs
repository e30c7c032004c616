//! The snapshots of one index: saving the next generation, and loading the newest usable one.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Folder, failed, files};
use crate::error::{Error, Result};
use crate::{SegmentedIndex, SegmentedIndexBuilder};

/// How often the folder is listed again because a listed file was gone. To exceed this, another process would
/// have to save that often while this one opens two files.
const MAX_LISTINGS: usize = 4;

/// The snapshots of one index, from [`Snapshots::generations`](super::Snapshots::generations).
#[derive(Debug, Clone)]
pub struct Generations {
    folder: Arc<Folder>,
    path: PathBuf,
}

/// The result of [`Generations::save`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Saved {
    /// There is a new generation.
    Written {
        /// Its number, greater than those of all before it.
        generation: u64,
        /// The size of its file.
        bytes: u64,
    },
    /// This process may not save here; [`Snapshots::refusal`](super::Snapshots::refusal) says why.
    Refused,
}

/// The result of [`Generations::load`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Restored {
    /// The index with its generation number, if a generation could be used.
    pub index: Option<(SegmentedIndex, u64)>,
    /// The newer generations that could not be used, newest first.
    pub passed_over: Vec<PassedOver>,
}

/// A generation that could not be used.
#[derive(Debug)]
#[non_exhaustive]
pub struct PassedOver {
    /// Its number.
    pub generation: u64,
    /// The reason: `Corrupt` if it is damaged; `Config` if it has another label, dimension or version, for
    /// example after a change of model; `Io` if it could not be read.
    pub error: Error,
}

impl Generations {
    pub(super) fn new(folder: Arc<Folder>, path: PathBuf) -> Self {
        Self { folder, path }
    }

    /// Saves `index` as the next generation, then removes those older than the previous one.
    ///
    /// Blocks until the file is on the disk, and while another index of the folder is being saved. The index
    /// can be used and changed meanwhile; see [`SegmentedIndex::save`].
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the label is too long; `Io` if writing fails, in which case the existing
    /// generations are kept.
    pub fn save(&self, index: &SegmentedIndex, label: &[u8]) -> Result<Saved> {
        let Some(_changing) = self.folder.change() else { return Ok(Saved::Refused) };
        self.make_folder().map_err(|e| failed("make the folder", &self.path, e))?;
        files::tidy(&self.path);
        let generation = self.list()?.last().map_or(1, |newest| newest + 1);
        let bytes = files::publish(&self.path, generation, |file| index.save(label, file))?;
        files::tidy(&self.path);
        Ok(Saved::Written { generation, bytes })
    }

    /// Loads the newest undamaged generation with this `label`, as an index with these `settings`.
    ///
    /// Damaged ones are removed if this process may save here, so that the next save keeps an undamaged one
    /// beside its own.
    ///
    /// # Errors
    ///
    /// `Config` if [`SegmentedIndexBuilder::build`] does not accept the settings; `Io` if the folder
    /// cannot be read. If there is nothing to load, that is no error.
    pub fn load(&self, settings: &SegmentedIndexBuilder, label: &[u8]) -> Result<Restored> {
        settings.clone().build()?;
        let mut passed_over = Vec::new();
        for _ in 0..MAX_LISTINGS {
            passed_over.clear();
            let mut is_complete = true;
            for generation in self.list()?.into_iter().rev() {
                let path = files::generation_path(&self.path, generation);
                let mut loaded = load_file(&path, settings, label);
                if loaded.as_ref().is_err_and(Error::is_corrupt) {
                    loaded = self.load_again_or_remove(&path, settings, label, loaded);
                }
                match loaded {
                    Ok(Some(index)) => return Ok(Restored { index: Some((index, generation)), passed_over }),
                    // Another process has saved and removed it, so there are newer ones.
                    Ok(None) => is_complete = false,
                    Err(error) => passed_over.push(PassedOver { generation, error }),
                }
            }
            if is_complete {
                break;
            }
        }
        Ok(Restored { index: None, passed_over })
    }

    /// Removes all generations, for example when the index is no longer needed. Does nothing if this process
    /// may not save here.
    ///
    /// # Errors
    ///
    /// `Io` if they cannot be removed.
    pub fn remove(&self) -> Result<()> {
        let Some(_changing) = self.folder.change() else { return Ok(()) };
        files::tidy(&self.path);
        for generation in self.list()? {
            let path = files::generation_path(&self.path, generation);
            std::fs::remove_file(&path).map_err(|e| failed("remove", &path, e))?;
        }
        match std::fs::remove_dir(&self.path) {
            // Anything else in the folder is not ours to remove.
            Err(e) if !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
                Err(failed("remove", &self.path, e))
            }
            _ => Ok(()),
        }
    }

    /// Removes a damaged file. First loads it again while holding the right to change files: meanwhile the
    /// file may have been removed and its number given to a new one.
    fn load_again_or_remove(
        &self,
        path: &Path,
        settings: &SegmentedIndexBuilder,
        label: &[u8],
        loaded: Result<Option<SegmentedIndex>>,
    ) -> Result<Option<SegmentedIndex>> {
        let Some(_changing) = self.folder.change() else { return loaded };
        let loaded = load_file(path, settings, label);
        if loaded.as_ref().is_err_and(Error::is_corrupt) {
            drop(std::fs::remove_file(path));
        }
        loaded
    }

    fn make_folder(&self) -> io::Result<()> {
        if !self.path.is_dir() {
            std::fs::create_dir(&self.path)?;
            files::sync_folder(&self.folder.path)?;
        }
        Ok(())
    }

    fn list(&self) -> Result<Vec<u64>> {
        files::generations(&self.path).map_err(|e| failed("list the folder", &self.path, e))
    }
}

/// None if there is no such file.
fn load_file(path: &Path, settings: &SegmentedIndexBuilder, label: &[u8]) -> Result<Option<SegmentedIndex>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|e| failed("read", path, e))?,
    };
    let len_bytes = file.metadata().map_err(|e| failed("read", path, e))?.len();
    settings.clone().load(label, file, len_bytes).map(Some).map_err(|error| {
        Error::new(error.kind(), format!("cannot use {}: {error}", path.display())).with_source(error)
    })
}
