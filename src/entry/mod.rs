//! What the cache stores: answers, and the names by which they can be invalidated. Pure data.

mod change;
mod dependency;
mod selection;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::change::Change;
use self::dependency::Name;
pub use self::dependency::{Dependency, DocumentVersion};
pub(crate) use self::dependency::{any_change_of, ids_of_document, itself};
pub use self::selection::Selection;
use crate::clock::Timestamp;
use crate::embedding::Embedding;
use crate::error::{Error, Result};
use crate::key::{Corpus, DependencyId, EntryId, MAX_JSON_DEPTH, ScopeId, TenantId, is_deeper_than};

/// The most names by which one entry may be invalidated, including its own and those of its namespaces.
pub const MAX_DEPENDENCIES: usize = 256;

/// How fast an answer ages; each type has its own time to live in `Ttls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ContentType {
    /// No particular type: the default time to live.
    #[default]
    General,
    /// Facts that hardly change: 24 hours by default.
    StaticFact,
    /// Documentation: 6 hours by default.
    Documentation,
    /// Data of a user: 1 hour by default.
    UserData,
    /// Prices, weather, states: 2 minutes by default.
    RealTime,
}

/// What it took to make the answer, and so what a hit on it saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens sent to the LLM.
    pub prompt_tokens: u64,
    /// Tokens received from it.
    pub completion_tokens: u64,
    /// The price of the call in millionths of a US dollar.
    pub cost_microusd: u64,
}

/// An answer, together with what decides how long it lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Answer {
    /// The answer itself.
    pub text: Arc<str>,
    /// How fast it ages.
    pub content_type: ContentType,
    /// Its own time to live; none for that of its content type.
    pub ttl: Option<Duration>,
    /// Whether it says that nothing was found. Such answers have their own, short time to live.
    pub negative: bool,
    /// What it took to make it.
    pub usage: Option<Usage>,
    /// Any data that the caller wants back with the answer; `null` if there is none. Nested no deeper than
    /// [`MAX_JSON_DEPTH`]. Shared, so that an answer is cheap to clone.
    pub metadata: Arc<Value>,
}

impl Answer {
    /// An answer of general content.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self {
            text: text.into(),
            content_type: ContentType::General,
            ttl: None,
            negative: false,
            usage: None,
            metadata: Arc::default(),
        }
    }

    /// An answer saying that nothing was found.
    pub fn negative(text: impl Into<Arc<str>>) -> Self {
        Self { negative: true, ..Self::new(text) }
    }

    /// Sets how fast the answer ages.
    #[must_use]
    pub fn content_type(mut self, content_type: ContentType) -> Self {
        self.content_type = content_type;
        self
    }

    /// Sets the time to live, in place of that of the content type.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets what it took to make the answer.
    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    /// Attaches data that the caller wants back with the answer.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Into<Value>) -> Self {
        self.metadata = Arc::new(metadata.into());
        self
    }
}

impl<T: Into<Arc<str>>> From<T> for Answer {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

/// An answer as it is stored, with everything needed to find, serve and invalidate it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The entry's identity.
    pub id: EntryId,
    /// The corpus that it derives from.
    pub corpus: Corpus,
    /// Who may share it.
    pub scope: ScopeId,
    /// The tenant of its scope; none if there is none, or if the entry was stored before this was kept.
    pub tenant: Option<TenantId>,
    /// The normalised question that was answered.
    pub question: Arc<str>,
    /// The question's embedding; none if the question was too long for the model to see all of it, so that
    /// the entry can only be hit exactly.
    pub embedding: Option<Embedding>,
    /// The answer.
    pub answer: Answer,
    /// What the answer was derived from or belongs to.
    pub dependencies: Vec<Dependency>,
    /// When the answer was stored.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// How long making the answer took, from the miss to the fill.
    pub recompute: Duration,
}

impl Entry {
    /// The ids by which the entry can be invalidated, without duplicates: those of its dependencies and
    /// its own.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a name is not valid or there are more than [`MAX_DEPENDENCIES`].
    pub fn dependency_ids(&self) -> Result<Vec<DependencyId>> {
        self.dependencies.iter().try_for_each(Dependency::check)?;
        let listed = self.listed_ids();
        if listed.len() >= MAX_DEPENDENCIES {
            return Err(Error::invalid(format!(
                "answer has {} dependencies, the limit is {MAX_DEPENDENCIES}; name a collection or a tag instead",
                listed.len() + 1
            )));
        }
        let names = self.dependencies.iter().flat_map(Dependency::names);
        let mut ids: Vec<_> = names.flat_map(Name::ids).chain([itself(self.id)]).collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// One id for each name of its dependencies, without duplicates. Reports list the entry under these ids.
    pub(crate) fn listed_ids(&self) -> Vec<DependencyId> {
        let mut ids: Vec<_> = self.dependencies.iter().flat_map(Dependency::names).map(Name::id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The entry as it was read from a store; none if changes of its dependencies might not reach it.
    #[cfg(any(test, feature = "embedded", feature = "valkey"))]
    pub(crate) fn reached(self) -> Option<Self> {
        self.dependencies.iter().all(Dependency::is_reached).then_some(self)
    }

    /// Checks the parts that a store keeps without looking at them, and returns the ids that the store needs.
    pub(crate) fn check(&self) -> Result<Vec<DependencyId>> {
        // The parser that reads the metadata back has a limit, too.
        if is_deeper_than(&self.answer.metadata, MAX_JSON_DEPTH) {
            return Err(Error::invalid(format!(
                "answer metadata is nested deeper than {MAX_JSON_DEPTH} levels"
            )));
        }
        self.dependency_ids()
    }

    /// The documents that it depends on, with the versions that were read, where they are known.
    pub fn documents(&self) -> impl Iterator<Item = (&str, Option<&DocumentVersion>)> {
        self.dependencies.iter().filter_map(|dependency| match dependency {
            Dependency::Document { id, version } => Some((id.as_str(), version.as_ref())),
            Dependency::Chunk { document, version, .. } => Some((document.as_str(), version.as_ref())),
            _ => None,
        })
    }

    /// About how many bytes the entry takes in memory or on disk.
    pub fn size(&self) -> usize {
        const FIXED: usize = 256;
        let names: usize = self
            .dependencies
            .iter()
            .map(|dependency| match dependency {
                Dependency::Document { id, version } => {
                    id.len() + version.as_ref().map_or(0, |v| v.as_str().len())
                }
                Dependency::Chunk { document, hash, .. } => document.len() + hash.len(),
                Dependency::Collection(name) | Dependency::Tag(name) => name.len(),
                Dependency::Namespace(path) => path.as_str().len(),
            } + 64)
            .sum();
        FIXED
            + self.question.len()
            + self.answer.text.len()
            + json_bytes(&self.answer.metadata)
            + self.embedding.as_ref().map_or(0, |embedding| embedding.dimensions() * size_of::<f32>())
            + names
    }
}

/// About how many bytes `value` takes. Does not recurse, because the value may have any depth.
fn json_bytes(value: &Value) -> usize {
    let mut bytes = 0;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        bytes += match value {
            Value::Null => 0,
            Value::Bool(_) | Value::Number(_) => 8,
            Value::String(text) => text.len() + 8,
            Value::Array(items) => {
                open.extend(items);
                8
            }
            Value::Object(fields) => {
                open.extend(fields.values());
                8 + fields.keys().map(|name| name.len() + 8).sum::<usize>()
            }
        };
    }
    bytes
}
