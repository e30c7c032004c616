//! Whether one question is negated and the other is not.
//!
//! Negations are counted: two in one question cancel each other, as in "nobody does not". A contraction that
//! opens a question ("Isn't it true that…") and a tag that ends it ("…, isn't it?") do not change what it
//! asks. If a question corrects itself, a negation before the correction may or may not hold, and so may one
//! that belongs to the correction ("no sorry, not there"): either reading is accepted, unless what was
//! negated is said again, and thus replaced ("without a window, no, with a window").
//!
//! Other words negate in the same way: `hardly`, `fail to`, `lack of`, `unless`, `except`. If speakers do not
//! know something ("I don't know", "no idea why"), this does not negate what they ask, and neither does a
//! contrast at the end of a clause ("it blinks, not shines"). `few` is not a negation, but another amount
//! than `a few`.
//!
//! For [other languages](super::foreign) only the words that negate are known.

use super::foreign::{Negation, negation};
use crate::verify::text::{Alignment, Reading, is_content};

/// The parity of the negations in a question, and the words that determine it.
#[derive(Debug)]
struct Polarity<'a> {
    cues: Vec<&'a str>,
    /// Whether the number of negations is odd; none if it depends on what was taken back.
    is_negated: Option<bool>,
}

/// How the negations of the two questions differ, if they do.
pub(super) fn difference(question: &Reading, cached: &Reading) -> Option<String> {
    if let Some(amount) = other_amount(question, cached) {
        return Some(format!("negation differs: `{amount}` with an article against without"));
    }
    let (asked, answered) = (polarity(question), polarity(cached));
    let (left, right) = (asked.is_negated?, answered.is_negated?);
    (left != right).then(|| {
        format!("negation differs: {} against {}", described(&asked.cues), described(&answered.cues))
    })
}

/// `few` or `little` before a word that the other question has after `a few` or `a little`.
fn other_amount(question: &Reading, cached: &Reading) -> Option<&'static str> {
    /// The most words that are compared with each other; the same limit on both sides keeps a question equal
    /// to itself.
    const MOST: usize = 64;
    let of = |reading: &Reading, amount: &str, article: bool| -> Vec<String> {
        (reading.retracted()..reading.len())
            .filter(|&at| reading.text(at) == amount && (reading.text_before(at) == "a") == article)
            .map(|at| reading.text(at + 1).to_owned())
            .take(MOST)
            .collect()
    };
    ["few", "little"].into_iter().find(|amount| {
        let sides = [question, cached].map(|reading| [of(reading, amount, true), of(reading, amount, false)]);
        let [[a, none], [other_a, other_none]] = sides;
        let against = |one: &[String], other: &[String]| {
            one.iter().any(|word| !word.is_empty() && other.contains(word))
        };
        let both = |a: &[String], none: &[String]| !a.is_empty() && !none.is_empty();
        !both(&a, &none)
            && !both(&other_a, &other_none)
            && (against(&a, &other_none) || against(&none, &other_a))
    })
}

fn described(cues: &[&str]) -> String {
    const SHOWN: usize = 4;
    if cues.is_empty() { "none".into() } else { format!("`{}`", cues[..cues.len().min(SHOWN)].join(" … ")) }
}

fn polarity(reading: &Reading) -> Polarity<'_> {
    if let Some(Negation { is_negated, cue }) = negation(reading) {
        return Polarity {
            cues: is_negated.then_some(cue).into_iter().collect(),
            is_negated: Some(is_negated),
        };
    }
    let negated = |&position: &usize| is_negation(reading, position);
    let retracted = (0..reading.len()).any(|position| {
        negated(&position) && is_uncertain(reading, position) && !is_replaced(reading, position)
    });
    let cues: Vec<&str> =
        (reading.retracted()..reading.len()).filter(negated).map(|position| reading.text(position)).collect();
    let is_negated = (!retracted).then_some(cues.len() % 2 == 1);
    Polarity { cues, is_negated }
}

