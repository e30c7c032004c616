//! Which requests are the same, and which only look the same.

use std::sync::Arc;

use serde_json::{Value, json};
use wellspring_gateway::Sharing;

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

/// The name of the question is the same, and so is the text beside the picture.
#[tokio::test]
async fn what_a_named_question_is_asked_about_is_part_of_the_key() {
    let gateway = Running::start().await;
    let text = |text: &str| json!({ "type": "text", "text": text });
    let chat = |part: Value| (CHAT, json!({ "role": "user", "content": [text("What is it?"), part] }));
    let message = |part: Value| (MESSAGES, json!({ "role": "user", "content": [part, text("What is it?")] }));
    let response = |part: Value| {
        let text = json!({ "type": "input_text", "text": "What is it?" });
        (RESPONSES, json!({ "role": "user", "content": [text, part] }))
    };
    let source = |name: &str| json!({ "type": "base64", "data": name });
    let of = |name: &str| {
        [
            chat(json!({ "type": "image_url", "image_url": { "url": name } })),
            chat(json!({ "type": "file", "file": { "file_id": name } })),
            chat(json!({ "type": "input_audio", "input_audio": { "data": name, "format": "wav" } })),
            chat(json!({ "type": "a_kind_of_the_future", "text": name })),
            (CHAT, json!({ "role": "user", "content": "What is it?", "images": [name] })),
            message(json!({ "type": "image", "source": source(name) })),
            message(json!({ "type": "document", "source": source(name) })),
            message(json!({ "type": "document", "source": { "type": "content", "content": [
                text("A picture:"), { "type": "image", "source": source(name) },
            ] } })),
            response(json!({ "type": "input_image", "image_url": name })),
            response(json!({ "type": "input_file", "file_id": name })),
        ]
    };
    for (number, ((path, a), (_, b))) in of("a").into_iter().zip(of("b")).enumerate() {
        for more in [json!({}), json!({ "exact": true }), json!({ "conversation": "thread 1" })] {
            let ask = async |turn: &Value| {
                let mut request = named(path, std::slice::from_ref(turn), &more);
                request["user"] = format!("{number} {more}").into();
                gateway.ask(path, &request).await.tier().to_owned()
            };
            for turn in [&a, &b] {
                assert_eq!(ask(turn).await, "miss", "{path} {turn} {more}");
            }
            for turn in [&a, &b] {
                // What was retrieved for it beside the picture is no part of the key.
                let written = turn.to_string().replace("What is it?", "Other passages. What is it?");
                assert_eq!(ask(&serde_json::from_str(&written).unwrap()).await, "exact", "{path} {turn}");
            }
        }
    }
    // Text that was retrieved is none, also where the API has a kind of part for it.
    for (number, retrieved) in [
        |text: &str| json!({ "type": "document", "source": { "type": "text", "data": text } }),
        |text: &str| json!({ "type": "document", "source": { "type": "content", "content": [{ "type": "text", "text": text }] } }),
        |text: &str| json!({ "type": "search_result", "source": text, "title": "t", "content": [{ "type": "text", "text": text }] }),
    ]
    .into_iter()
    .enumerate()
    {
        let ask = async |passage: &str| {
            let mut request = named(MESSAGES, &[message(retrieved(passage)).1], &json!({}));
            request["user"] = format!("retrieved {number}").into();
            gateway.ask(MESSAGES, &request).await.tier().to_owned()
        };
        assert_eq!(ask("a").await, "miss", "{number}");
        assert_eq!(ask("b").await, "exact", "{number}");
    }
    // Each prompt gets an answer.
    for (prompt, tier) in [
        (json!("a"), "miss"),
        (json!(["b"]), "exact"),
        (json!([1, 2]), "exact"),
        (json!(["a", "b"]), "miss"),
        (json!([[1], [2]]), "exact"),
        (json!(["a", "b", "c"]), "miss"),
    ] {
        let request = json!({ "model": "good", "prompt": prompt, "wellspring": { "question": QUESTION } });
        assert_eq!(gateway.ask(COMPLETIONS, &request).await.tier(), tier, "{prompt}");
    }
}

