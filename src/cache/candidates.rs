//! From the nearest questions to the one whose answer is served.
//!
//! The nearest is fetched and screened alone, because it is the hit most of the time. Candidates that cannot
//! be decided without a model wait until all are screened. Then they are verified within one time limit, the
//! most likely first, and the surest is served, unless [another](super::rivals) claims the question as well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::cache::Inner;
use crate::cache::lookup::BypassReason;
use crate::cache::query::Prepared;
use crate::cache::rivals::{Rival, Weighed};
use crate::embedding::Embedding;
use crate::entry::Entry;
use crate::error::ErrorKind;
use crate::index;
use crate::key::EntryId;
use crate::store::{Fetched, Found, ReadVersion};
use crate::verify::{Outcome, Stage};

/// An entry near the question.
pub(super) struct Near {
    pub(super) entry: Arc<Entry>,
    /// The state of the invalidation clock when the entry was found live.
    pub(super) read_version: ReadVersion,
    pub(super) similarity: f32,
    pub(super) confidence: f32,
}

/// Entries that the scorer did not accept, each with the likelihood that it gave them.
pub(super) type Unlikely = Vec<(EntryId, f32)>;

impl Inner {
    /// The entry whose answer is served for the question with this embedding, if there is one. The scorer's
    /// results for the others are added to `unlikely`.
    pub(super) async fn accepted(
        &self,
        prepared: &Prepared,
        embedding: &Embedding,
        unlikely: &mut Unlikely,
    ) -> Result<Option<Near>, BypassReason> {
        // First, and whatever the budget: a judge approved this very pair, so no estimate is needed. Whether
        // the entry is live is asked like that of any other.
        if let Some(near) = self.promoted(prepared, embedding).await? {
            return Ok(Some(near));
        }
        // Nothing would be accepted, so nothing is looked at.
        if !self.can_show(prepared) {
            self.metrics.lookup.unshown_budgets.increment();
            return Ok(None);
        }
        let neighbors = self.neighbors(prepared, embedding).await?;
        let Some((&nearest, others)) = neighbors.split_first() else { return Ok(None) };
        let mut undecided = Vec::new();
        let fetched = self.fetch(prepared, nearest).await?;
        if let Some(near) = self.screened(prepared, embedding, nearest, fetched, &mut undecided).await {
            return Ok(Some(near));
        }
        // At the same time, because each may be a round trip.
        let fetched = join_all(others.iter().map(|&neighbor| self.fetch(prepared, neighbor))).await;
        for (&neighbor, fetched) in others.iter().zip(fetched) {
            if let Some(near) = self.screened(prepared, embedding, neighbor, fetched?, &mut undecided).await {
                return Ok(Some(near));
            }
        }
        self.verified(prepared, undecided, unlikely).await
    }

    /// Whether another question's answer may be served at all.
    pub(super) fn can_show(&self, prepared: &Prepared) -> bool {
        self.verifier.budgets(Some(&prepared.key.corpus)).can_show(prepared.match_policy)
    }

    /// An entry that a judge approved for this question, if one is live.
    async fn promoted(
        &self,
        prepared: &Prepared,
        embedding: &Embedding,
    ) -> Result<Option<Near>, BypassReason> {
        let asked = prepared.key.exact;
        let promoted = self.feedback_index.promoted(asked);
        if promoted.is_empty() {
            return Ok(None);
        }
        for fetched in join_all(promoted.iter().map(|&entry| self.fetch(prepared, entry))).await {
            let Fetched { found: Found::Live(entry), read_version } = fetched? else { continue };
            // Searches never cross a scope, and neither does feedback.
            let Some(cached) = entry.embedding.as_ref().filter(|_| entry.scope == prepared.key.scope) else {
                continue;
            };
            let similarity = cached.similarity(embedding);
            let (stage, outcome) = (Stage::Feedback.name(), Outcome::Accepted.name());
            self.metrics.verification.outcomes.increment(stage, outcome);
            self.feedback_index.count_served(asked, entry.id);
            return Ok(Some(Near { entry, read_version, similarity, confidence: 1.0 }));
        }
        Ok(None)
    }

    /// The nearest entries that may be similar enough, nearest first.
    #[tracing::instrument(level = "debug", skip_all, name = "search")]
    async fn neighbors(
        &self,
        prepared: &Prepared,
        embedding: &Embedding,
    ) -> Result<Vec<EntryId>, BypassReason> {
        let started = Instant::now();
        // The index rounds vectors, and may put a candidate just below the floor that belongs above it. The
        // exact similarity is computed when the entry is there.
        let floor = self.verifier.floor(prepared.match_policy) - index::ERROR;
        let key = &prepared.key;
        let (k, wait) = (self.settings.candidates, self.settings.index_wait);
        let found = self.indexes.search((&key.corpus, key.scope), embedding, k, floor, wait).await;
        self.metrics.lookup.search.record(started.elapsed());
        match found {
            Ok(neighbors) => Ok(neighbors.into_iter().map(|(id, _)| id).collect()),
            Err(error) => Err(self.broken(BypassReason::Store, &error)),
        }
    }

