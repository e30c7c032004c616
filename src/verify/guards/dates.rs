//! Whether two questions name different times: months, weekdays, seasons, or words such as `yesterday`.
//!
//! A time that was taken back does not count if one of its kind replaced it ("a monthly, no wait, a yearly
//! plan").
//!
//! Years and days of the month are numbers, and the guard on numbers checks them. A month or weekday must be
//! in both questions. Of relative times ("now", "last year") only contradictions count, because a question
//! without a time asks about the present.

use super::foreign::{self, Times};
use crate::verify::text::{Comparison, Reading};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mention {
    time: &'static str,
    retracted: bool,
}

/// How the times differ, if they do.
pub(super) fn difference(comparison: &Comparison) -> Option<String> {
    let (asked, cached) = (&comparison.asked, &comparison.cached);
    contradiction(&fixed(asked), &fixed(cached), true)
        .or_else(|| contradiction(&relative(asked), &relative(cached), false))
        .map(|(one, other)| format!("times differ: {one} against {other}"))
}

/// Whether each question names a time that the other does not.
pub(super) fn contradict(comparison: &Comparison) -> bool {
    let (asked, cached) = (&comparison.asked, &comparison.cached);
    contradiction(&fixed(asked), &fixed(cached), false).is_some()
        || contradiction(&relative(asked), &relative(cached), false).is_some()
}

/// The first time of each question that the other does not name; `none` for a question without one, where
/// `missed`.
fn contradiction(
    asked: &[Mention],
    cached: &[Mention],
    missed: bool,
) -> Option<(&'static str, &'static str)> {
    let left = lacking(asked, cached);
    let right = lacking(cached, asked);
    match (left, right) {
        (None, None) => None,
        (Some(left), Some(right)) => Some((left, right)),
        (left, right) => missed.then(|| (left.unwrap_or("none"), right.unwrap_or("none"))),
    }
}

fn lacking(mentions: &[Mention], others: &[Mention]) -> Option<&'static str> {
    let missed =
        |mention: &&Mention| !mention.retracted && others.iter().all(|other| other.time != mention.time);
    mentions.iter().find(missed).map(|mention| mention.time)
}

fn fixed(reading: &Reading) -> Vec<Mention> {
    #[rustfmt::skip]
    const TIMES: &[(&str, &[&str])] = &[
        ("january", &["january", "jan"]), ("february", &["february", "feb"]), ("march", &["march"]), ("april", &["april"]),
        ("may", &["may"]), ("june", &["june"]), ("july", &["july"]), ("august", &["august"]),
        ("september", &["september", "sept"]), ("october", &["october"]), ("november", &["november"]),
        ("december", &["december"]), ("monday", &["monday", "mondays"]), ("tuesday", &["tuesday", "tuesdays"]),
        ("wednesday", &["wednesday", "wednesdays"]), ("thursday", &["thursday", "thursdays"]),
        ("friday", &["friday", "fridays"]), ("saturday", &["saturday", "saturdays"]), ("sunday", &["sunday", "sundays"]),
    ];
    mentions(reading, (TIMES, Times::Fixed), |at, word| match word {
        // Verbs and adjectives, unless a date follows or a capital within the sentence shows that they are
        // months.
        "may" | "march" | "august" => {
            // "May I" begins a sentence.
            let starts = at == 0 || reading.gap_before(at).contains(['.', '?', '!', ':']);
            !starts && reading.get(at).is_some_and(|word| word.capitalised)
                || reading.text(at + 1).starts_with(|c: char| c.is_ascii_digit())
        }
        _ => true,
    })
}

fn relative(reading: &Reading) -> Vec<Mention> {
    #[rustfmt::skip]
    const TIMES: &[(&str, &[&str])] = &[
        ("now", &["now", "current", "currently", "today", "present", "nowadays"]), ("yesterday", &["yesterday"]),
        ("tomorrow", &["tomorrow"]), ("before", &["previous", "previously", "former", "formerly"]),
        ("next", &["next", "upcoming"]), ("spring", &["spring"]), ("summer", &["summer"]),
        ("autumn", &["autumn"]), ("winter", &["winter"]), ("morning", &["morning", "mornings"]),
        ("evening", &["evening", "evenings"]), ("daily", &["daily"]), ("weekly", &["weekly"]),
        ("monthly", &["monthly"]), ("yearly", &["yearly", "annual", "annually"]),
    ];
    mentions(reading, (TIMES, Times::Relative), |_, _| true)
}

fn mentions(
    reading: &Reading,
    (times, kind_of_times): (&[(&'static str, &[&str])], Times),
    counts: impl Fn(usize, &str) -> bool,
) -> Vec<Mention> {
    let foreign = |word: &str| foreign::time(kind_of_times, word, reading.detected().language);
    let english = |at: usize, word: &str| {
        let (time, _) = times.iter().find(|(_, spellings)| spellings.contains(&word))?;
        (reading.foreign().is_none() && counts(at, reading.text(at))).then_some(*time)
    };
    let mut mentions: Vec<Mention> = reading
        .words()
        .enumerate()
        .filter_map(|(at, word)| {
            let named = word.text.strip_suffix("'s").unwrap_or(word.text);
            let is_rio = word.text == "janeiro" && at >= 2 && reading.text(at - 2) == "rio";
            let time = english(at, named).or_else(|| foreign(word.text).filter(|_| !is_rio))?;
            Some(Mention { time, retracted: reading.is_retracted(at) })
        })
        .collect();
    mentions.extend(foreign::written(kind_of_times, reading).map(|time| Mention { time, retracted: false }));
    let kept: Vec<u8> =
        mentions.iter().filter(|mention| !mention.retracted).map(|mention| kind(mention.time)).collect();
    mentions.retain(|mention| !mention.retracted || !kept.contains(&kind(mention.time)));
    mentions
}

/// Which times can replace each other in a correction.
fn kind(time: &str) -> u8 {
    match time {
        "spring" | "summer" | "autumn" | "winter" => 0,
        "morning" | "evening" => 1,
        "daily" | "weekly" | "monthly" | "yearly" => 2,
        "now" | "yesterday" | "tomorrow" | "before" | "next" => 3,
        day if day.ends_with("day") => 4,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(a: &str, b: &str) -> bool {
        difference(&Comparison::of(a, b)).is_some()
    }

    #[test]
    fn other_times_make_another_question() {
        for (a, b) in [
            ("Is the office open on Monday?", "Is the office open on Sunday?"),
            ("What happened in June?", "What happened?"),
            ("Who is the current coach?", "Who is the former coach?"),
            ("Where is the weekly report?", "Where is the monthly report?"),
            ("What opens in May 2020?", "What opens in March 2020?"),
            ("a monthly, no wait, a yearly plan", "a monthly plan"),
            ("open on Monday, no sorry, on Sunday", "open on Monday"),
        ] {
            assert!(differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn the_present_need_not_be_named_and_verbs_are_no_months() {
        for (a, b) in [
            ("Who is the current coach?", "Who is the coach?"),
            ("Who is the coach now?", "Who is currently the coach?"),
            ("May I march here?", "Can I walk here?"),
            ("Is it open on Monday, no wait, on Sunday?", "Is it open on Sunday?"),
            ("in jan 2020", "in January 2020"),
            ("Can Saturday's maintenance be moved?", "Can the maintenance on Saturday be moved?"),
            ("a monthly, no wait, a yearly plan", "a yearly plan"),
            ("in June on Monday, no sorry, on Sunday", "in June on Sunday"),
            ("My car is broken. May I drive it?", "Can I drive a broken car?"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }
}
