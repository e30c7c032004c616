//! Bodies that cost the gateway more than their callers, or that two readers understand in two ways.

use futures::StreamExt as _;
use serde_json::json;

use crate::proxy::{CHAT, MESSAGES, chat};
use crate::running::{Reply, Running};

async fn send(gateway: &Running, path: &str, body: String) -> Reply {
    let request =
        gateway.client.post(gateway.url(path)).header("content-type", "application/json").body(body);
    Reply::of(request.send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_body_of_a_million_values_is_refused_before_anything_is_made_of_it() {
    let gateway = Running::start().await;
    let keys: Vec<String> = (0..900_000).map(|number| format!("\"{number:x}\":0")).collect();
    for body in [
        format!("{{{}}}", keys.join(",")),
        format!("{{\"model\":\"good\",\"input\":[0{}]}}", ",0".repeat(5_000_000)),
        format!("{{\"a\":[{}[]]}}", "[],".repeat(3_000_000)),
    ] {
        for path in [CHAT, MESSAGES, "/v1/embeddings", "/v1/cache/lookup"] {
            let refused = send(&gateway, path, body.clone()).await;
            assert_eq!(refused.status, 400, "{path}");
            assert!(refused.body.contains("more than 500000 values and names"), "{}", refused.body);
        }
    }
    assert_eq!(gateway.upstream.calls(), 0);
}

/// Almost as many values as are allowed. They are read on a thread for such work; where that is not free, they wait,
/// and no one else does.
#[test]
fn a_large_body_keeps_nobody_waiting() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).max_blocking_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let gateway = Running::start().await;
        let fields: Vec<String> =
            (0..240_000).map(|number| format!("\"a field of some length {number:x}\":0")).collect();
        let asked = "\"model\":\"good\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]";
        let body = format!("{{{asked},{}}}", fields.join(","));
        let (release, released) = std::sync::mpsc::channel::<()>();
        let taken = tokio::task::spawn_blocking(move || released.recv());
        let (sent, is_sent) = tokio::sync::oneshot::channel();
        let end = async move {
            sent.send(()).unwrap();
            Ok(Vec::new())
        };
        let body = futures::stream::once(async { Ok::<_, std::io::Error>(body.into_bytes()) });
        let body = reqwest::Body::wrap_stream(body.chain(futures::stream::once(end)));
        // The upstream of the test is on the same thread.
        let request = gateway.client.post(gateway.url(CHAT)).header("cache-control", "only-if-cached");
        let large = tokio::spawn(request.body(body).send());
        is_sent.await.unwrap();
        for _ in 0..200 {
            let health =
                gateway.client.get(format!("http://{}/healthz", gateway.admin)).send().await.unwrap();
            assert_eq!(health.status(), 200);
        }
        assert!(!large.is_finished(), "it was read on the thread that serves everyone");
        release.send(()).unwrap();
        taken.await.unwrap().unwrap();
        assert_eq!(large.await.unwrap().unwrap().status(), 504);
    });
}

#[tokio::test]
async fn what_is_meant_for_the_gateway_never_goes_upstream() {
    let gateway = Running::start().await;
    let head = "\"model\":\"good\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]";
    for body in [
        format!("{{{head},\"wellspring\":{{\"question\":\"q\"}},\"wellspring\":{{}}}}"),
        format!("{{{head},\"n\":1,\"n\":2,\"wellspring\":{{}}}}"),
        format!("{{{head},\"n\":1,\"n\":2,\"wellspr\\u0069ng\":{{}}}}"),
        format!("{{{head},\"a\":{{\"b\":1,\"b\":2}},\"wellspring\":{{}}}}"),
        format!("{{{head},\"user\":\"\\ud800\",\"wellspring\":{{}}}}"),
        format!("{{{head},\"wellspring\":{{}},}}"),
        format!("{{{head},\"temperature\":NaN,\"wellspring\":{{}}}}"),
    ] {
        for path in [CHAT, MESSAGES, "/v1/embeddings"] {
            let refused = send(&gateway, path, body.clone()).await;
            assert_eq!(refused.status, 400, "{path} {body}");
            assert!(refused.body.contains("field wellspring"), "{}", refused.body);
        }
    }
    assert_eq!(gateway.upstream.calls(), 0);
    let embedded = json!({ "model": "e", "input": "a", "wellspring": { "question": "q" } });
    assert_eq!(send(&gateway, "/v1/embeddings", embedded.to_string()).await.status, 200);
    let counted = json!({ "model": "good", "messages": [], "wellspring": { "question": "q" } });
    send(&gateway, "/v1/messages/count_tokens", counted.to_string()).await;
    for seen in gateway.upstream.seen() {
        assert!(!String::from_utf8_lossy(&seen.body).contains("wellspring"), "{}", seen.path);
    }
    assert_eq!(gateway.upstream.calls(), 2);
}

#[tokio::test]
async fn a_permit_is_good_for_its_own_question_only() {
    let gateway = Running::start().await;
    let permit = async |question: &str| {
        let looked = gateway.ask("/v1/cache/lookup", &json!({ "question": question })).await;
        looked.json()["permit"].as_str().unwrap().to_owned()
    };
    let fill = async |permit: String, question: Option<&str>| {
        let mut asked = chat("Context: …");
        asked["wellspring"] = json!({ "permit": permit });
        if let Some(question) = question {
            asked["wellspring"]["question"] = question.into();
        }
        gateway.ask(CHAT, &asked).await
    };
    for other in [Some("Who am I?"), None] {
        let refused = fill(permit("Who are you?").await, other).await;
        assert_eq!((refused.status, gateway.upstream.calls()), (400, 0), "{}", refused.body);
    }
    assert_eq!(
        gateway.ask("/v1/cache/lookup", &json!({ "question": "Who are you?" })).await.json()["status"],
        "miss"
    );
    assert_eq!(fill(permit("Who are you?").await, Some("  Who are  you?")).await.tier(), "miss");
    assert_eq!(
        gateway.ask("/v1/cache/lookup", &json!({ "question": "Who are you?" })).await.json()["status"],
        "hit"
    );
}
