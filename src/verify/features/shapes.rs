//! How alike the two questions are in form.

use crate::verify::guards::kinds;
use crate::verify::text::{Alignment, Comparison, Reading, Token};

/// The Dice coefficient of the letter trigrams of both questions, in `0.0..=1.0`.
pub(super) fn letters(comparison: &Comparison) -> f32 {
    let (asked, cached) = (trigrams(&comparison.asked), trigrams(&comparison.cached));
    let all = asked.len() + cached.len();
    if all == 0 {
        return 1.0;
    }
    let (mut i, mut j, mut common) = (0, 0, 0_usize);
    while i < asked.len() && j < cached.len() {
        match asked[i].cmp(&cached[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                common += 1;
                i += 1;
                j += 1;
            }
        }
    }
    2.0 * common as f32 / all as f32
}

/// The trigrams of the aligned words, sorted. A single separator stands between words.
fn trigrams(reading: &Reading) -> Vec<u32> {
    let bytes: Vec<u8> = reading
        .words()
        .take(Alignment::LONGEST)
        .flat_map(|word| std::iter::once(b' ').chain(word.text.bytes()))
        .chain(std::iter::once(b' '))
        .collect();
    let mut trigrams: Vec<u32> =
        bytes.windows(3).map(|three| u32::from_be_bytes([0, three[0], three[1], three[2]])).collect();
    trigrams.sort_unstable();
    trigrams
}

/// 1 if both questions begin with the same word.
pub(super) fn same_start(comparison: &Comparison) -> f32 {
    f32::from(u8::from(comparison.asked.text(0) == comparison.cached.text(0)))
}

/// 1 if the last content words of both questions match each other.
pub(super) fn same_end(comparison: &Comparison) -> f32 {
    let last = |tokens: &[Token]| tokens.iter().rposition(|token| token.content);
    let (asked, cached) = (last(&comparison.alignment.asked), last(&comparison.alignment.cached));
    let partner = asked.and_then(|at| comparison.alignment.asked[at].partner).map(usize::from);
    f32::from(u8::from(partner.is_some() && partner == cached))
}

/// 1 if both ask for one kind of answer, 0 if not, 0.5 if that cannot be determined.
pub(super) fn same_kind(comparison: &Comparison) -> f32 {
    kinds(comparison).map_or(0.5, |(asked, cached)| f32::from(u8::from(asked == cached)))
}

/// The longest run of consecutive words that is in both questions, as a share of the shorter question.
pub(super) fn common_run(comparison: &Comparison) -> f32 {
    let alignment = &comparison.alignment;
    let (mut longest, mut run, mut expected) = (0_usize, 0_usize, None);
    for token in &alignment.asked {
        let partner = token.partner.filter(|_| token.exact);
        run = match partner {
            Some(place) if expected == Some(place) => run + 1,
            Some(_) => 1,
            None => 0,
        };
        expected = partner.map(|place| place + 1);
        longest = longest.max(run);
    }
    let shorter = alignment.asked.len().min(alignment.cached.len());
    if shorter == 0 { 0.0 } else { longest as f32 / shorter as f32 }
}
