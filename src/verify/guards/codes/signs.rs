//! Signs of numbers, and comparisons with numbers.
//!
//! Only numbers that are in both questions are checked: another guard checks the rest. A relation is written
//! (`>= 5`) or said (`at least 5`). Written relations must be the same and must be in both questions. Said
//! relations may be left out ("up to 5 devices", "5 devices"); they only must not point the other way.

use super::{MOST, Sides, kept_from};
use crate::verify::guards::numbers::number_at;
use crate::verify::text::Reading;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Plain,
    Minus,
    Either,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    More,
    AtLeast,
    Less,
    AtMost,
    Not,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mention {
    value: String,
    sign: Sign,
    relation: Option<Relation>,
    /// Whether the relation is written as a sign rather than in words.
    written: bool,
}

pub(super) fn difference(asked: &Reading, cached: &Reading) -> Option<Sides> {
    let (left, right) = (mentions(asked), mentions(cached));
    let (one, other) = contradiction(&left, &right)?;
    Some((one.described(), other.described()))
}

/// A mention on each side of a number whose mentions never agree.
fn contradiction<'a>(mentions: &'a [Mention], others: &'a [Mention]) -> Option<(&'a Mention, &'a Mention)> {
    mentions.iter().find_map(|mention| {
        let same = |other: &&Mention| other.value == mention.value;
        let other = others.iter().find(same)?;
        let agrees = |one: &Mention| others.iter().filter(same).any(|other| !one.contradicts(other));
        (!mentions.iter().filter(same).any(agrees)).then_some((mention, other))
    })
}

impl Mention {
    fn contradicts(&self, other: &Self) -> bool {
        if self.sign != other.sign {
            return true;
        }
        match (self.relation, other.relation) {
            (Some(one), Some(two)) => {
                one.direction() != two.direction() || self.written && other.written && one != two
            }
            (Some(_), None) => self.written,
            (None, Some(_)) => other.written,
            (None, None) => false,
        }
    }

    fn described(&self) -> String {
        let relation = match self.relation {
            Some(Relation::More) => "> ",
            Some(Relation::AtLeast) => "≥ ",
            Some(Relation::Less) => "< ",
            Some(Relation::AtMost) => "≤ ",
            Some(Relation::Not) => "≠ ",
            None => "",
        };
        let sign = match self.sign {
            Sign::Plain => "",
            Sign::Minus => "-",
            Sign::Either => "±",
        };
        format!("`{relation}{sign}{}`", self.value)
    }
}

impl Relation {
    fn direction(self) -> u8 {
        match self {
            Self::More | Self::AtLeast => 1,
            Self::Less | Self::AtMost => 2,
            Self::Not => 3,
        }
    }
}

fn mentions(reading: &Reading) -> Vec<Mention> {
    let mut mentions = Vec::new();
    let mut at = reading.retracted();
    while at < reading.len() && mentions.len() < MOST {
        let Some((value, words)) = number_at(reading, at) else {
            at += 1;
            continue;
        };
        let gap = before(reading, at);
        let (sign, left) = sign(reading, at, gap);
        let sign = if is_below_zero(reading, at + words) { Sign::Minus } else { sign };
        let symbol = symbol(left);
        let relation = symbol.or_else(|| said(reading, at));
        mentions.push(Mention { value, sign, relation, written: symbol.is_some() });
        at += words;
    }
    mentions
}

/// The text between the number at `at` and the word before it, without what was taken back.
fn before(reading: &Reading, at: usize) -> &str {
    let start = at.checked_sub(1).map_or(0, |previous| reading.place(previous).1).max(kept_from(reading));
    reading.as_written().get(start..reading.place(at).0).unwrap_or_default()
}

/// The sign of the number at `at`, which comes after `gap`, and the part of the gap before the sign.
fn sign<'a>(reading: &Reading, at: usize, gap: &'a str) -> (Sign, &'a str) {
    const CURRENCIES: [char; 5] = ['$', '€', '£', '¥', '₹'];
    let previous = reading.text_before(at);
    let gap = gap.trim_end_matches(CURRENCIES);
    let Some(last) = gap.chars().next_back() else { return (Sign::Plain, gap) };
    let left = &gap[..gap.len() - last.len_utf8()];
    // A dash right after a word or number belongs to it: `covid-19`, `10-18`. In `UTC-2`, however, it is a
    // minus.
    let numeric = previous.bytes().all(|byte| byte.is_ascii_digit());
    let joins = left.is_empty() && at > 0 && !matches!(previous, "utc" | "gmt");
    // In `n minus 1` it is subtracted.
    let subtracted = at >= 2 && reading.text(at - 2).len() == 1;
    let sign = match last {
        '-' | '−' | '–' if !joins && (at == 0 || !numeric || left.trim_start() != "") => Sign::Minus,
        '±' => Sign::Either,
        _ if matches!(previous, "minus" | "negative") && gap.trim().is_empty() && !subtracted => Sign::Minus,
        '+' => Sign::Plain,
        _ => return (Sign::Plain, gap),
    };
    (sign, left)
}

