//! Questions that mean nothing without the conversation before them.
//!
//! "And in Germany?" has another answer in every conversation, however often it was asked. [`is_follow_up`]
//! finds such questions by their form: how they begin, whether they refer to something that they do not name,
//! and whether they are too short to stand alone. Pure, microseconds; the full rules are for English, and the
//! commonest forms are known in twelve more languages. It can be wrong either way: a caller that knows the
//! conversation should pass its fingerprint instead, with
//! [`Query::conversation`](crate::Query::conversation).

mod foreign;

use super::text::{Language, language};

/// How a question begins that continues another one.
#[rustfmt::skip]
const BEGINNINGS: &[&[&str]] = &[
    &["and"], &["but"], &["or"], &["also"], &["then"], &["so"], &["because"], &["what", "about"], &["how", "about"],
    &["what", "else"], &["who", "else"], &["where", "else"], &["anything", "else"], &["any", "other"], &["any", "others"],
    &["what", "if", "not"], &["why", "not"], &["same", "for"], &["the", "same"], &["instead"], &["tell", "me", "more"],
    &["say", "more"], &["go", "on"], &["continue"], &["explain", "more"], &["more", "about"], &["like", "what"], &["such", "as"],
    &["for", "example"], &["are", "you", "sure"], &["really"], &["yes"], &["no"], &["ok"], &["okay"], &["thanks"],
];

/// Words that stand for something named before.
#[rustfmt::skip]
const REFERENCES: &[&str] = &[
    "it", "its", "they", "them", "their", "he", "she", "him", "his", "her", "hers", "theirs", "this", "that", "these", "those",
];

/// Phrases that stand for something named before, anywhere in a question: how they begin, and how they may
/// continue.
#[rustfmt::skip]
const REFERRING_PHRASES: &[(&str, &[&[&str]])] = &[
    ("that", &[&["one"]]), ("this", &[&["one"]]), ("those", &[&["ones"]]), ("these", &[&["ones"]]),
    ("the", &[&["other", "one"], &["first", "one"], &["second", "one"], &["last", "one"], &["latter"], &["former", "one"]]),
    ("of", &[&["them"], &["those"], &["these"]]), ("you", &[&["said"], &["mentioned"]]), ("as", &[&["above"]]),
    ("previous", &[&["answer"], &["question"]]), ("your", &[&["answer"]]), ("last", &[&["answer"]]),
];

/// Words that do not name anything a reference could stand for, the commonest verbs among them.
#[rustfmt::skip]
const FUNCTION_WORDS: &[&str] = &[
    "a", "about", "am", "an", "and", "any", "are", "as", "at", "be", "been", "being", "but", "by", "can", "could", "did", "do",
    "does", "doing", "done", "for", "from", "had", "has", "have", "how", "i", "if", "in", "into", "is", "just", "many", "may",
    "me", "might", "more", "most", "much", "must", "my", "no", "not", "of", "often", "on", "one", "or", "our", "please", "really",
    "s", "shall", "should", "so", "some", "still", "t", "tell", "than", "the", "then", "there", "to", "too", "us", "very", "was",
    "we", "were", "what", "when", "where", "which", "who", "whom", "whose", "why", "will", "with", "would", "you", "your", "long",
    "far", "old", "big", "large", "mean", "means", "work", "works", "happen", "happened", "cost", "costs", "again", "else",
    "turn", "explain", "use", "get", "change", "set", "fix", "cancel", "find", "make", "install", "remove", "delete", "add", "open",
    "close", "start", "stop", "see", "know", "give", "show", "buy", "pay", "call", "enable", "disable", "restart", "reset", "need",
    "want", "like", "help", "describe", "compare", "born", "live", "apply", "off", "up", "down", "out", "try",
];

/// Words after which `that` and `this` introduce a clause or point to what follows ("this year").
#[rustfmt::skip]
const TIMES: &[&str] = &["year", "years", "week", "month", "day", "days", "morning", "evening", "time", "century", "decade", "season"];

/// Whether `question` continues something that was said before.
pub fn is_follow_up(question: &str) -> bool {
    let lower = question.to_lowercase();
    // With room for words of three letters, so that it need not grow.
    let mut words: Vec<&str> = Vec::with_capacity(lower.len() / 4 + 1);
    words.extend(lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()));
    if words.is_empty() {
        return false;
    }
    let is_english =
        begins_as_one(&words) || refers_by_phrase(&words) || refers_to_nothing(&words) || is_fragment(&words);
    // "No Word, como …" is Portuguese, and names a program. If the language is not certain, it may be
    // English.
    let may_be = || {
        let detected = language(words.iter().copied());
        !detected.is_sure || detected.language.is_none_or(|detected| detected == Language::English)
    };
    (is_english && may_be()) || foreign::is_follow_up(&lower)
}

fn begins_as_one(words: &[&str]) -> bool {
    BEGINNINGS.iter().any(|beginning| {
        words.starts_with(beginning)
            // A single word may begin a name or a phrase: "yes, minister" is rare, and "so long" is not a
            // question.
            && (beginning.len() > 1 || words.len() > 1 || matches!(*beginning, ["continue" | "really" | "instead"]))
    })
}

fn refers_by_phrase(words: &[&str]) -> bool {
    (0..words.len()).any(|at| {
        let begun = REFERRING_PHRASES.iter().filter(|(first, _)| *first == words[at]);
        begun.flat_map(|(_, rests)| *rests).any(|rest| words[at + 1..].starts_with(rest))
    })
}

