//! Which candidate a lookup serves, and how long the decision takes.
//!
//! As in the cache, candidates are screened from the nearest on, and the first that the cheap stages accept
//! is served. If they accept none, the undecided candidate that the scorer finds most likely is served, unless
//! others that ask something else are likely, too.

use std::collections::HashMap;

use wellspring::verify::{CalibratedStage, Pipeline, RIVAL_FROM, beside_rivals};

use super::examined::Examined;
use super::policy::{Judge, Policy};

/// The score of a candidate that the cheap stages accept alone: it is served at every threshold of the
/// scorer.
pub(super) const CERTAIN: f32 = 1.0;

/// A candidate that is served at some thresholds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Offer {
    /// Its place among the candidates.
    pub(super) place: usize,
    /// The greatest threshold that serves it.
    pub(super) score: f32,
    /// How sure the policy is of it.
    pub(super) confidence: f32,
}

/// Candidates that may claim the same question, as pairs of their places, with the data on whether they ask the
/// same.
pub(super) type Rivals = HashMap<(usize, usize), Examined>;

/// The result of a lookup's first look at a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Screened {
    Rejected,
    /// Accepted if the threshold is at most this.
    Scored(f32),
    /// Accepted with this probability, whatever the threshold of the scorer.
    Enough(f32),
    /// The scorer must decide.
    Undecided,
}

impl Judge {
    /// Those of `candidates`, nearest first, that are served as the threshold falls, in the order in which a
    /// lookup reaches them. At a given threshold, the first whose score reaches it is served. Each has a
    /// higher score than those before it.
    pub(super) fn offers(&self, candidates: &[&Examined], rivals: &Rivals) -> Vec<Offer> {
        let (mut decided, mut scored) = (Vec::new(), Vec::new());
        for (place, pair) in candidates.iter().enumerate() {
            match self.screened(pair) {
                Screened::Rejected => {}
                Screened::Scored(score) => decided.push((place, score)),
                Screened::Enough(confidence) => return vec![Offer { place, score: CERTAIN, confidence }],
                Screened::Undecided => scored.extend(self.score(pair).map(|score| (place, score))),
            }
        }
        if let Some(surest) = surest(&scored) {
            let others = scored.iter().filter(|(place, alone)| *place != surest.0 && *alone >= RIVAL_FROM);
            let same = |place: usize| rivals.get(&(surest.0, place)).map_or(0.0, |pair| self.same(pair));
            let weighed = beside_rivals(surest.1, others.map(|&(place, alone)| (alone, same(place))));
            decided.push((surest.0, weighed));
        }
        let mut offers: Vec<Offer> = Vec::new();
        for (place, score) in decided {
            // A lookup reaches a later one only at a threshold that refuses all before it.
            if offers.last().is_none_or(|before| score > before.score) {
                offers.push(Offer { place, score, confidence: score });
            }
        }
        offers
    }

    /// The pairs of places among `candidates` whose likeness the surest one's score depends on.
    pub(super) fn rivals(&self, candidates: &[&Examined]) -> Vec<(usize, usize)> {
        let undecided =
            candidates.iter().enumerate().filter(|(_, pair)| self.screened(pair) == Screened::Undecided);
        let scored: Vec<(usize, f32)> =
            undecided.filter_map(|(place, pair)| Some((place, self.score(pair)?))).collect();
        let Some((best, _)) = surest(&scored) else { return Vec::new() };
        let others = scored.iter().filter(|(place, alone)| *place != best && *alone >= RIVAL_FROM);
        others.map(|(place, _)| (best, *place)).collect()
    }

    /// How likely two cached questions ask the same.
    fn same(&self, pair: &Examined) -> f32 {
        match self.screened(pair) {
            Screened::Rejected if pair.is_vetoed() || pair.similarity < Some(Pipeline::DEFAULT_FLOOR) => 0.0,
            Screened::Rejected => self.cheap(pair),
            Screened::Scored(probability) | Screened::Enough(probability) => probability,
            Screened::Undecided => self.score(pair).unwrap_or_default(),
        }
    }

