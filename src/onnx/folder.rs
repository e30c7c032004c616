//! The folder of a model: where the bundled ones are, and the checksum of every file.
//!
//! Guarantees that the bytes handed on are the bytes that were checked: each file is read once, into
//! memory, and hashed there. Does not say that a manifest is trustworthy: it guards against truncated,
//! altered and mixed-up files, not against someone who can rewrite the whole folder.

use std::env;
use std::fs::File;
use std::io::{ErrorKind as IoErrorKind, Read};
use std::path::{Path, PathBuf};

use fastembed::TokenizerFiles;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// The name of the manifest in a model folder.
const MANIFEST_FILE: &str = "manifest.json";

/// The variable that names the folder of model folders.
const MODELS_VARIABLE: &str = "WELLSPRING_MODELS_DIR";

/// The longest manifest that is read.
const MAX_MANIFEST_BYTES: u64 = 64 * 1024;

/// The largest model file that is read: a protobuf message, hence an ONNX file, cannot be larger.
const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Each file of a model folder; serde refuses a manifest that lacks one or lists another.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Files {
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
pub(crate) struct FileEntry {
    bytes: u64,
    #[serde(with = "hex::serde")]
    sha256: [u8; 32],
}

/// The checked contents of a model folder.
#[derive(Clone)]
pub(crate) struct ModelFiles {
    pub(crate) model: Vec<u8>,
    pub(crate) tokenizer: TokenizerFiles,
}

/// Reads the manifest in `folder`, whatever it says of itself beside its files.
///
/// # Errors
///
/// [`ErrorKind::Model`] if there is none, or if it is not one.
pub(crate) fn read_manifest<M: DeserializeOwned>(folder: &Path) -> Result<M> {
    let path = folder.join(MANIFEST_FILE);
    let bytes = read_at_most(&path, MAX_MANIFEST_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        bad_manifest(folder, "cannot be read: compare it with the one in models/").with_source(error)
    })
}

impl Files {
    /// Reads and checks every file of the model in `folder`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if a file is missing, unreadable, truncated or altered.
    pub(crate) fn read(&self, folder: &Path) -> Result<ModelFiles> {
        let read = |name: &str, entry: &FileEntry| entry.read(&folder.join(name));
        // The small ones first: a damaged folder is reported without reading the large one.
        let tokenizer = TokenizerFiles {
            tokenizer_file: read("tokenizer.json", &self.tokenizer)?,
            config_file: read("config.json", &self.config)?,
            special_tokens_map_file: read("special_tokens_map.json", &self.special_tokens_map)?,
            tokenizer_config_file: read("tokenizer_config.json", &self.tokenizer_config)?,
        };
        Ok(ModelFiles { tokenizer, model: read("model.onnx", &self.model)? })
    }
}

impl FileEntry {
    /// Reads the file at `path`, which must be this one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if it is missing, unreadable, truncated or altered.
    pub(crate) fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let bytes = read_at_most(path, self.bytes.min(MAX_FILE_BYTES))?;
        if bytes.len() as u64 != self.bytes {
            return Err(altered(path, &format!("has {} bytes instead of {}", bytes.len(), self.bytes)));
        }
        if Sha256::digest(&bytes)[..] != self.sha256 {
            return Err(altered(path, "does not match its sha256"));
        }
        Ok(bytes)
    }
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

/// What is wrong with the manifest in `folder`.
pub(crate) fn bad_manifest(folder: &Path, what: &str) -> Error {
    let path = folder.join(MANIFEST_FILE);
    Error::new(ErrorKind::Model, format!("model manifest {} {what}", path.display()))
}

/// The folder of the model `name` that comes with Wellspring.
///
/// # Errors
///
/// [`ErrorKind::Model`] if there is none where it is looked for.
pub(crate) fn bundled(name: &str) -> Result<PathBuf> {
    let named = env::var_os(MODELS_VARIABLE).filter(|folder| !folder.is_empty());
    let folders = match named {
        // This one or none: a wrong setting must not pass unseen.
        Some(folder) => vec![PathBuf::from(folder)],
        None => model_folders(env::current_exe().ok().as_deref()),
    };
    folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|folder| folder.join(MANIFEST_FILE).is_file())
        .ok_or_else(|| {
            let searched: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
            let message = format!(
                "model {name} not found in {}: set {MODELS_VARIABLE} to the models/ folder of a \
                 Wellspring checkout",
                searched.join(", ")
            );
            Error::new(ErrorKind::Model, message)
        })
}

fn model_folders(executable: Option<&Path>) -> Vec<PathBuf> {
    let beside = executable.and_then(Path::parent);
    let mut folders: Vec<PathBuf> =
        beside.into_iter().flat_map(|b| [b.join("models"), b.join("../share/wellspring/models")]).collect();
    folders.push(PathBuf::from("models"));
    folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("models"));
    folders
}
