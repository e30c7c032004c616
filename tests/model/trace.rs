//! How a trace reads.

use std::fmt;

use crate::server::Invalidated;
use crate::state::{Answer, ReadVersion};
use crate::steps::{Origin, Step, Then};

/// Readers are called by letters, updaters by numbers from 1.
struct Reader(usize);

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reader {}", ["A", "B", "C"][self.0])
    }
}

struct Updater(usize);

impl fmt::Display for Updater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "updater {}", self.0 + 1)
    }
}

impl fmt::Display for ReadVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(i{}, {})", self.incarnation.0, self.sequence)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(change) => write!(f, "version {change}"),
            Self::Other => f.write_str("an answer from elsewhere"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store => f.write_str("from the store"),
            Self::MemoryTier => f.write_str("from its memory tier, said by the store to be the same"),
            Self::MemoryAlone => f.write_str("from its memory tier, without asking the clock"),
            Self::Stream(leader) => write!(f, "from the stream of {}", Reader(*leader)),
            Self::Leader(leader) => write!(f, "the answer of {}", Reader(*leader)),
        }
    }
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GoesOn => "and goes on",
            Self::Returned => "and has returned",
            Self::ReplyLost => "and the reply is lost",
            Self::Unreachable => "which does not arrive",
        })
    }
}

fn outcome(stored: bool) -> &'static str {
    if stored { "stored" } else { "refused" }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served { reader, from, answer, owed, stale } => {
                write!(f, "{} is served {answer}, {from}", Reader(*reader))?;
                if *stale { write!(f, ": STALE, it is owed version {owed}") } else { Ok(()) }
            }
            Self::Missed { reader, read_version } => {
                write!(f, "{} looks up: a miss, with read version {read_version}", Reader(*reader))
            }
            Self::Follows { reader, leader } => {
                write!(f, "{} looks up: a miss, and follows {}", Reader(*reader), Reader(*leader))
            }
            Self::Waits { reader } => {
                write!(f, "{} looks up: a miss, and another reader has the lock", Reader(*reader))
            }
            Self::Bypassed { reader, why } => write!(f, "{} bypasses the cache: {why}", Reader(*reader)),
            Self::LookupReplyLost { reader, nonce } => {
                write!(f, "{} looks up with nonce i{}, and the reply is lost", Reader(*reader), nonce.0)
            }
            Self::Retrieved { reader, answer } => write!(f, "{} retrieves {answer}", Reader(*reader)),
            Self::SnapshotTaken { reader, read_version } => {
                write!(f, "{} takes read version {read_version}", Reader(*reader))
            }
            Self::Filled { reader, stored } => write!(f, "{} fills: {}", Reader(*reader), outcome(*stored)),
            Self::FillReplyLost { reader, stored } => {
                write!(f, "{} fills: {}, and the reply is lost", Reader(*reader), outcome(*stored))
            }
            Self::Landed { reader } => write!(f, "the flight of {} lands", Reader(*reader)),
            Self::Gone { reader } => write!(f, "{} is gone", Reader(*reader)),
            Self::Held { updater, bucket } => {
                write!(f, "{} begins the update in bucket {bucket}", Updater(*updater))
            }
            Self::Changed { updater, change } => {
                write!(f, "{} changes the document to version {change}", Updater(*updater))
            }
            Self::Invalidated { updater, bucket, what, then } => {
                write!(f, "{} invalidates in bucket {bucket}", Updater(*updater))?;
                if *what == Invalidated::Unchanged {
                    f.write_str(", where the version is registered already,")?;
                }
                write!(f, " {then}")
            }
            Self::Repeated { bucket, change } => {
                write!(f, "the invalidation of version {change} is executed once more in bucket {bucket}")
            }
            Self::Touched { bucket } => write!(f, "another caller invalidates in bucket {bucket}"),
            Self::IndexShows { change } => write!(f, "retrieval now shows version {change}"),
            Self::LowWaterMarkRaised { low_water_mark } => {
                write!(f, "compaction raises the low-water mark to {low_water_mark}")
            }
            Self::TombstoneScanned => f.write_str("compaction sees a tombstone that may go"),
            Self::TombstoneDropped => f.write_str("compaction drops the tombstone"),
            Self::EntryGone { place } => write!(f, "the entry in place {place} is gone"),
            Self::ClockExpired { place } => write!(f, "the clock in place {place} has run out"),
            Self::LockExpired => f.write_str("the lock expires"),
            Self::Saved { node } => write!(f, "the state of node {node} is saved"),
            Self::RolledBack { node } => {
                write!(f, "node {node} is back at what was saved, with a new replication id")
            }
            Self::Flushed => f.write_str("everything is flushed"),
            Self::ClockLost { place } => write!(f, "the clock in place {place} is lost"),
            Self::ReverseSetLost { place } => write!(f, "the reverse set in place {place} is lost"),
            Self::SlotMoves => f.write_str("the slot starts moving"),
            Self::KeyMoved { key } => write!(f, "the {key} moves to the other node"),
            Self::SlotMoved => f.write_str("the slot has moved"),
            Self::MoveAborted => f.write_str("the slot stays where it was, and so do the keys that moved"),
        }
    }
}
