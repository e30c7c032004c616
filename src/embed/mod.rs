//! From text to embeddings.
//!
//! An [`Embedder`] identifies its model exactly: vectors of different models, revisions or dimensions are
//! never compared, because the model's fingerprint is part of every scope.

#[cfg(any(feature = "_local", feature = "remote"))]
mod checked;
mod fake;
mod memo;
#[cfg(feature = "_local")]
mod onnx;
#[cfg(feature = "remote")]
mod remote;
mod scripts;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

pub use self::fake::FakeEmbedder;
pub(crate) use self::memo::Memo;
#[cfg(feature = "_local")]
pub use self::onnx::{BUNDLED_MODEL, MULTILINGUAL_MODEL, OnnxEmbedder, OnnxOptions};
#[cfg(feature = "remote")]
pub use self::remote::{RemoteBuilder, RemoteEmbedder};
pub use self::scripts::Scripts;
use crate::embedding::Embedding;
use crate::error::Result;
use crate::tokens::TokenEncoder;

/// Which model makes the vectors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelInfo {
    /// The model's name, such as `question-encoder`.
    pub name: String,
    /// Distinguishes two files with the same name: a revision or a checksum.
    pub revision: String,
    /// The number of components of its vectors.
    pub dimensions: usize,
    /// The longest text that the model sees whole, in tokens; none if unknown.
    pub max_tokens: Option<usize>,
    /// The scripts that the model knows; none if unknown, in which case any script is accepted. If a text has
    /// a letter of another script, a cache matches it exactly only.
    pub scripts: Option<Scripts>,
}

impl ModelInfo {
    /// Describes a model.
    pub fn new(name: impl Into<String>, revision: impl Into<String>, dimensions: usize) -> Self {
        Self { name: name.into(), revision: revision.into(), dimensions, max_tokens: None, scripts: None }
    }

    /// The part of every scope that keeps vectors of different models apart.
    pub fn fingerprint(&self) -> String {
        format!("{}@{}/{}", self.name, self.revision, self.dimensions)
    }

    /// `NAME@REVISION`, the name and the revision or checksum; a comparer of token states identifies the
    /// model by it.
    pub fn encoder(&self) -> String {
        format!("{}@{}", self.name, self.revision)
    }

    /// A script of `text` that the model does not know, if there is one.
    pub fn unknown_script(&self, text: &str) -> Option<&'static str> {
        self.scripts.as_ref()?.unknown_in(text)
    }
}

/// The outcome for a text.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Embedded {
    /// Its embedding.
    Vector(Embedding),
    /// The model would see only its beginning. Two texts that differ after that would look the same,
    /// so it has no embedding and can be matched exactly only.
    TooLong,
    /// The model would see its unknown token in place of a part of the text, such as an emoji, or the text
    /// has letters of a script that the model was never [trained on](ModelInfo::scripts). Two texts that
    /// differ there may look the same, so it has no embedding and can be matched exactly only.
    Unreadable,
}

impl Embedded {
    /// The embedding, if there is one.
    pub(crate) fn into_vector(self) -> Option<Embedding> {
        match self {
            Self::Vector(vector) => Some(vector),
            Self::TooLong | Self::Unreadable => None,
        }
    }
}

/// Turns texts into embeddings of one model.
#[async_trait]
pub trait Embedder: fmt::Debug + Send + Sync {
    /// The model.
    fn model(&self) -> &ModelInfo;

    /// Embeds `texts`; the results come in the same order, and without texts there are none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Embedding`](crate::ErrorKind::Embedding) or
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if the model fails, cannot be reached or gives
    /// vectors of a dimension other than promised. If one text fails, the call fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the work and changes nothing.
    async fn embed(&self, texts: &[String]) -> Result<Vec<Embedded>>;

    /// Whether work that may turn out to be unnecessary would delay no one. If so, and the store is a round
    /// trip away, a question is embedded while its exact lookup runs. If false, the default, it is embedded
    /// only after an exact miss.
    fn is_idle(&self) -> bool {
        false
    }

    /// The source of token states of texts, if the model gives some with its embeddings; none by default.
    fn token_encoder(self: Arc<Self>) -> Option<Arc<dyn TokenEncoder>> {
        None
    }
}
