//! A stored answer as a line of JSON: what `export` writes and `import` reads.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wellspring::clock::Timestamp;
use wellspring::entry::{Answer, ContentType, Dependency, Entry, Usage};
use wellspring::error::Result;
use wellspring::key::{CacheKey, Corpus, ScopeId, TenantId};
use wellspring::policy::{MAX_TTL, Ttls};
use wellspring::store::{ReadVersion, StoredEntry};

use crate::commands::input::invalid;
use crate::commands::units;

/// A stored answer. Only question and answer are needed to import one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    #[serde(default)]
    pub(crate) corpus: Corpus,
    /// None stands for the scope that everyone in the corpus shares; its id depends on the model.
    #[serde(default)]
    pub(crate) scope: Option<ScopeId>,
    /// The tenant of the scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantId>,
    pub(crate) question: String,
    /// Whether the question is only the beginning of a longer one and the hash of the whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
    /// Whether the question is only matched exactly, and never by meaning.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    exact: bool,
    pub(crate) answer: String,
    #[serde(default)]
    content_type: ContentType,
    #[serde(default)]
    ttl: Option<String>,
    #[serde(default)]
    negative: bool,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    dependencies: Vec<Dependency>,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    expires_at: Option<String>,
    #[serde(default)]
    recompute_ms: u64,
    /// For reports; an imported answer starts with no hits.
    #[serde(default)]
    hits: u64,
    /// The state of the invalidation clock under which the answer was live. If the answer is imported under
    /// the same clock and something that it depends on has changed since, it stays invalid.
    #[serde(default)]
    clock: Option<ClockReading>,
}

/// A [`ReadVersion`] as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockReading {
    /// In hexadecimal, because numbers in JSON are too short.
    incarnation: String,
    sequence: u64,
}

impl Record {
    /// The record of an entry that is live at `read_version`.
    pub(crate) fn new(stored: &StoredEntry, scope: Option<ScopeId>, read_version: ReadVersion) -> Self {
        let Entry {
            id,
            corpus,
            scope: stored_scope,
            tenant,
            question,
            embedding,
            answer,
            dependencies,
            created_at,
            expires_at,
            recompute,
        } = &*stored.entry;
        let key =
            CacheKey { corpus: corpus.clone(), scope: *stored_scope, exact: *id, text: Arc::clone(question) };
        Self {
            corpus: corpus.clone(),
            scope,
            tenant: *tenant,
            question: question.to_string(),
            cut: !key.is_whole() && CacheKey::cut(corpus.clone(), key.scope, question).is_ok(),
            exact: embedding.is_none(),
            answer: answer.text.to_string(),
            content_type: answer.content_type,
            ttl: answer.ttl.map(|ttl| humantime::format_duration(ttl).to_string()),
            negative: answer.negative,
            usage: answer.usage,
            metadata: Value::clone(&answer.metadata),
            dependencies: dependencies.clone(),
            created_at: Some(units::rfc3339(*created_at)),
            expires_at: Some(units::rfc3339(*expires_at)),
            recompute_ms: u64::try_from(recompute.as_millis()).unwrap_or(u64::MAX),
            hits: stored.hits,
            clock: Some(ClockReading {
                incarnation: format!("{:032x}", read_version.incarnation),
                sequence: read_version.sequence,
            }),
        }
    }

    /// The key of the question in `scope`.
    pub(crate) fn key(&self, scope: ScopeId) -> Result<CacheKey> {
        let key_of = match self {
            Self { cut: true, .. } => CacheKey::cut,
            Self { exact: true, .. } => CacheKey::exact,
            _ => CacheKey::new,
        };
        key_of(self.corpus.clone(), scope, &self.question)
    }

    /// Whether the question is to be embedded.
    pub(crate) fn is_matched_by_meaning(&self) -> bool {
        !self.cut && !self.exact
    }

    /// The entry under `key`, without its embedding.
    ///
    /// Its times are those of the record, but never ahead of `now` or beyond the longest time to live.
    pub(crate) fn entry(&self, key: &CacheKey, ttls: &Ttls, now: Timestamp) -> Result<Entry> {
        let answer = self.answer()?;
        let created_at = time("created_at", self.created_at.as_deref())?.unwrap_or(now).min(now);
        let expires_at = time("expires_at", self.expires_at.as_deref())?
            .unwrap_or_else(|| created_at.saturating_add(ttls.base(&answer)))
            .min(now.saturating_add(MAX_TTL));
        let entry = Entry {
            id: key.exact,
            corpus: key.corpus.clone(),
            scope: key.scope,
            tenant: self.tenant,
            question: Arc::clone(&key.text),
            embedding: None,
            answer,
            dependencies: self.dependencies.iter().cloned().map(Dependency::composed).collect(),
            created_at,
            expires_at,
            recompute: Duration::from_millis(self.recompute_ms),
        };
        // So that an invalid name is reported with its line before anything is stored.
        entry.dependency_ids()?;
        Ok(entry)
    }

    fn answer(&self) -> Result<Answer> {
        if self.answer.trim().is_empty() {
            return Err(invalid("the answer is empty"));
        }
        let text = &*self.answer;
        let mut answer = if self.negative { Answer::negative(text) } else { Answer::new(text) };
        answer = answer.content_type(self.content_type).metadata(self.metadata.clone());
        if let Some(ttl) = &self.ttl {
            let ttl = humantime::parse_duration(ttl);
            answer = answer.ttl(ttl.map_err(|_| invalid("ttl is not a duration, write it like \"6h\""))?);
        }
        if let Some(usage) = self.usage {
            answer = answer.usage(usage);
        }
        Ok(answer)
    }

    /// The read version to store the answer under: its own if it was taken from the same clock as `present`.
    /// Nothing can say what has changed since then under another clock.
    pub(crate) fn read_version(&self, present: ReadVersion) -> ReadVersion {
        let own = self.clock.as_ref().and_then(|clock| {
            let incarnation = u128::from_str_radix(&clock.incarnation, 16).ok()?;
            Some(ReadVersion { incarnation, sequence: clock.sequence.min(present.sequence) })
        });
        own.filter(|own| own.incarnation == present.incarnation).unwrap_or(present)
    }
}

fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>> {
    let parse = |text| {
        units::parse_rfc3339(text)
            .ok_or_else(|| invalid(format!("{name} is not a time, write it like 2026-11-21T08:00:00Z")))
    };
    text.map(parse).transpose()
}
