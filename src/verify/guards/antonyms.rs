//! Whether the questions hold opposites: `enable` in one question where the other has `disable`.
//!
//! Each question must hold only one side: a question that holds both ("the difference between import and
//! export") asks about the pair, and one that takes a side back asks about the other. Besides the words of
//! the list, a word is the opposite of itself with a negating prefix (`subscribe`, `unsubscribe`). The list
//! is short on purpose: pairs whose words are mostly used in other senses (`old` in "how old", `over`, `up`)
//! would veto more right answers than wrong ones. Rarer opposites (`ascend` and `descend`) come from
//! `WordNet`, in a file beside this one, without pairs of that kind. "Stop sharing" is the opposite of
//! `share`, unless the other question asks for its end in other words.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::foreign;
use crate::verify::text::{Alignment, Language, Reading, stem};

/// The two sides of each opposition, with the word forms of each side.
#[rustfmt::skip]
const PAIRS: &[(&str, &str)] = &[
    ("enable enables enabled enabling", "disable disables disabled disabling"),
    ("activate activated activating", "deactivate deactivated deactivating"),
    ("increase increases increased increasing increasingly", "decrease decreases decreased decreasing reduce reduces reduced reducing"),
    ("gain gains gained gaining", "lose loses lost losing"),
    ("rise rises rising rose", "fall falls falling fell decline declined"),
    ("before", "after"),
    ("include includes included including", "exclude excludes excluded excluding"),
    ("allow allows allowed allowing permit permits permitted", "forbid forbids forbidden prohibit prohibits prohibited deny denied ban banned"),
    ("add adds added adding", "remove removes removed removing"),
    ("start starts started starting begin begins began", "stop stops stopped stopping end ends ended"),
    ("open opens opened opening", "close closes closed closing"),
    ("buy buys buying bought", "sell sells selling sold"),
    ("import imports imported importing", "export exports exported exporting"),
    ("upload uploads uploaded uploading", "download downloads downloaded downloading"),
    ("send sends sent sending", "receive receives received receiving"),
    ("encrypt encrypted encrypting encryption", "decrypt decrypted decrypting decryption"),
    ("encode encoded encoding", "decode decoded decoding"),
    ("accept accepts accepted accepting", "reject rejects rejected rejecting"),
    ("win wins won winning", "lose loses lost losing"),
    ("pass passes passed passing", "fail fails failed failing"),
    ("maximum max maximise maximize", "minimum min minimise minimize"),
    ("most", "least"),
    ("more", "less fewer"),
    ("best", "worst"),
    ("better", "worse"),
    ("highest", "lowest"),
    ("higher", "lower"),
    ("largest biggest", "smallest"),
    ("larger bigger", "smaller"),
    ("longest", "shortest"),
    ("longer", "shorter"),
    ("oldest", "youngest newest"),
    ("older", "younger newer"),
    ("fastest", "slowest"),
    ("first", "last"),
    ("earliest", "latest"),
    ("above", "below"),
    ("left", "right"),
    ("north northern", "south southern"),
    ("east eastern", "west western"),
    ("inside internal", "outside external"),
    ("input inputs", "output outputs"),
    ("ascending", "descending"),
    ("public", "private"),
    ("positive", "negative"),
    ("advantage advantages pros", "disadvantage disadvantages cons"),
    ("benefits", "drawbacks"),
    ("strengths strength", "weaknesses weakness"),
    ("male males man men boy boys", "female females woman women girl girls"),
    ("husband", "wife"),
    ("father dad", "mother mom"),
    ("brother", "sister"),
    ("rich", "poor"),
    ("hot", "cold"),
    ("summer", "winter"),
    ("love loves", "hate hates"),
    ("always", "never"),
    ("debit", "credit"),
    ("employer employers", "employee employees"),
    ("introvert introverts", "extrovert extroverts"),
    ("simple simplicity", "complex complexity"),
    ("major", "minor"),
];

/// Prefixes that turn a word into its opposite. Short ones need a longer rest: `inform` does not negate
/// `form`.
const PREFIXES: &[(&str, usize)] =
    &[("un", 4), ("dis", 4), ("non", 4), ("in", 6), ("im", 6), ("ir", 6), ("il", 5)];

/// A side of a pair: the pair's place in the list, and whether it is the second side.
type Side = (usize, bool);

static SIDES: LazyLock<HashMap<&str, Vec<Side>>> = LazyLock::new(|| {
    let mut sides: HashMap<&str, Vec<Side>> = HashMap::new();
    for (pair, (one, other)) in PAIRS.iter().chain(foreign::PAIRS).enumerate() {
        one.split(' ').for_each(|word| sides.entry(word).or_default().push((pair, false)));
        other.split(' ').for_each(|word| sides.entry(word).or_default().push((pair, true)));
    }
    sides
});

