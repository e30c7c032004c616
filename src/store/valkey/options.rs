//! How to connect, and what to keep in this process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use redis::{ClientTlsConfig, TlsCertificates};

use super::{ValkeyStore, link};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};

/// The most buckets that a corpus may have.
const MAX_BUCKETS: u16 = 1_024;

/// What a hit of the memory tier relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Freshness {
    /// The server validates every hit when it is served: one round trip, and never a stale answer.
    #[default]
    Validated,
    /// An answer that was validated within this time is served from memory without asking the server.
    ///
    /// **This gives up the promise of the cache**: after an invalidation returned, other processes may serve
    /// the old answer until this time has passed. The server notifies them of changes (RESP3 client
    /// tracking), so usually it takes them one round trip; but a process that is cut off at that moment may
    /// serve the old answer for the whole of this time.
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
    /// Sets the prefix of every key, `wellspring:` by default. Deployments that share a server need different
    /// ones.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the number of buckets over which a corpus is spread, 16 by default and 1,024 at most; 64 is right
    /// for clusters of more than 8 shards. **All processes of a deployment must agree**: an invalidation
    /// reaches only the buckets that the process knows of. A process that finds another number on the server
    /// refuses to use the server.
    pub fn buckets(mut self, buckets: u16) -> Self {
        self.buckets = buckets;
        self
    }

    /// Sets how long connecting may take, 1 second by default. Connecting happens in the background:
    /// meanwhile, lookups bypass the cache at once.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long a lookup or a fill waits for a server that is quick, 40 milliseconds by default. If
    /// replies have taken longer lately, the wait is twice the time of the slowest one, as long as that pays:
    /// at most a tenth of the time that making an answer takes, and at most
    /// [`max_command_timeout`](Self::max_command_timeout).
    ///
    /// A server that is silent for three times this long is left alone. It is tried again in the background
    /// within half a second. Time in which this process itself did not run does not count.
    pub fn command_timeout(mut self, timeout: Duration) -> Self {
        self.command_timeout = timeout;
        self
    }

    /// Sets how long a lookup or a fill waits at most for a server whose replies are slow, 2 seconds by
    /// default. A value below [`command_timeout`](Self::command_timeout) has no effect.
    pub fn max_command_timeout(mut self, timeout: Duration) -> Self {
        self.max_command_timeout = timeout;
        self
    }

    /// Sets how long an invalidation is tried before it is reported as incomplete, 2 seconds by default.
    pub fn invalidate_timeout(mut self, timeout: Duration) -> Self {
        self.invalidate_timeout = timeout;
        self
    }

    /// Sets how long an invalidation waits for the replicas that are online, 1 second by default. If a
    /// replica does not answer in time, the invalidation is incomplete until that replica answers or is no
    /// longer online.
    pub fn replica_timeout(mut self, timeout: Duration) -> Self {
        self.replica_timeout = timeout;
        self
    }

    /// Sets the time after which the clock may forget invalidations, 7 days by default. Do not set it shorter
    /// than the longest time to live. An entry that is older may be dropped early; no entry is ever served
    /// too long.
    pub fn max_ttl(mut self, ttl: Duration) -> Self {
        self.max_ttl = ttl;
        self
    }

    /// Sets how long the claim of a process that makes an answer outlives that process, 10 seconds by
    /// default. The claim is renewed while the answer is being made, so after a crash others wait this long
    /// at most.
    pub fn claim_life(mut self, life: Duration) -> Self {
        self.claim_life = life;
        self
    }

    /// Sets how many bytes of answers are kept in this process, 64 MiB by default. They are served only after
    /// the server confirmed that they are live (but see [`Freshness::Bounded`]), and then need not be sent
    /// again. 0 keeps none.
    pub fn memory_tier_bytes(mut self, bytes: u64) -> Self {
        self.memory_tier_bytes = bytes;
        self
    }

    /// Sets what a hit of the memory tier relies on.
    pub fn freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }

    /// Sets the file for invalidations that could not be completed, so that they are completed even if this
    /// process ends before that. Each process needs its own file. Without a file, they are kept in memory.
    pub fn outbox(mut self, path: impl Into<PathBuf>) -> Self {
        self.outbox = Some(path.into());
        self
    }

    /// Sets the certificate authority of the servers, in PEM. By default, the authorities of the system are
    /// trusted.
    pub fn tls_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// Sets the certificate and the key that this client presents to the servers, in PEM.
    pub fn tls_client(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.client = Some((certificate.into(), key.into()));
        self
    }

    /// Sets the clock by which this process decides expiry. The server also expires entries by its own clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Connects to the servers at `address`.
    ///
    /// Waits for the first connection for as long as connecting may take. If there is none by then, the store
    /// is returned all the same, and works as soon as the servers are there: a cache that is away makes an
    /// application slow, not broken.
    ///
    /// Must be called within a Tokio runtime with I/O and time enabled.
    ///
    /// # Errors
    ///
    /// `Config` if the address or the settings are not valid, or contradict those that the server was used
    /// with; `Locked`, `Corrupt` or `Store` if the outbox cannot be used.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
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

    /// Limits for work that no caller of a lookup waits for: a server that is too slow for lookups can still
    /// receive changes.
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
