//! The manifest of an embedding model, which describes its vectors.
//!
//! Guarantees that its values are within reason; the checksums are checked where the files are read.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::embed::{ModelInfo, Scripts};
use crate::embedding::MAX_DIMENSIONS;
use crate::error::Result;
use crate::onnx::{self, Files};

/// The manifest in the folder of an embedding model.
pub(super) type Manifest = onnx::Manifest<Details>;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Details {
    pub(super) dimensions: usize,
    /// Special tokens included.
    pub(super) max_tokens: usize,
    pub(super) pooling: Pooling,
    pub(super) quantization: Quantization,
    /// Whether the model also gives `token_states` and `identity`, for a verifier that compares texts token
    /// by token.
    #[serde(default)]
    pub(super) token_states: bool,
    /// The scripts that the model was trained on; absent if it accepts any.
    #[serde(default)]
    scripts: Option<Scripts>,
    /// Configuration entries of the ONNX Runtime session that runs the model.
    #[serde(default)]
    pub(super) session: BTreeMap<String, String>,
    pub(super) files: Files,
}

/// How the vectors of the tokens are combined into one.
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
    /// Activations are scaled by their range over the whole batch, so a text's vector depends on the other
    /// texts in it.
    Dynamic,
}

/// Reads the manifest of the model in `folder`.
///
/// # Errors
///
/// [`ErrorKind::Model`](crate::ErrorKind::Model) if there is none, or if it is not valid.
pub(super) fn read(folder: &Path) -> Result<Manifest> {
    let manifest = Manifest::read(folder)?;
    if !(1..=MAX_DIMENSIONS).contains(&manifest.details.dimensions) {
        return Err(onnx::bad_manifest(folder, &format!("must say 1 to {MAX_DIMENSIONS} dimensions")));
    }
    onnx::check_max_tokens(folder, manifest.details.max_tokens)?;
    Ok(manifest)
}

pub(super) fn info(manifest: Manifest) -> ModelInfo {
    let mut info = ModelInfo::new(manifest.name, manifest.revision, manifest.details.dimensions);
    info.max_tokens = Some(manifest.details.max_tokens);
    info.scripts = manifest.details.scripts;
    info
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const MANIFEST_FILE: &str = "manifest.json";

    fn bundled() -> serde_json::Value {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/question-encoder");
        serde_json::from_slice(&std::fs::read(folder.join(MANIFEST_FILE)).unwrap()).unwrap()
    }

    fn read(manifest: &[u8]) -> Result<Manifest> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(MANIFEST_FILE), manifest).unwrap();
        super::read(folder.path())
    }

    #[test]
    fn bundled_manifest_is_read() {
        let manifest = read(bundled().to_string().as_bytes()).unwrap();
        let Details { dimensions, max_tokens, pooling, quantization, .. } = manifest.details;
        assert_eq!((dimensions, max_tokens), (384, 256));
        assert_eq!((pooling, quantization), (Pooling::Mean, Quantization::Dynamic));
    }

    #[test]
    fn the_scripts_of_a_model_are_known_and_need_not_be_set() {
        let mut manifest = bundled();
        let scripts = |manifest: &serde_json::Value| {
            let info = info(read(manifest.to_string().as_bytes()).unwrap());
            (info.unknown_script("password"), info.unknown_script("пароль"))
        };
        assert_eq!(scripts(&manifest), (None, Some("Cyrillic")));
        manifest.as_object_mut().unwrap().remove("scripts");
        assert_eq!(scripts(&manifest), (None, None));
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
            edit("/scripts", serde_json::json!([])),
            edit("/scripts", serde_json::json!(["Latn"])),
            edit("/files/model.onnx/sha256", "00".into()),
        ];
        for manifest in bad {
            let error = read(&manifest).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Model);
            assert!(error.to_string().contains(MANIFEST_FILE), "{error}");
        }
    }
}