/// The pairs of `WordNet`, by the stems of their words; their numbers follow those of the list.
static RARE: LazyLock<HashMap<&str, Vec<(&str, Side)>>> = LazyLock::new(|| {
    let mut sides: HashMap<&str, Vec<(&str, Side)>> = HashMap::new();
    for (pair, (one, other)) in (PAIRS.len() + foreign::PAIRS.len()..).zip(wordnet()) {
        sides.entry(stem(one)).or_default().push((one, (pair, false)));
        sides.entry(stem(other)).or_default().push((other, (pair, true)));
    }
    sides
});

/// The pairs of the file, which names their source.
fn wordnet() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("opposites.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' '))
}

/// Whether `word`, which has the same stem as `base`, is a form of it. The ending that `bloody` adds to
/// `blood` is not an inflection.
fn inflects(word: &str, base: &str) -> bool {
    !base.ends_with('y')
        || word == base
        || word.ends_with("ies")
        || word.ends_with("ied")
        || word.ends_with("ying")
}

/// Which opposites the two questions hold against each other, if any.
pub(super) fn difference(question: &Reading, cached: &Reading) -> Option<String> {
    let (asked, answered) = (Vocabulary::of(question), Vocabulary::of(cached));
    let opposites = listed(&asked, &answered)
        .or_else(|| prefixed(&asked, &answered))
        .or_else(|| prefixed(&answered, &asked).map(|(right, left)| (left, right)));
    if let Some((left, right)) = opposites {
        return Some(format!("opposites: `{left}` against `{right}`"));
    }
    if let Some((left, right)) = written(question, cached) {
        return Some(format!("opposites: `{left}` against `{right}`"));
    }
    let (stopped, side) = stopped(question, cached)
        .map(|word| (word, "asked"))
        .or_else(|| stopped(cached, question).map(|word| (word, "cached")))?;
    Some(format!("opposites: only the question {side} stops `{stopped}`"))
}

/// The same for Chinese and Japanese, which write no spaces between words.
fn written(question: &Reading, cached: &Reading) -> Option<(&'static str, &'static str)> {
    let is_written =
        |reading: &Reading| matches!(reading.foreign(), Some(Language::Chinese | Language::Japanese));
    if !is_written(question) || !is_written(cached) {
        return None;
    }
    let (asked, answered) = (question.as_written(), cached.as_written());
    let held = |text: &str, side: &[&'static str]| side.iter().copied().find(|string| text.contains(string));
    foreign::WRITTEN_PAIRS.iter().find_map(|(one, other)| {
        match (held(asked, one), held(asked, other), held(answered, one), held(answered, other)) {
            (Some(left), None, None, Some(right)) | (None, Some(left), Some(right), None) => {
                Some((left, right))
            }
            _ => None,
        }
    })
}

/// What `reading` stops doing and `other` does: "stop sharing" against "share".
fn stopped<'a>(reading: &'a Reading, other: &Reading) -> Option<&'a str> {
    #[rustfmt::skip]
    const ENDS: &[&str] = &[
        "stop", "stops", "stopped", "stopping", "quit", "quits", "quitting", "avoid", "avoiding", "prevent", "end", "off", "disable", "cancel",
        "not", "no", "never", "without", "block", "remove", "rid", "overcome", "addiction", "control", "less", "reduce", "cure", "fix", "break",
        "why", "should",
    ];
    let kept = |reading: &Reading| (reading.retracted()..reading.len()).take(Alignment::LONGEST);
    if kept(other).any(|at| {
        let word = other.text(at);
        ENDS.contains(&word) || word.ends_with("n't") || word.starts_with("un")
    }) {
        return None;
    }
    kept(reading).find_map(|at| {
        let word = reading.text(at + 1);
        let stops = matches!(reading.text(at), "stop" | "quit") && word.len() > 5 && word.ends_with("ing");
        let root = stem(word);
        let does = stops && kept(other).any(|place| stem(other.text(place)) == root);
        (does && kept(reading).filter(|&place| stem(reading.text(place)) == root).count() == 1)
            .then_some(word)
    })
}

/// The words of a question, and those that have a listed opposite.
struct Vocabulary<'a> {
    words: Vec<&'a str>,
    sides: Vec<(Side, &'a str)>,
}

impl<'a> Vocabulary<'a> {
    fn of(reading: &'a Reading) -> Self {
        let texts = |places: std::ops::Range<usize>| {
            let mut words: Vec<&str> = places.map(|at| reading.text(at)).collect();
            words.sort_unstable();
            words.dedup();
            words
        };
        let mut words = texts(reading.retracted()..reading.len());
        let mut sides = sides_of(&words);
        // Words that were taken back may still count, unless their opposite replaced them.
        let replaced = |word: &str| {
            let opposed = sides_of(&[word]).iter().any(|&((pair, second), _)| {
                sides.iter().any(|&((other, side), _)| (other, side) == (pair, !second))
            });
            opposed || words.iter().any(|kept| is_negated(word, kept) || is_negated(kept, word))
        };
        let back: Vec<&str> =
            texts(0..reading.retracted()).into_iter().filter(|word| !replaced(word)).collect();
        sides.extend(sides_of(&back));
        words.extend(back);
        words.sort_unstable();
        Self { words, sides }
    }