    /// Whether the cheap stages accept the pair alone.
    pub(super) fn is_enough(&self, pair: &Examined) -> bool {
        matches!(self.screened(pair), Screened::Enough(_))
    }

    fn screened(&self, pair: &Examined) -> Screened {
        let Some(similarity) = pair.similarity else { return Screened::Rejected };
        match self.policy {
            Policy::VCache => return Screened::Rejected,
            Policy::Threshold => return Screened::Scored(similarity),
            _ if pair.is_vetoed() => return Screened::Rejected,
            Policy::Guards => return Screened::Scored(similarity),
            _ if similarity < Pipeline::DEFAULT_FLOOR => return Screened::Rejected,
            Policy::Verifier | Policy::Learned => {}
        }
        let cheap = self.calibration.cheap(&pair.features);
        match self.stage {
            CalibratedStage::Cheap => Screened::Scored(self.cheap(pair)),
            CalibratedStage::Full if self.enough.is_some_and(|enough| cheap >= enough) => {
                Screened::Enough(self.cheap(pair))
            }
            CalibratedStage::Full if cheap < self.calibration.scorer_from() => Screened::Rejected,
            CalibratedStage::Full => Screened::Undecided,
        }
    }

    /// How long a lookup takes to decide on `candidates`, nearest first, in microseconds. Excludes embedding
    /// and search, and ends as soon as the cheap stages accept one.
    pub(super) fn micros(&self, candidates: &[&Examined], threshold: Option<f32>) -> f64 {
        let floor = if self.policy.scores() { Some(Pipeline::DEFAULT_FLOOR) } else { threshold };
        let Some(floor) = floor else { return 0.0 };
        let reaches = |score: f32| threshold.is_some_and(|least| score >= least);
        let (mut took, mut scored) = (0.0, 0.0);
        for pair in candidates.iter().filter(|pair| pair.similarity >= Some(floor)) {
            if self.policy != Policy::Threshold {
                took += pair.cost.guards;
            }
            if self.policy.scores() && !pair.is_vetoed() {
                took += pair.cost.features;
            }
            match self.screened(pair) {
                Screened::Enough(_) => return took,
                Screened::Scored(score) if reaches(score) => return took,
                Screened::Undecided => scored += pair.cost.scorer,
                Screened::Rejected | Screened::Scored(_) => {}
            }
        }
        took + scored
    }
}

