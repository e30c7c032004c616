//! The token states of texts that the model has run lately.
//!
//! Guarantees that the kept states are those that the model gave for exactly this text, and that they take no
//! more memory than allowed. The model gives the states in the same run as the embedding; the verifier of a
//! candidate asks for them a moment later.

use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache as BoundedCache;

use crate::tokens::TokenStates;

/// The size of an entry beyond its text and its states.
const OVERHEAD_BYTES: usize = 256;

/// Token states by text. Unlike in the memo of embeddings, the newest always stay: a text is looked up here
/// right after its states are stored.
#[derive(Debug, Clone)]
pub(super) struct StatesMemo(BoundedCache<Arc<str>, Arc<TokenStates>>);

impl StatesMemo {
    /// Keeps up to `bytes` bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let weigh = |text: &Arc<str>, states: &Arc<TokenStates>| {
            u32::try_from(text.len() + states.bytes() + OVERHEAD_BYTES).unwrap_or(u32::MAX)
        };
        let cache =
            BoundedCache::builder().max_capacity(bytes).weigher(weigh).eviction_policy(EvictionPolicy::lru());
        Self(cache.build())
    }

    /// The states of `text`, if they are kept.
    pub(super) fn get(&self, text: &str) -> Option<Arc<TokenStates>> {
        self.0.get(text)
    }

    /// Keeps the states of `text`.
    pub(super) fn insert(&self, text: &str, states: TokenStates) {
        self.0.insert(text.into(), Arc::new(states));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_and_memory_is_bounded() {
        let memo = StatesMemo::new(64 << 10);
        for number in 0..1_000 {
            let states = TokenStates::new(&[1.0; 8 * 64], &[1.0; 64]).unwrap();
            memo.insert(&number.to_string(), states);
            assert!(memo.get(&number.to_string()).is_some(), "{number}");
        }
        memo.0.run_pending_tasks();
        assert!(memo.0.weighted_size() <= 64 << 10);
        assert!(memo.get("0").is_none());
    }
}
