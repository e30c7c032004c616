//! Which requests are the same, and which only look the same.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::proxy::{CHAT, COMPLETIONS, MESSAGES, RESPONSES, chat, request, streamed};
use crate::running::{Reply, Running};

const QUESTION: &str = "When does the café close?";

fn named(path: &str, turns: &[Value], wellspring: &Value) -> Value {
    let field = if path == RESPONSES { "input" } else { "messages" };
    let mut request = json!({ "model": "good", "max_tokens": 100, field: turns, "wellspring": wellspring });
    request["wellspring"]["question"] = QUESTION.into();
    request
}

fn user(text: &str) -> Value {
    json!({ "role": "user", "content": text })
}

/// The turns that a step of an agent adds: a call of a tool, and the result of the tool.
fn step(path: &str, result: &str) -> Vec<Value> {
    match path {
        MESSAGES => vec![
            json!({ "role": "assistant", "content": [{ "type": "tool_use", "id": "t", "name": "f", "input": {} }] }),
            json!({ "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "t", "content": result }, { "type": "text", "text": "Go on." },
            ] }),
        ],
        RESPONSES => vec![
            json!({ "type": "function_call", "call_id": "t", "name": "f", "arguments": "{}" }),
            json!({ "type": "function_call_output", "call_id": "t", "output": result }),
        ],
        _ => vec![
            json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": "t", "type": "function" }] }),
            json!({ "role": "tool", "tool_call_id": "t", "content": result }),
        ],
    }
}

#[tokio::test]
async fn each_step_of_an_agent_with_a_named_question_is_a_request_of_its_own() {
    // The name stays the same through the loop, and the first call of a tool was replayed forever.
    for path in [CHAT, MESSAGES, RESPONSES] {
        let gateway = Running::start().await;
        let ask = async |turns: &[Value], more: Value| gateway.ask(path, &named(path, turns, &more)).await;
        let first = vec![user("Context: a\nQuestion: when?")];
        assert_eq!(ask(&first, json!({})).await.tier(), "miss", "{path}");
        assert_eq!(ask(&[user("Context: b\nQuestion: when?")], json!({})).await.tier(), "exact", "{path}");
        for more in [json!({}), json!({ "conversation": "thread 1" })] {
            for result in ["18:00", "18:01"] {
                let turns = [first.clone(), step(path, &format!("{result} {more}"))].concat();
                assert_eq!(ask(&turns, more.clone()).await.tier(), "miss", "{path} {result} {more}");
                assert_eq!(ask(&turns, more.clone()).await.tier(), "exact", "{path} {result} {more}");
            }
        }
        // The turns with which an invalid answer is asked again.
        let answer = json!({ "role": "assistant", "content": "six" });
        let again = [first.clone(), vec![answer, user("That is not valid: expected HH:MM")]].concat();
        assert_eq!(ask(&again, json!({})).await.tier(), "miss", "{path}");
        assert_eq!(ask(&again, json!({})).await.tier(), "exact", "{path}");
        let other =
            [vec![user("Hello"), json!({ "role": "assistant", "content": "Hi" })], first.clone()].concat();
        assert_eq!(ask(&other, json!({})).await.tier(), "miss", "{path}");
        // A fingerprint stands for the turns before.
        assert_eq!(ask(&other, json!({ "conversation": "thread 1" })).await.tier(), "exact", "{path}");
    }
}

#[tokio::test]
async fn an_answer_that_a_conversation_holds_is_not_given_to_it_again() {
    let gateway = Running::start().await;
    let ask = async |turns: &[Value]| {
        gateway.ask(RESPONSES, &named(RESPONSES, turns, &json!({ "conversation": "thread 1" }))).await
    };
    let first = ask(&[user(QUESTION)]).await;
    let item = first.json()["output"][0].clone();
    let held = [user(QUESTION), item.clone(), user(QUESTION)];
    let second = ask(&held).await;
    assert_eq!(second.header("cache-status"), "wellspring; fwd=miss; detail=held");
    assert_ne!(second.json()["id"], first.json()["id"]);
    // A client that does not have the new one gets it.
    assert_eq!(ask(&held).await.tier(), "exact");
    assert_eq!(ask(&[user(QUESTION)]).await.json()["id"], second.json()["id"]);
    let mut by_id = named(RESPONSES, &[user(QUESTION)], &json!({}));
    by_id["previous_response_id"] = second.json()["id"].clone();
    let third = gateway.ask(RESPONSES, &by_id).await;
    assert_ne!(third.json()["id"], second.json()["id"]);
    by_id["previous_response_id"] = third.json()["id"].clone();
    assert_ne!(gateway.ask(RESPONSES, &by_id).await.json()["id"], third.json()["id"]);
}

