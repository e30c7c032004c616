//! What Prometheus receives.

use std::collections::BTreeMap;

use crate::admin::{CHAT, ONE, OTHER, ask, asked, get, post};
use crate::running::Running;

/// Every sample by its name with labels.
pub(crate) fn parse(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

async fn read(gateway: &Running) -> BTreeMap<String, f64> {
    let reply = get(gateway, "/metrics").await;
    assert!(reply.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    parse(&reply.body)
}

#[tokio::test]
async fn they_move_with_what_happens() {
    let gateway = Running::start().await;
    let before = read(&gateway).await;
    for tier in ["exact", "semantic", "miss", "bypass"] {
        assert!(before[&format!("wellspring_lookups_total{{outcome=\"{tier}\"}}")].abs() < 0.5);
    }
    for (question, tier) in [(ONE, "miss"), (ONE, "exact"), (OTHER, "semantic")] {
        assert_eq!(ask(&gateway, question, "refunds.md").await.tier(), tier);
    }
    let changed = serde_json::json!({ "documents": [{ "id": "refunds.md" }, { "id": "unknown.md" }] });
    assert_eq!(post(&gateway, "/v1/documents/changed", &changed).await.json()["dropped"], 1);
    let after = read(&gateway).await;
    for (name, expected) in [
        ("wellspring_lookups_total{outcome=\"exact\"}", 1.0),
        ("wellspring_lookups_total{outcome=\"semantic\"}", 1.0),
        ("wellspring_lookups_total{outcome=\"miss\"}", 1.0),
        ("wellspring_fills_total", 1.0),
        ("wellspring_changes_total", 2.0),
        ("wellspring_unmatched_total", 1.0),
        ("wellspring_invalidated_entries_total", 1.0),
        ("wellspring_upstream_responses_total{upstream=\"openai\",status=\"200\"}", 1.0),
        ("wellspring_requests_total{route=\"/v1/chat/completions\",status=\"200\"}", 3.0),
        ("wellspring_stage_duration_seconds_count{stage=\"exact_hit\"}", 1.0),
        ("wellspring_stage_duration_seconds_bucket{le=\"+Inf\",stage=\"exact_hit\"}", 1.0),
        ("wellspring_upstream_duration_seconds_count{upstream=\"openai\"}", 1.0),
        ("wellspring_store_up", 1.0),
        ("wellspring_entries", 0.0),
    ] {
        assert_eq!(after.get(name), Some(&expected), "{name}");
    }
    assert!(after["wellspring_tokens_saved_total{kind=\"prompt\"}"] > 0.0);
    // The request that reads them is not a caller's.
    assert!(after["wellspring_requests_in_flight"].abs() < 0.5);
}

/// Nothing is calibrated for the fake embedder.
#[tokio::test]
async fn a_rate_that_cannot_be_shown_is_counted() {
    let gateway = Running::start().await;
    let mut question = asked(ONE, "refunds.md");
    question["wellspring"]["max_false_hit_rate"] = 0.02.into();
    assert_eq!(gateway.ask(CHAT, &question).await.tier(), "miss");
    assert!((read(&gateway).await["wellspring_unshown_budgets_total"] - 1.0).abs() < 0.5);
}

#[tokio::test]
async fn buckets_only_grow_and_end_at_all() {
    let gateway = Running::start().await;
    for number in 0..20 {
        ask(&gateway, &format!("question number {number} about thing {number}"), "a.md").await;
    }
    let metrics = read(&gateway).await;
    let mut buckets: Vec<(f64, f64)> = metrics
        .iter()
        .filter_map(|(name, count)| {
            let bound = name.strip_prefix("wellspring_stage_duration_seconds_bucket{le=\"")?;
            Some((bound.strip_suffix("\",stage=\"fill\"}")?.parse().unwrap(), *count))
        })
        .collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    assert!(buckets.len() > 10 && buckets.is_sorted_by(|one, other| one.1 <= other.1), "{buckets:?}");
    let stored = metrics["wellspring_stage_duration_seconds_count{stage=\"fill\"}"];
    assert_eq!(buckets.last(), Some(&(f64::INFINITY, stored)));
}
