//! A question with everything that decides how it is looked up.

use crate::cache::Inner;
use crate::embedding::Embedding;
use crate::error::{Error, Result};
use crate::key::{CacheKey, Corpus, Namespace, Scope};

/// A question to the cache.
#[derive(Debug, Clone)]
#[must_use]
pub struct Query {
    text: String,
    corpus: Corpus,
    scope: Scope,
    embedding: Option<Vec<f32>>,
    similarity_threshold: Option<f32>,
    mode: Mode,
}

/// What of the cache a query uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mode {
    #[default]
    All,
    ExactOnly,
    /// Stores a new answer without looking for an old one.
    Renew,
    Nothing,
}

impl Query {
    /// A question in the default corpus and a scope that everyone shares.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            corpus: Corpus::default(),
            scope: Scope::new(),
            embedding: None,
            similarity_threshold: None,
            mode: Mode::All,
        }
    }

    /// The question as it was given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Sets the corpus that the answer derives from.
    pub fn corpus(mut self, corpus: Corpus) -> Self {
        self.corpus = corpus;
        self
    }

    /// Sets who may share the answer.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Gives the question's embedding, made by the cache's own model, so that it is not computed again.
    /// It need not have unit length.
    pub fn embedding(mut self, components: impl Into<Vec<f32>>) -> Self {
        self.embedding = Some(components.into());
        self
    }

    /// Sets the least cosine similarity of another question whose answer may be served, in
    /// `-1.0..=1.0`; over that of the scope and that of the cache.
    pub fn similarity_threshold(mut self, threshold: f32) -> Self {
        self.similarity_threshold = Some(threshold);
        self
    }

    /// Looks for exactly this question only.
    pub fn exact_only(mut self) -> Self {
        self.mode = Mode::ExactOnly;
        self
    }

    /// Does not look for an answer, but stores the new one in place of the old.
    pub fn renew(mut self) -> Self {
        self.mode = Mode::Renew;
        self
    }

    /// Neither looks for an answer nor stores one.
    pub fn no_store(mut self) -> Self {
        self.mode = Mode::Nothing;
        self
    }
}

/// A query that was checked and keyed.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) key: CacheKey,
    /// Where the answer will belong.
    pub(crate) namespace: Option<Namespace>,
    /// Whether the scope is private, and nothing says whose it is.
    pub(crate) lacks_tenant: bool,
    pub(crate) given: Option<Embedding>,
    pub(crate) threshold: f32,
    pub(crate) mode: Mode,
}

impl Prepared {
    pub(crate) fn new(query: Query, cache: &Inner) -> Result<Self> {
        let scope = query.scope.id(&query.corpus, &cache.fingerprint)?;
        let key = CacheKey::new(query.corpus, scope, &query.text)?;
        let given = query.embedding.map(|components| Embedding::new(&components)).transpose()?;
        let expected = cache.embedder.model().dimensions;
        if let Some(given) = given.as_ref().filter(|given| given.dimensions() != expected) {
            return Err(Error::invalid(format!(
                "embedding has {} dimensions, those of the model {} have {expected}",
                given.dimensions(),
                cache.embedder.model().name,
            )));
        }
        let threshold =
            query.similarity_threshold.or(query.scope.threshold()).unwrap_or(cache.live.threshold());
        check_threshold(threshold)?;
        Ok(Self {
            key,
            namespace: query.scope.as_namespace().cloned(),
            lacks_tenant: query.scope.lacks_tenant(),
            given,
            threshold,
            mode: query.mode,
        })
    }
}

pub(crate) fn check_threshold(threshold: f32) -> Result<()> {
    if (-1.0..=1.0).contains(&threshold) {
        return Ok(());
    }
    Err(Error::invalid(format!("similarity threshold {threshold} is not in -1.0..=1.0")))
}
