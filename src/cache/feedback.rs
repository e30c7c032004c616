//! Learning whether served answers were right.

use std::sync::Arc;

use crate::cache::lookup::{Hit, Tier};
use crate::cache::{Cache, Inner};
use crate::entry::{Change, Entry};
use crate::error::Result;
use crate::judgement::{EntryRecord, Feedback, Judge, Judgement, JudgementCursor, Logged, Revocation};
use crate::key::{CacheKey, Corpus, EntryId};

/// Someone who reports whether answers were right, but is not trusted to decide what others are served.
#[derive(Debug, Clone)]
#[must_use]
pub struct FeedbackSource {
    name: Option<Arc<str>>,
    shares: bool,
}

impl FeedbackSource {
    /// One of several who are served the same answers. All without a [name](Self::name) count as one.
    #[expect(clippy::new_without_default, reason = "what is shared is said")]
    pub fn new() -> Self {
        Self { name: None, shares: true }
    }

    /// Sets the name under which reports count as one: however many reports come under it, they alone do not
    /// move the thresholds that apply to others.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Declares that no one else is served the answers that the reports are about.
    pub fn alone(mut self) -> Self {
        self.shares = false;
        self
    }
}

impl Cache {
    /// Reports whether `hit` was right for the question that it was served for.
    ///
    /// A wrong answer is removed. If it was the answer to another question, the pair of questions is
    /// remembered, so that the answer is never served for this question again: at once in this process,
    /// within about a second in others that share the store, and for as long as the store remembers
    /// ([`MAX_JUDGEMENTS`](crate::judgement::MAX_JUDGEMENTS)). All feedback also counts for the entry, and
    /// for calibration.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Feedback, Lookup};
    ///
    /// let Lookup::Hit(hit) = cache.lookup("how do I reset my password").await? else { panic!("no hit") };
    /// cache.feedback(&hit, Feedback::Wrong).await?;
    /// assert!(matches!(cache.lookup("how do I reset my password").await?, Lookup::Miss(_)));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// If the store cannot be written. Even then, this process does not serve the pair.
    ///
    /// # Cancel safety
    ///
    /// If dropped, part of it may be done; reporting it again completes it.
    pub async fn feedback(&self, hit: &Hit, feedback: Feedback) -> Result<()> {
        let similarity = match hit.tier {
            Tier::Semantic { similarity, .. } => similarity,
            Tier::Exact => 1.0,
        };
        let asked = asked(&hit.entry, Some(&hit.question))?;
        let judgement = self.inner.judgement(&asked, &hit.entry, Some(similarity), feedback, Judge::Caller);
        // The pair first: if the removal fails, the answer is at least not served for this question.
        let learned = self.learn(judgement).await;
        if feedback == Feedback::Wrong {
            self.invalidate(&hit.entry.corpus, &[Change::Entry(hit.entry.id)]).await?;
        }
        learned
    }

    /// The same for an entry of which only the id is known, and the question that it was served for; without
    /// a question, its own. Returns whether the entry exists: an entry that is gone is not served anyway.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Corpus, Feedback, Query};
    ///
    /// let id = cache.entry_id(&Query::new("How do I reset my password?"))?;
    /// assert!(cache.feedback_on(&Corpus::default(), id, None, Feedback::Right).await?);
    /// assert_eq!(cache.record_of(id).right, 1);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`feedback`](Self::feedback), and `InvalidInput` for a question that is not valid.
    ///
    /// # Cancel safety
    ///
    /// As for [`feedback`](Self::feedback).
    pub async fn feedback_on(
        &self,
        corpus: &Corpus,
        entry: EntryId,
        question: Option<&str>,
        feedback: Feedback,
    ) -> Result<bool> {
        let remembered = self.remember_feedback(corpus, entry, question, feedback).await;
        if feedback == Feedback::Wrong {
            self.invalidate(corpus, &[Change::Entry(entry)]).await?;
        }
        remembered
    }

