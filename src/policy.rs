//! What is kept, and for how long. Pure except for the jitter's random number, which is passed in.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::entry::{Answer, ContentType};

/// The longest time to live: longer ones are reduced to it.
pub const MAX_TTL: Duration = Duration::from_hours(365 * 24);

/// Times to live.
///
/// An answer's own time takes precedence, then that of negative answers, then that of its content type, then
/// the default. Each time is varied by the jitter, so that answers stored together do not expire together. A
/// hit never extends it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ttls {
    default: Duration,
    negative: Duration,
    by_type: HashMap<ContentType, Duration>,
    jitter: f64,
}

impl Default for Ttls {
    /// General answers 1 hour, static facts 24 hours, documentation 6 hours, user data 1 hour, real-time
    /// data 2 minutes, negative answers 1 minute; jitter 10 %.
    fn default() -> Self {
        Self {
            default: Duration::from_hours(1),
            negative: Duration::from_mins(1),
            by_type: HashMap::from([
                (ContentType::StaticFact, Duration::from_hours(24)),
                (ContentType::Documentation, Duration::from_hours(6)),
                (ContentType::UserData, Duration::from_hours(1)),
                (ContentType::RealTime, Duration::from_mins(2)),
            ]),
            jitter: 0.1,
        }
    }
}

impl Ttls {
    /// Sets the time to live of answers of no particular type.
    #[must_use]
    pub fn general(mut self, ttl: Duration) -> Self {
        self.default = ttl;
        self
    }

    /// Sets the time to live of answers that say that nothing was found.
    #[must_use]
    pub fn negative(mut self, ttl: Duration) -> Self {
        self.negative = ttl;
        self
    }

    /// Sets the time to live of a content type.
    #[must_use]
    pub fn of(mut self, content_type: ContentType, ttl: Duration) -> Self {
        match content_type {
            ContentType::General => self.default = ttl,
            other => drop(self.by_type.insert(other, ttl)),
        }
        self
    }

    /// Sets the greatest share by which a time is lengthened or shortened, in `0.0..=0.5`; larger or smaller
    /// values are clamped. 0 makes every time exact.
    #[must_use]
    pub fn jitter(mut self, share: f64) -> Self {
        self.jitter = if share.is_finite() { share.clamp(0.0, 0.5) } else { 0.0 };
        self
    }

    /// The time to live of `answer` before jitter.
    pub fn base(&self, answer: &Answer) -> Duration {
        let of_type = || self.by_type.get(&answer.content_type).copied().unwrap_or(self.default);
        answer.ttl.unwrap_or_else(|| if answer.negative { self.negative } else { of_type() }).min(MAX_TTL)
    }

    /// The time to live of `answer`; `random` is uniform in `0.0..1.0`.
    pub(crate) fn jittered(&self, answer: &Answer, random: f64) -> Duration {
        self.base(answer).mul_f64(1.0 + self.jitter * (2.0 * random - 1.0))
    }
}

/// Which answers are worth keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Admission {
    /// The longest answer that is kept, in bytes; 256 KiB by default.
    pub max_answer_bytes: usize,
    /// How many principals must have the same answer before it is served to others; 1 by default.
    pub confirmations: u32,
}

impl Default for Admission {
    fn default() -> Self {
        Self { max_answer_bytes: 256 * 1024, confirmations: 1 }
    }
}

impl Admission {
    /// Sets the longest answer that is kept, in bytes.
    #[must_use]
    pub fn max_answer_bytes(mut self, bytes: usize) -> Self {
        self.max_answer_bytes = bytes;
        self
    }

    /// Sets how many [principals](crate::Principal) must have the same answer before it is served to others.
    /// With 1, which is the default and the least, it is served as soon as one has it. Until then, each
    /// principal is served only its own answer. An answer to a query that names no principal is served to
    /// everybody at once.
    ///
    /// Two answers are the same if their texts are, apart from whitespace and Unicode composition, and if
    /// their metadata are, apart from a field `recording`. If there is a [judge](crate::judge) that compares
    /// answers, it decides for other texts.
    #[must_use]
    pub fn confirmations(mut self, principals: u32) -> Self {
        self.confirmations = principals.max(1);
        self
    }

