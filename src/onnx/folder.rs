//! The folder of a model: where the bundled models are, and the checksum of every file.
//!
//! Guarantees that the bytes passed on are the bytes that were checked: each file is read once, into memory,
//! and hashed there. Does not make a manifest trustworthy: it guards against truncated, altered and mixed-up
//! files, not against someone who can rewrite the whole folder.

use std::env;
use std::fs::File;
use std::io::{ErrorKind as IoErrorKind, Read};
use std::path::{Path, PathBuf};

use fastembed::TokenizerFiles;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// The name of the manifest in a model folder.
const MANIFEST_FILE: &str = "manifest.json";

/// The variable that names the folders of model folders, separated as in `PATH`.
const MODELS_VARIABLE: &str = "WELLSPRING_MODELS_DIR";

/// The model that is too large for the repository, which has only its manifest: `make multilingual` builds
/// it.
pub(crate) const BUILT_MODEL: &str = "multilingual-encoder";

/// The greatest `max_tokens` that is plausible in a manifest; a greater one is a typing error.
const MAX_TOKENS: usize = 1_000_000;

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

/// What every manifest says; `details` is what it says about its kind of model, which includes its files.
#[derive(Debug, Clone)]
pub(crate) struct Manifest<D> {
    pub(crate) name: String,
    pub(crate) revision: String,
    pub(crate) details: D,
}

impl<D: DeserializeOwned> Manifest<D> {
    /// Reads the manifest in `folder`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if there is none, or if it is not valid.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let stated: Stated = read_json(folder)?;
        // In two steps, because serde cannot refuse unknown fields of a flattened structure.
        let details =
            D::deserialize(Value::Object(stated.details)).map_err(|error| no_manifest(folder, error))?;
        if stated.name.is_empty() || stated.revision.is_empty() {
            let why = "has an empty name or revision: both identify vectors and calibrations";
            return Err(bad_manifest(folder, why));
        }
        Ok(Self { name: stated.name, revision: stated.revision, details })
    }
}

impl<D> Manifest<D> {
    /// The name of the model in calibrations.
    pub(crate) fn fingerprint(&self) -> String {
        format!("{}@{}", self.name, self.revision)
    }
}

/// The fields of every manifest, and the others.
#[derive(Deserialize)]
struct Stated {
    name: String,
    revision: String,
    /// For people and licence scanners; an SPDX expression.
    #[serde(rename = "license")]
    _license: String,
    /// For people: where the weights come from.
    #[serde(rename = "source")]
    _source: String,
    #[serde(flatten)]
    details: serde_json::Map<String, Value>,
}

/// Reads the manifest in `folder` in part.
fn read_json<M: DeserializeOwned>(folder: &Path) -> Result<M> {
    let bytes = read_at_most(&folder.join(MANIFEST_FILE), MAX_MANIFEST_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|error| no_manifest(folder, error))
}

fn no_manifest(folder: &Path, error: serde_json::Error) -> Error {
    bad_manifest(folder, "cannot be read: compare it with the one in models/").with_source(error)
}

/// Checks the greatest number of tokens that a manifest states.
///
/// # Errors
///
/// [`ErrorKind::Model`] if it is not plausible.
pub(crate) fn check_max_tokens(folder: &Path, max_tokens: usize) -> Result<()> {
    if (1..=MAX_TOKENS).contains(&max_tokens) {
        return Ok(());
    }
    Err(bad_manifest(folder, &format!("must say 1 to {MAX_TOKENS} as max_tokens")))
}