/// Whether "below zero" is at `at`, perhaps after the unit, or `below` at the end.
fn is_below_zero(reading: &Reading, at: usize) -> bool {
    (at..at + 3).any(|at| match reading.text(at) {
        "below" if reading.is_paused_at(at + 1) => !reading.is_paused_at(at),
        "below" | "under" => matches!(reading.text(at + 1), "zero" | "0" | "freezing"),
        _ => false,
    })
}

/// The relation at the end of the text before a number.
fn symbol(gap: &str) -> Option<Relation> {
    let gap = gap.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '$' | '€' | '£' | '+'));
    let ends = |symbols: &[&str]| symbols.iter().any(|symbol| gap.ends_with(symbol));
    if ends(&["!=", "<>", "≠"]) {
        Some(Relation::Not)
    } else if ends(&[">=", "=>", "≥", "⩾"]) {
        // An arrow points to what follows and does not compare it.
        (!ends(&["==>", "->"])).then_some(Relation::AtLeast)
    } else if ends(&["<=", "=<", "≤", "⩽"]) {
        Some(Relation::AtMost)
    } else if ends(&[">"]) {
        (!ends(&["->", ">>"])).then_some(Relation::More)
    } else if ends(&["<"]) {
        (!ends(&["<<"])).then_some(Relation::Less)
    } else {
        None
    }
}

/// The relation in words right before the number at `at`.
fn said(reading: &Reading, at: usize) -> Option<Relation> {
    if at <= reading.retracted() || before(reading, at).contains([',', ';', '?', '!']) {
        return None;
    }
    let word = |back: usize| {
        let at = at.checked_sub(back).filter(|&at| at >= reading.retracted());
        at.map_or("", |at| reading.text(at))
    };
    let denied = matches!(word(3), "no" | "not" | "never");
    Some(match (word(2), word(1)) {
        ("more" | "greater" | "higher" | "larger" | "bigger" | "longer" | "older" | "later", "than") => {
            if denied {
                Relation::AtMost
            } else {
                Relation::More
            }
        }
        ("less" | "fewer" | "lower" | "smaller" | "shorter" | "younger" | "earlier", "than") => {
            if denied {
                Relation::AtLeast
            } else {
                Relation::Less
            }
        }
        ("at", "least") | ("minimum", "of") => Relation::AtLeast,
        ("at", "most") | ("up", "to") | ("maximum", "of") => Relation::AtMost,
        (before, "over" | "above" | "exceeding" | "exceeds") => {
            if matches!(before, "not" | "never") {
                Relation::AtMost
            } else {
                Relation::More
            }
        }
        (before, "under" | "below") => {
            if matches!(before, "not" | "never") {
                Relation::AtLeast
            } else {
                Relation::Less
            }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::guards::codes::differ_both_ways;

    fn differ(a: &str, b: &str) -> bool {
        differ_both_ways(difference, a, b)
    }

    #[test]
    fn another_sign_or_relation_is_another_question() {
        for (a, b) in [
            ("orders > 100", "orders < 100"),
            ("orders > 100", "orders under 100"),
            ("orders >= 100", "orders <= 100"),
            ("orders > 100", "orders >= 100"),
            ("orders >100", "orders 100"),
            ("x != 5", "x = 5"),
            ("x ≠ 5", "x = 5"),
            ("more than 100 orders", "fewer than 100 orders"),
            ("at least 3 letters", "at most 3 letters"),
            ("no more than 3 letters", "more than 3 letters"),
            ("store at -18 degrees", "store at 18 degrees"),
            ("store at minus 18", "store at 18"),
            ("18 degrees below zero", "18 degrees"),
            ("adjust by +1", "adjust by -1"),
            ("adjust by ±5", "adjust by 5"),
            ("time in UTC+2", "time in UTC-2"),
            ("a balance of -$5", "a balance of $5"),
        ] {
            assert!(differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn one_relation_has_many_wordings() {
        for (a, b) in [
            ("orders > 100", "orders over 100"),
            ("orders ≥ 100", "orders of at least 100"),
            ("no more than 3 letters", "up to 3 letters"),
            ("no less than 3 letters", "at least 3 letters"),
            ("up to 5 devices", "5 devices"),
            ("store at -18 °C", "store at minus 18 °C"),
            ("18 below zero", "-18"),
            ("UTC+2", "UTC +2"),
            ("covid-19", "covid 19"),
            ("ages 10-18", "ages 10 to 18"),
            ("ages 10 - 18", "ages 10 to 18"),
            ("> 5 or < 5", "< 5 or > 5"),
            ("divide by n-1", "divide by n minus 1"),
            ("between -1 and 1/2", "from -1 to 0.5"),
            ("minus twenty-five degrees", "twenty-five below"),
            ("fewer, no, greater than 1", "greater than 1"),
            ("step 1 -> 2", "step 1 to 2"),
            ("phone +1 800", "phone 1 800"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }
}
