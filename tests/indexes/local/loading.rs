//! What a search finds while its scope is loaded, and what it reads for it.

use std::sync::atomic::Ordering;

use wellspring::MemoryStore;

use super::*;

/// The entry that answers `question` in `scope`.
async fn id_of(run: &Run, scope: &str, question: usize) -> wellspring::EntryId {
    let query = Query::new(format!("question {question}?")).scope(Scope::new().tenant(scope));
    let Ok(Lookup::Hit(hit)) = run.cache.lookup(query).await else { panic!("not a hit") };
    assert_eq!(hit.tier, Tier::Exact);
    hit.entry.id
}

#[tokio::test]
async fn a_start_reads_nothing_and_a_search_reads_its_scope() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::open(folder.path(), "store", |builder| builder).await;
    run.fill_all("a", 0..30).await;
    run.fill_all("b", 30..90).await;
    assert!(!run.has_indexes(), "no one has searched");
    run.close().await;

    let run = Run::open(folder.path(), "store", |builder| builder).await;
    id_of(&run, "b", 50).await;
    assert!(!run.has_indexes(), "an exact hit needs no index");
    assert_eq!(run.found("a", 7).await, Some(7));
    assert_eq!(run.store.reads(), 30);
    assert_eq!((run.found("a", 8).await, run.found("a", 50).await), (Some(8), None));
    assert_eq!(run.store.reads(), 0, "it is loaded once");
    assert_eq!(run.found("b", 50).await, Some(50));
    assert_eq!(run.store.reads(), 60);
}

#[tokio::test]
async fn scopes_of_a_store_in_memory_are_loaded_too() {
    let run = Run::on(MemoryStore::default(), |builder| builder).await;
    // More than are listed at a time.
    run.fill_all("a", 0..2_500).await;
    assert!(!run.has_indexes());
    assert_eq!((run.found("a", 7).await, run.found("a", 2_499).await), (Some(7), Some(2_499)));
}

/// The list of the store is older than the fills and removals while it is read, so it must not overwrite them.
#[tokio::test]
async fn what_changes_beside_the_loading_is_as_it_is_in_the_store() {
    let run = Run::on(MemoryStore::default(), |builder| builder).await;
    run.fill_all("a", 0..300).await;
    run.store.hold(id_of(&run, "a", 10).await);
    let searching = async {
        run.found("a", 20).await;
    };
    let changing = async {
        eventually("embeddings are read", async || run.store.reads() > 0).await;
        run.fill("a", 300, 300).await;
        for question in 0..300 {
            if question % 3 == 1 {
                run.fill("a", question, question + 1_000).await;
            }
        }
        run.invalidate((0..300).filter(|question| question % 3 == 2)).await;
        run.store.release();
    };
    tokio::join!(searching, changing);
    assert_eq!(run.found("a", 300).await, Some(300));
    for question in 0..300 {
        let expected = match question % 3 {
            0 => (Some(question), None),
            1 => (None, Some(question)),
            _ => (None, None),
        };
        let found = (run.found("a", question).await, run.found("a", question + 1_000).await);
        assert_eq!(found, expected, "question {question}");
    }
}

#[tokio::test]
async fn a_lookup_that_does_not_wait_is_a_miss_until_the_scope_is_loaded() {
    let run = Run::on(MemoryStore::default(), |builder| builder.index_wait(Duration::ZERO)).await;
    run.fill_all("a", 0..30).await;
    run.fill_all("b", 0..30).await;
    run.store.hold(id_of(&run, "a", 10).await);
    assert_eq!(run.found("a", 20).await, None);
    id_of(&run, "a", 20).await;
    // Another scope is loaded meanwhile, and searched.
    eventually("the other scope is loaded", async || run.found("b", 20).await == Some(20)).await;
    assert_eq!(run.found("a", 20).await, None);
    run.store.release();
    run.cache.wait_idle().await.unwrap();
    assert_eq!(run.found("a", 20).await, Some(20));
}

#[tokio::test]
async fn many_scopes_that_are_being_loaded_leave_room_for_others() {
    let run = Run::on(MemoryStore::default(), |builder| builder).await;
    run.fill_all("small", 0..3).await;
    for scope in ["a", "b", "c"] {
        run.fill_all(scope, 0..3).await;
        run.store.hold(id_of(&run, scope, 1).await);
    }
    let held = async { tokio::join!(run.found("a", 2), run.found("b", 2), run.found("c", 2)) };
    let other = async {
        eventually("they are being loaded", async || run.store.read.load(Ordering::SeqCst) == 9).await;
        assert_eq!(run.found("small", 2).await, Some(2));
        run.store.release();
    };
    assert_eq!(tokio::join!(held, other).0, (Some(2), Some(2), Some(2)));
}

#[tokio::test]
async fn a_scope_that_cannot_be_loaded_is_tried_again() {
    let run = Run::on(MemoryStore::default(), |builder| builder).await;
    run.fill_all("a", 0..30).await;
    run.store.lists_nothing.store(true, Ordering::SeqCst);
    assert_eq!(run.found("a", 20).await, None);
    run.store.lists_nothing.store(false, Ordering::SeqCst);
    eventually("it is loaded", async || run.found("a", 20).await == Some(20)).await;
}

/// The indexes are the store's listener, so that each would keep the other alive forever if it could.
#[tokio::test]
async fn a_cache_that_is_dropped_leaves_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::open(folder.path(), "store", |builder| builder).await;
    run.fill_all("a", 0..30).await;
    assert_eq!(run.found("a", 20).await, Some(20));
    drop(run);
    let opens = async || EmbeddedStore::open(folder.path().join("store")).is_ok();
    eventually("its tasks have ended", opens).await;
}
