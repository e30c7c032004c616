//! Entries as JSON.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use wellspring::clock::Timestamp;
use wellspring::entry::Entry;
use wellspring::store::StoredEntry;

/// An entry in a list.
pub(crate) fn line(stored: &StoredEntry) -> Value {
    let entry = &stored.entry;
    json!({
        "entry": entry.id, "corpus": entry.corpus, "scope": entry.scope, "question": entry.question,
        "content_type": entry.answer.content_type, "negative": entry.answer.negative,
        "created_at": rfc3339(entry.created_at), "expires_at": rfc3339(entry.expires_at),
        "hits": stored.hits, "dependencies": entry.dependencies.len(),
    })
}

/// An answer with everything that belongs to it.
pub(super) fn answer(entry: &Entry) -> Value {
    json!({
        "entry": entry.id, "question": entry.question, "answer": entry.answer.text,
        "content_type": entry.answer.content_type, "negative": entry.answer.negative,
        "created_at": rfc3339(entry.created_at), "expires_at": rfc3339(entry.expires_at),
        "usage": entry.answer.usage, "metadata": entry.answer.metadata,
        "dependencies": entry.dependencies,
    })
}

fn rfc3339(at: Timestamp) -> String {
    // Times after the year 9999 cannot be written.
    const LAST: u64 = 253_402_300_799_999;
    let at = Duration::from_millis(at.as_millis().min(LAST));
    humantime::format_rfc3339_millis(UNIX_EPOCH + at).to_string()
}
