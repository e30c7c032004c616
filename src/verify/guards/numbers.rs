//! Whether two questions name the same numbers.
//!
//! `1,000`, `1k`, `1000` and `a thousand` are one number; so are `2`, `2nd`, `two` and `second`. Zeros at the
//! end of a fraction count, because `3.10` is another version than `3.1`. Order, units, signs and the script
//! of the digits do not count. Times of day are one number each: `7 pm` is `19:00`, and not `7 am`.
//!
//! Some mentions of a number hardly restrict a question: "the *first* president", "*two* kinds of",
//! "iPhone*6*", "*II*". These are [`Strength::Loose`]: if the other question leaves out a loose number, that
//! is not a difference, but two loose numbers that contradict each other are.

use std::fmt::Write;

use super::clock::Clock;
use super::foreign::{self, has_comma_decimals};
use super::numerals::{number_words, ordinal, roman, scale};
use crate::verify::text::{Reading, digit};

/// Numbers in words up to this one are loose: "the two kinds of" asks for as much as "the kinds of".
const LARGEST_LOOSE: u64 = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    /// Possibly taken back by a correction: it may match, but never counts as missing.
    Retracted,
    /// Incidental: it may match, and counts as missing only if the other question has a different one
    /// instead.
    Loose,
    /// It must be in the other question too.
    Stated,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Number {
    value: String,
    clock: Option<Clock>,
    strength: Strength,
    /// Whether it may be a year of two digits, as in `94`.
    may_be_short: bool,
}

impl Number {
    fn matches(&self, other: &Self) -> bool {
        match (self.clock, other.clock) {
            (Some(one), Some(two)) => one.matches(two),
            (Some(clock), None) => clock.is_hour(&other.value),
            (None, Some(clock)) => clock.is_hour(&self.value),
            (None, None) => self.value == other.value || self.shortens(other) || other.shortens(self),
        }
    }

    /// Whether it is the end of the year `other`: `94`, or `6` for `'06`.
    fn shortens(&self, other: &Self) -> bool {
        let century =
            |digits: &str| ["19", "20"].iter().any(|century| other.value == format!("{century}{digits:0>2}"));
        self.may_be_short && self.value.len() <= 2 && century(&self.value)
    }
}

/// How the numbers of the two questions differ, if they do.
pub(super) fn difference(question: &Reading, cached: &Reading) -> Option<String> {
    let (asked, answered) = (numbers(question), numbers(cached));
    let [left, right] = unmatched(&asked, &answered);
    let stated = left == Some(Strength::Stated) || right == Some(Strength::Stated);
    (stated || contradicting([left, right]))
        .then(|| format!("numbers differ: {} against {}", set(&asked), set(&answered)))
}

/// Whether each question has a number that the other lacks.
pub(super) fn contradict(question: &Reading, cached: &Reading) -> bool {
    contradicting(unmatched(&numbers(question), &numbers(cached)))
}

fn unmatched(asked: &[Number], answered: &[Number]) -> [Option<Strength>; 2] {
    [strongest_unmatched(asked, answered), strongest_unmatched(answered, asked)]
}

fn contradicting([left, right]: [Option<Strength>; 2]) -> bool {
    left >= Some(Strength::Loose) && right >= Some(Strength::Loose)
}

fn strongest_unmatched(numbers: &[Number], others: &[Number]) -> Option<Strength> {
    let unmatched = |number: &&Number| !others.iter().any(|other| other.matches(number));
    numbers.iter().filter(unmatched).map(|number| number.strength).max()
}

/// The values in braces, at most a handful: questions can be 64 KiB long.
fn set(numbers: &[Number]) -> String {
    const SHOWN: usize = 8;
    let mut values: Vec<&str> = numbers.iter().map(|number| number.value.as_str()).collect();
    values.sort_unstable();
    values.dedup();
    let mut text = format!("{{{}", values[..values.len().min(SHOWN)].join(", "));
    if values.len() > SHOWN {
        // Writing to a string cannot fail.
        let _ = write!(text, ", and {} more", values.len() - SHOWN);
    }
    text.push('}');
    text
}

