//! A link to one server, or to the primary that sentinels name.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ProtocolVersion, PushInfo, PushKind, ServerErrorKind,
    TlsCertificates, Value,
};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::breaker::{BACKOFF, Breaker, Gate};
use super::{CommandError, Limits, Outage, Pace, TimedOut};
use crate::error::{Error, ErrorKind, ServerFault};
use crate::store::valkey::address::{Topology, ValkeyAddress};
use crate::store::valkey::{reply, script};

/// A connection that is lost before this time is not replaced at once.
const LASTING: Duration = Duration::from_secs(1);

/// A connection to one server, with a task that restores it.
#[derive(Debug)]
pub(in crate::store::valkey) struct Single {
    shared: Arc<Shared>,
    _keeper: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    limits: Limits,
    state: Mutex<State>,
    breaker: Breaker,
    pace: Pace,
    lost: Notify,
}

#[derive(Debug)]
enum State {
    Up(MultiplexedConnection, u64),
    Down(Outage),
}

impl Single {
    pub(super) async fn open(
        address: &ValkeyAddress,
        certificates: Option<TlsCertificates>,
        limits: Limits,
        pushes: Option<mpsc::UnboundedSender<PushInfo>>,
    ) -> Result<Self, Error> {
        let source = Source::new(address, certificates)?;
        let shared = Arc::new(Shared {
            name: address.to_string(),
            limits,
            state: Mutex::new(State::Down("not connected yet".into())),
            breaker: Breaker::default(),
            pace: limits.pace(),
            lost: Notify::new(),
        });
        let (tried, mut first_try) = watch::channel(false);
        let keeper = tokio::spawn(keep(Arc::clone(&shared), source, pushes, tried));
        // The first try may succeed or fail; the task continues either way.
        let _ = timeout(limits.connect, first_try.wait_for(|tried| *tried)).await;
        Ok(Self { shared, _keeper: AbortOnDropHandle::new(keeper) })
    }

    pub(super) fn name(&self) -> String {
        self.shared.name.clone()
    }

    pub(super) fn pace(&self) -> &Pace {
        &self.shared.pace
    }

    pub(super) fn is_up(&self) -> bool {
        self.shared.connection().is_ok() && !self.shared.breaker.is_open()
    }

    pub(super) async fn send(&self, command: &Cmd, limit: Duration) -> Result<Value, CommandError> {
        let shared = &self.shared;
        // Before the breaker is asked: while there is no connection, a task restores it, and a probe would
        // have nothing to be sent on.
        let (mut connection, serial) = shared.connection()?;
        match shared.breaker.gate() {
            Gate::Closed => {}
            gate => {
                if gate == Gate::Probe {
                    self.probe();
                }
                return Err(CommandError::Unavailable("it did not answer in time lately".into()));
            }
        }
        let asked = Instant::now();
        let reply = shared.pace.in_time(limit, connection.req_packed_command(command)).await;
        let error = match reply.map(|reply| reply.and_then(Value::extract_error)) {
            Ok(Ok(reply)) => {
                shared.heard();
                return Ok(reply);
            }
            Ok(Err(error)) => CommandError::from(error),
            Err(timed_out) => CommandError::from(timed_out),
        };
        match &error {
            CommandError::Unavailable(outage) | CommandError::Lost(outage) => {
                shared.lose(serial, outage.clone());
            }
            CommandError::Late { starved } => {
                if !starved {
                    shared.missed(asked);
                }
                self.probe();
            }
            _ => {}
        }
        Err(error)
    }

    /// Pings the server in the background, with far more time than callers have, to find out how slow it is,
    /// or that it is gone.
    fn probe(&self) {
        let shared = Arc::clone(&self.shared);
        let limit = shared.limits.probe();
        if !shared.breaker.starts_probe(2 * limit) {
            return;
        }
        tokio::spawn(async move {
            let Ok((mut connection, serial)) = shared.connection() else { return };
            let (asked, ping) = (Instant::now(), redis::cmd("PING"));
            let reply = shared.pace.in_time(limit, connection.req_packed_command(&ping)).await;
            match reply.map(|reply| reply.and_then(Value::extract_error).map_err(CommandError::from)) {
                Ok(Err(CommandError::Unavailable(outage) | CommandError::Lost(outage))) => {
                    shared.lose(serial, outage);
                }
                Ok(_) if asked.elapsed() <= shared.pace.worth() => shared.heard(),
                // The server is there, but its answers are not worth the wait.
                Ok(_) => shared.missed(asked),
                Err(TimedOut { starved: false }) => shared.lose(serial, "it does not answer".into()),
                Err(TimedOut { starved: true }) => {}
            }
            shared.breaker.probed();
        });
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connection(&self) -> Result<(MultiplexedConnection, u64), CommandError> {
        match &*self.lock() {
            State::Up(connection, serial) => Ok((connection.clone(), *serial)),
            State::Down(outage) => Err(CommandError::Unavailable(outage.clone())),
        }
    }

    /// Records that the server answered in time.
    fn heard(&self) {
        if self.breaker.succeeded() {
            tracing::info!(server = self.name, "it answers in time again");
        }
    }

    /// Records that the server did not answer a command sent at `asked` in time.
    fn missed(&self, asked: Instant) {
        if self.breaker.failed(asked) {
            tracing::warn!(server = self.name, "it does not answer in time, so it is skipped until it does");
        }
    }

    /// Gives the connection up, if it is still the current one.
    fn lose(&self, serial: u64, outage: Outage) {
        let mut state = self.lock();
        // A command that was sent on an earlier connection says nothing about the one that replaced it.
        if matches!(&*state, State::Up(_, current) if *current == serial) {
            *state = State::Down(outage);
            self.lost.notify_one();
        }
    }
}

/// The source of connections.
pub(crate) enum Source {
    Client(Box<Client>),
    Sentinel(Box<tokio::sync::Mutex<SentinelClient>>),
}

impl Source {
    /// The server at `address`, or the primary that its sentinels name; a cluster is refused.
    pub(crate) fn new(address: &ValkeyAddress, certificates: Option<TlsCertificates>) -> Result<Self, Error> {
        let config = |error: redis::RedisError| {
            Error::new(ErrorKind::Config, format!("{address} cannot be used")).with_source(error)
        };
        match &address.topology {
            Topology::Single(info) => {
                let client = match certificates.filter(|_| address.is_tls()) {
                    Some(certificates) => Client::build_with_tls(info.clone(), certificates),
                    None => Client::open(info.clone()),
                };
                Ok(Self::Client(Box::new(client.map_err(config)?)))
            }
            Topology::Sentinel { sentinels, name, node, tls } => {
                let mut builder = SentinelClientBuilder::new(
                    sentinels.iter().map(|info| info.addr().clone()),
                    name,
                    SentinelServerType::Master,
                )
                .map_err(config)?
                .set_client_to_redis_db(node.db())
                .set_client_to_redis_protocol(ProtocolVersion::RESP3);
                if let Some(username) = node.username() {
                    builder = builder.set_client_to_redis_username(username);
                }
                if let Some(password) = node.password() {
                    builder = builder.set_client_to_redis_password(password);
                }
                if let Some(mode) = tls {
                    builder = builder.set_client_to_redis_tls_mode(*mode);
                    if let Some(certificates) = certificates {
                        builder = builder
                            .set_client_to_redis_certificates(certificates.clone())
                            .set_client_to_sentinel_certificates(certificates);
                    }
                }
                Ok(Self::Sentinel(Box::new(builder.build().map_err(config)?.into())))
            }
            Topology::Cluster(_) => Err(Error::new(ErrorKind::Config, "a cluster is not one server")),
        }
    }

