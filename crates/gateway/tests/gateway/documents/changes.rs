//! `/v1/documents`: changes, holds, impact, idempotency.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::documents::start;
use crate::running::{Reply, Running};

async fn with_key(gateway: &Running, key: &str, body: &Value) -> Reply {
    let request = gateway.client.post(gateway.admin_url("/v1/documents/changed"));
    Reply::of(request.header("idempotency-key", key).json(body).send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_ends_what_it_should_and_an_unchanged_document_nothing() {
    let (gateway, _folder) = start(|_| {}).await;
    let changed = async |body: Value| {
        let reply = gateway.admin_post("/v1/documents/changed", &body).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()
    };
    // "hello" as sha256sum prints it.
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    changed(json!({ "id": "a/b.md", "text": "hello" })).await;
    gateway.store("one", &json!([{ "id": "a/b.md", "version": hash }])).await;
    gateway.store("two", &json!([{ "id": "c", "chunks": ["x"] }, { "id": "d", "chunks": ["y"] }])).await;
    assert_eq!(changed(json!({ "id": "a/b.md", "text": "hello" })).await["unchanged"], true);
    assert!(gateway.is_stored("one").await);
    assert_eq!(changed(json!({ "id": "a/b.md", "text": "bye" })).await["dropped"], 1);
    assert!(!gateway.is_stored("one").await);
    assert_eq!(changed(json!({ "documents": [{ "id": "c", "chunks": ["z"] }] })).await["dropped"], 0);
    assert_eq!(changed(json!({ "documents": [{ "id": "c", "chunks": ["x"] }] })).await["dropped"], 1);
    gateway.store("three", &json!([{ "id": "e/f" }])).await;
    let impact = gateway.admin_get("/v1/documents/e%2Ff/impact").await.json();
    assert_eq!((&impact["entries"], &impact["most_hit"][0]["question"]), (&json!(1), &json!("three")));
    assert_eq!(gateway.admin_delete("/v1/documents/e%2Ff").await.json()["dropped"], 1);
    gateway.store("four", &json!([])).await;
    assert_eq!(changed(json!({ "everything": true })).await["dropped"], 1);
    assert!(!gateway.is_stored("four").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_document_is_neither_served_nor_stored_until_its_end() {
    let (gateway, _folder) = start(|_| {}).await;
    gateway.store("q", &json!([{ "id": "a" }])).await;
    let begun = gateway.client.post(gateway.admin_url("/v1/documents/a/begin")).send().await.unwrap();
    assert_eq!(begun.status(), StatusCode::OK);
    let miss = gateway.look("q").await;
    assert_eq!(miss["status"], "miss");
    let fill = json!({ "permit": miss["permit"], "answer": "a", "sources": [{ "id": "a" }] });
    assert_eq!(gateway.ask("/v1/cache/fill", &fill).await.json()["reason"], "held");
    assert_eq!(gateway.admin_post("/v1/documents/a/end", &json!({ "version": "2" })).await.status, 200);
    gateway.store("q", &json!([{ "id": "a", "version": "2" }])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_of_an_old_version_is_not_stored() {
    // The version of a source was read only if the source named no chunks. So an answer from old chunks was stored,
    // although the document had been reported in a new version before the question was looked up.
    let (gateway, _folder) = start(|_| {}).await;
    let of = |version: &str| json!([{ "id": "d", "version": version, "chunks": ["x", "y"] }]);
    let changed = async |change: Value| {
        assert_eq!(gateway.admin_post("/v1/documents/changed", &change).await.status, 200);
    };
    changed(json!({ "id": "d", "version": "2" })).await;
    let fill = json!({ "permit": gateway.look("q").await["permit"], "answer": "old", "sources": of("1") });
    assert_eq!(gateway.ask("/v1/cache/fill", &fill).await.json()["reason"], "version_mismatch");
    let put = json!({
        "question": "q", "since": gateway.look("q").await["since"], "answer": "old", "sources": of("1"),
    });
    let reply = gateway.ask("/v1/cache/put", &put).await;
    assert_eq!((reply.status, &reply.json()["error"]["kind"]), (409, &json!("version_mismatch")));
    // One that is reported between the lookup and the fill, even if other chunks changed.
    let permit = gateway.look("q").await["permit"].clone();
    changed(json!({ "id": "d", "version": "3", "chunks": ["z"] })).await;
    let fill = json!({ "permit": permit, "answer": "old", "sources": of("2") });
    assert_eq!(gateway.ask("/v1/cache/fill", &fill).await.json()["reason"], "version_mismatch");
    assert!(!gateway.is_stored("q").await);
    gateway.store("q", &of("3")).await;
    // It depends on its chunks, not on the whole document.
    changed(json!({ "id": "d", "version": "4", "chunks": ["z"] })).await;
    assert!(gateway.is_stored("q").await);
    changed(json!({ "id": "d", "version": "5", "chunks": ["y"] })).await;
    assert!(!gateway.is_stored("q").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corpus_has_the_same_effect_in_the_query_and_in_the_body() {
    // A corpus in the query was ignored: the change was applied to the default corpus, and answers from the named one
    // were still served.
    let (gateway, _folder) = start(|_| {}).await;
    let question = json!({ "question": "q", "corpus": "maps" });
    let look = async || gateway.ask("/v1/cache/lookup", &question).await.json();
    let store = async || {
        let fill = json!({ "permit": look().await["permit"], "answer": "a", "sources": [{ "id": "d" }] });
        assert_eq!(gateway.ask("/v1/cache/fill", &fill).await.json()["status"], "stored");
    };
    for (path, body) in [
        ("/v1/documents/changed?corpus=maps", json!({ "id": "d" })),
        ("/v1/documents/changed?corpus=maps", json!({ "everything": true })),
        ("/v1/documents/changed?corpus=maps", json!({ "documents": [{ "id": "d" }], "corpus": "maps" })),
        ("/v1/documents/changed", json!({ "id": "d", "corpus": "maps" })),
        ("/v1/documents/d/begin?corpus=maps", json!({})),
    ] {
        store().await;
        let reply = gateway.admin_post(path, &body).await;
        assert_eq!(reply.status, 200, "{path} {body}: {}", reply.body);
        assert_eq!(look().await["status"], "miss", "{path} {body}");
    }
    let ended = gateway.admin_post("/v1/documents/d/end?corpus=maps", &json!({ "version": "2" })).await;
    assert_eq!(ended.status, 200, "{}", ended.body);
    store().await;
    for path in ["changed", "d/begin", "d/end"] {
        let mut body = json!({ "corpus": "default" });
        if path == "changed" {
            body["id"] = "d".into();
        }
        let reply = gateway.admin_post(&format!("/v1/documents/{path}?corpus=maps"), &body).await;
        assert!(reply.status == 400 && reply.body.contains("maps"), "{path}: {}", reply.body);
    }
    assert_eq!(look().await["status"], "hit");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_ignored_is_refused() {
    // A clear with `?dry_run=true` cleared, and a change for the corpus of a header changed another one.
    let (gateway, _folder) = start(|_| {}).await;
    let entry = gateway.store("q", &json!([{ "id": "d" }])).await;
    let public = [
        ("/v1/cache/lookup?corpus=maps", json!({ "question": "q" })),
        ("/v1/cache/lookup?wait", json!({ "question": "q" })),
        ("/v1/cache/lookup/batch?corpus=maps", json!({ "requests": [{ "question": "q" }] })),
        ("/v1/cache/why?corpus=maps", json!({ "question": "q" })),
        ("/v1/cache/fill?ttl=1h", json!({ "permit": "0", "answer": "a" })),
        ("/v1/cache/put?since=0", json!({ "question": "q", "answer": "a" })),
        ("/v1/cache/feedback?corpus=maps", json!({ "entry": entry, "verdict": "wrong" })),
    ];
    for (path, body) in public {
        let reply = gateway.ask(path, &body).await;
        assert_eq!(
            (reply.status, reply.json()["error"]["kind"].as_str()),
            (400, Some("invalid_input")),
            "{path}"
        );
    }
    for (path, body) in [
        ("/v1/documents/changed?everything=true", json!({ "id": "d" })),
        ("/v1/documents/d/begin?version=1", json!({})),
        ("/v1/documents/d/end?version=1", json!({})),
        ("/v1/documents/pending/7/retry?corpus=maps", json!({})),
        ("/v1/cache/clear?dry_run=true", json!({ "corpus": "default" })),
        ("/v1/cache/judgements/revoke?all=true", json!({ "all": true })),
        ("/admin/invalidate?corpus=maps", json!({ "changes": ["everything"] })),
        ("/admin/hold?corpus=maps", json!({ "document": "d" })),
    ] {
        let reply = gateway.admin_post(path, &body).await;
        assert_eq!(
            (reply.status, reply.json()["error"]["kind"].as_str()),
            (400, Some("invalid_input")),
            "{path}"
        );
    }
    let refused = async |request: reqwest::RequestBuilder| {
        let reply = Reply::of(request.send().await.unwrap()).await;
        assert_eq!((reply.status, reply.json()["error"]["kind"].as_str()), (400, Some("invalid_input")));
        reply.body
    };
    let maps = json!({ "corpus": "maps" });
    for path in ["/v1/documents/d", "/v1/documents/changed", "/v1/documents/pending/7", "/v1/cache/entries/0"]
    {
        let body = refused(gateway.client.delete(gateway.admin_url(path)).json(&maps)).await;
        assert!(body.contains("the body of a DELETE"), "{body}");
    }
    refused(gateway.client.get(gateway.admin_url("/v1/documents/d/impact")).json(&maps)).await;
    refused(gateway.client.get(gateway.admin_url("/v1/documents/pending?corpus=maps"))).await;
    for (path, body) in [
        ("/v1/documents/changed", json!({ "id": "d" })),
        ("/v1/documents/d/begin", json!({})),
        ("/v1/cache/clear", json!({ "corpus": "default" })),
    ] {
        let request = gateway.client.post(gateway.admin_url(path)).json(&body);
        let body = refused(request.header("wellspring-corpus", "maps")).await;
        assert!(body.contains("wellspring-corpus"), "{body}");
    }
    assert!(gateway.is_stored("q").await);
}

/// The same name in NFC and in NFD.
const NAMES: [&str; 2] = ["Vertr\u{e4}ge/\u{dc}bersicht.md", "Vertra\u{308}ge/U\u{308}bersicht.md"];

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_the_same_however_its_letters_are_composed() {
    let (gateway, _folder) = start(|_| {}).await;
    let hangul = ["\u{d55c}\u{ae00}", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"];
    for [a, b] in [NAMES, hangul] {
        for (stored, changed) in [(a, b), (b, a)] {
            let sources = |what: &str| match what {
                "tags" | "collections" => json!({ what: [stored] }),
                "chunks" => json!({ "sources": [{ "id": stored, "chunks": [stored] }] }),
                _ => json!({ "sources": [{ "id": stored }] }),
            };
            for (what, change) in [
                ("document", json!({ "id": changed })),
                ("chunks", json!({ "id": changed, "chunks": [changed] })),
                ("tags", json!({ "tags": [changed] })),
                ("collections", json!({ "collections": [changed] })),
            ] {
                let mut fill = sources(what);
                fill["permit"] = gateway.look("q").await["permit"].clone();
                fill["answer"] = "a".into();
                assert_eq!(gateway.ask("/v1/cache/fill", &fill).await.json()["status"], "stored");
                assert!(gateway.is_stored("q").await);
                let reply = gateway.admin_post("/v1/documents/changed", &change).await;
                assert_eq!(reply.json()["dropped"], 1, "{what} {stored:?} {}", reply.body);
                assert!(!gateway.is_stored("q").await, "{what} {stored:?} is stale");
            }
            let in_namespace = |name: &str| json!({ "question": "q", "namespace": name });
            let permit =
                gateway.ask("/v1/cache/lookup", &in_namespace(stored)).await.json()["permit"].clone();
            gateway.ask("/v1/cache/fill", &json!({ "permit": permit, "answer": "a" })).await;
            assert_eq!(gateway.ask("/v1/cache/lookup", &in_namespace(changed)).await.json()["status"], "hit");
            gateway.admin_post("/v1/documents/changed", &json!({ "namespaces": [changed] })).await;
            assert_eq!(gateway.ask("/v1/cache/lookup", &in_namespace(stored)).await.json()["status"], "miss");
        }
        gateway.store("held", &json!([{ "id": a, "version": "1" }])).await;
        let found = gateway.admin_get(&format!("/v1/cache/entries?document={b}")).await.json();
        assert_eq!(found["entries"].as_array().unwrap().len(), 1);
        let begun =
            gateway.client.post(gateway.admin_url(&format!("/v1/documents/{}/begin", b.replace('/', "%2F"))));
        assert_eq!(begun.send().await.unwrap().status(), StatusCode::OK);
        assert!(!gateway.is_stored("held").await);
        let end = format!("/v1/documents/{}/end", a.replace('/', "%2F"));
        assert_eq!(gateway.admin_post(&end, &json!({ "version": "2" })).await.status, 200);
        let same = gateway.admin_post("/v1/documents/changed", &json!({ "id": b, "version": "2" })).await;
        assert_eq!(same.json()["unchanged"], true);
        let look = gateway.look("held").await;
        let old =
            json!({ "permit": look["permit"], "answer": "old", "sources": [{ "id": b, "version": "1" }] });
        assert_eq!(gateway.ask("/v1/cache/fill", &old).await.json()["reason"], "version_mismatch");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_may_have_any_name() {
    let (gateway, _folder) = start(|_| {}).await;
    for id in ["changed", "pending", "begin", "retry", "7", "pending/7", "%2F", "é ?#"] {
        let path = |action: &str| {
            let id = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
            gateway.admin_url(&format!("/v1/documents/{id}{action}"))
        };
        let json = async |request: reqwest::RequestBuilder| {
            let reply = Reply::of(request.send().await.unwrap()).await;
            assert_eq!(reply.status, 200, "{id} {}", reply.body);
            reply.json()
        };
        gateway.store("q", &json!([{ "id": id }])).await;
        assert_eq!(json(gateway.client.get(path("/impact"))).await["entries"], 1, "{id}");
        assert_eq!(json(gateway.client.post(path("/begin"))).await["held"], id);
        assert!(!gateway.is_stored("q").await, "{id}");
        json(gateway.client.post(path("/end"))).await;
        for by_body in [true, false] {
            gateway.store("q", &json!([{ "id": id }])).await;
            let request = if by_body {
                gateway.client.post(gateway.admin_url("/v1/documents/changed")).json(&json!({ "id": id }))
            } else {
                gateway.client.delete(path(""))
            };
            assert_eq!(json(request).await["dropped"], 1, "{id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_made_once_under_its_key() {
    let (gateway, _folder) = start(|_| {}).await;
    gateway.store("q", &json!([{ "id": "a" }])).await;
    let body = json!({ "id": "a" });
    let first = with_key(&gateway, "k1", &body).await;
    assert_eq!((first.status, first.json()["dropped"].clone()), (200, json!(1)));
    let again = with_key(&gateway, "k1", &body).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(again.header("idempotent-replayed"), "true");
    let other = with_key(&gateway, "k1", &json!({ "id": "b" })).await;
    assert_eq!((other.status, other.json()["error"]["kind"].clone()), (422, json!("idempotency_key_reused")));
    assert_eq!(with_key(&gateway, "k2", &body).await.json()["dropped"], 0);
    // A failed request may be sent again with the same key.
    assert_eq!(with_key(&gateway, "k3", &json!({})).await.status, 400);
    assert_eq!(with_key(&gateway, "k3", &body).await.status, 200);
    assert_eq!(with_key(&gateway, &"k".repeat(256), &body).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_reported_at_once_and_the_first_of_them_listed() {
    let (gateway, _folder) = start(|_| {}).await;
    gateway.store("first", &json!([{ "id": "0" }])).await;
    gateway.store("last", &json!([{ "id": "2999" }])).await;
    gateway.store("another", &json!([{ "id": "3000" }])).await;
    let many: Vec<Value> = (0..3_000).map(|n| json!({ "id": n.to_string(), "version": "1" })).collect();
    let reply = gateway.admin_post("/v1/documents/changed", &json!({ "documents": many })).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let body = reply.json();
    assert_eq!((&body["dropped"], &body["changes"]), (&json!(2), &json!(3_000)));
    assert_eq!(body["outcomes"].as_array().unwrap().len(), 1_000);
    for (question, is_stored) in [("first", false), ("last", false), ("another", true)] {
        assert_eq!(gateway.is_stored(question).await, is_stored, "{question}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_reported() {
    let (gateway, _folder) = start(|_| {}).await;
    let many: Vec<Value> = (0..50_001).map(|n| json!({ "id": n.to_string() })).collect();
    for (body, part) in [
        (json!({}), "0 changes"),
        (json!({ "id": "" }), "document id is empty"),
        (json!({ "id": "a", "versoin": "1" }), "versoin"),
        (
            json!({ "documents": many }),
            "50001 changes are named, expected 1 to 50000: report them in several requests",
        ),
        (json!({ "id": "a", "corpus": "" }), "corpus"),
    ] {
        let reply = gateway.admin_post("/v1/documents/changed", &body).await;
        assert_eq!(reply.status, 400);
        assert!(reply.body.contains(part), "{}", reply.body);
    }
    assert_eq!(gateway.admin_get("/v1/documents/pending/7").await.status, 404);
    assert_eq!(
        gateway.admin_get("/v1/documents/a/impact?x=1").await.json()["error"]["kind"],
        "invalid_input"
    );
}
