//! What a store reports about itself.

use serde::Serialize;

use super::ServerStatus;
use crate::key::Corpus;

/// What a store holds, and how much it may hold.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct StoreStatus {
    /// The store's kind and location, such as `embedded:wellspring.redb`.
    pub location: String,
    /// Entries stored.
    pub entries: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Entries removed for lack of room since the store was opened.
    pub evictions: u64,
    /// Entries removed since the store was opened because their time was over.
    pub expirations: u64,
    /// The maximum number of entries.
    pub max_entries: u64,
    /// The maximum size in bytes.
    pub max_bytes: u64,
    /// Invalidations that this process could not complete yet and keeps trying.
    pub pending_invalidations: u64,
    /// Why nothing can be written at present, such as a full disk, while stored entries are still served.
    /// None if all is well, and for a store without a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unwritable: Option<String>,
    /// Each corpus that was ever used, by name.
    pub corpora: Vec<CorpusStatus>,
    /// The servers that hold a shared store: one, or each primary of a cluster. They may also hold other
    /// data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerStatus>,
}

/// What a store knows about one corpus.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct CorpusStatus {
    /// The corpus.
    pub corpus: Corpus,
    /// Entries stored.
    pub entries: u64,
    /// Invalidations that the clock has counted.
    pub sequence: u64,
    /// Names that the clock remembers as invalidated.
    pub tombstones: u64,
    /// Documents held by [`Store::begin_update`](super::Store::begin_update).
    pub held: Vec<String>,
    /// Changes in the stream for other processes; none if there is no such stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
}

impl CorpusStatus {
    /// The status of a corpus in which nothing was stored and nothing changed.
    pub fn new(corpus: Corpus) -> Self {
        Self { corpus, entries: 0, sequence: 0, tombstones: 0, held: Vec::new(), events: None }
    }
}

/// The state of the connection to a shared store, and how long this process waits on it now. Times are in
/// microseconds; maximum times cover the last 10 to 20 seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConnectionStatus {
    /// Whether lookups use the connection now. If not, they continue without the cache at once.
    pub up: bool,
    /// The mean time from a command to its reply, in which recent times weigh most; 0 before the first reply.
    pub round_trip_us: u64,
    /// The longest such time.
    pub slowest_round_trip_us: u64,
    /// How long a lookup or a fill waits for the server now.
    pub command_timeout_us: u64,
    /// The longest delay with which this process was scheduled: a machine adds it when it has more to do than
    /// it has cores for.
    pub scheduling_delay_us: u64,
    /// Replies that did not come in time since the store was opened.
    pub late_replies: u64,
    /// Replies that this process could not wait for since the store was opened, because it ran too late
    /// itself. They say nothing about the server.
    pub late_wakeups: u64,
}