    pub(crate) async fn client(&self) -> redis::RedisResult<Client> {
        match self {
            Self::Client(client) => Ok(Client::clone(client)),
            Self::Sentinel(client) => client.lock().await.async_get_client().await,
        }
    }
}

/// Keeps the connection up for as long as the link lives.
async fn keep(
    shared: Arc<Shared>,
    source: Source,
    pushes: Option<mpsc::UnboundedSender<PushInfo>>,
    tried: watch::Sender<bool>,
) {
    let mut failures = 0;
    for serial in 0_u64.. {
        let disconnected = Arc::clone(&shared);
        let pushes = pushes.clone();
        let listen = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                disconnected.lose(serial, "the connection was closed".into());
            }
            if let Some(pushes) = &pushes {
                // When the store is gone, no one listens any more.
                let _ = pushes.send(push);
            }
            Ok::<(), redis::aio::SendError>(())
        };
        let connected = timeout(shared.limits.connect, connect(&shared, &source, listen)).await;
        match connected.unwrap_or_else(|_| Err("it cannot be reached in time".into())) {
            Ok(connection) => {
                failures = 0;
                shared.breaker.succeeded();
                *shared.lock() = State::Up(connection, serial);
                tried.send_replace(true);
                let since = Instant::now();
                shared.lost.notified().await;
                tracing::warn!(server = shared.name, "lost the connection");
                // A connection that does not last is no better than none.
                if since.elapsed() < LASTING {
                    tokio::time::sleep(BACKOFF.after(0)).await;
                }
            }
            Err(outage) => {
                // If the first connection fails, the code that opens the store reports it.
                if failures == 0 && serial > 0 {
                    tracing::warn!(server = shared.name, why = %outage, "no connection");
                }
                *shared.lock() = State::Down(outage);
                tried.send_replace(true);
                tokio::time::sleep(BACKOFF.after(failures)).await;
                failures += 1;
            }
        }
    }
}

/// A connection to a primary that knows the scripts.
async fn connect(
    shared: &Shared,
    source: &Source,
    listen: impl Fn(PushInfo) -> Result<(), redis::aio::SendError> + Send + Sync + 'static,
) -> Result<MultiplexedConnection, Outage> {
    let client = source.client().await?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(shared.limits.connect))
        .set_response_timeout(None)
        .set_push_sender(listen);
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    // All in one round trip, because a slow server may take its whole limit for a few.
    let mut hello = redis::pipe();
    for script in script::all() {
        hello.cmd("SCRIPT").arg("LOAD").arg(script.source());
    }
    hello.cmd("PING").cmd("INFO").arg("replication");
    let asked = Instant::now();
    let count = hello.len();
    let mut replies = connection.req_packed_commands(&hello, 0, count).await?;
    shared.pace.took(asked.elapsed());
    // Where loading scripts is not permitted, they are sent whole when they are called.
    let (info, ping) = (replies.pop().unwrap_or(Value::Nil), replies.pop().unwrap_or(Value::Nil));
    // A server that is still loading its data says so here.
    match ping.extract_error() {
        // If PING is not permitted, the next command has to show whether the server is ready.
        Err(error) if error.kind() != redis::ErrorKind::Server(ServerErrorKind::NoPerm) => {
            return Err(error.into());
        }
        _ => {}
    }
    let info = info.extract_error()?;
    match &info {
        Value::VerbatimString { text, .. } if text.contains("role:master") => Ok(connection),
        other if reply::text(other).is_some_and(|text| text.contains("role:master")) => Ok(connection),
        _ => Err(Outage::by_fault("it is not a primary", ServerFault::NotPrimary)),
    }
}