    /// The same, but does not remove a wrong answer: for callers that remove it in their own way.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Corpus, Feedback, Query};
    ///
    /// let id = cache.entry_id(&Query::new("How do I reset my password?"))?;
    /// cache.remember_feedback(&Corpus::default(), id, Some("Where is the key?"), Feedback::Wrong).await?;
    /// assert!(cache.entry(&Corpus::default(), id).await?.is_some(), "it still answers its own question");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`feedback_on`](Self::feedback_on).
    ///
    /// # Cancel safety
    ///
    /// As for [`feedback`](Self::feedback).
    pub async fn remember_feedback(
        &self,
        corpus: &Corpus,
        entry: EntryId,
        question: Option<&str>,
        feedback: Feedback,
    ) -> Result<bool> {
        self.remember(None, corpus, entry, question, feedback).await
    }

    /// The same as [`remember_feedback`](Self::remember_feedback), from someone who is not trusted to decide
    /// what others are served. The caller must check, by the entry's [`tenant`](Entry::tenant), whether they
    /// may report on the entry at all.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Corpus, Feedback, Query, FeedbackSource};
    ///
    /// let id = cache.entry_id(&Query::new("How do I reset my password?"))?;
    /// let alice = FeedbackSource::new().name("alice");
    /// assert!(cache.feedback_from(alice, &Corpus::default(), id, None, Feedback::Right).await?);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`feedback_on`](Self::feedback_on).
    ///
    /// # Cancel safety
    ///
    /// As for [`feedback`](Self::feedback).
    pub async fn feedback_from(
        &self,
        source: FeedbackSource,
        corpus: &Corpus,
        entry: EntryId,
        question: Option<&str>,
        feedback: Feedback,
    ) -> Result<bool> {
        self.remember(Some(source), corpus, entry, question, feedback).await
    }

    async fn remember(
        &self,
        source: Option<FeedbackSource>,
        corpus: &Corpus,
        entry: EntryId,
        question: Option<&str>,
        feedback: Feedback,
    ) -> Result<bool> {
        let Some(stored) = self.entry(corpus, entry).await? else { return Ok(false) };
        let entry = stored.entry;
        let asked = asked(&entry, question)?;
        let similarity = self.similarity(&asked, &entry).await;
        let mut judgement = self.inner.judgement(&asked, &entry, similarity, feedback, Judge::Caller);
        if let Some(source) = source {
            (judgement.by, judgement.shared) = (source.name, source.shares);
        }
        self.learn(judgement).await?;
        Ok(true)
    }

    /// The feedback on an entry's answer so far.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::Query;
    ///
    /// let id = cache.entry_id(&Query::new("How do I reset my password?"))?;
    /// let record = cache.record_of(id);
    /// assert_eq!((record.right, record.wrong), (0, 0));
    /// # Ok(()) });
    /// ```
    pub fn record_of(&self, entry: EntryId) -> EntryRecord {
        self.inner.feedback_index.record_of(entry).map(|record| (*record).clone()).unwrap_or_default()
    }

