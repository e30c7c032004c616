//! Answers that are served to others once enough callers have the same.

use std::sync::Arc;

use serde_json::{Value, json};
use wellspring::{MemoryStore, Store};

use super::sharing::{change, fill, post, say, served, start};
use crate::proxy::{CHAT, chat, request};
use crate::running::Running;

fn asked() -> Value {
    json!({ "question": "Where is the key?" })
}

async fn gateway(store: Arc<dyn Store>) -> Running {
    start(store, 2, |options| options.writers = vec!["*".into()]).await
}

async fn in_memory() -> Running {
    gateway(Arc::new(MemoryStore::default())).await
}

async fn carol_gets(gateway: &Running) -> Option<String> {
    served(gateway, "carol", &asked()).await
}

#[tokio::test]
async fn an_answer_is_its_callers_until_another_one_has_the_same() {
    let gateway = in_memory().await;
    fill(&gateway, "eve", &asked(), "Under the mat.", "d").await;
    assert_eq!(served(&gateway, "eve", &asked()).await.as_deref(), Some("Under the mat."));
    // No caller confirms itself, and a different answer confirms nothing.
    fill(&gateway, "eve", &asked(), "Under the mat.", "d").await;
    fill(&gateway, "alice", &asked(), "In the drawer.", "d").await;
    assert_eq!(carol_gets(&gateway).await, None);
    fill(&gateway, "bob", &asked(), " In the\ndrawer. ", "d").await;
    assert_eq!(
        carol_gets(&gateway).await.map(|answer| answer.trim().to_owned()).as_deref(),
        Some("In the\ndrawer.")
    );
    let similar = json!({ "question": "where is the key" });
    assert!(served(&gateway, "carol", &similar).await.is_some());
    assert!(served(&gateway, "eve", &asked()).await.unwrap().contains("drawer"));
    let metrics = gateway.cache.metrics();
    assert_eq!((metrics.confirmed_fills, metrics.unconfirmed_fills), (1, 3));
}

#[tokio::test]
async fn neither_another_tenant_nor_a_name_that_was_made_up_confirms() {
    let gateway = in_memory().await;
    let of = |tenant: &str| json!({ "question": "Where is the key?", "tenant": tenant });
    for tenant in ["a", "b"] {
        fill(&gateway, "eve", &of(tenant), "Under the mat.", "d").await;
    }
    for tenant in ["a", "b"] {
        assert_eq!(served(&gateway, "carol", &of(tenant)).await, None, "{tenant}");
    }
    // The same token under two keys is one caller.
    for key in ["1", "2"] {
        let request = |path: &str, body: &Value| {
            let request = gateway.client.post(gateway.url(path)).json(body).header("wellspring-token", "eve");
            request.bearer_auth(key).send()
        };
        let miss: Value =
            request("/v1/cache/lookup", &json!({ "question": "Where is the key?", "renew": true }))
                .await
                .unwrap()
                .json()
                .await
                .unwrap();
        let fill = json!({ "permit": miss["permit"], "answer": "Under the mat." });
        assert_eq!(request("/v1/cache/fill", &fill).await.unwrap().status(), 200);
    }
    assert_eq!(carol_gets(&gateway).await, None);
    // So are all callers without a token.
    let strangers = start(Arc::new(MemoryStore::default()), 2, |options| {
        options.anonymous = wellspring_gateway::Anonymous::Proxy;
        options.writers = vec!["*".into()];
    })
    .await;
    for key in ["1", "2", "3"] {
        let request = |path: &str, body: &Value| {
            strangers.client.post(strangers.url(path)).json(body).bearer_auth(key).send()
        };
        let miss: Value = request("/v1/cache/lookup", &asked()).await.unwrap().json().await.unwrap();
        let fill = json!({ "permit": miss["permit"], "answer": "Under the mat." });
        assert_eq!(request("/v1/cache/fill", &fill).await.unwrap().status(), 200);
    }
    assert_eq!(carol_gets(&strangers).await, None);
    fill(&strangers, "alice", &asked(), "Under the mat.", "d").await;
    assert!(carol_gets(&strangers).await.is_some());
}

#[tokio::test]
async fn the_word_of_one_who_is_no_writer_confirms_nothing() {
    let gateway = start(Arc::new(MemoryStore::default()), 2, |options| {
        options.writers = vec!["alice".into(), "bob".into()];
    })
    .await;
    for caller in ["eve", "dave", "alice"] {
        fill(&gateway, caller, &asked(), "Under the mat.", "d").await;
    }
    assert_eq!(carol_gets(&gateway).await, None);
    fill(&gateway, "bob", &asked(), "Under the mat.", "d").await;
    assert!(carol_gets(&gateway).await.is_some());
}

