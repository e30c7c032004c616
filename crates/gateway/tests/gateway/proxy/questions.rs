//! What the key of an answer is, and who gets the answer.

use std::sync::Arc;

use serde_json::{Value, json};
use wellspring::{Change, Corpus};
use wellspring_gateway::Sharing;

use crate::proxy::{CHAT, MESSAGES, RESPONSES, chat, request};
use crate::running::{Reply, Running};

const QUESTION: &str = "When does the café close?";

#[tokio::test]
async fn everything_but_the_question_is_part_of_the_scope() {
    let gateway = Running::start().await;
    gateway.ask(CHAT, &chat(QUESTION)).await;
    let with = |name: &str, value: Value| {
        let mut request = chat(QUESTION);
        request[name] = value;
        request
    };
    for other in [
        with("model", json!("better")),
        with("temperature", json!(0.5)),
        with("tools", json!([{ "type": "function" }])),
        with("a_field_of_the_future", json!(1)),
        with(
            "messages",
            json!([{ "role": "system", "content": "Be brief." }, { "role": "user", "content": QUESTION }]),
        ),
        with(
            "messages",
            json!([
                { "role": "user", "content": "Hello" }, { "role": "assistant", "content": "Hi" },
                { "role": "user", "content": QUESTION },
            ]),
        ),
    ] {
        assert_eq!(gateway.ask(CHAT, &other).await.tier(), "miss", "{other}");
        assert_eq!(gateway.ask(CHAT, &other).await.tier(), "exact", "{other}");
    }
    assert_eq!(gateway.ask(CHAT, &chat(QUESTION)).await.tier(), "exact");
}

#[tokio::test]
async fn a_turn_of_an_agent_is_replayed_only_for_the_same_conversation() {
    let gateway = Running::start().await;
    let turn = |result: &str| {
        json!({ "model": "good", "messages": [
            { "role": "user", "content": QUESTION },
            { "role": "assistant", "content": null, "tool_calls": [{ "id": "c", "type": "function" }] },
            { "role": "tool", "tool_call_id": "c", "content": result },
        ] })
    };
    assert_eq!(gateway.ask(CHAT, &turn("closes at 18:00")).await.tier(), "miss");
    assert_eq!(gateway.ask(CHAT, &turn("closes at 18:01")).await.tier(), "miss");
    assert_eq!(gateway.ask(CHAT, &turn("closes at 18:00")).await.tier(), "exact");
    let picture = |name: &str| {
        json!({ "model": "good", "messages": [{ "role": "user", "content": [
            { "type": "text", "text": "What is this?" },
            { "type": "image_url", "image_url": { "url": name } },
        ] }] })
    };
    assert_eq!(gateway.ask(CHAT, &picture("a.png")).await.tier(), "miss");
    assert_eq!(gateway.ask(CHAT, &picture("b.png")).await.tier(), "miss");
    assert_eq!(gateway.ask(CHAT, &picture("a.png")).await.tier(), "exact");
}

#[tokio::test]
async fn whitespace_counts_in_texts_of_several_lines() {
    let gateway = Running::start().await;
    assert_eq!(gateway.ask(CHAT, &chat("What does this do?\nif a:\n  b()\nc()")).await.tier(), "miss");
    assert_eq!(gateway.ask(CHAT, &chat("What does this do?\nif a:\n  b()\n  c()")).await.tier(), "miss");
    assert_eq!(gateway.ask(CHAT, &chat("What does this do?\nif a:\n  b()\nc()")).await.tier(), "exact");
}

/// A prompt of a RAG application: the context is in it, and the question is named.
fn rag(context: &str, wellspring: &Value) -> Value {
    json!({
        "model": "good",
        "messages": [
            { "role": "system", "content": "Answer from the context." },
            { "role": "user", "content": format!("Context: {context}\n\nQuestion: {QUESTION}") },
        ],
        "wellspring": wellspring,
    })
}

#[tokio::test]
async fn retrieved_context_is_no_part_of_the_key_of_a_named_question() {
    let gateway = Running::start().await;
    let named =
        json!({ "question": QUESTION, "sources": [{ "id": "hours", "version": "1" }, { "id": "menu" }] });
    let miss = gateway.ask(CHAT, &rag("It closes at 18:00.", &named)).await;
    assert_eq!(miss.tier(), "miss");
    assert_eq!(gateway.ask(CHAT, &rag("Other passages.", &named)).await.tier(), "exact");
    let seen = &gateway.upstream.seen()[0];
    assert!(!String::from_utf8_lossy(&seen.body).contains("wellspring"));
    assert_eq!(serde_json::from_slice::<Value>(&seen.body).unwrap()["messages"].as_array().unwrap().len(), 2);

    gateway.cache.invalidate(&Corpus::default(), &[Change::document_version("hours", "2")]).await.unwrap();
    let again = gateway.ask(CHAT, &rag("It closes at 19:00.", &json!({ "question": QUESTION }))).await;
    assert_eq!(again.tier(), "miss");
    assert_ne!(again.body, miss.body);
}

