//! The names of keys.
//!
//! | key | what it holds |
//! |---|---|
//! | `c:{corpus:b}` | the clock of bucket `b`: `r`, `i`, `s`, `f`, tombstones by name, versions by `v` and document |
//! | `e:{corpus:b}:<id>` | an entry, see [`record`](super::record) |
//! | `r:{corpus:b}:<name>` | the ids of the entries that depend on a name, of a scope, or all |
//! | `d:{corpus:b}:<random>` | such a set, moved away, until it is drained |
//! | `l:{corpus:b}:<id>` | the claim of the process that makes this answer now |
//! | `x:{corpus}` | the change stream |
//! | `h:{corpus}` | names of held documents, for reports |
//! | `judgements` | the judgements of served answers |
//! | `secret` | the secret by which the ids of entries are shown |
//! | `corpora`, `format` | the corpora ever used; the layout's version and the number of buckets |
//!
//! A clock has a time to live of one day until an entry is stored under it or a change is applied to it.
//!
//! Each key begins with the prefix of the deployment. The part in braces decides the slot in a cluster, so
//! all keys of a bucket are on one node and one script may access them.

use std::fmt::Write as _;

use crate::key::{Corpus, DependencyId, EntryId, ScopeId};

/// The name under which every entry of a bucket is listed.
const ALL: &str = "all";

#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
    buckets: u16,
}

/// One bucket of one corpus: the part that its keys have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Bucket<'a> {
    pub(super) corpus: &'a Corpus,
    pub(super) number: u16,
}

impl Keys {
    pub(super) fn new(prefix: String, buckets: u16) -> Self {
        Self { prefix, buckets }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn buckets<'a>(&self, corpus: &'a Corpus) -> impl Iterator<Item = Bucket<'a>> + use<'a> {
        (0..self.buckets).map(move |number| Bucket { corpus, number })
    }

    pub(super) fn bucket_count(&self) -> u16 {
        self.buckets
    }

    /// The bucket of an entry. An id is a hash, so a part of it is evenly distributed.
    pub(super) fn bucket<'a>(&self, corpus: &'a Corpus, id: EntryId) -> Bucket<'a> {
        let bytes = id.as_bytes();
        Bucket { corpus, number: u16::from_le_bytes([bytes[14], bytes[15]]) % self.buckets }
    }

    pub(super) fn clock(&self, bucket: Bucket<'_>) -> String {
        self.tagged('c', bucket)
    }

    pub(super) fn entry(&self, bucket: Bucket<'_>, id: EntryId) -> String {
        format!("{}:{id}", self.tagged('e', bucket))
    }

    pub(super) fn claim(&self, bucket: Bucket<'_>, id: EntryId) -> String {
        format!("{}:{id}", self.tagged('l', bucket))
    }

    pub(super) fn dependants(&self, bucket: Bucket<'_>, name: DependencyId) -> String {
        format!("{}:{name}", self.tagged('r', bucket))
    }

    pub(super) fn scope(&self, bucket: Bucket<'_>, scope: ScopeId) -> String {
        format!("{}:s{scope}", self.tagged('r', bucket))
    }

    pub(super) fn all(&self, bucket: Bucket<'_>) -> String {
        format!("{}:{ALL}", self.tagged('r', bucket))
    }

    /// The prefix of the names of a bucket's sets.
    pub(super) fn sets(&self, bucket: Bucket<'_>) -> String {
        format!("{}:", self.tagged('r', bucket))
    }

    /// The prefix of the names of the sets that one call moves away. The caller chooses `random`, which must
    /// never have been used before.
    pub(super) fn detached(&self, bucket: Bucket<'_>, random: u128) -> String {
        format!("{}:{random:032x}:", self.tagged('d', bucket))
    }

    pub(super) fn stream(&self, corpus: &Corpus) -> String {
        format!("{}x:{{{}}}", self.prefix, escaped(corpus))
    }

    pub(super) fn held(&self, corpus: &Corpus) -> String {
        format!("{}h:{{{}}}", self.prefix, escaped(corpus))
    }

    pub(super) fn corpora(&self) -> String {
        format!("{}corpora", self.prefix)
    }

    pub(super) fn judgements(&self) -> String {
        format!("{}judgements", self.prefix)
    }

    pub(super) fn secret(&self) -> String {
        format!("{}secret", self.prefix)
    }

    pub(super) fn format(&self) -> String {
        format!("{}format", self.prefix)
    }

    /// The channel on which invalidations are announced to other services.
    pub(super) fn announcements(&self) -> String {
        format!("{}invalidations", self.prefix)
    }

    fn tagged(&self, kind: char, bucket: Bucket<'_>) -> String {
        format!("{}{kind}:{{{}:{}}}", self.prefix, escaped(bucket.corpus), bucket.number)
    }
}

/// The name of the corpus without the characters that have a meaning in keys, patterns or terminals.
fn escaped(corpus: &Corpus) -> String {
    let mut escaped = String::with_capacity(corpus.as_str().len());
    for byte in corpus.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_corpus_and_bucket_has_keys_of_its_own_in_one_slot() {
        let keys = Keys::new("wellspring:".into(), 16);
        let corpus = Corpus::new("a}{é 1:2").unwrap();
        let id = EntryId::from_bytes([0xab; 16]);
        let bucket = keys.bucket(&corpus, id);
        assert_eq!(bucket.number, 0xabab % 16);
        assert_eq!(keys.clock(bucket), "wellspring:c:{a%7D%7B%C3%A9%201:2:11}");
        let tag = "{a%7D%7B%C3%A9%201:2:11}";
        let name = DependencyId::from_bytes([1; 16]);
        for key in [
            keys.entry(bucket, id),
            keys.claim(bucket, id),
            keys.dependants(bucket, name),
            keys.scope(bucket, ScopeId::from_bytes([2; 16])),
            keys.all(bucket),
            keys.sets(bucket),
            keys.detached(bucket, 7),
        ] {
            assert!(key.contains(tag) && key.matches('{').count() == 1, "{key}");
        }
    }
}
