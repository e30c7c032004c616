//! How to connect, and what to hold in this process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use redis::{ClientTlsConfig, TlsCertificates};

use super::{ValkeyStore, link};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};

/// The most buckets that a corpus may have.
const MAX_BUCKETS: u16 = 1_024;

/// What a hit of the memory tier rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Freshness {
    /// Every hit is validated by the server when it is served: one round trip, and never a stale answer.
    #[default]
    Validated,
    /// What was validated within this time is served from memory without asking the server.
    ///
    /// **This gives up the promise of the cache**: after an invalidation returned, other processes may serve the old
    /// answer until this time has passed. The server tells them of changes (RESP3 client tracking), so mostly it is
    /// a round trip's time; a process that is cut off at that moment takes the whole of it.
    Bounded(Duration),
}

/// Settings of a [`ValkeyStore`].
#[derive(Clone)]
#[must_use]
pub struct ValkeyOptions {
    pub(super) prefix: String,
    pub(super) buckets: u16,
    pub(super) connect_timeout: Duration,
    pub(super) command_timeout: Duration,
    pub(super) max_command_timeout: Duration,
    pub(super) invalidate_timeout: Duration,
    pub(super) replica_timeout: Duration,
    pub(super) max_ttl: Duration,
    pub(super) claim_life: Duration,
    pub(super) memory_tier_bytes: u64,
    pub(super) freshness: Freshness,
    pub(super) outbox: Option<PathBuf>,
    pub(super) ca: Option<Vec<u8>>,
    pub(super) client: Option<(Vec<u8>, Vec<u8>)>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Default for ValkeyOptions {
    fn default() -> Self {
        Self {
            prefix: "wellspring:".into(),
            buckets: 16,
            connect_timeout: Duration::from_secs(1),
            command_timeout: Duration::from_millis(40),
            max_command_timeout: Duration::from_secs(2),
            invalidate_timeout: Duration::from_secs(2),
            replica_timeout: Duration::from_secs(1),
            max_ttl: Duration::from_hours(7 * 24),
            claim_life: Duration::from_secs(10),
            memory_tier_bytes: 64 << 20,
            freshness: Freshness::Validated,
            outbox: None,
            ca: None,
            client: None,
            clock: Arc::new(SystemClock),
        }
    }
}

impl std::fmt::Debug for ValkeyOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ValkeyOptions")
            .field("prefix", &self.prefix)
            .field("buckets", &self.buckets)
            .field("freshness", &self.freshness)
            .finish_non_exhaustive()
    }
}

impl ValkeyOptions {
    /// Sets what every key begins with, `wellspring:` by default. Deployments that share a server need different ones.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets over how many buckets a corpus is spread, 16 by default and 1,024 at most; 64 is right for clusters of
    /// more than 8 shards. **All processes of a deployment must agree**: an invalidation reaches the buckets that the
    /// process knows of. A process that finds another number on the server refuses to use it.
    pub fn buckets(mut self, buckets: u16) -> Self {
        self.buckets = buckets;
        self
    }

    /// Sets how long connecting may take, 1 second by default. It happens in the background: lookups meanwhile bypass
    /// the cache at once.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long a lookup or a fill waits for a server that is quick, 40 milliseconds by default. Where replies have
    /// taken longer lately, twice the time of the slowest is waited, as far as that pays: for a tenth of the time that
    /// making an answer takes, and for [`max_command_timeout`](Self::max_command_timeout) at most.
    ///
    /// A server that is silent for three times this long is left alone, and tried again in the background within half
    /// a second. Time in which this process itself did not run does not count.
    pub fn command_timeout(mut self, timeout: Duration) -> Self {
        self.command_timeout = timeout;
        self
    }

    /// Sets how long a lookup or a fill waits at most for a server whose replies are slow, 2 seconds by default. One
    /// that is less than [`command_timeout`](Self::command_timeout) changes nothing.
    pub fn max_command_timeout(mut self, timeout: Duration) -> Self {
        self.max_command_timeout = timeout;
        self
    }

    /// Sets how long an invalidation is tried before it is reported as incomplete, 2 seconds by default.
    pub fn invalidate_timeout(mut self, timeout: Duration) -> Self {
        self.invalidate_timeout = timeout;
        self
    }