    fn holds(&self, word: &str) -> bool {
        self.words.binary_search(&word).is_ok()
    }

    fn on_side(&self, side: Side) -> Option<&'a str> {
        self.sides.iter().find(|(held, _)| *held == side).map(|&(_, word)| word)
    }
}

fn sides_of<'a>(words: &[&'a str]) -> Vec<(Side, &'a str)> {
    let listed = |word: &'a str| SIDES.get(word).into_iter().flatten().map(move |&side| (side, word));
    let rare = |word: &'a str| {
        let forms = RARE.get(stem(word)).into_iter().flatten();
        forms.filter(move |(base, _)| inflects(word, base)).map(move |&(_, side)| (side, word))
    };
    words.iter().flat_map(|word| listed(word).chain(rare(word))).collect()
}

/// Whether `word` is `root` with a negating prefix.
fn is_negated(word: &str, root: &str) -> bool {
    let opposed =
        |&(prefix, least): &(&str, usize)| root.len() >= least && word.strip_prefix(prefix) == Some(root);
    PREFIXES.iter().any(opposed)
}

fn listed<'a>(asked: &Vocabulary<'a>, answered: &Vocabulary<'a>) -> Option<(&'a str, &'a str)> {
    asked.sides.iter().find_map(|&((pair, second), word)| {
        let opposite = answered.on_side((pair, !second))?;
        let alone = asked.on_side((pair, !second)).is_none() && answered.on_side((pair, second)).is_none();
        alone.then_some((word, opposite))
    })
}

/// A word of `negated` that is a word of `plain` with a negating prefix.
fn prefixed<'a>(negated: &Vocabulary<'a>, plain: &Vocabulary<'a>) -> Option<(&'a str, &'a str)> {
    negated.words.iter().find_map(|&word| {
        let root = PREFIXES.iter().find_map(|&(prefix, least)| {
            word.strip_prefix(prefix).filter(|root| root.len() >= least && plain.holds(root))
        })?;
        (!plain.holds(word) && !negated.holds(root)).then_some((word, root))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(a: &str, b: &str) -> bool {
        difference(&Reading::of(a), &Reading::of(b)).is_some()
    }

    #[test]
    fn opposites_against_each_other_are_different_questions() {
        for (a, b) in [
            ("How do I enable 2FA?", "How do I disable 2FA?"),
            ("What did he do before the war?", "What did he do after the war?"),
            ("How can I lose weight?", "How can I gain weight?"),
            ("How do I subscribe to it?", "How do I unsubscribe from it?"),
            ("Is it legal in Germany?", "Is it illegal in Germany?"),
            ("Which is the largest city?", "Which is the smallest city?"),
            ("Who founded public schools?", "Who founded private schools?"),
            ("Which algorithm is efficient?", "Which algorithm is inefficient?"),
            ("before, no wait, after the war", "before the war"),
            ("elements that absorb light", "elements that emitted light"),
            ("causes of hypertension", "causes of hypotension"),
            ("Which stairs ascend?", "Which stairs are descending?"),
            ("cheap hotels", "expensive hotels"),
            ("How do I stop sharing my calendar?", "How do I share my calendar?"),
            ("How do I subscribe, no sorry, unsubscribe?", "How do I subscribe?"),
        ] {
            assert!(differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn a_pair_within_one_question_is_what_is_asked_about() {
        for (a, b) in [
            ("the difference between import and export", "how do import and export differ"),
            ("decreased rates or actually I mean increased rates", "increased rates"),
            ("Can a private school become public?", "Can a public school be private?"),
            ("What information does the form need?", "What does the form need?"),
            ("enable it", "turn it on"),
            ("before, no wait, after the war", "after the war"),
            ("How do I stop sharing my calendar?", "How do I not share my calendar?"),
            ("How do I stop smoking?", "How can I quit smoking?"),
            ("a bloody war", "a war without blood"),
            ("cheap or expensive hotels", "cheap hotels"),
            ("How do I subscribe, no sorry, unsubscribe?", "How do I unsubscribe?"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn no_word_stands_on_both_sides_of_a_pair() {
        for (one, other) in PAIRS {
            assert!(one.split(' ').all(|word| !other.split(' ').any(|opposite| opposite == word)), "{one}");
        }
        for (one, other) in wordnet() {
            assert_ne!(stem(one), stem(other), "{one} {other}");
        }
    }

    #[test]
    fn the_detail_names_the_opposites_in_order() {
        let (locked, unlocked) = (Reading::of("locked door"), Reading::of("unlocked door"));
        assert_eq!(difference(&locked, &unlocked).unwrap(), "opposites: `locked` against `unlocked`");
        assert_eq!(difference(&unlocked, &locked).unwrap(), "opposites: `unlocked` against `locked`");
    }
}
