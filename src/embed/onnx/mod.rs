//! Local embedding with ONNX Runtime.
//!
//! [`OnnxEmbedder`] runs a model in this process: the bundled one, one from a folder with a manifest, or one
//! that fastembed knows by name. Guarantees that the model is the one that its manifest describes (every
//! checksum is verified at load), that a text's embedding depends on nothing but the text, and that no
//! async thread ever runs the model. Deliberately has no GPU providers: one short question at a time gains
//! nothing from them; for that, run an embedding server and use
//! [`RemoteEmbedder`](crate::embed::RemoteEmbedder).

mod batch;
mod manifest;
mod model;
mod states;
mod worker;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use self::model::OnnxModel;
use self::states::StatesMemo;
use self::worker::Workers;
use super::{Embedded, Embedder, ModelInfo};
use crate::error::{Error, ErrorKind, Result};
use crate::onnx::{self, Shared};
use crate::tokens::{Encoded, TokenEncoder};

/// The folder name of the model that is shipped with Wellspring.
pub const BUNDLED_MODEL: &str = "question-encoder";

/// The name of the model for questions in other languages, which `make multilingual` builds.
pub const MULTILINGUAL_MODEL: &str = onnx::BUILT_MODEL;

/// An embedder whose model runs in this process, on threads of its own: one, unless there are more
/// [`workers`](OnnxOptions::workers).
///
/// A thread takes its share of the waiting texts, about 32 at a time, embeds equal texts once, and runs texts
/// of similar length together where the model allows it. A dynamically quantized model (the bundled one) does
/// not allow it: its activations are scaled by their range over the batch, so it runs each text alone.
///
/// Dropping the embedder joins the threads, which takes at most the time of 63 texts.
///
/// If the process also uses fastembed or `ort` directly: a process can have only one ONNX Runtime
/// environment. Create fastembed's first, and Wellspring shares it.
#[derive(Debug)]
pub struct OnnxEmbedder {
    model: ModelInfo,
    /// Distinguishes the model's token states from those of other models.
    fingerprint: String,
    /// Only for a model that gives token states.
    states: Option<StatesMemo>,
    // Last, because dropping it joins the threads.
    workers: Workers,
}

/// How an [`OnnxEmbedder`] is loaded.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[must_use]
pub struct OnnxOptions {
    threads: NonZeroUsize,
    workers: NonZeroUsize,
    states_bytes: u64,
}

impl Default for OnnxOptions {
    fn default() -> Self {
        Self { threads: NonZeroUsize::MIN, workers: NonZeroUsize::MIN, states_bytes: 32 << 20 }
    }
}

impl OnnxOptions {
    /// How many threads compute one text; 1 by default, which leaves the other cores to the application. With
    /// 2, the bundled model takes about 0.7 of the time, if the second core is idle: ONNX Runtime's threads
    /// spin while they wait for each other, and without spinning 2 threads are slower than 1.
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// How many texts are computed at a time, each by its own [`threads`](Self::threads); 1 by default, which
    /// leaves the other cores to the application. More workers serve more texts if there are many callers and
    /// idle cores; a lone caller gains nothing. Each worker loads another copy of the model: the bundled one
    /// takes 0.1 s and about 50 MiB.
    pub fn workers(mut self, workers: NonZeroUsize) -> Self {
        self.workers = workers;
        self
    }

    /// How many bytes of token states of recent texts are kept for comparing them, if the model gives any; 32
    /// MiB by default, which is about 13,000 questions. A candidate whose states are not kept costs one more
    /// run of the model. At least 1 MiB, so that the states of a text are still there when they are needed.
    pub fn states_bytes(mut self, bytes: u64) -> Self {
        self.states_bytes = bytes.max(1 << 20);
        self
    }

    /// Loads the bundled model, as [`OnnxEmbedder::bundled`] does.
    ///
    /// # Errors
    ///
    /// As [`OnnxEmbedder::bundled`].
    pub fn bundled(&self) -> Result<OnnxEmbedder> {
        self.from_dir(onnx::bundled(BUNDLED_MODEL)?)
    }

    /// Loads the model of a folder, as [`OnnxEmbedder::from_dir`] does.
    ///
    /// # Errors
    ///
    /// As [`OnnxEmbedder::from_dir`].
    pub fn from_dir(&self, folder: impl AsRef<Path>) -> Result<OnnxEmbedder> {
        let folder = folder.as_ref();
        let manifest = manifest::read(folder)?;
        let files = manifest.details.files.read(folder)?;
        let states = manifest.details.token_states.then(|| StatesMemo::new(self.states_bytes));
        let load = |_| OnnxModel::load(&manifest, files.clone(), self.threads.get(), states.clone());
        let models = (0..self.workers.get()).map(load).collect::<Result<Vec<_>>>()?;
        OnnxEmbedder::start(manifest::info(manifest), models, states)
    }

    /// Loads a model by its name, as [`OnnxEmbedder::named`] does.
    ///
    /// # Errors
    ///
    /// As [`OnnxEmbedder::named`].
    pub fn named(&self, name: &str) -> Result<OnnxEmbedder> {
        if let Some(folder) = own(name) {
            return self.from_dir(folder?);
        }
        let (info, model) = model::named(name, self.threads.get())?;
        let more = (1..self.workers.get()).map(|_| Ok(model::named(name, self.threads.get())?.1));
        OnnxEmbedder::start(info, std::iter::once(Ok(model)).chain(more).collect::<Result<_>>()?, None)
    }
}

