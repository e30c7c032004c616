//! Answers that end by themselves.

use std::time::Duration;

use redis::from_redis_value;
use wellspring::{Answer, ContentType, Ttls};

use crate::invalidation_strategies::{is_hit, keys, process, process_with, put, server};
use crate::support::eventually;
use crate::support::servers::Flavour;
use crate::support::valkey::patient_now;

on_every_server!(ttl_by_content_type_with_jitter, a_hit_does_not_extend_a_life);

const HOUR: Duration = Duration::from_hours(1);

async fn ttl_by_content_type_with_jitter(flavour: Flavour) {
    let server = server(flavour);
    let cache = process(&server).await;
    for (content_type, expected) in [
        (ContentType::StaticFact, 24 * HOUR),
        (ContentType::Documentation, 6 * HOUR),
        (ContentType::UserData, HOUR),
        (ContentType::RealTime, HOUR / 30),
        (ContentType::General, HOUR),
    ] {
        server.command(&["FLUSHALL"]);
        for n in 0..40 {
            let answer = Answer::new("answer").content_type(content_type);
            put(&cache, &format!("question {n}"), answer, vec![]).await;
        }
        // What the server will do by itself, even if no one asks.
        let shares: Vec<f64> = keys(&server, "wellspring:e:*")
            .iter()
            .map(|key| from_redis_value::<f64>(server.command(&["PTTL", key])).unwrap())
            .map(|ttl_ms| ttl_ms / 1e3 / expected.as_secs_f64())
            .collect();
        assert_eq!(shares.len(), 40);
        let least = shares.iter().copied().fold(f64::MAX, f64::min);
        let most = shares.iter().copied().fold(0.0, f64::max);
        assert!((0.85..0.97).contains(&least), "{least} of {expected:?}");
        assert!((1.03..1.101).contains(&most), "{most} of {expected:?}");
    }
}

async fn a_hit_does_not_extend_a_life(flavour: Flavour) {
    let server = server(flavour);
    let ttls = Ttls::default().of(ContentType::RealTime, Duration::from_secs(1)).jitter(0.0);
    let cache = process_with(&server.url(), patient_now(), |builder| builder.ttls(ttls)).await;
    // On a busy machine it may have ended before it is looked up.
    eventually("it is served", async || {
        put(&cache, "question", Answer::new("answer").content_type(ContentType::RealTime), vec![]).await;
        is_hit(&cache, "question").await
    })
    .await;
    eventually("hits do not keep it alive", async || !is_hit(&cache, "question").await).await;
    eventually("the server forgets it by itself", async || keys(&server, "wellspring:e:*").is_empty()).await;
}
