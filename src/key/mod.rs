//! From a question to the keys that find its answer. Pure: no I/O, no time, no randomness.
//!
//! Every hash is SHA-256 over length-prefixed parts under a label of its own, so two different inputs never
//! become the same by concatenation. Text is normalised to Unicode NFC (UAX #15) and its whitespace is
//! folded. Letter case is kept, and so are compatibility forms: `m²` is not `m2`, and `US` is not always
//! `us`. The names of an answer's dependencies are also compared in NFC, because one file can be spelled
//! differently on two systems.

mod scope;
mod shown;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use unicode_normalization::{UnicodeNormalization, is_nfc};

pub use self::scope::Scope;
pub use self::shown::IdKey;
use crate::error::{Error, Result};

/// The longest question that is kept whole, in bytes. A longer one is only matched
/// [exactly](CacheKey::exact).
pub const MAX_QUESTION_BYTES: usize = 64 * 1024;
/// How much of a longer question is kept for people to read, in bytes.
const SHOWN_BYTES: usize = 512;
/// What stands between that and the hash of the whole.
const CUT: char = '…';
/// The longest name of a corpus, tenant, document, tag, collection or namespace, in bytes.
pub const MAX_NAME_BYTES: usize = 1024;
/// The maximum size of a scope's parameters as canonical JSON, in bytes.
pub const MAX_PARAMETER_BYTES: usize = 1024 * 1024;
/// The deepest nesting of arrays and objects in a scope's parameters and in an answer's metadata.
pub const MAX_JSON_DEPTH: usize = 64;
/// The most levels in a namespace: `a:b:c` has three.
pub const MAX_NAMESPACE_LEVELS: usize = 16;

/// A set of documents that answers derive from. Document ids are unique in it, and each corpus has its own
/// clock and invalidations. The default corpus is named `default`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Corpus(Arc<str>);

impl Corpus {
    /// The corpus named `name`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the name is empty, longer than [`MAX_NAME_BYTES`] or holds a control character.
    pub fn new(name: &str) -> Result<Self> {
        check_name("corpus", name)?;
        Ok(Self(composed(name).into()))
    }

    /// The corpus' name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Corpus {
    fn default() -> Self {
        static DEFAULT: LazyLock<Arc<str>> = LazyLock::new(|| "default".into());
        Self(Arc::clone(&DEFAULT))
    }
}

/// A hierarchical name such as `docs:technical`, with the most general level first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// The namespace of `path`, whose levels are separated by `:`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a level is empty, if there are more than [`MAX_NAMESPACE_LEVELS`], or if the
    /// path is not a valid name.
    pub fn new(path: &str) -> Result<Self> {
        check_name("namespace", path)?;
        if path.split(':').any(str::is_empty) {
            return Err(Error::invalid("namespace has an empty level, write it like docs:technical"));
        }
        if path.split(':').count() > MAX_NAMESPACE_LEVELS {
            return Err(Error::invalid(format!("namespace has more than {MAX_NAMESPACE_LEVELS} levels")));
        }
        Ok(Self(composed(path).into()))
    }

    /// The whole path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Every prefix of the path that ends at a level, the most general first, the path itself last.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices(':').map(|(end, _)| &self.0[..end]).chain(std::iter::once(&*self.0))
    }
}

