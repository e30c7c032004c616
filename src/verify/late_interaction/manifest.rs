//! What the manifest says of a comparer: its weights, and the model whose token states it reads.

use std::path::Path;

use serde::Deserialize;

use crate::error::Result;
use crate::onnx::FileEntry;

/// The manifest in a comparer's folder.
pub(super) type Manifest = crate::onnx::Manifest<Details>;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Details {
    /// The model whose token states it was trained on, as `name@revision`.
    pub(super) encoder: String,
    files: Files,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Files {
    #[serde(rename = "model.safetensors")]
    weights: FileEntry,
}

impl Details {
    /// The checked weights.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if the file is missing or altered.
    pub(super) fn weights(&self, folder: &Path) -> Result<Vec<u8>> {
        self.files.weights.read(&folder.join("model.safetensors"))
    }
}
