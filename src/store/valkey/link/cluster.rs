//! A link to a cluster.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{
    MultipleNodeRoutingInfo, ResponsePolicy, Route, RoutingInfo, SingleNodeRoutingInfo, Slot, SlotAddr,
};
use redis::{Cmd, ConnectionInfo, ProtocolVersion, PushInfo, TlsCertificates, Value};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::breaker::{BACKOFF, Breaker, Gate};
use super::{CommandError, Limits, Outage, Pace};
use crate::error::{Error, ErrorKind};

/// The number of breakers over which the slots are spread: enough that two of the slots in use hardly ever
/// share one.
const BREAKERS: usize = 4_096;

/// A connection to a cluster. If a part of the cluster is away, only that part fails.
#[derive(Debug)]
pub(in crate::store::valkey) struct Cluster {
    shared: Arc<Shared>,
    _opener: AbortOnDropHandle<()>,
}

struct Shared {
    /// None until the first node was reached. After that, the library itself restores connections.
    connection: Mutex<Result<ClusterConnection, Outage>>,
    breakers: Vec<Breaker>,
    pace: Pace,
    limits: Limits,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Cluster {
    pub(super) async fn open(
        nodes: &[ConnectionInfo],
        certificates: Option<TlsCertificates>,
        limits: Limits,
        pushes: Option<mpsc::UnboundedSender<PushInfo>>,
    ) -> Result<Self, Error> {
        // No retries: a command that may have been executed must not be sent again as it is.
        let mut builder = ClusterClient::builder(nodes.to_vec())
            .retries(0)
            .use_protocol(ProtocolVersion::RESP3)
            .connection_timeout(limits.connect)
            .response_timeout(Duration::from_mins(1));
        if let Some(certificates) = certificates {
            builder = builder.certs(certificates);
        }
        if let Some(pushes) = pushes {
            builder = builder.push_sender(pushes);
        }
        let client = builder.build().map_err(|error| {
            Error::new(ErrorKind::Config, "the address of the cluster cannot be used").with_source(error)
        })?;
        let shared = Arc::new(Shared {
            connection: Mutex::new(Err("not connected yet".into())),
            breakers: std::iter::repeat_with(Breaker::default).take(BREAKERS).collect(),
            pace: limits.pace(),
            limits,
        });
        let (tried, mut first_try) = watch::channel(false);
        let opener = tokio::spawn(connect(Arc::clone(&shared), client, tried));
        let _ = timeout(limits.connect, first_try.wait_for(|tried| *tried)).await;
        Ok(Self { shared, _opener: AbortOnDropHandle::new(opener) })
    }

    pub(super) fn pace(&self) -> &Pace {
        &self.shared.pace
    }

    /// Whether the cluster was ever reached. After that, single nodes may still be away.
    pub(super) fn is_up(&self) -> bool {
        self.shared.connection().is_ok()
    }

    pub(super) async fn send(
        &self,
        command: &Cmd,
        key: &str,
        limit: Duration,
    ) -> Result<Value, CommandError> {
        let slot = Slot::for_key(key);
        let breaker = self.shared.breaker(slot);
        match breaker.gate() {
            Gate::Closed => {}
            gate => {
                if gate == Gate::Probe {
                    self.probe(slot);
                }
                return Err(CommandError::Unavailable("its node did not answer lately".into()));
            }
        }
        let asked = Instant::now();
        let reply = self.shared.send(command.clone(), primary(slot), limit).await;
        match &reply {
            Err(error @ CommandError::Late { .. }) => {
                if error.is_silence() {
                    breaker.failed(asked);
                }
                self.probe(slot);
            }
            Err(error) if error.is_silence() => _ = breaker.failed(asked),
            _ => _ = breaker.succeeded(),
        }
        reply
    }

    pub(super) async fn send_to_primary(
        &self,
        command: Cmd,
        key: &str,
        limit: Duration,
    ) -> Result<Value, CommandError> {
        self.shared.send(command, primary(Slot::for_key(key)), limit).await
    }

    pub(super) async fn ask(
        &self,
        command: &Cmd,
        host: &str,
        port: u16,
        limit: Duration,
    ) -> Result<Value, CommandError> {
        let mut connection = self.shared.connection()?;
        let mut pipeline = redis::pipe();
        pipeline.cmd("ASKING").add_command(command.clone());
        let RoutingInfo::SingleNode(route) = by_address(host, port) else {
            return Err(CommandError::Moving { ask: None });
        };
        let replies = connection.route_pipeline(pipeline, 0, 2, route);
        let mut replies = self.shared.pace.in_time(limit, replies).await??;
        let reply = replies.pop().ok_or(CommandError::Moving { ask: None })?;
        Ok(reply.extract_error()?)
    }

    pub(super) async fn send_to_all(
        &self,
        command: &Cmd,
        limit: Duration,
    ) -> Result<Vec<(String, Value)>, CommandError> {
        let everywhere =
            RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, Some(ResponsePolicy::Special)));
        let replies = self.shared.send(command.clone(), everywhere, limit).await?;
        let Value::Map(replies) = replies else { return Ok(Vec::new()) };
        replies
            .into_iter()
            .map(|(node, reply)| {
                Ok((super::super::reply::text(&node).unwrap_or_default().to_owned(), reply.extract_error()?))
            })
            .collect()
    }

    /// Probes the node of `slot` in the background, with far more time than callers have.
    fn probe(&self, slot: Slot) {
        let shared = Arc::clone(&self.shared);
        let limit = shared.limits.probe();
        if !shared.breaker(slot).starts_probe(2 * limit) {
            return;
        }
        tokio::spawn(async move {
            let (breaker, asked) = (shared.breaker(slot), Instant::now());
            let reply = shared.send(redis::cmd("PING"), primary(slot), limit).await;
            let is_unavailable = matches!(
                &reply,
                Err(CommandError::Unavailable(_) | CommandError::Lost(_) | CommandError::Late { .. })
            );
            // A node may be there, but too slow for its answers to be worth the wait.
            if is_unavailable || asked.elapsed() > shared.pace.worth() {
                breaker.failed(asked);
            } else {
                breaker.succeeded();
            }
            breaker.probed();
        });
    }
}

