//! A question with everything that affects how it is looked up.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cache::Inner;
use crate::cache::principal::{Principal, Visibility};
use crate::embedding::Embedding;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::judgement::EntryRecord;
use crate::key::{CacheKey, Corpus, Namespace, Scope, TenantId, folded};
use crate::match_policy::MatchPolicy;
use crate::verify::{Candidate, is_follow_up};

/// The parameter of the scope that holds the fingerprint of a conversation.
const CONVERSATION: &str = "wellspring.conversation";

/// A question to the cache. A text alone converts to one: see [`new`](Self::new).
#[derive(Debug, Clone)]
#[must_use]
pub struct Query {
    text: String,
    corpus: Corpus,
    scope: Scope,
    embedding: Option<Vec<f32>>,
    match_policy: Option<MatchPolicy>,
    conversation: Option<String>,
    is_exact: bool,
    principal: Option<Principal>,
    mode: Mode,
}

/// How to handle follow-up questions that come without their conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FollowUps {
    /// They are neither looked up nor stored: their answers belong to a conversation that is not known.
    #[default]
    Bypass,
    /// They are looked up like any other question. For callers that put the conversation into the scope, or
    /// rewrite questions so that they stand alone.
    Match,
}

/// Which parts of the cache a query uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mode {
    #[default]
    All,
    ExactOnly,
    /// Stores a new answer without looking for an old one.
    Renew,
    Nothing,
    /// It is a follow-up to an unknown question.
    Detached,
}

