//! Each part of the protocol left out, and what happens then. A part whose absence no test shows would be unnecessary.

use crate::protocol::{Fault, FlightOutcome, Identity, Join, Layout, Promise, Protocol, Scenario, Versions};
use crate::search::search;
use crate::{breaks_in, holds, quiet, with_faults};

const DESIGNED: Protocol = Protocol::DESIGNED;

#[test]
fn a_fill_without_the_fence() {
    let protocol = Protocol { fence: false, ..DESIGNED };
    breaks_in(6, &quiet(), &protocol);
    let trace = search(&quiet(), &protocol).counterexample.unwrap_or_default();
    let trace: Vec<String> = trace.iter().map(ToString::to_string).collect();
    assert_eq!(
        trace,
        [
            "reader A looks up: a miss, with read version (i1, 0)",
            "reader A retrieves version 0",
            "updater 1 changes the document to version 1",
            "updater 1 invalidates in bucket 0 and has returned",
            "reader A fills: stored",
            "reader A is served version 0, from the store: STALE, it is owed version 1",
        ]
    );
}

#[test]
fn a_snapshot_taken_after_retrieval() {
    breaks_in(7, &quiet(), &Protocol { snapshot_before_retrieval: false, ..DESIGNED });
}

#[test]
fn a_nonce_used_again() {
    let protocol = Protocol { fresh_nonces: false, ..DESIGNED };
    breaks_in(7, &with_faults(1, &[Fault::LoseClock]), &protocol);
    breaks_in(7, &with_faults(1, &[Fault::RollBack]), &protocol);
}

#[test]
fn a_nonce_sent_again_with_a_call_whose_reply_was_lost() {
    let protocol = Protocol { fresh_nonce_per_attempt: false, ..DESIGNED };
    breaks_in(9, &with_faults(2, &[Fault::LoseReply, Fault::LoseClock]), &protocol);
    breaks_in(9, &with_faults(2, &[Fault::LoseReply, Fault::RollBack]), &protocol);
}

#[test]
fn no_replication_id() {
    let protocol = Protocol { replication_id: false, ..DESIGNED };
    breaks_in(8, &with_faults(1, &[Fault::RollBack]), &protocol);
}

/// As long as nonces are fresh, a clock that runs out costs answers only, and holds.
#[test]
fn clocks_that_run_out_although_they_had_a_change() {
    let protocol = Protocol { keeps_clocks: false, ..DESIGNED };
    let scenario = Scenario { clocks_run_out: true, ..quiet() };
    holds(&scenario, &protocol);
    breaks_in(7, &scenario, &Protocol { fresh_nonces: false, ..protocol });
    let held = Scenario { lagging_index: true, promise: Promise::Changed, updates_in_turn: true, ..scenario };
    breaks_in(7, &held, &protocol);
}

#[test]
fn no_incarnation() {
    breaks_in(7, &with_faults(1, &[Fault::LoseClock]), &Protocol { incarnation: false, ..DESIGNED });
}

#[test]
fn deleting_the_dependants_only() {
    let protocol = Protocol { read_check: false, fence: false, refuse_dead_fills: false, ..DESIGNED };
    breaks_in(6, &quiet(), &protocol);
}

/// Fills are fenced here, which is enough as long as nothing is lost.
#[test]
fn deleting_the_dependants_in_place_of_the_check_at_reading() {
    let protocol = Protocol { read_check: false, ..DESIGNED };
    holds(&quiet(), &protocol);
    breaks_in(7, &with_faults(1, &[Fault::LoseReverseSet]), &protocol);
    breaks_in(8, &with_faults(1, &[Fault::RollBack]), &protocol);
}

#[test]
fn followers_who_are_handed_the_leaders_answer() {
    breaks_in(7, &quiet(), &Protocol { outcome: FlightOutcome::CarriesTheAnswer, ..DESIGNED });
}

/// Between the moment when the fill is stored and the moment when its flight lands, an invalidation may
/// return, and a follower join.
#[test]
fn followers_who_are_handed_the_leaders_answer_if_it_was_stored() {
    breaks_in(7, &quiet(), &Protocol { outcome: FlightOutcome::CarriesWhatWasStored, ..DESIGNED });
}

#[test]
fn followers_of_a_stream_who_ask_nobody() {
    let streams = Scenario { streams: true, ..quiet() };
    breaks_in(6, &streams, &Protocol { join: Join::Nobody, ..DESIGNED });
}

