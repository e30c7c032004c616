//! The parts of the protocol that can be left out, and the scenarios that it is put through.

/// The freshness protocol. Each field is one of its parts: as designed, or weakened.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each part is there or is left out, whatever the others are"
)]
pub(crate) struct Protocol {
    /// The fence: an entry carries the read version of its miss. Otherwise it is stamped with what the clock
    /// reads at the fill.
    pub(crate) fence: bool,
    /// A fill whose read version is dead already is refused. Otherwise it is stored, with that read version.
    pub(crate) refuse_dead_fills: bool,
    /// The read version is taken at the miss, before retrieval. Otherwise it is taken after.
    pub(crate) snapshot_before_retrieval: bool,
    /// A new clock gets an incarnation that was never used.
    pub(crate) fresh_nonces: bool,
    /// A call that is sent again after its reply was lost carries another nonce than before.
    pub(crate) fresh_nonce_per_attempt: bool,
    /// A clock is trusted only under the replication id that it was made under.
    pub(crate) replication_id: bool,
    /// A clock does not run out any more once something was stored under it, or it received a change.
    pub(crate) keeps_clocks: bool,
    /// An entry is trusted only under the incarnation that it was stored under.
    pub(crate) incarnation: bool,
    /// An entry is validated when it is read. Otherwise an invalidation deletes those that the reverse
    /// set lists, and what is there is served.
    pub(crate) read_check: bool,
    /// Tombstones are dropped only once the low-water mark lies at or above them.
    pub(crate) low_water_mark_before_drop: bool,
    /// Reading a tombstone and dropping it is one step. Otherwise what a scan saw is dropped later, whatever
    /// it has become.
    pub(crate) drop_in_one_step: bool,
    /// `invalidate` has returned only when every bucket has done it. Otherwise the first is enough.
    pub(crate) every_bucket: bool,
    /// `invalidate`, or `end_update`, is called only when retrieval shows the change.
    pub(crate) wait_for_retrieval: bool,
    /// A document whose changes retrieval shows late is held from before a change until then.
    pub(crate) hold: bool,
    /// An invalidation of a held document leaves it held.
    pub(crate) hold_outlives_invalidation: bool,
    /// The memory tier asks the clock before it serves.
    pub(crate) tier_validates: bool,
    /// What makes a payload in a memory tier the same as the one stored.
    pub(crate) tier_identity: Identity,
    /// A fill that states another version than the registered one is refused.
    pub(crate) compare_versions: bool,
    /// A fill that states a version is refused while none is registered. Not part of the design: a remedy.
    pub(crate) unknown_version_refused: bool,
    /// What a completed flight hands to its followers.
    pub(crate) outcome: FlightOutcome,
    /// What the follower of a stream asks before it joins.
    pub(crate) join: Join,
    /// Every script names the clock among its keys, so that a cluster never runs it where the clock is not.
    pub(crate) clock_is_named: bool,
    /// A process does not look into a bucket where an invalidation of its own is still pending.
    pub(crate) bypass_pending: bool,
    /// What an outbox holds for a bucket is done before anything else in it. Not part of the design: a
    /// remedy.
    pub(crate) pending_first: bool,
    /// The stampede lock is freed only by the one who took it.
    pub(crate) lock_token: bool,
}

impl Protocol {
    pub(crate) const DESIGNED: Self = Self {
        fence: true,
        refuse_dead_fills: true,
        snapshot_before_retrieval: true,
        fresh_nonces: true,
        fresh_nonce_per_attempt: true,
        replication_id: true,
        keeps_clocks: true,
        incarnation: true,
        read_check: true,
        low_water_mark_before_drop: true,
        drop_in_one_step: true,
        every_bucket: true,
        wait_for_retrieval: true,
        hold: true,
        hold_outlives_invalidation: true,
        tier_validates: true,
        tier_identity: Identity::SnapshotAndDependencies,
        compare_versions: true,
        unknown_version_refused: false,
        outcome: FlightOutcome::SaysWhereToLook,
        join: Join::Clock,
        clock_is_named: true,
        bypass_pending: true,
        pending_first: false,
        lock_token: true,
    };
}

impl Default for Protocol {
    fn default() -> Self {
        Self::DESIGNED
    }
}

/// What makes two payloads of one key the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The same read version and the same dependencies: all that liveness depends on. What names each fill is
    /// stricter still.
    SnapshotAndDependencies,
    /// The same read version.
    ReadVersion,
}

/// What a completed flight hands to its followers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlightOutcome {
    /// Nothing: they look up again.
    SaysWhereToLook,
    /// The leader's answer if its fill was stored.
    CarriesWhatWasStored,
    /// The leader's answer.
    CarriesTheAnswer,
}

