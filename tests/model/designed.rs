//! The protocol as designed: nothing stale is ever served.

use crate::protocol::{Fault, FlightOutcome, Layout, Promise, Protocol, Scenario, Versions};
use crate::search::{distinct_names, search, search_without_renaming};
use crate::{LOSSES, holds, quiet, with_faults};

fn is_fresh(scenario: &Scenario) {
    holds(scenario, &Protocol::default());
}

#[test]
fn two_readers_and_two_updates_survive_two_faults() {
    is_fresh(&Scenario { refreshes: true, compaction: true, ..with_faults(2, LOSSES) });
}

#[test]
fn two_readers_and_two_updates_survive_three_faults() {
    is_fresh(&with_faults(3, LOSSES));
}

#[test]
fn three_readers_survive_two_faults() {
    is_fresh(&Scenario { readers: 3, requests: 1, ..with_faults(2, LOSSES) });
    is_fresh(&Scenario { readers: 3, ..with_faults(1, LOSSES) });
}

#[test]
fn three_updates_survive_a_fault() {
    is_fresh(&Scenario { updates: 3, compaction: true, ..with_faults(1, LOSSES) });
}

#[test]
fn an_invalidation_of_two_buckets_survives_two_faults() {
    const PARTIAL: &[Fault] = &[Fault::RollBack, Fault::LoseClock, Fault::LoseReply];
    is_fresh(&Scenario { layout: Layout::TwoBuckets, ..quiet() });
    is_fresh(&Scenario { layout: Layout::TwoBuckets, requests: 1, ..with_faults(2, PARTIAL) });
}

/// Those under which nothing was stored, and that received no change and no hold.
#[test]
fn clocks_may_run_out() {
    let scenario = Scenario { clocks_run_out: true, ..quiet() };
    is_fresh(&Scenario { refreshes: true, memory_tier: true, ..scenario });
    is_fresh(&Scenario { layout: Layout::TwoBuckets, requests: 1, ..scenario });
    let held = Scenario { lagging_index: true, promise: Promise::Changed, updates_in_turn: true, ..scenario };
    is_fresh(&Scenario { touches: 1, ..held });
    is_fresh(&Scenario { faults: 1, kinds: LOSSES, ..scenario });
}

#[test]
fn a_slot_may_move_while_it_is_used() {
    const MOVES: &[Fault] = &[Fault::MoveSlot, Fault::AbortMove, Fault::LoseClock, Fault::RollBack];
    is_fresh(&Scenario { layout: Layout::TwoNodes, ..with_faults(2, MOVES) });
}

#[test]
fn a_slot_may_move_there_and_back() {
    const MOVES: &[Fault] = &[Fault::MoveSlot, Fault::AbortMove, Fault::LoseClock];
    is_fresh(&Scenario { layout: Layout::TwoNodes, requests: 1, ..with_faults(4, MOVES) });
}

/// The payload of a tier is served if the store has an entry of the same read version and dependencies, and
/// it is live. Liveness depends on nothing else, so the payload is live then, no matter who stored the entry.
#[test]
fn a_memory_tier_that_asks_is_as_fresh_as_the_store() {
    let tier = Scenario { memory_tier: true, other_sources: true, ..quiet() };
    is_fresh(&Scenario { refreshes: true, ..tier });
    is_fresh(&Scenario { faults: 1, kinds: LOSSES, ..tier });
}

#[test]
fn versions_reported_out_of_order_do_no_harm_to_who_has_a_snapshot() {
    is_fresh(&Scenario { versions: Versions::ToldByUpdates, ..with_faults(2, LOSSES) });
    is_fresh(&Scenario { versions: Versions::ToldByAll, ..with_faults(2, LOSSES) });
}

#[test]
fn a_change_that_restores_a_version_is_noticed_where_fills_report_theirs() {
    is_fresh(&Scenario { versions: Versions::ToldByAll, versions_recur: true, ..with_faults(2, LOSSES) });
}

#[test]
fn an_update_that_retrieval_shows_late_is_fresh_once_it_has_ended() {
    is_fresh(&Scenario { lagging_index: true, ..with_faults(2, LOSSES) });
}

/// A hold is for the time before `invalidate` returns. After it, the order alone is enough.
#[test]
fn an_invalidation_when_retrieval_shows_the_change_needs_no_hold() {
    let protocol = Protocol { hold: false, ..Protocol::default() };
    holds(&Scenario { lagging_index: true, ..with_faults(2, LOSSES) }, &protocol);
}

