//! Listening to a channel: messages that were published while no one listened are lost.

use redis::from_redis_value;
use wellspring::events::{DocumentEvents, GapReason, Report};
use wellspring::{Cache, Change, Corpus};

use crate::document_events::{Reports, WordEmbedder, cache, is_hit, put, server};
use crate::invalidation_strategies::calls_of;
use crate::support::eventually;
use crate::support::servers::Flavour;
use crate::support::valkey::patient_now;

on_every_server!(
    messages_are_applied_while_somebody_listens,
    what_was_missed_ends_everything,
    deployments_that_follow_each_other_do_not_go_round,
);

/// Listens in the background until the test ends.
fn listen(url: String, channel: &str, cache: &Cache) -> Reports {
    let reports = Reports::default();
    let events = DocumentEvents::channel(url, channel).observe(reports.listener());
    let cache = cache.clone();
    tokio::spawn(async move { events.run(&cache, std::future::pending()).await });
    reports
}

async fn messages_are_applied_while_somebody_listens(flavour: Flavour) {
    let server = server(flavour);
    let cache = cache(flavour).await;
    let reports = listen(server.url(), "documents", &cache);
    eventually("it listens", async || reports.gaps(GapReason::Subscribed) == 1).await;
    put(&cache, "question", "a").await;
    server.command(&["PUBLISH", "documents", "not JSON"]);
    let heard: i64 = from_redis_value(server.command(&["PUBLISH", "documents", r#"{"id":"a"}"#])).unwrap();
    assert_eq!(heard, 1);
    eventually("it is applied", async || !is_hit(&cache, "question").await).await;
    eventually("it is reported", async || reports.applied() == 1).await;
    assert_eq!(reports.count(|report| matches!(report, Report::Ignored { .. })), 1);
}

async fn what_was_missed_ends_everything(flavour: Flavour) {
    let server = server(flavour);
    let cache = cache(flavour).await;
    put(&cache, "before", "a").await;
    let reports = listen(server.url(), "documents", &cache);
    eventually("it listens", async || reports.gaps(GapReason::Subscribed) == 1).await;
    assert!(!is_hit(&cache, "before").await);
    put(&cache, "question", "a").await;
    server.kill();
    let lost = |report: &Report| matches!(report, Report::Disconnected { .. });
    eventually("it is noticed", async || reports.count(lost) > 0).await;
    assert!(is_hit(&cache, "question").await);
    server.restart();
    eventually("it listens again", async || reports.gaps(GapReason::Subscribed) == 2).await;
    assert!(!is_hit(&cache, "question").await);
}

async fn deployments_that_follow_each_other_do_not_go_round(flavour: Flavour) {
    let server = server(flavour);
    let deployment = async |prefix: &str| {
        let store = patient_now().prefix(prefix).connect(&server.url()).await.unwrap();
        Cache::builder(WordEmbedder::default(), store).build().await.unwrap()
    };
    let (here, there) = (deployment("here:").await, deployment("there:").await);
    let follows = [
        listen(server.url(), "there:invalidations", &here),
        listen(server.url(), "here:invalidations", &there),
        // No one should do this, but it must not loop either.
        listen(server.url(), "here:invalidations", &here),
    ];
    for reports in &follows {
        eventually("it listens", async || reports.gaps(GapReason::Subscribed) == 1).await;
    }
    let published = || calls_of(&server, "publish");
    eventually("the gaps are announced, too", async || published() >= 3).await;
    // Messages come in order, so by the time that these are ignored the others are applied.
    for channel in ["here:invalidations", "there:invalidations"] {
        server.command(&["PUBLISH", channel, "not JSON"]);
    }
    let ignored = |report: &Report| matches!(report, Report::Ignored { .. });
    for reports in &follows {
        eventually("what was announced is applied", async || reports.count(ignored) == 1).await;
    }
    let before: Vec<usize> = follows.iter().map(Reports::applied).collect();
    put(&here, "question", "a").await;
    put(&there, "question", "a").await;
    here.invalidate(&Corpus::default(), &[Change::document("a")]).await.unwrap();
    assert!(!is_hit(&here, "question").await);
    eventually("it follows", async || !is_hit(&there, "question").await).await;
    for (reports, before) in follows.iter().zip(&before).skip(1) {
        eventually("it is reported", async || reports.applied() > *before).await;
    }
    // Announcements that are under way are sent before the end.
    here.close().await.unwrap();
    there.close().await.unwrap();
    assert_eq!(published(), 3 + 2 + 1, "who follows does not announce it again");
    let after: Vec<usize> = follows.iter().map(Reports::applied).collect();
    assert_eq!(after, [before[0], before[1] + 1, before[2] + 1]);
}
