//! Whether two words have swapped places: "from A to B" against "from B to A".
//!
//! Questions may have the same words in another order and ask the same ("What did he found in 1920?", "In
//! 1920, what did he found?"). They are different questions if each of two words has the other's place,
//! beside the words that stood beside the other. Speech that corrects itself has no reliable order.

use crate::verify::text::{Comparison, Reading, is_content};

/// Which words swapped places, if any.
pub(super) fn difference(comparison: &Comparison) -> Option<String> {
    let (one, other) = exchanged(comparison)?;
    Some(format!("`{one}` and `{other}` have changed places"))
}

/// Whether two words have swapped roles, not only places: each is where the other was, with the same words
/// before and after or with the other's preposition, and they are not in a list ("A or B" is "B or A").
pub(super) fn trade(comparison: &Comparison) -> bool {
    let Comparison { asked, cached, .. } = comparison;
    exchanges(comparison).any(|Exchange { first, second }| {
        let stands_for = |(i, _): Pair, (_, l): Pair| {
            asked.text_before(i) == cached.text_before(l) && asked.text(i + 1) == cached.text(l + 1)
        };
        let prepositions = |reading: &Reading, one: usize, other: usize| -> Option<(String, String)> {
            let known: &[&str] =
                if reading.foreign().is_some() { FOREIGN_PREPOSITIONS } else { &PREPOSITIONS };
            let of = |at: usize| Some(reading.text_before(at)).filter(|word| known.contains(word));
            Some((of(one)?.to_owned(), of(other)?.to_owned())).filter(|(a, b)| a != b)
        };
        let traded = prepositions(asked, first.0, second.0)
            .is_some_and(|before| prepositions(cached, second.1, first.1) == Some(before));
        let replaced = stands_for(first, second) && stands_for(second, first);
        (traded || replaced) && !is_list(asked, first.0, second.0)
    })
}

/// The matches of content words, if neither question corrects itself: speech that does has no reliable order.
fn kept_matches(comparison: &Comparison) -> Vec<Pair> {
    let Comparison { asked, cached, alignment } = comparison;
    let is_corrected = asked.retracted() > 0 || cached.retracted() > 0;
    if is_corrected { Vec::new() } else { alignment.matches().collect() }
}

const PREPOSITIONS: [&str; 14] = [
    "from", "to", "into", "onto", "before", "after", "by", "of", "for", "with", "against", "per", "over",
    "under",
];

/// The same for the other languages that are known here: from, to, before, after, for and with.
#[rustfmt::skip]
const FOREIGN_PREPOSITIONS: &[&str] = &[
    "von", "nach", "vom", "zum", "zur", "vor", "für", "mit", "aus", "in", "auf", "van", "naar", "voor", "na", "met", "uit", "de", "du", "à", "au", "vers",
    "pour", "avec", "avant", "après", "a", "al", "hacia", "para", "con", "desde", "hasta", "da", "di", "per", "dal", "do", "ao", "com", "z", "od", "dla",
    "przed", "po", "из", "от", "в", "на", "до", "к", "с", "для", "من", "إلى", "الى", "قبل", "بعد",
];

/// Whether "and" or "or" joins the words from `first` to `last`, with nothing else between them than the
/// words before both.
fn is_list(reading: &Reading, first: usize, last: usize) -> bool {
    let between = || (first + 1..last).map(|at| reading.text(at));
    let foreign: &[&str] = if reading.foreign().is_some() { FOREIGN_JOINS } else { &[] };
    let joins = |word: &str| JOINS.contains(&word) || foreign.contains(&word);
    let joined = between().any(joins);
    let modifier = reading.text_before(first);
    joined && between().all(|word| !is_content(word) || word == modifier || joins(word))
}

/// Words between the members of a list.
const JOINS: [&str; 5] = ["and", "or", "versus", "vs", "&"];

/// The same for other languages.
const FOREIGN_JOINS: &[&str] = &[
    "und", "oder", "en", "of", "et", "ou", "y", "e", "o", "i", "lub", "albo", "czy", "и", "или", "و", "أو",
    "और", "या", "和", "或", "と", "や",
];

/// The places of a word in the question asked and in the cached one.
type Pair = (usize, usize);

/// Two content words whose order is reversed, in the order asked, each beside the words that stood beside the
/// other.
struct Exchange {
    first: Pair,
    second: Pair,
}

/// Two content words of the question asked that have each other's place in the cached one.
pub(in crate::verify) fn exchanged(comparison: &Comparison) -> Option<(&str, &str)> {
    let Exchange { first, second } = exchanges(comparison).next()?;
    Some((comparison.asked.text(first.0), comparison.asked.text(second.0)))
}

