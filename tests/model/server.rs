//! What the server does with the keys of one bucket. Each method is one script: one atomic step.
//!
//! A script is given the node that it runs on, whose replication id it reads, and a nonce from its caller.

use crate::protocol::{Identity, Protocol};
use crate::state::{Answer, Clock, Entry, HELD, Incarnation, Keys, ReadVersion};

/// What a script knows beside the keys.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) protocol: &'a Protocol,
    pub(crate) node: u8,
    pub(crate) nonce: Incarnation,
}

/// What a lookup found.
#[derive(Clone, Copy)]
pub(crate) enum Found {
    /// The entry, and what the clock reads now.
    Live(Entry, ReadVersion),
    Miss(ReadVersion),
}

/// What an invalidation did in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invalidated {
    Marked,
    /// The reported version was the registered one.
    Unchanged,
}

impl Keys {
    /// The clock; a new one if it is lost or does not belong to this primary.
    pub(crate) fn open(&mut self, call: Call) -> &mut Clock {
        let trusted =
            self.clock.filter(|clock| !call.protocol.replication_id || clock.primary == Some(call.node));
        self.clock.insert(trusted.unwrap_or(Clock {
            primary: Some(call.node),
            incarnation: call.nonce,
            sequence: 0,
            low_water_mark: 0,
            tombstone: None,
            version: None,
            kept: false,
        }))
    }

    /// The same for a script that is about to store something under the clock, or to change it.
    fn keep(&mut self, call: Call) -> &mut Clock {
        let clock = self.open(call);
        clock.kept = call.protocol.keeps_clocks;
        clock
    }

    pub(crate) fn lookup(&mut self, call: Call) -> Found {
        let clock = *self.open(call);
        match self.entry {
            Some(entry) if !call.protocol.read_check || clock.is_live(entry, call.protocol) => {
                Found::Live(entry, clock.read_version())
            }
            _ => {
                self.entry = None;
                Found::Miss(clock.read_version())
            }
        }
    }

    /// Stores `answer`, unless that must be refused; whether it did. `reported` is the version of the
    /// document that the answer says it was derived from.
    pub(crate) fn fill(
        &mut self,
        read_version: ReadVersion,
        answer: Answer,
        reported: Option<u8>,
        call: Call,
    ) -> bool {
        let clock = *self.open(call);
        let read_version = if call.protocol.fence { read_version } else { clock.read_version() };
        let entry = Entry { read_version, answer, listed: true };
        if call.protocol.refuse_dead_fills && !clock.is_live(entry, call.protocol) {
            return false;
        }
        if clock.contradicts(reported, call.protocol) {
            return false;
        }
        self.keep(call);
        self.entry = Some(entry);
        true
    }

    /// Whether a fill of `answer` would not be refused now.
    pub(crate) fn would_take(
        &mut self,
        read_version: ReadVersion,
        answer: Answer,
        reported: Option<u8>,
        call: Call,
    ) -> bool {
        let clock = *self.open(call);
        let entry = Entry { read_version, answer, listed: true };
        clock.is_live(entry, call.protocol) && !clock.contradicts(reported, call.protocol)
    }

    /// Ends what was derived from the document before now. `reported` is its version from now on.
    pub(crate) fn invalidate(&mut self, reported: Option<u8>, call: Call) -> Invalidated {
        let clock = self.keep(call);
        let held = clock.tombstone == Some(HELD);
        if reported.is_some() && clock.version == reported && !held {
            return Invalidated::Unchanged;
        }
        clock.sequence += 1;
        let stays_held = held && call.protocol.hold_outlives_invalidation;
        clock.tombstone = Some(if stays_held { HELD } else { clock.sequence });
        clock.version = reported;
        if !call.protocol.read_check {
            // With the clock, the entries go some time or other; without it, now or never.
            self.entry = self.entry.filter(|entry| !entry.listed);
        }
        Invalidated::Marked
    }

    pub(crate) fn begin_update(&mut self, call: Call) {
        self.keep(call).tombstone = Some(HELD);
    }

    pub(crate) fn end_update(&mut self, reported: Option<u8>, call: Call) -> Invalidated {
        let clock = self.keep(call);
        clock.tombstone = None;
        clock.version = None;
        self.invalidate(reported, call)
    }
}

impl Clock {
    /// Whether `entry` may be served.
    pub(crate) fn is_live(&self, entry: Entry, protocol: &Protocol) -> bool {
        let ReadVersion { incarnation, sequence } = entry.read_version;
        let depends = entry.answer != Answer::Other;
        (incarnation == self.incarnation || !protocol.incarnation)
            && sequence >= self.low_water_mark
            && !(depends && self.tombstone.is_some_and(|tombstone| tombstone > sequence))
    }

    /// Whether the version that an answer states is a reason to refuse it.
    fn contradicts(&self, reported: Option<u8>, protocol: &Protocol) -> bool {
        reported.is_some_and(|reported| match self.version {
            Some(known) => protocol.compare_versions && known != reported,
            None => protocol.unknown_version_refused,
        })
    }

    /// Drops the tombstone and what goes with it.
    pub(crate) fn drop_mark(&mut self) {
        self.tombstone = None;
        self.version = None;
    }
}

impl Entry {
    /// Whether a memory tier may serve the payload of this entry when `stored` is live.
    pub(crate) fn is_same(self, stored: Self, identity: Identity) -> bool {
        let dependencies = |entry: Self| entry.answer != Answer::Other;
        self.read_version == stored.read_version
            && (identity == Identity::ReadVersion || dependencies(self) == dependencies(stored))
    }
}
