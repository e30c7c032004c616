//! A cross-encoder in ONNX Runtime: a small transformer that reads both questions together.
//!
//! An embedding is made from one question alone and so hardly distinguishes "enable 2FA" from "disable 2FA";
//! a model that sees both can. It costs about as much as embedding one question as long as both together, 2.3
//! ms for 30 tokens on one core.
//!
//! Guarantees that the model is the one that its manifest describes, that a pair's score depends only on the
//! pair, that no async thread computes, and that no more than [`QUEUE_CAPACITY`] pairs wait. Pairs are scored
//! one at a time: a batch gains nothing on one thread, and the best candidate comes first.

mod model;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use self::model::OnnxPairs;
use super::scorer::{PairScorer, Scored};
use super::worker;
#[cfg(doc)]
use super::worker::QUEUE_CAPACITY;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::onnx::{self, Manifest, Shared, Threads};

/// The folder name of the cross-encoder that comes with Wellspring.
pub const BUNDLED_VERIFIER: &str = "question-verifier";

/// A cross-encoder whose model runs in this process, on its own thread.
///
/// Dropping it joins the thread, which takes no longer than scoring one pair.
#[derive(Debug)]
pub struct CrossEncoder {
    name: String,
    worker: Threads<(String, String), Scored>,
}

/// How a [`CrossEncoder`] is loaded.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[must_use]
pub struct CrossEncoderOptions {
    threads: NonZeroUsize,
}

impl Default for CrossEncoderOptions {
    fn default() -> Self {
        Self { threads: NonZeroUsize::MIN }
    }
}

impl CrossEncoderOptions {
    /// How many threads compute one pair; 1 by default, which leaves the other cores to the application.
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// Loads the bundled model, as [`CrossEncoder::bundled`] does.
    ///
    /// # Errors
    ///
    /// As [`CrossEncoder::bundled`].
    pub fn bundled(&self) -> Result<CrossEncoder> {
        self.from_dir(onnx::bundled(BUNDLED_VERIFIER)?)
    }

    /// Loads the model of a folder, as [`CrossEncoder::from_dir`] does.
    ///
    /// # Errors
    ///
    /// As [`CrossEncoder::from_dir`].
    pub fn from_dir(&self, folder: impl AsRef<Path>) -> Result<CrossEncoder> {
        let folder = folder.as_ref();
        let manifest = Manifest::read(folder)?;
        let model = OnnxPairs::load(&manifest, folder, self.threads.get())?;
        CrossEncoder::start(manifest.fingerprint(), model)
    }

    /// Loads a reranker that fastembed knows, as [`CrossEncoder::named`] does.
    ///
    /// # Errors
    ///
    /// As [`CrossEncoder::named`].
    pub fn named(&self, name: &str) -> Result<CrossEncoder> {
        let (fingerprint, model) = model::named(name, self.threads.get())?;
        CrossEncoder::start(fingerprint, model)
    }
}

impl CrossEncoder {
    /// Loads the model that comes with Wellspring: English, pairs of up to 96 tokens together.
    ///
    /// Its folder is searched for in the same places as that of
    /// [`OnnxEmbedder::bundled`](crate::embed::OnnxEmbedder::bundled). Blocks for about 0.2 s, like every
    /// constructor here: on an async thread, wrap it in `tokio::task::spawn_blocking`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if the model or ONNX Runtime is not found, or if a file is missing or altered.
    pub fn bundled() -> Result<Self> {
        CrossEncoderOptions::default().bundled()
    }

    /// The bundled model, loaded once for all caches of the process that use it at the same time.
    ///
    /// # Errors
    ///
    /// As [`bundled`](Self::bundled).
    pub fn shared() -> Result<Arc<Self>> {
        static SHARED: Shared<CrossEncoder> = Shared::new();
        SHARED.get_or_load(Self::bundled)
    }

    /// Loads the model in `folder`. The folder must hold a `manifest.json` like that of the bundled model,
    /// and the model must return `logits` of the shape (pairs, 1).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if ONNX Runtime is not found, or if a file is missing, altered or not a model.
    pub fn from_dir(folder: impl AsRef<Path>) -> Result<Self> {
        CrossEncoderOptions::default().from_dir(folder)
    }

    /// Loads a reranker that fastembed knows, by its variant (`JINARerankerV1TurboEn`) or its repository
    /// (`BAAI/bge-reranker-base`), from its cache or from its hub. Needs the cargo feature `hub`.
    ///
    /// A reranker is trained to predict whether a passage answers a question, not whether two questions have
    /// one answer: calibrate it before its scores decide anything.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if fastembed knows no such model or this build lacks the feature;
    /// [`ErrorKind::Model`] if it cannot be fetched or ONNX Runtime is not found.
    pub fn named(name: &str) -> Result<Self> {
        CrossEncoderOptions::default().named(name)
    }

    /// The options, so that some can be set before loading.
    pub fn options() -> CrossEncoderOptions {
        CrossEncoderOptions::default()
    }

    fn start(name: String, mut model: OnnxPairs) -> Result<Self> {
        let worker = worker::start(move |(asked, cached): (String, String)| model.score(&asked, &cached))?;
        Ok(Self { name, worker })
    }
}

#[async_trait]
impl PairScorer for CrossEncoder {
    fn name(&self) -> &str {
        &self.name
    }

    async fn score(&self, asked: &str, cached: &str) -> Result<Scored> {
        self.worker.run_now((asked.to_owned(), cached.to_owned())).await
    }
}
