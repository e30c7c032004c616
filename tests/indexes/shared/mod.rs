//! Processes that share a store find one another's answers by meaning. Each process is played by a cache with a store of
//! its own, on one server.

mod loading;
mod outages;
mod snapshots;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wellspring::store::{ValkeyOptions, ValkeyStore};
use wellspring::{Answer, Cache, CacheBuilder, Corpus, Dependency, FillOutcome, Lookup, Query, Tier};

use crate::support::embedder::WordEmbedder;
use crate::support::eventually;
use crate::support::servers::Server;
use crate::support::valkey::patient_now;

/// A process, with the answers that it may give.
struct Process {
    cache: Cache,
    embedder: Arc<WordEmbedder>,
}

impl Process {
    async fn start(server: &Server) -> Self {
        Self::with(server, patient_now(), |builder| builder).await
    }

    async fn with(
        server: &Server,
        options: ValkeyOptions,
        set: impl FnOnce(CacheBuilder) -> CacheBuilder,
    ) -> Self {
        let store: ValkeyStore = options.connect(&server.url()).await.unwrap();
        let embedder = Arc::new(WordEmbedder::default());
        let builder = Cache::builder_from(Arc::clone(&embedder) as _, Arc::new(store));
        Self { cache: set(builder.similarity_threshold(0.8)).build().await.unwrap(), embedder }
    }

    /// Makes an answer that depends on `document`.
    async fn answer(&self, question: &str, document: &str) {
        let Lookup::Miss(permit) = self.cache.lookup(Query::new(question)).await.unwrap() else {
            panic!("{question} is answered already");
        };
        let answer = Answer::new(format!("answer to {question}"));
        let outcome = permit.fill(answer, vec![Dependency::document(document)]).await;
        assert!(matches!(outcome, FillOutcome::Stored(_)), "{outcome:?}");
    }

    /// What a question finds by meaning.
    async fn finds(&self, question: &str) -> Option<String> {
        match self.cache.lookup(Query::new(question)).await.unwrap() {
            Lookup::Hit(hit) => {
                assert!(matches!(hit.tier, Tier::Semantic { .. }), "{:?}", hit.tier);
                Some(hit.answer().text.to_string())
            }
            _ => None,
        }
    }

    async fn comes_to_find(&self, question: &str, answer: &str) {
        let what = format!("{question} finds {answer}");
        eventually(&what, async || self.finds(question).await.as_deref() == Some(answer)).await;
    }

    async fn invalidate(&self, document: &str) {
        let change = wellspring::Change::document(document);
        self.cache.invalidate(&Corpus::default(), &[change]).await.unwrap();
    }

    fn embedded(&self) -> usize {
        self.embedder.calls.load(Ordering::SeqCst)
    }
}

const ASKED: &str = "when does the big library open on a sunday";
const NEAR: &str = "when does the big library open on sunday";
const ANSWER: &str = "answer to when does the big library open on a sunday";
