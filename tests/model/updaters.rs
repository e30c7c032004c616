//! The updaters: change the document, invalidate it in every bucket, return.
//!
//! That an invalidation has returned is recorded in the same step as its last bucket. If it returned later, less would
//! be promised.

use crate::protocol::{Fault, Promise, Versions};
use crate::server::Invalidated;
use crate::state::{Buckets, Update, World};
use crate::steps::{Model, Step, Successors, Then};

impl Model<'_> {
    pub(crate) fn updater_steps(&self, world: &World, updater: usize, successors: &mut Successors) {
        match world.updates[updater] {
            Update::Waiting => {
                if self.scenario.updates_in_turn && world.updates.into_iter().any(Update::is_under_way) {
                    return;
                }
                if self.uses_holds() {
                    self.begin(world, updater, self.all_buckets(), successors);
                } else {
                    self.change(world, updater, successors);
                }
            }
            Update::Beginning { pending: 0 } => self.change(world, updater, successors),
            Update::Beginning { pending } => self.begin(world, updater, pending, successors),
            Update::Changed { change, pending, .. } => {
                if self.protocol.wait_for_retrieval && world.index < change {
                    return;
                }
                for bucket in (0..self.scenario.buckets()).filter(|bucket| pending & (1 << bucket) != 0) {
                    if !self.waits_for_pending(world, change, bucket) {
                        self.invalidate(world, updater, bucket, successors);
                    }
                }
            }
            Update::Returned => {}
        }
    }

    fn uses_holds(&self) -> bool {
        self.scenario.lagging_index && self.protocol.hold
    }

    /// Whether the outbox has to do something in `bucket` before it does `change`.
    fn waits_for_pending(&self, world: &World, change: u8, bucket: u8) -> bool {
        let mut updates = world.updates.into_iter();
        self.protocol.pending_first && updates.any(|update| update.is_pending_before(change, bucket))
    }

    fn all_buckets(&self) -> Buckets {
        (1 << self.scenario.buckets()) - 1
    }

    fn begin(&self, world: &World, updater: usize, pending: Buckets, successors: &mut Successors) {
        for bucket in (0..self.scenario.buckets()).filter(|bucket| pending & (1 << bucket) != 0) {
            if self.waits_for_pending(world, u8::MAX, bucket) {
                continue;
            }
            let Some(place) = self.place_of_clock(world, bucket) else { continue };
            let mut next = *world;
            next.places[place].begin_update(self.call(world, place));
            next.updates[updater] = Update::Beginning { pending: pending & !(1 << bucket) };
            successors.push((Step::Held { updater, bucket }, next));
        }
    }

    fn change(&self, world: &World, updater: usize, successors: &mut Successors) {
        let mut next = *world;
        next.source += 1;
        let change = next.source;
        if !self.scenario.lagging_index {
            next.index = change;
        }
        if self.scenario.promise == Promise::Changed {
            next.promised = change;
        }
        next.updates[updater] = Update::Changed { change, pending: self.all_buckets(), reported: false };
        successors.push((Step::Changed { updater, change }, next));
    }

    fn invalidate(&self, world: &World, updater: usize, bucket: u8, successors: &mut Successors) {
        let Update::Changed { change, pending, .. } = world.updates[updater] else { return };
        // During a slot's move it is tried until it is routed.
        let Some(place) = self.place_of_clock(world, bucket) else { return };
        let mut next = *world;
        let what = self.invalidate_in(&mut next, place, change);
        if self.may(world, Fault::LoseReply) {
            self.report_pending((&next, what, Then::ReplyLost), updater, bucket, successors);
        }
        if self.may(world, Fault::Unreachable) {
            self.report_pending((world, what, Then::Unreachable), updater, bucket, successors);
        }
        let pending = pending & !(1 << bucket);
        let returned = pending == 0 || !self.protocol.every_bucket;
        if returned {
            next.promised = next.promised.max(change);
        }
        let Update::Changed { pending: left, .. } = &mut next.updates[updater] else { return };
        *left = pending;
        if pending == 0 {
            next.updates[updater] = Update::Returned;
        }
        let then = if returned { Then::Returned } else { Then::GoesOn };
        successors.push((Step::Invalidated { updater, bucket, what, then }, next));
    }

    /// The invalidation is tried again later. If there is an outbox, its process learns that it is pending and relies
    /// on that.
    fn report_pending(
        &self,
        (world, what, then): (&World, Invalidated, Then),
        updater: usize,
        bucket: u8,
        successors: &mut Successors,
    ) {
        let mut next = *world;
        next.faults_left -= 1;
        if self.scenario.outbox
            && let Update::Changed { change, reported, .. } = &mut next.updates[updater]
        {
            *reported = true;
            next.promised_locally = next.promised_locally.max(*change);
        }
        successors.push((Step::Invalidated { updater, bucket, what, then }, next));
    }

    /// Invalidations that have returned are executed once more.
    pub(crate) fn late_repeats(&self, world: &World, successors: &mut Successors) {
        if !self.may(world, Fault::LateRepeat) {
            return;
        }
        let under_way = |sought: u8| {
            world
                .updates
                .iter()
                .any(|update| matches!(update, Update::Changed { change, .. } if *change == sought))
        };
        for change in (1..=world.source).filter(|&change| !under_way(change)) {
            for bucket in 0..self.scenario.buckets() {
                let Some(place) = self.place_of_clock(world, bucket) else { continue };
                let mut next = *world;
                next.faults_left -= 1;
                self.invalidate_in(&mut next, place, change);
                successors.push((Step::Repeated { bucket, change }, next));
            }
        }
    }

    fn invalidate_in(&self, world: &mut World, place: usize, change: u8) -> Invalidated {
        let call = self.call(world, place);
        let reported =
            (self.scenario.versions != Versions::Unreported).then(|| self.scenario.content(change));
        let keys = &mut world.places[place];
        if self.uses_holds() { keys.end_update(reported, call) } else { keys.invalidate(reported, call) }
    }

    /// The document is invalidated without a change.
    pub(crate) fn touches(&self, world: &World, successors: &mut Successors) {
        if world.touches_left == 0 {
            return;
        }
        for bucket in 0..self.scenario.buckets() {
            let Some(place) = self.place_of_clock(world, bucket) else { continue };
            let mut next = *world;
            next.touches_left -= 1;
            next.places[place].invalidate(None, self.call(world, place));
            successors.push((Step::Touched { bucket }, next));
        }
    }
}
