//! An entry as a hash.
//!
//! | field | what it holds |
//! |---|---|
//! | `i`, `s` | incarnation and sequence of the read version |
//! | `d` | the ids that it can be invalidated by, 16 bytes each |
//! | `u` | the name of the fill, 8 random bytes, to distinguish it from others of the same question |
//! | `p` | its scope, 16 bytes |
//! | `q`, `a` | question and answer |
//! | `v` | the question's embedding, 32-bit floats in little-endian order; empty if it has none |
//! | `m` | the rest, as JSON |
//! | `h` | hits |

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::embedding::Embedding;
use crate::entry::{Answer, ContentType, Dependency, Entry, Usage};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Corpus, EntryId, ScopeId, TenantId};
use crate::store::valkey::reply;

#[derive(Serialize, Deserialize)]
struct Details<'a> {
    content_type: ContentType,
    ttl: Option<Duration>,
    negative: bool,
    usage: Option<Usage>,
    metadata: Arc<serde_json::Value>,
    dependencies: Cow<'a, [Dependency]>,
    created_at: Timestamp,
    expires_at: Timestamp,
    recompute: Duration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantId>,
}

/// The name of a field, and its value.
type Field<'a> = (&'static str, Cow<'a, [u8]>);

/// The fields of `entry` that do not come from the clock, with their values.
pub(super) fn fields(entry: &Entry) -> Result<[Field<'_>; 5]> {
    let metadata = Details {
        content_type: entry.answer.content_type,
        ttl: entry.answer.ttl,
        negative: entry.answer.negative,
        usage: entry.answer.usage,
        metadata: Arc::clone(&entry.answer.metadata),
        dependencies: entry.dependencies.as_slice().into(),
        created_at: entry.created_at,
        expires_at: entry.expires_at,
        recompute: entry.recompute,
        tenant: entry.tenant,
    };
    let metadata = serde_json::to_vec(&metadata)
        .map_err(|error| Error::new(ErrorKind::Store, "an entry cannot be encoded").with_source(error))?;
    Ok([
        ("p", entry.scope.as_bytes().into()),
        ("q", entry.question.as_bytes().into()),
        ("a", entry.answer.text.as_bytes().into()),
        ("m", metadata.into()),
        ("v", entry.embedding.as_ref().map(vector_bytes).unwrap_or_default().into()),
    ])
}

/// Reads the entry from the fields `p`, `q`, `a`, `m` and `v`; returns none if they are damaged or foreign.
pub(super) fn decode(corpus: &Corpus, id: EntryId, fields: &[Value]) -> Option<Entry> {
    let [scope, question, answer, metadata, vector] = fields else { return None };
    let metadata: Details<'_> = serde_json::from_slice(reply::bytes(metadata)?).ok()?;
    let answer = Answer {
        text: std::str::from_utf8(reply::bytes(answer)?).ok()?.into(),
        content_type: metadata.content_type,
        ttl: metadata.ttl,
        negative: metadata.negative,
        usage: metadata.usage,
        metadata: metadata.metadata,
    };
    let vector = reply::bytes(vector)?;
    let embedding = if vector.is_empty() { None } else { Some(vector_of(vector)?) };
    let entry = Entry {
        id,
        corpus: corpus.clone(),
        scope: scope_of(scope)?,
        tenant: metadata.tenant,
        question: std::str::from_utf8(reply::bytes(question)?).ok()?.into(),
        embedding,
        answer,
        dependencies: metadata.dependencies.into_owned(),
        created_at: metadata.created_at,
        expires_at: metadata.expires_at,
        recompute: metadata.recompute,
    };
    entry.reached()
}

pub(super) fn scope_of(value: &Value) -> Option<ScopeId> {
    Some(ScopeId::from_bytes(reply::bytes(value)?.try_into().ok()?))
}

pub(super) fn vector_bytes(embedding: &Embedding) -> Vec<u8> {
    embedding.as_slice().iter().flat_map(|component| component.to_le_bytes()).collect()
}

pub(super) fn vector_of(bytes: &[u8]) -> Option<Embedding> {
    let (components, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    Embedding::restore(components.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(embedding: Option<Embedding>) -> Entry {
        let mut answer = Answer::new("Tuesday \u{0}\u{1f600}");
        answer.metadata = serde_json::json!({"sources": [1.5, null, "x"]}).into();
        answer.ttl = Some(Duration::from_millis(1_500));
        answer.usage = Some(Usage { prompt_tokens: 1, completion_tokens: 2, cost_microusd: 3 });
        Entry {
            id: EntryId::from_bytes([1; 16]),
            corpus: Corpus::default(),
            scope: ScopeId::from_bytes([2; 16]),
            tenant: Some(TenantId::of("acme")),
            question: Arc::from("when?"),
            embedding,
            answer,
            dependencies: vec![Dependency::document_version("a", "7"), Dependency::chunk("b", "c")],
            created_at: Timestamp::from_millis(5),
            expires_at: Timestamp::from_millis(1_505),
            recompute: Duration::from_micros(1_234_567),
        }
    }

    fn values(entry: &Entry) -> Vec<Value> {
        fields(entry).unwrap().into_iter().map(|(_, value)| Value::BulkString(value.into_owned())).collect()
    }

    #[test]
    fn an_entry_comes_back_as_it_was() {
        for embedding in [None, Some(Embedding::new(&[0.6, 0.8]).unwrap())] {
            let entry = entry(embedding);
            assert_eq!(decode(&entry.corpus, entry.id, &values(&entry)).unwrap(), entry);
        }
    }

    #[test]
    fn a_damaged_entry_is_none() {
        let entry = entry(Some(Embedding::new(&[0.6, 0.8]).unwrap()));
        for field in 0..5 {
            for damaged in [Value::Nil, Value::Int(1), Value::BulkString(vec![0xff; 5])] {
                let mut values = values(&entry);
                values[field] = damaged;
                assert!(decode(&entry.corpus, entry.id, &values).is_none(), "field {field}");
            }
        }
    }
}