/// Whether a correction makes it uncertain that the negation at `position` holds: it was said before the
/// correction, or it rules out what was corrected, right after the correction or at the very end ("Venice,
/// not Paris").
fn is_uncertain(reading: &Reading, position: usize) -> bool {
    const AT_THE_END: usize = 4;
    #[rustfmt::skip]
    const NEGATABLE: &[&str] = &[
        "is", "are", "was", "were", "be", "do", "does", "did", "can", "could", "will", "would", "should", "may",
        "might", "must", "has", "have", "had",
    ];
    let corrected = reading.retracted();
    let rules_out = || {
        let negates_verb =
            !reading.is_paused_at(position) && NEGATABLE.contains(&reading.text_before(position));
        let ends = position + AT_THE_END >= reading.len() && !negates_verb;
        reading.text(position) == "not" && (position == corrected || ends)
    };
    corrected > 0 && (position < corrected || rules_out())
}

/// Whether a correction repeats what was negated before it.
fn is_replaced(reading: &Reading, position: usize) -> bool {
    let corrected = reading.retracted();
    let negated = (position + 1..corrected).map(|at| reading.text(at)).find(|word| is_content(word));
    negated.is_some_and(|word| {
        (corrected..reading.len()).take(Alignment::LONGEST).any(|at| reading.text(at) == word)
    })
}

fn is_negation(reading: &Reading, position: usize) -> bool {
    let (before, word, after) =
        (reading.text_before(position), reading.text(position), reading.text(position + 1));
    // "No more than 5" is at most 5, which the guard on signs checks.
    let limits = matches!(after, "more" | "less" | "fewer" | "later" | "earlier")
        && reading.text(position + 2) == "than";
    match word {
        "no" | "not" if limits || is_idle(reading, position) => false,
        // "whether or not", "is it or not": they ask for both readings. "not only" affirms.
        "not" if matches!(before, "why" | "if") => !reading.is_paused_at(position + 1),
        "not" => before != "or" && !matches!(after, "only" | "just"),
        "no" => reading.is_negating_no(position),
        "cannot" | "never" | "neither" | "none" | "nobody" | "nothing" | "nowhere" | "without" | "unable"
        | "non" | "hardly" | "scarcely" | "seldom" | "rarely" | "unless" | "except" => true,
        "fail" | "fails" | "failed" | "failing" => after == "to",
        "lack" | "lacks" | "lacked" | "lacking" => before != "for" && (word != "lack" || after == "of"),
        "other" => after == "than",
        _ => is_contraction(word) && !opens_or_tags(reading, position) && !is_idle(reading, position),
    }
}

/// Whether the negation at `position` is about the speaker or about something other than the question: "I
/// don't know how", "no idea", "not sure if", "no matter what", "it blinks, not shines".
fn is_idle(reading: &Reading, position: usize) -> bool {
    let (before, after) = (reading.text_before(position), reading.text(position + 1));
    let speaker = matches!(before, "i" | "we" | "and" | "but");
    match reading.text(position) {
        "no" => matches!(after, "idea" | "clue" | "matter" | "problem" | "problems" | "doubt" | "wonder"),
        "not" if matches!(after, "sure" | "certain" | "clear") => true,
        "not" => {
            // A contrast is short: a pause, one or two words and another pause.
            let ends = (position + 2..=position + 3).any(|at| reading.is_paused_at(at));
            position > 0 && reading.is_paused_at(position) && !reading.is_paused_at(position + 1) && ends
        }
        _ => {
            // "I don't know how", but not "when I don't know my password".
            const ASKS: &[&str] = &["how", "why", "what", "where", "when", "which", "who", "if", "whether"];
            let asks = (position + 2..=position + 3).any(|at| ASKS.contains(&reading.text(at)));
            let case = position >= 2 && matches!(reading.text(position - 2), "when" | "if" | "because");
            let knows =
                matches!(after, "know" | "understand" | "tell" | "figure" | "remember" | "see" | "find");
            speaker && asks && !case && knows
        }
    }
}

/// `don't`, and `dont` as it is often typed.
fn is_contraction(word: &str) -> bool {
    word.ends_with("n't")
        || matches!(
            word,
            "dont"
                | "doesnt"
                | "didnt"
                | "isnt"
                | "arent"
                | "wasnt"
                | "werent"
                | "cant"
                | "couldnt"
                | "wouldnt"
                | "shouldnt"
                | "wont"
                | "hasnt"
                | "havent"
                | "hadnt"
                | "dosent"
                | "dosnt"
                | "doesent"
                | "didint"
                | "cannt"
        )
}

