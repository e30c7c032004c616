//! Whether two words have changed places: "from A to B" against "from B to A".
//!
//! Questions may put the same words in another order and ask the same ("What did he found in 1920?", "In
//! 1920, what did he found?"). It is another question where each of two words stands in the other's
//! place, beside what stood beside that one. Speech that corrects itself has no reliable order.

use crate::verify::text::{Comparison, Reading};

/// Which words changed places, if any did.
pub(super) fn difference(comparison: &Comparison) -> Option<String> {
    let (one, other) = exchanged(comparison)?;
    Some(format!("`{one}` and `{other}` have changed places"))
}

/// Two content words of the question asked, each of which stands in the other's place in the cached one.
pub(in crate::verify) fn exchanged(comparison: &Comparison) -> Option<(&str, &str)> {
    let Comparison { asked, cached, alignment } = comparison;
    if asked.retracted() > 0 || cached.retracted() > 0 {
        return None;
    }
    let matches: Vec<(usize, usize)> = alignment.matches().collect();
    matches.iter().enumerate().find_map(|(n, &(i, j))| {
        matches[n + 1..].iter().find_map(|&(k, l)| {
            let crossed = l < j && asked.text(i) != asked.text(k);
            // The word asked at `i` is cached at `j`, where the other's surroundings are, and vice versa.
            let changed =
                crossed && same_place((asked, k), (cached, j)) && same_place((asked, i), (cached, l));
            changed.then(|| (asked.text(i), asked.text(k)))
        })
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
    fn inversions_go_from_none_to_all() {
        let share = |a, b| inversions(&Comparison::of(a, b));
        assert!(share("alpha beta gamma", "alpha beta gamma").abs() < 1e-6);
        assert!((share("alpha beta gamma", "gamma beta alpha") - 1.0).abs() < 1e-6);
        assert!((share("alpha beta gamma", "beta alpha gamma") - 1.0 / 3.0).abs() < 1e-6);
        assert!(share("alpha", "beta").abs() < 1e-6);
    }
}