    /// Sets how long an invalidation waits for the replicas that are online, 1 second by default. One that does not
    /// answer in time makes it incomplete, until it answers or is no longer online.
    pub fn replica_timeout(mut self, timeout: Duration) -> Self {
        self.replica_timeout = timeout;
        self
    }

    /// Sets after how long the clock may forget invalidations, 7 days by default: set it no shorter than the longest
    /// time to live. An entry that is older may be dropped early; none is ever served late.
    pub fn max_ttl(mut self, ttl: Duration) -> Self {
        self.max_ttl = ttl;
        self
    }

    /// Sets how long the claim of a process that makes an answer outlives it, 10 seconds by default. It is renewed
    /// while the answer is being made: after a crash, others wait this long at most.
    pub fn claim_life(mut self, life: Duration) -> Self {
        self.claim_life = life;
        self
    }

    /// Sets how many bytes of answers are kept in this process, 64 MiB by default. They are served only after the
    /// server said that they are live (but see [`Freshness::Bounded`]), and need not be sent again. 0 keeps none.
    pub fn memory_tier_bytes(mut self, bytes: u64) -> Self {
        self.memory_tier_bytes = bytes;
        self
    }

    /// Sets what a hit of the memory tier rests on.
    pub fn freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }

    /// Sets the file that keeps invalidations which could not be completed, so that they are even if this process
    /// ends before. Each process needs its own. Without one they are kept in memory.
    pub fn outbox(mut self, path: impl Into<PathBuf>) -> Self {
        self.outbox = Some(path.into());
        self
    }

    /// Sets the certificate authority of the servers, in PEM. Without one, the system's are trusted.
    pub fn tls_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// Sets the certificate and the key that this client shows to the servers, in PEM.
    pub fn tls_client(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.client = Some((certificate.into(), key.into()));
        self
    }

    /// Sets what expiry is told by. The server expires entries by its own clock, too.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Connects to the servers at `address`.
    ///
    /// Waits for the first connection for as long as one may take. If there is none by then, the store is returned
    /// all the same, and is there when the servers are: a cache that is away makes an application slow, not broken.
    ///
    /// Must be called within a Tokio runtime with I/O and time enabled.
    ///
    /// # Errors
    ///
    /// `Config` for an address or settings that are not valid or contradict what the server was used with; `Locked`,
    /// `Corrupt` or `Store` for an outbox that cannot be used.
    pub async fn connect(self, address: &str) -> Result<ValkeyStore> {
        self.check()?;
        ValkeyStore::open(address.parse()?, self).await
    }

    pub(super) fn certificates(&self) -> Option<TlsCertificates> {
        if self.ca.is_none() && self.client.is_none() {
            return None;
        }
        let client_tls =
            self.client.clone().map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
        Some(TlsCertificates { client_tls, root_cert: self.ca.clone() })
    }

    pub(super) fn limits(&self) -> link::Limits {
        link::Limits {
            connect: self.connect_timeout,
            command: self.command_timeout,
            max_command: self.max_command_timeout,
        }
    }

    /// For what no caller of a lookup waits for: a server that is too slow for those can still be told of changes.
    pub(super) fn patient_limits(&self) -> link::Limits {
        link::Limits {
            connect: self.connect_timeout.max(self.invalidate_timeout),
            command: self.invalidate_timeout,
            max_command: self.invalidate_timeout,
        }
    }

    fn check(&self) -> Result<()> {
        let config = |message: String| Err(Error::new(ErrorKind::Config, message));
        if self.prefix.contains(['{', '}']) || self.prefix.chars().any(char::is_control) {
            return config("the prefix of keys holds a brace or a control character".into());
        }
        if !(1..=MAX_BUCKETS).contains(&self.buckets) {
            return config(format!("the number of buckets is not in 1..={MAX_BUCKETS}"));
        }
        for (name, duration) in [
            ("connect_timeout", self.connect_timeout),
            ("command_timeout", self.command_timeout),
            ("max_command_timeout", self.max_command_timeout),
            ("invalidate_timeout", self.invalidate_timeout),
            ("replica_timeout", self.replica_timeout),
            ("max_ttl", self.max_ttl),
            ("claim_life", self.claim_life),
        ] {
            if duration < Duration::from_millis(1) {
                return config(format!("{name} is less than a millisecond"));
            }
        }
        Ok(())
    }
}
