//! Shared by all local models: ONNX Runtime itself, the checked files of a model's folder, and the threads that
//! own models.
//!
//! Guarantees that the bytes passed on are the bytes that were checked, and that the error for a missing
//! runtime or file says in one sentence how to get it. Does not know the purpose of a model.

mod folder;
mod runtime;
mod threads;

pub(crate) use self::folder::{
    BUILT_MODEL, FileEntry, Files, ModelFiles, bad_manifest, bundled, read_manifest,
};
pub(crate) use self::runtime::environment;
pub(crate) use self::threads::{Reply, Request, Settings, Threads};

/// The names of the unknown token: in BERT's vocabularies, and in those of `SentencePiece`.
pub(crate) const UNKNOWN_TOKENS: [&str; 2] = ["[UNK]", "<unk>"];

/// A token covers at most this many bytes of ordinary text. Longer texts are not even tokenized, so that a
/// question of a megabyte costs nothing.
pub(crate) const MAX_BYTES_PER_TOKEN: usize = 64;

/// The greatest `max_tokens` that is plausible in a manifest; a greater one is a typing error.
pub(crate) const MAX_TOKENS: usize = 1_000_000;
