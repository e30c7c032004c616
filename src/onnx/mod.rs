//! Shared by all local models: ONNX Runtime itself, the checked files of a model's folder, and the threads that
//! own models.
//!
//! Guarantees that the bytes passed on are the bytes that were checked, and that the error for a missing
//! runtime or file says in one sentence how to get it. Does not know the purpose of a model.

mod folder;
pub(crate) mod hub;
mod runtime;
mod threads;

use std::env;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

pub(crate) use self::folder::{
    BUILT_MODEL, FileEntry, Files, Manifest, ModelFiles, bad_manifest, bundled, check_max_tokens,
};
pub(crate) use self::runtime::{environment, library};
pub(crate) use self::threads::{Reply, Request, Settings, Threads};
use crate::error::Result;

/// The names of the unknown token: in BERT's vocabularies, and in those of `SentencePiece`.
pub(crate) const UNKNOWN_TOKENS: [&str; 2] = ["[UNK]", "<unk>"];

/// A token covers at most this many bytes of ordinary text. Longer texts are not even tokenized, so that a
/// question of a megabyte costs nothing.
pub(crate) const MAX_BYTES_PER_TOKEN: usize = 64;

/// The folder of this program's file, where a symbolic link to it does not count; none if it is not known.
fn executable_folder() -> Option<PathBuf> {
    let path = env::current_exe().ok()?;
    let path = path.canonicalize().unwrap_or(path);
    path.parent().map(PathBuf::from)
}

/// A model that all its users in this process share at the same time.
pub(crate) struct Shared<T>(Mutex<Weak<T>>);

impl<T> Shared<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    /// The model that is in use, or else the one that `load` gives.
    pub(crate) fn get_or_load(&self, load: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        // Locked while loading, so that two callers at the same time load it once. Poison is harmless: it is
        // written in one step.
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = shared.upgrade() {
            return Ok(loaded);
        }
        let loaded = Arc::new(load()?);
        *shared = Arc::downgrade(&loaded);
        Ok(loaded)
    }
}
