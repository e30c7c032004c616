//! A memory of the embeddings that the model made lately.
//!
//! Guarantees that a remembered embedding is the one that the model gave for exactly this text, and that the
//! memory stays within its limit. A text's embedding depends only on the text and the model, so nothing here
//! becomes stale.

use std::sync::Arc;

use moka::sync::Cache as BoundedCache;

use super::Embedded;

/// The size of an entry beyond its text and its vector: two reference counts, and moka's own bookkeeping.
const OVERHEAD_BYTES: usize = 256;

/// Embeddings by text. Texts that are requested often stay; a text that is seen once does not displace them.
#[derive(Debug)]
pub(crate) struct Memo(Option<BoundedCache<Arc<str>, Embedded>>);

impl Memo {
    /// Remembers up to `bytes` bytes; with 0, nothing.
    pub(crate) fn new(bytes: u64) -> Self {
        let weigh = |text: &Arc<str>, embedded: &Embedded| {
            let components = match embedded {
                Embedded::Vector(vector) => vector.dimensions(),
                Embedded::TooLong | Embedded::Unreadable => 0,
            };
            let bytes = text.len() + components * size_of::<f32>() + OVERHEAD_BYTES;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self((bytes > 0).then(|| BoundedCache::builder().max_capacity(bytes).weigher(weigh).build()))
    }

    /// The embedding of `text`, if it is remembered.
    pub(crate) fn get(&self, text: &str) -> Option<Embedded> {
        self.0.as_ref()?.get(text)
    }

    /// Remembers the embedding of `text`.
    pub(crate) fn insert(&self, text: &Arc<str>, embedded: &Embedded) {
        if let Some(cache) = &self.0 {
            cache.insert(Arc::clone(text), embedded.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::Embedding;

    fn vector() -> Embedded {
        Embedded::Vector(Embedding::new(&[1.0; 384]).unwrap())
    }

    #[test]
    fn outcomes_without_a_vector_are_remembered_too() {
        let memo = Memo::new(1 << 20);
        memo.insert(&"long".into(), &Embedded::TooLong);
        memo.insert(&"emoji".into(), &Embedded::Unreadable);
        assert!(matches!(memo.get("long"), Some(Embedded::TooLong)));
        assert!(matches!(memo.get("emoji"), Some(Embedded::Unreadable)));
        assert!(memo.get("LONG").is_none());
    }

    #[test]
    fn it_takes_no_more_than_it_may_and_with_nothing_remembers_nothing() {
        let memo = Memo::new(64 << 10);
        for number in 0..1_000 {
            memo.insert(&number.to_string().into(), &vector());
        }
        let cache = memo.0.as_ref().unwrap();
        cache.run_pending_tasks();
        assert!((1..=36).contains(&cache.entry_count()), "{}", cache.entry_count());
        assert!(cache.weighted_size() <= 64 << 10);

        let none = Memo::new(0);
        none.insert(&"text".into(), &vector());
        assert!(none.get("text").is_none());
    }
}