impl Query {
    /// A question in the default corpus and a scope that everyone shares.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Lookup, Query};
    ///
    /// assert!(matches!(cache.lookup(Query::new("How do I reset my password?")).await?, Lookup::Hit(_)));
    /// # Ok(()) });
    /// ```
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            corpus: Corpus::default(),
            scope: Scope::new(),
            embedding: None,
            match_policy: None,
            conversation: None,
            is_exact: false,
            principal: None,
            mode: Mode::All,
        }
    }

    /// The question as it was given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Sets the corpus that the answer derives from.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Corpus, Lookup, Query};
    ///
    /// let query = Query::new("How do I reset my password?").corpus(Corpus::new("acme")?);
    /// assert!(matches!(cache.lookup(query).await?, Lookup::Miss(_)));
    /// # Ok(()) });
    /// ```
    pub fn corpus(mut self, corpus: Corpus) -> Self {
        self.corpus = corpus;
        self
    }

    /// Sets who may share the answer.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Lookup, Query, Scope};
    ///
    /// let scope = Scope::new().tenant("acme").parameter("model", "gpt-4o-mini");
    /// let query = Query::new("How do I reset my password?").scope(scope);
    /// assert!(matches!(cache.lookup(query).await?, Lookup::Miss(_)));
    /// # Ok(()) });
    /// ```
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Gives the question's embedding, made by the cache's own model, so that it is not computed again.
    /// It need not have unit length.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::Query;
    ///
    /// let query = Query::new("Where is the key?");
    /// cache.lookup(query.clone().embedding([0.5; 64])).await?;
    /// assert!(cache.lookup(query.embedding([0.5; 2])).await.is_err(), "the model has 64 dimensions");
    /// # Ok(()) });
    /// ```
    pub fn embedding(mut self, components: impl Into<Vec<f32>>) -> Self {
        self.embedding = Some(components.into());
        self
    }

    /// Sets the least cosine similarity of another question whose answer may be served, in `-1.0..=1.0`,
    /// instead of an error rate. Overrides the settings of the scope, the corpus and the cache.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Lookup, Query};
    ///
    /// let query = Query::new("how do I reset my password now").similarity_threshold(0.99);
    /// assert!(matches!(cache.lookup(query).await?, Lookup::Miss(_)));
    /// # Ok(()) });
    /// ```
    pub fn similarity_threshold(mut self, threshold: f32) -> Self {
        self.match_policy = Some(MatchPolicy::SimilarityThreshold(threshold));
        self
    }

    /// Sets the greatest share of wrong answers among hits on other wordings that is accepted, greater than 0
    /// and less than 1. Overrides the settings of the scope, the corpus and the cache.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Lookup, Query};
    ///
    /// // No calibration shows how often the fake embedder is wrong. So other wordings are not served.
    /// let query = Query::new("how do I reset my password").max_false_hit_rate(0.01);
    /// assert!(matches!(cache.lookup(query).await?, Lookup::Miss(_)));
    /// # Ok(()) });
    /// ```
    pub fn max_false_hit_rate(mut self, rate: f64) -> Self {
        self.match_policy = Some(MatchPolicy::MaxFalseHitRate(rate));
        self
    }

    /// Sets when another question's answer may be served. Overrides the settings of the scope, the corpus and
    /// the cache.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{MatchPolicy, Lookup, Query};
    ///
    /// let query = Query::new("how do I reset my password").match_policy(MatchPolicy::SimilarityThreshold(0.95));
    /// assert!(matches!(cache.lookup(query).await?, Lookup::Hit(_)));
    /// # Ok(()) });
    /// ```
    pub fn match_policy(mut self, match_policy: MatchPolicy) -> Self {
        self.match_policy = Some(match_policy);
        self
    }

    /// Sets a fingerprint of the conversation that the question was asked in: the id of the thread with the
    /// number of the turn, or a hash of the earlier turns.
    ///
    /// A follow-up question ("and in Germany?") is matched only if the fingerprint is the same; without one
    /// it bypasses the cache. A question that stands alone is shared by all conversations.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{BypassReason, Lookup, Query};
    ///
    /// let query = Query::new("And in Germany?");
    /// assert!(matches!(cache.lookup(query.clone()).await?, Lookup::Bypass(BypassReason::FollowUp)));
    /// assert!(matches!(cache.lookup(query.conversation("thread 17, turn 2")).await?, Lookup::Miss(_)));
    /// # Ok(()) });
    /// ```
    pub fn conversation(mut self, fingerprint: impl Into<String>) -> Self {
        self.conversation = Some(fingerprint.into());
        self
    }

    /// Sets whose pipeline asks, and makes the answer if there is none: someone who is not trusted with
    /// everything that others in the scope are served.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Dependency, Lookup, Principal, Query, Visibility};
    ///
    /// let ask = |name| Query::new("Where is the key?").principal(Principal::new(name).visibility(Visibility::Own));
    /// if let Lookup::Miss(permit) = cache.lookup(ask("alice")).await? {
    ///     permit.fill("In her bag.", [Dependency::document("keys.md")]).await;
    /// }
    /// assert!(matches!(cache.lookup(ask("alice")).await?, Lookup::Hit(_)));
    /// assert!(matches!(cache.lookup(ask("bob")).await?, Lookup::Miss(_)));
    /// # Ok(()) });
    /// ```
    pub fn principal(mut self, principal: Principal) -> Self {
        self.principal = Some(principal);
        self
    }

    /// Looks for exactly this question only, which may then have any length: a question longer than
    /// [`MAX_QUESTION_BYTES`](crate::key::MAX_QUESTION_BYTES) is identified by its hash.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Lookup, Query};
    ///
    /// let query = Query::new("how do I reset my password");
    /// assert!(matches!(cache.lookup(query.clone()).await?, Lookup::Hit(_)));
    /// assert!(matches!(cache.lookup(query.exact_only()).await?, Lookup::Miss(_)));
    /// # Ok(()) });
    /// ```
    pub fn exact_only(mut self) -> Self {
        self.is_exact = true;
        self
    }

    /// Does not look for an answer, but stores the new one in place of the old.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{Dependency, Query};
    ///
    /// let query = Query::new("How do I reset my password?").renew();
    /// let served = cache.get_or_fill(query, async |_| {
    ///     Ok(("By post.", [Dependency::document("passwords.md")]))
    /// }).await?;
    /// assert_eq!(&*served.answer.text, "By post.");
    /// # Ok(()) });
    /// ```
    pub fn renew(mut self) -> Self {
        self.mode = Mode::Renew;
        self
    }

    /// Neither looks for an answer nor stores one.
    ///
    /// ```
    /// # wellspring_test_support::example::with_cache(async |cache| {
    /// use wellspring::{BypassReason, Lookup, Query};
    ///
    /// let query = Query::new("Where is the key?").no_store();
    /// assert!(matches!(cache.lookup(query).await?, Lookup::Bypass(BypassReason::NoStore)));
    /// # Ok(()) });
    /// ```
    pub fn no_store(mut self) -> Self {
        self.mode = Mode::Nothing;
        self
    }
}

impl<T: Into<String>> From<T> for Query {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

/// A query that was checked, with its key.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    /// The key that the answer will be stored under.
    pub(crate) key: CacheKey,
    /// The question, normalised, if the key has only its hash.
    pub(crate) whole: Option<Arc<str>>,
    pub(crate) tenant: Option<TenantId>,
    /// The key of everybody's answer, if that is stored elsewhere.
    pub(crate) shared: Option<Shared>,
    pub(crate) visibility: Visibility,
    /// The namespace that the answer will belong to.
    pub(crate) namespace: Option<Namespace>,
    /// Whether the scope is private, and nothing says whose it is.
    pub(crate) lacks_tenant: bool,
    pub(crate) given: Option<Embedding>,
    pub(crate) match_policy: MatchPolicy,
    pub(crate) mode: Mode,
    /// Whether only the same question is wanted, whatever the mode.
    pub(crate) is_exact: bool,
    /// Whether the question is embedded together with others, after the exact lookup.
    pub(crate) in_batch: bool,
}

