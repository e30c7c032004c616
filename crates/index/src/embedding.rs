//! An embedding: a unit vector that represents a text, or anything else.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// The greatest number of dimensions that an embedding may have.
pub const MAX_DIMENSIONS: usize = 8_192;

/// A unit-length vector of finite `f32` components; cheap to clone.
///
/// The dot product of two embeddings is their cosine similarity, in `-1.0..=1.0`; larger is nearer.
#[derive(Clone, PartialEq)]
pub struct Embedding(Arc<[f32]>);

impl Embedding {
    /// Scales `components` to unit length.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there are none or more than [`MAX_DIMENSIONS`], if one is NaN or infinite, or if all
    /// are zero: such a vector has no direction.
    pub fn new(components: &[f32]) -> Result<Self> {
        if components.is_empty() || components.len() > MAX_DIMENSIONS {
            return Err(Error::invalid(format!(
                "embedding has {} dimensions, expected 1 to {MAX_DIMENSIONS}",
                components.len()
            )));
        }
        if let Some(position) = components.iter().position(|component| !component.is_finite()) {
            return Err(Error::invalid(format!("embedding component {position} is not a finite number")));
        }
        // In f64, so that neither huge nor tiny components overflow or vanish when squared.
        let norm = components.iter().map(|&component| f64::from(component).powi(2)).sum::<f64>().sqrt();
        if norm == 0.0 {
            return Err(Error::invalid("embedding is the zero vector, which has no direction"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "each quotient lies in -1.0..=1.0")]
        Ok(Self(components.iter().map(|&component| (f64::from(component) / norm) as f32).collect()))
    }

    /// Restores a stored embedding from its [components](Self::as_slice), bit for bit; none if these cannot be
    /// one.
    pub fn restore(components: Vec<f32>) -> Option<Self> {
        let squares = dot(&components, &components);
        let is_one = components.len() <= MAX_DIMENSIONS && (squares - 1.0).abs() < 1e-3;
        is_one.then(|| Self(components.into()))
    }

    /// The number of components.
    pub fn dimensions(&self) -> usize {
        self.0.len()
    }

    /// The components.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// Cosine similarity, in `-1.0..=1.0`.
    ///
    /// # Panics
    ///
    /// If the dimensions differ.
    pub fn similarity(&self, other: &Self) -> f32 {
        assert_eq!(self.dimensions(), other.dimensions(), "embeddings of different models");
        dot(&self.0, &other.0).clamp(-1.0, 1.0)
    }
}

/// The dot product of two vectors of the same length, in independent sums: in a single sum, each addition
/// would wait for the one before.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embedding({} dimensions)", self.dimensions())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_scaled_to_unit_length() {
        let embedding = Embedding::new(&[3.0, 4.0]).unwrap();
        assert_eq!(embedding.as_slice(), [0.6, 0.8]);
        assert!((embedding.similarity(&embedding) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn extreme_components_keep_their_direction() {
        let huge = Embedding::new(&[f32::MAX, f32::MAX]).unwrap();
        let tiny = Embedding::new(&[f32::MIN_POSITIVE, f32::MIN_POSITIVE]).unwrap();
        assert!((huge.similarity(&tiny) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_restored_is_what_was_stored() {
        let embedding = Embedding::new(&[0.242_786_29, 1.0, 1.0, 1.0]).unwrap();
        assert_eq!(Embedding::restore(embedding.as_slice().to_vec()), Some(embedding));
        assert_eq!(Embedding::restore(vec![1.0, 1.0]), None);
        assert_eq!(Embedding::restore(vec![f32::NAN]), None);
        let mut long = vec![0.0; MAX_DIMENSIONS + 1];
        long[0] = 1.0;
        assert_eq!(Embedding::restore(long), None);
    }

    #[test]
    fn vectors_without_a_direction_are_refused() {
        for bad in [&[][..], &[0.0, 0.0], &[1.0, f32::NAN], &[f32::INFINITY, 1.0], &vec![1.0; 9_000]] {
            assert!(Embedding::new(bad).unwrap_err().is_invalid_input());
        }
    }
}
