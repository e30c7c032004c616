//! Numbers written as English words or in Roman numerals.

use crate::verify::text::{Reading, Word};

/// The number in words that starts at `position`, and how many words it takes: `twenty-one`, `two hundred
/// and five`, `a million`.
pub(super) fn number_words(reading: &Reading, position: usize) -> Option<(u64, usize)> {
    let (mut total, mut group) =
        (0_u64, cardinal(reading.text(position)).or_else(|| scale(reading.text(position)).map(|_| 1))?);
    let mut words = usize::from(cardinal(reading.text(position)).is_some());
    loop {
        let word = reading.text(position + words);
        if let Some(factor) = scale(word) {
            if factor == 100 || factor == 12 {
                group = group.max(1).checked_mul(factor)?;
            } else {
                total = total.checked_add(group.max(1).checked_mul(factor)?)?;
                group = 0;
            }
            words += 1;
            continue;
        }
        let joined = usize::from(word == "and" && words > 0 && (group % 100 == 0));
        match cardinal(reading.text(position + words + joined)) {
            // Only words that can follow in one number count: `twenty one`, `hundred [and] five`, not `five
            // six`.
            Some(unit) if fits(group, unit) && (total > 0 || group > 0) => {
                group += unit;
                words += joined + 1;
            }
            _ => break,
        }
    }
    // `twenty-first` is one number.
    if let Some(last) =
        ordinal(reading.text(position + words)).filter(|&last| fits(group, last) && group >= 20)
    {
        group += last;
        words += 1;
    }
    Some((total.checked_add(group)?, words))
}

/// Whether `unit` can follow in the same number: `twenty one`, `hundred five`, but not `five six`.
fn fits(group: u64, unit: u64) -> bool {
    match unit {
        1..=9 => group.is_multiple_of(100) || (group % 100 >= 20 && group.is_multiple_of(10)),
        10..=99 => group.is_multiple_of(100),
        _ => false,
    }
}

/// Zero to nineteen, and the tens.
fn cardinal(word: &str) -> Option<u64> {
    #[rustfmt::skip]
    const SMALL: [&str; 20] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
    ];
    const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let place = |list: &[&str]| (0_u64..).zip(list).find(|(_, name)| **name == word).map(|(place, _)| place);
    place(&SMALL).or_else(|| place(&TENS).map(|place| (place + 2) * 10))
}

/// A word that multiplies the number before it.
pub(super) fn scale(word: &str) -> Option<u64> {
    Some(match word {
        "dozen" => 12,
        "hundred" => 100,
        "thousand" => 1_000,
        "lakh" => 100_000,
        "million" => 1_000_000,
        "crore" => 10_000_000,
        "billion" => 1_000_000_000,
        "trillion" => 1_000_000_000_000,
        _ => return None,
    })
}

/// Ordinals in words; `seconds` is a unit and `firstly` an adverb, so only these forms count.
pub(super) fn ordinal(word: &str) -> Option<u64> {
    #[rustfmt::skip]
    const ORDINALS: [&str; 20] = [
        "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
        "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth",
        "eighteenth", "nineteenth", "twentieth",
    ];
    (1..).zip(ORDINALS).find(|(_, name)| *name == word).map(|(value, _)| value)
}

/// A Roman numeral up to 21. A single letter counts only after a name within the sentence, as in `War I`, or
/// as in `type I`.
pub(super) fn roman(reading: &Reading, position: usize) -> Option<u64> {
    #[rustfmt::skip]
    const ROMAN: [&str; 21] = [
        "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii", "xiv", "xv", "xvi",
        "xvii", "xviii", "xix", "xx", "xxi",
    ];
    let word = reading.get(position)?;
    let value = (1..).zip(ROMAN).find(|(_, name)| *name == word.text).map(|(value, _)| value)?;
    // The first word of a sentence is capitalised even if it is not a name, as in `Am I`.
    let is_name = |before: Word<'_>| before.capitalised && !before.after_pause;
    let follows_name = || position >= 2 && word.capitalised && reading.get(position - 1).is_some_and(is_name);
    // "Type I" is the first of its kind; in "what type I need" the speaker says `I`.
    let follows_noun = || {
        word.capitalised
            && NUMBERED.contains(&reading.text_before(position))
            && (word.text != "i" || !SPEAKS.contains(&reading.text(position + 1)))
    };
    (word.text.len() > 1 || follows_name() || follows_noun()).then_some(value)
}

/// Nouns that Roman numerals follow.
const NUMBERED: &[&str] = &[
    "type", "phase", "part", "class", "grade", "stage", "tier", "war", "volume", "chapter", "book", "factor",
];

/// Words that follow `I` if it is the speaker.
#[rustfmt::skip]
const SPEAKS: &[&str] = &[
    "should", "need", "want", "have", "am", "can", "could", "would", "use", "must", "will", "do", "did", "like", "get", "was", "had", "may",
    "belong", "buy", "take", "choose", "chose", "bought", "got", "work", "don't", "i'm", "read", "wrote", "just", "shall", "might", "fall",
];
