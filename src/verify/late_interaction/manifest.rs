//! The manifest of a comparer: its weights, and the model whose token states it reads.

use std::path::Path;

use serde::Deserialize;

use crate::error::Result;
use crate::onnx::{self, FileEntry};

/// The manifest in a comparer's folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) name: String,
    revision: String,
    /// The model whose token states it was trained on, as `name@revision`.
    pub(super) encoder: String,
    /// For people and licence scanners; an SPDX expression.
    #[serde(rename = "license")]
    _license: String,
    /// For people: where the weights come from.
    #[serde(rename = "source")]
    _source: String,
    files: Files,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Files {
    #[serde(rename = "model.safetensors")]
    weights: FileEntry,
}

impl Manifest {
    /// Reads the manifest of the comparer in `folder`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if there is none, or if it is not one.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let manifest: Self = onnx::read_manifest(folder)?;
        if manifest.name.is_empty() || manifest.revision.is_empty() {
            return Err(onnx::bad_manifest(
                folder,
                "has an empty name or revision: a calibration belongs to both",
            ));
        }
        Ok(manifest)
    }

    /// The checked weights.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if the file is missing or altered.
    pub(super) fn weights(&self, folder: &Path) -> Result<Vec<u8>> {
        self.files.weights.read(&folder.join("model.safetensors"))
    }

    /// The name of the comparer in calibrations.
    pub(super) fn fingerprint(&self) -> String {
        format!("{}@{}", self.name, self.revision)
    }
}
