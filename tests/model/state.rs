//! The world at one moment: the source of truth, what the servers keep, and where everyone is.

use crate::protocol::Scenario;

pub(crate) const MAX_READERS: usize = 3;
pub(crate) const MAX_UPDATES: usize = 3;
/// Two buckets on one node, or one bucket on two nodes.
pub(crate) const PLACES: usize = 2;
/// The tombstone of a held document: above every sequence.
pub(crate) const HELD: u8 = u8::MAX;

/// The incarnation of a clock, of which equality alone means anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Incarnation(pub(crate) u8);

impl Incarnation {
    /// Stands for every incarnation that no clock has and none can get back.
    pub(crate) const GONE: Self = Self(0);
    /// The only one there is where nonces are reused.
    pub(crate) const REUSED: Self = Self(1);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ReadVersion {
    pub(crate) incarnation: Incarnation,
    pub(crate) sequence: u8,
}

/// The invalidation clock of a bucket. There is one document, hence at most one tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Clock {
    /// Whose replication id the clock was made under: that of a node, by its number, or one that no node has
    /// any more. Ids are fresh, so those of the past need not be distinguished.
    pub(crate) primary: Option<u8>,
    pub(crate) incarnation: Incarnation,
    pub(crate) sequence: u8,
    pub(crate) low_water_mark: u8,
    pub(crate) tombstone: Option<u8>,
    /// The registered version. Goes with the tombstone.
    pub(crate) version: Option<u8>,
    /// Whether it stays for good: an answer was stored under it, or it received a change.
    pub(crate) kept: bool,
}

impl Clock {
    pub(crate) fn read_version(&self) -> ReadVersion {
        ReadVersion { incarnation: self.incarnation, sequence: self.sequence }
    }
}

/// An answer: all that counts of it is what it was derived from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Answer {
    /// From the document as this change left it; 0 is how it began.
    Document(u8),
    /// From something else, which never changes.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Entry {
    pub(crate) read_version: ReadVersion,
    pub(crate) answer: Answer,
    /// Whether the reverse set lists it.
    pub(crate) listed: bool,
}

/// The keys of one bucket on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Keys {
    pub(crate) clock: Option<Clock>,
    pub(crate) entry: Option<Entry>,
    /// The stampede lock is taken.
    pub(crate) locked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Reader {
    /// Whether it lives in the process of the updaters.
    pub(crate) local: bool,
    pub(crate) requests_left: u8,
    pub(crate) phase: Phase,
    /// What its memory tier keeps.
    pub(crate) kept: Option<Entry>,
    /// Whether the token in the stampede lock is its own.
    pub(crate) has_lock: bool,
}

/// Where a reader is in its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Phase {
    Idle,
    /// It looked up, and the reply was lost. It will send the call again with the same nonce.
    Resending {
        bucket: u8,
        nonce: Incarnation,
        owed: u8,
    },
    /// It waits for the flight of another reader.
    Following {
        bucket: u8,
        owed: u8,
    },
    /// It will retrieve. With the protocol as designed it has a read version.
    Missed {
        bucket: u8,
        read_version: Option<ReadVersion>,
    },
    /// It has made an answer, and fills when it has a read version.
    Made {
        bucket: u8,
        read_version: Option<ReadVersion>,
        answer: Answer,
    },
    /// Its fill is done, and its flight has not landed yet.
    Completing {
        bucket: u8,
        answer: Answer,
        stored: bool,
    },
}

impl Phase {
    /// Whether another reader that asks the same may follow this one.
    pub(crate) fn is_flight_of(self, asked: u8) -> bool {
        match self {
            Self::Idle | Self::Resending { .. } | Self::Following { .. } => false,
            Self::Missed { bucket, .. } | Self::Made { bucket, .. } | Self::Completing { bucket, .. } => {
                bucket == asked
            }
        }
    }
}

/// A set of buckets, as bits.
pub(crate) type Buckets = u8;

/// Where an updater is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Update {
    Waiting,
    /// `begin_update` is still to be done in these buckets.
    Beginning {
        pending: Buckets,
    },
    /// The source has changed; the invalidation, or `end_update`, is still to be done in these buckets.
    Changed {
        change: u8,
        pending: Buckets,
        reported: bool,
    },
    Returned,
}

impl Update {
    /// Whether its caller still waits.
    pub(crate) fn is_under_way(self) -> bool {
        matches!(self, Self::Beginning { .. } | Self::Changed { reported: false, .. })
    }

    /// Whether it is in the outbox for `bucket`, and `change` came later.
    pub(crate) fn is_pending_before(self, later: u8, bucket: u8) -> bool {
        match self {
            Self::Changed { change, pending, reported } => {
                reported && change < later && pending & (1 << bucket) != 0
            }
            Self::Waiting | Self::Beginning { .. } | Self::Returned => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// How often the document has changed.
    pub(crate) source: u8,
    /// The change that retrieval shows.
    pub(crate) index: u8,
    /// The latest change whose invalidation has returned.
    pub(crate) promised: u8,
    /// The latest change that the updaters' process knows of, returned or pending.
    pub(crate) promised_locally: u8,
    pub(crate) places: [Keys; PLACES],
    /// What a restarted or promoted server would have.
    pub(crate) saved: [Keys; PLACES],
    /// The node that has the slot, and whether it is moving to the other one.
    pub(crate) owner: u8,
    pub(crate) moving: bool,
    pub(crate) readers: [Reader; MAX_READERS],
    pub(crate) updates: [Update; MAX_UPDATES],
    pub(crate) faults_left: u8,
    pub(crate) touches_left: u8,
    /// Whether a compaction has seen a tombstone that it is about to drop.
    pub(crate) scanned: bool,
}

impl World {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let mut places = [Keys::default(); PLACES];
        if scenario.versions_recur {
            places[0].clock = Some(Clock {
                primary: Some(0),
                incarnation: Incarnation(1),
                sequence: 1,
                low_water_mark: 0,
                tombstone: Some(1),
                version: Some(0),
                kept: true,
            });
        }
        let reader = |number| Reader {
            local: scenario.outbox && number == 0,
            requests_left: if number < scenario.readers { scenario.requests } else { 0 },
            phase: Phase::Idle,
            kept: None,
            has_lock: false,
        };
        let update = |number| if number < scenario.updates { Update::Waiting } else { Update::Returned };
        Self {
            source: 0,
            index: 0,
            promised: 0,
            promised_locally: 0,
            places,
            saved: [Keys::default(); PLACES],
            owner: 0,
            moving: false,
            readers: std::array::from_fn(reader),
            updates: std::array::from_fn(update),
            faults_left: scenario.faults,
            touches_left: scenario.touches,
            scanned: false,
        }
    }

    /// The change that a request which starts now must see.
    pub(crate) fn owed(&self, reader: usize) -> u8 {
        let local = if self.readers[reader].local { self.promised_locally } else { 0 };
        self.promised.max(local)
    }

    /// Whether `answer` must not be served to a request that is owed the change `owed`: the document has
    /// never said that since.
    pub(crate) fn is_stale(&self, answer: Answer, owed: u8, scenario: &Scenario) -> bool {
        match answer {
            Answer::Document(read) => {
                (owed..=self.source).all(|change| scenario.content(change) != scenario.content(read))
            }
            Answer::Other => false,
        }
    }

    /// The stampede lock is gone, or belongs to someone else: no reader has the token in it.
    pub(crate) fn forget_tokens(&mut self) {
        self.readers.iter_mut().for_each(|reader| reader.has_lock = false);
    }
}
