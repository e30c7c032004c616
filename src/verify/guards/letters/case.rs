//! Whether two words that differ in case are different words.
//!
//! Mostly they are the same: people type in lower case, shout, capitalise titles and sentences (`Reset`,
//! `sql`, `MFA`). If a question is wholly in capitals, its case says nothing at all. Case matters in
//!
//! - abbreviations that are also words, [function words](FUNCTION_WORDS) (`WHO`, `US`, `IT`) or
//!   [others](OTHER_WORDS) (`AIDS`): capitals on one side and small letters on the other. If a question is
//!   wholly in lower case, the latter may mean either; the former are abbreviations only where a pronoun
//!   cannot be (`the us`), because pronouns are far more frequent,
//! - [units](SYMBOLS) whose prefix or letter has another meaning in capitals: `mW` and `MW`, `Mb` and `MB`. A
//!   spelling that no one means exactly (`gb`, `MHZ`) matches each of them,
//! - chemical elements against abbreviations with the same letters: `Co` and `CO`, if no sentence or title
//!   explains the capital,
//! - identifiers from code (`getItem`), which are different ones with different capitals. Brands such as
//!   `iPhone` and `YouTube` are not identifiers.
//!
//! Names of countries, languages and products that are also words (`Turkey`, `Polish`, `Word`) are typed in
//! lower case so often that they count as the same word here.

use super::Written;
use crate::verify::text::Reading;

/// How a question uses capitals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Nowhere.
    Lower,
    /// In most of its words.
    Title,
    /// Everywhere, or nearly so.
    Shouted,
    /// More or less as grammar requires.
    Normal,
}

