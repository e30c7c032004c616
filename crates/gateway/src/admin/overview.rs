//! The numbers: the current state, recent history, and what happened to answers.

use axum::extract::{Extension, State};
use serde::Deserialize;
use serde_json::{Value, json};
use wellspring::journal;
use wellspring::key::Corpus;
use wellspring::metrics::SIMILARITY_FLOOR;

use super::{Answered, Asked, json, parameters};
use crate::Gateway;
use crate::auth::{Caller, Permission};
use crate::error::Problem;
use crate::telemetry::SAMPLE_EVERY;

/// Everything that the page shows at a glance.
pub(super) async fn overview(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
) -> Answered {
    let (cache, telemetry) = (gateway.cache(), gateway.telemetry());
    let unshown = cache.budgets(&Corpus::default()).unshown(cache.match_policy());
    let calls = telemetry.calls();
    let upstreams: Vec<_> = calls
        .iter()
        .map(|((upstream, status), count)| json!({ "upstream": upstream, "status": status, "count": count }))
        .collect();
    json(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_secs": telemetry.uptime().as_secs(),
        "sample_secs": SAMPLE_EVERY.as_secs(),
        "threshold": cache.least_similarity(),
        "match_policy": cache.match_policy(),
        // None, unless a false-hit rate is requested that cannot be demonstrated.
        "unshown": unshown.map(|unshown| unshown.to_string()),
        // None if there is no judge.
        "judge": cache.judge_status(),
        "draining": gateway.is_draining(),
        "in_flight": gateway.in_flight(),
        "index_bytes": cache.index_bytes(),
        "metrics": cache.metrics(),
        // None if the store does not answer.
        "store": store(&gateway, &caller).await?,
        // None if the store is local.
        "connection": cache.store_connection(),
        "upstreams": upstreams,
        "feedback": { "right": telemetry.feedback().right().total(), "wrong": telemetry.feedback().wrong().total() },
        "samples": telemetry.samples().all(),
    }))
}

/// The state of the store. Which documents are held is shown to those who may read contents.
async fn store(gateway: &Gateway, caller: &Caller) -> Result<Value, Problem> {
    let Ok(status) = gateway.cache().status().await else { return Ok(Value::Null) };
    let mut store = json(&status)?.0;
    for corpus in store["corpora"].as_array_mut().into_iter().flatten() {
        corpus["holds"] = corpus["held"].as_array().map_or(0, Vec::len).into();
        if let Some(corpus) = corpus.as_object_mut().filter(|_| !caller.may(Permission::Admin)) {
            corpus.remove("held");
        }
    }
    Ok(store)
}

/// Hits and the feedback on them by similarity, which shows where a threshold would fit.
pub(super) async fn threshold(State(gateway): State<Gateway>) -> Answered {
    let metrics = gateway.cache().metrics();
    let (right, wrong) = (gateway.telemetry().feedback().right(), gateway.telemetry().feedback().wrong());
    let bypasses: u64 = metrics.bypasses.values().sum();
    let judged = right.by_similarity().into_iter().zip(wrong.by_similarity());
    let buckets: Vec<_> = metrics
        .similarities
        .iter()
        .zip(judged)
        .zip(0_u32..)
        .map(|((hits, (right, wrong)), hundredth)| {
            let from = (f64::from(SIMILARITY_FLOOR) * 100.0).round() + f64::from(hundredth);
            json!({ "from": from / 100.0, "hits": hits, "right": right, "wrong": wrong })
        })
        .collect();
    json(&json!({
        "threshold": gateway.cache().least_similarity(),
        "lookups": metrics.exact_hits + metrics.semantic_hits + metrics.misses + bypasses,
        "exact": { "hits": metrics.exact_hits, "right": right.exact(), "wrong": wrong.exact() },
        "buckets": buckets,
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogParameters {
    limit: usize,
}

impl Default for LogParameters {
    fn default() -> Self {
        Self { limit: 100 }
    }
}

/// The newest invalidations, holds and refused fills.
pub(super) async fn log(State(gateway): State<Gateway>, asked: Asked<LogParameters>) -> Answered {
    let limit = parameters(asked)?.limit.min(journal::CAPACITY);
    json(&json!({ "records": gateway.cache().journal(limit) }))
}
