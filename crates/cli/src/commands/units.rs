//! Numbers as people read them: a few digits and a unit.

use std::time::{Duration, UNIX_EPOCH};

use wellspring::clock::Timestamp;
use wellspring::key::EntryId;

/// The last second that RFC 3339 can write, in the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// The first digits of an id: enough to name it in `sources`.
pub(crate) fn short(id: EntryId) -> String {
    let mut id = id.to_string();
    id.truncate(8);
    id
}

/// A span of time in its largest unit, with the next one where it matters: `42s`, `55m`, `5h 52m`, `12d`.
pub(crate) fn span(duration: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let seconds = duration.as_secs();
    let unit = UNITS.iter().position(|(length, _)| seconds >= *length).unwrap_or(UNITS.len() - 1);
    let (length, name) = UNITS[unit];
    let whole = seconds / length;
    match UNITS.get(unit + 1).map(|(smaller, name)| (seconds % length / smaller, name)) {
        Some((rest, smaller)) if whole < 10 && rest > 0 => format!("{whole}{name} {rest}{smaller}"),
        _ => format!("{whole}{name}"),
    }
}

/// US dollars.
pub(crate) fn dollars(usd: f64) -> String {
    if usd < 1.0 { format!("${usd:.4}") } else { format!("${usd:.2}") }
}

/// How long something took: `312 µs`, `1.8 ms`, `2.3 s`.
pub(crate) fn elapsed(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    match micros {
        micros if micros < 1_000.0 => format!("{micros:.0} µs"),
        micros if micros < 1_000_000.0 => format!("{:.1} ms", micros / 1e3),
        micros => format!("{:.1} s", micros / 1e6),
    }
}

/// A size: `640 B`, `1.5 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// A count with separators: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}

/// `1 answer`, `2 answers`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A point in time as RFC 3339 in UTC.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let time = Duration::from_millis(time.as_millis()).min(Duration::from_secs(LAST_SECOND));
    humantime::format_rfc3339_millis(UNIX_EPOCH + time).to_string()
}

/// Reads what [`rfc3339`] writes; none for anything else or before 1970.
pub(crate) fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let since = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(u64::try_from(since.as_millis()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (61, "1m 1s"), (3_300, "55m"), (21_120, "5h 52m"), (259_200, "3d")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        assert_eq!([0.0123, 12.0].map(dollars), ["$0.0123", "$12.00"]);
        assert_eq!(elapsed(Duration::from_micros(312)), "312 µs");
        assert_eq!(elapsed(Duration::from_micros(1_840)), "1.8 ms");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1 << 30), "1.0 GiB");
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([1, 2].map(|n| counted(n, "answer")), ["1 answer", "2 answers"]);
    }

    #[test]
    fn times_round_trip() {
        let time = Timestamp::from_millis(1_763_712_000_123);
        assert_eq!(rfc3339(time), "2025-11-21T08:00:00.123Z");
        assert_eq!(parse_rfc3339(&rfc3339(time)), Some(time));
        assert_eq!(rfc3339(Timestamp::from_millis(u64::MAX)), "9999-12-31T23:59:59.000Z");
        assert_eq!(parse_rfc3339("1969-12-31T23:59:59Z"), None);
        assert_eq!(parse_rfc3339("yesterday"), None);
    }
}
