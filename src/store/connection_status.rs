//! How the connection to a shared store does.

use serde::Serialize;

/// How the connection to a shared store does, and how long this process waits on it now. Times are in microseconds;
/// those that are the longest are of the last 10 to 20 seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConnectionStatus {
    /// Whether lookups use it now. If not, they go without the cache at once.
    pub up: bool,
    /// The mean time from a command to its reply, in which what is recent weighs most; 0 before the first.
    pub round_trip_us: u64,
    /// The longest such time.
    pub slowest_round_trip_us: u64,
    /// How long a lookup or a fill waits for the server now.
    pub command_timeout_us: u64,
    /// By how much this process ran too late, at most: what a machine adds that has more to do than it has cores for.
    pub scheduling_delay_us: u64,
    /// Replies that did not come in time since the store was opened.
    pub late_replies: u64,
    /// Replies that this process could not wait for, because it ran too late itself, since the store was opened. They
    /// say nothing about the server.
    pub late_wakeups: u64,
}
