//! The data of the page.

use serde_json::{Value, json};
use wellspring::judgement::Feedback;

use crate::admin::{ONE, OTHER, ask, get, post};
use crate::running::Running;

#[tokio::test]
async fn answers_documents_and_scopes_are_found() {
    let gateway = Running::start().await;
    ask(&gateway, ONE, "refunds.md").await;
    ask(&gateway, ONE, "refunds.md").await;
    ask(&gateway, "which parcels can be sent abroad", "shipping.md").await;
    let all = get(&gateway, "/admin/entries").await.json();
    assert_eq!((all["entries"].as_array().unwrap().len(), &all["next"]), (2, &Value::Null));
    for search in ["REFUND%20of", "refunds.md"] {
        let found = get(&gateway, &format!("/admin/entries?search={search}")).await.json();
        assert_eq!(found["entries"].as_array().unwrap().len(), 1, "{search}");
        assert_eq!(found["entries"][0]["hits"], 1);
    }
    let first = get(&gateway, "/admin/entries?limit=1").await.json();
    let second =
        get(&gateway, &format!("/admin/entries?after={}", first["next"].as_str().unwrap())).await.json();
    assert_eq!(second["entries"], json!([all["entries"][1]]));
    let contents = get(&gateway, "/admin/contents?search=REF").await.json();
    assert_eq!(
        contents["documents"],
        json!([{ "corpus": "default", "document": "refunds.md", "answers": 1, "hits": 1 }])
    );
    assert_eq!(contents["scopes"][0]["answers"], 2);
    let dependants = get(&gateway, "/admin/dependants?document=refunds.md").await.json();
    assert_eq!((&dependants["answers"], &dependants["is_held"]), (&json!(1), &json!(false)));
    assert_eq!(get(&gateway, "/admin/entries?limit=many").await.status, 400);
    assert_eq!(get(&gateway, "/admin/entries?unknown=1").await.status, 400);
}

#[tokio::test]
async fn actions_act_and_are_logged() {
    let gateway = Running::start().await;
    let entry = ask(&gateway, ONE, "refunds.md").await.header("wellspring-entry").to_owned();
    let removed = post(&gateway, "/admin/invalidate", &json!({ "changes": [{ "entry": entry }] })).await;
    assert_eq!(removed.json()["dropped"], 1, "{}", removed.body);
    assert_eq!(ask(&gateway, ONE, "refunds.md").await.tier(), "miss");
    assert_eq!(post(&gateway, "/admin/hold", &json!({ "document": "refunds.md" })).await.status, 200);
    assert_eq!(get(&gateway, "/admin/dependants?document=refunds.md").await.json()["is_held"], true);
    assert_eq!(ask(&gateway, ONE, "refunds.md").await.tier(), "miss");
    let released =
        post(&gateway, "/admin/release", &json!({ "document": "refunds.md", "version": "2" })).await;
    assert_eq!(released.status, 200);
    assert_eq!(ask(&gateway, ONE, "refunds.md").await.tier(), "miss");
    assert_eq!(ask(&gateway, ONE, "refunds.md").await.tier(), "exact");
    let log = get(&gateway, "/admin/log").await.json();
    let reported: Vec<_> =
        log["records"].as_array().unwrap().iter().map(|record| record["event"].as_str().unwrap()).collect();
    assert_eq!(reported, ["released", "refused", "held", "invalidated"]);
    assert_eq!(log["records"][1]["reason"], "held");
    assert!(!log.to_string().contains("refund of"), "no question is logged: {log}");
    assert_eq!(post(&gateway, "/admin/invalidate", &json!({ "changes": [] })).await.status, 400);
    assert_eq!(post(&gateway, "/admin/hold", &json!({ "document": "" })).await.status, 400);
}

#[tokio::test]
async fn a_question_is_explained_in_the_scope_of_its_entries() {
    let gateway = Running::start().await;
    ask(&gateway, ONE, "refunds.md").await;
    let scope = get(&gateway, "/admin/contents").await.json()["scopes"][0]["scope"].clone();
    let why = post(&gateway, "/admin/why", &json!({ "question": OTHER, "scope": scope })).await.json();
    assert!(why["decision"].as_str().unwrap().starts_with("hit: a question of similarity"), "{why}");
    let strict =
        post(&gateway, "/admin/why", &json!({ "question": OTHER, "scope": scope, "threshold": 1.0 }))
            .await
            .json();
    assert_eq!(strict["served"], Value::Null);
    let elsewhere = post(&gateway, "/admin/why", &json!({ "question": OTHER })).await.json();
    assert_eq!(elsewhere["decision"], "miss: nothing similar is stored");
    assert_eq!(post(&gateway, "/admin/why", &json!({ "question": "" })).await.status, 400);
    assert_eq!(post(&gateway, "/admin/why", &json!({ "question": "q", "scope": "none" })).await.status, 400);
}

#[tokio::test]
async fn feedback_counts_at_the_similarity_that_an_answer_was_served_at() {
    let gateway = Running::start().await;
    ask(&gateway, ONE, "refunds.md").await;
    let served = ask(&gateway, OTHER, "refunds.md").await;
    let similarity: f64 = served.header("wellspring-similarity").parse().unwrap();
    let feedback = gateway.gateway.telemetry().feedback();
    let ids = gateway.cache.id_key().await.unwrap();
    feedback.judged(ids.entry(served.header("wellspring-entry").parse().unwrap()), Feedback::Wrong);
    let view = get(&gateway, "/admin/threshold").await.json();
    let buckets = view["buckets"].as_array().unwrap();
    let hit: Vec<_> = buckets.iter().filter(|bucket| bucket["hits"] == 1).collect();
    assert_eq!(hit.len(), 1);
    assert_eq!((&hit[0]["wrong"], &hit[0]["right"]), (&json!(1), &json!(0)));
    assert!(
        (0.0..0.011).contains(&(similarity - hit[0]["from"].as_f64().unwrap())),
        "{similarity} in {}",
        hit[0]
    );
    assert_eq!(get(&gateway, "/admin/overview").await.json()["feedback"], json!({ "right": 0, "wrong": 1 }));
}

#[tokio::test]
async fn the_overview_has_samples_of_the_last_minutes() {
    let gateway = Running::start().await;
    let overview = get(&gateway, "/admin/overview").await.json();
    assert_eq!((&overview["samples"], &overview["metrics"]["misses"]), (&json!([]), &json!(0)));
    ask(&gateway, ONE, "refunds.md").await;
    let seen = async || {
        loop {
            // An answer is stored after it was given, so the second may still come from upstream.
            ask(&gateway, ONE, "refunds.md").await;
            let overview = get(&gateway, "/admin/overview").await.json();
            let samples = overview["samples"].as_array().unwrap();
            if let Some(sample) = samples.iter().find(|sample| sample["exact_hits"].as_u64() > Some(0)) {
                return sample.clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    let sample = tokio::time::timeout(std::time::Duration::from_mins(2), seen()).await.unwrap();
    assert!(sample["hit_p50_us"].as_u64().unwrap() > 0, "{sample}");
}
