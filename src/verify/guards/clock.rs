//! Times of day: `7 am`, `7:30 p.m.`, `19:00`.
//!
//! A time up to `12:59` without `am` or `pm` may be either, unless a leading zero shows the 24-hour clock. A
//! bare hour is a number until the other question shows that it is a time.

use crate::verify::text::Reading;

/// A time of day, in minutes from midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    minutes: u16,
    /// Whether it may also be the time twelve hours away.
    either_half: bool,
}

impl Clock {
    /// The time that begins at `position`, and how many words it takes.
    pub(super) fn at(reading: &Reading, position: usize) -> Option<(Self, usize)> {
        let word = reading.text(position);
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let (number, suffix) = word.split_at(digits);
        let hour: u16 = number.parse().ok().filter(|_| digits <= 2)?;
        if suffix.is_empty() && matches!(reading.gap_after(position), ":") {
            let next = reading.text(position + 1);
            let (minutes, suffix) = next.split_at_checked(2)?;
            let minutes: u16 = minutes.parse().ok().filter(|&minutes| minutes < 60)?;
            let counts = suffix.is_empty() || matches!(suffix, "am" | "pm");
            if !counts || hour > 23 {
                return None;
            }
            let (half, words) = half_of_day(reading, position + 2, suffix);
            // `10:30:15`, `1:10:100`.
            let goes_on = words == 0 && suffix.is_empty() && reading.gap_after(position + 1) == ":";
            let full = hour > 12 || hour == 0 || number.starts_with('0');
            return (!goes_on).then(|| (Self::of(hour, minutes, half, full), 2 + words));
        }
        // `7.30 pm` is read as one number.
        if let Some(minutes) = suffix.strip_prefix('.') {
            let (minutes, suffix) = minutes.split_at_checked(2)?;
            let minutes: u16 = minutes.parse().ok().filter(|&minutes| minutes < 60)?;
            let (half, words) = half_of_day(reading, position + 1, suffix);
            return (half.is_some() && hour <= 12).then(|| (Self::of(hour, minutes, half, false), 1 + words));
        }
        let (half, words) = half_of_day(reading, position + 1, suffix);
        (half.is_some() && hour <= 12).then(|| (Self::of(hour, 0, half, false), 1 + words))
    }

    fn of(hour: u16, minutes: u16, half: Option<Half>, full: bool) -> Self {
        let hours = match half {
            Some(Half::Morning) => hour % 12,
            Some(Half::Afternoon) => hour % 12 + 12,
            None => hour,
        };
        Self { minutes: hours * 60 + minutes, either_half: half.is_none() && !full }
    }

    /// Whether the two can be the same time.
    pub(super) fn matches(self, other: Self) -> bool {
        const HALF: u16 = 12 * 60;
        let either = self.either_half || other.either_half;
        self.minutes == other.minutes || either && self.minutes % HALF == other.minutes % HALF
    }

    /// Whether it can be the full hour of this number.
    pub(super) fn is_hour(self, number: &str) -> bool {
        let hour = number.parse::<u16>().ok().filter(|&hour| hour <= 24);
        hour.is_some_and(|hour| {
            self.matches(Self { minutes: hour % 24 * 60, either_half: (1..=12).contains(&hour) })
        })
    }

    /// The time in the form in which it is shown.
    pub(super) fn value(self) -> String {
        format!("{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Morning,
    Afternoon,
}

/// Which half of the day `suffix` or the words at `position` give, and how many words they take.
fn half_of_day(reading: &Reading, position: usize, suffix: &str) -> (Option<Half>, usize) {
    let of = |text: &str| match text {
        "am" | "a" => Some(Half::Morning),
        "pm" | "p" => Some(Half::Afternoon),
        _ => None,
    };
    if matches!(suffix, "am" | "pm") {
        return (of(suffix), 0);
    }
    let apart = reading.gap_before(position).trim().is_empty();
    // `7 p.m.` is read as the words `p` and `m`; the first may be joined to the number.
    let dotted = |at: usize| reading.text(at) == "m" && reading.gap_before(at) == ".";
    match (suffix, reading.text(position)) {
        ("", word @ ("am" | "pm")) if apart => (of(word), 1),
        ("", word @ ("a" | "p")) if apart && dotted(position + 1) => (of(word), 2),
        ("a" | "p", _) if dotted(position) => (of(suffix), 1),
        _ => (None, 0),
    }
}
