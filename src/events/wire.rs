//! Parsing the server's replies.

use redis::Value;

use super::report::GapReason;

/// An entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: String,
    /// None for an entry that is no longer in the stream.
    pub(super) fields: Option<Vec<(Vec<u8>, Vec<u8>)>>,
}

/// The reply of `read.lua`.
pub(super) struct Read {
    pub(super) gap: Option<GapReason>,
    pub(super) server: String,
    pub(super) last: String,
    pub(super) entries: Vec<Entry>,
}

/// The reply of `claim.lua`.
pub(super) struct Claimed {
    pub(super) next: String,
    pub(super) entries: Vec<Entry>,
    pub(super) gone: i64,
}

pub(super) fn read(reply: &Value) -> Option<Read> {
    let Value::Array(parts) = reply else { return None };
    let [gap, server, last, entries] = parts.as_slice() else { return None };
    let gap = match text(gap)?.as_str() {
        "" => None,
        "new" => Some(GapReason::NewGroup),
        "server" => Some(GapReason::OtherServer),
        _ => Some(GapReason::Trimmed),
    };
    Some(Read { gap, server: text(server)?, last: text(last)?, entries: self::entries(entries) })
}

pub(super) fn claimed(reply: &Value) -> Option<Claimed> {
    let Value::Array(parts) = reply else { return None };
    let [next, entries, Value::Int(gone)] = parts.as_slice() else { return None };
    Some(Claimed { next: text(next)?, entries: self::entries(entries), gone: *gone })
}

/// The entries of the only stream in a reply to `XREADGROUP`, which is a map in RESP3.
pub(super) fn stream_entries(reply: &Value) -> Vec<Entry> {
    match reply {
        Value::Map(streams) => streams.first().map(|(_, found)| entries(found)).unwrap_or_default(),
        Value::Array(streams) => match streams.first() {
            Some(Value::Array(pair)) => pair.get(1).map(entries).unwrap_or_default(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

pub(super) fn entries(reply: &Value) -> Vec<Entry> {
    let Value::Array(entries) = reply else { return Vec::new() };
    entries.iter().filter_map(entry).collect()
}

fn entry(value: &Value) -> Option<Entry> {
    let Value::Array(parts) = value else { return None };
    let [id, fields] = parts.as_slice() else { return None };
    let fields = match fields {
        Value::Array(flat) => {
            let pairs = flat.as_chunks::<2>().0;
            Some(pairs.iter().filter_map(|[key, value]| Some((bytes(key)?, bytes(value)?))).collect())
        }
        _ => None,
    };
    Some(Entry { id: text(id)?, fields })
}

/// How often the one entry in a reply to `XPENDING` was delivered; 0 if it is not pending.
pub(super) fn deliveries(reply: &Value) -> u64 {
    let count = || {
        let Value::Array(pending) = reply else { return None };
        let Value::Array(parts) = pending.first()? else { return None };
        let Value::Int(count) = parts.get(3)? else { return None };
        u64::try_from(*count).ok()
    };
    count().unwrap_or(0)
}

pub(super) fn text(value: &Value) -> Option<String> {
    String::from_utf8(bytes(value)?).ok()
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes.clone()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone().into_bytes()),
        _ => None,
    }
}