impl Style {
    pub(super) fn of(reading: &Reading) -> Self {
        let (mut words, mut capitals, mut upper, mut any) = (0_usize, 0_usize, 0_usize, false);
        for at in 0..reading.len() {
            let word = reading.written(at);
            let shape = Shape::of(word);
            any |= shape != Shape::Lower;
            // In titles, words of one to three letters are in small letters.
            if word.chars().filter(|c| c.is_alphabetic()).count() > 3 {
                words += 1;
                capitals += usize::from(shape != Shape::Lower);
                upper += usize::from(shape == Shape::Upper);
            }
        }
        match words {
            _ if !any => Self::Lower,
            1.. if upper * 3 >= words * 2 => Self::Shouted,
            2.. if capitals * 5 >= words * 4 => Self::Title,
            _ => Self::Normal,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Lower,
    /// `Title`, also of one letter.
    Title,
    /// `UPPER`, of two letters or more.
    Upper,
    Mixed,
}

impl Shape {
    fn of(word: &str) -> Self {
        let mut letters = word.chars().filter(|c| c.is_alphabetic());
        let first = letters.next().is_some_and(char::is_uppercase);
        let (mut upper, mut lower) = (false, false);
        for letter in letters {
            upper |= letter.is_uppercase();
            lower |= !letter.is_uppercase();
        }
        match (first, upper, lower) {
            (false, false, _) => Self::Lower,
            (true, false, _) => Self::Title,
            (true, true, false) => Self::Upper,
            _ => Self::Mixed,
        }
    }
}

/// Abbreviations that are pronouns in small letters.
const FUNCTION_WORDS: &[&str] = &["who", "us", "it"];

/// Abbreviations that are nouns, verbs or adjectives in small letters.
const OTHER_WORDS: &[&str] = &[
    "aids", "arm", "act", "sat", "ice", "stem", "start", "mass", "bat", "rest", "soap", "dare", "mad", "tart",
];

/// Spellings of different units, in pairs.
#[rustfmt::skip]
const SYMBOLS: &[(&str, &str)] = &[
    ("mW", "MW"), ("mw", "MW"), ("mW", "Mw"), ("mw", "Mw"), ("mV", "MV"), ("mv", "MV"), ("mV", "Mv"), ("mA", "MA"), ("ma", "MA"),
    ("mA", "Ma"), ("mJ", "MJ"), ("mj", "MJ"), ("mHz", "MHz"), ("mPa", "MPa"), ("mN", "MN"), ("mWh", "MWh"), ("mwh", "MWh"), ("mSv", "MSv"),
    ("mM", "MM"), ("mM", "mm"), ("mM", "Mm"), ("mg", "Mg"), ("MG", "Mg"), ("mS", "ms"), ("mS", "MS"), ("mT", "MT"), ("mT", "mt"),
    ("Mb", "MB"), ("Mb", "mb"), ("kb", "kB"), ("Kb", "kB"), ("Kb", "KB"), ("Gb", "GB"), ("Gb", "gb"), ("Tb", "TB"), ("Tb", "tb"),
    ("Mbps", "MBps"), ("mbps", "MBps"), ("kbps", "kBps"), ("Kbps", "KBps"), ("Gbps", "GBps"), ("gbps", "GBps"), ("Mib", "MiB"), ("Gib", "GiB"),
    ("pH", "PH"), ("Pa", "PA"), ("Cal", "cal"),
];

/// Elements whose symbol has two letters, without those that are also lazy spellings of abbreviations: `Eu`
/// for `EU`, `Am` for `AM`.
#[rustfmt::skip]
const ELEMENTS: &[&str] = &[
    "Li", "Ne", "Na", "Mg", "Si", "Cl", "Ar", "Sc", "Ti", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ge", "Br", "Kr", "Rb", "Sr", "Zr",
    "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "Sn", "Sb", "Te", "Xe", "Cs", "Ba", "Ce", "Pr", "Nd", "Sm", "Gd", "Dy", "Er", "Tm",
    "Yb", "Lu", "Hf", "Ta", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "Rn", "Fr", "Ra", "Th", "Np", "Pu", "Cm", "Bk", "Cf", "No",
];

/// Names of products that begin like identifiers.
const BRANDS: &[&str] =
    &["macos", "watchos", "opensuse", "deepseek", "mychart", "whatsapp", "youtube", "linkedin", "ruby"];

/// Whether case makes the two different words. They are equal except for case and marks.
pub(super) fn differ(one: (&Written<'_>, Style), other: (&Written<'_>, Style)) -> bool {
    if one.1 == Style::Shouted || other.1 == Style::Shouted {
        return false;
    }
    let (a, b) = (&*one.0.text, &*other.0.text);
    is_pair_of_symbols(a, b)
        || is_abbreviation_of(one, other)
        || is_abbreviation_of(other, one)
        || is_element(one, b)
        || is_element(other, a)
        || a != b && (is_identifier(one.0) || is_identifier(other.0)) && !is_same_but_for_first(a, b)
}

/// Whether the two are different units, on their own or right after their number.
fn is_pair_of_symbols(one: &str, other: &str) -> bool {
    const NUMBER: [char; 12] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '.', ','];
    let (a, b) = (one.trim_start_matches(NUMBER), other.trim_start_matches(NUMBER));
    SYMBOLS.iter().any(|&(x, y)| (x == a && y == b) || (y == a && x == b))
}

/// Whether `one` is an abbreviation where `other` is a word.
fn is_abbreviation_of(one: (&Written<'_>, Style), other: (&Written<'_>, Style)) -> bool {
    let shape = Shape::of(&other.0.text);
    if Shape::of(&one.0.text) != Shape::Upper || !matches!(shape, Shape::Lower | Shape::Title) {
        return false;
    }
    let word = &*other.0.folded;
    if FUNCTION_WORDS.contains(&word) {
        return stand_alike(one.0, other.0) && !reads_as_abbreviation(other.0);
    }
    OTHER_WORDS.contains(&word) && other.1 == Style::Normal && !is_explained(other)
}

/// Whether the two have the same word before or after them. Elsewhere, pronouns stand in too many sentences.
fn stand_alike(one: &Written<'_>, other: &Written<'_>) -> bool {
    let around = |written: &Written<'_>| {
        let Written { reading, at, .. } = *written;
        (reading.text_before(at).to_owned(), reading.text(at + 1).to_owned())
    };
    let ((before, after), (other_before, other_after)) = (around(one), around(other));
    before == other_before || after == other_after
}

/// Whether the words beside a pronoun in small letters show that it is an abbreviation: `the us`, `an it
/// job`.
fn reads_as_abbreviation(written: &Written<'_>) -> bool {
    const BEFORE: &[&str] = &["the", "a", "an", "my", "our", "your", "their", "this", "which"];
    #[rustfmt::skip]
    const IT: &[&str] = &[
        "company", "companies", "firm", "firms", "job", "jobs", "sector", "industry", "department", "professional", "professionals",
        "support", "field", "career", "security", "infrastructure", "engineer", "engineers", "manager", "team", "skills", "services",
    ];
    #[rustfmt::skip]
    const TAKE_US: &[&str] = &[
        "help", "helps", "give", "gives", "tell", "let", "for", "with", "between", "of", "to", "contact", "join", "about", "from", "show", "teach", "all",
        "send", "make", "makes", "call", "both", "each", "like", "on", "than", "and", "or", "keep", "allow", "affect", "affects", "cost", "visit", "around",
    ];
    let (before, after) = (written.reading.text_before(written.at), written.reading.text(written.at + 1));
    BEFORE.contains(&before)
        || match &*written.folded {
            // Few words come before this pronoun; after any other word, a country is meant.
            "us" => !TAKE_US.contains(&before),
            "it" => IT.contains(&after),
            _ => false,
        }
}

