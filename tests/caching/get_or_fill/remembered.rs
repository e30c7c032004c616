//! Embeddings that are reused.

use std::sync::atomic::Ordering;

use wellspring::{Lookup, Query, Scope};

use crate::get_or_fill::{Fixture, hit, is_free};
use crate::support::Kind;
use crate::support::embedder::{LONGEST, embed};

fn calls(fixture: &Fixture) -> (usize, u64) {
    (fixture.embedder.calls.load(Ordering::SeqCst), fixture.cache.metrics().remembered_embeddings)
}

#[tokio::test]
async fn a_text_is_embedded_once_for_all_scopes_and_times() {
    let fixture = Fixture::new(Kind::Memory).await;
    let question = || Query::new("who signs the contract");
    let queries = [
        question(),
        question().scope(Scope::new().tenant("t")),
        question().scope(Scope::new().parameter("model", "large")),
        question().renew(),
    ];
    for (number, query) in queries.into_iter().enumerate() {
        let Lookup::Miss(permit) = fixture.cache.lookup(query).await.unwrap() else {
            panic!("nothing was stored in the scope");
        };
        assert_eq!(permit.embedding(), Some(&embed("who signs the contract")));
        permit.fill("answer", vec![]).await;
        assert_eq!(calls(&fixture), (1, number as u64));
    }
    // Its own answer needs none.
    hit(&fixture.cache, question()).await;
    assert_eq!(calls(&fixture), (1, 3));
    // Another wording of it is found by meaning, each time.
    let wording = || Query::new("who signs the contracts").similarity_threshold(0.5);
    for remembered in [3, 4, 5] {
        hit(&fixture.cache, wording()).await;
        assert_eq!(calls(&fixture), (2, remembered));
    }
}

#[tokio::test]
async fn that_a_text_has_no_embedding_is_remembered_and_that_it_failed_is_not() {
    let fixture = Fixture::new(Kind::Memory).await;
    let long = "word ".repeat(LONGEST);
    for remembered in [0, 1] {
        assert!(is_free(&fixture.cache, Query::new(&*long)).await);
        assert_eq!(calls(&fixture), (1, remembered));
    }
    fixture.embedder.broken.store(true, Ordering::SeqCst);
    assert!(matches!(fixture.cache.lookup(Query::new("text")).await.unwrap(), Lookup::Bypass(_)));
    fixture.embedder.broken.store(false, Ordering::SeqCst);
    assert!(is_free(&fixture.cache, Query::new("text")).await);
    assert_eq!(calls(&fixture), (3, 1));
}

#[tokio::test]
async fn with_nothing_remembered_each_miss_is_embedded() {
    let fixture = Fixture::with(Kind::Memory, |builder| builder.remember_embeddings(0)).await;
    for number in 1..=3 {
        assert!(is_free(&fixture.cache, Query::new("text")).await);
        assert_eq!(calls(&fixture), (number, 0));
    }
}
