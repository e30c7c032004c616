//! How a reader looks up, and what it does with what it finds.
//!
//! A request starts together with its lookup. Were it to start earlier, it would be owed less.

use crate::protocol::Fault;
use crate::server::{Call, Found};
use crate::state::{Answer, Entry, Incarnation, Phase, ReadVersion, World};
use crate::steps::{Model, Origin, Step, Successors};

/// A request that is about to ask the store.
#[derive(Clone, Copy)]
pub(crate) struct Asking {
    pub(crate) reader: usize,
    pub(crate) bucket: u8,
    /// The change that its answer must not be older than.
    pub(crate) owed: u8,
    pub(crate) nonce: Incarnation,
    /// The answer of a reader that retrieved before it asks.
    pub(crate) made: Option<Answer>,
}

impl Model<'_> {
    pub(crate) fn start(&self, world: &World, asking: Asking, successors: &mut Successors) {
        let Asking { reader, bucket, .. } = asking;
        if !self.protocol.tier_validates
            && let Some(Entry { answer, .. }) = world.readers[reader].kept
        {
            successors.push((self.served(world, asking, Origin::MemoryAlone, answer), *world));
        }
        if self.scenario.proxies {
            self.retrieve(world, reader, bucket, None, successors);
        } else {
            self.ask(world, asking, successors);
        }
    }

    fn served(&self, world: &World, asking: Asking, from: Origin, answer: Answer) -> Step {
        let Asking { reader, owed, .. } = asking;
        Step::Served { reader, from, answer, owed, stale: world.is_stale(answer, owed, self.scenario) }
    }

    pub(crate) fn ask(&self, world: &World, asking: Asking, successors: &mut Successors) {
        let Asking { reader, bucket, nonce, .. } = asking;
        let bypass = |why| {
            let mut next = *world;
            next.readers[reader].phase = Phase::Idle;
            (Step::Bypassed { reader, why }, next)
        };
        if world.readers[reader].local && self.protocol.bypass_pending && is_pending(world, bucket) {
            successors.push(bypass("its own invalidation of the bucket is pending"));
            return;
        }
        let Some(place) = self.place_of_entry(world, bucket) else {
            successors.push(bypass("TRYAGAIN"));
            return;
        };
        let mut next = *world;
        let found = next.places[place].lookup(Call { nonce, ..self.call(world, place) });
        // A caller who tries again with another nonce is like one who gives up and another who asks.
        if !self.protocol.fresh_nonce_per_attempt && self.may(world, Fault::LoseReply) {
            let mut lost = next;
            lost.faults_left -= 1;
            lost.readers[reader].phase = Phase::Resending { bucket, nonce, owed: asking.owed };
            successors.push((Step::LookupReplyLost { reader, nonce }, lost));
        }
        match found {
            Found::Live(entry, read_version) => self.hit(&next, asking, (entry, read_version), successors),
            Found::Miss(read_version) => self.miss(&next, asking, (place, read_version), successors),
        }
    }

    fn hit(
        &self,
        world: &World,
        asking: Asking,
        (stored, read_version): (Entry, ReadVersion),
        successors: &mut Successors,
    ) {
        let Asking { reader, bucket, .. } = asking;
        let mut next = *world;
        next.readers[reader].phase = Phase::Idle;
        let kept = world.readers[reader].kept;
        let same = kept.filter(|kept| kept.is_same(stored, self.protocol.tier_identity));
        let (from, entry) = same.map_or((Origin::Store, stored), |kept| (Origin::MemoryTier, kept));
        if self.scenario.memory_tier {
            next.readers[reader].kept = Some(entry);
        }
        let step = self.served(world, asking, from, entry.answer);
        successors.push((step, next));
        if self.scenario.refreshes {
            next.readers[reader].phase = Phase::Missed { bucket, read_version: Some(read_version) };
            successors.push((step, next));
        }
    }

    fn miss(
        &self,
        world: &World,
        asking: Asking,
        (place, read_version): (usize, ReadVersion),
        successors: &mut Successors,
    ) {
        let Asking { reader, bucket, owed, made, .. } = asking;
        let mut next = *world;
        if self.scenario.stampede_lock {
            if next.places[place].locked {
                // It asks again, as a request of the same start.
                next.readers[reader].phase = Phase::Following { bucket, owed };
                successors.push((Step::Waits { reader }, next));
                return;
            }
            next.places[place].locked = true;
            next.readers[reader].has_lock = true;
        }
        next.readers[reader].phase = match made {
            Some(answer) => Phase::Made { bucket, read_version: Some(read_version), answer },
            None => Phase::Missed {
                bucket,
                read_version: self.protocol.snapshot_before_retrieval.then_some(read_version),
            },
        };
        successors.push((Step::Missed { reader, read_version }, next));
        let mut others = (0..world.readers.len()).filter(|&other| other != reader);
        if let Some(leader) = others.find(|&other| world.readers[other].phase.is_flight_of(bucket)) {
            let mut next = *world;
            next.readers[reader].phase = Phase::Following { bucket, owed };
            successors.push((Step::Follows { reader, leader }, next));
        }
    }
}

/// Whether an invalidation of `bucket` waits in the outbox of the updaters' process.
pub(crate) fn is_pending(world: &World, bucket: u8) -> bool {
    world.updates.iter().any(|update| update.is_pending_before(u8::MAX, bucket))
}
