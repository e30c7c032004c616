//! A loaded model: fastembed's session and tokenizer behind the interface that the worker needs.
//!
//! Guarantees that a text is never truncated silently: truncation is off, and a [`Reader`] reports the texts
//! that the model cannot see whole.

use std::sync::Arc;

use fastembed::{
    InitOptionsUserDefined, OutputKey, Pooling, SingleBatchOutput, TextEmbedding, UserDefinedEmbeddingModel,
};

use ndarray::{ArrayViewD, Axis};

use super::batch::Batching;
use super::manifest::{self, Manifest, Quantization};
use super::states::StatesMemo;
use crate::embed::{ModelInfo, Scripts};
use crate::error::{Error, ErrorKind, Result};
use crate::onnx::{MAX_BYTES_PER_TOKEN, ModelFiles, UNKNOWN_TOKENS, environment, hub};
use crate::tokens::TokenStates;

/// Reports how a model sees a text, or that its tokenizer failed.
pub(super) type Reader = Arc<dyn Fn(&str) -> Result<Reading> + Send + Sync>;

/// What a worker runs; a trait so that tests can make it fail.
pub(super) trait Model: Send + 'static {
    /// Whether texts may share a run.
    fn batching(&self) -> Batching;

    /// One vector per text, in their order.
    ///
    /// # Errors
    ///
    /// If the model fails.
    fn run(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>>;
}

/// How a model sees a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Whole, in this many tokens, special ones included.
    Tokens(usize),
    /// Only its beginning.
    TooLong,
    /// With a part replaced by the unknown token, or in a script that the model was not trained on.
    Unreadable,
}

/// A model that runs in ONNX Runtime.
pub(super) struct OnnxModel {
    inner: TextEmbedding,
    batching: Batching,
    max_tokens: usize,
    /// For a model that gives token states: where they go, and how it pools.
    states: Option<(StatesMemo, Pooling)>,
}

impl OnnxModel {
    /// Loads the model that `manifest` describes; its token states go to `memo`, if it gives some.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if the runtime is missing or the files are not a model that it can run.
    pub(super) fn load(
        manifest: &Manifest,
        files: ModelFiles,
        threads: usize,
        memo: Option<StatesMemo>,
    ) -> Result<Self> {
        let details = &manifest.details;
        let pooling = match details.pooling {
            manifest::Pooling::Mean => Pooling::Mean,
            manifest::Pooling::Cls => Pooling::Cls,
        };
        let states = memo.map(|memo| (memo, pooling.clone()));
        let model = UserDefinedEmbeddingModel::new(files.model, files.tokenizer).with_pooling(pooling);
        let mut options = InitOptionsUserDefined::new().with_intra_threads(threads);
        for (key, value) in &details.session {
            options = options.with_session_config(key, value);
        }
        if let Some(environment) = environment()? {
            options = options.with_environment(environment);
        }
        let inner = TextEmbedding::try_new_from_user_defined(model, options).map_err(|error| {
            let message = format!("model {} cannot be loaded by ONNX Runtime", manifest.name);
            Error::new(ErrorKind::Model, message).with_source(error)
        })?;
        Self::new(inner, batching(details.quantization), details.max_tokens, states)
    }

    fn new(
        mut inner: TextEmbedding,
        batching: Batching,
        max_tokens: usize,
        states: Option<(StatesMemo, Pooling)>,
    ) -> Result<Self> {
        // The reader refuses what is too long. A tokenizer that truncated would hide it.
        inner.tokenizer.with_truncation(None).map_err(|error| {
            Error::new(ErrorKind::Model, "the model's tokenizer cannot be set up").with_source(error)
        })?;
        Ok(Self { inner, batching, max_tokens, states })
    }

    /// A function that reads texts as this model does, for a model that knows `scripts`; it runs on any
    /// thread.
    pub(super) fn reader(&self, scripts: Option<Scripts>) -> Reader {
        let (tokenizer, max_tokens) = (self.inner.tokenizer.clone(), self.max_tokens);
        let unknown = UNKNOWN_TOKENS.iter().find_map(|token| tokenizer.token_to_id(token));
        Arc::new(move |text| {
            if text.len() > max_tokens.saturating_mul(MAX_BYTES_PER_TOKEN) {
                return Ok(Reading::TooLong);
            }
            if scripts.as_ref().is_some_and(|scripts| scripts.unknown_in(text).is_some()) {
                return Ok(Reading::Unreadable);
            }
            let encoding = tokenizer.encode_fast(text, true).map_err(|error| {
                Error::new(ErrorKind::Embedding, "the model's tokenizer failed on a text").with_source(error)
            })?;
            Ok(if encoding.len() > max_tokens {
                Reading::TooLong
            } else if unknown.is_some_and(|unknown| encoding.get_ids().contains(&unknown)) {
                Reading::Unreadable
            } else {
                Reading::Tokens(encoding.len())
            })
        })
    }
}

