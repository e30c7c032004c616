//! Whether the questions are in different languages, whose answers would be, too.
//!
//! Told by the script, and for the Latin one by function words. Short questions often hold none: then the
//! language is unknown, and nothing differs.

use crate::verify::text::{Comparison, Reading};

/// Which languages the questions are in, if they differ.
pub(super) fn difference(comparison: &Comparison) -> Option<String> {
    let (asked, cached) = (language(&comparison.asked)?, language(&comparison.cached)?);
    (asked != cached).then(|| format!("languages differ: {asked} against {cached}"))
}

#[rustfmt::skip]
const LATIN: &[(&str, &[&str])] = &[
    ("English", &["the", "is", "what", "how", "of", "which", "who", "when", "where", "did", "does", "was", "were", "why", "are", "my", "with"]),
    ("German", &["der", "das", "ist", "wie", "und", "welche", "welcher", "wer", "wann", "wo", "nicht", "ich", "eine", "ein", "für", "wurde", "mein", "warum"]),
    ("French", &["le", "est", "les", "quel", "quelle", "qui", "quand", "où", "comment", "des", "du", "une", "je", "mon", "pourquoi", "pour"]),
    ("Spanish", &["el", "los", "cuál", "qué", "quién", "cuándo", "dónde", "cómo", "una", "es", "fue", "mi", "cual", "quien", "por"]),
    ("Italian", &["il", "gli", "quale", "chi", "quando", "dove", "come", "è", "della", "del", "perché", "mio"]),
    ("Portuguese", &["o", "os", "qual", "quem", "onde", "como", "uma", "é", "não", "foi", "meu", "por"]),
    ("Dutch", &["het", "een", "hoe", "wie", "wanneer", "waar", "niet", "ik", "voor", "mijn", "waarom", "van"]),
];

fn language(reading: &Reading) -> Option<&'static str> {
    script(reading).or_else(|| {
        let count = |words: &[&str]| reading.words().filter(|word| words.contains(&word.text)).count();
        let mut counts: Vec<(usize, &str)> =
            LATIN.iter().map(|(name, words)| (count(words), *name)).collect();
        counts.sort_by(|a, b| b.cmp(a));
        // Two words, and twice as many as of any other language: a title or a name holds one or two.
        (counts[0].0 >= 2 && counts[0].0 >= 2 * counts[1].0).then_some(counts[0].1)
    })
}

/// The script of most letters, if it is not the Latin one.
fn script(reading: &Reading) -> Option<&'static str> {
    let mut letters = 0_usize;
    let mut counts: [(usize, &str); 8] = [
        (0, "Cyrillic"),
        (0, "Greek"),
        (0, "Arabic"),
        (0, "Hebrew"),
        (0, "Chinese or Japanese"),
        (0, "Korean"),
        (0, "Devanagari"),
        (0, "Thai"),
    ];
    for letter in reading.words().flat_map(|word| word.text.chars()).filter(|letter| letter.is_alphabetic()) {
        letters += 1;
        let script = match u32::from(letter) {
            0x0400..=0x052F => 0,
            0x0370..=0x03FF => 1,
            0x0600..=0x06FF => 2,
            0x0590..=0x05FF => 3,
            0x3040..=0x30FF | 0x3400..=0x9FFF => 4,
            0xAC00..=0xD7AF => 5,
            0x0900..=0x097F => 6,
            0x0E00..=0x0E7F => 7,
            _ => continue,
        };
        counts[script].0 += 1;
    }
    counts.iter().find(|(count, _)| 2 * count > letters).map(|&(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(a: &str, b: &str) -> bool {
        difference(&Comparison::of(a, b)).is_some()
    }

    #[test]
    fn another_language_asks_for_another_answer() {
        for (a, b) in [
            ("What is the capital of France?", "Wie ist der Name der Hauptstadt?"),
            ("Where is my card?", "¿Dónde está mi tarjeta y cómo la activo?"),
            ("What is it?", "Что это такое?"),
            ("首都はどこですか", "What is the capital?"),
        ] {
            assert!(differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn names_and_titles_tell_no_language() {
        for (a, b) in [
            ("Who wrote Der Ring des Nibelungen?", "What is the author of Der Ring des Nibelungen called?"),
            ("Warsaw", "What is Warsaw?"),
            ("password reset", "Wie setze ich das Passwort zurück?"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }
}