#[test]
fn a_hold_keeps_from_serving_what_retrieval_still_shows() {
    let held = Scenario { lagging_index: true, promise: Promise::Changed, updates_in_turn: true, ..quiet() };
    is_fresh(&Scenario { touches: 1, faults: 2, kinds: &[Fault::LoseReply], ..held });
    is_fresh(&Scenario { layout: Layout::TwoBuckets, ..held });
}

#[test]
fn the_freshness_of_an_answer_does_not_depend_on_the_stampede_lock() {
    let locked = Scenario { stampede_lock: true, ..with_faults(2, LOSSES) };
    is_fresh(&locked);
    holds(&Scenario { faults: 1, ..locked }, &Protocol { lock_token: false, ..Protocol::default() });
}

/// The clock is asked after the request of the follower began, so the clock knows everything that the follower is owed.
#[test]
fn who_joins_a_stream_is_given_nothing_from_before_its_request() {
    let streams = Scenario { streams: true, ..quiet() };
    let report = search(&streams, &Protocol::default());
    assert!(report.streamed > 0, "no stream was joined: {report}");
    is_fresh(&Scenario { faults: 2, kinds: LOSSES, ..streams });
    is_fresh(&Scenario { readers: 3, requests: 1, faults: 1, kinds: LOSSES, ..streams });
    is_fresh(&Scenario { compaction: true, refreshes: true, ..streams });
    is_fresh(&Scenario { layout: Layout::TwoBuckets, ..streams });
    is_fresh(&Scenario {
        layout: Layout::TwoNodes,
        requests: 1,
        faults: 2,
        kinds: &[Fault::MoveSlot, Fault::AbortMove, Fault::LoseClock],
        ..streams
    });
    is_fresh(&Scenario {
        outbox: true,
        faults: 1,
        kinds: &[Fault::Unreachable, Fault::LoseReply],
        ..streams
    });
}

#[test]
fn who_joins_a_stream_while_a_document_is_held_is_not_given_what_retrieval_still_shows() {
    let held = Scenario { lagging_index: true, promise: Promise::Changed, updates_in_turn: true, ..quiet() };
    is_fresh(&Scenario { streams: true, ..held });
}

/// A proxy that has an old document in its request has a new read version all the same.
#[test]
fn who_joins_the_stream_of_a_proxy_is_protected_by_the_version_that_it_read() {
    let proxies = Scenario { proxies: true, versions: Versions::ToldByAll, updates_in_turn: true, ..quiet() };
    is_fresh(&Scenario { streams: true, ..proxies });
}

#[test]
fn an_outbox_keeps_its_own_process_fresh() {
    const FAILURES: &[Fault] = &[Fault::Unreachable, Fault::LoseReply, Fault::LoseClock, Fault::RollBack];
    is_fresh(&Scenario { outbox: true, ..with_faults(2, FAILURES) });
    is_fresh(&Scenario {
        outbox: true,
        layout: Layout::TwoBuckets,
        requests: 1,
        ..with_faults(2, &[Fault::Unreachable, Fault::LoseReply])
    });
}

/// The entry carries the read version of its miss and is checked when it is read. That a fill which is dead
/// already is refused spares a write, and is reported to its caller.
#[test]
fn refusing_dead_fills_is_not_what_keeps_answers_fresh() {
    let protocol = Protocol { refuse_dead_fills: false, ..Protocol::default() };
    holds(&with_faults(2, LOSSES), &protocol);
}

/// Worlds that differ in names only are searched once. This compares the result with a search that distinguishes them.
#[test]
fn renaming_loses_nothing() {
    let scenario = Scenario { requests: 1, memory_tier: true, compaction: true, ..with_faults(1, LOSSES) };
    let designed = Protocol::default();
    assert_eq!(distinct_names(&scenario, &designed), search(&scenario, &designed).states);
    let parts_left_out = [
        Protocol { fence: false, ..designed },
        Protocol { incarnation: false, ..designed },
        Protocol { replication_id: false, ..designed },
        Protocol { fresh_nonce_per_attempt: false, ..designed },
        Protocol { outcome: FlightOutcome::CarriesTheAnswer, ..designed },
    ];
    let scenario = with_faults(2, &[Fault::RollBack, Fault::LoseClock, Fault::LoseReply]);
    for protocol in parts_left_out {
        let named = search_without_renaming(&scenario, &protocol).counterexample;
        let renamed = search(&scenario, &protocol).counterexample;
        assert_eq!(named.map(|trace| trace.len()), renamed.map(|trace| trace.len()), "{protocol:?}");
    }
}
