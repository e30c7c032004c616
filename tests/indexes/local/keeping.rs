//! Indexes that are kept between runs: a first search reads what changed since, and finds what the store has.

use super::*;

/// Opens the store of this name, with indexes that are kept.
async fn keeping(folder: &Path, store: &str) -> Run {
    Run::open(folder, store, |builder| builder.index_snapshots(folder.join("indexes"))).await
}

async fn without(folder: &Path, store: &str) -> Run {
    Run::open(folder, store, |builder| builder).await
}

/// Waits for the graphs of a cache and closes it, so that they are kept.
async fn close(run: Run) {
    run.cache.wait_idle().await.unwrap();
    run.close().await;
}

/// How many snapshots of indexes there are.
fn kept(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder.join("indexes")).unwrap();
    names.filter(|name| name.as_ref().unwrap().path().is_dir()).count()
}

#[tokio::test]
async fn a_first_search_reads_what_changed_since_the_index_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let run = keeping(folder, "store").await;
    run.fill_all("a", 0..ENTRIES).await;
    assert_eq!(run.found("a", 5).await, Some(5));
    close(run).await;

    let run = keeping(folder, "store").await;
    assert_eq!(run.found("a", 5).await, Some(5));
    assert_eq!(run.store.reads(), 0, "all of it was kept");
    close(run).await;

    // As after a crash: the store continues, but the kept index does not.
    let run = without(folder, "store").await;
    assert_eq!(run.found("a", 5).await, Some(5));
    assert_eq!(run.store.reads(), ENTRIES, "nothing was to be used");
    run.invalidate((0..10).chain([ENTRIES - 1])).await;
    run.fill("a", 20, ENTRIES + 20).await;
    run.fill("a", ENTRIES, ENTRIES).await;
    run.close().await;

    let run = keeping(folder, "store").await;
    assert_eq!(run.found("a", 5).await, None, "it was invalidated");
    assert_eq!(run.store.reads(), 2, "one that is new, and one that has another embedding");
    assert_eq!(run.found("a", 20).await, None, "this is not its embedding any more");
    assert_eq!(run.found("a", ENTRIES + 20).await, Some(20));
    assert_eq!(run.found("a", ENTRIES).await, Some(ENTRIES));
    assert_eq!(run.found("a", 30).await, Some(30));
    assert_eq!(run.store.reads(), 0, "it was loaded by then");
    close(run).await;

    // The same question in the same scope has the same id in every store.
    let run = without(folder, "other").await;
    run.fill("a", 30, 1).await;
    run.close().await;
    let run = keeping(folder, "other").await;
    assert_eq!((run.found("a", 30).await, run.found("a", 1).await), (None, Some(30)));
    assert_eq!(run.store.reads(), 1, "an index kept from another store is not used");
    close(run).await;
    assert_eq!(kept(folder), 0, "a scope without graphs needs no files");
}

/// Numbers of fills are given again after a store was put back, so a snapshot from a later state looks as old as what
/// was stored since, once there were as many fills.
#[tokio::test]
async fn a_snapshot_from_before_the_store_was_put_back_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let run = keeping(folder, "store").await;
    run.fill_all("a", 0..ENTRIES).await;
    assert_eq!(run.found("a", 5).await, Some(5));
    close(run).await;
    std::fs::copy(folder.join("store"), folder.join("copy")).unwrap();

    let run = keeping(folder, "store").await;
    assert_eq!(run.found("a", 5).await, Some(5));
    run.fill_all("a", ENTRIES..ENTRIES + 20).await;
    close(run).await;
    assert_eq!(kept(folder), 2, "one of each state");

    std::fs::rename(folder.join("copy"), folder.join("store")).unwrap();
    let run = keeping(folder, "store").await;
    run.fill("a", 20, ENTRIES + 100).await;
    run.fill_all("b", 0..40).await;
    assert_eq!(run.found("a", ENTRIES + 100).await, Some(20));
    assert_eq!(run.found("a", 20).await, None, "this is not its embedding any more");
    assert_eq!(run.store.reads(), 1, "what was kept before is as good as it was");
}

#[tokio::test]
async fn what_is_kept_of_a_scope_that_is_gone_goes_though_nobody_searches_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let run = keeping(folder, "store").await;
    run.fill_all("a", 0..ENTRIES).await;
    run.found("a", 5).await;
    close(run).await;

    let run = keeping(folder, "store").await;
    run.fill("b", 1, 1).await;
    close(run).await;
    assert_eq!(kept(folder), 1, "a scope that was not searched is kept as it was");

    let run = keeping(folder, "store").await;
    run.cache.invalidate(&Corpus::default(), &[Change::Everything]).await.unwrap();
    close(run).await;
    assert_eq!(kept(folder), 0);
}
