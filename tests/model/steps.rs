//! All that can happen next: the steps of the readers, the updaters and the surroundings.

use crate::protocol::{Fault, Layout, Protocol, Scenario};
use crate::server::{Call, Invalidated};
use crate::state::{Answer, Incarnation, Keys, ReadVersion, World};
use crate::surroundings::moves;

/// One step, as it stands in a trace.
///
/// A reader is *served* an answer that it did not make; it is owed the document as the change `owed` left it.
/// It *waits* while another reader has the stampede lock.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Served { reader: usize, from: Origin, answer: Answer, owed: u8, stale: bool },
    Missed { reader: usize, read_version: ReadVersion },
    Follows { reader: usize, leader: usize },
    Waits { reader: usize },
    Bypassed { reader: usize, why: &'static str },
    LookupReplyLost { reader: usize, nonce: Incarnation },
    Retrieved { reader: usize, answer: Answer },
    SnapshotTaken { reader: usize, read_version: ReadVersion },
    Filled { reader: usize, stored: bool },
    FillReplyLost { reader: usize, stored: bool },
    Landed { reader: usize },
    Gone { reader: usize },

    Held { updater: usize, bucket: u8 },
    Changed { updater: usize, change: u8 },
    Invalidated { updater: usize, bucket: u8, what: Invalidated, then: Then },
    Repeated { bucket: u8, change: u8 },
    Touched { bucket: u8 },
    IndexShows { change: u8 },

    LowWaterMarkRaised { low_water_mark: u8 },
    TombstoneScanned,
    TombstoneDropped,
    EntryGone { place: usize },
    ClockExpired { place: usize },
    LockExpired,
    Saved { node: u8 },
    RolledBack { node: u8 },
    Flushed,
    ClockLost { place: usize },
    ReverseSetLost { place: usize },
    SlotMoves,
    KeyMoved { key: &'static str },
    SlotMoved,
    MoveAborted,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin {
    Store,
    MemoryTier,
    /// The memory tier, without asking.
    MemoryAlone,
    Leader(usize),
    /// The stream of another reader, whose answer is not done yet.
    Stream(usize),
}

/// What an updater knows after an invalidation in one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Other buckets are pending.
    GoesOn,
    /// It has returned.
    Returned,
    /// The bucket counts as pending, though it has done it.
    ReplyLost,
    /// The bucket counts as pending, and it is.
    Unreachable,
}

impl Step {
    /// Whether the promise is broken here.
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self, Self::Served { stale: true, .. })
    }
}

/// A protocol in a scenario.
#[derive(Clone, Copy)]
pub(crate) struct Model<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) protocol: &'a Protocol,
}

/// The steps possible in a world, each with the world that it leads to.
pub(crate) type Successors = Vec<(Step, World)>;

impl Model<'_> {
    pub(crate) fn successors(&self, world: &World, successors: &mut Successors) {
        for reader in 0..world.readers.len() {
            self.reader_steps(world, reader, successors);
        }
        for updater in 0..world.updates.len() {
            self.updater_steps(world, updater, successors);
        }
        self.late_repeats(world, successors);
        self.touches(world, successors);
        self.housekeeping(world, successors);
        if world.faults_left > 0 {
            self.faults(world, successors);
        }
        if world.moving {
            moves(world, successors);
        }
    }

    pub(crate) fn node_of(&self, place: usize) -> u8 {
        u8::from(self.scenario.layout == Layout::TwoNodes && place == 1)
    }

    /// A script in `place`, in a call with a nonce that was never used.
    pub(crate) fn call(&self, world: &World, place: usize) -> Call<'_> {
        Call { protocol: self.protocol, node: self.node_of(place), nonce: world.nonce(self.protocol) }
    }

    /// Where a script on the entry and the clock of `bucket` runs; nowhere if a cluster says TRYAGAIN.
    pub(crate) fn place_of_entry(&self, world: &World, bucket: u8) -> Option<usize> {
        if self.protocol.clock_is_named {
            self.place(world, bucket, &[|keys| keys.clock.is_some(), |keys| keys.entry.is_some()])
        } else {
            self.place(world, bucket, &[|keys| keys.entry.is_some()])
        }
    }

    /// Where a script on the clock alone runs.
    pub(crate) fn place_of_clock(&self, world: &World, bucket: u8) -> Option<usize> {
        self.place(world, bucket, &[|keys| keys.clock.is_some()])
    }

    /// As a cluster routes: while a slot is moving, its owner runs what names only keys that it has, the
    /// other node runs what names only keys that it has or a single key, and whatever else has to wait.
    fn place(&self, world: &World, bucket: u8, named: &[fn(&Keys) -> bool]) -> Option<usize> {
        if self.scenario.layout != Layout::TwoNodes {
            return Some(usize::from(bucket));
        }
        let owner = usize::from(world.owner);
        let all_at = |node: usize| named.iter().all(|is_there| is_there(&world.places[node]));
        if !world.moving || all_at(owner) {
            return Some(owner);
        }
        let none_at_owner = !named.iter().any(|is_there| is_there(&world.places[owner]));
        let other = 1 - owner;
        (none_at_owner && (named.len() == 1 || all_at(other))).then_some(other)
    }

    pub(crate) fn may(&self, world: &World, fault: Fault) -> bool {
        world.faults_left > 0 && self.scenario.may(fault)
    }
}
