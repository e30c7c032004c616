//! The table at the end.

use std::fmt::Write as _;

use crate::counts::Counts;
use crate::crew::Outcome;

/// The table of what was found under each fault, with the sum of all.
pub(crate) fn table(seed: u64, outcomes: &[(&str, Outcome)]) -> String {
    let mut text = format!("WELLSPRING_SEED={seed}\n");
    let _ = writeln!(
        text,
        "{:<34} {:>5} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>6} {:>5} {:>6} {:>9} {:>9}  bypassed",
        "fault",
        "s",
        "faults",
        "exact",
        "semantic",
        "followed",
        "made",
        "stored",
        "changes",
        "incom.",
        "stale",
        "errors",
        "bypass ms",
        "wait ms",
    );
    let mut total = Counts::default();
    let (mut seconds, mut faults) = (0.0, 0);
    for (name, outcome) in outcomes {
        total.add(&outcome.counts);
        seconds += outcome.time.as_secs_f64();
        faults += outcome.faults;
        row(&mut text, name, outcome.time.as_secs_f64(), outcome.faults, &outcome.counts);
    }
    row(&mut text, "all", seconds, faults, &total);
    let _ =
        writeln!(text, "{} answers from the cache were checked, {} were stale", total.checked(), total.stale);
    text
}

fn row(text: &mut String, name: &str, seconds: f64, faults: u64, counts: &Counts) {
    let bypassed: Vec<String> =
        counts.bypassed.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let _ = writeln!(
        text,
        "{name:<34} {seconds:>5.1} {faults:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>6} {:>5} {:>6} {:>9.1} {:>9.1}  {}",
        counts.exact,
        counts.semantic,
        counts.coalesced,
        counts.made,
        counts.stored,
        counts.invalidated,
        counts.incomplete,
        counts.stale,
        counts.errors,
        counts.bypass_us as f64 / 1e3,
        counts.wait_us as f64 / 1e3,
        bypassed.join(", "),
    );
}