#[tokio::test]
async fn a_text_is_compared_as_it_is() {
    let gateway = Running::start().await;
    for path in [CHAT, MESSAGES, RESPONSES, COMPLETIONS] {
        for (a, b) in [
            ("What is [a    b]?", "What is [a b]?"),
            ("Run `f  x`", "Run `f x`"),
            ("a\u{b}b", "a b"),
            ("a\u{c}b", "a b"),
            ("a\u{85}b", "a b"),
            ("a\u{2028}b", "a b"),
            ("a\u{a0}b", "a b"),
            ("a\u{7}b", "a b"),
            ("a\tb", "a b"),
        ] {
            let mut requests = [request(path, "good", a), request(path, "good", b)];
            for request in &mut requests {
                request["user"] = format!("{a}/{b}").into();
                assert_eq!(gateway.ask(path, request).await.tier(), "miss", "{path} {a:?} {b:?}");
            }
            for request in &requests {
                assert_eq!(gateway.ask(path, request).await.tier(), "exact", "{path} {a:?} {b:?}");
            }
        }
    }
    for (a, b) in [("caf\u{e9}\u{b}x", " cafe\u{301}\u{b}x \n"), ("café?", "  cafe\u{301}?\n")] {
        assert_eq!(gateway.ask(CHAT, &chat(a)).await.tier(), "miss");
        assert_eq!(gateway.ask(CHAT, &chat(b)).await.tier(), "exact", "{b:?}");
    }
    let parts = |parts: [&str; 2]| {
        let parts = parts.map(|text| json!({ "type": "text", "text": text }));
        json!({ "model": "good", "messages": [{ "role": "user", "content": parts }] })
    };
    assert_eq!(gateway.ask(CHAT, &parts(["a\nb", "c"])).await.tier(), "miss");
    assert_eq!(gateway.ask(CHAT, &parts(["a", "b\nc"])).await.tier(), "miss");
    assert_eq!(gateway.ask(CHAT, &parts(["a\nb", "c"])).await.tier(), "exact");
}

#[tokio::test]
async fn numbers_are_distinguished_by_all_their_digits() {
    let gateway = Running::start().await;
    let send = async |path: &str, field: &str, number: &str| {
        let body = if path == "/v1/embeddings" {
            format!("{{\"model\":\"e\",\"input\":\"a\",\"{field}\":{number}}}")
        } else {
            format!(
                "{{\"model\":\"good\",\"messages\":[{{\"role\":\"user\",\"content\":\"q\"}}],\"{field}\":{number}}}"
            )
        };
        let request = gateway.client.post(gateway.url(path)).body(body).bearer_auth("caller-key");
        let request = request.header("content-type", "application/json");
        Reply::of(request.send().await.unwrap()).await.tier().to_owned()
    };
    for path in [CHAT, "/v1/embeddings"] {
        for (a, b) in [
            ("18446744073709551616", "18446744073709551617"),
            ("0.12345678901234567", "0.12345678901234568"),
            ("123456789012345678901234567890.1", "123456789012345678901234567890.2"),
            ("-0", "0"),
            ("1.5e30", "1.50e30"),
        ] {
            let field = format!("f{}", a.len());
            for number in [a, b] {
                assert_eq!(send(path, &field, number).await, "miss", "{path} {a} {b}");
            }
            for number in [a, b] {
                assert_eq!(send(path, &field, number).await, "exact", "{path} {a} {b}");
            }
        }
    }
    let post = async |path: &str, body: String| {
        let request = gateway.client.post(gateway.url(path)).body(body).bearer_auth("caller-key");
        let request = request.header("content-type", "application/json");
        Reply::of(request.send().await.unwrap()).await.json()
    };
    let look = async |seed: &str| {
        post("/v1/cache/lookup", format!("{{\"question\":\"q\",\"parameters\":{{\"seed\":{seed}}}}}")).await
    };
    let permit = look("18446744073709551616").await["permit"].clone();
    post("/v1/cache/fill", json!({ "permit": permit, "answer": "a" }).to_string()).await;
    let found = look("18446744073709551616").await;
    assert_eq!(found["status"], "hit", "{permit} {found}");
    assert_eq!(look("18446744073709551617").await["status"], "miss");
    // Directives to the gateway are read as before.
    let mut request = chat("a limit with many digits");
    request["wellspring"] = serde_json::from_str("{\"max_false_hit_rate\":0.020,\"ttl\":60}").unwrap();
    assert_eq!(gateway.ask(CHAT, &request).await.status, 200);
    let raw = "{\"model\":\"good\",\"messages\":[],\"wellspring\":{\"max_false_hit_rate\":0.020}}";
    let reply =
        gateway.client.post(gateway.url(CHAT)).body(raw).bearer_auth("caller-key").send().await.unwrap();
    assert_eq!(reply.status(), 200);
}

#[tokio::test]
async fn samples_are_made_anew_above_a_temperature_that_is_configured() {
    let sample = |temperature: Value| {
        let mut request = request(CHAT, "slow", QUESTION);
        request["temperature"] = temperature;
        request
    };
    let gateway = Arc::new(Running::with(|options| options.max_temperature = Some(0.7)).await);
    for temperature in [json!(1), json!(null), json!(0.71)] {
        let before = gateway.upstream.calls();
        let asked = streamed(sample(temperature.clone()));
        let replies = futures::future::join_all((0..3).map(|_| gateway.ask(CHAT, &asked))).await;
        assert_eq!(gateway.upstream.calls(), before + 3, "{temperature}");
        for reply in replies {
            assert_eq!(reply.header("cache-status"), "wellspring; fwd=bypass; detail=temperature");
        }
    }
    assert_eq!(gateway.ask(CHAT, &sample(json!(0.7))).await.tier(), "miss");
    assert_eq!(gateway.ask(CHAT, &sample(json!(0.7))).await.tier(), "exact");
    // By default the same request has one answer, and another number of samples is another request.
    let gateway = Running::start().await;
    assert_eq!(gateway.ask(CHAT, &sample(json!(1))).await.tier(), "miss");
    assert_eq!(gateway.ask(CHAT, &sample(json!(1))).await.tier(), "exact");
    for wellspring in [json!({}), json!({ "question": QUESTION })] {
        let mut two = sample(json!(1));
        (two["n"], two["wellspring"]) = (json!(2), wellspring);
        assert_eq!(gateway.ask(CHAT, &two).await.tier(), "miss");
    }
}
