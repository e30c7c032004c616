//! Permits that wait for their answers between two requests: a lookup hands out a name, and a fill gives it
//! back.
//!
//! A permit that no one comes back for is dropped after a while, so that someone else can make the answer.
//! Only the caller that was given a permit can use it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use moka::policy::EvictionPolicy;
use moka::sync::Cache as BoundedCache;
use subtle::ConstantTimeEq as _;
use wellspring::cache::FillPermit;
use wellspring::key::folded;

use crate::error::Problem;

/// Permits that wait for their answers.
pub struct Permits {
    waiting: BoundedCache<String, Arc<HeldPermit>>,
    ttl: Duration,
}

struct HeldPermit {
    permit: Mutex<Option<FillPermit>>,
    /// Who may use it; none if anyone who knows its name may.
    holder: Option<String>,
    until: Instant,
}

impl Permits {
    pub(super) fn new(most: u64, ttl: Duration) -> Self {
        Self {
            waiting: BoundedCache::builder()
                .max_capacity(most)
                // The newest permit is the one most likely to be used.
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(ttl)
                .build(),
            ttl,
        }
    }

    /// Keeps `permit` for `holder`, or for anyone if there is no holder; returns its name, which no one can
    /// guess.
    pub fn keep(&self, permit: FillPermit, holder: Option<String>) -> String {
        let name = hex::encode(rand::random::<[u8; 16]>());
        let held = HeldPermit { permit: Mutex::new(Some(permit)), holder, until: Instant::now() + self.ttl };
        self.waiting.insert(name.clone(), held.into());
        name
    }

    /// Takes the permit named `name`, which works once; none if it was taken before, waited too long, or was
    /// given to someone other than `holder`.
    pub fn take(&self, name: &str, holder: Option<&str>) -> Option<FillPermit> {
        let held = self.waiting.get(name)?;
        if let Some(wanted) = &held.holder {
            let shown = holder.unwrap_or_default();
            if !bool::from(wanted.as_bytes().ct_eq(shown.as_bytes())) {
                return None;
            }
        }
        self.waiting.invalidate(name);
        let permit = held.permit.lock().unwrap_or_else(PoisonError::into_inner).take();
        permit.filter(|_| Instant::now() < held.until)
    }
}

/// Checks that an answer to `question` is what `permit` was given for.
///
/// # Errors
///
/// 400 if it was given for another question.
pub(super) fn check_question(permit: &FillPermit, question: &str) -> Result<(), Problem> {
    if folded(question).is_ok_and(|question| question == permit.question()) {
        return Ok(());
    }
    Err(Problem::invalid("the permit was given for another question, and is used up now"))
}

/// 410: the permit can no longer be used.
pub(super) fn gone() -> Problem {
    Problem::new(
        StatusCode::GONE,
        "permit_gone",
        "the permit was used before, waited too long, or is not yours: look up again before you retrieve",
    )
}

impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits").field("waiting", &self.waiting.entry_count()).finish_non_exhaustive()
    }
}
