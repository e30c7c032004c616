//! Calibrations that follow what is said of served answers, one for each corpus that has enough.
//!
//! A calibration learns from pairs of both kinds: which words matter here, and how much the record of an entry's answer
//! says of its next question. The judged pairs are a sample of what was served, and so say nothing of what was
//! not: a learned calibration weighs anew, but serves from the same probability on as the one that it began with, or from
//! a higher one where feedback shows that to be too low. For less, `wellspring calibrate` has to be asked.
//!
//! All of it follows from the store's log of judgements: it is learned again after a restart, and alike by every process
//! that shares the store.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use super::calibration::{Calibration, LEAST_PER_LABEL, Sample};
use super::features::Features;
use super::scorer::{PairScorer, Scored};
use crate::error::Result;
use crate::judgement::{Feedback, Judged};
use crate::key::Corpus;

/// How many judged pairs of a corpus are learned from, the newest: about 150 bytes each, and seconds of one core.
const MOST_SAMPLES: usize = 2_000;
/// What is new before anything is learned again: one in this many of those known, and at least [`LEAST_PER_LABEL`].
const GROWTH: usize = 5;
/// Learning rests for this many times as long as it kept the scorer from serving lookups.
const REST: u32 = 9;

/// What was learned, and what it was learned from.
#[derive(Debug, Default)]
pub(super) struct Learner {
    /// Most caches learn nothing, and their lookups ask nothing.
    any: AtomicBool,
    learned: RwLock<HashMap<Corpus, Arc<Calibration>>>,
    courses: Mutex<HashMap<Corpus, Course>>,
}

/// The judged pairs of a corpus.
#[derive(Debug, Default)]
struct Course {
    samples: VecDeque<Sample>,
    /// How many of them came since the calibration was last learned.
    new: usize,
}

impl Course {
    fn push(&mut self, sample: Sample) {
        if self.samples.len() == MOST_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        self.new += 1;
    }

    /// The pairs to learn from, if there are enough and enough of them are new.
    fn due(&mut self) -> Option<Vec<Sample>> {
        let right = self.samples.iter().filter(|sample| sample.is_same).count();
        let is_enough = right.min(self.samples.len() - right) >= LEAST_PER_LABEL;
        if !is_enough || self.new < LEAST_PER_LABEL.max(self.samples.len() / GROWTH) {
            return None;
        }
        self.new = 0;
        Some(self.samples.iter().copied().collect())
    }
}

impl Learner {
    /// What was learned for a corpus.
    pub(super) fn calibration(&self, corpus: Option<&Corpus>) -> Option<Arc<Calibration>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.learned.read().unwrap_or_else(PoisonError::into_inner).get(corpus?).cloned()
    }

    /// Learns from what was judged, the oldest first, beginning with what `base` has for the corpus. Takes its time, so that lookups keep the
    /// scorer.
    pub(super) async fn learn(
        &self,
        base: impl Fn(&Corpus) -> Arc<Calibration>,
        scorer: Option<&dyn PairScorer>,
        judged: Vec<Judged>,
    ) -> Result<()> {
        let mut by_corpus = HashMap::<Corpus, Vec<Judged>>::new();
        for judged in judged {
            by_corpus.entry(judged.judgement.corpus.clone()).or_default().push(judged);
        }
        for (corpus, judged) in by_corpus {
            let old = judged.len().saturating_sub(MOST_SAMPLES);
            for judged in &judged[old..] {
                if let Some(sample) = sample(scorer, judged).await {
                    self.courses().entry(corpus.clone()).or_default().push(sample);
                }
            }
            let due = self.courses().get_mut(&corpus).and_then(Course::due);
            if let Some(samples) = due {
                self.recalibrate(base(&corpus), corpus, samples).await?;
            }
        }
        Ok(())
    }

    async fn recalibrate(&self, base: Arc<Calibration>, corpus: Corpus, samples: Vec<Sample>) -> Result<()> {
        let from = format!("{} judgements", samples.len());
        let fit = tokio::task::spawn_blocking(move || base.learn("learned", &from, &samples));
        let Ok(learned) = fit.await else { return Ok(()) };
        let learned = learned?;
        tracing::info!(%corpus, from = learned.fitted_on, "learned from feedback");
        self.learned.write().unwrap_or_else(PoisonError::into_inner).insert(corpus, Arc::new(learned));
        self.any.store(true, Ordering::Release);
        Ok(())
    }

    fn courses(&self) -> MutexGuard<'_, HashMap<Corpus, Course>> {
        self.courses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A judged pair as calibrations learn from it; none for a pair without a similarity.
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
            // The cheap stages learn from the pair all the same.
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

    /// Of `count` hits on doors of another colour, those that are about the right house were right.
    fn judged(corpus: &str, count: u32) -> Vec<Judged> {
        let judgement = |n: u32| {
            let is_right = n.is_multiple_of(2);
            let house = if is_right { "house" } else { "office" };
            Judgement {
                corpus: Corpus::new(corpus).unwrap(),
                scope: ScopeId::from_bytes([0; 16]),
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
            }
        };
        (0..count).map(|n| Judged::new(judgement(n), &EntryRecord::default())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn each_corpus_learns_for_itself_once_it_has_enough() {
        let (learner, base) = (Learner::default(), Calibration::bundled());
        let one = Corpus::new("one").unwrap();
        learner.learn(|_| Arc::clone(&base), Some(&Sure), judged("one", 30)).await.unwrap();
        assert!(learner.calibration(Some(&one)).is_none(), "15 of each kind are too few");
        learner.learn(|_| Arc::clone(&base), Some(&Sure), judged("one", 20)).await.unwrap();
        let learned = learner.calibration(Some(&one)).expect("25 of each kind are enough");
        assert_eq!((learned.positives, learned.negatives), (25, 25));
        let other = Corpus::new("other").unwrap();
        assert!(learner.calibration(Some(&other)).is_none());
        assert!(learner.calibration(None).is_none());
        // A few more change nothing, many do.
        learner.learn(|_| Arc::clone(&base), Some(&Sure), judged("one", 10)).await.unwrap();
        assert!(Arc::ptr_eq(&learned, &learner.calibration(Some(&one)).unwrap()));
        learner.learn(|_| Arc::clone(&base), Some(&Sure), judged("one", 400)).await.unwrap();
        let more = learner.calibration(Some(&one)).unwrap();
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
}
