//! The freshness protocol, checked in every order in which things can happen.
//!
//! A small model of the protocol is searched exhaustively, every interleaving of every step, for an answer
//! that breaks the promise: that a request is never served a version of the document older than the
//! newest whose invalidation had returned before the request started. The search is breadth first, so
//! that what it finds is as short as can be.
//!
//! # What is modelled
//!
//! - One document, which changes, and is invalidated, several times; the changes may overlap.
//! - Readers, which look up, retrieve, make an answer and fill, and may be gone at any moment. Answers
//!   that a reader made itself need no check: whatever it retrieved was there after its request began.
//! - What a server keeps: per bucket the clock with its replication id, incarnation, sequence, low-water mark
//!   and tombstone, one entry, and the stampede lock. Each script is one atomic step.
//! - What goes wrong: see [`Fault`]. Entries vanish for free, by expiry, eviction or a drain.
//! - What else a [`Scenario`] turns on: two buckets, a slot that moves between two nodes, compaction, clocks
//!   that run out, a retrieval index that lags behind the source, holds, registered versions, a memory tier, refreshes,
//!   readers behind a proxy, followers of a stream, an outbox for invalidations that did not get through.
//!
//! # What is left out
//!
//! - Wall time: whatever may take long may take forever, and what expires may do so at once.
//! - Other names that an answer may depend on: it is live when it is for each of them. A change of
//!   everything is an invalidation after which the low-water mark rises. A script that applies many changes,
//!   and gives them one tombstone, is one step as well: to each document it is an invalidation after which
//!   the clock has counted further, as it has after others.
//! - The search by meaning: a candidate is fetched and checked like any other entry.
//! - Calls in transit: that a reply is on its way matters only if it is lost, and that is a fault.
//! - Hash collisions, damaged memory, a primary that serves on while it is cut off from its cluster.
//! - Stores other than a server: the same clock in one process is this without most of the faults.
//!
//! # Where to look
//!
//! [`designed`] has the protocol as it is, which holds; [`weakened`] leaves out one part at a time, and each
//! is missed; [`limits`] shows where the promise of a part ends, with what would be needed beyond.
//!
//! `cargo test --test model -- --nocapture` prints how much was searched, and the traces. In a trace, readers
//! have letters and updaters numbers, `(i1, 2)` is the read version of incarnation 1 and sequence 2, version
//! 0 of the document is what it begins with, and a place is a bucket, or a node where a slot moves.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod designed;
mod limits;
mod lookups;
mod names;
mod protocol;
mod readers;
mod search;
mod server;
mod state;
mod steps;
mod streams;
mod surroundings;
mod trace;
mod updaters;
mod weakened;

use crate::protocol::{Fault, Protocol, Scenario};
use crate::search::{Report, search};

/// Everything that can happen to one server and to the calls to it.
const LOSSES: &[Fault] = &[
    Fault::RollBack,
    Fault::FlushAll,
    Fault::LoseClock,
    Fault::LoseReverseSet,
    Fault::LoseReply,
    Fault::LateRepeat,
];

fn quiet() -> Scenario {
    Scenario::default()
}

fn with_faults(faults: u8, kinds: &'static [Fault]) -> Scenario {
    Scenario { faults, kinds, ..quiet() }
}

/// Expects that nothing stale is ever served, and that something is.
fn holds(scenario: &Scenario, protocol: &Protocol) {
    let report = search(scenario, protocol);
    print(&report);
    assert!(report.counterexample.is_none(), "{report}");
    assert!(report.served_updated > 0, "a cache that serves nothing is always fresh: {report}");
}

/// Expects that something stale can be served, after this many steps and no fewer.
fn breaks_in(steps: usize, scenario: &Scenario, protocol: &Protocol) {
    let report = search(scenario, protocol);
    print(&report);
    assert_eq!(report.counterexample.as_ref().map(Vec::len), Some(steps), "{report}");
}

fn print(report: &Report) {
    let thread = std::thread::current();
    eprintln!("{}: {report}", thread.name().unwrap_or_default());
}