    /// Screens a fetched candidate: returns it if it is accepted, and adds it to `undecided` if it needs a
    /// verdict.
    #[tracing::instrument(level = "debug", skip_all, name = "screen")]
    async fn screened(
        &self,
        prepared: &Prepared,
        embedding: &Embedding,
        id: EntryId,
        fetched: Fetched,
        undecided: &mut Vec<Near>,
    ) -> Option<Near> {
        let Found::Live(entry) = fetched.found else {
            if self.is_gone(&fetched.found) {
                self.unindex(&prepared.key.corpus, prepared.key.scope, id).await;
            }
            return None;
        };
        // Before the verifier, whose probability could outweigh what someone said about this very pair.
        if self.feedback_index.forbid(prepared.key.exact, id) {
            let (stage, outcome) = (Stage::Feedback.name(), Outcome::Rejected.name());
            self.metrics.verification.outcomes.increment(stage, outcome);
            self.metrics.lookup.rejected.increment();
            return None;
        }
        let similarity = entry.embedding.as_ref()?.similarity(embedding);
        let started = Instant::now();
        let record = self.feedback_index.record_of(id);
        let screening = self.verifier.screen(&prepared.candidate(&entry, similarity, record.as_deref()));
        self.metrics.verification.screen.record(started.elapsed());
        self.metrics.verification.outcomes.increment(screening.stage.name(), screening.outcome.name());
        let near =
            Near { entry, read_version: fetched.read_version, similarity, confidence: screening.confidence };
        match screening.outcome {
            Outcome::Accepted => return Some(near),
            Outcome::Undecided => undecided.push(near),
            Outcome::Rejected | Outcome::TimedOut => self.metrics.lookup.rejected.increment(),
        }
        None
    }

    /// Verifies the undecided candidates, the most likely first, and returns the one that the verifier is
    /// surest of. A cache that holds a question often holds its near-twins, too: the first that is good
    /// enough may not be the right one, and if several are, perhaps none is.
    #[tracing::instrument(level = "debug", skip_all, name = "verify")]
    async fn verified(
        &self,
        prepared: &Prepared,
        mut undecided: Vec<Near>,
        unlikely: &mut Unlikely,
    ) -> Result<Option<Near>, BypassReason> {
        undecided.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        let deadline = tokio::time::Instant::now() + self.settings.verify_timeout;
        let outcomes = &self.metrics.verification.outcomes;
        let (mut surest, mut others): (Option<Near>, Vec<Near>) = (None, Vec::new());
        // The next one will take about as long as the last one.
        let mut takes = Duration::ZERO;
        for near in undecided {
            let late = || outcomes.increment(Stage::Scorer.name(), Outcome::TimedOut.name());
            // A timeout checks the time only when it has to wait; and a verification that cannot end in time
            // is not begun.
            if tokio::time::Instant::now() + takes >= deadline {
                late();
                break;
            }
            let started = Instant::now();
            let record = self.feedback_index.record_of(near.entry.id);
            let candidate = prepared.candidate(&near.entry, near.similarity, record.as_deref());
            let verdict = tokio::time::timeout_at(deadline, self.verifier.verify(candidate)).await;
            takes = started.elapsed();
            self.metrics.lookup.verify.record(takes);
            match verdict {
                Ok(Ok(verdict)) => {
                    let (stage, outcome) = verdict.decided_by();
                    outcomes.increment(stage.name(), outcome.name());
                    let near = Near { confidence: verdict.probability(), ..near };
                    if !verdict.accepted {
                        if self.judging.is_some() {
                            unlikely.push((near.entry.id, verdict.confidence));
                        }
                        self.metrics.lookup.rejected.increment();
                        others.push(near);
                    } else if surest.as_ref().is_none_or(|best| near.confidence > best.confidence) {
                        others.extend(surest.replace(near));
                    } else {
                        others.push(near);
                    }
                }
                Ok(Err(error)) if error.kind() != ErrorKind::Timeout => {
                    return Err(self.broken(BypassReason::Verifier, &error));
                }
                // A candidate that was accepted in time is served. Without one, a late verdict is worth less
                // than a miss.
                Ok(Err(_)) | Err(_) => {
                    late();
                    break;
                }
            }
        }
        let Some(surest) = surest else { return Ok(None) };
        let rivals: Vec<Rival<'_>> = others.iter().map(|near| (&*near.entry, near.confidence)).collect();
        let weighing = self.weighed(prepared, (&surest.entry, surest.confidence), &rivals);
        let confidence = match tokio::time::timeout_at(deadline, weighing).await {
            Ok(Ok(Weighed::Likely(confidence))) => confidence,
            Ok(Ok(Weighed::Unlikely { confidence, .. })) => {
                outcomes.increment(Stage::Rivals.name(), Outcome::Rejected.name());
                self.metrics.lookup.rejected.increment();
                if self.judging.is_some() {
                    unlikely.push((surest.entry.id, confidence));
                }
                return Ok(None);
            }
            Ok(Err(error)) if error.kind() != ErrorKind::Timeout => {
                return Err(self.broken(BypassReason::Verifier, &error));
            }
            Ok(Err(_)) | Err(_) => {
                outcomes.increment(Stage::Rivals.name(), Outcome::TimedOut.name());
                return Ok(None);
            }
        };
        Ok(Some(Near { confidence, ..surest }))
    }
}
