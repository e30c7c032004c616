//! Edits of documents, to show what invalidation does.
//!
//! A revision always changes the text: it ends with a sentence that names its version, which replaces the
//! sentence of an earlier revision, and it may change a number. The same text, version and seed give the same
//! revision. The result is false by design; it never leaves the demo's memory.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};

use super::read_marker::Version;

const MARK: &str = " Demo revision ";

/// The text of `document` at `version`, made from its text at the previous version.
pub(super) fn revise(document: &str, text: &str, version: Version, seed: u64) -> String {
    let mut random = generator(document, version, seed);
    let body = text.rfind(MARK).map_or(text, |mark| &text[..mark]);
    let revised = if random.random_bool(0.5) { swap_number(body, &mut random) } else { body.to_owned() };
    let (day, year) = (random.random_range(1..=28), random.random_range(1990..=2030));
    format!("{revised}{MARK}{version} of {day} March {year}.")
}

fn generator(document: &str, version: Version, seed: u64) -> StdRng {
    let mut hash = Sha256::new();
    hash.update(seed.to_be_bytes());
    hash.update(version.number().to_be_bytes());
    hash.update(document.as_bytes());
    StdRng::from_seed(hash.finalize().into())
}

/// The text with one of its numbers increased a little, or the same text if it has none.
fn swap_number(text: &str, random: &mut StdRng) -> String {
    /// Longer runs of digits are not quantities.
    const MAX_DIGITS: usize = 9;
    let numbers: Vec<(usize, &str)> = digit_runs(text).filter(|(_, run)| run.len() <= MAX_DIGITS).collect();
    if numbers.is_empty() {
        return text.to_owned();
    }
    let (start, run) = numbers[random.random_range(0..numbers.len())];
    let Ok(number) = run.parse::<u64>() else { return text.to_owned() };
    let raised = number + random.random_range(1..=9);
    format!("{}{raised:0width$}{}", &text[..start], &text[start + run.len()..], width = run.len())
}

fn digit_runs(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.as_bytes()
        .chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit())
        .scan(0, |end, run| {
            let start = *end;
            *end += run.len();
            Some(start..*end)
        })
        .filter(|range| text.as_bytes()[range.start].is_ascii_digit())
        .map(|range| (range.start, &text[range]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "In 1973 prices rose by 400 percent.";

    fn version(number: u64) -> Version {
        Version::new(number)
    }

    #[test]
    fn every_revision_differs_from_the_one_before() {
        let mut text = TEXT.to_owned();
        for number in 2..200 {
            let revised = revise("d", &text, version(number), 7);
            assert_ne!(revised, text);
            assert_eq!(revised.matches(MARK).count(), 1);
            assert!(revised.ends_with('.') && revised.contains(&format!("Demo revision v{number} of ")));
            text = revised;
        }
        assert!(text.len() < TEXT.len() + 60, "revisions do not pile up");
    }

    #[test]
    fn a_revision_is_determined_by_its_inputs() {
        let revised = revise("d", TEXT, version(2), 7);
        assert_eq!(revise("d", TEXT, version(2), 7), revised);
        let others: Vec<_> = (0..20).map(|seed| revise("d", TEXT, version(2), seed)).collect();
        assert!(others.iter().any(|other| *other != revised));
        // Some change a number of the text itself, some do not.
        assert!(others.iter().any(|other| other.starts_with(TEXT)));
        assert!(others.iter().any(|other| !other.starts_with(TEXT)));
    }

    #[test]
    fn runs_of_digits_are_found_between_any_characters() {
        assert_eq!(
            digit_runs("7é1,000–x²42").collect::<Vec<_>>(),
            [(0, "7"), (3, "1"), (5, "000"), (14, "42")]
        );
        assert_eq!(digit_runs("").count(), 0);
    }

    #[test]
    fn a_text_without_numbers_is_revised_too() {
        for seed in 0..20 {
            assert!(
                revise("d", "No number.", version(2), seed).starts_with("No number. Demo revision v2 of ")
            );
        }
    }
}
