//! Callers who fill a wrong answer for everyone who shares with them.

use std::sync::Arc;

use serde_json::{Value, json};
use wellspring::MemoryStore;
use wellspring_gateway::{Anonymous, Options, Sharing};

use super::sharing::{fill, look, post, say, served, start};
use crate::proxy::{CHAT, chat};
use crate::running::{Reply, Running};

const QUESTION: &str = "What is the account to pay to?";
const SIMILAR: &str = "what is the account to pay to";

async fn gateway(change: impl FnOnce(&mut Options)) -> Running {
    start(Arc::new(MemoryStore::default()), 1, change).await
}

fn asked(question: &str) -> Value {
    json!({ "question": question })
}

async fn tier(gateway: &Running, caller: &str, body: &Value) -> String {
    let reply = post(gateway, caller, CHAT, body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.tier().to_owned()
}

/// A question that is named beside a context.
fn named(context: &str) -> Value {
    let mut body = chat(context);
    body["wellspring"] = json!({ "question": QUESTION, "tags": ["t"] });
    body
}

#[tokio::test]
async fn what_a_caller_fills_is_served_to_others_only_if_it_is_a_writer() {
    for (writers, is_shared) in
        [(vec![], false), (vec!["bob"], false), (vec!["eve"], true), (vec!["*"], true)]
    {
        let gateway =
            gateway(|options| options.writers = writers.iter().map(ToString::to_string).collect()).await;
        fill(&gateway, "eve", &asked(QUESTION), "that of Eve", "d").await;
        for question in [QUESTION, SIMILAR] {
            let eves = Some("that of Eve".to_owned());
            assert_eq!(served(&gateway, "eve", &asked(question)).await, eves, "{writers:?}");
            let bobs = served(&gateway, "bob", &asked(question)).await;
            assert_eq!(bobs, eves.filter(|_| is_shared), "{writers:?}, {question}");
        }
    }
}

#[tokio::test]
async fn what_an_operator_or_a_writer_fills_reaches_everybody_and_goes_before_ones_own() {
    let gateway = gateway(|options| options.writers = vec!["alice".into()]).await;
    fill(&gateway, "eve", &asked(QUESTION), "that of Eve", "d").await;
    fill(&gateway, "alice", &asked(QUESTION), "the one", "d").await;
    fill(&gateway, "ops", &asked("Who is the owner?"), "the board", "d").await;
    for caller in ["alice", "bob", "eve"] {
        assert_eq!(served(&gateway, caller, &asked(QUESTION)).await.as_deref(), Some("the one"));
        assert_eq!(served(&gateway, caller, &asked("Who is the owner?")).await.as_deref(), Some("the board"));
    }
}

#[tokio::test]
async fn a_caller_can_neither_be_another_one_nor_make_itself_up_a_place_among_others() {
    let gateway = gateway(|_| {}).await;
    for claim in [
        json!({ "question": QUESTION, "tenant": "acme" }),
        json!({ "question": QUESTION, "tenant": "own:bob" }),
        json!({ "question": QUESTION, "parameters": { "gateway": "x" } }),
        json!({ "question": QUESTION, "namespace": "docs", "corpus": "c" }),
    ] {
        fill(&gateway, "eve", &claim, "that of Eve", "d").await;
        assert_eq!(served(&gateway, "bob", &claim).await, None, "{claim}");
        assert!(served(&gateway, "eve", &claim).await.is_some(), "{claim}");
    }
    // Only a header with a token identifies the caller, and the first such header counts.
    for name in ["authorization", "x-api-key"] {
        let request = gateway.client.post(gateway.url("/v1/cache/lookup")).json(&asked(QUESTION));
        let request = request.header("wellspring-token", "eve").header(name, "Bearer ops");
        let permit = Reply::of(request.send().await.unwrap()).await.json()["permit"].clone();
        let fill = json!({ "permit": permit, "answer": "that of Eve" });
        let _ = post(&gateway, "eve", "/v1/cache/fill", &fill).await;
        assert_eq!(served(&gateway, "bob", &asked(QUESTION)).await, None, "{name}");
    }
    let unknown = gateway.client.post(gateway.url("/v1/cache/lookup")).json(&asked(QUESTION));
    let unknown = unknown.header("wellspring-token", "eve").header("wellspring-principal", "alice");
    assert_eq!(unknown.send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn callers_without_a_token_fill_for_themselves() {
    let gateway = gateway(|options| options.anonymous = Anonymous::Proxy).await;
    let ask = async |key: &str, path: &str, body: &Value| {
        let request = gateway.client.post(gateway.url(path)).json(body).bearer_auth(key);
        Reply::of(request.send().await.unwrap()).await.json()
    };
    let permit = ask("eve-key", "/v1/cache/lookup", &asked(QUESTION)).await["permit"].clone();
    let stored =
        ask("eve-key", "/v1/cache/fill", &json!({ "permit": permit, "answer": "that of Eve" })).await;
    assert_eq!(stored["status"], "stored", "{stored}");
    assert_eq!(ask("eve-key", "/v1/cache/lookup", &asked(QUESTION)).await["status"], "hit");
    assert_eq!(ask("bob-key", "/v1/cache/lookup", &asked(QUESTION)).await["status"], "miss");
    assert_eq!(served(&gateway, "bob", &asked(QUESTION)).await, None);
    // Callers that show nothing cannot be distinguished.
    let ask = async |path: &str, body: &Value| {
        Reply::of(gateway.client.post(gateway.url(path)).json(body).send().await.unwrap()).await
    };
    let permit = ask("/v1/cache/lookup", &asked(QUESTION)).await.json()["permit"].clone();
    let declined = ask("/v1/cache/fill", &json!({ "permit": permit, "answer": "that of Eve" })).await.json();
    assert_eq!(declined["reason"], "unknown_principal", "{declined}");
    assert_eq!(ask("/v1/cache/lookup", &asked(QUESTION)).await.json()["status"], "miss");
    for _ in 0..2 {
        assert_eq!(ask(CHAT, &named("Context: pay Eve.")).await.tier(), "miss");
    }
    assert_eq!(
        (ask(CHAT, &chat("Hello?")).await.tier(), ask(CHAT, &chat("Hello?")).await.tier()),
        ("miss", "exact")
    );
}

#[tokio::test]
async fn callers_that_show_nothing_do_not_fill_for_one_another() {
    let by_header = || Sharing::Header("wellspring-share".parse().unwrap());
    for sharing in [Sharing::Key, by_header(), Sharing::Shared] {
        let gateway =
            gateway(|options| (options.anonymous, options.sharing) = (Anonymous::Proxy, sharing.clone()))
                .await;
        let ask = async |path: &str, body: &Value| {
            Reply::of(gateway.client.post(gateway.url(path)).json(body).send().await.unwrap()).await
        };
        let permit = ask("/v1/cache/lookup", &asked(QUESTION)).await.json()["permit"].clone();
        let fill = json!({ "permit": permit, "answer": "that of Eve" });
        let declined = ask("/v1/cache/fill", &fill).await.json();
        assert_eq!(declined["reason"], "unknown_principal", "{sharing:?}: {declined}");
        assert_eq!(ask("/v1/cache/lookup", &asked(QUESTION)).await.json()["status"], "miss", "{sharing:?}");
        for context in ["Context: pay Eve.", "Context: pay Alice."] {
            assert_eq!(ask(CHAT, &named(context)).await.tier(), "miss", "{sharing:?}");
        }
        for tier in ["miss", "exact"] {
            assert_eq!(ask(CHAT, &chat("Hello?")).await.tier(), tier, "{sharing:?}");
        }
    }
    // Without any tokens, whoever reaches the gateway is trusted.
    let gateway = gateway(|options| {
        options.tokens.clear();
        options.sharing = Sharing::Key;
    })
    .await;
    for tier in ["miss", "exact"] {
        let request = gateway.client.post(gateway.url(CHAT)).json(&named("Context: pay Alice."));
        assert_eq!(Reply::of(request.send().await.unwrap()).await.tier(), tier);
    }
}

#[tokio::test]
async fn those_who_share_by_a_header_are_kept_apart_too() {
    let gateway =
        gateway(|options| options.sharing = Sharing::Header("wellspring-share".parse().unwrap())).await;
    let ask = async |caller: &str, path: &str, body: &Value| {
        let request = gateway.client.post(gateway.url(path)).json(body).header("wellspring-share", "team");
        Reply::of(request.header("wellspring-token", caller).send().await.unwrap()).await
    };
    let permit = ask("eve", "/v1/cache/lookup", &asked(QUESTION)).await.json()["permit"].clone();
    let body = json!({ "permit": permit, "answer": "that of Eve" });
    assert_eq!(ask("eve", "/v1/cache/fill", &body).await.json()["status"], "stored");
    assert_eq!(ask("bob", "/v1/cache/lookup", &asked(QUESTION)).await.json()["status"], "miss");
    assert_eq!(ask("eve", "/v1/cache/lookup", &asked(QUESTION)).await.json()["status"], "hit");
    assert_eq!(ask("eve", CHAT, &chat("Hello?")).await.tier(), "miss");
    assert_eq!(ask("bob", CHAT, &chat("Hello?")).await.tier(), "exact");
}

#[tokio::test]
async fn what_the_upstream_says_to_a_plain_request_serves_the_same_request_only() {
    let gateway = gateway(|options| options.writers = vec!["alice".into()]).await;
    let body = chat("What is the account to pay to? Say: that of Eve");
    let mut lasting = body.clone();
    lasting["wellspring"] = json!({ "ttl": "300d" });
    assert_eq!(tier(&gateway, "eve", &lasting).await, "miss");
    assert_eq!(tier(&gateway, "bob", &body).await, "exact");
    let near = chat("what is the account to pay to? say: that of eve");
    for caller in ["bob", "alice", "eve"] {
        let found = post(&gateway, caller, CHAT, &near).await;
        assert_eq!(found.tier(), if caller == "bob" { "miss" } else { "exact" }, "{caller}");
    }
    let kept = gateway.cache.entries(None, 10).await.unwrap();
    for stored in kept {
        let lives = stored.entry.expires_at.saturating_since(stored.entry.created_at);
        assert!(lives < std::time::Duration::from_hours(2), "it lives for {lives:?}");
    }
    // A writer's answer is also found by meaning.
    assert_eq!(tier(&gateway, "alice", &chat("Who has the key?")).await, "miss");
    assert_eq!(tier(&gateway, "bob", &chat("who has the key")).await, "semantic");
}

#[tokio::test]
async fn what_of_a_request_counts_is_the_callers_word() {
    let with = |prompt: &str, wellspring: Value| {
        json!({ "model": "good", "wellspring": wellspring, "messages": [
            { "role": "system", "content": prompt }, { "role": "user", "content": QUESTION },
        ] })
    };
    for (eves, bobs) in [
        (named("Context: pay Eve. Question: who?"), named("Context: pay Alice. Question: who?")),
        (
            with("Say Eve.", json!({ "ignore": ["system"], "question": QUESTION })),
            with("Be honest.", json!({ "ignore": ["system"], "question": QUESTION })),
        ),
        (
            with("Say Eve.", json!({ "ignore": ["messages"] })),
            with("Be honest.", json!({ "ignore": ["messages"] })),
        ),
    ] {
        for (writers, expected) in [(vec![], "miss"), (vec!["eve".to_owned()], "exact")] {
            let gateway = gateway(|options| options.writers = writers).await;
            assert_eq!(tier(&gateway, "eve", &eves).await, "miss");
            assert_eq!(tier(&gateway, "bob", &bobs).await, expected, "{bobs}");
            assert_eq!(tier(&gateway, "eve", &eves).await, "exact");
        }
    }
}

#[tokio::test]
async fn nobody_forges_what_the_proxy_received() {
    let gateway = gateway(|options| options.writers = vec!["eve".into()]).await;
    let permit = look(&gateway, "eve", &asked(QUESTION)).await["permit"].clone();
    let body = json!({ "permit": permit, "answer": "a", "metadata": { "recording": { "body": "{}" } } });
    let reply = post(&gateway, "eve", "/v1/cache/fill", &body).await;
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("recording"), "{}", reply.body);
    // It was refused before the permit was used up.
    let body = json!({ "permit": permit, "answer": "a" });
    assert_eq!(post(&gateway, "eve", "/v1/cache/fill", &body).await.json()["status"], "stored");
}

#[tokio::test]
async fn an_embedding_counts_only_if_a_writer_gives_it() {
    let gateway = gateway(|options| options.writers = vec!["alice".into()]).await;
    let of_question = look(&gateway, "bob", &asked(QUESTION)).await["embedding"].clone();
    assert_eq!(of_question.as_array().unwrap().len(), 128);
    let disguised = json!({ "question": "Tell me a joke", "embedding": of_question });
    for caller in ["eve", "alice"] {
        fill(&gateway, caller, &asked(QUESTION), "the one", "d").await;
        let found = look(&gateway, caller, &disguised).await;
        assert_eq!(found["status"], if caller == "alice" { "hit" } else { "miss" }, "{found}");
        if caller == "eve" {
            assert_ne!(found["embedding"], of_question);
        }
    }
    let wrong = json!({ "question": QUESTION, "embedding": [1.0] });
    assert_eq!(post(&gateway, "eve", "/v1/cache/lookup", &wrong).await.status, 400);
}

#[tokio::test]
async fn feedback_reaches_ones_own_answers_and_those_of_all_but_not_those_of_others() {
    let gateway = gateway(|options| options.writers = vec!["alice".into()]).await;
    let eves = fill(&gateway, "eve", &asked(QUESTION), "that of Eve", "d").await;
    assert_eq!(say(&gateway, "bob", &eves, "right").await, 404);
    assert_eq!(say(&gateway, "eve", &eves, "right").await, 200);
    let alices = fill(&gateway, "alice", &asked(QUESTION), "the one", "d").await;
    assert_eq!(say(&gateway, "bob", &alices, "right").await, 200);
    let why = post(&gateway, "eve", "/v1/cache/why", &asked(QUESTION)).await.json();
    assert_eq!(why["served"], alices, "{why}");
    assert_eq!(say(&gateway, "bob", &alices, "wrong").await, 200);
    let why = post(&gateway, "eve", "/v1/cache/why", &asked(QUESTION)).await.json();
    assert_eq!(why["served"], eves, "{why}");
}

#[tokio::test]
async fn a_caller_without_a_token_gives_no_feedback_unless_everyone_may_do_everything() {
    for (anonymous, status) in [(Anonymous::Proxy, 401), (Anonymous::All, 200)] {
        let gateway = gateway(|options| {
            options.writers = vec!["alice".into()];
            options.anonymous = anonymous;
        })
        .await;
        let entry = fill(&gateway, "alice", &asked(QUESTION), "the one", "d").await;
        let url = gateway.url("/v1/cache/feedback");
        let said = gateway.client.post(url).json(&json!({ "entry": entry, "verdict": "wrong" }));
        assert_eq!(said.bearer_auth("some-key").send().await.unwrap().status(), status);
        let is_left = served(&gateway, "bob", &asked(QUESTION)).await.is_some();
        assert_eq!(is_left, status == 401, "{anonymous:?}");
    }
}

#[tokio::test]
async fn without_tokens_whoever_reaches_the_gateway_is_trusted() {
    let gateway = gateway(|options| options.tokens.clear()).await;
    fill(&gateway, "eve", &asked(QUESTION), "the one", "d").await;
    assert_eq!(served(&gateway, "bob", &asked(QUESTION)).await.as_deref(), Some("the one"));
}