/// What the follower of a stream asks before it joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Join {
    /// Whether the leader's answer would be stored now, with the read version that the leader has.
    Clock,
    /// The same, with a read version that the follower took.
    ClockWithOwnSnapshot,
    /// Nothing.
    Nobody,
}

/// What can go wrong, each at any moment and at the cost of one of the scenario's faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server is killed and restarts from an older snapshot on disk, or a replica is promoted that has an
    /// older state: the same to everyone else. Both change the replication id.
    RollBack,
    /// Everything is deleted, under the same replication id.
    FlushAll,
    /// A clock is evicted or deleted.
    LoseClock,
    /// A reverse set is evicted or deleted.
    LoseReverseSet,
    /// A call is executed and its reply is lost, so that it is sent again.
    LoseReply,
    /// A call that was sent twice, since its first reply was late, is executed for the second time long
    /// after its caller went on.
    LateRepeat,
    /// An invalidation does not reach its bucket.
    Unreachable,
    /// The slot starts moving to the other node, key by key.
    MoveSlot,
    /// The slot stays, and so do those of its keys that had moved.
    AbortMove,
}

/// Where the keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One bucket on one node.
    OneBucket,
    /// Two buckets on one node, with one key each.
    TwoBuckets,
    /// One bucket, in a slot that can move between two nodes.
    TwoNodes,
}

/// Who states versions of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versions {
    Unreported,
    /// Invalidations register the new version; fills say nothing.
    ToldByUpdates,
    /// Invalidations register the new version, and fills state the one that was read.
    ToldByAll,
}

/// From when on an older version must not be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promise {
    /// From when `invalidate`, or `end_update`, has returned: what the cache promises.
    Returned,
    /// From when the document changed under a hold: what a hold is for.
    Changed,
}

/// The actors, their steps, and the faults.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is modelled or not, whatever the others are")]
pub(crate) struct Scenario {
    /// How many readers there are, at most [`MAX_READERS`](crate::state::MAX_READERS).
    pub(crate) readers: usize,
    /// How many requests each reader may make.
    pub(crate) requests: u8,
    /// How many updates there are, at most [`MAX_UPDATES`](crate::state::MAX_UPDATES), each by an updater
    /// of its own.
    pub(crate) updates: usize,
    /// Whether an update starts only when those before it have returned, or were reported as pending.
    pub(crate) updates_in_turn: bool,
    /// How many faults may happen.
    pub(crate) faults: u8,
    /// Which faults.
    pub(crate) kinds: &'static [Fault],
    pub(crate) layout: Layout,
    pub(crate) promise: Promise,
    pub(crate) versions: Versions,
    /// Whether every second change restores the content, and so the version, of two changes before. The
    /// version that the document begins with is registered then.
    pub(crate) versions_recur: bool,
    /// Whether retrieval shows a change of the source only some time later.
    pub(crate) lagging_index: bool,
    /// Whether the readers are proxies, which see a request only after its retrieval and look up then.
    pub(crate) proxies: bool,
    /// Whether an answer may as well be derived from something other than the document.
    pub(crate) other_sources: bool,
    /// Whether a hit may be followed by a refresh in the background.
    pub(crate) refreshes: bool,
    /// Whether each reader has a memory tier.
    pub(crate) memory_tier: bool,
    /// Whether clocks are compacted.
    pub(crate) compaction: bool,
    /// Whether clocks may run out, at any moment until they are kept.
    pub(crate) clocks_run_out: bool,
    /// Whether a reader may follow the stream of another.
    pub(crate) streams: bool,
    /// Whether only the reader with the stampede lock makes an answer.
    pub(crate) stampede_lock: bool,
    /// Whether the first reader lives in the process of the updaters and trusts its outbox.
    pub(crate) outbox: bool,
    /// How often the document may be invalidated without a change.
    pub(crate) touches: u8,
}

impl Default for Scenario {
    /// Two readers and two updates, with nothing special and no faults.
    fn default() -> Self {
        Self {
            readers: 2,
            requests: 2,
            updates: 2,
            updates_in_turn: false,
            faults: 0,
            kinds: &[],
            layout: Layout::OneBucket,
            promise: Promise::Returned,
            lagging_index: false,
            versions: Versions::Unreported,
            versions_recur: false,
            proxies: false,
            other_sources: false,
            refreshes: false,
            memory_tier: false,
            compaction: false,
            clocks_run_out: false,
            streams: false,
            stampede_lock: false,
            outbox: false,
            touches: 0,
        }
    }
}

impl Scenario {
    pub(crate) fn buckets(&self) -> u8 {
        if self.layout == Layout::TwoBuckets { 2 } else { 1 }
    }

    /// What the document says after a change, which is also the version that it is called by.
    pub(crate) fn content(&self, change: u8) -> u8 {
        if self.versions_recur { change % 2 } else { change }
    }

    pub(crate) fn may(&self, fault: Fault) -> bool {
        self.kinds.contains(&fault)
    }
}
