//! A language model as the judge, before a real HTTP server that answers as each test says.

#![cfg(all(feature = "remote", feature = "server"))]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use wellspring::ErrorKind;
use wellspring::judge::{AnswerJudge, Case, LlmJudge};

type Seen = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

/// A judge whose model answers with `status` and `body`, and what the model was sent.
async fn judge(status: u16, body: String) -> (LlmJudge, Seen) {
    let seen = Seen::default();
    let in_server = Arc::clone(&seen);
    let answer = move |headers: HeaderMap, sent: String| async move {
        in_server.lock().unwrap().push((headers, serde_json::from_str(&sent).unwrap()));
        (StatusCode::from_u16(status).unwrap(), body)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/chat/completions", post(answer));
    // Ends with the test's runtime.
    tokio::spawn(async move { axum::serve(listener, router).await });
    (LlmJudge::builder(url, "judge-1").api_key("secret-key").build().unwrap(), seen)
}

fn said(text: &str) -> String {
    json!({ "choices": [{ "message": { "role": "assistant", "content": text } }] }).to_string()
}

fn case() -> Case {
    Case::new("is the \"private\" one open?", "is the other one open?", "it is open")
}

#[tokio::test]
async fn the_case_is_sent_as_data_and_the_verdict_is_one_word() {
    let (judge, seen) = judge(200, said("No. They are not the same.")).await;
    assert!(!judge.judge(&case()).await.unwrap());
    let (headers, sent) = seen.lock().unwrap().pop().unwrap();
    assert_eq!(headers["authorization"], "Bearer secret-key");
    assert_eq!((sent["model"].as_str(), sent["temperature"].as_f64()), (Some("judge-1"), Some(0.0)));
    let shown: Value = serde_json::from_str(sent["messages"][1]["content"].as_str().unwrap()).unwrap();
    assert_eq!(shown["new_question"], "is the \"private\" one open?");
    assert_eq!(shown["answer_to_older_question"], "it is open");
}

#[tokio::test]
async fn what_is_no_verdict_is_an_error_that_tells_nothing() {
    let bad = [
        (200, said("It depends on the private question")),
        (200, "not json".to_owned()),
        (200, json!({ "choices": [] }).to_string()),
        (500, said("yes")),
        (302, said("yes")),
    ];
    for (status, body) in bad {
        let (judge, _) = judge(status, body).await;
        let error = judge.judge(&case()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Upstream);
        let told = format!("{error:?} {judge:?}");
        assert!(!told.contains("private") && !told.contains("secret-key"), "{told}");
    }
}