#[tokio::test]
async fn a_change_takes_confirmations_back() {
    let gateway = in_memory().await;
    fill(&gateway, "alice", &asked(), "In the drawer.", "a").await;
    change(&gateway, "a").await;
    fill(&gateway, "bob", &asked(), "In the drawer.", "b").await;
    assert_eq!(carol_gets(&gateway).await, None, "what Alice had is gone");
    fill(&gateway, "alice", &asked(), "In the drawer.", "a").await;
    assert!(carol_gets(&gateway).await.is_some());
    // What any of them read counts for the answer, no matter who filled it last.
    change(&gateway, "b").await;
    assert_eq!(carol_gets(&gateway).await, None);
    fill(&gateway, "dave", &asked(), "In the drawer.", "a").await;
    assert!(carol_gets(&gateway).await.is_some(), "Alice has it still");
}

#[tokio::test]
async fn an_answer_that_was_called_wrong_needs_all_its_confirmations_again() {
    let gateway = in_memory().await;
    fill(&gateway, "alice", &asked(), "Under the mat.", "d").await;
    fill(&gateway, "bob", &asked(), "Under the mat.", "d").await;
    let entry = super::sharing::look(&gateway, "carol", &asked()).await["entry"].as_str().unwrap().to_owned();
    assert_eq!(say(&gateway, "carol", &entry, "wrong").await, 200);
    assert_eq!(carol_gets(&gateway).await, None);
    fill(&gateway, "dave", &asked(), "Under the mat.", "d").await;
    assert_eq!(carol_gets(&gateway).await, None, "what was confirmed before counts no longer");
}

#[tokio::test]
async fn what_is_said_beside_the_text_is_confirmed_with_it() {
    let gateway = in_memory().await;
    let fill = async |caller: &str, link: &str| {
        let permit = super::sharing::look(&gateway, caller, &asked()).await["permit"].clone();
        let fill = json!({ "permit": permit, "answer": "See there.", "metadata": { "link": link } });
        assert_eq!(post(&gateway, caller, "/v1/cache/fill", &fill).await.json()["status"], "stored");
    };
    fill("alice", "https://intranet.example").await;
    fill("eve", "https://evil.example").await;
    assert_eq!(carol_gets(&gateway).await, None);
    fill("bob", "https://intranet.example").await;
    let found = super::sharing::look(&gateway, "carol", &asked()).await;
    assert_eq!(found["metadata"]["link"], "https://intranet.example");
}

#[tokio::test]
async fn what_the_upstream_said_to_two_callers_is_confirmed() {
    let gateway = in_memory().await;
    let ask = async |caller: &str, body: &Value| post(&gateway, caller, CHAT, body).await.tier().to_owned();
    // Others get a different answer each time.
    for caller in ["alice", "bob", "carol"] {
        assert_eq!(ask(caller, &chat("Where is it?")).await, "miss");
    }
    let body = request(CHAT, "same", "Where is the key?");
    assert_eq!(ask("alice", &body).await, "miss");
    assert_eq!(ask("alice", &body).await, "exact");
    assert_eq!(ask("bob", &body).await, "miss");
    crate::support::eventually("confirmed", async || gateway.cache.metrics().confirmed_fills == 1).await;
    assert_eq!(ask("carol", &body).await, "exact");
    assert_eq!(gateway.upstream.seen().len(), 5);
}

/// Arguments of a tool have names, too, and `id` is one of the most frequent.
#[tokio::test]
async fn answers_that_call_tools_confirm_nothing() {
    let gateway = in_memory().await;
    let message = |number: usize, reason: &str, kind: &str| {
        let input = json!({ "id": format!("account {number}"), "usage": number, "timings": number });
        json!({
            "id": format!("m{number}"), "type": "message", "role": "assistant", "model": "m", "content": [
                { "type": "text", "text": "I delete it." },
                { "type": kind, "id": "t", "name": "delete", "input": input },
            ],
            "stop_reason": reason, "stop_sequence": null, "usage": { "input_tokens": 3, "output_tokens": number },
        })
    };
    let response = |number: usize| {
        json!({ "id": format!("r{number}"), "status": "completed", "created_at": number, "output": [
            { "id": format!("m{number}"), "type": "message", "role": "assistant", "content": [
                { "type": "output_text", "text": "I delete it.", "annotations": [] },
            ] },
            { "id": format!("f{number}"), "type": "function_call", "name": "delete", "call_id": "c", "arguments": "{}" },
        ] })
    };
    let text = |number: usize| {
        let mut response = response(number);
        response["output"].as_array_mut().unwrap().pop();
        response
    };
    let completion = |number: usize| {
        json!({
            "id": format!("c{number}"), "created": number, "model": "m", "x_groq": { "id": number },
            "choices": [{ "index": 0, "finish_reason": "stop", "message": {
                "role": "assistant", "content": "It is deleted.",
                "reasoning_details": [{ "type": "reasoning.text", "text": "hm", "id": format!("rs{number}") }],
            } }],
        })
    };
    let made = std::cell::Cell::new(0);
    let ask = async |caller: &str, path: &str, question: &str, whole: Value| {
        let mut body = request(path, "m", question);
        // The question is named, so what is sent beside it is no part of the key.
        body["wellspring"] = json!({ "question": question, "ignore": ["recorded"] });
        body["recorded"] = json!({ "whole": whole });
        let reply = post(&gateway, caller, path, &body).await;
        made.set(made.get() + u64::from(reply.tier() == "miss"));
        let fills = || gateway.cache.metrics().confirmed_fills + gateway.cache.metrics().unconfirmed_fills;
        crate::support::eventually("stored", async || fills() == made.get()).await;
        reply.tier().to_owned()
    };
    let carol_gets = async |path: &str, question: &str, whole: &dyn Fn(usize) -> Value| {
        assert_eq!(ask("alice", path, question, whole(0)).await, "miss", "{question}");
        assert_eq!(ask("bob", path, question, whole(1)).await, "miss", "{question}");
        ask("carol", path, question, whole(2)).await
    };
    let calls = |number| message(number, "tool_use", "tool_use");
    assert_eq!(carol_gets("/v1/messages", "Which account?", &calls).await, "miss");
    let searches = |number| message(number, "end_turn", "server_tool_use");
    assert_eq!(carol_gets("/v1/messages", "Who is searched for?", &searches).await, "miss");
    assert_eq!(carol_gets("/v1/responses", "Whose is deleted?", &response).await, "miss");
    // What differs each time elsewhere makes no difference.
    assert_eq!(carol_gets("/v1/responses", "What is said?", &text).await, "exact");
    assert_eq!(carol_gets(CHAT, "What is thought?", &completion).await, "exact");
}

