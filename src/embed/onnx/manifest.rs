//! The manifest of a model folder: what the model is, and the checksum of every file it is made of.
//!
//! Guarantees that the bytes handed on are the bytes that were checked: each file is read once, into
//! memory, and hashed there. Does not say that a manifest is trustworthy: it guards against truncated,
//! altered and mixed-up files, not against someone who can rewrite the whole folder.

use std::fs::File;
use std::io::{ErrorKind as IoErrorKind, Read};
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::embedding::MAX_DIMENSIONS;
use crate::error::{Error, ErrorKind, Result};

/// The name of the manifest in a model folder.
pub(super) const MANIFEST_FILE: &str = "manifest.json";

/// The longest manifest that is read.
const MAX_MANIFEST_BYTES: u64 = 64 * 1024;

/// The largest model file that is read: a protobuf message, hence an ONNX file, cannot be larger.
const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// The greatest `max_tokens` that makes sense of a manifest; beyond it is a typing error.
const MAX_TOKENS: usize = 1_000_000;

/// What a model folder says of itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) revision: String,
    pub(super) dimensions: usize,
    /// Special tokens included.
    pub(super) max_tokens: usize,
    pub(super) pooling: Pooling,
    pub(super) quantization: Quantization,
    /// For people and licence scanners; an SPDX expression.
    #[serde(rename = "license")]
    _license: String,
    /// For people: where the weights come from.
    #[serde(rename = "source")]
    _source: String,
    files: Files,
}

/// How the vectors of the tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Pooling {
    Mean,
    Cls,
}

/// How the weights and activations are stored while the model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Quantization {
    None,
    Static,
    /// Activations are scaled by their range over the whole batch, so a text's vector depends on what else is in it.
    Dynamic,
}

/// Each file of a model folder; serde refuses a manifest that lacks one or lists another.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Files {
    #[serde(rename = "model.onnx")]
    model: FileEntry,
    #[serde(rename = "tokenizer.json")]
    tokenizer: FileEntry,
    #[serde(rename = "config.json")]
    config: FileEntry,
    #[serde(rename = "special_tokens_map.json")]
    special_tokens_map: FileEntry,
    #[serde(rename = "tokenizer_config.json")]
    tokenizer_config: FileEntry,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    bytes: u64,
    #[serde(with = "hex::serde")]
    sha256: [u8; 32],
}

/// The checked contents of a model folder.
pub(super) struct ModelFiles {
    pub(super) model: Vec<u8>,
    pub(super) tokenizer: Vec<u8>,
    pub(super) config: Vec<u8>,
    pub(super) special_tokens_map: Vec<u8>,
    pub(super) tokenizer_config: Vec<u8>,
}

impl Manifest {
    /// Reads the manifest of the model in `folder`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if there is none, or if it is not one.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(MANIFEST_FILE);
        let bytes = read_at_most(&path, MAX_MANIFEST_BYTES)?;
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| {
            bad_manifest(&path, "cannot be read: compare it with the one in models/").with_source(error)
        })?;
        manifest.check(&path)?;
        Ok(manifest)
    }

    fn check(&self, path: &Path) -> Result<()> {
        if self.name.is_empty() || self.revision.is_empty() {
            return Err(bad_manifest(path, "has an empty name or revision: both identify the vectors"));
        }
        if self.dimensions == 0 || self.dimensions > MAX_DIMENSIONS {
            return Err(bad_manifest(path, &format!("must say 1 to {MAX_DIMENSIONS} dimensions")));
        }
        if self.max_tokens == 0 || self.max_tokens > MAX_TOKENS {
            return Err(bad_manifest(path, &format!("must say 1 to {MAX_TOKENS} as max_tokens")));
        }
        Ok(())
    }

    /// Reads and checks every file of the model in `folder`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if a file is missing, unreadable, truncated or altered.
    pub(super) fn read_files(&self, folder: &Path) -> Result<ModelFiles> {
        let read = |name: &str, entry: &FileEntry| read_checked(&folder.join(name), entry);
        Ok(ModelFiles {
            // The small ones first: a damaged folder is reported without reading the large one.
            tokenizer: read("tokenizer.json", &self.files.tokenizer)?,
            config: read("config.json", &self.files.config)?,
            special_tokens_map: read("special_tokens_map.json", &self.files.special_tokens_map)?,
            tokenizer_config: read("tokenizer_config.json", &self.files.tokenizer_config)?,
            model: read("model.onnx", &self.files.model)?,
        })
    }
}

fn read_checked(path: &Path, entry: &FileEntry) -> Result<Vec<u8>> {
    let bytes = read_at_most(path, entry.bytes.min(MAX_FILE_BYTES))?;
    if bytes.len() as u64 != entry.bytes {
        return Err(altered(path, &format!("has {} bytes instead of {}", bytes.len(), entry.bytes)));
    }
    if Sha256::digest(&bytes)[..] != entry.sha256 {
        return Err(altered(path, "does not match its sha256"));
    }
    Ok(bytes)
}

/// Reads a file of `limit` bytes or fewer; one that is longer gives an error without being read.
fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let open = || {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok((file, length))
    };
    let (file, length) = open().map_err(|error: std::io::Error| unreadable(path, error))?;
    if length > limit {
        return Err(altered(path, &format!("has {length} bytes instead of {limit}")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    // Limited again: the file may grow between the two calls.
    file.take(limit).read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let what = if error.kind() == IoErrorKind::NotFound { "is missing" } else { "cannot be read" };
    let message = format!("model file {} {what}: restore the model folder from its source", path.display());
    Error::new(ErrorKind::Model, message).with_source(error)
}

fn altered(path: &Path, what: &str) -> Error {
    let message = format!("model file {} {what}: restore the model folder from its source", path.display());
    Error::new(ErrorKind::Model, message)
}

fn bad_manifest(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Model, format!("model manifest {} {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundled() -> serde_json::Value {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/all-MiniLM-L6-v2-int8");
        serde_json::from_slice(&std::fs::read(folder.join(MANIFEST_FILE)).unwrap()).unwrap()
    }

    fn read(manifest: &[u8]) -> Result<Manifest> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(MANIFEST_FILE), manifest).unwrap();
        Manifest::read(folder.path())
    }

    #[test]
    fn bundled_manifest_is_read() {
        let manifest = read(bundled().to_string().as_bytes()).unwrap();
        assert_eq!((manifest.dimensions, manifest.max_tokens), (384, 256));
        assert_eq!((manifest.pooling, manifest.quantization), (Pooling::Mean, Quantization::Dynamic));
    }

    #[test]
    fn bad_manifests_are_model_errors_that_name_the_file() {
        let edit = |pointer: &str, value: serde_json::Value| {
            let mut manifest = bundled();
            *manifest.pointer_mut(pointer).unwrap() = value;
            manifest.to_string().into_bytes()
        };
        let mut unknown_field = bundled();
        unknown_field["extra"] = 1.into();
        let bad = [
            b"".to_vec(),
            b"[]".to_vec(),
            b"\xff\xfe".to_vec(),
            "[".repeat(100_000).into_bytes(),
            unknown_field.to_string().into_bytes(),
            edit("/name", "".into()),
            edit("/dimensions", 0.into()),
            edit("/dimensions", 10_000_000.into()),
            edit("/max_tokens", 0.into()),
            edit("/pooling", "median".into()),
            edit("/files/model.onnx/sha256", "00".into()),
        ];
        for manifest in bad {
            let error = read(&manifest).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Model);
            assert!(error.to_string().contains(MANIFEST_FILE), "{error}");
        }
    }
}