/// The numbers of a question, each value at most once per strength, at most `MAX_NUMBERS` of them.
fn numbers(reading: &Reading) -> Vec<Number> {
    /// With more numbers than this, a question is a table, and comparing all with all would cost too much.
    /// The same limit on both sides keeps a question equal to itself.
    const MAX_NUMBERS: usize = 64;
    let mut numbers: Vec<Number> = Vec::new();
    let mut position = 0;
    while position < reading.len() && numbers.len() < MAX_NUMBERS {
        let clock = Clock::at(reading, position);
        let found = match clock {
            Some((clock, words)) => Some((clock.value(), Strength::Stated, words)),
            None => number(reading, position),
        };
        let Some((value, strength, words)) = found else {
            position += 1;
            continue;
        };
        let strength = if reading.is_retracted(position) { Strength::Retracted } else { strength };
        let clock = clock.map(|(clock, _)| clock);
        // Not in English, where it is not known how often a short number means a year.
        let may_be_short = reading.foreign().is_some() && strength == Strength::Stated;
        let mut push = |value: String, clock| {
            let number = Number { value, clock, strength, may_be_short };
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        };
        push(value, clock);
        sides(reading.text(position)).for_each(|side| push(canonical(side), None));
        position += words;
    }
    numbers
}

/// The part after the first number of dimensions within a word: the `4` of `2x4`.
fn sides(word: &str) -> impl Iterator<Item = &str> {
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let whole = word.contains('x') && word.split('x').all(plain);
    word.split('x').skip(1).filter(move |_| whole)
}

/// The number that starts at `position` and how many words it takes.
pub(super) fn number_at(reading: &Reading, position: usize) -> Option<(String, usize)> {
    number(reading, position).map(|(value, _, words)| (value, words))
}

/// The number that starts at `position`, its strength and how many words it takes.
fn number(reading: &Reading, position: usize) -> Option<(String, Strength, usize)> {
    let word = reading.get(position)?;
    let first = word.text.chars().next()?;
    if digit(first).is_some() {
        return Some(leading_digits(reading, position, word.text));
    }
    // `v1.2` is version 1.2; `V8` is an engine.
    if let Some(version) =
        word.text.strip_prefix('v').filter(|rest| rest.starts_with(|c: char| digit(c).is_some()))
    {
        let (value, _, words) = leading_digits(reading, position, version);
        let strength = if version.contains('.') { Strength::Stated } else { Strength::Loose };
        return Some((value, strength, words));
    }
    if let Some((value, words)) = foreign::number(reading, position) {
        let strength = if value <= LARGEST_LOOSE { Strength::Loose } else { Strength::Stated };
        return Some((value.to_string(), strength, words));
    }
    // English `one` and `second` may be words of another language.
    let in_english = || reading.foreign().is_none();
    if let Some((value, words)) = number_words(reading, position).filter(|_| in_english()) {
        let strength = if value <= LARGEST_LOOSE { Strength::Loose } else { Strength::Stated };
        return Some((value.to_string(), strength, words));
    }
    if let Some(value) = ordinal(word.text).filter(|_| in_english()).or_else(|| roman(reading, position)) {
        return Some((value.to_string(), Strength::Loose, 1));
    }
    let digits: String =
        word.text.chars().skip_while(|&c| any_digit(c).is_none()).map_while(any_digit).collect();
    (!digits.is_empty()).then(|| (canonical(&digits), Strength::Loose, 1))
}

/// A word that starts with a digit: `1,000`, `3.5`, `2nd`, `1990s`, `10k`, `5` before `million`.
fn leading_digits(reading: &Reading, position: usize, text: &str) -> (String, Strength, usize) {
    let numeral: String =
        text.chars().map_while(|c| digit(c).or((c == ',' || c == '.').then_some(c))).collect();
    // The digits of a reading are ASCII.
    let suffix = &text[numeral.len()..];
    let has_commas = reading.foreign().is_some_and(has_comma_decimals);
    if let Some((numeral, words)) = spaced(reading, position, text).filter(|_| has_commas) {
        return (canonical(&numeral), Strength::Stated, words);
    }
    let numeral = if has_commas { in_english_signs(&numeral) } else { numeral };
    let value = canonical(&ungrouped(&numeral));
    let exponent =
        suffix.strip_prefix('e').filter(|exponent| exponent.bytes().all(|byte| byte.is_ascii_digit()));
    if let Some(exponent) = exponent.filter(|exponent| !exponent.is_empty()) {
        return (format!("{value}e{exponent}"), Strength::Stated, 1);
    }
    let (factor, words) = match (suffix, scale(reading.text(position + 1))) {
        ("k", _) => (Some(1_000), 1),
        ("", Some(factor)) => (Some(factor), 2),
        _ => (None, 1),
    };
    let value = factor.and_then(|factor| scaled(&value, factor)).unwrap_or(value);
    // Where `one` is an article, some people write it as a digit.
    let is_article = value == "1" && suffix.is_empty() && reading.foreign().is_some();
    (value, if is_article { Strength::Loose } else { Strength::Stated }, words)
}

