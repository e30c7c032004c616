//! Making answers again in the background: near their end, or after one of their documents changed.
//!
//! Both use the closure that the builder was given. A refresh is fenced like any other fill, and each entry
//! has only one at a time, across all processes that share the store.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt as _;

use crate::cache::Cache;
use crate::cache::claim::{ClaimGuard, ClaimStatus};
use crate::cache::fill::FillPermit;
use crate::cache::principal::Visibility;
use crate::cache::query::{Mode, Prepared};
use crate::embedding::Embedding;
use crate::entry::{Answer, Dependency, Entry};
use crate::error::BoxError;
use crate::flight::{FlightKey, Leader};
use crate::key::CacheKey;
use crate::store::ReadVersion;

/// How many answers are made again at the same time after a change.
const CONCURRENT_REFRESHES: usize = 4;

/// The input of a refresh closure: the entry whose answer is to be made again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Refresh {
    /// The question.
    pub question: Arc<str>,
    /// Its embedding, if it has one.
    pub embedding: Option<Embedding>,
    /// The present entry. Anything that the closure must know beyond the question belongs into the metadata
    /// of its answer.
    pub entry: Arc<Entry>,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The closure that makes answers again.
pub(crate) type Refresher =
    Arc<dyn Fn(Refresh) -> BoxFuture<Result<(Answer, Vec<Dependency>), BoxError>> + Send + Sync>;

impl Cache {
    /// Refreshes `entry` in the background if its end is near. `read_version` was taken for this hit.
    pub(super) fn maybe_refresh(&self, entry: &Arc<Entry>, read_version: ReadVersion) {
        let Some(early) = self.inner.settings.early_refresh else { return };
        let left = entry.expires_at.saturating_since(self.inner.clock.now());
        if !early.is_due(left, entry.recompute, self.inner.random()) {
            return;
        }
        // Not one of `flights`: whoever asks meanwhile is served the present answer, and must not wait for
        // the next one.
        let Some(leader) = self.inner.refreshes.try_lead(refresh_key(entry)) else { return };
        let cache = self.clone();
        let entry = Arc::clone(entry);
        self.spawn(async move {
            // Of all processes, only one refreshes. A process that cannot ask the store need not try.
            let claim_status = ClaimStatus::claim(&cache.inner.store, &entry.corpus, entry.id).await;
            let Ok(claim_status @ (ClaimStatus::Free | ClaimStatus::Ours(_))) = claim_status else { return };
            cache.refresh(entry, read_version, leader, claim_status.into_guard()).await;
        });
    }

    /// Makes the answers of `entries` again, which a change just ended.
    pub(crate) fn refresh_ended(&self, entries: Vec<Arc<Entry>>) {
        if entries.is_empty() {
            return;
        }
        let cache = self.clone();
        self.spawn(async move {
            futures::stream::iter(entries)
                .for_each_concurrent(CONCURRENT_REFRESHES, |entry| async {
                    let Some(leader) = cache.inner.refreshes.try_lead(refresh_key(&entry)) else { return };
                    // The clock is asked now, after the change and before anything is retrieved.
                    let found = ClaimStatus::look_up(&cache.inner.store, &entry.corpus, entry.id).await;
                    let Ok((fetched, claim_status @ (ClaimStatus::Free | ClaimStatus::Ours(_)))) = found
                    else {
                        return;
                    };
                    cache.refresh(entry, fetched.read_version, leader, claim_status.into_guard()).await;
                })
                .await;
        });
    }

    async fn refresh(
        &self,
        entry: Arc<Entry>,
        read_version: ReadVersion,
        leader: Leader,
        claim: Option<ClaimGuard>,
    ) {
        let Some(refresher) = &self.inner.refresher else { return };
        let key = CacheKey {
            corpus: entry.corpus.clone(),
            scope: entry.scope,
            exact: entry.id,
            text: Arc::clone(&entry.question),
        };
        // No one could answer a question of which only the beginning is known.
        if !key.is_whole() {
            return;
        }
        // A stored entry had a tenant if it needed one, and it keeps the namespaces that it lists.
        let prepared = Prepared {
            key,
            whole: None,
            tenant: entry.tenant,
            shared: None,
            visibility: Visibility::Everyone,
            namespace: None,
            lacks_tenant: false,
            given: None,
            match_policy: 1.0.into(),
            mode: Mode::Renew,
            is_exact: false,
            in_batch: false,
        };
        let embedding = entry.embedding.clone();
        let permit = FillPermit::new(
            self.clone(),
            prepared,
            read_version.into(),
            embedding.clone(),
            Some(leader),
            claim,
        );
        let started = Instant::now();
        let namespaces = entry.dependencies.iter().filter(|d| matches!(d, Dependency::Namespace(_))).cloned();
        let mut kept: Vec<Dependency> = namespaces.collect();
        match refresher(Refresh { question: Arc::clone(&entry.question), embedding, entry }).await {
            Ok((answer, dependencies)) => {
                self.inner.metrics.fill.compute.record(started.elapsed());
                kept.retain(|namespace| !dependencies.contains(namespace));
                kept.extend(dependencies);
                permit.fill(answer, kept).await;
                self.inner.metrics.fill.refreshed.increment();
            }
            Err(error) => {
                tracing::warn!(%error, "an answer could not be refreshed");
                self.inner.metrics.fill.compute_failed.increment();
            }
        }
    }

    /// Runs `work` until it ends or the cache is closed.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.inner.shutdown.clone();
        if shutdown.is_cancelled() {
            return;
        }
        self.inner.tasks.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = work => {}
            }
        });
    }
}

fn refresh_key(entry: &Entry) -> FlightKey {
    (entry.id, 0)
}
