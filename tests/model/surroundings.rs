//! Events without a caller: housekeeping and the passing of time, which are free, and the faults.

use crate::protocol::{Fault, Layout};
use crate::state::{Clock, HELD, Keys, PLACES, World};
use crate::steps::{Model, Step, Successors};

impl Model<'_> {
    pub(crate) fn housekeeping(&self, world: &World, successors: &mut Successors) {
        if world.index < world.source {
            let mut next = *world;
            next.index += 1;
            successors.push((Step::IndexShows { change: next.index }, next));
        }
        for (place, keys) in world.places.iter().enumerate() {
            // It expires, it is evicted, or the drain of a reverse set meets it.
            if keys.entry.is_some() {
                let mut next = *world;
                next.places[place].entry = None;
                successors.push((Step::EntryGone { place }, next));
            }
            if self.scenario.clocks_run_out && keys.clock.is_some_and(|clock| !clock.kept) {
                let mut next = *world;
                next.places[place].clock = None;
                successors.push((Step::ClockExpired { place }, next));
            }
            if keys.locked {
                let mut next = *world;
                next.places[place].locked = false;
                next.forget_tokens();
                successors.push((Step::LockExpired, next));
            }
        }
        if self.scenario.compaction {
            self.compaction(world, successors);
        }
        if self.may(world, Fault::RollBack) {
            for node in 0..self.nodes() {
                let mut next = *world;
                self.keys_of(node).for_each(|place| next.saved[place] = next.places[place]);
                successors.push((Step::Saved { node }, next));
            }
        }
    }

    /// In the first place only: that is enough to compact a clock.
    ///
    /// The low-water mark may rise to any sequence, as nothing says how much time passes between two steps.
    fn compaction(&self, world: &World, successors: &mut Successors) {
        let compact = |work: &dyn Fn(&mut Clock)| {
            let mut next = *world;
            work(next.places[0].open(self.call(world, 0)));
            next
        };
        let Some(clock) = world.places[0].clock else { return };
        for low_water_mark in clock.low_water_mark + 1..=clock.sequence {
            // The clock may turn out to be another one, which has not counted that far.
            let raise = |clock: &mut Clock| clock.low_water_mark = low_water_mark.min(clock.sequence);
            successors.push((Step::LowWaterMarkRaised { low_water_mark }, compact(&raise)));
        }
        let limit =
            if self.protocol.low_water_mark_before_drop { clock.low_water_mark } else { clock.sequence };
        let may_go =
            |clock: &Clock| clock.tombstone.is_some_and(|tombstone| tombstone <= limit && tombstone != HELD);
        if self.protocol.drop_in_one_step {
            if may_go(&clock) {
                let drop = |clock: &mut Clock| {
                    if may_go(clock) {
                        clock.drop_mark();
                    }
                };
                successors.push((Step::TombstoneDropped, compact(&drop)));
            }
        } else if world.scanned {
            let mut next = compact(&Clock::drop_mark);
            next.scanned = false;
            successors.push((Step::TombstoneDropped, next));
        } else if may_go(&clock) {
            let mut next = *world;
            next.scanned = true;
            successors.push((Step::TombstoneScanned, next));
        }
    }

    pub(crate) fn faults(&self, world: &World, successors: &mut Successors) {
        let mut add = |step, fault: &dyn Fn(&mut World)| {
            let mut next = *world;
            next.faults_left -= 1;
            fault(&mut next);
            successors.push((step, next));
        };
        for &kind in self.scenario.kinds {
            match kind {
                Fault::RollBack => {
                    for node in 0..self.nodes() {
                        add(Step::RolledBack { node }, &|world| self.roll_back(world, node));
                    }
                }
                Fault::FlushAll => {
                    add(Step::Flushed, &|world| {
                        world.places = [Keys::default(); PLACES];
                        world.forget_tokens();
                    });
                }
                Fault::LoseClock => {
                    for place in (0..PLACES).filter(|&place| world.places[place].clock.is_some()) {
                        add(Step::ClockLost { place }, &|world| world.places[place].clock = None);
                    }
                }
                Fault::LoseReverseSet => {
                    for (place, keys) in world.places.iter().enumerate() {
                        if let Some(mut entry) = keys.entry.filter(|entry| entry.listed) {
                            entry.listed = false;
                            add(Step::ReverseSetLost { place }, &|world| {
                                world.places[place].entry = Some(entry);
                            });
                        }
                    }
                }
                Fault::MoveSlot => {
                    if self.scenario.layout == Layout::TwoNodes && !world.moving {
                        add(Step::SlotMoves, &|world| world.moving = true);
                    }
                }
                Fault::AbortMove => {
                    if world.moving {
                        add(Step::MoveAborted, &|world| world.moving = false);
                    }
                }
                // These are beside the calls that they befall.
                Fault::LoseReply | Fault::LateRepeat | Fault::Unreachable => {}
            }
        }
    }

    /// The id that the clocks of `node` were made under is one of the past from now on, wherever they are.
    fn roll_back(&self, world: &mut World, node: u8) {
        self.keys_of(node).for_each(|place| world.places[place] = world.saved[place]);
        let clocks = world.places.iter_mut().chain(&mut world.saved).filter_map(|keys| keys.clock.as_mut());
        for clock in clocks.filter(|clock| clock.primary == Some(node)) {
            clock.primary = None;
        }
        world.forget_tokens();
    }

    fn nodes(&self) -> u8 {
        if self.scenario.layout == Layout::TwoNodes { 2 } else { 1 }
    }

    /// The places on `node`.
    fn keys_of(&self, node: u8) -> impl Iterator<Item = usize> {
        (0..PLACES).filter(move |&place| self.node_of(place) == node)
    }
}

/// The keys of a slot move one by one, and the owner changes when none is left.
pub(crate) fn moves(world: &World, successors: &mut Successors) {
    let owner = usize::from(world.owner);
    let here = &world.places[owner];
    let mut add = |step, work: &dyn Fn(&mut World)| {
        let mut next = *world;
        work(&mut next);
        successors.push((step, next));
    };
    // What the other node has under the same name is overwritten.
    if here.clock.is_some() {
        add(Step::KeyMoved { key: "clock" }, &|world| {
            world.places[1 - owner].clock = world.places[owner].clock.take();
        });
    }
    if here.entry.is_some() {
        add(Step::KeyMoved { key: "entry" }, &|world| {
            world.places[1 - owner].entry = world.places[owner].entry.take();
        });
    }
    if here.clock.is_none() && here.entry.is_none() {
        add(Step::SlotMoved, &|world| {
            world.moving = false;
            world.owner = 1 - world.owner;
        });
    }
}