/// A numeral with spaces between its thousands, `10 000`, returned without them, and how many words it takes.
fn spaced(reading: &Reading, position: usize, text: &str) -> Option<(String, usize)> {
    let is_digits = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    let is_group = |at: &usize| {
        let group = reading.text(*at);
        group.len() == 3 && is_digits(group) && reading.gap_before(*at) == " "
    };
    let groups = (position + 1..reading.len()).take_while(is_group);
    let leads = (1..=3).contains(&text.len()) && is_digits(text);
    let numeral: String = std::iter::once(text).chain(groups.map(|at| reading.text(at))).collect();
    let words = 1 + (numeral.len() - text.len()) / 3;
    (leads && words > 1).then_some((numeral, words))
}

/// A numeral with a comma before its fraction and perhaps points between its thousands, rewritten as in
/// English. A point that is neither is left unchanged: versions are written the same way.
fn in_english_signs(numeral: &str) -> String {
    let (whole, fraction) = numeral.split_once(',').unwrap_or((numeral, ""));
    let groups = || whole.split('.').skip(1);
    let is_grouped = groups().next().is_some() && groups().all(|group| group.len() == 3);
    let leads = whole.split('.').next().is_some_and(|group| (1..=3).contains(&group.len()));
    let whole = if is_grouped && leads { whole.replace('.', "") } else { whole.to_owned() };
    match fraction {
        "" => whole,
        _ if whole.contains('.') || fraction.contains(',') => numeral.to_owned(),
        _ => format!("{whole}.{fraction}"),
    }
}

/// Removes commas that group thousands; any other comma ends the number, as in a list without spaces.
fn ungrouped(numeral: &str) -> String {
    let whole = numeral.split('.').next().unwrap_or_default();
    let mut groups = whole.split(',');
    let leads = groups.next().is_some_and(|group| (1..=3).contains(&group.len()));
    if leads && groups.all(|group| group.len() == 3) {
        numeral.replace(',', "")
    } else {
        numeral.replace(',', "/")
    }
}

/// One spelling for each value: no leading zeros, and no fraction that is only zeros.
fn canonical(numeral: &str) -> String {
    let numeral = numeral.trim_start_matches('0');
    let numeral = match numeral.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|byte| byte == b'0') => whole,
        _ => numeral,
    };
    if numeral.is_empty() || numeral.starts_with('.') { format!("0{numeral}") } else { numeral.into() }
}

/// `value` times `factor`, if both fit exactly.
fn scaled(value: &str, factor: u64) -> Option<String> {
    const MAX_FRACTION: u32 = 3;
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let places = u32::try_from(fraction.len()).ok().filter(|&places| places <= MAX_FRACTION)?;
    let digits: u64 = format!("{whole}{fraction}").parse().ok()?;
    let product = digits.checked_mul(factor)?;
    let divisor = 10_u64.pow(places);
    (product % divisor == 0).then(|| (product / divisor).to_string())
}

