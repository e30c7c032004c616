//! Checks the output of a model before anything is compared with it.

use crate::embedding::Embedding;
use crate::error::{Error, ErrorKind, Result};

/// The embedding in a model's `vector`, which must have `dimensions` finite components, not all zero.
///
/// A bad vector is the model's fault and not the caller's, although [`Embedding::new`] reports invalid input.
pub(super) fn checked(vector: &[f32], dimensions: usize) -> Result<Embedding> {
    if vector.len() != dimensions {
        let message = format!("the model gave {} dimensions instead of {dimensions}", vector.len());
        return Err(Error::new(ErrorKind::Embedding, message));
    }
    Embedding::new(vector)
        .map_err(|error| Error::new(ErrorKind::Embedding, format!("the model gave a bad {error}")))
}
