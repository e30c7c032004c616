//! Late interaction: a small network compares the token states of two texts side by side.
//!
//! A cross-encoder reads both questions at once and must read them again for every pair. Here each question
//! is read once, alone, by the model that embeds it anyway, and only the token states of the two meet (late
//! interaction, as in `ColBERT`: Khattab and Zaharia, SIGIR 2020). So a candidate costs a third of an
//! embedding if the states of the cached question are still kept from an earlier run, and one embedding more
//! if they are not.
//!
//! Guarantees that the weights are those that the manifest describes, that a pair's score depends only on the
//! pair, and that no async thread computes.

mod bundled;
mod head;
mod manifest;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rayon::ThreadPoolBuilder;

use self::bundled::Bundled;
use self::head::Head;
use self::manifest::Manifest;
use super::calibration::Calibration;
use super::scorer::{PairScorer, Scored};
use super::worker;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Error, ErrorKind as Kind, Result};
use crate::onnx::Threads;
use crate::tokens::{Encoded, TokenEncoder, TokenStates};

/// The folder name of the comparer for the bundled embedding model.
pub const BUNDLED_COMPARER: &str = "question-comparer";

/// A pair of texts to compare.
type Pair = (Arc<TokenStates>, Arc<TokenStates>);

/// A scorer that compares questions token by token, on its own thread.
///
/// Dropping it joins the thread, which takes no longer than comparing one pair.
#[derive(Debug)]
pub struct LateInteraction {
    name: String,
    encoder: Arc<dyn TokenEncoder>,
    worker: Threads<Pair, f32>,
}

impl LateInteraction {
    /// The comparer that comes with Wellspring for the states that `encoder` makes, found by its name and
    /// revision. Blocks for some milliseconds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if there is none for this encoder, or if a file is missing or altered.
    pub fn bundled(encoder: Arc<dyn TokenEncoder>) -> Result<Self> {
        match Bundled::of(encoder.name())? {
            Some(bundled) => Self::from_dir(bundled.folder, encoder),
            None => Err(Error::new(Kind::Model, format!("no comparer comes with {}", encoder.name()))),
        }
    }

    /// The comparer in `folder`, which must hold a `manifest.json` like that of the bundled comparer.
    ///
    /// # Errors
    ///
    /// As [`bundled`](Self::bundled).
    pub fn from_dir(folder: impl AsRef<Path>, encoder: Arc<dyn TokenEncoder>) -> Result<Self> {
        let folder = folder.as_ref();
        let manifest = Manifest::read(folder)?;
        if manifest.details.encoder != encoder.name() {
            let message = format!(
                "the comparer {} reads token states of {}, not of {}",
                manifest.name,
                manifest.details.encoder,
                encoder.name()
            );
            return Err(Error::new(Kind::Model, message));
        }
        let weights = manifest.details.weights(folder)?;
        let one =
            ThreadPoolBuilder::new().num_threads(1).thread_name(|_| "wellspring-comparer".into()).build();
        let one =
            one.map_err(|e| Error::new(Kind::Model, "cannot start the comparer's thread").with_source(e))?;
        let head = one.install(|| Head::read(&weights))?;
        let worker = worker::start(move |(asked, cached): Pair| one.install(|| head.logit(&asked, &cached)))?;
        Ok(Self { name: manifest.fingerprint(), encoder, worker })
    }
}

/// The name and revision of the comparer that comes with Wellspring for `encoder`, a model's `name@revision`.
///
/// # Errors
///
/// [`ErrorKind::Model`] if no comparer is found at all, or if a manifest is not sound.
pub fn comparer_for(encoder: &str) -> Result<Option<String>> {
    Ok(Bundled::of(encoder)?.map(|bundled| bundled.name()))
}

impl Calibration {
    /// The calibration that comes with Wellspring for the comparer of `encoder`, a model's `name@revision`;
    /// none if there is none. Blocks while a file is read.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if no comparer is found at all, or if a manifest or the calibration cannot be read or
    /// was made for another comparer.
    pub fn bundled_for(encoder: &str) -> Result<Option<Arc<Self>>> {
        Bundled::of(encoder)?.map_or(Ok(None), |bundled| bundled.calibration())
    }
}

#[async_trait]
impl PairScorer for LateInteraction {
    fn name(&self) -> &str {
        &self.name
    }

    async fn score(&self, asked: &str, cached: &str) -> Result<Scored> {
        let mut both = [None, None];
        for (text, states) in [asked, cached].into_iter().zip(&mut both) {
            match self.encoder.encode(text).await? {
                Encoded::States(encoded) => *states = Some(encoded),
                Encoded::TooLong => return Ok(Scored::TooLong),
                Encoded::Unreadable => return Ok(Scored::Unreadable),
            }
        }
        let [Some(asked), Some(cached)] = both else { return Ok(Scored::Unreadable) };
        let logit = self.worker.run_now((asked, cached)).await?;
        if logit.is_finite() {
            Ok(Scored::Logit(logit))
        } else {
            Err(Error::new(Kind::Model, "the comparer gave no number for a pair"))
        }
    }
}