/// The same, also for raised and lowered digits: `CO₂`, `m³`.
fn any_digit(character: char) -> Option<char> {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raised = || ('0'..='9').zip(RAISED).find(|(_, raised)| *raised == character).map(|(plain, _)| plain);
    match character {
        '₀'..='₉' => char::from_digit(character as u32 - '₀' as u32, 10),
        _ => digit(character).or_else(raised),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(a: &str, b: &str) -> bool {
        difference(&Reading::of(a), &Reading::of(b)).is_some()
    }

    fn values(question: &str) -> String {
        set(&numbers(&Reading::of(question)))
    }

    #[test]
    fn one_value_has_many_spellings() {
        for (value, spellings) in [
            ("{1000}", &["1,000", "1000", "1k", "a thousand", "one thousand", "1 thousand", "１０００"][..]),
            ("{2}", &["two", "2", "2nd", "second", "World War II", "02", "2.0"]),
            ("{21}", &["twenty-one", "21st", "the twenty-first", "XXI"]),
            ("{1500000}", &["1.5 million", "1,500,000", "one million five hundred thousand"]),
            ("{205}", &["two hundred and five", "two hundred five", "205"]),
            ("{24}", &["two dozen", "24"]),
            ("{1990}", &["the 1990s", "1990's", "'1990"]),
            ("{6}", &["iPhone6", "iPhone 6s"]),
            ("{1}", &["World War I", "one", "first"]),
            ("{3.10}", &["Python 3.10"]),
            ("{0.5}", &["0.5", "00.5"]),
            ("{1.20}", &["v1.20", "version 1.20"]),
            ("{2, 4}", &["2x4", "2 by 4", "4x2"]),
            ("{3}", &["m³", "m3", "O₃"]),
            ("{19:00}", &["7pm", "7 PM", "7 p.m.", "7p.m.", "19:00", "7:00 pm", "7.00 pm"]),
            ("{07:00}", &["7am", "7 a.m.", "07:00", "7:00"]),
            ("{00:30}", &["12:30 am", "0:30"]),
            ("{1, 16, 9}", &["1 in 16:9"]),
            ("{5, 6}", &["five six", "5 and 6"]),
            ("{2010/2011}", &["2010,2011"]),
            ("{}", &["How do I wait seconds?", "someone", "hundreds of", ""]),
        ] {
            for spelling in spellings {
                assert_eq!(values(spelling), *value, "{spelling}");
            }
        }
    }

    #[test]
    fn times_of_day_match_in_any_way_of_writing_them() {
        for (a, b) in [
            ("open at 7 am", "open at 07:00"),
            ("open at 7pm", "open at 19:00"),
            ("open at 7 pm", "open at 7:00"),
            ("open at 7", "open at 7 pm"),
            ("from 9 to 5", "from 9 am to 5 pm"),
            ("at 12 am", "at 00:00"),
            ("bus no. 7", "bus number 7"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
        for (a, b) in [
            ("open at 7 am", "open at 7 pm"),
            ("open at 7am", "open at 19:00"),
            ("open at 7:30", "open at 7:00"),
            ("at 12 am", "at 12 pm"),
            ("open at 7 pm", "open"),
        ] {
            assert!(differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn stated_numbers_must_be_the_same() {
        for (a, b) in [
            ("upgrade to v1.2", "upgrade to v1.20"),
            ("2x4 boards", "2x6 boards"),
            ("a limit of 1e5", "a limit of 1e6"),
            ("Type I diabetes", "Type II diabetes"),
            ("is it type I", "is it type II"),
            ("population in 2019", "population in 2021"),
            ("population in 2019", "population"),
            ("Python 3.1", "Python 3.10"),
            ("4g against 5g", "3g against 5g"),
            ("the first world war", "the second world war"),
            ("World War I", "World War II"),
            ("three ways to cook rice", "five ways to cook rice"),
            ("gpt4 or claude", "gpt3 or claude"),
            ("a hundred ways", "a thousand ways"),
        ] {
            assert!(differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn loose_mentions_are_not_missed() {
        for (a, b) in [
            ("who was the first president of Poland", "who was the president of Poland"),
            ("what are the two kinds of reduction", "what kinds of reduction are there"),
            ("can I get one of these", "can I get these"),
            ("how to convert to mp3", "how to convert a song"),
            ("causes of world war 2", "causes of the Second World War"),
            ("within eight days", "within 8 days"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn what_was_taken_back_is_optional() {
        assert!(!differ("primes modulo 8 or wait 9", "primes modulo 9"));
        assert!(differ("primes modulo 8 or wait 9", "primes modulo 8"));
        assert!(!differ("when in 1990 did, no wait, who invaded", "who invaded in 1990"));
    }

    #[test]
    fn the_detail_names_both_sets() {
        let detail = difference(&Reading::of("in 2019"), &Reading::of("from 2021 to 1999")).unwrap();
        assert_eq!(detail, "numbers differ: {2019} against {1999, 2021}");
        let many = (0..20).map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
        assert!(values(&many).ends_with(", and 12 more}"));
    }
}
