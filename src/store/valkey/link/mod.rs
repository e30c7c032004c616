//! The link to the servers: connections that are restored automatically, limits on waiting, and a circuit
//! breaker.
//!
//! A command returns either its reply, within its limit, or [`CommandError`], which says what to do. Nothing
//! is sent twice: a command whose reply was lost may have been executed, and only the caller knows how to
//! repeat it (a script that opens a clock needs fresh random bits every time it may run).
//!
//! While the servers are known to be away, commands fail at once, and a task in the background tries to reach
//! the servers. A late reply does not prove that the server is away. So the server is then pinged with a much
//! longer limit, and one answer is enough to continue.

mod breaker;
mod cluster;
mod outage;
mod pace;
mod single;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, PushInfo, RedisError, ServerErrorKind, TlsCertificates, Value};
use tokio::sync::mpsc;

use self::cluster::Cluster;
pub(super) use self::outage::Outage;
pub(super) use self::pace::Pace;
use self::pace::TimedOut;
use self::single::Single;
pub(crate) use self::single::Source as ValkeyServer;
use crate::error::{Error, ErrorKind};
use crate::store::ConnectionStatus;
use crate::store::valkey::address::{Topology, ValkeyAddress};
use crate::store::valkey::script::Call;

/// The limits on waiting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// How long to wait for a connection.
    pub(super) connect: Duration,
    /// How long to wait for the reply to an ordinary command, from a server that is as quick as usual.
    pub(super) command: Duration,
    /// The same limit for any server, however slow it is and however expensive the answers are.
    pub(super) max_command: Duration,
}

impl Limits {
    fn pace(&self) -> Pace {
        Pace::new(self.command, self.max_command)
    }

    /// How long to wait for a ping reply from a server that did not answer in time.
    fn probe(&self) -> Duration {
        self.connect.max(self.command)
    }
}

/// Why a command has no reply.
#[derive(Debug)]
pub(super) enum CommandError {
    /// The server cannot be reached, does not answer in time, or is not ready: leave it alone for a while.
    Unavailable(Outage),
    /// The connection broke while the reply was awaited: the server is away, but may have executed the
    /// command.
    Lost(Outage),
    /// The server did not answer in time, but may have executed the command.
    Late {
        /// Whether this process itself ran late, so that the delay says nothing about the server.
        starved: bool,
    },
    /// The key is being moved to another node.
    Moving {
        /// The node to ask, if the server names it.
        ask: Option<(String, u16)>,
    },
    /// The server does not know the script.
    NoScript,
    /// The server refused the command, or the script failed.
    Refused(RedisError),
}

impl CommandError {
    /// Whether the server may have executed the command in spite of the error.
    pub(super) fn may_have_run(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Late { .. })
    }

    /// Whether the server gave no sign of life.
    fn is_silence(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Lost(_) | Self::Late { starved: false })
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) | Self::Lost(why) => write!(f, "the server is unavailable: {why}"),
            Self::Late { starved: false } => f.write_str("the server did not answer in time"),
            Self::Late { starved: true } => {
                f.write_str("this process ran too late to read the server's answer in time")
            }
            Self::Moving { .. } => f.write_str("the key is moving to another node"),
            Self::NoScript => f.write_str("the server does not know the script"),
            Self::Refused(error) => write!(f, "the server refused: {error}"),
        }
    }
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Late { .. } => Self::new(ErrorKind::Timeout, error.to_string()),
            CommandError::Unavailable(ref outage) | CommandError::Lost(ref outage) => {
                Self::new(ErrorKind::Unavailable, error.to_string()).with_server_fault(outage.fault())
            }
            _ => Self::new(ErrorKind::Store, error.to_string()),
        }
    }
}

impl From<TimedOut> for CommandError {
    fn from(TimedOut { starved }: TimedOut) -> Self {
        Self::Late { starved }
    }
}

impl From<RedisError> for CommandError {
    fn from(error: RedisError) -> Self {
        use redis::ErrorKind as Kind;
        match error.kind() {
            Kind::Server(ServerErrorKind::NoScript) => Self::NoScript,
            Kind::Server(ServerErrorKind::Ask) => {
                let node = error.redirect_node().and_then(|(node, _)| {
                    let (host, port) = node.rsplit_once(':')?;
                    Some((host.to_owned(), port.parse().ok()?))
                });
                Self::Moving { ask: node }
            }
            Kind::Io => Self::Lost(error.into()),
            Kind::Server(ServerErrorKind::Moved | ServerErrorKind::TryAgain) => Self::Moving { ask: None },
            Kind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly,
            )
            | Kind::Parse
            | Kind::ClusterConnectionNotFound
            | Kind::AuthenticationFailed
            | Kind::MasterNameNotFoundBySentinel
            | Kind::EmptySentinelList
            | Kind::NoValidReplicasFoundBySentinel => Self::Unavailable(error.into()),
            _ => Self::Refused(error),
        }
    }
}

