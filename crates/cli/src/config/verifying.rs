//! From a configuration to what decides whether a near neighbour is a hit.
//!
//! What comes with Wellspring belongs to one embedding model, identified by its name and revision: a comparer
//! reads the token states of that model only, and a calibration says what that model's similarities are
//! worth.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use wellspring::embed::{Embedder, ModelInfo, OnnxEmbedder, Scripts};
use wellspring::error::{Error, Result};
use wellspring::key::Corpus;
use wellspring::tokens::TokenEncoder;
use wellspring::verify::{
    BUNDLED_COMPARER, Budgets, CalibratedStage, Calibration, CrossEncoder, LateInteraction, PairScorer,
    Pipeline, Verifier, comparer_for,
};

use super::open::blocking;
use super::{Config, config_error};

/// What decides, as far as this is known without loading a model.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Deciding {
    /// The embedding model: its name and revision, or its configured name if that is all that is known.
    pub embedding: String,
    /// The scripts that it knows; none if it does not say which.
    pub scripts: Option<Scripts>,
    /// What reads both questions; none if nothing does.
    pub scorer: Option<String>,
    /// The name of the calibration; none if there is none for the embedding model.
    pub calibration: Option<String>,
    /// Which false-hit rates can be shown.
    pub budgets: Budgets,
}

/// A calibration of one corpus, written `CORPUS:FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorpusCalibration {
    corpus: Corpus,
    file: String,
}

impl FromStr for CorpusCalibration {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (corpus, file) = text
            .split_once(':')
            .filter(|(_, file)| !file.is_empty())
            .ok_or_else(|| config_error(format!("{text:?} is not CORPUS:FILE")))?;
        Ok(Self { corpus: Corpus::new(corpus)?, file: file.to_owned() })
    }
}

impl fmt::Display for CorpusCalibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.corpus, self.file)
    }
}

impl Config {
    /// Loads what decides whether a near neighbour is a hit. If there is no calibration, neither the user's
    /// own nor one that comes with Wellspring for the embedding model, only the guards decide, and they need
    /// a similarity threshold.
    ///
    /// # Errors
    ///
    /// `Model` if the model or its runtime is not found; `Config` or `InvalidInput` if the calibration cannot
    /// be read.
    ///
    /// # Cancel safety
    ///
    /// If dropped, loading goes on in the background and its result is dropped.
    pub async fn open_verifier(&self, embedder: &Arc<dyn Embedder>) -> Result<Arc<dyn Verifier>> {
        let Some(calibration) = self.open_calibration(embedder).await? else {
            if self.matching.calibrations.is_empty() {
                return Ok(Arc::new(self.guards()));
            }
            let message = "match.calibrations needs match.calibration for the other corpora: none is bundled for this model";
            return Err(config_error(message));
        };
        let scorer = self.open_scorer(embedder).await?;
        let calibration = made_for(calibration, scorer.as_deref())?;
        let mut pipeline = Pipeline::new(calibration).guards(self.guards()).learning(self.matching.learn);
        for CorpusCalibration { corpus, file } in self.matching.calibrations.clone() {
            let own = blocking(move || read_calibration(&file)).await?;
            pipeline = pipeline.calibration_in(corpus, made_for(Arc::new(own), scorer.as_deref())?);
        }
        if let Some(scorer) = scorer {
            pipeline = pipeline.scorer(scorer);
        }
        Ok(Arc::new(pipeline))
    }

    /// What decides under this configuration. Only the manifests and the calibration are read for this.
    ///
    /// # Errors
    ///
    /// `Model` if the embedding model is not found or its manifest cannot be read; `Config` or `InvalidInput`
    /// if the calibration cannot.
    ///
    /// # Cancel safety
    ///
    /// If dropped, reading goes on in the background and its result is dropped.
    pub async fn deciding(&self) -> Result<Deciding> {
        let embedding = self.embedding.clone();
        let model = blocking(move || embedding.describe()).await?;
        let encoder = model.as_ref().map(ModelInfo::encoder);
        let (scorer, last) = match self.matching.verifier.as_str() {
            "none" => (None, CalibratedStage::Cheap),
            "bundled" => {
                let encoder = encoder.clone();
                let own =
                    blocking(move || encoder.map_or(Ok(None), |encoder| comparer_for(&encoder))).await?;
                (Some(own.unwrap_or_else(|| BUNDLED_COMPARER.to_owned())), CalibratedStage::Full)
            }
            name => (Some(name.to_owned()), CalibratedStage::Full),
        };
        let calibration = self.calibration_for(encoder.clone()).await?;
        let budgets = match &calibration {
            None => Budgets::Uncalibrated,
            Some(calibration) => calibration.budgets(last),
        };
        Ok(Deciding {
            embedding: encoder.unwrap_or_else(|| self.embedding.model.clone()),
            scripts: model.and_then(|model| model.scripts),
            scorer,
            calibration: calibration.map(|calibration| calibration.name.clone()),
            budgets,
        })
    }

