//! The promise itself, over several processes and real servers that fail.
//!
//! Each process asks, fills slowly, gives up, updates documents and holds them, all at random. The fake LLM writes the
//! document versions that it read into its answer, and the checker requires, for every answer that is served from the
//! cache, that each version is at least the highest whose invalidation had returned, in whichever process, before the
//! request began. Meanwhile servers are killed, rolled back, emptied, filled up, replaced, stopped and cut off.
//!
//! `WELLSPRING_SEED` sets the seed, which is printed, `WELLSPRING_CHAOS_SECONDS` how long all faults take together
//! (then with eight processes, and a report in `target/`), and `WELLSPRING_CHAOS_ONLY` which faults, by a part of
//! their names. The seed gives each task the same steps again; how they interleave is up to processes and servers.

#![cfg(all(unix, feature = "embedded", feature = "valkey"))]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use wellspring_test_support as support;

mod asking;
mod clocks;
mod controls;
mod counts;
mod crew;
mod outbox;
mod plan;
mod question;
mod report;
mod scenarios;
mod starved;
mod updating;
mod worker;
mod world;

use std::sync::Mutex;
use std::time::Duration;

use crate::crew::{Effort, Outcome};

fn seed() -> u64 {
    let seed = std::env::var("WELLSPRING_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed = seed.unwrap_or_else(rand::random);
    eprintln!("WELLSPRING_SEED={seed}");
    seed
}

/// How long all scenarios take together, if set.
fn long() -> Option<Duration> {
    let seconds = std::env::var("WELLSPRING_CHAOS_SECONDS").ok()?;
    Some(Duration::from_secs_f64(seconds.parse().expect("a number")))
}

/// The scenarios that are to be played.
fn chosen() -> Vec<&'static scenarios::Scenario> {
    let only = std::env::var("WELLSPRING_CHAOS_ONLY").unwrap_or_default();
    scenarios::ALL.iter().filter(|scenario| scenario.name.contains(&only)).collect()
}

#[test]
fn nothing_stale_under_any_fault() {
    let seed = seed();
    let chosen = chosen();
    let effort = match long() {
        Some(time) => {
            let time = time.div_f64(chosen.len() as f64);
            Effort { seed, workers: 8, time, checks: 1_000 }
        }
        None => Effort { seed, workers: 3, time: Duration::from_secs(2), checks: 1_000 },
    };
    // Two at a time where each is short, most of which is waiting for servers.
    let players = if long().is_some() { 1 } else { 2 };
    let next = Mutex::new(chosen.iter().enumerate());
    let outcomes: Mutex<Vec<(usize, (&str, Outcome))>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..players {
            scope.spawn(|| {
                while let Some((n, scenario)) = { next.lock().unwrap().next() } {
                    let outcome = (scenario.play)(effort);
                    outcomes.lock().unwrap().push((n, (scenario.name, outcome)));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap();
    outcomes.sort_by_key(|(n, _)| *n);
    let outcomes: Vec<_> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    let table = report::table(seed, &outcomes);
    eprintln!("{table}");
    if long().is_some() {
        let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("chaos-report.txt");
        std::fs::write(&target, &table).unwrap();
    }
    for (name, Outcome { counts, .. }) in &outcomes {
        assert_eq!(counts.stale, 0, "{name}: {:?}", counts.first_stale);
        assert_eq!(counts.errors, 0, "{name}: {:?}", counts.first_error);
        assert!(effort.is_done(counts), "{name}: too little was checked or invalidated: {counts:?}");
    }
}
