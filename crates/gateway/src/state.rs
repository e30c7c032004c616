//! What all requests share.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wellspring::cache::Cache;
use wellspring::error::Result;

use crate::admission::Admission;
use crate::allowance::Allowances;
use crate::auth::Token;
use crate::body::Room;
use crate::documents::{Keys, Queue};
use crate::health::{StoreCheck, StoreState};
use crate::permits::Permits;
use crate::proxy::{Embeddings, Followers, Upstreams};
use crate::telemetry::Telemetry;
use crate::webhooks::Deliveries;
use crate::{Options, Sharing};

/// What all requests share; clones are the same gateway.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    cache: Cache,
    options: Options,
    tokens: RwLock<Arc<[Token]>>,
    upstreams: Upstreams,
    embeddings: Embeddings,
    followers: Arc<Followers>,
    permits: Permits,
    admission: Admission,
    room: Room,
    allowances: Allowances,
    telemetry: Telemetry,
    queue: Queue,
    idempotency: Keys,
    deliveries: Deliveries,
    store_check: StoreCheck,
    tasks: TaskTracker,
    draining: CancellationToken,
}

impl Gateway {
    /// A gateway that answers from `cache`.
    ///
    /// # Errors
    ///
    /// `Config` if the address of an upstream is not valid; others if the journal of changes cannot be used.
    pub fn new(cache: Cache, options: Options) -> Result<Self> {
        let has_writers = options.tokens.is_empty() || !options.writers.is_empty();
        if options.sharing != Sharing::Key && !has_writers {
            tracing::info!(
                "callers share answers, but server.writers names none of them: an answer that a caller stores for a \
                 question it names is served only to that caller"
            );
        }
        let inner = Inner {
            upstreams: Upstreams::new(&options)?,
            embeddings: Embeddings::new(options.embeddings_bytes),
            followers: Arc::default(),
            permits: Permits::new(options.permits, options.permit_ttl),
            admission: Admission::new(&options.limits),
            room: Room::new(&options.limits),
            allowances: Allowances::new(&options.limits),
            telemetry: Telemetry::new(),
            queue: Queue::open(options.journal.clone())?,
            idempotency: Keys::default(),
            deliveries: Deliveries::new(&options.webhooks),
            store_check: StoreCheck::default(),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            tokens: RwLock::new(options.tokens.as_slice().into()),
            cache,
            options,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The cache.
    pub fn cache(&self) -> &Cache {
        &self.inner.cache
    }

    /// How the gateway behaves. The tokens in it are those at the start.
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// Who may do what now.
    pub fn tokens(&self) -> Arc<[Token]> {
        Arc::clone(&self.inner.tokens.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets who may do what from now on.
    pub fn set_tokens(&self, tokens: &[Token]) {
        *self.inner.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens.into();
    }

    /// Permits that wait for their answers.
    pub fn permits(&self) -> &Permits {
        &self.inner.permits
    }

    /// Background work behind requests; the gateway waits for it before it ends.
    pub fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }

    /// Whether the gateway is about to end.
    pub fn is_draining(&self) -> bool {
        self.inner.draining.is_cancelled()
    }

    pub(super) async fn draining(&self) {
        self.inner.draining.cancelled().await;
    }

    /// Makes `/readyz` report that the gateway takes no more requests.
    pub fn begin_draining(&self) {
        self.inner.draining.cancel();
        self.inner.tasks.close();
    }

    /// What the store can do, as of at most a second ago.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn store_state(&self) -> StoreState {
        self.inner.store_check.state(&self.inner.cache).await
    }

    /// The gateway's own measurements.
    pub fn telemetry(&self) -> &Telemetry {
        &self.inner.telemetry
    }

    /// How many requests of callers are being served, until the last piece of each response was sent.
    pub fn in_flight(&self) -> usize {
        self.inner.admission.in_flight()
    }

    pub(super) fn upstreams(&self) -> &Upstreams {
        &self.inner.upstreams
    }

    pub(super) fn embeddings(&self) -> &Embeddings {
        &self.inner.embeddings
    }

    pub(super) fn followers(&self) -> &Arc<Followers> {
        &self.inner.followers
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.inner.queue
    }

    pub(super) fn idempotency(&self) -> &Keys {
        &self.inner.idempotency
    }

    pub(super) fn deliveries(&self) -> &Deliveries {
        &self.inner.deliveries
    }

    pub(super) fn allowances(&self) -> &Allowances {
        &self.inner.allowances
    }

    pub(super) fn room(&self) -> &Room {
        &self.inner.room
    }

    pub(super) fn admission(&self) -> &Admission {
        &self.inner.admission
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("options", &self.inner.options).finish_non_exhaustive()
    }
}