/// What the clock reads when the follower joins is above the tombstone that ended what the leader has.
#[test]
fn followers_of_a_stream_who_ask_with_a_snapshot_of_their_own() {
    let streams = Scenario { streams: true, ..quiet() };
    breaks_in(6, &streams, &Protocol { join: Join::ClockWithOwnSnapshot, ..DESIGNED });
}

#[test]
fn followers_of_the_stream_of_a_proxy_where_no_versions_are_compared() {
    let proxies = Scenario { proxies: true, versions: Versions::ToldByAll, updates_in_turn: true, ..quiet() };
    let streams = Scenario { streams: true, ..proxies };
    breaks_in(7, &streams, &Protocol { compare_versions: false, ..DESIGNED });
}

#[test]
fn an_invalidation_that_returns_before_every_bucket_has_done_it() {
    let scenario = Scenario { layout: Layout::TwoBuckets, ..quiet() };
    breaks_in(6, &scenario, &Protocol { every_bucket: false, ..DESIGNED });
}

#[test]
fn marks_dropped_before_the_floor_rises() {
    let scenario = Scenario { compaction: true, ..quiet() };
    breaks_in(7, &scenario, &Protocol { low_water_mark_before_drop: false, ..DESIGNED });
}

/// An invalidation between the scan and the drop renews the tombstone that is then dropped.
#[test]
fn marks_dropped_because_of_what_a_scan_saw() {
    let scenario = Scenario { compaction: true, ..quiet() };
    breaks_in(11, &scenario, &Protocol { drop_in_one_step: false, ..DESIGNED });
}

#[test]
fn no_hold_while_retrieval_lags_behind() {
    let scenario = Scenario { lagging_index: true, promise: Promise::Changed, ..quiet() };
    breaks_in(5, &scenario, &Protocol { hold: false, ..DESIGNED });
}

#[test]
fn an_invalidation_before_retrieval_shows_the_change() {
    let scenario = Scenario { lagging_index: true, ..quiet() };
    breaks_in(6, &scenario, &Protocol { wait_for_retrieval: false, hold: false, ..DESIGNED });
    breaks_in(7, &scenario, &Protocol { wait_for_retrieval: false, ..DESIGNED });
}

#[test]
fn an_invalidation_that_ends_a_hold() {
    let scenario = Scenario { lagging_index: true, promise: Promise::Changed, touches: 1, ..quiet() };
    breaks_in(7, &scenario, &Protocol { hold_outlives_invalidation: false, ..DESIGNED });
}

#[test]
fn a_memory_tier_that_asks_nobody() {
    let scenario = Scenario { memory_tier: true, ..quiet() };
    breaks_in(6, &scenario, &Protocol { tier_validates: false, ..DESIGNED });
}

/// Two fills of one key may carry the same read version and depend on different things. If the second, which
/// is stored, does not depend on what changed, it vouches for the first, which does.
#[test]
fn a_memory_tier_that_knows_payloads_by_their_snapshot_alone() {
    let protocol = Protocol { tier_identity: Identity::ReadVersion, ..DESIGNED };
    let scenario = Scenario { memory_tier: true, ..quiet() };
    holds(&scenario, &protocol);
    breaks_in(9, &Scenario { other_sources: true, ..scenario }, &protocol);
}

#[test]
fn a_proxy_that_compares_no_versions() {
    let scenario =
        Scenario { proxies: true, versions: Versions::ToldByAll, updates_in_turn: true, ..quiet() };
    holds(&scenario, &DESIGNED);
    breaks_in(7, &scenario, &Protocol { compare_versions: false, ..DESIGNED });
}

/// While a slot moves, a script that does not name the clock may run where the clock is not, and make
/// another one.
#[test]
fn a_script_that_does_not_name_the_clock() {
    let scenario = Scenario { layout: Layout::TwoNodes, ..with_faults(1, &[Fault::MoveSlot]) };
    breaks_in(8, &scenario, &Protocol { clock_is_named: false, ..DESIGNED });
}

#[test]
fn lookups_while_an_invalidation_of_the_same_process_is_pending() {
    let scenario = Scenario { outbox: true, ..with_faults(1, &[Fault::Unreachable]) };
    breaks_in(6, &scenario, &Protocol { bypass_pending: false, ..DESIGNED });
}
