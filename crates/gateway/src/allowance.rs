//! How much one caller may leave behind in the store: the names of changes, which the invalidation clock
//! remembers, and corpora, which have a clock each. Both stay in the store when the request is over.
//!
//! A clock that remembers too many names forgets the older half, and with it every answer that was stored
//! before. So a caller that reports changes of documents that no one ever asked for could empty the cache,
//! and a caller that asks in corpora that do not exist could fill the memory. Callers that have the
//! permission to do either anyway are not counted.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::StatusCode;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use moka::sync::Cache as BoundedCache;
use wellspring::key::Corpus;

use crate::auth::sha256;
use crate::error::Problem;
use crate::identity::{Identity, SERVED, Served};
use crate::limits::RequestLimits;

/// How long a corpus stays known for a caller that does not use it, and how many are remembered at most.
const KNOWN: (Duration, u64) = (Duration::from_hours(1), 100_000);
/// The number of callers above which callers that have not used their allowance are forgotten.
const SWEEP: usize = 10_000;

/// What is left of each caller's allowance.
#[derive(Debug)]
pub(super) struct Allowances {
    changes: Option<DefaultKeyedRateLimiter<[u8; 32]>>,
    corpora: Option<DefaultKeyedRateLimiter<[u8; 32]>>,
    /// The corpora that each caller used lately.
    known: BoundedCache<[u8; 32], ()>,
}

impl Allowances {
    pub(super) fn new(limits: &RequestLimits) -> Self {
        let hourly = |most: u32| NonZeroU32::new(most).map(|most| RateLimiter::keyed(Quota::per_hour(most)));
        Self {
            changes: hourly(limits.changes_per_hour),
            corpora: hourly(limits.corpora_per_hour),
            known: BoundedCache::builder().time_to_idle(KNOWN.0).max_capacity(KNOWN.1).build(),
        }
    }

    /// Lets the caller whose request this task serves report `names` changes, or none of them.
    pub(super) fn take_changes(&self, names: usize) -> Result<(), Problem> {
        let served = SERVED.try_with(Served::clone).ok().filter(|served| !served.is_admin);
        let (Some(limiter), Some(served)) = (&self.changes, served) else { return Ok(()) };
        let message = "the caller has reached the hourly limit of changes, server.max_changes, so none of these is \
         applied: report them again later, or use a token with the scope admin";
        take(limiter, &served.identity, names, "too_many_changes", message)
    }

    /// Lets the caller whose request this task serves use `corpus`.
    pub(super) fn take_corpus(&self, corpus: &Corpus) -> Result<(), Problem> {
        let served = SERVED.try_with(Served::clone).ok().filter(|served| !served.may_invalidate);
        let (Some(limiter), Some(served)) = (&self.corpora, served) else { return Ok(()) };
        let pair = sha256(&format!("{} {}", hex::encode(served.identity.key()), corpus.as_str()));
        if *corpus == Corpus::default() || self.known.get(&pair).is_some() {
            return Ok(());
        }
        let message = "the caller has reached the hourly limit of corpora: use a corpus that it has used, or try again \
         later";
        take(limiter, &served.identity, 1, "too_many_corpora", message)?;
        self.known.insert(pair, ());
        Ok(())
    }
}

fn take(
    limiter: &DefaultKeyedRateLimiter<[u8; 32]>,
    caller: &Identity,
    number: usize,
    kind: &'static str,
    message: &'static str,
) -> Result<(), Problem> {
    if limiter.len() > SWEEP {
        limiter.retain_recent();
    }
    let refused = || Problem::new(StatusCode::TOO_MANY_REQUESTS, kind, message);
    let Some(number) = u32::try_from(number).ok().and_then(NonZeroU32::new) else { return Ok(()) };
    match limiter.check_key_n(&caller.key(), number) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(early)) => Err(refused().retry_after(early.wait_time_from(DefaultClock::default().now()))),
        // More at once than in an hour: a later time does not help.
        Err(_) => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(changes_per_hour: u32, corpora_per_hour: u32) -> Allowances {
        Allowances::new(&RequestLimits { changes_per_hour, corpora_per_hour, ..RequestLimits::default() })
    }

    fn caller(n: u8) -> Served {
        let identity = Identity::Address(Some([10, 0, 0, n].into()));
        Served { identity, may_invalidate: false, is_admin: false }
    }

    #[test]
    fn each_caller_has_an_allowance_of_changes() {
        let allowances = limits(10, 0);
        let take = |served, names| SERVED.sync_scope(served, || allowances.take_changes(names).is_ok());
        assert!(take(caller(1), 6) && !take(caller(1), 6) && take(caller(1), 4) && !take(caller(1), 1));
        assert!(take(caller(2), 10) && !take(caller(3), 11));
        assert!(take(Served { is_admin: true, ..caller(1) }, 1_000));
        assert!(allowances.take_changes(1_000).is_ok(), "what no caller reports is not counted");
    }

    #[test]
    fn each_caller_has_an_allowance_of_corpora_and_those_in_use_count_once() {
        let allowances = limits(0, 3);
        let take = |served, name: &str| {
            SERVED.sync_scope(served, || allowances.take_corpus(&Corpus::new(name).unwrap()).is_ok())
        };
        assert!(["a", "b", "a", "c", "b"].iter().all(|name| take(caller(1), name)));
        assert!(!take(caller(1), "d") && take(caller(1), "a"));
        assert!(take(caller(1), Corpus::default().as_str()));
        assert!(take(caller(2), "d"));
        assert!(take(Served { may_invalidate: true, ..caller(1) }, "d"));
    }

    /// A hundred thousand documents are an ordinary ingestion, reported by an ordinary token.
    #[test]
    fn an_ingestion_of_a_hundred_thousand_documents_has_room() {
        let allowances = Allowances::new(&RequestLimits::default());
        let report = || SERVED.sync_scope(caller(1), || allowances.take_changes(1_000));
        assert!((0..100).all(|_| report().is_ok()));
        let flood = (0..600).find_map(|_| report().err());
        assert!(flood.is_some(), "as many as make a clock forget");
    }
}
