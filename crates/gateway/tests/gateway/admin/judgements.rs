//! A judge's decisions, as operators of the gateway see and revoke them.

use std::sync::Arc;

use serde_json::{Value, json};
use wellspring::embed::FakeEmbedder;
use wellspring::judge::{Case, judge_with};
use wellspring::{Cache, MemoryStore, Shadow};
use wellspring_gateway::{Listeners, Options};

use crate::admin::metrics::parse;
use crate::admin::{ONE, ask, get, post};
use crate::running::Running;
use crate::upstream::Upstream;

/// Far from one another for the fake embedder.
const NEAR: &str = "when will I get my money back";
const NEAR_ALSO: &str = "which parcels can be sent abroad";

/// A gateway whose judge approves questions about money.
async fn start() -> Running {
    let upstream = Upstream::start().await;
    let judge = judge_with(async |case: Case| Ok(case.question.contains("money")));
    let shadow = Shadow::new(judge).hits(0.0).near_miss_floor(-1.0).calls_per_hour(60);
    let builder = Cache::builder_from(Arc::new(FakeEmbedder::new(128)), Arc::new(MemoryStore::default()));
    let cache = builder.similarity_threshold(0.8).shadow(shadow).build().await.unwrap();
    let mut options = Options::default();
    options.openai.url = upstream.url();
    Running::serve(upstream, cache, options, Listeners::default())
}

async fn judged(gateway: &Running, parameters: &str) -> Vec<Value> {
    let page = get(gateway, &format!("/v1/cache/judgements{parameters}")).await;
    assert_eq!(page.status, 200, "{}", page.body);
    page.json()["judgements"].as_array().unwrap().clone()
}

#[tokio::test]
async fn what_a_judge_approved_is_listed_with_its_use_and_revoked() {
    let gateway = start().await;
    ask(&gateway, ONE, "refunds.md").await;
    // The second is also a near miss of the first, so ended before it may be shown.
    for question in [NEAR, NEAR_ALSO] {
        ask(&gateway, question, "other.md").await;
        gateway.cache.wait_idle().await.unwrap();
        let changed = json!({ "documents": [{ "id": "other.md" }] });
        assert_eq!(post(&gateway, "/v1/documents/changed", &changed).await.status, 200);
    }
    for _ in 0..2 {
        assert_eq!(ask(&gateway, NEAR, "other.md").await.tier(), "semantic");
    }
    let all = judged(&gateway, "").await;
    assert_eq!(all.len(), 2, "{all:?}");
    let approved = judged(&gateway, "?verdict=right&by=judge&since=1").await;
    assert_eq!((approved.len(), &approved[0]["question"]), (1, &json!(NEAR)));
    assert_eq!((&approved[0]["cached_question"], &approved[0]["served"]), (&json!(ONE), &json!(2)));
    assert_eq!((&approved[0]["confidence"], &approved[0]["by"]), (&json!(1.0), &json!("judge")));
    assert_eq!(judged(&gateway, "?verdict=wrong").await[0]["question"], NEAR_ALSO);
    let first = get(&gateway, "/v1/cache/judgements?limit=1").await.json();
    let rest = judged(&gateway, &format!("?after={}", first["next"].as_str().unwrap())).await;
    assert_eq!(rest, all[1..]);

    let overview = get(&gateway, "/admin/overview").await.json();
    assert_eq!(
        (&overview["judge"]["name"], &overview["judge"]["calls_per_hour"]),
        (&json!("judge"), &json!(60))
    );
    assert_eq!(overview["metrics"]["judged"], json!({ "right": 1, "wrong": 1 }));
    let metrics = parse(&get(&gateway, "/metrics").await.body);
    for (name, expected) in [
        ("wellspring_judged_total{verdict=\"right\"}", 1.0),
        ("wellspring_judge_calls_total", 2.0),
        ("wellspring_judge_dropped_total", 0.0),
        ("wellspring_judge_waiting", 0.0),
        ("wellspring_judge_calls_left", 8.0),
    ] {
        assert_eq!(metrics.get(name), Some(&expected), "{name}");
    }

    let pair = json!({ "asked": approved[0]["asked"], "cached": approved[0]["cached"] });
    for _ in 0..2 {
        let revoked = post(&gateway, "/v1/cache/judgements/revoke", &pair).await;
        assert_eq!(revoked.status, 200, "{}", revoked.body);
    }
    assert_eq!(ask(&gateway, NEAR, "other.md").await.tier(), "miss");
    assert_eq!(judged(&gateway, "").await.len(), 1);
    let revoked = post(&gateway, "/v1/cache/judgements/revoke", &json!({ "all": true })).await;
    assert_eq!(revoked.json(), json!({ "revoked": 1 }));
    assert!(judged(&gateway, "").await.is_empty());
}

#[tokio::test]
async fn nothing_is_revoked_unless_it_is_named() {
    let gateway = start().await;
    for body in [
        json!({}),
        json!({ "all": false }),
        json!({ "all": true, "by": "judge" }),
        json!({ "asked": "07".repeat(16) }),
        json!({ "asked": "07".repeat(16), "cached": "08".repeat(16), "all": true }),
        json!({ "before": 7 }),
    ] {
        assert_eq!(post(&gateway, "/v1/cache/judgements/revoke", &body).await.status, 400, "{body}");
    }
    for body in [json!({ "by": "judge" }), json!({ "since": 7 }), json!({ "by": "judge", "since": 7 })] {
        let revoked = post(&gateway, "/v1/cache/judgements/revoke", &body).await;
        assert_eq!(revoked.json(), json!({ "revoked": 0 }), "{body}");
    }
    for parameters in ["?limit=0", "?after=7", "?verdict=maybe"] {
        let path = format!("/v1/cache/judgements{parameters}");
        assert_eq!(get(&gateway, &path).await.status, 400, "{parameters}");
    }
}
