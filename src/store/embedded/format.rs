//! The layout of the file.
//!
//! Every part of an entry ends with the CRC-32 of the bytes before it, so a damaged entry is a miss and never
//! a wrong answer. The clocks are stored beside the entries, see [`clock_rows`](super::clock_rows).

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::Serial;
use super::clock_rows::{self, ClockRows};
use super::encoding::{Id, decode_checksummed, encode_checksummed, without_checksum};
use super::failures::{corrupt, read_error};
use super::judgements;
use crate::clock::Timestamp;
use crate::embedding::Embedding;
use crate::entry::{Answer, ContentType, Dependency, Entry, Usage};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Corpus, DependencyId, EntryId, ScopeId, TenantId};
use crate::store::ReadVersion;
use crate::store::entry_table::{EntryMeta, EntryTable};

/// The version of this layout. A file with another version is refused.
const FORMAT: u64 = 1;

/// `format` -> the version of the layout; `fills` -> the number of the next fill, if there was a fill.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("wellspring.meta");
/// Entry -> what the entry table needs to know.
const HEADS: TableDefinition<Id, &[u8]> = TableDefinition::new("wellspring.heads");
/// Entry -> the rest.
pub(super) const BODIES: TableDefinition<Id, &[u8]> = TableDefinition::new("wellspring.bodies");
/// Entry -> hits and the time of the last one.
const HITS: TableDefinition<Id, (u64, u64)> = TableDefinition::new("wellspring.hits");

/// About how many bytes a head takes.
const HEAD_BYTES: usize = 256;

#[derive(Serialize, Deserialize)]
struct Head {
    serial: Serial,
    corpus: Corpus,
    scope: [u8; 16],
    incarnation: u128,
    sequence: u64,
    dependencies: Vec<[u8; 16]>,
    expires_at: Timestamp,
    bytes: u64,
}

/// Borrows the large fields, so that they are copied only once, into the file or out of it.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    serial: Serial,
    corpus: &'a str,
    scope: [u8; 16],
    question: &'a str,
    embedding: Option<Cow<'a, [f32]>>,
    text: &'a str,
    content_type: ContentType,
    ttl: Option<Duration>,
    negative: bool,
    usage: Option<Usage>,
    /// As JSON, because the encoding of the rest is not self-describing.
    #[serde(borrow)]
    metadata: Cow<'a, str>,
    dependencies: Cow<'a, [Dependency]>,
    created_at: Timestamp,
    expires_at: Timestamp,
    recompute: Duration,
}

/// An entry as it is written.
pub(super) struct Record {
    pub(super) id: EntryId,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Record {
    pub(super) fn new(meta: &EntryMeta<Serial>, entry: &Entry) -> Result<Self> {
        let head = Head {
            serial: meta.payload,
            corpus: entry.corpus.clone(),
            scope: *entry.scope.as_bytes(),
            incarnation: meta.read_version.incarnation,
            sequence: meta.read_version.sequence,
            dependencies: meta.dependencies.iter().map(|id| *id.as_bytes()).collect(),
            expires_at: entry.expires_at,
            bytes: meta.bytes,
        };
        let body = Body {
            serial: meta.payload,
            corpus: entry.corpus.as_str(),
            scope: *entry.scope.as_bytes(),
            question: &entry.question,
            embedding: entry.embedding.as_ref().map(|embedding| embedding.as_slice().into()),
            text: &entry.answer.text,
            content_type: entry.answer.content_type,
            ttl: entry.answer.ttl,
            negative: entry.answer.negative,
            usage: entry.answer.usage,
            metadata: entry.answer.metadata.to_string().into(),
            dependencies: entry.dependencies.as_slice().into(),
            created_at: entry.created_at,
            expires_at: entry.expires_at,
            recompute: entry.recompute,
        };
        let body = (body, entry.tenant.map(|tenant| *tenant.as_bytes()));
        Ok(Self {
            id: entry.id,
            head: encode_checksummed(&head, HEAD_BYTES)?,
            body: encode_checksummed(&body, entry.size())?,
        })
    }
}

/// The entry of `corpus` in a body, and the serial number that it was written with; none if the body is
/// damaged.
pub(super) fn decode_body(corpus: &Corpus, id: EntryId, bytes: &[u8]) -> Option<(Serial, Entry)> {
    let (body, tenant): (Body<'_>, _) = postcard::take_from_bytes(without_checksum(bytes)?).ok()?;
    // Bodies that were written before tenants were kept end here.
    let tenant: Option<[u8; 16]> =
        if tenant.is_empty() { None } else { postcard::from_bytes(tenant).ok()? };
    if body.corpus != corpus.as_str() {
        return None;
    }
    let answer = Answer {
        text: body.text.into(),
        content_type: body.content_type,
        ttl: body.ttl,
        negative: body.negative,
        usage: body.usage,
        metadata: Arc::new(serde_json::from_str(&body.metadata).ok()?),
    };
    let embedding = match body.embedding {
        Some(components) => Some(Embedding::restore(components.into())?),
        None => None,
    };
    let entry = Entry {
        id,
        corpus: corpus.clone(),
        scope: ScopeId::from_bytes(body.scope),
        tenant: tenant.map(TenantId::from_bytes),
        question: body.question.into(),
        embedding,
        answer,
        dependencies: body.dependencies.into_owned(),
        created_at: body.created_at,
        expires_at: body.expires_at,
        recompute: body.recompute,
    };
    Some((body.serial, entry.reached()?))
}

/// The changes to the file that one transaction makes.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    /// The number of the next fill, if there are records. It is stored because a number must never be used
    /// twice, even if its entry is gone: an index that is kept between runs uses it to find what was stored
    /// since.
    pub(super) next_serial: Serial,
    pub(super) removed: Vec<EntryId>,
    pub(super) hits: Vec<(EntryId, u64)>,
    pub(super) clocks: Vec<ClockRows>,
    pub(super) judgements: Vec<Vec<u8>>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.removed.is_empty()
            && self.hits.is_empty()
            && self.clocks.is_empty()
            && self.judgements.is_empty()
    }

