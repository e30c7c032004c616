//! What the examples in the documentation share: each is the body of a closure, in which `?` works on any
//! error. The line that begins the closure, and the one that ends it, are hidden.

use tokio::runtime;
use wellspring::embed::FakeEmbedder;
use wellspring::{BoxError, Cache, CacheBuilder, Dependency, FillOutcome, FillPermit, Lookup, MemoryStore};

/// Runs an example that needs nothing.
pub fn run(example: impl AsyncFnOnce() -> Result<(), BoxError>) {
    runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
}

/// Runs an example with a builder of a cache that needs neither a model nor a file.
pub fn with_builder(example: impl AsyncFnOnce(CacheBuilder) -> Result<(), BoxError>) {
    run(async || example(builder()).await);
}

/// Runs an example with a cache that holds one answer.
pub fn with_cache(example: impl AsyncFnOnce(Cache) -> Result<(), BoxError>) {
    run(async || {
        let cache = builder().build().await?;
        let sources = [Dependency::document("passwords.md"), Dependency::tag("accounts")];
        let permit = miss(&cache, "How do I reset my password?").await?;
        let filled = permit.fill("In the settings.", sources).await;
        assert!(matches!(filled, FillOutcome::Stored(_)), "{filled:?}");
        example(cache).await
    });
}

/// Runs an example with such a cache, and the permit for a question that it cannot answer.
pub fn with_permit(example: impl AsyncFnOnce(Cache, FillPermit) -> Result<(), BoxError>) {
    with_cache(async |cache| {
        let permit = miss(&cache, "Where is the key?").await?;
        example(cache, permit).await
    });
}

/// The permit for a question that `cache` cannot answer.
pub async fn miss(cache: &Cache, question: &str) -> Result<FillPermit, BoxError> {
    match cache.lookup(question).await? {
        Lookup::Miss(permit) => Ok(permit),
        other => panic!("not a miss: {other:?}"),
    }
}

fn builder() -> CacheBuilder {
    Cache::builder(FakeEmbedder::new(64), MemoryStore::default()).similarity_threshold(0.9)
}
