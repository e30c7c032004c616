//! Signed deliveries that were applied, so that a recorded delivery is not applied again, nor an earlier one
//! after a later one.
//!
//! A reported version determines which answers may be stored from now on. So a version is believed only if
//! its delivery is known to be the latest: it is signed with its time, after this process began, and after
//! all other deliveries that reported the same document. Any other delivery still ends answers, but its
//! versions are ignored, and the latest version is [registered again](Deliveries::overtaken).
//!
//! Which of two deliveries with the same time is the later one is not known. If they report different
//! versions of a document, neither is believed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use moka::Entry;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache as BoundedCache;
use sha2::{Digest as _, Sha256};
use wellspring::entry::{Change, DocumentVersion};
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
    /// When it was signed, since 1970.
    pub(super) time: Duration,
}

/// The deliveries so far, each for as long as its time is accepted.
#[derive(Debug)]
pub(crate) struct Deliveries {
    began: Duration,
    signatures: BoundedCache<[u8; 32], ()>,
    /// The latest report of each document.
    latest: BoundedCache<[u8; 32], Latest>,
}

#[derive(Debug, Clone)]
struct Latest {
    time: Duration,
    /// None if it reported none, if another report with the same time had a different one, or if a report
    /// without a time came later.
    version: Option<DocumentVersion>,
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
            let name = name(&job.corpus, id);
            let is_latest = match signed {
                Some(signed) if signed.time >= self.began => {
                    self.advance(name, signed.time, version.as_ref())
                }
                Some(_) => false,
                None => {
                    self.forget_version(name);
                    false
                }
            };
            if !is_latest {
                *version = None;
            }
        }
    }

    /// What registers the latest versions again after `job` was applied: it was signed before another
    /// delivery, but arrived, or was applied, after it. The answers that `job` ended stay ended.
    pub(super) fn overtaken(&self, job: &Job) -> Job {
        let changes: &[Change] = match &job.action {
            Action::Invalidate(changes) => changes,
            Action::End { .. } => &[],
        };
        let again = changes.iter().cloned().filter_map(|mut change| {
            let (Change::Document { id, version } | Change::Chunks { document: id, version, .. }) =
                &mut change
            else {
                return None;
            };
            let latest = self.latest.get(&name(&job.corpus, id))?.version?;
            if version.as_ref() == Some(&latest) {
                return None;
            }
            *version = Some(latest);
            Some(change)
        });
        Job::invalidate(job.corpus.clone(), again.collect())
    }

    /// Records that `name` was reported at `time` with `version`; returns whether the report is known to be
    /// the latest.
    fn advance(&self, name: [u8; 32], time: Duration, version: Option<&DocumentVersion>) -> bool {
        let latest = self.latest.entry(name).and_upsert_with(|entry| match entry.map(Entry::into_value) {
            Some(latest) if latest.time > time => latest,
            Some(latest) if latest.time == time && latest.version.as_ref() != version => {
                Latest { time, version: None }
            }
            _ => Latest { time, version: version.cloned() },
        });
        let latest = latest.into_value();
        latest.time == time && latest.version.as_ref() == version
    }

    /// Records that `name` was reported by something that has no place in the order.
    fn forget_version(&self, name: [u8; 32]) {
        self.latest.entry(name).and_compute_with(|entry| match entry.map(Entry::into_value) {
            Some(Latest { time, .. }) => Op::Put(Latest { time, version: None }),
            None => Op::Nop,
        });
    }
}

/// The time now, in whole seconds since 1970.
pub(super) fn now() -> Duration {
    Duration::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
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

    const SECOND: Duration = Duration::from_secs(1);

    fn report(deliveries: &Deliveries, time: Option<Duration>, version: &str) -> Job {
        let mut job = Job::invalidate(Corpus::default(), vec![Change::document_version("a", version)]);
        let signed = time.map(|time| Signed { signature: [0; 32], time });
        deliveries.in_order(signed.as_ref(), &mut job);
        job
    }

    fn job(version: Option<&str>) -> Job {
        let version = version.map(Into::into);
        Job::invalidate(Corpus::default(), vec![Change::Document { id: "a".into(), version }])
    }

    #[test]
    fn only_the_latest_version_is_believed() {
        let deliveries = Deliveries::new(&[]);
        let began = deliveries.began;
        let believed =
            |time: Option<Duration>, version: &str| report(&deliveries, time, version) == job(Some(version));
        assert!(!believed(None, "1"));
        assert!(!believed(Some(began.checked_sub(SECOND).unwrap()), "1"));
        assert!(believed(Some(began + 5 * SECOND), "2"));
        assert!(believed(Some(began + 5 * SECOND), "2"), "it is sent again");
        assert!(!believed(Some(began + 4 * SECOND), "1"));
        assert!(believed(Some(began + 5 * SECOND + SECOND / 1_000), "3"));
        assert!(believed(Some(began + 6 * SECOND), "4"));
    }

    #[test]
    fn of_two_versions_with_the_same_time_neither_is_believed() {
        let deliveries = Deliveries::new(&[]);
        let time = Some(deliveries.began + SECOND);
        assert_eq!(report(&deliveries, time, "2"), job(Some("2")));
        for version in ["1", "2"] {
            let late = report(&deliveries, time, version);
            assert_eq!(late, job(None), "{version}");
            assert!(deliveries.overtaken(&late).is_empty(), "{version}");
        }
        let next = report(&deliveries, time.map(|time| time + SECOND), "3");
        assert_eq!(next, job(Some("3")));
    }

    #[test]
    fn what_is_overtaken_leaves_the_latest_version() {
        let deliveries = Deliveries::new(&[]);
        let at = |seconds: u32| Some(deliveries.began + seconds * SECOND);
        let first = report(&deliveries, at(2), "2");
        assert!(deliveries.overtaken(&first).is_empty());
        for time in [at(1), Some(deliveries.began.checked_sub(SECOND).unwrap())] {
            let late = report(&deliveries, time, "1");
            assert_eq!((&late, deliveries.overtaken(&late)), (&job(None), job(Some("2"))));
        }
        // The first one was believed, but the next one may be applied before it.
        report(&deliveries, at(3), "3");
        assert_eq!(deliveries.overtaken(&first), job(Some("3")));
        assert!(deliveries.overtaken(&job(Some("3"))).is_empty());
        // What has no time may be later still.
        let untimed = report(&deliveries, None, "4");
        assert_eq!(untimed, job(None));
        assert!(deliveries.overtaken(&untimed).is_empty());
    }
}