    /// Writes all of it into `transaction`, which the caller commits.
    pub(super) fn write(&self, transaction: &WriteTransaction, now: Timestamp) -> Result<(), redb::Error> {
        let mut heads = transaction.open_table(HEADS)?;
        let mut bodies = transaction.open_table(BODIES)?;
        let mut hits = transaction.open_table(HITS)?;
        for id in &self.removed {
            heads.remove(id.as_bytes())?;
            bodies.remove(id.as_bytes())?;
            hits.remove(id.as_bytes())?;
        }
        if !self.records.is_empty() {
            transaction.open_table(META)?.insert("fills", self.next_serial)?;
        }
        for record in &self.records {
            heads.insert(record.id.as_bytes(), record.head.as_slice())?;
            bodies.insert(record.id.as_bytes(), record.body.as_slice())?;
            hits.insert(record.id.as_bytes(), (0, now.as_millis()))?;
        }
        for (id, count) in &self.hits {
            hits.insert(id.as_bytes(), (*count, now.as_millis()))?;
        }
        for rows in &self.clocks {
            rows.write(transaction)?;
        }
        judgements::append(transaction, &self.judgements)
    }
}

/// Reads clocks and heads into `entry_table`; returns the next serial number.
pub(super) fn load(database: &Database, entry_table: &EntryTable<Serial>, path: &Path) -> Result<Serial> {
    if !check_format(database, path)? {
        create(database).map_err(|e| {
            Error::new(ErrorKind::Store, format!("cannot write the store {}", path.display())).with_source(e)
        })?;
    }
    let transaction = database.begin_read().map_err(read_error)?;
    clock_rows::load(&transaction, entry_table, path)?;
    load_heads(&transaction, entry_table)
}

/// Whether the file is a store of this layout rather than a new one. Fails if it is anything else.
pub(super) fn check_format(database: &impl ReadableDatabase, path: &Path) -> Result<bool> {
    let reading = database.begin_read().map_err(read_error)?;
    match reading.open_table(META) {
        Ok(meta) => {
            let format = meta.get("format").map_err(read_error)?.map(|format| format.value());
            match format {
                Some(FORMAT) => Ok(true),
                Some(other) => {
                    Err(corrupt(path, &format!("its format is {other}, this version reads {FORMAT}")))
                }
                None => Err(corrupt(path, "its format is not stated")),
            }
        }
        Err(TableError::TableDoesNotExist(_)) => {
            if reading.list_tables().map_err(read_error)?.next().is_some() {
                return Err(corrupt(path, "it is the database of another program"));
            }
            Ok(false)
        }
        Err(error) => Err(read_error(error)),
    }
}

/// Creates all tables, so that readers find them.
pub(super) fn create(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert("format", FORMAT)?;
    transaction.open_table(HEADS)?;
    transaction.open_table(BODIES)?;
    transaction.open_table(HITS)?;
    clock_rows::create(&transaction)?;
    transaction.commit()?;
    Ok(())
}