    /// Why `answer` is not kept, if it is not.
    pub(crate) fn decline(self, answer: &Answer, ttls: &Ttls) -> Option<DeclinedReason> {
        if answer.text.trim().is_empty() {
            Some(DeclinedReason::Empty)
        } else if answer.text.len() > self.max_answer_bytes {
            Some(DeclinedReason::TooLarge)
        } else if ttls.base(answer).is_zero() {
            Some(DeclinedReason::NoTimeToLive)
        } else {
            None
        }
    }
}

/// Why an answer is not kept, although it is fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeclinedReason {
    /// It is empty.
    Empty,
    /// It is longer than the limit.
    TooLarge,
    /// Its time to live is zero.
    NoTimeToLive,
    /// Its scope is private and names no tenant.
    PrivateWithoutTenant,
    /// The caller that filled it is not a writer, and presents nothing that distinguishes it from others.
    UnknownPrincipal,
}

impl fmt::Display for DeclinedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the answer is empty",
            Self::TooLarge => "the answer is longer than the limit",
            Self::NoTimeToLive => "the answer's time to live is zero",
            Self::PrivateWithoutTenant => "the scope is private and names no tenant",
            Self::UnknownPrincipal => {
                "a caller with neither a token nor a key cannot be served answers of its own"
            }
        })
    }
}

/// When an entry near its end is refreshed in the background, so that no one has to wait for it.
///
/// Probabilistic early expiration (`XFetch`: Vattani, Chierichetti, Lowenstein, *Optimal Probabilistic
/// Cache Stampede Prevention*, VLDB 2015): a hit refreshes when
/// `now - recompute_time * beta * ln(random) >= expiry`. The longer an answer takes to make and the
/// nearer its end, the likelier.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct EarlyRefresh {
    /// How eager refreshing is: 1 by default, more means earlier.
    pub beta: f64,
}

impl Default for EarlyRefresh {
    fn default() -> Self {
        Self { beta: 1.0 }
    }
}

impl EarlyRefresh {
    /// Sets how eager refreshing is.
    #[must_use]
    pub fn beta(mut self, beta: f64) -> Self {
        self.beta = beta;
        self
    }

    /// Whether a hit with this time left is refreshed; `random` is uniform in `0.0..1.0`.
    pub(crate) fn is_due(self, left: Duration, recompute: Duration, random: f64) -> bool {
        // 1 - random is in 0.0..=1.0 but never zero, whose logarithm is not finite.
        let lead = -recompute.as_secs_f64() * self.beta * (1.0 - random).ln();
        lead >= left.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_most_particular_time_counts() {
        let ttls = Ttls::default().of(ContentType::RealTime, 5 * SECOND);
        let answer = Answer::new("a").content_type(ContentType::RealTime);
        assert_eq!(ttls.base(&answer), 5 * SECOND);
        assert_eq!(ttls.base(&answer.clone().ttl(7 * SECOND)), 7 * SECOND);
        assert_eq!(ttls.base(&Answer::negative("none")), 60 * SECOND);
        assert_eq!(ttls.base(&Answer::new("a")), 3600 * SECOND);
        assert_eq!(ttls.base(&Answer::new("a").ttl(Duration::MAX)), MAX_TTL);
    }

    #[test]
    fn jitter_stays_within_its_share() {
        let ttls = Ttls::default();
        let answer = Answer::new("a").ttl(100 * SECOND);
        assert_eq!(ttls.jittered(&answer, 0.0), 90 * SECOND);
        assert_eq!(ttls.jittered(&answer, 0.5), 100 * SECOND);
        assert_eq!(ttls.jitter(f64::NAN).jittered(&answer, 0.9), 100 * SECOND);
    }

    #[test]
    fn refreshing_is_likelier_near_the_end_and_for_slow_answers() {
        let refresh = EarlyRefresh::default();
        assert!(!refresh.is_due(100 * SECOND, SECOND, 0.5));
        assert!(refresh.is_due(100 * SECOND, 200 * SECOND, 0.5));
        assert!(refresh.is_due(Duration::ZERO, SECOND, 0.0));
    }

    #[test]
    fn what_is_not_worth_keeping_says_why() {
        let decline = |answer| Admission::default().max_answer_bytes(3).decline(&answer, &Ttls::default());
        assert_eq!(decline(Answer::new(" \n")), Some(DeclinedReason::Empty));
        assert_eq!(decline(Answer::new("long")), Some(DeclinedReason::TooLarge));
        assert_eq!(decline(Answer::new("a").ttl(Duration::ZERO)), Some(DeclinedReason::NoTimeToLive));
        assert_eq!(decline(Answer::new("a")), None);
    }
}
