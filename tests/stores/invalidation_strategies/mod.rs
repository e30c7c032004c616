//! Every strategy of `docs/invalidation.md`, each on real servers by a test that has the name of its section.
//!
//! A cache with its own store stands for a process: nothing is shared between two of them but the server.

mod announcements;
mod changes;
mod eviction;
mod levels;
mod lifetimes;
mod patterns;
mod refreshes;
mod stampedes;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redis::from_redis_value;
use wellspring::store::ValkeyOptions;
use wellspring::{
    Answer, Cache, CacheBuilder, Change, Corpus, Dependency, FillOutcome, Hit, Lookup, Query, Served,
};

use crate::support::embedder::WordEmbedder;
use crate::support::servers::{Flavour, Server};
use crate::support::valkey::patient_now;

/// A server of its own, so that what it counts is what the test did.
fn server(flavour: Flavour) -> Server {
    Server::builder().flavour(flavour).start()
}

/// A process with an ordinary cache.
async fn process(server: &Server) -> Cache {
    process_with(&server.url(), patient_now(), |builder| builder).await
}

async fn process_with(
    url: &str,
    options: ValkeyOptions,
    set: impl FnOnce(CacheBuilder) -> CacheBuilder,
) -> Cache {
    let store = options.connect(url).await.unwrap();
    let builder = Cache::builder(WordEmbedder::default(), store).similarity_threshold(0.92);
    set(builder).build().await.unwrap()
}

/// What an LLM is asked, counted.
#[derive(Debug, Default, Clone)]
struct Llm(Arc<AtomicUsize>);

impl Llm {
    fn calls(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Asks the cache, and answers `text` from `dependencies` if it is called.
    async fn ask(
        &self,
        cache: &Cache,
        query: Query,
        text: impl Into<Answer>,
        dependencies: Vec<Dependency>,
    ) -> Served {
        let compute = async |_| {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok((text.into(), dependencies))
        };
        cache.get_or_fill(query, compute).await.unwrap()
    }
}

fn exactly(question: &str) -> Query {
    Query::new(question).exact_only()
}

/// Stores an answer that was just made; it must be taken.
async fn put(cache: &Cache, question: &str, text: impl Into<Answer>, dependencies: Vec<Dependency>) {
    let Lookup::Miss(permit) = cache.lookup(exactly(question).renew()).await.unwrap() else {
        panic!("a renewal looks for nothing");
    };
    let outcome = permit.fill(text, dependencies).await;
    assert!(matches!(outcome, FillOutcome::Stored(_)), "{outcome:?}");
}

/// The hit on exactly this question, if it is one.
async fn hit(cache: &Cache, question: &str) -> Option<Hit> {
    match cache.lookup(exactly(question)).await.unwrap() {
        Lookup::Hit(hit) => Some(hit),
        Lookup::Miss(_) => None,
        other => panic!("the cache is not used: {other:?}"),
    }
}

async fn is_hit(cache: &Cache, question: &str) -> bool {
    hit(cache, question).await.is_some()
}

async fn change(cache: &Cache, changes: &[Change]) -> wellspring::Invalidation {
    cache.invalidate(&Corpus::default(), changes).await.unwrap()
}

/// Keys on the server, for looking at it from outside.
fn keys(server: &Server, pattern: &str) -> Vec<String> {
    from_redis_value(server.command(&["KEYS", pattern])).unwrap()
}

/// How often the server ran a command since it started, in scripts or not.
pub(crate) fn calls_of(server: &Server, command: &str) -> u64 {
    let prefix = format!("cmdstat_{command}:calls=");
    let stats = server.text(&["INFO", "commandstats"]);
    let calls = stats.lines().find_map(|line| line.strip_prefix(&prefix)?.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}
