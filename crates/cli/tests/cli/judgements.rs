//! Decisions of a judge, listed and revoked.

use serde_json::{Value, json};
use wellspring::judgement::Logged;
use wellspring::store::JudgementLog as _;
use wellspring::{EmbeddedStore, Store as _};

use crate::CAPITAL;
use crate::sandbox::Sandbox;

const ASKED: &str = "Out of which city do the French govern themselves, in a word?";

/// Writes to the store's log, as a gateway does, what the judge `by` decided on the answer of `entry` for its question.
fn say(sandbox: &Sandbox, entry: &Value, question: &str, by: &str, feedback: &str) {
    let scope: wellspring::key::ScopeId = entry["scope"].as_str().unwrap().parse().unwrap();
    let key = wellspring::key::CacheKey::new(wellspring::Corpus::default(), scope, question).unwrap();
    let judgement = json!({
        "corpus": "default", "scope": scope, "asked": key.exact, "cached": entry["entry"],
        "question": question, "cached_question": CAPITAL, "similarity": 0.5, "feedback": feedback,
        "judge": if by.is_empty() || by.starts_with("token:") { "caller" } else { "near_miss" }, "at": 1_763_712_000_000_u64,
        "confidence": 0.97, "by": by,
    });
    let judgement = Logged::Judgement(serde_json::from_value(judgement).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = EmbeddedStore::open(sandbox.path("wellspring.redb")).unwrap();
        store.record_judgement(&judgement).await.unwrap();
        store.close().await.unwrap();
    });
}

#[test]
fn decisions_are_listed_and_taken_back() {
    let sandbox = Sandbox::new();
    sandbox.run(&["put", CAPITAL, "Paris."]).code(0);
    assert!(sandbox.run(&["judgements", "list"]).code(0).stdout.contains("no decision of a judge"));
    let entry = sandbox.json(&["list"], 0)["entries"][0].clone();
    sandbox.run(&["get", ASKED]).code(1);
    for (question, by, feedback) in [
        (ASKED, "small", "right"),
        ("Which city is the capital of Spain?", "small", "wrong"),
        ("French capital name, please", "large", "right"),
        ("What is the capital of Francia?", "", "wrong"),
    ] {
        say(&sandbox, &entry, question, by, feedback);
    }
    assert_eq!(sandbox.run(&["get", ASKED]).code(0).stdout, "Paris.\n");
    assert_eq!(sandbox.json(&["stats"], 0)["judged"], json!({ "approved": 2, "refused": 1 }));

    let all = sandbox.json(&["judgements", "list"], 0);
    assert_eq!(
        (&all["total"], &all["judgements"][0]["by"]),
        (&json!(3), &json!("large")),
        "the newest first"
    );
    let right = sandbox.json(&["judgements", "list", "--verdict", "right", "--by", "small"], 0);
    assert_eq!((&right["total"], &right["judgements"][0]["question"]), (&json!(1), &json!(ASKED)));
    assert_eq!(sandbox.json(&["judgements", "list", "--since", "1h"], 0)["total"], 0);
    let table = sandbox.run(&["judgements", "list", "-n", "1"]).code(0).stdout;
    assert!(
        table.contains("large") && table.contains("0.97") && table.contains("1 of 3 judgements"),
        "{table}"
    );

    let id = right["judgements"][0]["id"].as_str().unwrap();
    assert_eq!(sandbox.run(&["judgements", "revoke", id]).code(0).stdout, "1 judgement revoked\n");
    sandbox.run(&["get", ASKED]).code(1);
    assert!(sandbox.run(&["judgements", "revoke", id]).code(2).stderr.contains("is in force"));
    let since = ["judgements", "revoke", "--by", "small", "--since", "2025-11-21T08:00:00Z"];
    assert_eq!(sandbox.json(&since, 0)["revoked"], 1);
    assert_eq!(sandbox.json(&["judgements", "revoke", "--all"], 0)["revoked"], 1);
    // The feedback of a caller is left, as a labelled pair.
    let pairs = sandbox.run(&["feedback"]).code(0).stdout;
    assert_eq!(pairs.lines().count(), 1);
    assert_eq!(serde_json::from_str::<Value>(&pairs).unwrap()["b"], "What is the capital of Francia?");
    for wrong in [
        &["judgements", "revoke"][..],
        &["judgements", "revoke", id, "--all"],
        &["judgements", "revoke", "x"],
    ] {
        sandbox.run(wrong).code(2);
    }
}

#[test]
fn what_callers_said_is_shown_with_who_and_when_and_taken_back() {
    let sandbox = Sandbox::new();
    sandbox.run(&["put", CAPITAL, "Paris."]).code(0);
    let entry = sandbox.json(&["list"], 0)["entries"][0].clone();
    for (question, by) in
        [(ASKED, "token:eve"), ("Capital of France, please?", "token:bob"), ("The capital?", "")]
    {
        say(&sandbox, &entry, question, by, "wrong");
    }
    say(&sandbox, &entry, "French capital name, please", "large", "right");
    let shown = || sandbox.run(&["feedback"]).code(0).stdout;
    let first: Value = serde_json::from_str(shown().lines().next().unwrap()).unwrap();
    assert_eq!((&first["by"], &first["at"]), (&json!("token:eve"), &json!(1_763_712_000_000_u64)));
    assert_eq!(sandbox.json(&["feedback", "--reset", "--by", "token:eve"], 0)["revoked"], 1);
    assert_eq!(shown().lines().count(), 3);
    assert_eq!(sandbox.json(&["feedback", "--reset", "--since", "1h"], 0)["revoked"], 0);
    assert_eq!(sandbox.json(&["feedback", "--reset"], 0)["revoked"], 2);
    // The judge's decision is not affected.
    assert!(shown().lines().count() == 1 && shown().contains("near_miss"));
    sandbox.run(&["feedback", "--by", "token:eve"]).code(2);
}