impl OnnxEmbedder {
    /// Loads the model that is shipped with Wellspring: `question-encoder`, 384 dimensions, English, texts of
    /// up to 256 tokens.
    ///
    /// If `$WELLSPRING_MODELS_DIR` is set, its folder is looked for only there; the variable may hold several
    /// folders, separated as in `PATH`. Otherwise it is looked for in `models/` beside the executable, in
    /// `../share/wellspring/models`, and in `models/` and `.deps/models/` of the current folder and of the
    /// source tree that this was built from. Blocks for about 0.2 s, like every constructor here: on an async
    /// thread, wrap it in `tokio::task::spawn_blocking`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if the model or ONNX Runtime is not found, or if a file is missing or altered.
    pub fn bundled() -> Result<Self> {
        OnnxOptions::default().bundled()
    }

    /// Loads the model in `folder`, which must hold a `manifest.json` like the bundled one's.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if ONNX Runtime is not found, or if a file is missing, altered or not a model.
    pub fn from_dir(folder: impl AsRef<Path>) -> Result<Self> {
        OnnxOptions::default().from_dir(folder)
    }

    /// The manifest of the model called `name`, if it is one of ours. The model is not loaded.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if the model is not found, or if its manifest is not valid.
    pub fn describe_own(name: &str) -> Result<Option<ModelInfo>> {
        own(name).map(|folder| Self::describe(folder?)).transpose()
    }

    /// The manifest of the model in `folder`. The model is not loaded, and its files are not checked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if the folder has no manifest, or one that is not valid.
    pub fn describe(folder: impl AsRef<Path>) -> Result<ModelInfo> {
        manifest::read(folder.as_ref()).map(manifest::info)
    }

    /// Loads a model by its name: [`BUNDLED_MODEL`]; [`MULTILINGUAL_MODEL`], which `make multilingual` builds
    /// and which is looked for in the same places as the [`bundled`](Self::bundled) one; or a model that
    /// fastembed knows.
    ///
    /// A fastembed model is named by its variant (`BGESmallENV15`) or its repository
    /// (`Xenova/bge-small-en-v1.5`; if several variants share it, the first is used). It is loaded from
    /// fastembed's cache (`FASTEMBED_CACHE_DIR`, `HF_HOME`) or from its hub. This needs the cargo feature
    /// `hub`. No manifest checks these files: the hub's commit becomes the model's revision.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if fastembed knows no such model or this build lacks the feature;
    /// [`ErrorKind::Model`] if it is not found, cannot be fetched, or if ONNX Runtime is not found.
    pub fn named(name: &str) -> Result<Self> {
        OnnxOptions::default().named(name)
    }

    /// The file of the ONNX Runtime library that models run in, loaded now if it was not; none if it is part
    /// of this program.
    ///
    /// If `$ORT_DYLIB_PATH` is set, only that file is tried. Otherwise the library is looked for beside the
    /// executable, in `../lib/wellspring` and `../lib`, in `.deps/onnxruntime/` of the source tree that this
    /// was built from, and where the system looks for libraries.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if no usable library is found.
    pub fn library() -> Result<Option<PathBuf>> {
        onnx::library()
    }

    /// The loading options; set them before loading.
    pub fn options() -> OnnxOptions {
        OnnxOptions::default()
    }

    /// The bundled model, loaded once and shared by all users in the process at the same time.
    ///
    /// # Errors
    ///
    /// As [`bundled`](Self::bundled).
    pub fn shared() -> Result<Arc<Self>> {
        static SHARED: Shared<OnnxEmbedder> = Shared::new();
        SHARED.get_or_load(Self::bundled)
    }

    /// From `models`, which are one or more copies of one model.
    fn start(model: ModelInfo, models: Vec<OnnxModel>, states: Option<StatesMemo>) -> Result<Self> {
        let reader = models[0].reader(model.scripts.clone());
        let workers = Workers::start(models, reader, model.dimensions)?;
        let fingerprint = model.encoder();
        Ok(Self { model, fingerprint, states, workers })
    }
}

/// The folder of the model called `name`, or an error if it is not found; none if the name is not one of
/// ours.
fn own(name: &str) -> Option<Result<PathBuf>> {
    [BUNDLED_MODEL, MULTILINGUAL_MODEL].contains(&name).then(|| onnx::bundled(name))
}

#[async_trait]
impl TokenEncoder for OnnxEmbedder {
    fn name(&self) -> &str {
        &self.fingerprint
    }

    async fn encode(&self, text: &str) -> Result<Encoded> {
        let none = || {
            let message = format!("model {} gives no token states", self.fingerprint);
            Error::new(ErrorKind::Model, message)
        };
        let memo = self.states.as_ref().ok_or_else(none)?;
        if let Some(states) = memo.get(text) {
            return Ok(Encoded::States(states));
        }
        match self.workers.embed(&[text.to_owned()]).await?.pop() {
            Some(Embedded::TooLong) => Ok(Encoded::TooLong),
            Some(Embedded::Unreadable) => Ok(Encoded::Unreadable),
            _ => memo.get(text).map(Encoded::States).ok_or_else(none),
        }
    }
}

#[async_trait]
impl Embedder for OnnxEmbedder {
    fn model(&self) -> &ModelInfo {
        &self.model
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<Embedded>> {
        self.workers.embed(texts).await
    }

    fn is_idle(&self) -> bool {
        self.workers.is_idle()
    }

    fn token_encoder(self: Arc<Self>) -> Option<Arc<dyn TokenEncoder>> {
        self.states.is_some().then_some(self as Arc<dyn TokenEncoder>)
    }
}