fn exchanges(comparison: &Comparison) -> impl Iterator<Item = Exchange> + '_ {
    let Comparison { asked, cached, .. } = comparison;
    let matches = kept_matches(comparison);
    let count = matches.len();
    (0..count).flat_map(move |n| (n + 1..count).map(move |m| (n, m))).filter_map(move |(n, m)| {
        let ((i, j), (k, l)) = (matches[n], matches[m]);
        let crossed = l < j && asked.text(i) != asked.text(k);
        // The word asked at `i` is cached at `j`, in the surroundings of the other word, and vice versa.
        let changed = crossed && same_place((asked, k), (cached, j)) && same_place((asked, i), (cached, l));
        changed.then_some(Exchange { first: (i, j), second: (k, l) })
    })
}

/// Whether the two places have the same word before or after them.
fn same_place((one, at): (&Reading, usize), (other, place): (&Reading, usize)) -> bool {
    let same = |a: &str, b: &str| !a.is_empty() && a == b;
    same(one.text_before(at), other.text_before(place)) || same(one.text(at + 1), other.text(place + 1))
}

/// The share of pairs of matched content words whose order is reversed, in `0.0..=1.0`.
pub(in crate::verify) fn inversions(comparison: &Comparison) -> f32 {
    let places: Vec<usize> = comparison.alignment.matches().map(|(_, j)| j).collect();
    let pairs = places.len() * places.len().saturating_sub(1) / 2;
    if pairs == 0 {
        return 0.0;
    }
    let reversed: usize =
        places.iter().enumerate().map(|(n, j)| places[n + 1..].iter().filter(|l| *l < j).count()).sum();
    reversed as f32 / pairs as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(a: &str, b: &str) -> bool {
        difference(&Comparison::of(a, b)).is_some()
    }

    #[test]
    fn words_in_each_others_place_make_another_question() {
        for (a, b) in [
            ("Trains from Warsaw to Berlin", "Trains from Berlin to Warsaw"),
            ("flights from new york to san francisco", "flights from san francisco to new york"),
            ("Did Germany invade Poland before France?", "Did Poland invade Germany before France?"),
            ("Is tea healthier than coffee?", "Is coffee healthier than tea?"),
            ("How do I move my new number to an old phone?", "How do I move my old number to a new phone?"),
            ("convert bytes to str", "convert str to bytes"),
        ] {
            assert!(differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn another_order_alone_asks_the_same() {
        for (a, b) in [
            ("What did he found in 1920?", "In 1920, what did he found?"),
            ("Who painted the ceiling of the chapel?", "The ceiling of the chapel was painted by whom?"),
            ("Where is the river Rhine?", "The river Rhine is where?"),
            ("from Paris no sorry from Rome to Paris", "from Rome to Paris"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn roles_are_traded_where_all_around_stays() {
        let trade = |a, b| trade(&Comparison::of(a, b));
        for (a, b) in [
            ("Which flights go from Oslo to London?", "Which flights are there from London to Oslo?"),
            ("flights from new york to san francisco", "flights from san francisco to new york"),
            ("How often has Leeds beaten Derby?", "How often has Derby beaten Leeds?"),
            ("how many points do I get per euro", "how many euros do I get per point"),
            ("I want to learn Spanish and teach English.", "I want to teach Spanish and learn English."),
            ("Is tea healthier than coffee?", "Is coffee healthier than tea?"),
        ] {
            assert!(trade(a, b), "{a} | {b}");
        }
        for (a, b) in [
            ("Which one is better: SBI clerk or IBPS PO?", "Which one is better IBPS PO or SBI clerk?"),
            ("How can I become clever and smart?", "How do I become smart and clever?"),
            (
                "Which gives more, nuclear fission or nuclear fusion?",
                "Which gives more, nuclear fusion or nuclear fission?",
            ),
            (
                "What is the difference between a fee and a fine?",
                "What is the difference between a fine and a fee?",
            ),
            (
                "Does it pay when only the bike's battery is stolen?",
                "Does it pay if only the battery of the bike is stolen?",
            ),
            (
                "is AI-written software protected by copyright?",
                "Is software written by an AI protected by copyright?",
            ),
            ("What did he found in 1920?", "In 1920, what did he found?"),
        ] {
            assert!(!trade(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn inversions_go_from_none_to_all() {
        let share = |a, b| inversions(&Comparison::of(a, b));
        assert!(share("alpha beta gamma", "alpha beta gamma").abs() < 1e-6);
        assert!((share("alpha beta gamma", "gamma beta alpha") - 1.0).abs() < 1e-6);
        assert!((share("alpha beta gamma", "beta alpha gamma") - 1.0 / 3.0).abs() < 1e-6);
        assert!(share("alpha", "beta").abs() < 1e-6);
    }
}
