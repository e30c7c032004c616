//! Scopes that no one searches are unloaded, and loaded again from the store.

use super::*;

/// The shortest that is looked for.
const IDLE: Duration = Duration::from_millis(100);

#[tokio::test]
async fn an_idle_scope_is_unloaded_and_comes_back_as_the_store_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::open(folder.path(), "store", |builder| builder.unload_idle_scopes(IDLE)).await;
    run.fill_all("a", 0..30).await;
    for round in 1..4 {
        assert_eq!(run.found("a", 20).await, Some(20));
        eventually("it is unloaded", async || !run.has_indexes()).await;
        run.fill("a", 100 * round, 100 * round).await;
        run.fill("a", 10, 1_000 * round).await;
        run.invalidate([round]).await;
        assert!(!run.has_indexes(), "fills need no index");
        assert_eq!(run.found("a", 100 * round).await, Some(100 * round));
        assert_eq!(run.found("a", 1_000 * round).await, Some(10));
        assert_eq!(run.found("a", 1_000 * round - 1_000).await, (round == 1).then_some(0), "replaced");
        assert_eq!(run.found("a", round).await, None, "it was invalidated");
    }
}

#[tokio::test]
async fn graphs_are_not_built_again_for_having_been_idle() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::open(folder.path(), "store", |builder| builder.unload_idle_scopes(IDLE)).await;
    run.fill_all("a", 0..ENTRIES).await;
    assert_eq!(run.found("a", 20).await, Some(20));
    run.cache.wait_idle().await.unwrap();
    run.fill_all("b", 0..30).await;
    let bytes = run.cache.index_bytes();
    assert_eq!(run.found("b", 20).await, Some(20));
    // Searched later than the other scope, so both were idle then.
    eventually("the small one is unloaded", async || run.cache.index_bytes() == bytes).await;
    run.store.reads();
    assert_eq!(run.found("a", 20).await, Some(20));
    assert_eq!(run.store.reads(), 0, "it was not unloaded, for it could not be kept");
    run.close().await;

    let run = Run::open(folder.path(), "store", |builder| {
        builder.unload_idle_scopes(IDLE).index_snapshots(folder.path().join("indexes"))
    });
    let run = run.await;
    assert_eq!(run.found("a", 20).await, Some(20));
    assert_eq!(run.store.reads(), ENTRIES);
    eventually("it is saved and unloaded", async || !run.has_indexes()).await;
    run.fill("a", 20, ENTRIES + 20).await;
    run.fill("a", ENTRIES, ENTRIES).await;
    run.invalidate([30]).await;
    assert_eq!(run.found("a", 20).await, None, "this is not its embedding any more");
    assert_eq!(run.store.reads(), 2, "what changed since");
    assert_eq!(run.found("a", ENTRIES + 20).await, Some(20));
    assert_eq!(run.found("a", ENTRIES).await, Some(ENTRIES));
    assert_eq!(run.found("a", 30).await, None, "it was invalidated");
}
