//! How much the cache is used while unrelated processes compete for every core.
//!
//! Four processes ask one server, and threads that never rest run beside them: none, then as many as there are cores,
//! four times and ten times as many. `make starved` measures it; `WELLSPRING_STARVED_SECONDS` is how long each load
//! lasts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::counts::Counts;
use crate::crew::{Crew, Effort};
use crate::plan::Plan;
use crate::support::servers::Server;

const LOADS: [usize; 4] = [0, 1, 4, 10];
const WORKERS: usize = 4;
/// How long each of the tasks rests at most between two questions: together, they take about a core.
const RESTS: Duration = Duration::from_millis(20);
/// The longest that everything may take.
const PATIENCE: Duration = Duration::from_hours(1);
/// The time for requests to end that were in progress when the load began.
const SETTLING: Duration = Duration::from_secs(3);

fn seconds() -> Duration {
    let seconds = std::env::var("WELLSPRING_STARVED_SECONDS").ok();
    Duration::from_secs_f64(seconds.map_or(20.0, |seconds| seconds.parse().expect("a number")))
}

fn bypassed(counts: &Counts) -> u64 {
    counts.bypassed.values().sum()
}

fn lookups(counts: &Counts) -> u64 {
    counts.checked() + counts.made + bypassed(counts)
}

/// What happened between two moments.
fn between(before: &Counts, after: &Counts) -> (u64, u64, String) {
    let reasons = after.bypassed.iter().map(|(reason, count)| {
        format!("{reason} {}", count - before.bypassed.get(reason).copied().unwrap_or_default())
    });
    (
        after.checked() - before.checked(),
        lookups(after) - lookups(before),
        reasons.collect::<Vec<_>>().join(", "),
    )
}

/// Runs `work` beside `threads` that never rest.
fn beside<T>(threads: usize, work: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let result = work();
        is_over.store(true, Ordering::Relaxed);
        result
    })
}

#[test]
#[ignore = "it takes every core for minutes: make starved"]
fn hits_beside_busy_threads() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let server = Server::start();
    let effort = Effort { seed: crate::seed(), workers: WORKERS, time: PATIENCE, checks: 0 };
    let plan = Plan {
        answers_take: Duration::from_secs(1),
        rests: RESTS,
        gives_up: 0.0,
        updates: false,
        command_timeout: None,
        ..Plan::at(vec![server.url()])
    };
    let mut crew = Crew::start(effort, plan);
    // Until nearly everything that is asked was answered before.
    loop {
        let before = crew.counts();
        crew.pass(2_000..2_001);
        let (hits, lookups, _) = between(&before, &crew.counts());
        if lookups > 100 && hits * 100 >= lookups * 99 {
            break;
        }
        assert!(crew.goes_on(), "the cache does not fill: {:?}", crew.counts());
    }
    eprintln!("{cores} cores, {WORKERS} processes, answers that take a second");
    eprintln!("{:>12} {:>8} {:>8} {:>8}  bypassed", "busy threads", "lookups", "hits", "share");
    for load in LOADS {
        let (hits, lookups, reasons) = beside(load * cores, || {
            std::thread::sleep(SETTLING);
            let before = crew.counts();
            let until = Instant::now() + seconds();
            while Instant::now() < until {
                std::thread::sleep(Duration::from_millis(100));
            }
            between(&before, &crew.counts())
        });
        let share = 100.0 * hits as f64 / lookups.max(1) as f64;
        eprintln!("{load:>10} × {lookups:>8} {hits:>8} {share:>6.1} %  {reasons}");
    }
    let outcome = crew.finish();
    assert_eq!(outcome.counts.stale, 0, "{:?}", outcome.counts.first_stale);
    assert_eq!(outcome.counts.errors, 0, "{:?}", outcome.counts.first_error);
}
