//! A loaded model: fastembed's reranker, reduced to what the worker needs.
//!
//! Guarantees that a pair is never truncated silently: truncation is off, and a pair that the model cannot
//! see whole gets no score.

use std::collections::BTreeMap;
use std::path::Path;

use fastembed::{RerankInitOptionsUserDefined, TextRerank, UserDefinedRerankingModel};
use serde::Deserialize;

use super::super::scorer::Scored;
use crate::error::{Error, ErrorKind, Result};
use crate::onnx::{self, Files, MAX_BYTES_PER_TOKEN, Manifest, UNKNOWN_TOKENS, hub};

/// What the manifest says of a cross-encoder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Details {
    /// The most tokens of both questions together, special tokens included.
    max_tokens: usize,
    /// Entries of ONNX Runtime's session configuration that the model is run with.
    #[serde(default)]
    session: BTreeMap<String, String>,
    files: Files,
}

/// A model that runs in ONNX Runtime.
pub(super) struct OnnxPairs {
    inner: TextRerank,
    max_tokens: usize,
    unknown: Option<u32>,
}

impl OnnxPairs {
    /// Loads the model in `folder`, which `manifest` describes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if the runtime is missing or the files are not a model that it can run.
    pub(super) fn load(manifest: &Manifest<Details>, folder: &Path, threads: usize) -> Result<Self> {
        let details = &manifest.details;
        onnx::check_max_tokens(folder, details.max_tokens)?;
        let files = details.files.read(folder)?;
        let mut options = RerankInitOptionsUserDefined::new().with_intra_threads(threads);
        for (key, value) in &details.session {
            options = options.with_session_config(key, value);
        }
        if let Some(environment) = onnx::environment()? {
            options = options.with_environment(environment);
        }
        let model = UserDefinedRerankingModel::new(files.model, files.tokenizer);
        let inner = TextRerank::try_new_from_user_defined(model, options).map_err(|error| {
            let message = format!("model {} cannot be loaded by ONNX Runtime", manifest.name);
            Error::new(ErrorKind::Model, message).with_source(error)
        })?;
        Self::new(inner, details.max_tokens)
    }

    fn new(mut inner: TextRerank, max_tokens: usize) -> Result<Self> {
        inner.tokenizer.with_truncation(None).map_err(|error| {
            Error::new(ErrorKind::Model, "the model's tokenizer cannot be set up").with_source(error)
        })?;
        let unknown = UNKNOWN_TOKENS.iter().find_map(|token| inner.tokenizer.token_to_id(token));
        Ok(Self { inner, max_tokens, unknown })
    }
}

impl OnnxPairs {
    /// Scores one pair.
    ///
    /// # Errors
    ///
    /// If the model fails.
    pub(super) fn score(&mut self, asked: &str, cached: &str) -> Result<Scored> {
        if asked.len().saturating_add(cached.len()) > self.max_tokens.saturating_mul(MAX_BYTES_PER_TOKEN) {
            return Ok(Scored::TooLong);
        }
        let failed = |error| Error::new(ErrorKind::Model, "the verifier failed on a pair").with_source(error);
        let encoding = self.inner.tokenizer.encode((asked, cached), true).map_err(failed)?;
        if encoding.len() > self.max_tokens {
            return Ok(Scored::TooLong);
        }
        if self.unknown.is_some_and(|unknown| encoding.get_ids().contains(&unknown)) {
            return Ok(Scored::Unreadable);
        }
        let ranked =
            self.inner.rerank(asked, [cached], false, Some(1)).map_err(|error| failed(error.into()))?;
        match ranked.first() {
            Some(pair) if pair.score.is_finite() => Ok(Scored::Logit(pair.score)),
            _ => Err(Error::new(ErrorKind::Model, "the verifier gave no number for a pair")),
        }
    }
}

/// Loads a reranker by its name in fastembed.
#[cfg(not(feature = "hub"))]
pub(super) fn named(name: &str, _threads: usize) -> Result<(String, OnnxPairs)> {
    Err(hub::lacking(name))
}

/// Loads a reranker by its name in fastembed.
#[cfg(feature = "hub")]
pub(super) fn named(name: &str, threads: usize) -> Result<(String, OnnxPairs)> {
    use fastembed::RerankInitOptions;

    let known = hub::find("reranker", name, TextRerank::list_supported_models(), |known| {
        [known.model_code.clone(), format!("{:?}", known.model)]
    })?;
    let options = hub::with_limits(RerankInitOptions::new(known.model.clone()), threads)?;
    let inner = TextRerank::try_new(options).map_err(|error| hub::not_loaded(name, error))?;
    let max_tokens = inner.tokenizer.get_truncation().map_or(512, |truncation| truncation.max_length);
    Ok((format!("{:?}", known.model), OnnxPairs::new(inner, max_tokens)?))
}