    /// Reads the calibration, which turns similarities, words and scores into probabilities: the user's own,
    /// or the one that comes with Wellspring for the model of `embedder`; none if there is neither.
    ///
    /// # Errors
    ///
    /// `Config`, `Model` or `InvalidInput` if it cannot be read.
    ///
    /// # Cancel safety
    ///
    /// If dropped, reading goes on in the background and its result is dropped.
    pub async fn open_calibration(&self, embedder: &Arc<dyn Embedder>) -> Result<Option<Arc<Calibration>>> {
        let encoder = Arc::clone(embedder).token_encoder();
        self.calibration_for(encoder.map(|encoder| encoder.name().to_owned())).await
    }

    async fn calibration_for(&self, encoder: Option<String>) -> Result<Option<Arc<Calibration>>> {
        let named = self.matching.calibration.clone();
        blocking(move || match (named.as_str(), encoder) {
            ("bundled", Some(encoder)) => Calibration::bundled_for(&encoder),
            ("bundled", None) => Ok(None),
            (path, _) => Ok(Some(Arc::new(read_calibration(path)?))),
        })
        .await
    }

    /// Loads the model that reads both questions where similarity and words cannot decide, if one is
    /// configured.
    ///
    /// # Errors
    ///
    /// `Model` if the model or its runtime is not found; `Config` if no model has the name.
    ///
    /// # Cancel safety
    ///
    /// If dropped, loading goes on in the background and its result is dropped.
    pub async fn open_scorer(&self, embedder: &Arc<dyn Embedder>) -> Result<Option<Arc<dyn PairScorer>>> {
        let named = self.matching.verifier.clone();
        let encoder = Arc::clone(embedder).token_encoder();
        blocking(move || {
            let scorer: Arc<dyn PairScorer> = match named.as_str() {
                "none" => return Ok(None),
                "bundled" => Arc::new(bundled_comparer(encoder)?),
                "cross-encoder" => CrossEncoder::shared()?,
                path if path.starts_with(['.', '/']) => Arc::new(CrossEncoder::from_dir(path)?),
                name => Arc::new(CrossEncoder::named(name)?),
            };
            Ok(Some(scorer))
        })
        .await
    }
}

/// The comparer for `encoder`. If none exists for it, the bundled comparer reads the token states of the
/// bundled embedding model, which runs beside the other model.
fn bundled_comparer(encoder: Option<Arc<dyn TokenEncoder>>) -> Result<LateInteraction> {
    match encoder {
        Some(encoder) if comparer_for(encoder.name())?.is_some() => LateInteraction::bundled(encoder),
        _ => LateInteraction::bundled(OnnxEmbedder::shared()?),
    }
}

/// Returns `calibration`, which must have been made for the scores of `scorer`.
///
/// # Errors
///
/// `Config` if it was made for the scores of another scorer.
pub(crate) fn made_for(
    calibration: Arc<Calibration>,
    scorer: Option<&dyn PairScorer>,
) -> Result<Arc<Calibration>> {
    match (&calibration.scorer, scorer) {
        (Some(known), Some(scorer)) if known != scorer.name() => Err(config_error(format!(
            "match.calibration was made for scores of {known}, but match.verifier is {}: make one with \
             `wellspring calibrate --from-scratch`",
            scorer.name()
        ))),
        _ => Ok(calibration),
    }
}

fn read_calibration(path: &str) -> Result<Calibration> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| config_error(format!("calibration {path} cannot be read")).with_source(error))?;
    Calibration::from_json(&text)
}
