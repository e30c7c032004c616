//! Two scorers that make different mistakes, as one.
//!
//! The comparer lays questions side by side that were read apart, and is right about what people ask in many manners; the
//! cross-encoder reads both at once, and is right about questions of one text. Their logits are added with weights. The
//! quick one is asked first, and what it thinks little of costs no more.

use std::sync::Arc;

use async_trait::async_trait;

use super::cross_encoder::CrossEncoder;
use super::late_interaction::LateInteraction;
use super::scorer::{PairScorer, Scored};
use crate::error::Result;
use crate::tokens::TokenEncoder;

/// What the logits weigh, fitted to the same questions as the bundled calibration.
const COMPARER_WEIGHT: f32 = 1.0;
const CROSS_ENCODER_WEIGHT: f32 = 0.45;

/// The comparer's logit below which no verdict of the other scorer makes a pair likely.
const UNLIKELY: f32 = -3.0;

/// What stands for the logit of the scorer that was not asked: that of most pairs of different questions.
const NOT_ASKED: f32 = -6.0;

/// The comparer's logit plus that of a cross-encoder.
#[derive(Debug)]
pub struct Ensemble {
    name: String,
    comparer: Arc<dyn PairScorer>,
    cross_encoder: Arc<dyn PairScorer>,
}

impl Ensemble {
    /// Of two scorers, the quick one first.
    pub fn new(comparer: Arc<dyn PairScorer>, cross_encoder: Arc<dyn PairScorer>) -> Self {
        let name = format!("{}+{}", comparer.name(), cross_encoder.name());
        Self { name, comparer, cross_encoder }
    }

    /// The bundled comparer over the token states of `encoder`, and the bundled cross-encoder.
    ///
    /// # Errors
    ///
    /// Those of [`LateInteraction::bundled`] and [`CrossEncoder::shared`].
    pub fn bundled(encoder: Arc<dyn TokenEncoder>) -> Result<Self> {
        Ok(Self::new(Arc::new(LateInteraction::bundled(encoder)?), CrossEncoder::shared()?))
    }
}

#[async_trait]
impl PairScorer for Ensemble {
    fn name(&self) -> &str {
        &self.name
    }

    async fn score(&self, asked: &str, cached: &str) -> Result<Scored> {
        let compared = match self.comparer.score(asked, cached).await? {
            Scored::Logit(logit) => logit,
            unread => return Ok(unread),
        };
        let read = if compared < UNLIKELY {
            NOT_ASKED
        } else {
            match self.cross_encoder.score(asked, cached).await? {
                Scored::Logit(logit) => logit,
                unread => return Ok(unread),
            }
        };
        Ok(Scored::Logit(COMPARER_WEIGHT * compared + CROSS_ENCODER_WEIGHT * read))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Says one thing of every pair, and counts how often it is asked.
    #[derive(Debug)]
    struct Says(Scored, Mutex<u32>);

    #[async_trait]
    impl PairScorer for Says {
        fn name(&self) -> &'static str {
            "says"
        }

        async fn score(&self, _asked: &str, _cached: &str) -> Result<Scored> {
            *self.1.lock().unwrap() += 1;
            Ok(self.0)
        }
    }

    async fn of(comparer: Scored, cross_encoder: Scored) -> (Scored, u32) {
        let says = |scored| Arc::new(Says(scored, Mutex::new(0)));
        let (first, second) = (says(comparer), says(cross_encoder));
        let ensemble = Ensemble::new(first, Arc::clone(&second) as Arc<dyn PairScorer>);
        assert_eq!(ensemble.name(), "says+says");
        let scored = ensemble.score("a", "b").await.unwrap();
        let asked = *second.1.lock().unwrap();
        (scored, asked)
    }

    #[tokio::test]
    async fn logits_are_added_with_their_weights() {
        let (Scored::Logit(both), 1) = of(Scored::Logit(2.0), Scored::Logit(-1.0)).await else { panic!() };
        assert!((both - (2.0 * COMPARER_WEIGHT - CROSS_ENCODER_WEIGHT)).abs() < 1e-6);
    }

    #[tokio::test]
    async fn what_the_comparer_thinks_little_of_is_not_read_again() {
        let (Scored::Logit(unlikely), 0) = of(Scored::Logit(-5.0), Scored::Logit(9.0)).await else {
            panic!()
        };
        assert!(unlikely < -5.0 * COMPARER_WEIGHT);
    }

    #[tokio::test]
    async fn what_either_cannot_read_has_no_score() {
        assert_eq!(of(Scored::TooLong, Scored::Logit(9.0)).await, (Scored::TooLong, 0));
        assert_eq!(of(Scored::Logit(9.0), Scored::Unreadable).await, (Scored::Unreadable, 1));
    }
}
