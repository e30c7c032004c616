//! Splits a paragraph into sentences, the unit of the demo's retrieval and of its extractive answers.
//!
//! A plain rule: a sentence ends with `.`, `!` or `?`, closing quotes included, before a space and a
//! capital letter, a digit or an opening quote; not after an initial or a common abbreviation.

/// A piece longer than this is cut between words, so that the embedding model sees all of it.
const MAX_WORDS: usize = 80;

/// The sentences of `paragraph`, in order, none of them empty.
pub(super) fn split(paragraph: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    for (end, next) in paragraph.match_indices(' ').map(|(at, _)| (at, at + 1)) {
        if ends_sentence(&paragraph[start..end]) && begins_sentence(&paragraph[next..]) {
            push_cut(&mut sentences, &paragraph[start..end]);
            start = next;
        }
    }
    push_cut(&mut sentences, &paragraph[start..]);
    sentences
}

fn push_cut<'a>(sentences: &mut Vec<&'a str>, mut sentence: &'a str) {
    while let Some((cut, _)) = sentence.match_indices(' ').nth(MAX_WORDS - 1) {
        sentences.push(sentence[..cut].trim());
        sentence = sentence[cut..].trim_start();
    }
    sentences.push(sentence.trim());
    sentences.retain(|sentence| !sentence.is_empty());
}

fn ends_sentence(text: &str) -> bool {
    let text = text.trim_end_matches(['"', '”', '’', '\'', ')', ']']);
    text.ends_with(['!', '?']) || text.strip_suffix('.').is_some_and(|text| !ends_abbreviated(text))
}

fn ends_abbreviated(text: &str) -> bool {
    const ABBREVIATIONS: [&str; 13] =
        ["St", "Dr", "Mr", "Mrs", "No", "Art", "vs", "cf", "ca", "c", "e.g", "i.e", "etc"];
    let word = text.rsplit([' ', '(']).next().unwrap_or_default();
    let is_initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    is_initial || ABBREVIATIONS.contains(&word)
}

fn begins_sentence(text: &str) -> bool {
    let text = text.trim_start_matches(['"', '“', '‘', '\'', '(', '[', ' ']);
    text.starts_with(|first: char| first.is_uppercase() || first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sentences_end_before_a_capital() {
        assert_eq!(
            split(
                "It rose by 3.5 percent. \"Why?\" he asked J. Smith of St. Paul. In 1973, oil (e.g. Brent) rose!"
            ),
            [
                "It rose by 3.5 percent.",
                "\"Why?\" he asked J. Smith of St. Paul.",
                "In 1973, oil (e.g. Brent) rose!"
            ]
        );
        assert_eq!(split("no end"), ["no end"]);
        assert!(split(" ").is_empty());
    }

    #[test]
    fn long_sentences_are_cut_between_words() {
        let long = "word ".repeat(200);
        let pieces = split(&long);
        assert_eq!(pieces.iter().map(|piece| piece.split(' ').count()).collect::<Vec<_>>(), [80, 80, 40]);
    }

    proptest! {
        #[test]
        fn nothing_but_spaces_is_lost(text in any::<String>()) {
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&split(&text).concat()), letters(&text));
        }
    }
}
