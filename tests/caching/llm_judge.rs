//! A language model as the judge, with a real HTTP server that answers as each test says.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use wellspring::ErrorKind;
use wellspring::judge::{AnswerJudge, Case, LlmJudge, Ruling};

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

/// The response of a model with this ruling.
fn ruled(rulings: &[(bool, f64)]) -> String {
    let ruling = |(number, (serves, confidence)): (usize, &(bool, f64))| json!({ "case": number, "serves": serves, "confidence": confidence });
    let rulings: Vec<Value> = (1..).zip(rulings).map(ruling).collect();
    said(&json!({ "rulings": rulings }).to_string())
}

#[tokio::test]
async fn the_case_is_sent_as_data_and_the_ruling_comes_back() {
    let (judge, seen) = judge(200, ruled(&[(false, 0.75)])).await;
    assert_eq!(judge.judge(&case()).await.unwrap(), Ruling::new(false, 0.75));
    assert_eq!((judge.name(), judge.batch()), ("judge-1", 8));
    let (headers, sent) = seen.lock().unwrap().pop().unwrap();
    assert_eq!(headers["authorization"], "Bearer secret-key");
    assert_eq!((sent["model"].as_str(), sent["temperature"].as_f64()), (Some("judge-1"), Some(0.0)));
    let shown: Value = serde_json::from_str(sent["messages"][1]["content"].as_str().unwrap()).unwrap();
    assert_eq!(shown["cases"][0]["new_question"], "is the \"private\" one open?");
    assert_eq!(shown["cases"][0]["answer_to_older_question"], "it is open");
}

#[tokio::test]
async fn two_answers_are_compared_as_data_whatever_cases_are_judged_by() {
    let (judge, seen) = judge(200, ruled(&[(true, 0.95)])).await;
    let compared = judge.is_same("where is the \"key\"?", "in the drawer", "there: the drawer").await;
    assert_eq!(compared.unwrap(), Some(Ruling::new(true, 0.95)));
    let (_, sent) = seen.lock().unwrap().pop().unwrap();
    assert!(sent["messages"][0]["content"].as_str().unwrap().contains("two answers"));
    let shown: Value = serde_json::from_str(sent["messages"][1]["content"].as_str().unwrap()).unwrap();
    let expected = json!([{
        "case": 1, "question": "where is the \"key\"?", "one_answer": "in the drawer",
        "other_answer": "there: the drawer",
    }]);
    assert_eq!(shown["cases"], expected);
}

#[tokio::test]
async fn several_cases_are_one_call() {
    let cases: Vec<Case> =
        (1..=3).map(|n| Case::new(format!("question {n}"), format!("older {n}"), "an answer")).collect();
    let (judge, seen) = judge(200, ruled(&[(true, 1.0), (false, 0.9), (true, 0.5)])).await;
    let rulings: Vec<Ruling> =
        judge.judge_all(&cases).await.into_iter().collect::<wellspring::Result<_>>().unwrap();
    assert_eq!(rulings, [Ruling::new(true, 1.0), Ruling::new(false, 0.9), Ruling::new(true, 0.5)]);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    let shown: Value = serde_json::from_str(seen[0].1["messages"][1]["content"].as_str().unwrap()).unwrap();
    let shown: Vec<_> =
        shown["cases"].as_array().unwrap().iter().map(|case| &case["older_question"]).collect();
    assert_eq!(shown, ["older 1", "older 2", "older 3"]);
}

#[tokio::test]
async fn a_reply_of_another_shape_rules_on_none_of_its_cases() {
    let cases = [case(), case()];
    for reply in [
        ruled(&[(true, 1.0)]),
        ruled(&[(true, 1.0), (true, 1.0), (true, 1.0)]),
        ruled(&[(true, 1.0), (true, 98.0)]),
        said("yes, yes"),
    ] {
        let (judge, _) = judge(200, reply).await;
        let rulings = judge.judge_all(&cases).await;
        assert_eq!(rulings.len(), 2);
        assert!(rulings.iter().all(|ruling| ruling.as_ref().unwrap_err().kind() == ErrorKind::Upstream));
    }
}

#[tokio::test]
async fn what_is_no_ruling_is_an_error_that_reveals_nothing() {
    let bad = [
        (200, said("It depends on the private question")),
        (200, "not json".to_owned()),
        (200, json!({ "choices": [] }).to_string()),
        (500, ruled(&[(true, 1.0)])),
        (302, ruled(&[(true, 1.0)])),
    ];
    for (status, body) in bad {
        let (judge, _) = judge(status, body).await;
        let error = judge.judge(&case()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Upstream);
        let message = format!("{error:?} {judge:?}");
        assert!(!message.contains("private") && !message.contains("secret-key"), "{message}");
    }
}
