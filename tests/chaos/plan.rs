//! The orders of a worker process.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a process uses the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Habit {
    /// As the documentation says.
    Sound,
    /// Fills carry the read version of the moment that they are made at, not that of the miss.
    NoFence,
    /// The documents are read first, and the cache is asked afterwards.
    SnapshotAfterRetrieval,
    /// A caller that comes while an answer is being made gets that answer.
    ShareTheLeadersAnswer,
    /// Stored answers are served without asking the clock.
    NoReadCheck,
}

/// The orders of one worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing, and none excludes another")]
pub(crate) struct Plan {
    /// Where the servers are. Workers take turns in using these addresses.
    pub(crate) urls: Vec<String>,
    /// Where the world and the outboxes are.
    pub(crate) folder: PathBuf,
    pub(crate) seed: u64,
    /// Which worker of how many it is.
    pub(crate) member: usize,
    pub(crate) members: usize,
    pub(crate) habit: Habit,
    /// How large answers are, in bytes.
    pub(crate) padding: (usize, usize),
    /// The share of requests that are dropped at some await.
    pub(crate) gives_up: f64,
    /// Whether every other worker's clock is an hour ahead or behind.
    pub(crate) skews: bool,
    /// Whether the clocks survive, and with them the holds: from then on nothing that is held may be served.
    pub(crate) holds_last: bool,
    /// Whether to wait for the server for as long as it takes.
    pub(crate) is_patient: bool,
    /// How long to wait for a server that is quick, if not for the usual time.
    pub(crate) command_timeout: Option<Duration>,
    pub(crate) claim_life: Duration,
    /// How long the LLM takes for an answer, beside what it takes at random.
    pub(crate) answers_take: Duration,
    /// How long a task rests at most between two questions.
    pub(crate) rests: Duration,
    /// Whether documents change.
    pub(crate) updates: bool,
}

impl Plan {
    pub(crate) fn at(urls: Vec<String>) -> Self {
        Self {
            urls,
            folder: PathBuf::new(),
            seed: 0,
            member: 0,
            members: 0,
            habit: Habit::Sound,
            padding: (0, 200),
            gives_up: 0.02,
            skews: false,
            holds_last: false,
            is_patient: false,
            // What the LLM makes here is so cheap that no hit would be worth a wait. But hits are what is checked, even
            // on a busy machine.
            command_timeout: Some(Duration::from_secs(1)),
            claim_life: Duration::from_secs(10),
            answers_take: Duration::ZERO,
            rests: Duration::ZERO,
            updates: true,
        }
    }

    /// With a server that is slow or silent, and is then not used.
    pub(crate) fn impatient(self) -> Self {
        Self { command_timeout: Some(Duration::from_millis(100)), ..self }
    }

    pub(crate) fn url(&self) -> &str {
        &self.urls[self.member % self.urls.len()]
    }
}
