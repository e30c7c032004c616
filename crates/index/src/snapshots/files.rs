//! The files of a folder of snapshots: their names, and how they are written.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::failed;
use crate::error::Result;

const GENERATION: &str = "index";
const DRAFT: &str = "draft";

pub(super) fn generation_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.{GENERATION}"))
}

/// The numbers of the generations in `folder`, ascending; none if there is no folder.
pub(super) fn generations(folder: &Path) -> io::Result<Vec<u64>> {
    let names = match names(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names?,
    };
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn number_of(name: &str) -> Option<u64> {
    let (digits, extension) = name.split_once('.')?;
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if extension != GENERATION || digits.len() != 16 || !digits.bytes().all(is_hex) {
        return None;
    }
    // The greatest has no successor, so it is no generation.
    u64::from_str_radix(digits, 16).ok().filter(|&number| number < u64::MAX)
}

/// The names in `folder`; names that are not Unicode are not ours and are skipped.
pub(super) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

/// Removes what interrupted saves left: drafts, and generations older than the last two. A file that cannot
/// be removed does no harm except for the space it takes.
pub(super) fn tidy(folder: &Path) {
    let names = names(folder).unwrap_or_default();
    for name in names.iter().filter(|name| Path::new(name).extension().is_some_and(|e| e == DRAFT)) {
        drop(std::fs::remove_file(folder.join(name)));
    }
    for number in generations(folder).unwrap_or_default().into_iter().rev().skip(2) {
        drop(std::fs::remove_file(generation_path(folder, number)));
    }
}

/// Writes a generation with `write`: it is either complete and on the disk, or does not appear at all.
pub(super) fn publish<T>(folder: &Path, number: u64, write: impl FnOnce(&File) -> Result<T>) -> Result<T> {
    let draft = Draft(folder.join(format!("{number:016x}.{DRAFT}")));
    let cannot = |e| failed("write", &draft.0, e);
    let file = File::create_new(&draft.0).map_err(cannot)?;
    let written = write(&file)?;
    file.sync_all().map_err(cannot)?;
    drop(file);
    std::fs::rename(&draft.0, generation_path(folder, number)).map_err(cannot)?;
    sync_folder(folder).map_err(cannot)?;
    Ok(written)
}

/// Removed when dropped, unless it has been renamed.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// Waits until all files created, renamed and removed in `folder` are on the disk.
#[cfg(unix)]
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Does nothing: on other systems a folder cannot be opened as a file.
#[cfg(not(unix))]
pub(super) fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
