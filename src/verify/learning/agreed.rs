//! What several callers say who share a scope, so that none of them alone decides for the others.
//!
//! The callers are dealt into groups, and a calibration is fitted without each group in turn. The one that departs least
//! from what was before is taken: whoever a caller is, one of them was made without their word, and what is taken departs
//! no further than that one. Where the others have said too little, nothing departs. Operators, judges and whoever has a
//! scope alone are heard in each.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::error::Result;
use crate::judgement::Judgement;
use crate::verify::calibration::{CalibratedStage, Calibration, LEAST_PER_LABEL, Sample};

/// How many groups there are at most; each costs a fit.
const GROUPS: usize = 4;
/// The rates at which decisions are compared.
const RATES: [f64; 4] = [0.01, 0.02, 0.05, 0.1];

/// Whose word it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Voice {
    /// One that decides for nobody but itself, or is trusted to.
    Own,
    /// One of those who share a scope.
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

/// Keeps the newest `most` of `words`, and as many of each voice as there is room for: who says much takes no room from who
/// says little.
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
    // The oldest of those who have more than that go.
    words.retain(|word| {
        let left = left.entry(voice(word)).or_default();
        *left -= 1;
        *left < quota
    });
    while words.len() > most {
        words.pop_front();
    }
}

/// What `words` move `base` to; none if they do not.
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

/// On how many of the pairs, at how many rates, the two decide otherwise.
fn departure(base: &Calibration, learned: &Calibration, words: &[Word]) -> usize {
    let differs = |sample: &Sample, rate| serves(base, sample, rate) != serves(learned, sample, rate);
    let count = |word: &Word| RATES.iter().filter(|&&rate| differs(&word.sample, rate)).count();
    words.iter().map(count).sum()
}

fn serves(calibration: &Calibration, sample: &Sample, rate: f64) -> bool {
    let reaches = |stage, probability: f64| {
        calibration.threshold(stage, rate).is_some_and(|least| probability >= least)
    };
    reaches(CalibratedStage::Cheap, calibration.cheap(&sample.features))
        || sample
            .logit
            .is_some_and(|logit| reaches(CalibratedStage::Full, calibration.full(&sample.features, logit)))
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