    /// Up to `limit` judgements that follow `after` and were not revoked, oldest first, over all corpora:
    /// labelled pairs to calibrate with, and the decisions of a judge. None at the end.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Corpus, Feedback, Query};
    ///
    /// let id = cache.entry_id(&Query::new("How do I reset my password?"))?;
    /// cache.feedback_on(&Corpus::default(), id, None, Feedback::Right).await?;
    /// let (_, judgement) = &cache.judgements(None, 100).await?[0];
    /// assert_eq!((judgement.cached, judgement.feedback), (id, Feedback::Right));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn judgements(
        &self,
        mut after: Option<JudgementCursor>,
        limit: usize,
    ) -> Result<Vec<(JudgementCursor, Judgement)>> {
        // So that every revocation in the log is known.
        self.inner.feedback_index.read_on().await?;
        let mut found = Vec::new();
        while found.len() < limit {
            let page = self.inner.store.judgements(after, limit - found.len()).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            found.extend(page.into_iter().filter_map(|(cursor, logged)| match logged {
                Logged::Judgement(judgement) => {
                    let is_revoked = self.inner.feedback_index.is_revoked(cursor, &judgement);
                    (!is_revoked).then_some((cursor, judgement))
                }
                Logged::Revocation { .. } => None,
            }));
        }
        Ok(found)
    }

    /// Takes back decisions of a judge; returns for how many pairs. An answer that was approved is no longer
    /// served because of the approval, and a pair that was refused is open again: once this returns in this
    /// process, within about a second in others that share the store, and after restarts. The verifier still
    /// decides for itself. Later decisions of a judge count, unless a [pair](Revocation::of_pair) was named:
    /// that pair is not put to the judge again.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::Revocation;
    ///
    /// // Everything that the judge of this name decided; it decided nothing yet.
    /// assert_eq!(cache.revoke(Revocation::everything().by("gpt-4o-mini")).await?, 0);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// If the store cannot be read or written. Even then, what this process knew of is taken back until it
    /// restarts.
    ///
    /// # Cancel safety
    ///
    /// If dropped, part of it may be done; revoking again completes it.
    pub async fn revoke(&self, revocation: Revocation) -> Result<u64> {
        let is_of_pair = revocation.pair.is_some();
        let withdrawn = self.inner.feedback_index.revoke(revocation).await?;
        if let Some(judging) = self.inner.judging.as_ref().filter(|_| !is_of_pair) {
            judging.reopen();
        }
        Ok(withdrawn)
    }

    /// How often this process has served the answer of `cached` for the question `asked` because a judge
    /// approved it.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::Query;
    ///
    /// let asked = cache.entry_id(&Query::new("Where is the key?"))?;
    /// let cached = cache.entry_id(&Query::new("How do I reset my password?"))?;
    /// assert_eq!(cache.served_as_approved(asked, cached), 0);
    /// # Ok(()) });
    /// ```
    pub fn served_as_approved(&self, asked: EntryId, cached: EntryId) -> u64 {
        self.inner.feedback_index.served(asked, cached)
    }

    async fn learn(&self, judgement: Judgement) -> Result<()> {
        self.inner.metrics.verification.feedback.increment(&judgement.feedback);
        self.inner.feedback_index.learn(judgement).await
    }

    /// How similar the question is to that of the entry; none if that cannot be determined.
    async fn similarity(&self, asked: &CacheKey, entry: &Entry) -> Option<f32> {
        if asked.exact == entry.id {
            return Some(1.0);
        }
        let cached = entry.embedding.as_ref()?;
        let asked = self.inner.embed(&asked.text).await.ok()??;
        Some(cached.similarity(&asked))
    }
}

impl Inner {
    pub(super) fn judgement(
        &self,
        asked: &CacheKey,
        entry: &Entry,
        similarity: Option<f32>,
        feedback: Feedback,
        judge: Judge,
    ) -> Judgement {
        Judgement {
            corpus: entry.corpus.clone(),
            scope: entry.scope,
            asked: asked.exact,
            cached: entry.id,
            question: Arc::clone(&asked.text),
            cached_question: Arc::clone(&entry.question),
            similarity,
            feedback,
            judge,
            at: self.clock.now(),
            confidence: None,
            by: None,
            shared: false,
        }
    }
}

/// The question that `entry` was served for: its own, if no other is given.
fn asked(entry: &Entry, question: Option<&str>) -> Result<CacheKey> {
    match question {
        Some(question) if *question != *entry.question => {
            CacheKey::exact(entry.corpus.clone(), entry.scope, question)
        }
        _ => Ok(CacheKey {
            corpus: entry.corpus.clone(),
            scope: entry.scope,
            exact: entry.id,
            text: Arc::clone(&entry.question),
        }),
    }
}
