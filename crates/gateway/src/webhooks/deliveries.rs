//! Signed deliveries that were applied, so that a recorded delivery is not applied again, nor an earlier one
//! after a later one.
//!
//! A reported version determines which answers may be stored from now on. So a version is believed only if
//! its delivery is known to be the latest: it is signed with its time, after this process began, and after
//! all other deliveries that reported the same document. Any other delivery still ends answers, but its
//! versions are ignored.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use moka::policy::EvictionPolicy;
use moka::sync::Cache as BoundedCache;
use sha2::{Digest as _, Sha256};
use wellspring::entry::Change;
use wellspring::key::Corpus;

use super::{Webhook, WebhookKind};
use crate::documents::{Action, Job};

/// How many signatures, and how many documents, are remembered; beyond that, the least recent are forgotten.
const MOST: u64 = 100_000;
/// How long they are remembered at most.
const MOST_TOLERANT: Duration = Duration::from_hours(48);

/// A request with a valid signature of its sender.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) signature: [u8; 32],
    /// When it was signed, in seconds since 1970.
    pub(super) time: u64,
}

/// The deliveries so far, each for as long as its time is accepted.
#[derive(Debug)]
pub(crate) struct Deliveries {
    began: u64,
    signatures: BoundedCache<[u8; 32], ()>,
    /// When each document was last reported.
    latest: BoundedCache<[u8; 32], u64>,
}

impl Deliveries {
    pub(crate) fn new(webhooks: &[Webhook]) -> Self {
        let longest = webhooks.iter().filter_map(|webhook| match &webhook.kind {
            WebhookKind::Hmac { timestamp: Some((_, tolerance)), .. } => Some(*tolerance),
            _ => None,
        });
        // A time may be in the future by as much as in the past.
        let kept =
            longest.max().unwrap_or_default().saturating_mul(2).clamp(Duration::from_secs(1), MOST_TOLERANT);
        Self { began: now(), signatures: recent(kept), latest: recent(kept) }
    }

    pub(super) fn has_seen(&self, signed: &Signed) -> bool {
        self.signatures.contains_key(&signed.signature)
    }

    pub(super) fn saw(&self, signed: &Signed) {
        self.signatures.insert(signed.signature, ());
    }

    /// Removes from `job` the versions that may not be the latest.
    pub(super) fn in_order(&self, signed: Option<&Signed>, job: &mut Job) {
        let Action::Invalidate(changes) = &mut job.action else { return };
        for change in changes {
            let (Change::Document { id, version } | Change::Chunks { document: id, version, .. }) = change
            else {
                continue;
            };
            let is_latest = signed.is_some_and(|signed| {
                signed.time >= self.began && self.advance(name(&job.corpus, id), signed.time)
            });
            if !is_latest {
                *version = None;
            }
        }
    }

    /// Records that `name` was reported at `time`; returns whether nothing later was reported before.
    fn advance(&self, name: [u8; 32], time: u64) -> bool {
        let latest = self
            .latest
            .entry(name)
            .and_upsert_with(|entry| entry.map_or(time, |entry| entry.into_value().max(time)));
        latest.into_value() == time
    }
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn recent<T: Clone + Send + Sync + 'static>(kept: Duration) -> BoundedCache<[u8; 32], T> {
    BoundedCache::builder()
        .max_capacity(MOST)
        .eviction_policy(EvictionPolicy::lru())
        .time_to_live(kept)
        .build()
}

fn name(corpus: &Corpus, document: &str) -> [u8; 32] {
    let corpus = corpus.as_str();
    Sha256::new()
        .chain_update((corpus.len() as u64).to_be_bytes())
        .chain_update(corpus)
        .chain_update(document)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(deliveries: &Deliveries, time: Option<u64>, document: &str) -> bool {
        let mut job = Job::invalidate(Corpus::default(), vec![Change::document_version(document, "1")]);
        let signed = time.map(|time| Signed { signature: [0; 32], time });
        deliveries.in_order(signed.as_ref(), &mut job);
        job.action != Action::Invalidate(vec![Change::document(document)])
    }

    #[test]
    fn only_the_latest_version_is_believed() {
        let deliveries = Deliveries::new(&[]);
        let began = deliveries.began;
        assert!(!version(&deliveries, None, "a"));
        assert!(!version(&deliveries, Some(began - 1), "a"));
        assert!(version(&deliveries, Some(began + 5), "a"));
        assert!(version(&deliveries, Some(began + 5), "a"));
        assert!(!version(&deliveries, Some(began + 4), "a"));
        assert!(version(&deliveries, Some(began + 4), "b"));
        assert!(version(&deliveries, Some(began + 6), "a"));
    }
}
