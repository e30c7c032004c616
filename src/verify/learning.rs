//! Calibrations that learn from feedback on served answers, one for each scope that has enough of it.
//!
//! A calibration learns from pairs of both kinds: which words matter here, and how much the record of an
//! entry's answer says about its next question. The judged pairs are a sample of what was served, and so say
//! nothing about what was not. So a learned calibration has new weights, but keeps the least probability at
//! which the original one serves, or raises it if feedback shows that it is too low. Only `wellspring
//! calibrate` can lower it.
//!
//! Nothing is learned across scopes, because a tenant must not decide what another tenant is served. If
//! several callers share a scope, [`agreed`] ensures that none of them decides for the others.
//!
//! The store's log of judgements determines all of this: it is learned again after a restart, and every
//! process that shares the store learns the same.
//!
//! ```text
//! judged pairs of a scope ──> training set, the newest 2,000 ── 20 of each label, and enough new ──> fit
//!                                                                                                     │
//!   too few of a label without some of the callers: the base decides in the scope  <──────────────────┤
//!   otherwise: a calibration of the scope, with thresholds at least those of the base  <──────────────┘
//! ```
//!
//! This is one of three uses of feedback; `cache/feedback_index.rs` shows them side by side.

mod agreed;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use moka::policy::EvictionPolicy;
use moka::sync::Cache as BoundedCache;

use self::agreed::{Voice, Word};
use super::calibration::{Calibration, LEAST_PER_LABEL, Sample};
use super::features::Features;
use super::scorer::{PairScorer, Scored};
use crate::error::Result;
use crate::judgement::{Feedback, Judged, MAX_JUDGEMENTS};
use crate::key::{Corpus, ScopeId};

/// The most judged pairs of a scope to learn from, the newest ones: about 150 bytes each, and seconds of one
/// core.
const MOST_SAMPLES: usize = 2_000;
/// How many new pairs start learning again: one in this many of those known, and at least
/// [`LEAST_PER_LABEL`].
const GROWTH: usize = 5;
/// After learning has kept the scorer from serving lookups, it pauses for this many times as long.
const REST: u32 = 9;
/// The most scopes that have a calibration of their own; those that were used last keep it.
const MOST_LEARNED: u64 = 1_000;

/// The place that something is learned for.
type Place = (Corpus, ScopeId);

/// What was learned, and the pairs that it was learned from.
#[derive(Debug)]
pub(super) struct Learner {
    /// Most caches learn nothing; this flag spares their lookups the search.
    any: AtomicBool,
    learned: BoundedCache<Place, Arc<Calibration>>,
    training_sets: BoundedCache<Place, Arc<TrainingSet>>,
}

/// The judged pairs of a scope.
#[derive(Debug, Default, Clone)]
struct TrainingSet {
    words: VecDeque<Word>,
    /// How many of them are new since the calibration was last learned.
    new: usize,
}

impl TrainingSet {
    /// The pairs to learn from, if there are enough and enough of them are new.
    fn due(&mut self) -> Option<Vec<Word>> {
        let right = self.words.iter().filter(|word| word.sample.is_same).count();
        let is_enough = right.min(self.words.len() - right) >= LEAST_PER_LABEL;
        if !is_enough || self.new < LEAST_PER_LABEL.max(self.words.len() / GROWTH) {
            return None;
        }
        self.new = 0;
        Some(self.words.iter().cloned().collect())
    }
}

impl Default for Learner {
    fn default() -> Self {
        let weigh = |_: &Place, training_set: &Arc<TrainingSet>| {
            u32::try_from(training_set.words.len()).unwrap_or(u32::MAX)
        };
        Self {
            any: AtomicBool::new(false),
            learned: BoundedCache::builder()
                .max_capacity(MOST_LEARNED)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            training_sets: BoundedCache::builder()
                .max_capacity(MAX_JUDGEMENTS as u64)
                .weigher(weigh)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        }
    }
}