#[tokio::test]
async fn a_word_does_not_take_the_place_of_what_confirms() {
    let gateway =
        start(Arc::new(MemoryStore::default()), 2, |options| options.writers = vec!["alice".into()]).await;
    let body = request(CHAT, "same", "Where is the key?");
    assert_eq!(post(&gateway, "eve", CHAT, &body).await.tier(), "miss");
    crate::support::eventually("stored", async || gateway.cache.metrics().unconfirmed_fills == 1).await;
    let own = gateway.cache.entries(None, 10).await.unwrap();
    let observed = own.iter().find(|stored| stored.entry.answer.text.contains("café")).unwrap().entry.clone();
    // A caller that knows the key of its request can name it to the cache directly.
    for digest in 0..2 {
        let asked = json!({ "question": "Where is the key?", "parameters": { "gateway": digest } });
        fill(&gateway, "eve", &asked, "Under the mat.", "d").await;
    }
    let still = gateway.cache.entry(&observed.corpus, observed.id).await.unwrap().unwrap();
    assert_eq!(still.entry.answer.text, observed.answer.text);
    let tenants: std::collections::HashSet<_> =
        gateway.cache.entries(None, 10).await.unwrap().iter().map(|stored| stored.entry.tenant).collect();
    assert_eq!(tenants.len(), 3, "the observed answer, the list of those who have it, and the word of Eve");
}

/// Alice's answer waits in a store that is then opened again by `again`.
#[tokio::test(flavor = "multi_thread")]
async fn confirmations_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Arc::new(wellspring::EmbeddedStore::open(folder.path().join("store.redb")).unwrap());
    let mut first = gateway(open()).await;
    fill(&first, "alice", &asked(), "In the drawer.", "d").await;
    first.end().await.unwrap().unwrap();
    drop(first);
    let second = gateway(open()).await;
    assert_eq!(carol_gets(&second).await, None);
    fill(&second, "bob", &asked(), "In the drawer.", "d").await;
    assert_eq!(carol_gets(&second).await.as_deref(), Some("In the drawer."));
    change(&second, "d").await;
    assert_eq!(carol_gets(&second).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_share_a_store_count_together() {
    use crate::support::servers::Server;
    use crate::support::valkey::{connect, patient_now};

    let server = Server::start();
    let open = || Arc::new(connect(patient_now(), &server.url()));
    let (one, two) = (gateway(open()).await, gateway(open()).await);
    let filled = [(&one, "alice"), (&two, "bob"), (&one, "dave"), (&two, "eve")];
    // At the same time: none of them is forgotten.
    futures::future::join_all(filled.map(|(at, caller)| async move {
        let question = json!({ "question": "Where is the key?" });
        fill(at, caller, &question, caller, "d").await;
    }))
    .await;
    assert_eq!((carol_gets(&one).await, carol_gets(&two).await), (None, None));
    // Each is confirmed by one more, no matter which process it came to.
    fill(&two, "ops", &asked(), "alice", "d").await;
    assert_eq!(carol_gets(&one).await.as_deref(), Some("alice"));
    fill(&one, "ops", &asked(), "eve", "d").await;
    assert_eq!(carol_gets(&two).await.as_deref(), Some("eve"));
    change(&one, "d").await;
    assert_eq!((carol_gets(&one).await, carol_gets(&two).await), (None, None));
    fill(&two, "bob", &asked(), "dave", "d").await;
    assert_eq!(carol_gets(&two).await, None, "Dave's went with the document");
}
