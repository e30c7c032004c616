//! Storing, finding, explaining and ending answers.

use serde_json::json;
use wellspring::key::IdKey;
use wellspring::{EmbeddedStore, Store};

use crate::CAPITAL;
use crate::sandbox::Sandbox;

#[test]
fn an_answer_is_served_until_its_document_changes() {
    let sandbox = Sandbox::new();
    sandbox.run(&["put", CAPITAL, "Paris.", "--doc", "geo@v1", "--tag", "europe"]).code(0);

    let hit = sandbox.run(&["get", CAPITAL]).code(0);
    assert_eq!(hit.stdout, "Paris.\n");
    assert!(hit.stderr.contains("exact hit") && hit.stderr.contains("document geo@v1, tag europe"));

    let hit = sandbox.json(&["get", "what is the capital  of france", "--threshold", "0.9"], 0);
    assert_eq!((&hit["outcome"], &hit["tier"]), (&json!("hit"), &json!("semantic")));
    assert!(hit["similarity"].as_f64().unwrap() > 0.9, "{hit}");
    assert_eq!((&hit["question"], &hit["answer"]), (&json!(CAPITAL), &json!("Paris.")));
    assert_eq!(hit["dependencies"][0], json!({ "document": { "id": "geo", "version": "v1" } }));
    let exact = ["get", "what is the capital of france", "--exact"];
    assert_eq!(sandbox.json(&exact, 1)["outcome"], "miss");

    let why = sandbox.run(&["why", "What is the capital of Spain?"]).code(0);
    assert!(why.stdout.contains(CAPITAL) && why.stdout.contains("miss: "), "{}", why.stdout);
    let why = sandbox.json(&["why", CAPITAL], 0);
    assert_eq!((&why["exact_state"], &why["served"]), (&json!("live"), &why["exact"]));

    let impact = sandbox.json(&["impact", "--doc", "geo", "--tag", "europe"], 0);
    assert_eq!((&impact["answers"], &impact["hits"]), (&json!(1), &json!(2)));

    let changed = sandbox.json(&["invalidate", "--doc", "geo@v2", "--doc", "other"], 0);
    assert_eq!(changed["dropped"], 1);
    let outcomes: Vec<_> = changed["changes"].as_array().unwrap().iter().map(|c| &c["outcome"]).collect();
    assert_eq!(outcomes, [&json!({ "dropped": 1 }), &json!({ "dropped": 0 })]);
    let again = sandbox.run(&["invalidate", "--doc", "geo@v2", "--tag", "none"]).code(0);
    assert!(again.stdout.contains("unchanged (same version)"), "{}", again.stdout);
    assert!(again.stdout.contains("matched no cached answers"), "{}", again.stdout);

    let miss = sandbox.run(&["get", CAPITAL]).code(1);
    assert_eq!(miss.stdout, "");
    // An answer from the version before is not stored any more.
    let late = sandbox.run(&["put", CAPITAL, "Paris.", "--doc", "geo@v1"]).code(1);
    assert!(late.stderr.contains("a version other than the registered one"), "{}", late.stderr);
}

#[test]
fn scopes_keep_answers_apart() {
    let sandbox = Sandbox::new();
    sandbox.run(&["put", CAPITAL, "Paris.", "--tenant", "a", "--param", "model=m1"]).code(0);
    sandbox.run(&["get", CAPITAL]).code(1);
    sandbox.run(&["get", CAPITAL, "--tenant", "b", "--param", "model=m1"]).code(1);
    sandbox.run(&["get", CAPITAL, "--tenant", "a", "--param", "model=m1"]).code(0);
    let private = sandbox.json(&["put", CAPITAL, "Paris.", "--private"], 1);
    assert_eq!(private, json!({ "outcome": "declined", "reason": "private_without_tenant" }));
}

#[test]
fn a_held_document_is_neither_served_nor_stored() {
    let sandbox = Sandbox::new();
    sandbox.run(&["put", CAPITAL, "Paris.", "--doc", "geo"]).code(0);
    sandbox.run(&["begin-update", "geo"]).code(0);
    sandbox.run(&["get", CAPITAL]).code(1);
    assert_eq!(sandbox.json(&["stats"], 0)["store"]["corpora"][0]["held"], json!(["geo"]));
    assert_eq!(sandbox.json(&["put", CAPITAL, "Paris.", "--doc", "geo"], 1)["reason"], "held");
    sandbox.run(&["end-update", "geo", "--doc-version", "v2"]).code(0);
    sandbox.run(&["put", CAPITAL, "Paris.", "--doc", "geo@v2"]).code(0);
    sandbox.run(&["get", CAPITAL]).code(0);
}