impl Learner {
    /// What was learned for a scope.
    pub(super) fn calibration(
        &self,
        corpus: Option<&Corpus>,
        scope: Option<ScopeId>,
    ) -> Option<Arc<Calibration>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.learned.get(&(corpus?.clone(), scope?))
    }

    /// Forgets everything that was learned and the pairs that it was learned from.
    pub(super) fn forget(&self) {
        self.any.store(false, Ordering::Release);
        for (place, _) in &self.training_sets {
            self.training_sets.invalidate(&*place);
        }
        for (place, _) in &self.learned {
            self.learned.invalidate(&*place);
        }
    }

    /// Learns from judged pairs, the oldest first, starting from what `base` has for the corpus. It takes its
    /// time, so that lookups can use the scorer.
    pub(super) async fn learn(
        &self,
        base: impl Fn(&Corpus) -> Arc<Calibration>,
        scorer: Option<&dyn PairScorer>,
        judged: Vec<Judged>,
    ) -> Result<()> {
        let mut by_place = HashMap::<Place, VecDeque<Judged>>::new();
        for judged in judged {
            let place = (judged.judgement.corpus.clone(), judged.judgement.scope);
            by_place.entry(place).or_default().push_back(judged);
        }
        for (place, mut judged) in by_place {
            agreed::shorten(&mut judged, MOST_SAMPLES, |judged| Voice::of(&judged.judgement));
            let mut training_set =
                self.training_sets.get(&place).map(Arc::unwrap_or_clone).unwrap_or_default();
            for judged in &judged {
                if let Some(sample) = sample(scorer, judged).await {
                    training_set.words.push_back(Word { sample, voice: Voice::of(&judged.judgement) });
                    training_set.new += 1;
                }
            }
            agreed::shorten(&mut training_set.words, MOST_SAMPLES, |word| word.voice.clone());
            let due = training_set.due();
            self.training_sets.insert(place.clone(), Arc::new(training_set));
            if let Some(words) = due {
                self.recalibrate(base(&place.0), place, words).await?;
            }
        }
        Ok(())
    }

    async fn recalibrate(&self, base: Arc<Calibration>, place: Place, words: Vec<Word>) -> Result<()> {
        let fit = tokio::task::spawn_blocking(move || agreed::learn(&base, &words));
        let Ok(learned) = fit.await else { return Ok(()) };
        let Some(learned) = learned? else {
            self.learned.invalidate(&place);
            return Ok(());
        };
        tracing::info!(corpus = %place.0, scope = %place.1, from = learned.fitted_on, "learned from feedback");
        self.learned.insert(place, Arc::new(learned));
        self.any.store(true, Ordering::Release);
        Ok(())
    }
}

