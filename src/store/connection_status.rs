//! The state of the connection to a shared store.

use serde::Serialize;

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
