//! A handle that is bound to a corpus, beside the calls that name it.

use wellspring::embed::FakeEmbedder;
use wellspring::{
    Cache, Change, Corpus, CorpusCache, Dependency, FillOutcome, Lookup, MemoryStore, Query, Since,
};

const QUESTION: &str = "where is the key";

async fn is_hit(cache: &CorpusCache) -> bool {
    matches!(cache.lookup(QUESTION).await.unwrap(), Lookup::Hit(_))
}

#[tokio::test]
async fn a_handle_sees_and_changes_its_own_corpus_alone() {
    let cache = Cache::builder(FakeEmbedder::new(64), MemoryStore::default()).build().await.unwrap();
    let [ours, theirs] = ["ours", "theirs"].map(|name| cache.corpus(name).unwrap());
    for handle in [&ours, &theirs] {
        assert!(!is_hit(handle).await, "{handle:?}");
        let answer = async |_| Ok(("With the porter.", [Dependency::document("keys.md")]));
        assert!(!handle.get_or_fill(QUESTION, answer).await.unwrap().is_hit());
        assert!(is_hit(handle).await, "{handle:?}");
    }
    assert!(matches!(cache.lookup(QUESTION).await.unwrap(), Lookup::Miss(_)), "it is in no other corpus");
    // The same entry as that of a query that names the corpus, and of one that names another.
    let named = Query::new(QUESTION).corpus(Corpus::new("ours").unwrap());
    assert!(matches!(cache.lookup(named.clone()).await.unwrap(), Lookup::Hit(_)));
    let Lookup::Hit(hit) = theirs.lookup_or_wait(named).await.unwrap() else { panic!("no hit") };
    assert_eq!(hit.entry.corpus, *theirs.corpus());

    assert_eq!(ours.impact(&Change::document("keys.md")).await.unwrap().len(), 1);
    assert_eq!(cache.invalidate_document("keys.md").await.unwrap().dropped(), 0);
    assert_eq!(ours.invalidate_document("keys.md").await.unwrap().dropped(), 1);
    assert!(!is_hit(&ours).await && is_hit(&theirs).await);
    ours.invalidate(&[Change::Everything]).await.unwrap();
    assert!(is_hit(&theirs).await);

    let since: Since = match ours.lookup(QUESTION).await.unwrap() {
        Lookup::Miss(permit) => permit.since(),
        found => panic!("{found:?}"),
    };
    let sources = [Dependency::document("keys.md")];
    let stored = ours.put(QUESTION, "In the drawer.", sources, Some(&since)).await.unwrap();
    assert!(matches!(stored, FillOutcome::Stored(_)), "{stored:?}");
    ours.begin_update("keys.md").await.unwrap();
    assert!(!is_hit(&ours).await && is_hit(&theirs).await, "held in one corpus");
    ours.end_update("keys.md", None).await.unwrap();
    assert!(!is_hit(&ours).await && is_hit(&theirs).await);
}

#[tokio::test]
async fn a_corpus_of_no_valid_name_has_no_handle() {
    let cache = Cache::builder(FakeEmbedder::new(64), MemoryStore::default()).build().await.unwrap();
    for name in ["", "a\nb", &"x".repeat(2_000)] {
        assert!(cache.corpus(name).unwrap_err().is_invalid_input(), "{name:?}");
    }
}
