//! Why a question is a hit or not.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::cache::lookup::BypassReason;
use crate::cache::query::Prepared;
use crate::cache::rivals::{Rival, Weighed};
use crate::cache::{Cache, Query};
use crate::entry::Entry;
use crate::error::Result;
use crate::key::{CacheKey, Corpus, EntryId, ScopeId};
use crate::match_policy::MatchPolicy;
use crate::store::{DeadReason, Found};
use crate::verify::{Check, Outcome, Stage, StageRun, Unshown};

/// How many candidates are explained.
const EXPLAINED: usize = 8;
/// How long an explanation waits for the index of its scope to be loaded.
const INDEX_WAIT: Duration = Duration::from_mins(1);

/// What a lookup would find, and why.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The question, normalised.
    pub question: String,
    /// The corpus that was looked in.
    pub corpus: Corpus,
    /// The scope that was looked in.
    pub scope: ScopeId,
    /// The entry that would answer exactly this question.
    pub exact: EntryId,
    /// Whether it can be served: `live`, `absent` or why it is dead.
    pub exact_state: EntryState,
    /// What is accepted.
    pub match_policy: MatchPolicy,
    /// Set if the false-hit rate that was asked for cannot be shown: then only exact matches are served.
    pub unshown: Option<Unshown>,
    /// A script of the question that the embedding model does not know: then only exact matches are served.
    pub unknown_script: Option<&'static str>,
    /// The least similarity at which a candidate is looked at; none if none is.
    pub threshold: Option<f32>,
    /// The nearest other questions, nearest first, whatever their similarity. None if the question is
    /// too long to be embedded, in a script that the model does not know, or to be matched exactly.
    pub candidates: Vec<ExplainedCandidate>,
    /// The entry that would be served; none for a miss.
    pub served: Option<EntryId>,
    /// The decision in a sentence.
    pub decision: String,
}

/// Whether an entry can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EntryState {
    /// It can.
    Live,
    /// There is none.
    Absent,
    /// It must not be served.
    Dead(DeadReason),
}

/// A near neighbour with every verdict on it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ExplainedCandidate {
    /// The entry.
    pub entry: EntryId,
    /// The question that it answered; none if the entry is not live.
    pub question: Option<String>,
    /// Cosine similarity to the question asked.
    pub similarity: f32,
    /// What the invalidation clock and the time to live say.
    pub state: EntryState,
    /// What the verifier checked.
    pub checks: Vec<Check>,
    /// The results of the stages that ran, and how long each took.
    pub stages: Vec<StageRun>,
    /// Whether the verifier accepted it.
    pub accepted: bool,
    /// The result of a lookup's screening: it serves what is accepted at once, and asks the model if it is
    /// undecided.
    pub screened: Outcome,
    /// How likely it is right, in `0.0..=1.0`.
    pub confidence: f32,
    #[serde(skip)]
    rank: f32,
    #[serde(skip)]
    live: Option<Arc<Entry>>,
}

impl From<&Found> for EntryState {
    fn from(found: &Found) -> Self {
        match found {
            Found::Live(_) => Self::Live,
            Found::Absent => Self::Absent,
            Found::Dead(reason) => Self::Dead(*reason),
        }
    }
}