macro_rules! validated_name {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(name: String) -> Result<Self> {
                Self::new(&name)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self> {
                Self::new(name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

validated_name!(Corpus, Namespace);

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The id with these bytes, as read from a store.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The bytes of the id.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                let mut bytes = [0; 16];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_| Error::invalid(concat!($what, " is not 32 hexadecimal digits")))?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hex_id! {
    /// The identity of a scope within its corpus and embedding model: a partition of the index.
    ScopeId, "scope id"
}

hex_id! {
    /// The tenant that the answers of a scope belong to: 128 bits of the SHA-256 of the tenant's name, in
    /// Unicode NFC.
    TenantId, "tenant id"
}

impl TenantId {
    /// The identity of the tenant named `name`, as [`Scope::tenant`] takes it.
    pub fn of(name: &str) -> Self {
        Self(first_half(&hash("wellspring.tenant.1", &[composed(name).as_bytes()])))
    }
}

hex_id! {
    /// The identity of an entry: 128 bits of the SHA-256 of its corpus, scope and question. The question
    /// itself is stored beside it and compared on every exact hit.
    EntryId, "entry id"
}

hex_id! {
    /// An entry's id as it is shown to callers: without the [secret](IdKey), it reveals nothing about the
    /// entry.
    ShownId, "entry id"
}

impl EntryId {
    /// The entry that lists who has an answer like this one. Its id ends with the same digits. Stores
    /// distribute their entries by those digits, so that whatever ends one of the two also ends the other.
    pub(crate) fn confirmations(self) -> Self {
        let mut id = first_half(&hash("wellspring.confirmations.1", &[&self.0]));
        id[14..].copy_from_slice(&self.0[14..]);
        Self(id)
    }
}

impl ScopeId {
    /// The scope of such entries, which no one searches.
    pub(crate) fn confirmations(self) -> Self {
        Self(first_half(&hash("wellspring.confirmations.scope.1", &[&self.0])))
    }
}

hex_id! {
    /// The identity of anything that can invalidate an answer: 128 bits of the SHA-256 of its kind and name.
    DependencyId, "dependency id"
}

impl DependencyId {
    pub(crate) fn of(kind: &str, parts: &[&str]) -> Self {
        let label = format!("wellspring.dependency.{kind}.1");
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        Self(first_half(&hash(&label, &parts)))
    }
}

/// The key by which a question is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheKey {
    /// The corpus that the answer would derive from.
    pub corpus: Corpus,
    /// Who may share the answer.
    pub scope: ScopeId,
    /// The entry that holds the answer to exactly this question, if there is one.
    pub exact: EntryId,
    /// The normalised question.
    pub text: Arc<str>,
}

impl CacheKey {
    /// The key of `question` in a scope of `corpus`.
    ///
    /// # Errors
    ///
    /// Those of [`normalise`].
    pub fn new(corpus: Corpus, scope: ScopeId, question: &str) -> Result<Self> {
        let text = normalised(question)?;
        Ok(Self::labelled("wellspring.exact.1", corpus, scope, &text, text.as_ref().into()))
    }

    /// The same for a question of any length that is only matched exactly. If the question is longer than
    /// [`MAX_QUESTION_BYTES`], its text is its beginning and the SHA-256 of the whole, and no other question
    /// has its id.
    ///
    /// # Errors
    ///
    /// Those of [`normalise`], except for the length.
    pub fn exact(corpus: Corpus, scope: ScopeId, question: &str) -> Result<Self> {
        if question.len() <= MAX_QUESTION_BYTES {
            return Self::new(corpus, scope, question);
        }
        let text = folded(question)?;
        if text.len() <= MAX_QUESTION_BYTES {
            return Self::new(corpus, scope, &text);
        }
        let shown = &text[..text.floor_char_boundary(SHOWN_BYTES)];
        let digest = hex::encode(Sha256::digest(text.as_bytes()));
        let kept = format!("{shown}{} ({} bytes, SHA-256 {digest})", CUT, text.len());
        Ok(Self::of_kept(corpus, scope, kept.into()))
    }

    /// The key of a question that [`exact`](Self::exact) cut off, from the text that it kept. Another model or
    /// store finds the answer by it, too, although no one knows the whole question any more.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the text is not what `exact` keeps.
    pub fn cut(corpus: Corpus, scope: ScopeId, kept: &str) -> Result<Self> {
        let is_kept = kept.rsplit_once(CUT).is_some_and(|(shown, rest)| {
            let rest = rest.strip_prefix(" (").and_then(|rest| rest.strip_suffix(')'));
            let rest = rest.and_then(|rest| rest.split_once(" bytes, SHA-256 "));
            rest.is_some_and(|(bytes, digest)| {
                let is_long = bytes.parse().is_ok_and(|bytes: usize| bytes > MAX_QUESTION_BYTES);
                is_long && digest.len() == 64 && hex::decode(digest).is_ok() && shown.len() <= SHOWN_BYTES
            })
        });
        if !is_kept {
            return Err(Error::invalid(
                "question does not end as one that was cut off does, with its SHA-256",
            ));
        }
        Ok(Self::of_kept(corpus, scope, kept.into()))
    }

    /// Whether the text is the whole question, rather than its beginning and a hash.
    pub fn is_whole(&self) -> bool {
        // A text that was cut off is always longer than this and ends like this; a closer check takes a hash.
        self.text.len() <= SHOWN_BYTES
            || !self.text.ends_with(')')
            || Self::new(self.corpus.clone(), self.scope, &self.text).is_ok_and(|key| key.exact == self.exact)
    }

    /// The text holds the SHA-256 of the whole question, so its own hash is as good as one of the whole.
    fn of_kept(corpus: Corpus, scope: ScopeId, kept: Arc<str>) -> Self {
        Self::labelled("wellspring.exact.long.2", corpus, scope, &Arc::clone(&kept), kept)
    }

    fn labelled(label: &str, corpus: Corpus, scope: ScopeId, whole: &str, text: Arc<str>) -> Self {
        let digest = hash(label, &[corpus.as_str().as_bytes(), scope.as_bytes(), whole.as_bytes()]);
        Self { corpus, scope, exact: EntryId(first_half(&digest)), text }
    }
}

/// The question in Unicode NFC, with each run of whitespace and control characters folded to one space, and
/// with none at either end.
///
/// # Errors
///
/// `InvalidInput` if nothing is left, if the text is longer than [`MAX_QUESTION_BYTES`], or if it holds a
/// NUL: text after a NUL is often cut off on the way, so two questions could look the same.
pub fn normalise(question: &str) -> Result<String> {
    normalised(question).map(Cow::into_owned)
}

/// The same as [`normalise`], but borrowed if the question already has that form, as most do.
fn normalised(question: &str) -> Result<Cow<'_, str>> {
    if question.len() > MAX_QUESTION_BYTES {
        return Err(Error::invalid(format!(
            "question has {} bytes, the limit is {MAX_QUESTION_BYTES}; a longer one can be looked up exactly only",
            question.len()
        )));
    }
    folded(question)
}

/// A question of any length in the form in which questions are matched: like [`normalise`], but without the
/// limit. Borrowed if it already has that form.
///
/// # Errors
///
/// `InvalidInput` if it is empty or holds a NUL character.
pub fn folded(question: &str) -> Result<Cow<'_, str>> {
    if question.contains('\0') {
        return Err(Error::invalid("question holds a NUL character, remove it"));
    }
    if is_plain(question) {
        return Ok(Cow::Borrowed(question));
    }
    let mut text = String::with_capacity(question.len());
    for word in question.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty())
    {
        if !text.is_empty() {
            text.push(' ');
        }
        text.extend(word.nfc());
    }
    if text.is_empty() {
        return Err(Error::invalid("question is empty"));
    }
    Ok(Cow::Owned(text))
}