/// Whether the contraction opens a question or, with a pronoun, ends it after a pause.
fn opens_or_tags(reading: &Reading, position: usize) -> bool {
    let Some(word) = reading.get(position) else { return false };
    position == 0 || (word.after_pause && position + 2 >= reading.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(a: &str, b: &str) -> bool {
        difference(&Reading::of(a), &Reading::of(b)).is_some()
    }

    #[test]
    fn one_negation_more_is_another_question() {
        for (a, b) in [
            ("Which drugs are covered?", "Which drugs are not covered?"),
            ("Why do people vote?", "Why don't people vote?"),
            ("Why does it work?", "Why doesn’t it work?"),
            ("Who can apply?", "Who cannot apply?"),
            ("Travel with a visa", "Travel without a visa"),
            ("Who has always lived there?", "Who has never lived there?"),
            ("pancakes with eggs", "pancakes with no eggs"),
            ("Why cant I log in?", "Why can I log in?"),
            ("violent protest", "non-violent protest"),
            ("Why is there oxygen?", "Why is there no oxygen?"),
            ("Which court reached a decision?", "Which court reached no decision?"),
            ("rooms with a window", "rooms with no window"),
            ("Which plan has a limit?", "Which plan has no limit?"),
            ("smoking rooms?", "No smoking rooms?"),
            ("a smoking area", "a no-smoking area"),
            ("Why do few people vote?", "Why do a few people vote?"),
            ("little hope", "a little hope"),
            ("Why does it start?", "Why does it fail to start?"),
            ("effects of sleep", "effects of lack of sleep"),
            ("all countries and France", "all countries except France"),
            ("ways to earn with work", "ways to earn other than work"),
            ("What if I pay?", "What unless I pay?"),
            ("What do I do when I know it?", "What do I do when I don't know it?"),
            ("people who often vote", "people who hardly vote"),
            ("a room without a window, no sorry, with a window", "a room without a window"),
        ] {
            assert!(differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn some_negations_ask_the_same() {
        for (a, b) in [
            ("Isn't it dangerous?", "Is it dangerous?"),
            ("It is dangerous, isn't it?", "Is it dangerous?"),
            ("Do you know whether or not it works?", "Do you know whether it works?"),
            ("Why can't I log in?", "Why am I unable to log in?"),
            ("Who bought not only red but blue?", "Who bought red and blue?"),
            ("Is nobody not allowed?", "Is everybody allowed?"),
            ("Is it good? Why or why not?", "Is it good?"),
            ("Can we travel in time? If not, why?", "Can we travel in time?"),
            ("What is train no. 12?", "What is train number 12?"),
            ("Which court reached no decision?", "Which court did not reach a decision?"),
            ("Do you know whether or no it works?", "Do you know whether it works?"),
            ("I don't know how to reset it", "How do I reset it?"),
            ("my mail is gone and I have no idea why", "my mail is gone, why?"),
            ("Not sure if it works", "does it work"),
            ("the light blinks, not solid, why?", "why does the light blink?"),
            ("No matter what I do it fails", "It fails whatever I do"),
            ("a few people and few others", "few people and a few others"),
            ("What if I don't pay?", "What happens unless I pay?"),
            ("Why does it fail to start?", "Why doesn't it start?"),
            ("Can I take no more than 3 bags?", "Can I take at most 3 bags?"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn corrections_do_not_negate() {
        for (a, b) in [
            ("In Paris no sorry Venice?", "In Venice?"),
            ("What month no I mean year was it?", "What year was it?"),
            ("Where did the Khan no the Canal begin?", "Where did the Canal begin?"),
            (
                "What is not due to architects umm rather a professional?",
                "What is not due to a professional?",
            ),
            ("What happens no tell me what is not important?", "What is not important?"),
            ("In Paris no sorry not there but in Venice?", "In Venice?"),
            ("When did, no, who did, not when?", "Who did?"),
            ("a room without a window, no sorry, with a window", "a room with a window"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
        assert!(differ("What happens no tell me what is not important?", "What is important?"));
    }

    #[test]
    fn the_detail_names_the_words() {
        let detail = difference(&Reading::of("Who can't vote?"), &Reading::of("Who votes?")).unwrap();
        assert_eq!(detail, "negation differs: `can't` against none");
    }
}
