//! The headers that stand for fields of `wellspring`.

use axum::http::HeaderMap;

/// How a header's value is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Number,
    Switch,
    /// Seconds, or a text such as `6h`.
    Time,
    /// Several values, separated by commas or in several headers.
    List,
    /// A list of `ID`, `ID@VERSION` or `ID#CHUNK`.
    Sources,
    /// A JSON object.
    Object,
}

/// The headers, each with the field that it sets.
pub(super) const HEADERS: [(&str, &str, Kind); 18] = [
    ("wellspring-question", "question", Kind::Text),
    ("wellspring-conversation", "conversation", Kind::Text),
    ("wellspring-sources", "sources", Kind::Sources),
    ("wellspring-collections", "collections", Kind::List),
    ("wellspring-tags", "tags", Kind::List),
    ("wellspring-permit", "permit", Kind::Text),
    ("wellspring-since", "since", Kind::Text),
    ("wellspring-parameters", "parameters", Kind::Object),
    ("wellspring-corpus", "corpus", Kind::Text),
    ("wellspring-namespace", "namespace", Kind::Text),
    ("wellspring-tenant", "tenant", Kind::Text),
    ("wellspring-ttl", "ttl", Kind::Time),
    ("wellspring-content-type", "content_type", Kind::Text),
    ("wellspring-negative", "negative", Kind::Switch),
    ("wellspring-threshold", "threshold", Kind::Number),
    ("wellspring-max-false-hit-rate", "max_false_hit_rate", Kind::Number),
    ("wellspring-exact", "exact", Kind::Switch),
    ("wellspring-ignore", "ignore", Kind::List),
];

/// The names of the headers.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    HEADERS.iter().map(|(name, ..)| *name)
}

/// Whether one of `headers` stands for a field.
pub(super) fn is_any(headers: &HeaderMap) -> bool {
    headers.keys().any(|header| names().any(|name| header == name))
}
