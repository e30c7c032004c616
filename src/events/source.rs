//! The connection to the server that events come from. It may be another server than the store's.

use std::time::Duration;

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Cmd, PushInfo, RedisError, RedisResult, ScriptInvocation, TlsCertificates, Value,
};
use tokio::time::timeout;

use crate::backoff::Backoff;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{ValkeyAddress, ValkeyServer};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a reply may take, beyond the time that the command itself waits.
const REPLY: Duration = Duration::from_secs(10);
/// The pauses between failed attempts.
pub(super) const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// Where to connect to.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) address: String,
    pub(super) ca: Option<Vec<u8>>,
}

impl Source {
    /// Reads the address.
    pub(super) fn open(&self) -> Result<Server> {
        let address: ValkeyAddress = self.address.parse()?;
        let certificates =
            self.ca.clone().map(|ca| TlsCertificates { client_tls: None, root_cert: Some(ca) });
        Ok(Server { name: address.to_string(), server: ValkeyServer::new(&address, certificates)? })
    }
}

/// A server, or the primary that sentinels name.
pub(super) struct Server {
    pub(super) name: String,
    server: ValkeyServer,
}

impl Server {
    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        self.connect_with(AsyncConnectionConfig::new()).await
    }

    /// With pushed messages going to `listen`.
    pub(super) async fn connect_listening(
        &self,
        listen: impl Fn(PushInfo) -> Result<(), redis::aio::SendError> + Send + Sync + 'static,
    ) -> RedisResult<Connection> {
        self.connect_with(AsyncConnectionConfig::new().set_push_sender(listen)).await
    }

    async fn connect_with(&self, config: AsyncConnectionConfig) -> RedisResult<Connection> {
        let config = config.set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
        let connect = async {
            let client = self.server.client().await?;
            client.get_multiplexed_async_connection_with_config(&config).await
        };
        Ok(Connection(timeout(CONNECT, connect).await.map_err(|_| late())??))
    }
}

/// A connection, which is lost when anything on it fails.
#[derive(Clone)]
pub(super) struct Connection(MultiplexedConnection);

impl Connection {
    pub(super) async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        self.send_waiting(command, Duration::ZERO).await
    }

    /// The same for a command that itself waits for up to `wait`.
    pub(super) async fn send_waiting(&mut self, command: &Cmd, wait: Duration) -> RedisResult<Value> {
        let reply = timeout(wait + REPLY, self.0.req_packed_command(command)).await.map_err(|_| late())?;
        reply.and_then(Value::extract_error)
    }

    pub(super) async fn call(&mut self, script: &ScriptInvocation<'_>) -> RedisResult<Value> {
        timeout(REPLY, script.invoke_async(&mut self.0)).await.map_err(|_| late())?
    }
}

fn late() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// The error that a caller with a particular request gets for a failure on the way to the server.
pub(super) fn failed(server: &str, error: &RedisError) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{server} cannot be used: {error}"))
}
