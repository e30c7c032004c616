//! Answers that are refreshed before anyone has to wait for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use wellspring::{Answer, Cache, Dependency, EarlyRefresh, Lookup, Refresh};

use crate::invalidation_strategies::{exactly, hit, is_hit, process_with, put, server};
use crate::support::eventually;
use crate::support::servers::{Flavour, Server};
use crate::support::valkey::patient_now;

on_every_server!(early_refresh_across_processes, early_refresh_is_as_eager_as_its_beta);

/// A source of answers that counts, and answers when the gate is open.
#[derive(Clone)]
struct Source {
    calls: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Source {
    fn new() -> Self {
        Self { calls: Arc::default(), gate: Arc::new(Semaphore::new(0)) }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn process(&self, server: &Server, beta: f64) -> Cache {
        let source = self.clone();
        let refresh = move |_: Refresh| {
            let source = source.clone();
            async move {
                let call = source.calls.fetch_add(1, Ordering::SeqCst) + 1;
                source.gate.acquire().await.unwrap().forget();
                Ok((format!("refreshed {call}"), vec![Dependency::document("a")]))
            }
        };
        process_with(&server.url(), patient_now(), |builder| {
            builder.refresh_with(refresh).early_refresh(EarlyRefresh::default().beta(beta))
        })
        .await
    }
}

async fn early_refresh_across_processes(flavour: Flavour) {
    let server = server(flavour);
    let source = Source::new();
    let (one, two) = (source.process(&server, 1e12).await, source.process(&server, 1e12).await);
    put(&one, "question", "first", vec![Dependency::document("a")]).await;
    for _ in 0..100 {
        assert_eq!(&*hit(&one, "question").await.unwrap().answer().text, "first", "no one waits");
        assert_eq!(&*hit(&two, "question").await.unwrap().answer().text, "first");
    }
    eventually("a refresh began", async || source.calls() == 1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(source.calls(), 1, "two hundred hits in two processes refresh once");
    source.gate.add_permits(1);
    let refreshed = || one.metrics().refreshed + two.metrics().refreshed;
    eventually("it ended", async || refreshed() == 1).await;
    assert_eq!(&*hit(&two, "question").await.unwrap().answer().text, "refreshed 1");
    source.gate.add_permits(1_000);
}

async fn early_refresh_is_as_eager_as_its_beta(flavour: Flavour) {
    let server = server(flavour);
    for (beta, expected) in [(0.0, 0..=0), (1.0, 1..=60), (1e12, 1..=1_000)] {
        let source = Source::new();
        source.gate.add_permits(1_000);
        let cache = source.process(&server, beta).await;
        // Made in a twentieth of a second, for another second: with a beta of 1, about one hit in e^20 refreshes at
        // first, and most do at the end.
        let question = format!("question {beta}");
        let Lookup::Miss(permit) = cache.lookup(exactly(&question)).await.unwrap() else { panic!("stored") };
        tokio::time::sleep(Duration::from_millis(50)).await;
        permit.fill(Answer::new("first").ttl(Duration::from_secs(1)), vec![]).await;
        let early = source.calls();
        for _ in 0..20 {
            hit(&cache, &question).await;
        }
        if beta <= 1.0 {
            assert_eq!(source.calls(), early, "far from the end, a beta of {beta} does not refresh");
        }
        eventually("its end", async || {
            tokio::time::sleep(Duration::from_millis(1)).await;
            source.calls() > 0 || !is_hit(&cache, &question).await
        })
        .await;
        let calls = source.calls();
        assert!(expected.contains(&calls), "a beta of {beta} refreshed {calls} times");
    }
}
