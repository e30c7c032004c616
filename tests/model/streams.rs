//! Following a stream: a reader that asks a question while another is answering it gets the same answer, piece by piece
//! as it comes.
//!
//! A stream is joined once its answer has been begun, which is after the leader's retrieval. A reader that joins before
//! that gets an answer that was retrieved after it asked, as if it had made the answer itself, and this needs no check.

use crate::lookups::is_pending;
use crate::protocol::Join;
use crate::state::{Answer, Phase, ReadVersion, World};
use crate::steps::{Model, Origin, Step, Successors};

impl Model<'_> {
    /// The reader joins the stream of any other that answers the same, if the clock permits it.
    pub(crate) fn join(
        &self,
        world: &World,
        reader: usize,
        (asked, owed): (u8, u8),
        successors: &mut Successors,
    ) {
        for (leader, other) in world.readers.iter().enumerate() {
            let Phase::Made { bucket, read_version: Some(read_version), answer } = other.phase else {
                continue;
            };
            if leader == reader || bucket != asked {
                continue;
            }
            let mut next = *world;
            if self.may_join(&mut next, reader, bucket, (read_version, answer)) {
                next.readers[reader].phase = Phase::Idle;
                let stale = world.is_stale(answer, owed, self.scenario);
                let from = Origin::Stream(leader);
                successors.push((Step::Served { reader, from, answer, owed, stale }, next));
            }
        }
    }

    fn may_join(
        &self,
        world: &mut World,
        reader: usize,
        bucket: u8,
        (read_version, answer): (ReadVersion, Answer),
    ) -> bool {
        if self.protocol.join == Join::Nobody {
            return true;
        }
        if world.readers[reader].local && self.protocol.bypass_pending && is_pending(world, bucket) {
            return false;
        }
        let Some(place) = self.place_of_clock(world, bucket) else { return false };
        let call = self.call(world, place);
        let keys = &mut world.places[place];
        let read_version = match self.protocol.join {
            Join::ClockWithOwnSnapshot => keys.open(call).read_version(),
            Join::Clock | Join::Nobody => read_version,
        };
        keys.would_take(read_version, answer, self.scenario.reported_by(answer), call)
    }
}