/// Whether `one` is an element's symbol and `other` the same letters in capitals.
fn is_element(one: (&Written<'_>, Style), other: &str) -> bool {
    ELEMENTS.contains(&&*one.0.text)
        && one.1 != Style::Title
        && !is_explained(one)
        && Shape::of(other) == Shape::Upper
}

/// Whether the beginning of a sentence explains a capital.
fn is_explained((written, _): (&Written<'_>, Style)) -> bool {
    let starts = written.at == 0 || written.reading.gap_before(written.at).contains(['.', '?', '!', ':']);
    starts && Shape::of(&written.text) == Shape::Title
}

/// Whether it has a capital inside and none at the beginning, after more letters than brands have before
/// theirs. Capitals up to the end belong to an abbreviation, as in `mRNA`.
fn is_identifier(written: &Written<'_>) -> bool {
    let small = written.text.chars().take_while(|c| c.is_lowercase()).count();
    let mut rest = written.text.chars().skip(small);
    let capital = rest.next().is_some_and(char::is_uppercase) && rest.next().is_some_and(char::is_lowercase);
    small >= 2 && capital && !BRANDS.contains(&&*written.folded)
}

/// Whether only the first letters differ: a sentence may begin with an identifier.
fn is_same_but_for_first(one: &str, other: &str) -> bool {
    let rest = |text: &str| text.chars().next().map_or(0, char::len_utf8);
    one[rest(one)..] == other[rest(other)..]
}

#[cfg(test)]
mod tests {
    use crate::verify::guards::Guard;
    use crate::verify::text::Comparison;

    fn differ(a: &str, b: &str) -> bool {
        let difference = |a, b| Guard::Letters.difference(&Comparison::of(a, b)).is_some();
        assert_eq!(difference(a, b), difference(b, a), "{a} | {b}");
        difference(a, b)
    }

    #[test]
    fn case_that_makes_another_word_is_a_difference() {
        for (a, b) in [
            ("What do WHO guidelines say?", "What do who guidelines say?"),
            ("Can IT help?", "Can it help?"),
            ("can it help", "Can IT help?"),
            ("Does the doctor treat AIDS for hearing?", "Does the doctor treat aids for hearing?"),
            ("They visit US often", "They visit us often"),
            ("a 5 mW laser", "a 5 MW laser"),
            ("a 5 mw laser", "a 5 MW laser"),
            ("500 mA", "500 MA"),
            ("a 500mW laser", "a 500MW laser"),
            ("20 Mb file", "20 MB file"),
            ("20 kB file", "20 kb file"),
            ("10 mM solution", "10 MM solution"),
            ("Is Co toxic?", "Is CO toxic?"),
            ("density of Hf", "density of HF"),
            ("Is No toxic?", "Is NO toxic?"),
            ("What is Cs?", "What is CS?"),
            ("Effects of Pb in water", "Effects of PB in water"),
            ("What does getItem return?", "What does getitem return?"),
        ] {
            assert!(differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn lazy_typing_is_no_difference() {
        for (a, b) in [
            ("How do I Reset it?", "how do i reset it"),
            ("set up mfa", "Set up MFA"),
            ("learn SQL", "learn sql"),
            ("WHO FOUNDED ROME?", "Who founded Rome?"),
            ("who founded rome", "Who founded Rome?"),
            ("How Does It Work", "how does it work"),
            ("population of the us", "Population of the US?"),
            ("us population", "US population"),
            ("living with aids", "Living with AIDS"),
            ("Aids symptoms", "AIDS symptoms"),
            ("16 gb ram", "16 GB RAM"),
            ("16 KB", "16 kB"),
            ("5 mhz", "5 MHz"),
            ("3 KW", "3 kW"),
            ("my iphone", "my iPhone"),
            ("YouTube", "youtube"),
            ("Youtube on macos", "YouTube on macOS"),
            ("co poisoning", "CO poisoning"),
            ("Is it OK?", "Is it ok?"),
            ("getItem in a loop", "GetItem in a loop"),
            ("what is voLTE", "what is volte"),
            ("which who office", "Which WHO office?"),
            ("it jobs in town", "IT jobs in town"),
            ("IT wants it, is it safe?", "Is it safe?"),
            ("cheap us shares", "cheap US shares"),
            ("EU law", "Eu law"),
            ("Co poisoning", "CO poisoning"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }
}