/// A judged pair in the form that calibrations learn from; none for a pair without a similarity.
async fn sample(scorer: Option<&dyn PairScorer>, judged: &Judged) -> Option<Sample> {
    let judgement = &judged.judgement;
    let (asked, cached) = (&judgement.question, &judgement.cached_question);
    let features = Features::of(asked, cached, judgement.similarity?).with_record(judged.right, judged.wrong);
    let mut logit = None;
    if let Some(scorer) = scorer {
        let started = Instant::now();
        match scorer.score(asked, cached).await {
            Ok(Scored::Logit(scored)) => logit = Some(scored),
            Ok(Scored::TooLong | Scored::Unreadable) => {}
            // The cheap stages still learn from the pair.
            Err(error) => tracing::debug!(%error, "a judged pair was not scored"),
        }
        tokio::time::sleep(started.elapsed() * REST).await;
    }
    Some(Sample::new(features, logit, judgement.feedback == Feedback::Right))
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::clock::Timestamp;
    use crate::judgement::{EntryRecord, Judge, Judgement};
    use crate::key::{EntryId, ScopeId};
    use crate::verify::CalibratedStage;

    const SCOPE: ScopeId = ScopeId::from_bytes([0; 16]);

    #[derive(Debug)]
    struct Sure;

    #[async_trait]
    impl PairScorer for Sure {
        fn name(&self) -> &'static str {
            "sure"
        }

        async fn score(&self, _asked: &str, _cached: &str) -> Result<Scored> {
            Ok(Scored::Logit(6.0))
        }
    }

    /// Judgements of `count` hits on doors of another colour; those about the right house were right.
    fn judged(corpus: &str, count: u32) -> Vec<Judged> {
        let judgement = |n: u32| {
            let is_right = n.is_multiple_of(2);
            let house = if is_right { "house" } else { "office" };
            Judgement {
                corpus: Corpus::new(corpus).unwrap(),
                scope: SCOPE,
                asked: EntryId::from_bytes(u128::from(n).to_le_bytes()),
                cached: EntryId::from_bytes([1; 16]),
                question: format!("how do i open door {n} of the {house}").into(),
                cached_question: format!("how is door {n} of the house opened").into(),
                similarity: Some(0.9),
                feedback: if is_right { Feedback::Right } else { Feedback::Wrong },
                judge: Judge::Shadow,
                at: Timestamp::from_millis(0),
                confidence: None,
                by: None,
                shared: false,
            }
        };
        (0..count).map(|n| Judged::new(judgement(n), &EntryRecord::default())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn each_scope_learns_for_itself_once_it_has_enough() {
        let (learner, base) = (Learner::default(), Calibration::bundled());
        let one = Corpus::new("one").unwrap();
        let scope = Some(SCOPE);
        learner.learn(|_| Arc::clone(&base), Some(&Sure), judged("one", 30)).await.unwrap();
        assert!(learner.calibration(Some(&one), scope).is_none(), "15 of each kind are too few");
        learner.learn(|_| Arc::clone(&base), Some(&Sure), judged("one", 20)).await.unwrap();
        let learned = learner.calibration(Some(&one), scope).expect("25 of each kind are enough");
        assert_eq!((learned.positives, learned.negatives), (25, 25));
        let other = Corpus::new("other").unwrap();
        assert!(learner.calibration(Some(&other), scope).is_none());
        assert!(learner.calibration(None, scope).is_none());
        assert!(learner.calibration(Some(&one), Some(ScopeId::from_bytes([1; 16]))).is_none());
        // A few more pairs change nothing, many do.
        learner.learn(|_| Arc::clone(&base), Some(&Sure), judged("one", 10)).await.unwrap();
        assert!(Arc::ptr_eq(&learned, &learner.calibration(Some(&one), scope).unwrap()));
        learner.learn(|_| Arc::clone(&base), Some(&Sure), judged("one", 400)).await.unwrap();
        let more = learner.calibration(Some(&one), scope).unwrap();
        assert_eq!(more.positives + more.negatives, 460);
        let features = |house: &str| {
            let asked = format!("how do i open door 9 of the {house}");
            Features::of(&asked, "how is door 9 of the house opened", 0.9)
        };
        assert!(more.full(&features("house"), 6.0) > more.full(&features("office"), 6.0));
        assert!(more.full(&features("office"), 6.0) < base.full(&features("office"), 6.0));
        for rate in [0.02, 0.05] {
            let stage = CalibratedStage::Full;
            assert!(more.threshold(stage, rate) >= base.threshold(stage, rate), "{rate}");
        }
    }

    /// Judgements by `name` of hits in a scope that it shares.
    fn said(name: &str, count: u32, verdict: impl Fn(u32) -> Feedback) -> Vec<Judged> {
        let mut said = judged("one", count);
        for (judged, n) in said.iter_mut().zip(0..) {
            let judgement = &mut judged.judgement;
            (judgement.judge, judgement.shared, judgement.by) = (Judge::Caller, true, Some(name.into()));
            judgement.feedback = verdict(n);
        }
        said
    }

    fn honest(n: u32) -> Feedback {
        if n.is_multiple_of(2) { Feedback::Right } else { Feedback::Wrong }
    }

    async fn learned(words: Vec<Vec<Judged>>) -> Option<Arc<Calibration>> {
        let (learner, base) = (Learner::default(), Calibration::bundled());
        let words = words.into_iter().flatten().collect();
        learner.learn(|_| Arc::clone(&base), Some(&Sure), words).await.unwrap();
        learner.calibration(Some(&Corpus::new("one").unwrap()), Some(SCOPE))
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_alone_moves_what_others_are_served_by() {
        let all_wrong = |_: u32| Feedback::Wrong;
        let mostly_wrong = |n: u32| if n < 30 { Feedback::Right } else { Feedback::Wrong };
        assert!(learned(vec![said("eve", 300, honest)]).await.is_none(), "alone");
        assert!(learned(vec![said("eve", 2_000, mostly_wrong)]).await.is_none(), "alone, and loud");
        assert!(
            learned(vec![said("eve", 300, mostly_wrong), said("bob", 6, honest)]).await.is_none(),
            "what the others say is too little"
        );
        // An operator's judgement counts by itself, and no single caller can add to it.
        let with_operator = learned(vec![judged("one", 200), said("eve", 300, all_wrong)]).await.unwrap();
        assert_eq!(with_operator.fitted_on, learned(vec![judged("one", 200)]).await.unwrap().fitted_on);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_learned_can_be_forgotten() {
        let (learner, base) = (Learner::default(), Calibration::bundled());
        let one = Corpus::new("one").unwrap();
        for _ in 0..2 {
            learner.learn(|_| Arc::clone(&base), None, judged("one", 60)).await.unwrap();
            assert!(learner.calibration(Some(&one), Some(SCOPE)).is_some());
            learner.forget();
            assert!(learner.calibration(Some(&one), Some(SCOPE)).is_none());
        }
    }
}
