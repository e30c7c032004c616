//! Learning from several callers that share a scope, so that none of them alone decides for the others.
//!
//! The callers are divided into groups, and one calibration is fitted without each group in turn. The
//! calibration that departs least from the base is taken. For every caller, one of these calibrations was
//! made without their word, and the one taken departs no further than that one. If the other callers have
//! said too little, nothing changes. Operators, judges and a caller that has a scope alone are included in
//! every fit.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::error::Result;
use crate::judgement::Judgement;
use crate::verify::calibration::{CalibratedStage, Calibration, LEAST_PER_LABEL, Sample};

/// The most groups; each costs a fit.
const GROUPS: usize = 4;
/// The rates at which decisions are compared.
const RATES: [f64; 4] = [0.01, 0.02, 0.05, 0.1];

/// The source of a judgement.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Voice {
    /// A source that decides only for itself, or is trusted to decide for others.
    Own,
    /// One of the callers that share a scope.
    Caller(Option<Arc<str>>),
}

impl Voice {
    pub(super) fn of(judgement: &Judgement) -> Self {
        if judgement.is_shared() { Self::Caller(judgement.by.clone()) } else { Self::Own }
    }
}

/// A judged pair, and who judged.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) sample: Sample,
    pub(super) voice: Voice,
}

/// Keeps the newest `most` of `words`, and as many of each voice as there is room for: a caller that says
/// much takes no room from one that says little.
pub(super) fn shorten<T>(words: &mut VecDeque<T>, most: usize, voice: impl Fn(&T) -> Voice) {
    if words.len() <= most {
        return;
    }
    let mut left = HashMap::<Voice, usize>::new();
    for word in &*words {
        *left.entry(voice(word)).or_default() += 1;
    }
    let total = |quota: usize| left.values().map(|&count| count.min(quota)).sum::<usize>();
    let quota = (1..=most).rev().find(|&quota| total(quota) <= most).unwrap_or(1);
    // From each voice that has more than that, the oldest words are dropped.
    words.retain(|word| {
        let left = left.entry(voice(word)).or_default();
        *left -= 1;
        *left < quota
    });
    while words.len() > most {
        words.pop_front();
    }
}

/// The calibration that `words` lead to from `base`; none if they change nothing.
pub(super) fn learn(base: &Calibration, words: &[Word]) -> Result<Option<Calibration>> {
    let callers: BTreeSet<&Voice> =
        words.iter().map(|word| &word.voice).filter(|voice| **voice != Voice::Own).collect();
    let groups = callers.len().clamp(1, GROUPS);
    let group: HashMap<&Voice, usize> =
        callers.into_iter().enumerate().map(|(n, voice)| (voice, n % groups)).collect();
    let mut least: Option<(usize, Calibration)> = None;
    for left_out in 0..groups {
        let is_heard = |word: &&Word| group.get(&word.voice) != Some(&left_out);
        let samples: Vec<Sample> = words.iter().filter(is_heard).map(|word| word.sample).collect();
        let right = samples.iter().filter(|sample| sample.is_same).count();
        if right.min(samples.len() - right) < LEAST_PER_LABEL {
            return Ok(None);
        }
        let learned = base.learn("learned", &format!("{} judgements", samples.len()), &samples)?;
        let departs = departure(base, &learned, words);
        if least.as_ref().is_none_or(|(least, _)| departs < *least) {
            least = Some((departs, learned));
        }
    }
    Ok(least.map(|(_, learned)| learned))
}

/// How many decisions differ between the two, over all pairs and rates.
fn departure(base: &Calibration, learned: &Calibration, words: &[Word]) -> usize {
    let differs = |sample: &Sample, rate| serves(base, sample, rate) != serves(learned, sample, rate);
    let count = |word: &Word| RATES.iter().filter(|&&rate| differs(&word.sample, rate)).count();
    words.iter().map(count).sum()
}

fn serves(calibration: &Calibration, sample: &Sample, rate: f64) -> bool {
    let reaches =
        |threshold: Option<f64>, probability: f64| threshold.is_some_and(|least| probability >= least);
    let last = if sample.logit.is_some() { CalibratedStage::Full } else { CalibratedStage::Cheap };
    reaches(calibration.cheap_threshold(last, rate), calibration.cheap(&sample.features))
        || sample.logit.is_some_and(|logit| {
            let threshold = calibration.threshold(CalibratedStage::Full, rate);
            reaches(threshold, calibration.full(&sample.features, logit))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_much_takes_no_room_from_who_says_little() {
        let caller = |name: &str| Voice::Caller(Some(name.into()));
        let (loud, quiet) = (caller("loud"), caller("quiet"));
        let mut words: VecDeque<(Voice, usize)> = (0..5).map(|n| (quiet.clone(), n)).collect();
        words.extend((5..1_000).map(|n| (loud.clone(), n)));
        words.extend((0..10).map(|n| (Voice::Own, n)));
        shorten(&mut words, 30, |(voice, _)| voice.clone());
        let of = |wanted: &Voice| words.iter().filter(|(voice, _)| voice == wanted).count();
        assert_eq!((of(&quiet), of(&loud), of(&Voice::Own)), (5, 15, 10));
        assert!(words.contains(&(loud.clone(), 999)) && !words.contains(&(loud, 984)), "the newest stay");
    }
}
