//! Shared by all models that run in ONNX Runtime: the runtime itself, and the checked files of a model's
//! folder.
//!
//! Guarantees that the bytes passed on are the bytes that were checked, and that the error for a missing
//! runtime or file says in one sentence how to get it. Does not know the purpose of a model.

mod folder;
mod runtime;

use std::env;
use std::path::PathBuf;

pub(crate) use self::folder::{
    BUILT_MODEL, FileEntry, Files, ModelFiles, bad_manifest, bundled, read_manifest,
};
pub(crate) use self::runtime::{environment, library};

/// The names of the unknown token: in BERT's vocabularies, and in those of `SentencePiece`.
pub(crate) const UNKNOWN_TOKENS: [&str; 2] = ["[UNK]", "<unk>"];

/// A token covers at most this many bytes of ordinary text. Longer texts are not even tokenized, so that a
/// question of a megabyte costs nothing.
pub(crate) const MAX_BYTES_PER_TOKEN: usize = 64;

/// The greatest `max_tokens` that is plausible in a manifest; a greater one is a typing error.
pub(crate) const MAX_TOKENS: usize = 1_000_000;

/// The folder of this program's file, where a symbolic link to it does not count; none if it is not known.
fn executable_folder() -> Option<PathBuf> {
    let path = env::current_exe().ok()?;
    let path = path.canonicalize().unwrap_or(path);
    path.parent().map(PathBuf::from)
}
