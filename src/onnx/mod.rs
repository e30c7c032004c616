//! What every model that runs in ONNX Runtime needs: the runtime itself, and the checked files of its folder.
//!
//! Guarantees that the bytes handed on are the bytes that were checked, and that a missing runtime or file is one
//! sentence on how to get it. Knows nothing of what a model is for.

mod folder;
mod runtime;

pub(crate) use self::folder::{
    BUILT_MODEL, FileEntry, Files, ModelFiles, bad_manifest, bundled, read_manifest,
};
pub(crate) use self::runtime::environment;

/// What the unknown token is called: in BERT's vocabularies, and in those of `SentencePiece`.
pub(crate) const UNKNOWN_TOKENS: [&str; 2] = ["[UNK]", "<unk>"];

/// A token covers at most this many bytes of ordinary text; longer texts are not even tokenized, so that a
/// megabyte of question costs nothing.
pub(crate) const MAX_BYTES_PER_TOKEN: usize = 64;

/// The greatest `max_tokens` that makes sense of a manifest; beyond it is a typing error.
pub(crate) const MAX_TOKENS: usize = 1_000_000;