#[tokio::test]
async fn an_answer_from_an_old_version_is_not_stored() {
    let gateway = Running::start().await;
    gateway.cache.invalidate(&Corpus::default(), &[Change::document_version("hours", "2")]).await.unwrap();
    let old = json!({ "question": QUESTION, "sources": [{ "id": "hours", "version": "1" }] });
    assert_eq!(gateway.ask(CHAT, &rag("old", &old)).await.tier(), "miss");
    assert_eq!(gateway.ask(CHAT, &rag("old", &old)).await.tier(), "miss");
    let sources = json!([{ "id": "hours", "version": "1", "chunks": ["x"] }]);
    let old = json!({ "question": QUESTION, "sources": sources });
    assert_eq!(gateway.ask(CHAT, &rag("old", &old)).await.tier(), "miss");
    assert_eq!(gateway.ask(CHAT, &rag("old", &old)).await.tier(), "miss");
}

#[tokio::test]
async fn null_is_the_same_as_nothing() {
    let gateway = Running::start().await;
    let nulls = json!({
        "question": QUESTION, "sources": [{ "id": "hours", "version": null, "chunks": null }], "tags": null,
        "collections": null, "ttl": null, "content_type": null, "negative": null, "parameters": null,
        "exact": null, "ignore": null, "tenant": null, "permit": null,
    });
    assert_eq!(gateway.ask(CHAT, &rag("context", &nulls)).await.tier(), "miss");
    let named = json!({ "question": QUESTION });
    assert_eq!(gateway.ask(CHAT, &rag("context", &named)).await.tier(), "exact");
    assert_eq!(gateway.ask(CHAT, &rag("context", &Value::Null)).await.status, 200);
    for seen in gateway.upstream.seen() {
        assert!(!String::from_utf8_lossy(&seen.body).contains("wellspring"));
    }
    let look = json!({ "question": "q", "corpus": null, "wait": null, "embedding": null, "renew": null });
    let miss = gateway.ask("/v1/cache/lookup", &look).await.json();
    let fill = json!({
        "permit": miss["permit"], "answer": "a", "usage": null, "metadata": null, "sources": null, "tags": null,
    });
    assert_eq!(gateway.ask("/v1/cache/fill", &fill).await.json()["status"], "stored", "{miss}");
    let change = json!({ "id": "hours", "version": null, "text": null, "chunks": null, "corpus": null });
    assert_eq!(gateway.admin_post("/v1/documents/changed", &change).await.json()["dropped"], 1);
    let wrong = json!({ "question": QUESTION, "sources": [{ "id": "hours", "chunks": [null] }] });
    let reply = gateway.ask(CHAT, &rag("context", &wrong)).await;
    assert!(reply.status == 400 && reply.body.contains("sources[0].chunks[0]"), "{}", reply.body);
}

#[tokio::test]
async fn a_header_names_the_question_too() {
    let gateway = Running::start().await;
    let ask = async |prompt: &str| {
        let request =
            gateway.post(CHAT, &chat(prompt)).header("Wellspring-Question", "When does the caf%C3%A9 close?");
        Reply::of(request.send().await.unwrap()).await
    };
    assert_eq!(ask("a prompt").await.tier(), "miss");
    assert_eq!(ask("another one").await.tier(), "exact");
    let seen = &gateway.upstream.seen()[0];
    assert!(!seen.headers.contains_key("wellspring-question"));
}

#[tokio::test]
async fn bodies_go_upstream_as_they_are() {
    let gateway = Running::start().await;
    let body = "{ \"model\":\"good\",\"temperature\":1.0e0, \"seed\":12345678901234567890, \"messages\":[ {\"role\":\"user\",\"content\":\"caf\\u00e9\"} ] }";
    let send = |body: &str| gateway.client.post(gateway.url(CHAT)).body(body.to_owned()).send();
    assert_eq!(send(body).await.unwrap().status(), 200);
    assert_eq!(gateway.upstream.seen()[0].body, body.as_bytes());
    // A body that two readers could understand in two ways is not kept.
    let twice = "{\"model\":\"good\",\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"content\":\"b\"}]}";
    for _ in 0..2 {
        let reply = Reply::of(send(twice).await.unwrap()).await;
        assert_eq!((reply.status, reply.tier()), (200, "bypass"));
    }
    let refused = Reply::of(send("{\"model\":").await.unwrap()).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("could not parse"), "{}", refused.body);
}