impl Cache {
    /// Explains what [`lookup`](Self::lookup) would do with `query`. Counts nothing and stores nothing.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// let explanation = cache.explain("how do I reset my password").await?;
    /// assert!(explanation.served.is_some());
    /// println!("{}", explanation.decision);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `lookup`, and failures of the store, the embedder or the verifier, which `lookup`
    /// bypasses.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn explain(&self, query: impl Into<Query>) -> Result<Explanation> {
        let prepared = Prepared::new(query.into(), &self.inner)?;
        let own = self.explain_prepared(&prepared).await?;
        let Some(prepared) = prepared.of_everybody() else { return Ok(own) };
        let everybodys = self.explain_prepared(&prepared).await?;
        let is_live = |explained: &Explanation| explained.exact_state == EntryState::Live;
        let is_own =
            !is_live(&everybodys) && (is_live(&own) || everybodys.served.is_none() && own.served.is_some());
        Ok(if is_own { own } else { everybodys })
    }

    /// As [`explain`](Self::explain), in the scope that an entry names, whatever the scope of `query`.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// for stored in cache.entries(None, 10).await? {
    ///     let explanation = cache.explain_in(stored.entry.scope, &*stored.entry.question).await?;
    ///     assert_eq!(explanation.served, Some(stored.entry.id));
    /// }
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// As for `explain`.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn explain_in(&self, scope: ScopeId, query: impl Into<Query>) -> Result<Explanation> {
        let query = query.into();
        let text = query.text().to_owned();
        let mut prepared = Prepared::new(query, &self.inner)?;
        let key = if prepared.is_exact { CacheKey::exact } else { CacheKey::new };
        prepared.key = key(prepared.key.corpus, scope, &text)?;
        self.explain_prepared(&prepared).await
    }

    async fn explain_prepared(&self, prepared: &Prepared) -> Result<Explanation> {
        let inner = &self.inner;
        let key = &prepared.key;
        let exact = inner.store.lookup(&key.corpus, key.exact).await?.found;
        let unshown = inner.verifier.budgets(Some(&key.corpus)).unshown(prepared.match_policy);
        let unknown_script = inner.unknown_script(&key.text);
        let is_searched = prepared.is_embedded() && unshown.is_none() && unknown_script.is_none();
        let mut explanation = Explanation {
            question: key.text.to_string(),
            corpus: key.corpus.clone(),
            scope: key.scope,
            exact: key.exact,
            exact_state: (&exact).into(),
            match_policy: prepared.match_policy,
            threshold: is_searched.then(|| inner.verifier.floor(prepared.match_policy)),
            unshown,
            unknown_script,
            candidates: self.candidates(prepared).await?,
            served: None,
            decision: String::new(),
        };
        if prepared.mode.bypass() == Some(BypassReason::FollowUp) {
            explanation.decision =
                "bypass: the question follows up on another one, and its conversation is not known".into();
        } else {
            explanation.decide(inner.settings.candidates, prepared.is_embedded());
        }
        Ok(explanation)
    }

    async fn candidates(&self, prepared: &Prepared) -> Result<Vec<ExplainedCandidate>> {
        let inner = &self.inner;
        let embedding = match &prepared.given {
            _ if !prepared.is_embedded()
                || inner.unknown_script(&prepared.key.text).is_some()
                || !prepared.key.is_whole() =>
            {
                None
            }
            Some(given) => Some(given.clone()),
            None => inner.embed(&prepared.key.text).await?,
        };
        let Some(embedding) = embedding else { return Ok(Vec::new()) };
        let scope = (&prepared.key.corpus, prepared.key.scope);
        let mut candidates = Vec::new();
        for (id, similarity) in
            inner.indexes.search(scope, &embedding, EXPLAINED + 1, -1.0, INDEX_WAIT).await?
        {
            if id == prepared.key.exact || candidates.len() == EXPLAINED {
                continue;
            }
            let found = inner.store.lookup(&prepared.key.corpus, id).await?.found;
            let mut candidate = ExplainedCandidate {
                entry: id,
                question: None,
                similarity,
                state: (&found).into(),
                checks: Vec::new(),
                stages: Vec::new(),
                accepted: false,
                screened: Outcome::Rejected,
                confidence: 0.0,
                rank: 0.0,
                live: None,
            };
            if let Found::Live(entry) = found {
                if let Some(cached) = &entry.embedding {
                    candidate.similarity = cached.similarity(&embedding);
                }
                let record = inner.feedback_index.record_of(id);
                let pair = prepared.candidate(&entry, candidate.similarity, record.as_deref());
                let screening = inner.verifier.screen(&pair);
                let verdict = inner.verifier.explain(pair).await?;
                (candidate.screened, candidate.rank) = (screening.outcome, screening.confidence);
                // A lookup verifies only what is undecided.
                candidate.accepted = match screening.outcome {
                    Outcome::Undecided => verdict.accepted,
                    outcome => outcome == Outcome::Accepted,
                };
                candidate.confidence = verdict.confidence;
                (candidate.checks, candidate.stages) = (verdict.checks, verdict.stages);
                candidate.question = Some(entry.question.to_string());
                candidate.live = Some(Arc::clone(&entry));
                if inner.feedback_index.forbid(prepared.key.exact, id) {
                    let detail = "its answer was called wrong for this question";
                    candidate.checks.insert(0, Check::new(Stage::Feedback.name(), false, detail));
                    (candidate.accepted, candidate.screened) = (false, Outcome::Rejected);
                } else if inner.feedback_index.promoted(prepared.key.exact).contains(&id) {
                    let detail = "a judge approved its answer for this question";
                    candidate.checks.insert(0, Check::new(Stage::Feedback.name(), true, detail));
                    (candidate.accepted, candidate.screened) = (true, Outcome::Accepted);
                } else if !inner.can_show(prepared) {
                    // A lookup would not have looked at it.
                    (candidate.accepted, candidate.screened) = (false, Outcome::Rejected);
                }
            }
            candidates.push(candidate);
        }
        self.weigh_surest(prepared, &mut candidates).await?;
        Ok(candidates)
    }

    /// Weighs the surest candidate beside the others, as a lookup does.
    async fn weigh_surest(&self, prepared: &Prepared, candidates: &mut [ExplainedCandidate]) -> Result<()> {
        let looked_at = candidates.len().min(self.inner.settings.candidates);
        let candidates = &mut candidates[..looked_at];
        let is_at_once = |one: &ExplainedCandidate| one.accepted && one.screened == Outcome::Accepted;
        if candidates.iter().any(is_at_once) {
            return Ok(());
        }
        let Some(surest) = surest(candidates) else { return Ok(()) };
        let Some(entry) = candidates[surest].live.clone() else { return Ok(()) };
        let others = candidates.iter().enumerate().filter(|(at, _)| *at != surest).map(|(_, other)| other);
        let others = others.filter(|other| other.screened == Outcome::Undecided);
        let others: Vec<Rival<'_>> =
            others.filter_map(|other| Some((&**other.live.as_ref()?, other.confidence))).collect();
        match self.inner.weighed(prepared, (&entry, candidates[surest].confidence), &others).await? {
            Weighed::Likely(_) => {}
            Weighed::Unlikely { confidence, least, rival } => {
                let name = Stage::Rivals.name();
                for (at, candidate) in candidates.iter_mut().enumerate().filter(|(_, one)| one.accepted) {
                    let detail = if at == surest {
                        candidate.confidence = confidence;
                        format!(
                            "probability {confidence:.4} beside others such as \"{rival}\", {least:.4} is needed"
                        )
                    } else {
                        "another candidate is surer, and that one may not be served".to_owned()
                    };
                    candidate.checks.push(Check::new(name, false, detail));
                    candidate.accepted = false;
                }
            }
        }
        Ok(())
    }
}

