//! The pauses between attempts at what failed.
//!
//! Each pause is twice as long as the one before it, up to a limit, and then shortened by a random part of up to
//! half, so that many processes do not come back at the same moment. No pause is longer than the limit: the
//! limits that are documented hold.

use std::time::Duration;

/// The pauses of one task, which begin again with the shortest when an attempt succeeds.
#[derive(Debug, Clone)]
pub struct Backoff {
    shortest: Duration,
    longest: Duration,
    /// How many pauses were made.
    made: u32,
}

impl Backoff {
    /// Pauses that grow from `shortest` to `longest`.
    pub const fn new(shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest, made: 0 }
    }

    /// Whether the next pause is the first one.
    pub const fn is_first(&self) -> bool {
        self.made == 0
    }

    /// Begins again with the shortest pause.
    pub const fn reset(&mut self) {
        self.made = 0;
    }

    /// The length of the next pause, which counts as made.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.after(self.made);
        self.made = self.made.saturating_add(1);
        pause
    }

    /// Makes the next pause.
    ///
    /// # Cancel safety
    ///
    /// A pause that was begun counts as made.
    pub async fn pause(&mut self) {
        tokio::time::sleep(self.next_pause()).await;
    }

    /// The length of a pause after `pauses` others, for those who count attempts themselves.
    pub fn after(&self, pauses: u32) -> Duration {
        let pause = self.shortest.saturating_mul(2_u32.saturating_pow(pauses)).min(self.longest);
        pause.mul_f64(rand::random_range(0.5..1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_begin_again() {
        let (shortest, longest) = (Duration::from_millis(50), Duration::from_millis(300));
        let mut backoff = Backoff::new(shortest, longest);
        for most in [50, 100, 200, 300, 300].map(Duration::from_millis) {
            let pause = backoff.next_pause();
            assert!((most / 2..most).contains(&pause), "{pause:?} of {most:?}");
        }
        assert!(!backoff.is_first());
        backoff.reset();
        assert!(backoff.is_first() && backoff.next_pause() < shortest);
        assert!(backoff.after(u32::MAX) < longest);
    }
}