#[tokio::test]
async fn answers_are_never_shared_across_keys_unless_that_is_configured() {
    async fn second_key_gets(gateway: &Running) -> String {
        gateway.ask(CHAT, &chat(QUESTION)).await;
        let request = gateway.client.post(gateway.url(CHAT)).json(&chat(QUESTION)).bearer_auth("another-key");
        Reply::of(request.header("team", "a").send().await.unwrap()).await.tier().to_owned()
    }
    assert_eq!(second_key_gets(&Running::start().await).await, "miss");
    let shared = Running::with(|options| {
        options.sharing = Sharing::Shared;
        options.ignored_headers.push("team".parse().unwrap());
    })
    .await;
    assert_eq!(second_key_gets(&shared).await, "exact");
    let by_header = Running::with(|options| options.sharing = Sharing::Header("team".parse().unwrap())).await;
    assert_eq!(second_key_gets(&by_header).await, "miss");
    let request = by_header.post(CHAT, &chat(QUESTION)).header("team", "a");
    assert_eq!(Reply::of(request.send().await.unwrap()).await.tier(), "exact");
    assert!(format!("{:?}", by_header.cache.entries(None, 10).await.unwrap()).contains("café"));
    assert!(!format!("{:?}", by_header.cache.entries(None, 10).await.unwrap()).contains("caller-key"));
}

#[tokio::test]
async fn a_permit_of_a_lookup_before_retrieval_is_filled() {
    let gateway = Running::start().await;
    let query = || wellspring::Query::new(QUESTION);
    let wellspring::Lookup::Miss(permit) = gateway.cache.lookup(query()).await.unwrap() else {
        panic!("no miss")
    };
    let permit = gateway.gateway.permits().keep(permit, None);
    let asked =
        rag("context", &json!({ "permit": permit, "question": QUESTION, "sources": [{ "id": "hours" }] }));
    assert_eq!(gateway.ask(CHAT, &asked).await.tier(), "miss");
    let found = gateway
        .cache
        .get_or_fill(query(), |_| async { Err::<(&str, Vec<_>), _>("not found".into()) })
        .await
        .unwrap();
    assert_eq!(&*found.answer.text, crate::upstream::text(1));
    let again = gateway.ask(CHAT, &asked).await;
    assert_eq!((again.status, again.json()["error"]["code"].as_str()), (410, Some("permit_gone")));
}

#[tokio::test]
async fn wrong_directives_are_reported_in_the_api_s_own_shape() {
    let gateway = Running::start().await;
    for wrong in [json!({ "qestion": "q" }), json!({ "question": "" }), json!({ "ttl": "soon" }), json!(1)] {
        let mut asked = request(MESSAGES, "good", QUESTION);
        asked["wellspring"] = wrong.clone();
        let reply = gateway.ask(MESSAGES, &asked).await;
        assert_eq!((reply.status, &reply.json()["type"]), (400, &json!("error")), "{wrong}");
        assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    }
    let mistyped = gateway.post(CHAT, &chat(QUESTION)).header("wellspring-qestion", "q");
    let reply = Reply::of(mistyped.send().await.unwrap()).await;
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("did you mean `wellspring-question`?"), "{}", reply.body);
    assert_eq!(gateway.upstream.calls(), 0);
}

#[tokio::test]
async fn those_who_ask_the_same_at_once_share_one_call() {
    let gateway = Arc::new(Running::start().await);
    let asked = crate::proxy::streamed(request(CHAT, "held", QUESTION));
    let sent = futures::future::join_all((0..20).map(|_| gateway.post(CHAT, &asked).send())).await;
    gateway.upstream.release();
    let replies = futures::future::join_all(sent.into_iter().map(|sent| Reply::of(sent.unwrap()))).await;
    assert_eq!(gateway.upstream.calls(), 1);
    assert!(replies.iter().all(|reply| reply.body == replies[0].body));
    assert_eq!(replies.iter().filter(|reply| reply.tier() == "miss").count(), 1);
}

/// A client that cannot use an answer asks again with the answer, and what is wrong with it, as further turns. With one
/// fingerprint of the conversation, the key was the same, so the client got the answer that it had just refused,
/// forever.
#[tokio::test]
async fn an_answer_that_the_conversation_holds_is_not_given_to_it_again() {
    let gateway = Running::start().await;
    for (path, turns) in [(CHAT, "messages"), (MESSAGES, "messages"), (RESPONSES, "input")] {
        let ask = async |answers: &[String]| {
            let mut request = request(path, "good", QUESTION);
            let mut all = vec![json!({ "role": "user", "content": QUESTION })];
            for answer in answers {
                all.push(json!({ "role": "assistant", "content": answer }));
                all.push(json!({ "role": "user", "content": "That is no JSON, correct it." }));
            }
            request[turns] = all.into();
            request["wellspring"] = json!({ "question": QUESTION, "conversation": "c" });
            let reply = gateway.ask(path, &request).await;
            let text = crate::upstream::text(gateway.upstream.calls());
            (reply.tier().to_owned(), reply.header("cache-status").contains("held"), text)
        };
        let first = ask(&[]).await;
        assert_eq!((&*first.0, first.1), ("miss", false), "{path}");
        let second = ask(std::slice::from_ref(&first.2)).await;
        assert_eq!((&*second.0, second.1), ("miss", true), "{path}");
        let both = [first.2, second.2];
        assert_eq!(ask(&both).await.0, "miss", "{path}");
        // Callers who ask without these turns are served an answer that is stored.
        assert_eq!(ask(&[]).await.0, "exact", "{path}");
        assert_eq!(ask(&["Something else.".to_owned()]).await.0, "exact", "{path}");
    }
}