impl Shared {
    fn connection(&self) -> Result<ClusterConnection, CommandError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.clone().map_err(CommandError::Unavailable)
    }

    fn breaker(&self, slot: Slot) -> &Breaker {
        let mut hasher = DefaultHasher::new();
        slot.hash(&mut hasher);
        #[expect(clippy::cast_possible_truncation, reason = "any part of a hash will do")]
        &self.breakers[hasher.finish() as usize % BREAKERS]
    }

    async fn send(&self, command: Cmd, route: RoutingInfo, limit: Duration) -> Result<Value, CommandError> {
        let mut connection = self.connection()?;
        let reply = self.pace.in_time(limit, connection.route_command(command, route)).await?;
        Ok(reply.and_then(Value::extract_error)?)
    }
}

/// Tries to reach any node, until one answers.
async fn connect(shared: Arc<Shared>, client: ClusterClient, tried: watch::Sender<bool>) {
    let mut backoff = BACKOFF;
    loop {
        let connected = timeout(shared.limits.connect, client.get_async_connection()).await;
        let connected = match connected {
            Ok(connected) => connected.map_err(|error| Outage::of_cluster(&error)),
            Err(_) => Err("no node answers in time".into()),
        };
        let is_up = connected.is_ok();
        *shared.connection.lock().unwrap_or_else(PoisonError::into_inner) = connected;
        tried.send_replace(true);
        if is_up {
            return;
        }
        backoff.pause().await;
    }
}

fn primary(slot: Slot) -> RoutingInfo {
    RoutingInfo::SingleNode(SingleNodeRoutingInfo::SpecificNode(Route::with_slot(slot, SlotAddr::Master)))
}

fn by_address(host: &str, port: u16) -> RoutingInfo {
    RoutingInfo::SingleNode(SingleNodeRoutingInfo::ByAddress { host: host.to_owned(), port })
}