impl Files {
    /// Reads and checks every file of the model in `folder`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if a file is missing, unreadable, truncated or altered.
    pub(crate) fn read(&self, folder: &Path) -> Result<ModelFiles> {
        let read = |name: &str, entry: &FileEntry| entry.read(&folder.join(name));
        // The small files first: a damaged folder is then reported without reading the large one.
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

/// Reads a file of at most `limit` bytes; a longer one is an error and is not read.
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

/// The folder of the model `name` that is shipped with Wellspring.
///
/// # Errors
///
/// [`ErrorKind::Model`] if none of the searched folders has it.
pub(crate) fn bundled(name: &str) -> Result<PathBuf> {
    let named = env::var_os(MODELS_VARIABLE).filter(|folders| !folders.is_empty());
    let folders = match named {
        // Only these folders: a wrong setting must not go unnoticed.
        Some(folders) => env::split_paths(&folders).collect(),
        None => model_folders(super::executable_folder().as_deref()),
    };
    find(name, &folders)
}

/// The folder `name` in the first of `folders` that holds the complete model.
fn find(name: &str, folders: &[PathBuf]) -> Result<PathBuf> {
    let described =
        || folders.iter().map(|folder| folder.join(name)).filter(|it| it.join(MANIFEST_FILE).is_file());
    if let Some(whole) = described().find(|folder| is_whole(folder)) {
        return Ok(whole);
    }
    let searched: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let searched = searched.join(", ");
    if name == BUILT_MODEL {
        let message = format!(
            "model {name} not found in {searched}: run `make multilingual` in a checkout of Wellspring, which builds it \
             in .deps/models/, or set {MODELS_VARIABLE}"
        );
        return Err(Error::new(ErrorKind::Model, message));
    }
    // If a model is there but incomplete, reading it reports the missing file.
    described().next().ok_or_else(|| {
        let message = format!(
            "model {name} not found in {searched}: set {MODELS_VARIABLE} to the models/ folder of a Wellspring \
             checkout, or to share/wellspring/models of an unpacked release"
        );
        Error::new(ErrorKind::Model, message)
    })
}

/// Whether every file of the manifest exists. A checkout has manifests of models that are built elsewhere.
fn is_whole(folder: &Path) -> bool {
    #[derive(Deserialize)]
    struct Listed {
        files: serde_json::Map<String, Value>,
    }
    read_json::<Listed>(folder)
        .is_ok_and(|manifest| manifest.files.keys().all(|file| folder.join(file).is_file()))
}

/// Where models are looked for by a program in the folder `beside`, best first.
fn model_folders(beside: Option<&Path>) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = beside.iter().map(|beside| beside.join("models")).collect();
    folders.extend(beside.and_then(Path::parent).map(|prefix| prefix.join("share/wellspring/models")));
    for root in [Path::new(""), Path::new(env!("CARGO_MANIFEST_DIR"))] {
        folders.extend([root.join("models"), root.join(".deps/models")]);
    }
    folders
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder of models with one model that lists `model.onnx`, with or without that file.
    fn models(name: &str, is_whole: bool) -> tempfile::TempDir {
        let models = tempfile::tempdir().unwrap();
        let folder = models.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(MANIFEST_FILE), r#"{"files": {"model.onnx": {}}}"#).unwrap();
        if is_whole {
            fs::write(folder.join("model.onnx"), "").unwrap();
        }
        models
    }

    #[test]
    fn models_beside_the_program_come_before_those_of_the_source_tree() {
        let folders = model_folders(Some(Path::new("/opt/wellspring/bin")));
        assert_eq!(
            folders[..2],
            [Path::new("/opt/wellspring/bin/models"), Path::new("/opt/wellspring/share/wellspring/models"),]
        );
        assert!(folders[2..].contains(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models")));
    }

    #[test]
    fn a_model_that_is_only_described_gives_way_to_one_that_is_whole() {
        for name in ["question-encoder", "multilingual-encoder"] {
            let (described, whole) = (models(name, false), models(name, true));
            let folders = [described.path().to_path_buf(), whole.path().to_path_buf()];
            assert_eq!(find(name, &folders).unwrap(), whole.path().join(name));
        }
    }

    #[test]
    fn what_is_not_there_is_reported_with_what_to_do() {
        let (small, large) = (models("question-encoder", false), models("multilingual-encoder", false));
        let folders = [small.path().to_path_buf(), large.path().to_path_buf()];
        let error = |name| find(name, &folders).unwrap_err().to_string();
        assert!(error("multilingual-encoder").contains("run `make multilingual`"));
        assert!(error("question-comparer").contains("set WELLSPRING_MODELS_DIR to the models/ folder"));
        // Its files are in the repository: reading the model reports the missing one.
        assert_eq!(find("question-encoder", &folders).unwrap(), small.path().join("question-encoder"));
    }
}