/// Whether a text is visible ASCII with single spaces between words, so that normalising does not change it.
fn is_plain(text: &str) -> bool {
    let mut before = b' ';
    for byte in text.bytes() {
        if !matches!(byte, b' '..=b'~') || (byte == b' ' && before == b' ') {
            return false;
        }
        before = byte;
    }
    before != b' '
}

/// A name in Unicode NFC, the form in which names of documents, tags and the like are compared. Borrowed if
/// it already is in NFC.
pub fn composed(name: &str) -> Cow<'_, str> {
    if name.is_ascii() || is_nfc(name) { Cow::Borrowed(name) } else { Cow::Owned(name.nfc().collect()) }
}

/// Checks a name that a user gives to `what`.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(format!("{what} is empty")));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(Error::invalid(format!(
            "{what} has {} bytes, the limit is {MAX_NAME_BYTES}",
            name.len()
        )));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid(format!("{what} holds a control character")));
    }
    Ok(())
}

fn hash(label: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in std::iter::once(&label.as_bytes()).chain(parts) {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// 64 bits of the hash of `parts` under `label`, to detect damage.
#[cfg(feature = "embedded")]
pub(crate) fn short_hash(label: &str, parts: &[&[u8]]) -> u64 {
    let digest = hash(label, parts);
    let mut short = [0; 8];
    short.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(short)
}

/// 128 bits of the hash of `parts` under `label`, which can only be computed by someone who knows all of
/// them.
pub(crate) fn sealing_hash(label: &str, parts: &[&[u8]]) -> [u8; 16] {
    first_half(&hash(label, parts))
}

fn first_half(digest: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

/// Whether arrays and objects in `value` are nested more than `limit` deep, see [`MAX_JSON_DEPTH`]. It does
/// not recurse, so that a value of any depth can be refused.
pub fn is_deeper_than(value: &Value, limit: usize) -> bool {
    let mut open = vec![(value, 0)];
    while let Some((value, depth)) = open.pop() {
        if depth > limit {
            return true;
        }
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(fields) => open.extend(fields.values().map(|item| (item, depth + 1))),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn scope_id(scope: &Scope) -> ScopeId {
        scope.id(&Corpus::default(), "model").unwrap()
    }

    fn exact(question: &str) -> EntryId {
        CacheKey::new(Corpus::default(), scope_id(&Scope::new()), question).unwrap().exact
    }

    #[test]
    fn whitespace_and_composition_do_not_matter_but_case_does() {
        assert_eq!(exact("  caf\u{e9}\tau \n\u{7f} lait "), exact("cafe\u{301} au lait"));
        assert_ne!(exact("who leads the US"), exact("who leads the us"));
        assert_ne!(exact("10 m²"), exact("10 m2"));
    }

    #[test]
    fn moving_a_boundary_changes_the_scope() {
        let corpus = |name| Corpus::new(name).unwrap();
        let ids = [
            Scope::new().tenant("ab").id(&corpus("c"), "m").unwrap(),
            Scope::new().tenant("b").id(&corpus("ca"), "m").unwrap(),
            Scope::new().id(&corpus("c"), "m").unwrap(),
            Scope::new().tenant("ab").id(&corpus("c"), "n").unwrap(),
            Scope::new().namespace(Namespace::new("ab").unwrap()).id(&corpus("c"), "m").unwrap(),
            Scope::new().tenant("ab").private().id(&corpus("c"), "m").unwrap(),
        ];
        for (i, a) in ids.iter().enumerate() {
            for b in &ids[i + 1..] {
                assert_ne!(a, b);
            }
        }
    }

    #[test]
    fn equal_parameters_are_one_scope_in_any_order_and_spelling() {
        let a = Scope::new().parameter("tools", json!({"b": 1, "a": [1.0, 2]})).parameter("model", "x");
        let b = Scope::new().parameter("model", "x").parameter("tools", json!({"a": [1, 2.0], "b": 1.0}));
        assert_eq!(scope_id(&a), scope_id(&b));
        assert_ne!(scope_id(&a), scope_id(&b.parameter("model", "y")));
    }

    #[test]
    fn deep_parameters_are_refused_without_recursion() {
        let mut deep = json!(1);
        for _ in 0..5_000 {
            deep = Value::Array(vec![deep]);
        }
        let scope = Scope::new().parameter("deep", deep);
        assert!(scope.id(&Corpus::default(), "model").unwrap_err().is_invalid_input());
    }

    #[test]
    fn the_key_of_a_question_that_was_cut_off_follows_from_what_is_kept() {
        let key_of = |scope, question: &str| CacheKey::exact(Corpus::default(), scope, question).unwrap();
        let cut = |scope, kept: &str| CacheKey::cut(Corpus::default(), scope, kept);
        let (scope, other) = (scope_id(&Scope::new()), scope_id(&Scope::new().tenant("t")));
        for question in ["… (7 bytes) ".repeat(10_000), "é".repeat(40_000)] {
            let key = key_of(scope, &question);
            assert!(!key.is_whole());
            assert_eq!(cut(scope, &key.text).unwrap(), key);
            assert_eq!(cut(other, &key.text).unwrap(), key_of(other, &question));
            // A question that reads like that is another one.
            let same_text = CacheKey::new(Corpus::default(), scope, &key.text).unwrap();
            assert!(same_text.is_whole() && same_text.exact != key.exact);
            let (shown, end) = key.text.rsplit_once(CUT).unwrap();
            for bad in ["", "why?", shown, &key.text[..key.text.len() - 1], &format!("{question}{CUT}{end}")]
            {
                assert!(cut(scope, bad).unwrap_err().is_invalid_input(), "{bad}");
            }
        }
    }

    #[test]
    fn bad_questions_say_what_is_wrong() {
        let message = |question: &str| normalise(question).unwrap_err().to_string();
        assert_eq!(message(" \n "), "question is empty");
        assert_eq!(message("a\0b"), "question holds a NUL character, remove it");
        assert!(message(&"x".repeat(MAX_QUESTION_BYTES + 1)).contains("the limit is 65536"));
    }

    #[test]
    fn a_namespace_has_itself_and_its_parents_as_prefixes() {
        let namespace = Namespace::new("docs:technical:api").unwrap();
        assert_eq!(
            namespace.prefixes().collect::<Vec<_>>(),
            ["docs", "docs:technical", "docs:technical:api"]
        );
        for bad in ["", ":", "docs:", "a::b", "a\nb", "a:a:a:a:a:a:a:a:a:a:a:a:a:a:a:a:a"] {
            assert!(Namespace::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_read_back_what_they_print() {
        let id = exact("question");
        assert_eq!(id.to_string().parse::<EntryId>().unwrap(), id);
        assert!("12".parse::<EntryId>().unwrap_err().is_invalid_input());
    }

    proptest! {
        #[test]
        fn only_what_normalising_leaves_alone_is_plain(text in "[ a-c\t\u{301}é~]{0,6}") {
            let changed = normalise(&text).ok().is_none_or(|normal| normal != text);
            prop_assert!(!is_plain(&text) || !changed);
            prop_assert!(is_plain(&text) || changed || !text.is_ascii());
        }

        #[test]
        fn normalising_twice_changes_nothing(text in any::<String>()) {
            if let Ok(once) = normalise(&text) {
                prop_assert_eq!(normalise(&once).unwrap(), once);
            }
        }
    }
}