#[test]
fn lists_sources_and_stats_show_what_is_stored() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["list", "--store", "memory:"]).code(0).stdout, "no answers are stored\n");
    let usage = ["--prompt-tokens", "100", "--completion-tokens", "20", "--cost", "0.5"];
    sandbox.run(&[&["put", CAPITAL, "Paris.", "--metadata", "{\"a\":[1]}"], &usage[..]].concat()).code(0);
    sandbox.run(&["put", "How do I reset my password?", "Click.", "--corpus", "help"]).code(0);
    sandbox.run(&["get", CAPITAL, "--quiet"]).code(0);

    let list = sandbox.json(&["list"], 0);
    assert_eq!((&list["total"], &list["entries"][0]["question"]), (&json!(2), &json!(CAPITAL)));
    assert_eq!(sandbox.json(&["list", "--corpus", "help"], 0)["total"], 1);
    let id = list["entries"][0]["entry"].as_str().unwrap();
    let list = sandbox.run(&["list"]).code(0).stdout;
    assert!(list.lines().count() == 3 && list.contains(&id[..8]), "{list}");

    let entry = sandbox.json(&["sources", &id[..8].to_uppercase()], 0);
    assert_eq!((&entry["entry"], &entry["metadata"]), (&json!(id), &json!({ "a": [1] })));
    assert!(sandbox.run(&["sources", id]).code(0).stdout.ends_with("\n\nParis.\n"));
    for (id, message) in [("ffff", "8 to 32 hexadecimal digits"), ("00000000", "no live entry begins with")] {
        assert!(sandbox.run(&["sources", id]).code(2).stderr.contains(message));
    }

    let stats = sandbox.json(&["stats"], 0);
    assert_eq!(stats["store"]["entries"], 2);
    let saved = json!({ "hits": 1, "prompt_tokens": 100, "completion_tokens": 20, "cost_usd": 0.5 });
    assert_eq!(stats["saved"], saved);
    assert!(stats["index_bytes"].as_u64().unwrap() > 384);
}

#[tokio::test]
async fn entries_are_named_as_the_gateway_shows_them_too() {
    let sandbox = Sandbox::new();
    sandbox.run(&["put", CAPITAL, "Paris."]).code(0);
    let id = sandbox.json(&["list"], 0)["entries"][0]["entry"].as_str().unwrap().to_owned();
    let store = EmbeddedStore::open(sandbox.path("wellspring.redb")).unwrap();
    let key = IdKey::new(&store.secret([1; 32]).await.unwrap());
    store.close().await.unwrap();
    drop(store);
    let shown = key.show(id.parse().unwrap()).to_string();
    assert_ne!(shown, id);
    assert_eq!(sandbox.json(&["sources", &shown], 0)["entry"], id);
    assert_eq!(sandbox.json(&["feedback", &shown, "right"], 0)["entry"], id);
    assert_eq!(sandbox.json(&["invalidate", "--entry", &shown], 0)["dropped"], 1);
    assert!(sandbox.run(&["sources", &shown]).code(2).stderr.contains("no live entry begins with"));
}

#[test]
fn many_documents_are_read_from_a_list() {
    let sandbox = Sandbox::new();
    sandbox.run(&["put", CAPITAL, "Paris.", "--doc", "geo@v1"]).code(0);
    let mut list: Vec<String> = (0..12_000).map(|n| format!("other {n}@1")).collect();
    list.insert(9_000, "geo@v2\r".into());
    let list = list.join("\n");
    let many = sandbox.run_with(&["invalidate", "--docs-from", "-"], list.as_bytes()).code(0);
    assert!(many.stdout.contains("1 answer dropped"), "{}", many.stdout);
    assert!(many.stdout.lines().count() < 110 && many.stdout.contains("and 11,901 more"), "{}", many.stdout);
    sandbox.run(&["get", CAPITAL]).code(1);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "geo@v2\n\nanother").unwrap();
    let few = sandbox.json(&["invalidate", "--docs-from", file.path().to_str().unwrap(), "--tag", "t"], 0);
    let outcomes: Vec<_> = few["changes"].as_array().unwrap().iter().map(|c| &c["outcome"]).collect();
    assert_eq!(outcomes, [&json!("unchanged"), &json!({ "dropped": 0 }), &json!({ "dropped": 0 })]);
    let none = sandbox.run_with(&["invalidate", "--docs-from", "-"], b"\n").code(2);
    assert!(none.stderr.contains("one document per line"), "{}", none.stderr);
}

#[test]
fn everything_needs_a_yes() {
    let sandbox = Sandbox::new();
    sandbox.run(&["put", CAPITAL, "Paris."]).code(0);
    let refused = sandbox.run(&["invalidate", "--everything"]).code(2);
    assert!(refused.stderr.contains("add --yes"), "{}", refused.stderr);
    assert_eq!(sandbox.json(&["invalidate", "--everything", "--yes"], 0)["dropped"], 1);
    let none = sandbox.run(&["invalidate"]).code(2);
    assert!(none.stderr.contains("--doc"), "{}", none.stderr);
}
