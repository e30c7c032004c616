//! Answers that are refreshed before anyone has to wait for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use wellspring::clock::{Clock, ManualClock, SystemClock};
use wellspring::{Answer, Cache, Dependency, EarlyRefresh, Lookup, Refresh};

use crate::invalidation_strategies::{calls_of, exactly, hit, is_hit, process_with, put, server};
use crate::support::eventually;
use crate::support::servers::{Flavour, Server};
use crate::support::valkey::patient_now;

on_every_server!(early_refresh_across_processes, early_refresh_is_as_eager_as_its_beta);

const LIFE: Duration = Duration::from_hours(1);

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

    async fn process(&self, server: &Server, beta: f64, clock: Arc<dyn Clock>) -> Cache {
        let source = self.clone();
        let refresh = move |_: Refresh| {
            let source = source.clone();
            async move {
                let call = source.calls.fetch_add(1, Ordering::SeqCst) + 1;
                source.gate.acquire().await.unwrap().forget();
                Ok((format!("refreshed {call}"), vec![Dependency::document("a")]))
            }
        };
        process_with(&server.url(), patient_now().clock(Arc::clone(&clock)), |builder| {
            builder.clock(clock).refresh_with(refresh).early_refresh(EarlyRefresh::default().beta(beta))
        })
        .await
    }
}

async fn early_refresh_across_processes(flavour: Flavour) {
    let server = server(flavour);
    let source = Source::new();
    // The same, counted apart.
    let other = Source { calls: Arc::default(), ..source.clone() };
    let one = source.process(&server, 1e12, Arc::new(SystemClock)).await;
    let two = other.process(&server, 1e12, Arc::new(SystemClock)).await;
    put(&one, "question", "first", vec![Dependency::document("a")]).await;
    for _ in 0..100 {
        assert_eq!(&*hit(&one, "question").await.unwrap().answer().text, "first", "no one waits");
        assert_eq!(&*hit(&two, "question").await.unwrap().answer().text, "first");
    }
    let calls = || source.calls() + other.calls();
    eventually("a refresh began", async || calls() == 1).await;
    let asked = calls_of(&server, "set");
    eventually("both were refused a claim on it", async || {
        assert!(is_hit(&one, "question").await && is_hit(&two, "question").await);
        calls_of(&server, "set") >= asked + 4
    })
    .await;
    assert_eq!(calls(), 1, "hundreds of hits in two processes refresh once");
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
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let cache = source.process(&server, beta, Arc::clone(&clock) as _).await;
        let question = format!("question {beta}");
        let Lookup::Miss(permit) = cache.lookup(exactly(&question)).await.unwrap() else { panic!("stored") };
        // How long it takes to make the answer.
        tokio::time::sleep(Duration::from_millis(50)).await;
        permit.fill(Answer::new("first").ttl(LIFE), vec![]).await;
        let made = hit(&cache, &question).await.unwrap().entry;
        for _ in 0..20 {
            hit(&cache, &question).await;
        }
        if beta <= 1.0 {
            assert_eq!(source.calls(), 0, "far from the end, a beta of {beta} does not refresh");
        }
        // With a beta of 1, more than a third of the hits refresh when as much time is left as the answer took.
        clock.advance(made.expires_at.saturating_since(clock.now()).saturating_sub(made.recompute));
        for _ in 0..100 {
            hit(&cache, &question).await;
        }
        if beta > 0.0 {
            eventually("a refresh", async || source.calls() > 0).await;
        }
        clock.advance(LIFE);
        assert!(beta > 0.0 || !is_hit(&cache, &question).await, "without a refresh it ends");
        let calls = source.calls();
        assert!(expected.contains(&calls), "a beta of {beta} refreshed {calls} times");
    }
}
