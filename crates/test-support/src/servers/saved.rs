//! Copies of a server's data, like those that backups consist of.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// The file in which a cluster node keeps its place in the cluster. It is not data: a node that loses its
/// data keeps its place.
pub(super) const NODES_FILE: &str = "nodes.conf";

/// What a server had on its disk.
pub struct SavedFiles {
    folder: TempDir,
}

impl SavedFiles {
    pub(super) fn copy_from(data: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        copy(data, folder.path());
        Self { folder }
    }

    pub(super) fn copy_to(&self, data: &Path) {
        for entry in fs::read_dir(data).expect("the data folder is readable") {
            let entry = entry.expect("the data folder is readable");
            if entry.file_name() == OsStr::new(NODES_FILE) {
                continue;
            }
            let removed = if entry.path().is_dir() {
                fs::remove_dir_all(entry.path())
            } else {
                fs::remove_file(entry.path())
            };
            removed.expect("the data folder is writable");
        }
        copy(self.folder.path(), data);
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the data folder is readable") {
        let entry = entry.expect("the data folder is readable");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("the folder is writable");
            copy(&entry.path(), &target);
        } else if entry.file_name() != OsStr::new(NODES_FILE) {
            fs::copy(entry.path(), &target).expect("a data file can be copied");
        }
    }
}
