//! What the model made of texts lately.
//!
//! Guarantees that what is remembered is what the model gave for exactly this text, and that it takes no more memory
//! than it may. A text's embedding depends on nothing but the text and the model, so that nothing here grows old.

use std::sync::Arc;

use moka::sync::Cache;

use super::Embedded;

/// What an entry takes beside its text and its vector: two reference counts, and moka's own books.
const OVERHEAD_BYTES: usize = 256;

/// Embeddings by text. What is asked for often stays; a text that is seen once does not displace it.
#[derive(Debug)]
pub(crate) struct Memo(Option<Cache<Arc<str>, Embedded>>);

impl Memo {
    /// Remembers up to `bytes`; with 0, nothing.
    pub(crate) fn new(bytes: u64) -> Self {
        let weigh = |text: &Arc<str>, embedded: &Embedded| {
            let components = match embedded {
                Embedded::Vector(vector) => vector.dimensions(),
                Embedded::TooLong | Embedded::Unreadable => 0,
            };
            let bytes = text.len() + components * size_of::<f32>() + OVERHEAD_BYTES;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self((bytes > 0).then(|| Cache::builder().max_capacity(bytes).weigher(weigh).build()))
    }

    /// What the model made of `text`, if it is remembered.
    pub(crate) fn get(&self, text: &str) -> Option<Embedded> {
        self.0.as_ref()?.get(text)
    }

    /// Remembers what the model made of `text`.
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