fn load_heads(transaction: &redb::ReadTransaction, entry_table: &EntryTable<Serial>) -> Result<Serial> {
    let hits = transaction.open_table(HITS).map_err(read_error)?;
    let mut metas = Vec::new();
    for row in transaction.open_table(HEADS).map_err(read_error)?.iter().map_err(read_error)? {
        let (id, head) = row.map_err(read_error)?;
        let Some(head) = decode_checksummed::<Head>(head.value()) else { continue };
        let (count, used_at) = hits.get(id.value()).map_err(read_error)?.map_or((0, 0), |hits| hits.value());
        let meta = EntryMeta {
            corpus: head.corpus,
            scope: ScopeId::from_bytes(head.scope),
            read_version: ReadVersion { incarnation: head.incarnation, sequence: head.sequence },
            dependencies: head.dependencies.into_iter().map(DependencyId::from_bytes).collect(),
            expires_at: head.expires_at,
            bytes: head.bytes,
            hits: 0.into(),
            payload: head.serial,
        };
        meta.hits.store(count, Ordering::Relaxed);
        metas.push((used_at, EntryId::from_bytes(*id.value()), meta));
    }
    // The least recently used entries come first, so that they are also evicted first.
    metas.sort_unstable_by_key(|&(used_at, id, _)| (used_at, id));
    let meta = transaction.open_table(META).map_err(read_error)?;
    let stated = meta.get("fills").map_err(read_error)?.map_or(0, |fills| fills.value());
    let next = metas.iter().map(|(_, _, meta)| meta.payload + 1).fold(stated, Serial::max);
    for (_, id, meta) in metas {
        entry_table.insert(id, meta);
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wellspring_test_support::fuzz::Target;

    use super::*;

    fn sample() -> Entry {
        let dependencies = vec![
            Dependency::document_version("a", "2"),
            Dependency::chunk("b", "h"),
            Dependency::Collection("c".into()),
            Dependency::Tag("t".into()),
        ];
        let usage = Usage { prompt_tokens: 3, completion_tokens: 300, cost_microusd: 70_000 };
        let answer =
            Answer::new("Paris.").usage(usage).ttl(Duration::from_secs(90)).metadata(json!({ "a": [1.5] }));
        Entry {
            id: EntryId::from_bytes([1; 16]),
            corpus: Corpus::default(),
            scope: ScopeId::from_bytes([7; 16]),
            tenant: Some(TenantId::from_bytes([9; 16])),
            question: "What is the capital of France?".into(),
            embedding: Embedding::new(&[0.6, 0.8]).ok(),
            answer,
            dependencies,
            created_at: Timestamp::from_millis(1_700_000_000_000),
            expires_at: Timestamp::from_millis(1_700_003_600_000),
            recompute: Duration::from_millis(500),
        }
    }

    fn record(entry: &Entry, serial: Serial) -> Record {
        let read_version = ReadVersion { incarnation: 1, sequence: 300 };
        let dependencies = entry.dependency_ids().unwrap_or_default();
        Record::new(&EntryMeta::new(entry, read_version, dependencies, serial), entry).unwrap()
    }

    /// Without the checksum.
    fn value(bytes: &[u8]) -> Vec<u8> {
        without_checksum(bytes).unwrap().to_vec()
    }

    #[test]
    fn whatever_bytes_have_the_right_checksum_they_are_an_entry_or_none() {
        let entry = sample();
        let bare = Entry {
            tenant: None,
            embedding: None,
            dependencies: Vec::new(),
            answer: Answer::new(""),
            ..entry.clone()
        };
        let mut target = Target::new("entry");
        for entry in [&entry, &bare] {
            let record = record(entry, 7);
            target = target.input(value(&record.body)).input(value(&record.head));
        }
        target.run(|input| {
            let content = [input, &crc32fast::hash(input).to_le_bytes()].concat();
            let head = decode_checksummed::<Head>(&content);
            if let Some(head) = &head {
                let written = encode_checksummed(head, HEAD_BYTES).unwrap();
                let again = decode_checksummed::<Head>(&written).unwrap();
                assert_eq!(encode_checksummed(&again, HEAD_BYTES).unwrap(), written);
            }
            drop(decode_body(&entry.corpus, entry.id, input));
            let body = decode_body(&entry.corpus, entry.id, &content);
            if let Some((serial, read)) = &body {
                let written = record(read, *serial).body;
                assert_eq!(decode_body(&entry.corpus, entry.id, &written).unwrap(), (*serial, read.clone()));
            }
            head.is_some() || body.is_some()
        });
    }
}