/// The place of everybody's answer, for a principal whose own answer is kept apart from it.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) key: CacheKey,
    pub(crate) tenant: Option<TenantId>,
    /// The name under which the principal's answer confirms those of others.
    pub(crate) counts_as: Arc<str>,
}

impl Prepared {
    /// The question, normalised.
    pub(super) fn question(&self) -> &Arc<str> {
        self.whole.as_ref().unwrap_or(&self.key.text)
    }

    /// Whether an answer to it may be stored. If not, no one else may be made to wait for it.
    pub(super) fn is_storable(&self) -> bool {
        !self.lacks_tenant && self.visibility != Visibility::NoOne
    }

    /// The same question among everybody's answers, if the principal's own are kept apart from them.
    pub(super) fn of_everybody(&self) -> Option<Self> {
        let Shared { key, tenant, .. } = self.shared.clone()?;
        Some(Self { key, tenant, shared: None, ..self.clone() })
    }

    /// The answer of `entry` as a candidate for this question.
    pub(super) fn candidate<'a>(
        &'a self,
        entry: &'a Entry,
        similarity: f32,
        record: Option<&'a EntryRecord>,
    ) -> Candidate<'a> {
        Candidate::new(&self.key.text, &entry.question, similarity, self.match_policy)
            .in_corpus(&self.key.corpus)
            .in_scope(self.key.scope)
            .record(record)
    }

    pub(crate) fn new(mut query: Query, cache: &Inner) -> Result<Self> {
        if cache.settings.follow_ups == FollowUps::Bypass && is_follow_up(&query.text) {
            match query.conversation.take() {
                Some(conversation) => {
                    query.scope = query.scope.parameter(CONVERSATION, conversation);
                }
                None if query.mode != Mode::Nothing => query.mode = Mode::Detached,
                None => {}
            }
        }
        if query.is_exact && query.mode == Mode::All {
            query.mode = Mode::ExactOnly;
        }
        let tenant = query.scope.tenant_id();
        let scope = query.scope.id(&query.corpus, &cache.fingerprint)?;
        let key_of = if query.is_exact { CacheKey::exact } else { CacheKey::new };
        let key = key_of(query.corpus, scope, &query.text)?;
        let whole = if key.is_whole() { None } else { Some(folded(&query.text)?.into()) };
        let visibility =
            query.principal.as_ref().map_or(Visibility::Everyone, |principal| principal.visibility);
        let is_apart = visibility == Visibility::Own
            || cache.admission.confirmations > 1 && visibility != Visibility::NoOne;
        let (key, tenant, shared) = match query.principal.filter(|_| is_apart) {
            None => (key, tenant, None),
            Some(Principal { name, counts_as, .. }) => {
                let own = query.scope.clone().own(&name);
                let own_key =
                    key_of(key.corpus.clone(), own.id(&key.corpus, &cache.fingerprint)?, &query.text)?;
                (own_key, own.tenant_id(), Some(Shared { key, tenant, counts_as }))
            }
        };
        // A question that is identified by its hash cannot be compared by meaning.
        let given = query.embedding.filter(|_| whole.is_none());
        let given = given.map(|components| Embedding::new(&components)).transpose()?;
        let expected = cache.embedder.model().dimensions;
        if let Some(given) = given.as_ref().filter(|given| given.dimensions() != expected) {
            return Err(Error::invalid(format!(
                "embedding has {} dimensions, those of the model {} have {expected}",
                given.dimensions(),
                cache.embedder.model().name,
            )));
        }
        // The embedding decides which questions find the answer. Only those who may decide what others are
        // served may set it.
        let given = given.filter(|_| visibility == Visibility::Everyone);
        let of_corpus = || cache.settings.corpora.get(&key.corpus).copied();
        let match_policy = query.match_policy.or(query.scope.match_policy()).or_else(of_corpus);
        let match_policy = match_policy.unwrap_or_else(|| cache.runtime.match_policy()).checked()?;
        Ok(Self {
            key,
            whole,
            tenant,
            shared,
            visibility,
            namespace: query.scope.as_namespace().cloned(),
            lacks_tenant: query.scope.lacks_tenant(),
            given,
            match_policy,
            mode: query.mode,
            is_exact: query.is_exact,
            in_batch: false,
        })
    }
}
