//! Whether the questions ask for different kinds of answers: `who` against `when`.
//!
//! Only kinds that exclude each other count. `what` and `which` fit every kind, unless the noun after them
//! decides: "what year" asks when. If a question corrects itself, it is read from the correction on.

use crate::verify::text::{Comparison, Reading};

/// What kind of answer a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verify) enum AskedFor {
    /// A person.
    Who,
    /// A time.
    When,
    /// A place.
    Where,
    /// A number or amount.
    HowMany,
    /// A duration, distance or another measure.
    Measure,
    /// A reason.
    Why,
    /// A way.
    How,
    /// Yes or no.
    Whether,
    /// A thing: `what`, `which`.
    Thing,
}

/// Which kinds of answers the questions ask for, if these exclude each other.
pub(super) fn difference(comparison: &Comparison) -> Option<String> {
    let (asked, cached) = kinds(comparison)?;
    excludes(asked, cached).then(|| format!("asks for {} against {}", described(asked), described(cached)))
}

/// The kinds that the two questions ask for, if both show it.
pub(in crate::verify) fn kinds(comparison: &Comparison) -> Option<(AskedFor, AskedFor)> {
    Some((AskedFor::of(&comparison.asked)?, AskedFor::of(&comparison.cached)?))
}

/// Whether no answer is of both kinds.
pub(in crate::verify) fn excludes(one: AskedFor, other: AskedFor) -> bool {
    use AskedFor::{How, Measure, Thing, Whether};
    // "What" also asks for persons, and "how come" for a reason.
    let open = |kind| matches!(kind, Thing | Whether | How | Measure);
    one != other && !open(one) && !open(other)
}

fn described(kind: AskedFor) -> &'static str {
    match kind {
        AskedFor::Who => "a person",
        AskedFor::When => "a time",
        AskedFor::Where => "a place",
        AskedFor::HowMany => "a number",
        AskedFor::Measure => "a measure",
        AskedFor::Why => "a reason",
        AskedFor::How => "a way",
        AskedFor::Whether => "yes or no",
        AskedFor::Thing => "a thing",
    }
}

impl AskedFor {
    /// The kind that `reading` asks for, by the first question word that was not taken back.
    pub(in crate::verify) fn of(reading: &Reading) -> Option<Self> {
        let kept = reading.retracted()..reading.len();
        let found = kept.clone().find_map(|at| Self::at(reading, at));
        found
            .or_else(|| (0..reading.retracted()).find_map(|at| Self::at(reading, at)))
            .or_else(|| kept.into_iter().next().filter(|&at| opens(reading.text(at))).map(|_| Self::Whether))
    }

    fn at(reading: &Reading, at: usize) -> Option<Self> {
        Some(match reading.text(at) {
            "who" | "whom" | "who's" | "whose" => Self::Who,
            "when" => Self::When,
            "where" => Self::Where,
            "why" => Self::Why,
            "what" | "which" | "what's" => Self::named(reading.text(at + 1)),
            "how" => match reading.text(at + 1) {
                "many" | "much" => Self::HowMany,
                "long" | "far" | "old" | "big" | "tall" | "high" | "often" | "large" | "fast" | "deep" => {
                    Self::Measure
                }
                "come" => Self::Why,
                _ => Self::How,
            },
            _ => return None,
        })
    }

    /// The kind that `what` or `which` asks for before `noun`.
    fn named(noun: &str) -> Self {
        match noun {
            "year" | "years" | "month" | "day" | "date" | "time" | "century" | "decade" | "era" => Self::When,
            "city" | "country" | "place" | "state" | "town" | "location" | "continent" | "county" => {
                Self::Where
            }
            "person" | "people" | "man" | "woman" => Self::Who,
            "percentage" | "percent" | "number" | "amount" => Self::HowMany,
            "reason" => Self::Why,
            _ => Self::Thing,
        }
    }
}

/// Whether a question that begins with `word` asks for yes or no.
fn opens(word: &str) -> bool {
    matches!(
        word,
        "is" | "are"
            | "was"
            | "were"
            | "do"
            | "does"
            | "did"
            | "can"
            | "could"
            | "will"
            | "would"
            | "should"
            | "has"
            | "have"
            | "had"
            | "may"
            | "must"
            | "isn't"
            | "aren't"
            | "doesn't"
            | "don't"
            | "didn't"
            | "can't"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(a: &str, b: &str) -> bool {
        difference(&Comparison::of(a, b)).is_some()
    }

    #[test]
    fn kinds_that_exclude_each_other_are_different_questions() {
        for (a, b) in [
            ("Who founded Warsaw?", "When was Warsaw founded?"),
            ("Where was the treaty signed?", "In what year was the treaty signed?"),
            ("Why did they leave?", "When did they leave?"),
            ("How many people live there?", "Who lives there?"),
            ("Who, no sorry, when did they leave?", "Who left?"),
        ] {
            assert!(differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn kinds_that_one_answer_can_serve_are_not() {
        for (a, b) in [
            ("When did it end?", "In which year did it end?"),
            ("Where is it?", "What city is it in?"),
            ("What is the tallest mountain?", "Which mountain is the tallest?"),
            ("Who, no sorry, when did they leave?", "When did they leave?"),
            ("How do I log in?", "Can I log in?"),
            ("What was his name?", "Who was he?"),
            ("Poland's capital?", "Where is Poland's capital?"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }
}
