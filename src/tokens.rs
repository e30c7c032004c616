//! A model's states for every token of a text, so that two texts can be compared closely, side by side.
//!
//! An embedding is one vector for a whole text, and "enable" hardly moves it away from "disable". The states
//! of the tokens still distinguish the two. [`TokenStates`] is data; a [`TokenEncoder`] makes it, and a
//! [`LateInteraction`](crate::verify::LateInteraction) compares two of them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Result};

/// The states of a text's tokens, and one vector for all of it.
///
/// Stored in 8 bits with a scale for each token, about 2 KB for a question of 16 tokens: the rounding moves a
/// logit by less than .05.
#[derive(Clone, PartialEq)]
pub struct TokenStates {
    codes: Box<[i8]>,
    /// One for each token.
    scales: Box<[f32]>,
    identity: Box<[f32]>,
}

impl TokenStates {
    /// Makes them from `states`, one row after the other, each as wide as `identity`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if there is no token, if the last row is not whole, or if a number is not finite.
    pub fn new(states: &[f32], identity: &[f32]) -> Result<Self> {
        let bad = |what: &str| {
            Err(Error::new(ErrorKind::Model, format!("the model gave token states that {what}")))
        };
        let width = identity.len();
        if width == 0 || states.is_empty() || !states.len().is_multiple_of(width) {
            return bad("do not fit its vector");
        }
        if states.iter().chain(identity).any(|value| !value.is_finite()) {
            return bad("are not finite");
        }
        let largest = |row: &[f32]| row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let scales: Box<[f32]> = states.chunks(width).map(|row| largest(row) / f32::from(i8::MAX)).collect();
        let rows = states.chunks(width).zip(&scales);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the scale of a row puts its values in -127..=127"
        )]
        let code = |value: &f32, scale: f32| if scale > 0.0 { (value / scale).round() as i8 } else { 0 };
        let codes = rows.flat_map(|(row, &scale)| row.iter().map(move |value| code(value, scale))).collect();
        Ok(Self { codes, scales, identity: identity.into() })
    }

    /// How many tokens the text has.
    pub fn tokens(&self) -> usize {
        self.scales.len()
    }

    /// How many numbers the state of a token has.
    pub fn width(&self) -> usize {
        self.identity.len()
    }

    /// The states, one row after the other.
    pub fn states(&self) -> Vec<f32> {
        let rows = self.codes.chunks(self.width()).zip(&self.scales);
        rows.flat_map(|(row, &scale)| row.iter().map(move |&code| f32::from(code) * scale)).collect()
    }

    /// The vector of the whole text, of unit length.
    pub fn identity(&self) -> &[f32] {
        &self.identity
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.codes.len() + size_of::<f32>() * (self.scales.len() + self.identity.len())
    }
}

impl fmt::Debug for TokenStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenStates({} × {})", self.tokens(), self.width())
    }
}

/// The result of encoding a text.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Encoded {
    /// The states of its tokens.
    States(Arc<TokenStates>),
    /// The model would see only the beginning of the text.
    TooLong,
    /// The model would see its unknown token in place of a part of the text.
    Unreadable,
}

/// Makes [`TokenStates`] from texts.
#[async_trait]
pub trait TokenEncoder: fmt::Debug + Send + Sync {
    /// The name of the model and of its version. States of different encoders are never compared.
    fn name(&self) -> &str;

    /// The states of `text`.
    ///
    /// # Errors
    ///
    /// Those of the model; [`ErrorKind::Model`] if it returns no states.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the work and changes nothing.
    async fn encode(&self, text: &str) -> Result<Encoded>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_come_back_within_half_a_step() {
        let states: Vec<f32> = (0..24_u8).map(|n| f32::from(n) / 7.0 - 1.5).collect();
        let identity = [0.5; 4];
        let kept = TokenStates::new(&states, &identity).unwrap();
        assert_eq!((kept.tokens(), kept.width(), kept.identity()), (6, 4, &identity[..]));
        for (row, back) in states.chunks(4).zip(kept.states().chunks(4)) {
            let step = row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs())) / 127.0;
            assert!(row.iter().zip(back).all(|(value, back)| (value - back).abs() <= step / 2.0 + 1e-6));
        }
    }

    #[test]
    fn a_row_of_zeros_stays_one() {
        let kept = TokenStates::new(&[0.0, 0.0, 1.0, -1.0], &[1.0, 0.0]).unwrap();
        assert_eq!(kept.states(), [0.0, 0.0, 1.0, -1.0]);
    }

    #[test]
    fn what_is_no_states_is_a_model_error() {
        let bad: [(&[f32], &[f32]); 5] = [
            (&[], &[1.0]),
            (&[1.0], &[]),
            (&[1.0; 3], &[1.0; 2]),
            (&[f32::NAN], &[1.0]),
            (&[1.0], &[f32::INFINITY]),
        ];
        for (states, identity) in bad {
            assert_eq!(TokenStates::new(states, identity).unwrap_err().kind(), ErrorKind::Model);
        }
    }
}