/// What the upstream keeps under these names changes without notice.
#[tokio::test]
async fn what_the_upstream_remembers_is_not_answered_from_the_cache() {
    let gateway = Running::start().await;
    let ask = async |path: &str, field: &str, value: &Value, sources: &Value| {
        let mut request = request(path, "good", QUESTION);
        request[field] = value.clone();
        request["wellspring"] = json!({ "sources": sources });
        gateway.ask(path, &request).await.header("cache-status").to_owned()
    };
    let interpreter = |container: Value| json!([{ "type": "code_interpreter", "container": container }]);
    let container = json!({ "type": "container_reference", "container_id": "c" });
    let shell = json!([{ "type": "shell", "environment": container }]);
    let call = json!([{ "type": "code_interpreter_call", "container_id": "c" }, user(QUESTION)]);
    let index = json!([{ "type": "azure_search", "parameters": { "index_name": "i" } }]);
    let search = json!([{ "type": "file_search", "vector_store_ids": ["vs"] }]);
    let (unversioned, versioned) = (json!({ "id": "p" }), json!({ "id": "p", "version": "2" }));
    let (none, some) = (json!([]), json!([{ "id": "hours" }]));
    let automatic = interpreter(json!({ "type": "auto" }));
    for (path, field, value, sources, is_kept) in [
        (RESPONSES, "tools", &interpreter("c".into()), &some, false),
        (RESPONSES, "tools", &shell, &some, false),
        (RESPONSES, "input", &call, &some, false),
        (RESPONSES, "tools", &automatic, &none, true),
        (RESPONSES, "tools", &search, &none, false),
        (RESPONSES, "tools", &search, &some, true),
        (RESPONSES, "prompt", &unversioned, &none, false),
        (RESPONSES, "prompt", &unversioned, &some, true),
        (RESPONSES, "prompt", &versioned, &none, true),
        (CHAT, "data_sources", &index, &none, false),
        (CHAT, "data_sources", &index, &some, true),
    ] {
        for _ in 0..2 {
            let status = ask(path, field, value, sources).await;
            let is_bypass = status == "wellspring; fwd=bypass; detail=stateful";
            assert_eq!(is_bypass, !is_kept, "{path} {value} {sources} {status}");
        }
    }
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
    for (a, b) in [
        ("caf\u{e9}\u{b}x", "cafe\u{301}\u{b}x"),
        ("café?", "\ncafe\u{301}? \n"),
        ("  indented", "  indented"),
    ] {
        assert_eq!(gateway.ask(CHAT, &chat(a)).await.tier(), "miss");
        assert_eq!(gateway.ask(CHAT, &chat(b)).await.tier(), "exact", "{b:?}");
    }
    // Where a text begins with spaces or has several lines, it may be code.
    for (path, other) in [
        (CHAT, "  café?"),
        (CHAT, "\tcafé?"),
        (CHAT, "\n  café?"),
        (CHAT, "if a:\n  b()"),
        (CHAT, "if a:\n  b()\n"),
        (CHAT, "  if a:\n  b()"),
        // A model continues a raw prompt where it ends.
        (COMPLETIONS, "café?"),
        (COMPLETIONS, "café? "),
        (COMPLETIONS, "café?\n"),
        (COMPLETIONS, "\ncafé?"),
        (COMPLETIONS, " café?"),
    ] {
        assert_eq!(gateway.ask(path, &request(path, "good", other)).await.tier(), "miss", "{path} {other:?}");
        assert_eq!(
            gateway.ask(path, &request(path, "good", other)).await.tier(),
            "exact",
            "{path} {other:?}"
        );
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

/// Names of corpora, namespaces and documents are compared in this way, too.
#[tokio::test]
async fn names_of_tenants_are_compared_as_they_are_composed() {
    let gateway = Running::with(|options| options.sharing = Sharing::Shared).await;
    let (nfc, nfd) = ("caf\u{e9}", "cafe\u{301}");
    let ask = async |name: &str| {
        let mut request = chat(QUESTION);
        request["wellspring"] =
            json!({ "question": QUESTION, "tenant": name, "parameters": { name: [name] } });
        gateway.ask(CHAT, &request).await.tier().to_owned()
    };
    assert_eq!(ask(nfc).await, "miss");
    assert_eq!(ask(nfd).await, "exact");
    let fields = |name: &str| json!({ "question": "q", "tenant": name, "parameters": { "of": name } });
    let permit = gateway.ask("/v1/cache/lookup", &fields(nfc)).await.json()["permit"].clone();
    gateway.ask("/v1/cache/fill", &json!({ "permit": permit, "answer": "a" })).await;
    assert_eq!(gateway.ask("/v1/cache/lookup", &fields(nfd)).await.json()["status"], "hit");
    let clear = async |body: Value| gateway.admin_post("/v1/cache/clear", &body).await.json();
    let by_parameters = json!({ "tenant": nfd, "parameters": { "of": nfd } });
    assert_eq!(clear(by_parameters).await["removed"], 1);
    assert_eq!(clear(json!({ "tenant": nfd })).await["removed"], 1);
}