/// Whether a word refers to something before anything was named that it could refer to.
fn refers_to_nothing(words: &[&str]) -> bool {
    for (at, word) in words.iter().enumerate() {
        if REFERENCES.contains(word) {
            let next = words.get(at + 1).copied();
            let points_ahead = matches!(*word, "this" | "that" | "these" | "those")
                && next.is_some_and(|next| TIMES.contains(&next));
            return !points_ahead && !is_expletive(words, at);
        }
        if !FUNCTION_WORDS.contains(word) {
            // Something is named, and later words may refer to it.
            return false;
        }
    }
    false
}

/// "Is it possible to …", "what time is it in Tokyo", "does it rain in Rome": `it` refers to nothing at all.
fn is_expletive(words: &[&str], at: usize) -> bool {
    #[rustfmt::skip]
    const AFTER: &[&str] = &[
        "possible", "true", "safe", "legal", "illegal", "necessary", "better", "best", "worth", "ok", "okay", "bad", "good", "normal",
        "hard", "difficult", "easy", "important", "take", "takes", "took", "mean", "feel", "rain", "snow", "like", "called", "like",
        "wrong", "right", "healthy", "useful", "wise", "rude", "weird", "common", "time", "a", "an", "the", "that",
    ];
    words[at] == "it" && words.len() > at + 2 && words.get(at + 1).is_some_and(|next| AFTER.contains(next))
}

/// "In Germany?", "why?", "since when?": too short to ask anything on its own.
fn is_fragment(words: &[&str]) -> bool {
    #[rustfmt::skip]
    const PREPOSITIONS: &[&str] = &["in", "on", "at", "for", "from", "to", "with", "without", "by", "since", "until", "before", "after", "during", "of"];
    #[rustfmt::skip]
    const QUESTION_WORDS: &[&str] = &["why", "how", "when", "where", "who", "what", "which", "whose", "whom"];
    match words {
        [one] => {
            QUESTION_WORDS.contains(one)
                || matches!(*one, "more" | "and" | "so" | "then" | "example" | "examples")
        }
        [first, rest @ ..] if rest.len() <= 3 && PREPOSITIONS.contains(first) => {
            // "In what year …" continues and asks something.
            let belongs =
                |word: &&&str| matches!(**word, "the" | "a" | "an" | "my" | "our" | "or" | "and" | "without");
            rest.iter().filter(|word| !belongs(word)).all(|word| !FUNCTION_WORDS.contains(word))
                || rest.iter().all(|word| QUESTION_WORDS.contains(word))
        }
        [first, second] => {
            QUESTION_WORDS.contains(first) && (FUNCTION_WORDS.contains(second) || *second == "exactly")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follow-ups as people write them.
    #[rustfmt::skip]
    const FOLLOW_UPS: &[&str] = &[
        "and in Germany?", "What about that one?", "How about Spain?", "Why?", "why not?", "In France?", "for employees?",
        "And how much does it cost?", "How much does it cost?", "When was he born?", "Where do they live?", "Is it free?",
        "What does that mean?", "How do I turn it off?", "Can you explain this?", "Tell me more", "go on", "What else?",
        "Which of them is the largest?", "the second one please", "what is the price of the other one?", "But why?",
        "Since when?", "Are you sure?", "Who was her husband?", "How does this work?", "Does that also apply to students?",
        "So what should I do?", "Same for the Pro plan?", "With or without tax?", "what did you say in your answer?",
        "Or the day after?", "how long?", "Then what?", "Is this still true?", "How many of those are left?",
    ];

    /// Questions that stand alone, many with words of reference.
    #[rustfmt::skip]
    const ALONE: &[&str] = &[
        "What is a crab and how does it walk?", "Who is Barack Obama and when was he born?", "How do I reset my password?",
        "Is it possible to change the plan later?", "What time is it in Tokyo?", "Is it safe to eat raw fish?",
        "Who won the election this year?", "What was the name of the ship that sank in 1912?", "Where is the Rhine?",
        "In what country is Normandy located?", "In which year did the war end?", "What is the best phone this year?",
        "How did the Normans keep their language?", "What is 2FA?", "When did Beyonce begin to be popular?",
        "What does the term that Kant coined mean?", "Which river flows through Vienna?", "What is it like to be a bat?",
        "How long does shipping take?", "Why is the sky blue?", "On what day did the Titanic sink?", "Who is the president of France?",
        "For which team did Maradona play in 1986?", "From whom did the Normans descend?", "How does photosynthesis work?",
        "What are the opening hours?", "Does the warranty cover water damage?", "How long does it take to learn Rust?",
        "Order status", "refund policy", "What if my card is stolen?", "With whom did Victoria share the throne?",
        "After which king was the city named?", "Can I return shoes that I have worn?", "What happens when a pod is evicted?",
        "How do I know if my phone is unlocked?",
    ];

    #[test]
    fn follow_ups_are_found() {
        let missed: Vec<_> = FOLLOW_UPS.iter().filter(|question| !is_follow_up(question)).collect();
        assert!(missed.is_empty(), "{missed:?}");
    }

    #[test]
    fn questions_that_stand_alone_are_left_alone() {
        let wrong: Vec<_> = ALONE.iter().filter(|question| is_follow_up(question)).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn questions_of_an_encyclopedia_are_hardly_ever_taken_for_follow_ups() {
        let text = include_str!("../../crates/cli/src/commands/demo/corpus/questions.jsonl");
        let questions: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|line| line["question"].as_str().unwrap().to_owned())
            .collect();
        let taken: Vec<_> = questions.iter().filter(|question| is_follow_up(question)).collect();
        assert!(taken.len() * 100 < questions.len(), "{} of {}: {taken:#?}", taken.len(), questions.len());
    }

    #[test]
    fn nothing_is_no_follow_up() {
        assert!(!is_follow_up("") && !is_follow_up("?!"));
    }
}
