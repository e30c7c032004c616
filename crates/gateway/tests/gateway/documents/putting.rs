//! Put, batches of lookups, fills and puts, and clearing by corpus, tenant, parameters or age.

use std::time::Duration;

use serde_json::{Value, json};
use wellspring_gateway::Sharing;
use wellspring_gateway::auth::{Permission, Token};

use crate::documents::start;
use crate::running::{Reply, Running};

const HOURS: &str = "when do we open";

async fn put(gateway: &Running, body: &Value) -> Reply {
    gateway.ask("/v1/cache/put", body).await
}

async fn changed(gateway: &Running, change: &Value) {
    assert_eq!(gateway.admin_post("/v1/documents/changed", change).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_put_without_a_permit_and_fenced_by_since() {
    let (gateway, _folder) = start(|_| {}).await;
    let since = gateway.look(HOURS).await["since"].clone();
    let body = json!({
        "question": HOURS, "answer": "At nine.", "since": since, "sources": [{ "id": "hours.md" }],
        "metadata": { "a": [1.50, 12_345_678_901_234_567_890_u64] }, "ttl": "1h",
    });
    let stored = put(&gateway, &body).await;
    assert_eq!((stored.status, &stored.json()["status"]), (200, &json!("stored")), "{}", stored.body);
    let hit = gateway.look(HOURS).await;
    assert_eq!((&hit["answer"], &hit["metadata"]), (&body["answer"], &body["metadata"]));
    changed(&gateway, &json!({ "id": "hours.md" })).await;
    let late = put(&gateway, &body).await;
    assert_eq!(
        (late.status, &late.json()["error"]["kind"]),
        (409, &json!("dependency_changed")),
        "{}",
        late.body
    );
    assert!(!gateway.is_stored(HOURS).await);
    // It may be a header.
    let since = gateway.look(HOURS).await["since"].as_str().unwrap().to_owned();
    let body = json!({ "question": HOURS, "answer": "At ten.", "sources": [{ "id": "hours.md" }] });
    let by_header =
        gateway.post("/v1/cache/put", &body).header("wellspring-since", &since).send().await.unwrap();
    assert_eq!(Reply::of(by_header).await.json()["status"], "stored");
    // One of another question, and one that was never given.
    for (question, since) in [("another", since.as_str()), (HOURS, "00"), (HOURS, "")] {
        let reply = put(&gateway, &json!({ "question": question, "answer": "a", "since": since })).await;
        assert_eq!(reply.status, 400, "{}", reply.body);
    }
    let forged = format!("{:016x}{}", 7, &since[16..]);
    let reply = put(&gateway, &json!({ "question": HOURS, "answer": "a", "since": forged })).await;
    assert_eq!((reply.status, &reply.json()["error"]["kind"]), (409, &json!("clock_lost")));
    assert_eq!(gateway.look(HOURS).await["answer"], "At ten.");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_since_the_versions_of_all_sources_are_compared() {
    let (gateway, _folder) = start(|_| {}).await;
    let body = |sources: Value| json!({ "question": HOURS, "answer": "At nine.", "sources": sources });
    for sources in
        [json!([]), json!([{ "id": "a" }]), json!([{ "id": "a", "version": "1", "chunks": ["x"] }])]
    {
        let reply = put(&gateway, &body(sources)).await;
        assert_eq!(reply.status, 400, "{}", reply.body);
        assert!(reply.body.contains("since"), "{}", reply.body);
    }
    let reported = async |version: &str| {
        let reply = put(&gateway, &body(json!([{ "id": "a", "version": version }]))).await;
        let body = reply.json();
        (reply.status, body["error"]["kind"].as_str().or(body["status"].as_str()).unwrap().to_owned())
    };
    assert_eq!(reported("1").await, (409, "version_unknown".into()));
    changed(&gateway, &json!({ "id": "a", "version": "2" })).await;
    assert_eq!(reported("1").await, (409, "version_mismatch".into()));
    assert_eq!(reported("2").await, (200, "stored".into()));
    assert_eq!(put(&gateway, &json!({ "question": HOURS, "answer": "a", "permit": "0" })).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn put_needs_the_permission_to_fill_and_stores_for_its_caller() {
    let tokens = vec![Token::new("reader", &[Permission::Read], "caller-key")];
    let (gateway, _folder) = start(|options| options.tokens = tokens).await;
    let since = gateway.look(HOURS).await["since"].clone();
    let body = json!({ "question": HOURS, "answer": "a", "since": since });
    assert_eq!(put(&gateway, &body).await.status, 403);
    let (gateway, _folder) = start(|_| {}).await;
    let since = gateway.look(HOURS).await["since"].clone();
    let body = json!({ "question": HOURS, "answer": "a", "since": since });
    let other = gateway.client.post(gateway.url("/v1/cache/put")).json(&body).bearer_auth("another");
    assert_eq!(Reply::of(other.send().await.unwrap()).await.status, 400, "it was given for another scope");
    assert_eq!(put(&gateway, &body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_metadata_stay_what_they_are_or_are_refused() {
    let (gateway, _folder) = start(|_| {}).await;
    let send = async |path: &str, key: &str, number: &str| {
        let miss = gateway.look(&format!("{path} {number}")).await;
        let body = format!(
            r#"{{"question":"{path} {number}","{key}":{},"answer":"a","metadata":{{"n":[{{"x":{number}}}]}}}}"#,
            miss[key]
        );
        let request = gateway.client.post(gateway.url(path)).bearer_auth("caller-key").body(body);
        let request = request.header("content-type", "application/json");
        (Reply::of(request.send().await.unwrap()).await, format!("{path} {number}"))
    };
    for (path, key) in [("/v1/cache/fill", "permit"), ("/v1/cache/put", "since")] {
        for number in ["0", "-7", "1.0", "0.1", "12345678901234567890", "1e+16"] {
            let (stored, question) = send(path, key, number).await;
            assert_eq!(stored.json()["status"], "stored", "{}", stored.body);
            let hit = gateway.ask("/v1/cache/lookup", &json!({ "question": question })).await;
            assert!(hit.body.contains(&format!(r#""metadata":{{"n":[{{"x":{number}}}]}}"#)), "{}", hit.body);
        }
        for number in ["1e400", "123456789012345678901", "0.1000000000000000055511151231257827"] {
            let (refused, question) = send(path, key, number).await;
            assert_eq!(refused.status, 400);
            assert!(refused.body.contains(number) && refused.body.contains("metadata"), "{}", refused.body);
            assert!(!gateway.is_stored(&question).await);
        }
    }
    // One in another place is not ignored.
    let request = gateway.client.post(gateway.url("/v1/cache/lookup")).bearer_auth("caller-key");
    let request =
        request.header("content-type", "application/json").body(r#"{"question":"q","threshold":1e400}"#);
    let reply = Reply::of(request.send().await.unwrap()).await;
    assert_eq!((reply.status, &reply.json()["error"]["kind"]), (400, &json!("invalid_input")));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_of_a_batch_has_a_status_of_its_own() {
    let (gateway, _folder) = start(|_| {}).await;
    gateway.store("stored", &json!([])).await;
    let batch = async |what: &str, requests: Value| {
        let reply = gateway.ask(&format!("/v1/cache/{what}/batch"), &json!({ "requests": requests })).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()["responses"].as_array().unwrap().clone()
    };
    let field = |response: &Value| {
        let body = &response["body"];
        body["status"].as_str().or(body["error"]["kind"].as_str()).unwrap().to_owned()
    };
    let looked = batch(
        "lookup",
        json!([
            { "question": "stored" }, { "question": "one" }, { "qestion": "x" }, 7, { "question": "two", "wait": true },
            { "question": "and in Germany?" }, { "question": "one", "tenant": "t" },
        ]),
    )
    .await;
    let reported: Vec<_> =
        looked.iter().map(|looked| (looked["status"].as_u64().unwrap(), field(looked))).collect();
    let expected = [
        (200, "hit"),
        (200, "miss"),
        (400, "invalid_input"),
        (400, "invalid_input"),
        (200, "miss"),
        (200, "bypass"),
        (200, "miss"),
    ];
    assert_eq!(reported, expected.map(|(status, reported)| (status, reported.to_owned())));
    let permit = |n: usize| looked[n]["body"]["permit"].clone();
    changed(&gateway, &json!({ "id": "late" })).await;
    let filled = batch(
        "fill",
        json!([
            { "permit": permit(1), "answer": "1" }, { "permit": "0", "answer": "1" },
            { "permit": permit(4), "answer": "2", "sources": [{ "id": "late" }] },
        ]),
    )
    .await;
    assert_eq!(filled.iter().map(field).collect::<Vec<_>>(), ["stored", "permit_gone", "refused"]);
    assert_eq!(filled[1]["status"], 410);
    let since = |n: usize| looked[n]["body"]["since"].clone();
    let put = batch(
        "put",
        json!([
            { "question": "two", "answer": "2", "since": since(4), "sources": [{ "id": "new" }] },
            { "question": "two", "answer": "2", "since": since(4), "sources": [{ "id": "late" }] },
            { "question": "two" },
            { "question": "one", "tenant": "t", "answer": "1t", "since": since(6), "sources": [{ "id": "new" }] },
        ]),
    )
    .await;
    assert_eq!(
        put.iter().map(field).collect::<Vec<_>>(),
        ["stored", "dependency_changed", "invalid_input", "stored"]
    );
    let again = batch(
        "lookup",
        json!([{ "question": "two" }, { "question": "one" }, { "question": "one", "tenant": "t" }]),
    )
    .await;
    let answers: Vec<_> = again.iter().map(|hit| hit["body"]["answer"].as_str().unwrap()).collect();
    assert_eq!(answers, ["2", "1", "1t"]);
}

/// The batch led the question and waited for itself, for a minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_leads_a_question_does_not_wait_for_it() {
    let (gateway, _folder) = start(|_| {}).await;
    let led = async |requests: Value| {
        let batch = json!({ "requests": requests });
        let reply = gateway.ask("/v1/cache/lookup/batch", &batch);
        let reply = tokio::time::timeout(Duration::from_secs(30), reply).await.expect("it waits for itself");
        let reply = reply.json();
        let responses = reply["responses"].as_array().unwrap().iter();
        responses.map(|response| response["body"]["is_leader"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    let waits = |question: &str| json!({ "question": question, "wait": true });
    assert_eq!(led(json!([waits("one"), { "question": "one" }])).await, [false, true]);
    assert_eq!(led(json!([waits("two"), waits("two"), waits("one")])).await, [true, false, false]);
    // Two batches, each of which leads what the other one asks.
    let (left, right) = tokio::join!(
        led(json!([waits("a"), waits("one"), waits("b")])),
        led(json!([waits("c"), waits("a")]))
    );
    assert!(left.contains(&true) && right.contains(&true), "{left:?} {right:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_a_limit_and_counts_as_many() {
    let (gateway, _folder) = start(|options| options.limits.rate_per_second = 90).await;
    let send = async |body: Value| gateway.ask("/v1/cache/lookup/batch", &body).await;
    let of = |count: usize| json!({ "requests": vec![json!({ "question": "q" }); count] });
    let many = send(of(91)).await;
    assert!(many.status == 400 && many.body.contains("smaller"), "{}", many.body);
    // The same number of single requests would all be accepted.
    let mut refused = 0;
    for _ in 0..20 {
        refused += u32::from(send(of(90)).await.status == 429);
    }
    assert!(refused > 0);
    let (gateway, _folder) = start(|_| {}).await;
    let send = async |body: Value| gateway.ask("/v1/cache/lookup/batch", &body).await;
    for bad in
        [of(0), of(101), json!({}), json!({ "requests": {} }), json!({ "requests": [], "question": "q" })]
    {
        let reply = send(bad).await;
        assert_eq!(
            (reply.status, &reply.json()["error"]["kind"]),
            (400, &json!("invalid_input")),
            "{}",
            reply.body
        );
    }
    assert_eq!(send(of(100)).await.json()["responses"].as_array().unwrap().len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_of_any_length_is_looked_up_exactly() {
    let (gateway, _folder) = start(|_| {}).await;
    let long = "long ".repeat(50_000);
    let by_meaning = gateway.ask("/v1/cache/lookup", &json!({ "question": long })).await;
    assert!(by_meaning.status == 400 && by_meaning.body.contains("exact"), "{}", by_meaning.body);
    let question = json!({ "question": long, "exact": true });
    let look = async || gateway.ask("/v1/cache/lookup", &question).await.json();
    let miss = look().await;
    assert_eq!(miss["status"], "miss", "{miss}");
    let fill = json!({ "permit": miss["permit"], "question": long, "exact": true, "answer": "a" });
    let stored = gateway.ask("/v1/cache/fill", &fill).await.json();
    assert_eq!(stored["status"], "stored", "{stored}");
    let hit = look().await;
    assert_eq!((&hit["status"], &hit["tier"]), (&json!("hit"), &json!("exact")));
    let other = json!({ "question": format!("{long}x"), "exact": true });
    assert_eq!(gateway.ask("/v1/cache/lookup", &other).await.json()["status"], "miss");
    assert_eq!(gateway.ask("/v1/cache/why", &question).await.json()["served"], stored["entry"]);
    let wrong = json!({ "entry": stored["entry"], "question": long, "verdict": "wrong" });
    assert_eq!(gateway.ask("/v1/cache/feedback", &wrong).await.json()["dropped"], 1);
    assert_eq!(look().await["status"], "miss");
}

/// Stores an answer to `question` with these fields.
async fn store(gateway: &Running, fields: &Value) {
    let miss = gateway.ask("/v1/cache/lookup", fields).await.json();
    let fill = json!({ "permit": miss["permit"], "answer": "a", "sources": [{ "id": "d" }] });
    let stored = gateway.ask("/v1/cache/fill", &fill).await.json();
    assert_eq!(stored["status"], "stored", "{fields}: {miss} {stored}");
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_cleared_by_what_they_belong_to() {
    let (gateway, _folder) = start(|options| options.sharing = Sharing::Shared).await;
    let all = [
        json!({ "question": "plain" }),
        json!({ "question": "acme", "tenant": "acme" }),
        json!({ "question": "acme turbo", "tenant": "acme", "parameters": { "model": "turbo", "t": 2 } }),
        json!({ "question": "turbo", "parameters": { "model": "turbo", "t": 2 } }),
        json!({ "question": "faq", "namespace": "docs:faq" }),
        json!({ "question": "maps", "corpus": "maps" }),
    ];
    for fields in &all {
        store(&gateway, fields).await;
    }
    let clear = async |body: Value| gateway.admin_post("/v1/cache/clear", &body).await;
    let count = async |body: &Value, name: &str| {
        let reply = clear(body.clone()).await;
        assert_eq!(reply.status, 200, "{body}: {}", reply.body);
        reply.json()[name].as_u64().unwrap()
    };
    for (chosen, expected) in [
        (json!({ "tenant": "acme", "corpus": "maps" }), 0),
        (json!({ "parameters": { "model": "turbo" } }), 0),
        (json!({ "older_than": "1h" }), 0),
        (json!({ "tenant": "acme", "parameters": { "t": 1, "model": "turbo" } }), 0),
        (json!({ "tenant": "acme", "parameters": { "t": 2, "model": "turbo" }, "dry_run": true }), 0),
        (json!({ "namespace": "docs:other" }), 0),
    ] {
        assert_eq!(count(&chosen, "removed").await, expected, "{chosen}");
    }
    for bad in [
        json!({}),
        json!({ "dry_run": true }),
        json!({ "model": "turbo" }),
        json!({ "older_than": "old" }),
        json!({ "parameters": [] }),
        json!({ "private": true, "corpus": "maps" }),
        json!({ "caller": "ci" }),
    ] {
        assert_eq!(clear(bad.clone()).await.status, 400, "{bad}");
    }
    for (chosen, expected) in [
        (json!({ "parameters": { "t": 2, "model": "turbo" } }), 1),
        (json!({ "tenant": "acme" }), 2),
        (json!({ "namespace": "docs" }), 1),
        (json!({ "corpus": "maps" }), 1),
        (json!({ "older_than": 0 }), 1),
    ] {
        let dry = json!({ "dry_run": true });
        let both: Value =
            chosen.as_object().unwrap().clone().into_iter().chain(dry.as_object().unwrap().clone()).collect();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        assert_eq!((count(&both, "matched").await, count(&both, "removed").await), (expected, 0), "{chosen}");
        let reply = clear(chosen.clone()).await.json();
        assert_eq!((&reply["removed"], &reply["next"]), (&json!(expected), &Value::Null), "{chosen}");
    }
    for fields in &all {
        assert_eq!(gateway.ask("/v1/cache/lookup", fields).await.json()["status"], "miss", "{fields}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_named_by_the_token_or_the_header() {
    let tokens = vec![
        Token::new("ci", &[Permission::Read, Permission::Fill], "caller-key"),
        Token::new("cleaner", &[Permission::Invalidate], "cleaner-key"),
    ];
    let (gateway, _folder) = start(|options| options.tokens = tokens).await;
    store(&gateway, &json!({ "question": "q" })).await;
    let clear = async |body: Value, key: &str| {
        let request = gateway.client.post(gateway.admin_url("/v1/cache/clear")).json(&body).bearer_auth(key);
        Reply::of(request.send().await.unwrap()).await
    };
    assert_eq!(clear(json!({ "caller": "ci" }), "caller-key").await.status, 403);
    assert_eq!(clear(json!({ "caller": "other" }), "cleaner-key").await.json()["removed"], 0);
    assert_eq!(clear(json!({ "caller": "ci" }), "cleaner-key").await.json()["removed"], 1);
    let header = "x-team".parse().unwrap();
    let (gateway, _folder) = start(|options| options.sharing = Sharing::Header(header)).await;
    let look = async |team: &str| {
        let request = gateway.post("/v1/cache/lookup", &json!({ "question": "q" })).header("x-team", team);
        Reply::of(request.send().await.unwrap()).await.json()
    };
    for team in ["red", "blue"] {
        let permit = look(team).await["permit"].clone();
        gateway.ask("/v1/cache/fill", &json!({ "permit": permit, "answer": team })).await;
        assert_eq!(look(team).await["answer"], team);
    }
    let cleared = gateway.admin_post("/v1/cache/clear", &json!({ "caller": "red" })).await.json();
    assert_eq!(cleared["removed"], 1);
    assert_eq!(
        (&look("red").await["status"], &look("blue").await["status"]),
        (&json!("miss"), &json!("hit"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_or_parameters_without_their_caller_are_refused_where_callers_are_kept_apart() {
    // They are hashed together with the caller. Without it, the hash was one that no answer had: nothing was found, and
    // the response said so as if there had been nothing.
    let tokens = vec![
        Token::new("ci", &[Permission::Read, Permission::Fill], "caller-key"),
        Token::new("cleaner", &[Permission::Invalidate], "cleaner-key"),
    ];
    let by_header = Sharing::Header("x-team".parse().unwrap());
    for sharing in [Sharing::Key, by_header] {
        let (gateway, _folder) = start(|options| {
            options.tokens = tokens.clone();
            options.sharing = sharing.clone();
        })
        .await;
        let clear = async |body: &Value| {
            let request = gateway.client.post(gateway.admin_url("/v1/cache/clear")).json(body);
            Reply::of(request.bearer_auth("cleaner-key").send().await.unwrap()).await
        };
        let mut chosen = json!({ "tenant": "acme", "parameters": { "model": "turbo" } });
        let mut question = chosen.clone();
        question["question"] = "q".into();
        let team = if sharing == Sharing::Key { "ci" } else { "red" };
        let ask = async |path: &str, body: &Value| {
            Reply::of(gateway.post(path, body).header("x-team", team).send().await.unwrap()).await.json()
        };
        let permit = ask("/v1/cache/lookup", &question).await["permit"].clone();
        let stored = ask("/v1/cache/fill", &json!({ "permit": permit, "answer": "a" })).await;
        assert_eq!(stored["status"], "stored", "{stored}");
        for alone in [&chosen, &json!({ "tenant": "acme" }), &json!({ "parameters": { "model": "turbo" } })] {
            let reply = clear(alone).await;
            assert!(reply.status == 400 && reply.body.contains("caller"), "{alone}: {}", reply.body);
        }
        if sharing == Sharing::Key {
            chosen["caller"] = team.into();
            assert_eq!(clear(&chosen).await.json()["removed"], 1);
            assert_eq!(ask("/v1/cache/lookup", &question).await["status"], "miss");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_name_a_tenant_is_refused() {
    let (gateway, _folder) = start(|_| {}).await;
    for (tenant, status) in [(String::new(), 400), ("t".repeat(1_025), 400), ("t".repeat(1_024), 200)] {
        let fields = json!({ "question": "q", "tenant": tenant });
        assert_eq!(gateway.ask("/v1/cache/lookup", &fields).await.status, status, "{}", tenant.len());
        let fields = json!({ "caller": "ci", "tenant": tenant });
        let cleared = gateway.admin_post("/v1/cache/clear", &fields).await;
        assert_eq!(cleared.status, status, "{}", tenant.len());
    }
}