fn batching(quantization: Quantization) -> Batching {
    match quantization {
        Quantization::Dynamic => Batching::Alone,
        Quantization::None | Quantization::Static => Batching::ByLength,
    }
}

impl Model for OnnxModel {
    fn batching(&self) -> Batching {
        self.batching
    }

    fn run(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let failed =
            |error| Error::new(ErrorKind::Embedding, "the model failed on a text").with_source(error);
        let Some((memo, pooling)) = &self.states else {
            return self.inner.embed(texts, Some(texts.len())).map_err(failed);
        };
        let output = self.inner.transform(texts, Some(texts.len())).map_err(failed)?;
        let mut vectors = Vec::with_capacity(texts.len());
        let mut unseen = texts.iter();
        for batch in output.into_raw() {
            let hidden = &OutputKey::ByName("last_hidden_state");
            let pooled = batch.select_and_pool_output(&hidden, Some(pooling.clone())).map_err(failed)?;
            for (row, vector) in pooled.rows().into_iter().enumerate() {
                vectors.push(vector.to_vec());
                if let Some(text) = unseen.next() {
                    memo.insert(text, states_of(&batch, row).map_err(failed)??);
                }
            }
        }
        Ok(vectors)
    }
}

/// The token states of a text of a batch, without the padding.
fn states_of(batch: &SingleBatchOutput, row: usize) -> fastembed::Result<Result<TokenStates>> {
    let states = batch.select_output(&&OutputKey::ByName("token_states"))?;
    let identity = batch.select_output(&&OutputKey::ByName("identity"))?;
    let tokens = batch.attention_mask_array.row(row).iter().filter(|&&mask| mask != 0).count();
    let numbers = |array: ArrayViewD<'_, f32>| array.iter().copied().collect::<Vec<f32>>();
    let identity = numbers(identity.index_axis(Axis(0), row).into_dyn());
    let mut states = numbers(states.index_axis(Axis(0), row).into_dyn());
    states.truncate(tokens * identity.len());
    Ok(TokenStates::new(&states, &identity))
}

/// Loads a model by the name that fastembed knows it by.
#[cfg(not(feature = "hub"))]
pub(super) fn named(name: &str, _threads: usize) -> Result<(ModelInfo, OnnxModel)> {
    Err(hub::lacking(name))
}

/// Loads a model by the name that fastembed knows it by.
#[cfg(feature = "hub")]
pub(super) fn named(name: &str, threads: usize) -> Result<(ModelInfo, OnnxModel)> {
    use fastembed::{QuantizationMode, TextInitOptions};

    let known = hub::find("model", name, TextEmbedding::list_supported_models(), |known| {
        [known.model_code.clone(), format!("{:?}", known.model)]
    })?;
    let options = hub::with_limits(TextInitOptions::new(known.model.clone()), threads)?;
    let cache = std::env::var_os("HF_HOME").map_or_else(|| options.cache_dir.clone(), Into::into);
    let inner = TextEmbedding::try_new(options).map_err(|error| hub::not_loaded(name, error))?;
    let batching = match TextEmbedding::get_quantization_mode(&known.model) {
        QuantizationMode::Dynamic => Batching::Alone,
        QuantizationMode::None | QuantizationMode::Static => Batching::ByLength,
    };
    let max_tokens = inner.tokenizer.get_truncation().map_or(512, |truncation| truncation.max_length);
    // Not the repository's name, which a model and its quantized form may share.
    let variant = format!("{:?}", known.model);
    let mut info = ModelInfo::new(variant, hub_revision(&cache, &known.model_code)?, known.dim);
    info.max_tokens = Some(max_tokens);
    Ok((info, OnnxModel::new(inner, batching, max_tokens, None)?))
}

/// The commit of a model in the hub's cache, which distinguishes two versions with the same name.
#[cfg(feature = "hub")]
fn hub_revision(cache: &std::path::Path, model_code: &str) -> Result<String> {
    let path = cache.join(format!("models--{}", model_code.replace('/', "--"))).join("refs/main");
    let revision = std::fs::read_to_string(&path).map_err(|error| {
        let message = format!("the revision of model {model_code} cannot be read from {}", path.display());
        Error::new(ErrorKind::Model, message).with_source(error)
    })?;
    Ok(revision.trim().to_owned())
}