/// The place of the surest of the accepted candidates.
fn surest(candidates: &[ExplainedCandidate]) -> Option<usize> {
    // Of those equally sure, the likelier one, then the nearer one: the same order as in a lookup.
    let surer = |(_, a): &(usize, &ExplainedCandidate), (_, b): &(usize, &ExplainedCandidate)| {
        a.confidence.total_cmp(&b.confidence).then(a.rank.total_cmp(&b.rank))
    };
    let accepted = candidates.iter().enumerate().filter(|(_, one)| one.accepted);
    accepted.rev().max_by(surer).map(|(at, _)| at)
}

impl Explanation {
    /// Decides as a lookup that looks at `looked_at` candidates does.
    fn decide(&mut self, looked_at: usize, is_by_meaning: bool) {
        if self.exact_state == EntryState::Live {
            self.served = Some(self.exact);
            self.decision = "hit: the same question was answered before".into();
            return;
        }
        let candidates = &self.candidates[..self.candidates.len().min(looked_at)];
        let at_once = candidates.iter().find(|one| one.accepted && one.screened == Outcome::Accepted);
        let verified = || surest(candidates).map(|at| &candidates[at]);
        if let Some(candidate) = at_once.or_else(verified) {
            self.served = Some(candidate.entry);
            self.decision =
                format!("hit: a question of similarity {:.3} was answered before", candidate.similarity);
            return;
        }
        let why = match (self.exact_state, self.unknown_script, self.unshown, self.candidates.first()) {
            (EntryState::Dead(reason), ..) => format!("the stored answer may not be served: {reason}"),
            _ if !is_by_meaning => "exact matches only, as was asked for".into(),
            (_, Some(script), ..) => format!("the model does not know {script}: exact matches only"),
            (_, None, Some(unshown), _) => unshown.to_string(),
            (_, None, None, None) => "nothing similar is stored".into(),
            (_, None, None, Some(nearest)) => {
                let mut failed = nearest.checks.iter().filter(|check| !check.passed);
                // If the cheap stages leave it undecided, the last stage decides.
                let is_undecided = nearest.screened == Outcome::Undecided;
                match if is_undecided { failed.next_back() } else { failed.next() } {
                    Some(check) => format!("for the nearest question, {}", check.detail),
                    None => "the nearest stored answer may not be served".into(),
                }
            }
        };
        self.decision = format!("miss: {why}");
    }
}
