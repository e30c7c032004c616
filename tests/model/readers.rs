//! The readers: look up, retrieve, make an answer, fill. Each may be gone at any moment.

use crate::lookups::Asking;
use crate::protocol::{Fault, FlightOutcome, Scenario, Versions};
use crate::state::{Answer, Entry, Phase, ReadVersion, World};
use crate::steps::{Model, Origin, Step, Successors};

impl Scenario {
    pub(crate) fn reported_by(&self, answer: Answer) -> Option<u8> {
        match answer {
            Answer::Document(change) if self.versions == Versions::ToldByAll => Some(self.content(change)),
            Answer::Document(_) | Answer::Other => None,
        }
    }
}

impl Model<'_> {
    pub(crate) fn reader_steps(&self, world: &World, reader: usize, successors: &mut Successors) {
        let asking =
            |bucket, owed| Asking { reader, bucket, owed, nonce: world.nonce(self.protocol), made: None };
        match world.readers[reader].phase {
            Phase::Idle => {
                if world.readers[reader].requests_left > 0 {
                    let mut next = *world;
                    next.readers[reader].requests_left -= 1;
                    for bucket in 0..self.scenario.buckets() {
                        self.start(&next, asking(bucket, world.owed(reader)), successors);
                    }
                }
                return;
            }
            Phase::Resending { bucket, nonce, owed } => {
                self.ask(world, Asking { nonce, ..asking(bucket, owed) }, successors);
            }
            // The flight has landed, or the reader has waited long enough: both may be at any time.
            Phase::Following { bucket, owed } => {
                self.ask(world, asking(bucket, owed), successors);
                if self.scenario.streams {
                    self.join(world, reader, (bucket, owed), successors);
                }
            }
            Phase::Missed { bucket, read_version } => {
                self.retrieve(world, reader, bucket, read_version, successors);
            }
            Phase::Made { bucket, read_version: None, answer } if self.scenario.proxies => {
                let asking = Asking { made: Some(answer), ..asking(bucket, world.owed(reader)) };
                self.ask(world, asking, successors);
            }
            Phase::Made { bucket, read_version: None, answer } => {
                self.take_snapshot(world, reader, bucket, answer, successors);
            }
            Phase::Made { bucket, read_version: Some(read_version), answer } => {
                self.fill(world, reader, bucket, (read_version, answer), successors);
            }
            Phase::Completing { bucket, answer, stored } => {
                self.complete(world, reader, bucket, (answer, stored), successors);
            }
        }
        let mut gone = *world;
        gone.readers[reader].phase = Phase::Idle;
        gone.readers[reader].kept = None;
        gone.readers[reader].has_lock = false;
        successors.push((Step::Gone { reader }, gone));
    }

    pub(crate) fn retrieve(
        &self,
        world: &World,
        reader: usize,
        bucket: u8,
        read_version: Option<ReadVersion>,
        successors: &mut Successors,
    ) {
        let mut make = |answer| {
            let mut next = *world;
            next.readers[reader].phase = Phase::Made { bucket, read_version, answer };
            successors.push((Step::Retrieved { reader, answer }, next));
        };
        make(Answer::Document(world.index));
        if self.scenario.other_sources {
            make(Answer::Other);
        }
    }

    fn take_snapshot(
        &self,
        world: &World,
        reader: usize,
        bucket: u8,
        answer: Answer,
        successors: &mut Successors,
    ) {
        let Some(place) = self.place_of_clock(world, bucket) else { return };
        let mut next = *world;
        let read_version = next.places[place].open(self.call(world, place)).read_version();
        next.readers[reader].phase = Phase::Made { bucket, read_version: Some(read_version), answer };
        successors.push((Step::SnapshotTaken { reader, read_version }, next));
    }

    fn fill(
        &self,
        world: &World,
        reader: usize,
        bucket: u8,
        (read_version, answer): (ReadVersion, Answer),
        successors: &mut Successors,
    ) {
        let mut next = *world;
        let place = self.place_of_entry(world, bucket);
        let stored = place.is_some_and(|place| {
            let reported = self.scenario.reported_by(answer);
            next.places[place].fill(read_version, answer, reported, self.call(world, place))
        });
        if let Some(place) = place {
            self.unlock(&mut next, reader, place);
        }
        if self.may(world, Fault::LoseReply) {
            let mut next = next;
            next.faults_left -= 1;
            successors.push((Step::FillReplyLost { reader, stored }, next));
        }
        let filler = &mut next.readers[reader];
        filler.phase = match self.protocol.outcome {
            // Followers look up again whenever they like, so nothing hangs on when the flight lands.
            FlightOutcome::SaysWhereToLook => Phase::Idle,
            FlightOutcome::CarriesWhatWasStored | FlightOutcome::CarriesTheAnswer => {
                Phase::Completing { bucket, answer, stored }
            }
        };
        if self.scenario.memory_tier && stored {
            filler.kept = Some(Entry { read_version, answer, listed: true });
        }
        successors.push((Step::Filled { reader, stored }, next));
    }

    /// Ends the flight of `leader`; a follower may be handed its answer.
    fn complete(
        &self,
        world: &World,
        leader: usize,
        landed: u8,
        (answer, stored): (Answer, bool),
        successors: &mut Successors,
    ) {
        let mut next = *world;
        next.readers[leader].phase = Phase::Idle;
        successors.push((Step::Landed { reader: leader }, next));
        if self.protocol.outcome == FlightOutcome::CarriesWhatWasStored && !stored {
            return;
        }
        for (reader, follower) in world.readers.iter().enumerate() {
            if let Phase::Following { bucket, owed } = follower.phase
                && bucket == landed
            {
                let mut next = next;
                next.readers[reader].phase = Phase::Idle;
                let stale = world.is_stale(answer, owed, self.scenario);
                let from = Origin::Leader(leader);
                successors.push((Step::Served { reader, from, answer, owed, stale }, next));
            }
        }
    }

    fn unlock(&self, world: &mut World, reader: usize, place: usize) {
        if !self.protocol.lock_token {
            world.places[place].locked = false;
            world.forget_tokens();
        } else if world.readers[reader].has_lock {
            world.places[place].locked = false;
            world.readers[reader].has_lock = false;
        }
    }
}
