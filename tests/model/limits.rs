//! The limits of what the protocol promises. Each test shows the shortest way past it, and what would help.

use crate::protocol::{Fault, Layout, Promise, Protocol, Scenario, Versions};
use crate::{LOSSES, breaks_in, holds, quiet};

const DESIGNED: Protocol = Protocol::DESIGNED;

/// What can happen to a server where every call is executed before its caller goes on.
const LOSSES_IN_ORDER: &[Fault] = &[Fault::RollBack, Fault::FlushAll, Fault::LoseClock, Fault::LoseReply];

fn proxies() -> Scenario {
    Scenario { proxies: true, versions: Versions::ToldByAll, updates_in_turn: true, ..quiet() }
}

fn invalidated_too_early() -> Scenario {
    Scenario { lagging_index: true, versions: Versions::ToldByAll, updates_in_turn: true, ..quiet() }
}

/// Registered versions go with the clock, and a reader that read the old one before has a read version of the
/// new clock. It helps to refuse a version while none is registered.
#[test]
fn comparing_versions_does_not_survive_the_loss_of_a_clock() {
    let lost = Scenario { faults: 1, kinds: &[Fault::LoseClock], ..proxies() };
    breaks_in(8, &lost, &DESIGNED);
    breaks_in(9, &Scenario { compaction: true, ..proxies() }, &DESIGNED);
    let strict = Protocol { unknown_version_refused: true, ..DESIGNED };
    holds(&Scenario { compaction: true, faults: 2, kinds: LOSSES_IN_ORDER, ..proxies() }, &strict);
}

/// An invalidation sent before retrieval shows the change relies on the comparison alone.
#[test]
fn comparing_versions_stands_in_for_a_hold_until_the_clock_is_lost() {
    let early = Protocol { wait_for_retrieval: false, hold: false, ..DESIGNED };
    holds(&invalidated_too_early(), &early);
    let lost = Scenario { faults: 1, kinds: &[Fault::LoseClock], ..invalidated_too_early() };
    breaks_in(7, &lost, &early);
    let strict = Protocol { unknown_version_refused: true, ..early };
    holds(&Scenario { faults: 2, kinds: LOSSES_IN_ORDER, ..invalidated_too_early() }, &strict);
}

/// Versions have no order. The one registered is the last that arrived, which is the latest only if changes are
/// reported one after the other and no call arrives twice.
#[test]
fn versions_reported_out_of_order_let_a_proxy_store_the_older() {
    let strict = Protocol { unknown_version_refused: true, ..DESIGNED };
    for protocol in [DESIGNED, strict] {
        breaks_in(9, &Scenario { updates_in_turn: false, ..proxies() }, &protocol);
        breaks_in(10, &Scenario { faults: 1, kinds: &[Fault::LateRepeat], ..proxies() }, &protocol);
    }
    let early = Protocol { wait_for_retrieval: false, hold: false, ..DESIGNED };
    breaks_in(9, &Scenario { updates_in_turn: false, ..invalidated_too_early() }, &early);
}

/// An invalidation with the registered version does nothing. If the document has left that version and returned to
/// it unnoticed, what was derived in between stays. It helps if fills state the version that they read.
#[test]
fn a_change_undone_before_it_is_reported_looks_like_none() {
    let undone = Scenario { versions: Versions::ToldByUpdates, versions_recur: true, ..quiet() };
    breaks_in(7, &undone, &DESIGNED);
    let in_turn = Scenario { updates_in_turn: true, updates: 3, ..undone };
    holds(&Scenario { faults: 1, kinds: LOSSES_IN_ORDER, ..in_turn }, &DESIGNED);
    breaks_in(11, &Scenario { faults: 1, kinds: &[Fault::LateRepeat], ..in_turn }, &DESIGNED);
    holds(&Scenario { faults: 1, kinds: LOSSES, versions: Versions::ToldByAll, ..in_turn }, &DESIGNED);
}

/// The same may happen to a caller that reports each change in turn, if the change before is still in the outbox: the
/// registered version is the one before both. And what the outbox holds may come last, and register a version that is
/// over. It helps to do what is pending first.
#[test]
fn a_change_undone_while_it_is_pending_looks_like_none() {
    const PENDING: &[Fault] = &[Fault::Unreachable, Fault::LoseReply];
    let outbox = Scenario { outbox: true, updates_in_turn: true, ..quiet() };
    let undone = Scenario { versions: Versions::ToldByUpdates, versions_recur: true, ..outbox };
    let in_order = Protocol { pending_first: true, ..DESIGNED };
    breaks_in(8, &Scenario { faults: 1, kinds: PENDING, ..undone }, &DESIGNED);
    holds(&Scenario { updates: 3, faults: 2, kinds: PENDING, ..undone }, &in_order);
    let proxies = Scenario { proxies: true, versions: Versions::ToldByAll, ..outbox };
    breaks_in(10, &Scenario { faults: 1, kinds: PENDING, ..proxies }, &DESIGNED);
    holds(&Scenario { updates: 3, faults: 2, kinds: PENDING, ..proxies }, &in_order);
}

/// The promise proper starts when `end_update` returns, and holds. Until then, a hold keeps from being
/// served what retrieval still shows, for as long as its clock lives.
#[test]
fn a_hold_goes_with_its_clock() {
    let held = Scenario { lagging_index: true, promise: Promise::Changed, updates_in_turn: true, ..quiet() };
    breaks_in(7, &Scenario { faults: 1, kinds: &[Fault::LoseClock], ..held }, &DESIGNED);
    breaks_in(7, &Scenario { faults: 1, kinds: &[Fault::RollBack], ..held }, &DESIGNED);
}

/// A hold has no owner: the first `end_update` ends it for all, and so does one that arrives a second time,
/// or late out of an outbox.
#[test]
fn two_holds_of_one_document_end_together() {
    let held = Scenario { lagging_index: true, promise: Promise::Changed, ..quiet() };
    breaks_in(10, &held, &DESIGNED);
    let repeated = Scenario { updates_in_turn: true, faults: 1, kinds: &[Fault::LateRepeat], ..held };
    breaks_in(11, &repeated, &DESIGNED);
    let pending =
        Scenario { updates_in_turn: true, outbox: true, faults: 1, kinds: &[Fault::Unreachable], ..held };
    breaks_in(11, &pending, &DESIGNED);
    holds(&pending, &Protocol { pending_first: true, ..DESIGNED });
}

/// A clock that was carried to another node and not used there still has the replication id of the first
/// node. If it was saved like that, and the other node returns to what it saved, the clock is trusted again
/// when it is carried back, without what was invalidated between. That takes a move, a loss of data and a
/// move back, with the clock unused after the loss: any call that opens it there makes a new clock.
#[test]
fn a_slot_that_comes_back_from_a_node_that_was_rolled_back() {
    const THERE_AND_BACK: &[Fault] = &[Fault::MoveSlot, Fault::RollBack];
    let scenario = Scenario { layout: Layout::TwoNodes, requests: 1, updates: 1, ..quiet() };
    holds(&Scenario { faults: 2, kinds: THERE_AND_BACK, ..scenario }, &DESIGNED);
    breaks_in(14, &Scenario { faults: 3, kinds: THERE_AND_BACK, ..scenario }, &DESIGNED);
}