/// A connection to the servers, shared by all its users.
#[derive(Debug, Clone)]
pub(super) enum Link {
    Single(Arc<Single>),
    Cluster(Arc<Cluster>),
}

impl Link {
    /// Starts to connect, and waits for the first connection for as long as connecting may take. Push
    /// messages go to `pushes`.
    pub(super) async fn open(
        address: &ValkeyAddress,
        certificates: Option<TlsCertificates>,
        limits: Limits,
        pushes: Option<mpsc::UnboundedSender<PushInfo>>,
    ) -> Result<Self, Error> {
        if address.is_tls() && rustls::crypto::CryptoProvider::get_default().is_none() {
            // If several providers are compiled in, or none because the program chose so, `rustls` panics
            // rather than choose. Another task may install one meanwhile, which is just as good.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        match &address.topology {
            Topology::Cluster(nodes) => {
                Ok(Self::Cluster(Cluster::open(nodes, certificates, limits, pushes).await?.into()))
            }
            _ => Ok(Self::Single(Single::open(address, certificates, limits, pushes).await?.into())),
        }
    }

    /// Sends `command` to the server that its first key decides, and waits for the reply for at most `limit`.
    pub(super) async fn send(
        &self,
        command: &Cmd,
        key: &str,
        limit: Duration,
    ) -> Result<Value, CommandError> {
        match self {
            Self::Single(single) => single.send(command, limit).await,
            Self::Cluster(cluster) => cluster.send(command, key, limit).await,
        }
    }

    /// Calls a script whose first key is `key`.
    pub(super) async fn call(
        &self,
        call: &Call<'_>,
        key: &str,
        limit: Duration,
    ) -> Result<Value, CommandError> {
        match self.send(&call.by_hash(), key, limit).await {
            // The script was not executed, so its random bits are still fresh.
            Err(CommandError::NoScript) => self.send(&call.whole(), key, limit).await,
            result => result,
        }
    }

    /// Sends `command` to the node at `host` and `port`, which is about to receive the key.
    pub(super) async fn ask(
        &self,
        command: &Cmd,
        (host, port): (&str, u16),
        limit: Duration,
    ) -> Result<Value, CommandError> {
        match self {
            Self::Single(single) => single.send(command, limit).await,
            Self::Cluster(cluster) => cluster.ask(command, host, port, limit).await,
        }
    }

    /// Waits until `replicas` have what was written to the node of `key` through this link; returns how many
    /// have it.
    pub(super) async fn wait(&self, key: &str, replicas: u64, limit: Duration) -> Result<u64, CommandError> {
        let mut command = redis::cmd("WAIT");
        command.arg(replicas).arg(limit.as_millis().to_string());
        // The server itself keeps to the limit; the margin is for its reply.
        let limit = limit + Duration::from_millis(250);
        let reply = match self {
            Self::Single(single) => single.send(&command, limit).await?,
            Self::Cluster(cluster) => cluster.send_to_primary(command, key, limit).await?,
        };
        Ok(super::reply::number(&reply).unwrap_or(0))
    }

    /// Sends `command` to every primary, and returns the replies with their addresses.
    pub(super) async fn send_to_all(
        &self,
        command: &Cmd,
        limit: Duration,
    ) -> Result<Vec<(String, Value)>, CommandError> {
        match self {
            Self::Single(single) => Ok(vec![(single.name(), single.send(command, limit).await?)]),
            Self::Cluster(cluster) => cluster.send_to_all(command, limit).await,
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// The current status of the link.
    pub(super) fn status(&self) -> ConnectionStatus {
        match self {
            Self::Single(single) => single.pace().status(single.is_up()),
            Self::Cluster(cluster) => cluster.pace().status(cluster.is_up()),
        }
    }

    /// The measured times of the link, and the limits that follow from them.
    pub(super) fn pace(&self) -> &Pace {
        match self {
            Self::Single(single) => single.pace(),
            Self::Cluster(cluster) => cluster.pace(),
        }
    }
}