/// The first of those with the greatest score.
fn surest(scored: &[(usize, f32)]) -> Option<(usize, f32)> {
    scored.iter().copied().reduce(|best, one| if one.1 > best.1 { one } else { best })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wellspring::verify::{Calibration, Check, Features};

    use super::*;
    use crate::cost::Cost;

    const COST: Cost = Cost { guards: 1.0, features: 10.0, scorer: 100.0 };

    fn pair(similarity: f32, is_vetoed: bool, logit: f32) -> Examined {
        let features = Features::of("who ruled the old town?", "who governed the old city?", similarity);
        let veto = is_vetoed.then(|| Check::new("numbers", false, "they differ"));
        let (similarity, logit) = (Some(similarity), Some(logit));
        let (is_screened, is_unread) = (false, false);
        Examined { similarity, veto, features, logit, is_screened, is_unread, cost: COST }
    }

    fn judge(policy: Policy) -> Judge {
        Judge::new(policy, Calibration::bundled(), CalibratedStage::Full)
    }

    /// A judge for which the cheap probability of `pair` is just enough.
    fn with_enough_for(pair: &Examined) -> Judge {
        let judge = judge(Policy::Verifier);
        let enough = judge.calibration.cheap(&pair.features);
        judge.with_enough(Some(enough))
    }

    fn same(similarity: f32) -> Examined {
        let features = Features::of("how do i enable it?", "how do i enable it?", similarity);
        Examined { features, ..pair(similarity, false, -9.0) }
    }

    fn places(judge: &Judge, candidates: &[Examined]) -> Vec<usize> {
        let candidates: Vec<&Examined> = candidates.iter().collect();
        let offers = judge.offers(&candidates, &Rivals::new());
        assert!(offers.is_sorted_by(|a, b| a.score < b.score), "{offers:?}");
        offers.iter().map(|offer| offer.place).collect()
    }

    #[track_caller]
    fn takes(policy: Policy, candidates: &[Examined], threshold: f32, micros: f64) {
        let candidates: Vec<&Examined> = candidates.iter().collect();
        let took = judge(policy).micros(&candidates, Some(threshold));
        assert!((took - micros).abs() < 1e-9, "{took} is not {micros}");
    }

    #[test]
    fn similarities_serve_the_nearest_that_no_guard_vetoes() {
        let pairs = [pair(0.95, true, 9.0), pair(0.9, false, 9.0), pair(0.85, false, 9.0)];
        assert_eq!(places(&judge(Policy::Threshold), &pairs), [0]);
        assert_eq!(places(&judge(Policy::Guards), &pairs), [1]);
        assert_eq!(places(&judge(Policy::VCache), &pairs), [0; 0]);
    }

    #[test]
    fn of_what_is_undecided_the_surest_is_served() {
        let judge = judge(Policy::Verifier);
        let logits = [0.0, 5.0, -5.0, 4.0];
        let pairs = logits.map(|logit| pair(0.9, false, logit));
        assert!(!judge.is_enough(&pairs[0]), "they are undecided");
        assert_eq!(places(&judge, &pairs), [1]);
    }

    #[test]
    fn what_is_below_the_floor_vetoed_or_unread_is_never_served() {
        let unread = Examined { logit: None, is_unread: true, ..pair(0.9, false, 0.0) };
        let screened = Examined { logit: None, is_screened: true, ..pair(0.9, false, 0.0) };
        let pairs = [pair(0.44, false, 9.0), pair(0.9, true, 9.0), unread, screened];
        assert_eq!(places(&judge(Policy::Verifier), &pairs), [0; 0]);
    }

    #[test]
    fn what_the_cheap_stages_accept_is_served_whatever_the_others_score() {
        let pairs = [pair(0.9, false, 9.0), same(0.899), pair(0.85, false, 9.0)];
        let judge = with_enough_for(&pairs[1]);
        assert!(!judge.is_enough(&pairs[0]), "else it would come first");
        let candidates: Vec<&Examined> = pairs.iter().collect();
        let offers = judge.offers(&candidates, &Rivals::new());
        assert_eq!(offers.len(), 1);
        assert_eq!((offers[0].place, offers[0].confidence), (1, judge.cheap(&pairs[1])));
        assert!((offers[0].score - CERTAIN).abs() < f32::EPSILON);
    }

    #[test]
    fn without_a_scorer_the_nearest_that_is_likely_enough_is_served() {
        let judge = Judge::new(Policy::Verifier, Arc::default(), CalibratedStage::Cheap);
        let bare = |pair: Examined| Examined { logit: None, ..pair };
        let pairs = [bare(pair(0.9, false, 0.0)), bare(same(0.899)), bare(pair(0.85, false, 0.0))];
        assert_eq!(places(&judge, &pairs), [0, 1]);
        assert_eq!(judge.with_enough(Some(0.1)).enough, None);
    }

    #[test]
    fn a_lookup_stops_at_the_first_that_needs_no_scorer() {
        let pairs =
            [pair(0.95, true, 9.0), pair(0.9, false, 9.0), pair(0.85, false, 9.0), pair(0.4, false, 9.0)];
        takes(Policy::Threshold, &pairs, 0.8, 0.0);
        takes(Policy::Guards, &pairs, 0.8, 2.0);
        // Vetoed pairs have no features, pairs below the floor are not looked at, and all others are scored.
        takes(Policy::Verifier, &pairs, 0.0, 3.0 + 20.0 + 200.0);
        takes(Policy::Verifier, &pairs, 1.1, 3.0 + 20.0 + 200.0);
        takes(Policy::Guards, &pairs, 0.99, 0.0);
    }

    #[test]
    fn what_the_cheap_probability_accepts_is_not_scored() {
        let same = same(1.0);
        assert!((with_enough_for(&same).micros(&[&same], Some(0.9)) - 11.0).abs() < 1e-9);
    }
}
