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

/// Compresses `body` by the coding of that name.
async fn compressed(coding: &str, body: &[u8]) -> Vec<u8> {
    use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
    use tokio::io::AsyncReadExt as _;
    let mut compressed = Vec::new();
    match coding {
        "gzip" => GzipEncoder::new(body).read_to_end(&mut compressed).await,
        "deflate" => ZlibEncoder::new(body).read_to_end(&mut compressed).await,
        "br" => BrotliEncoder::new(body).read_to_end(&mut compressed).await,
        "zstd" => ZstdEncoder::new(body).read_to_end(&mut compressed).await,
        _ => unreachable!(),
    }
    .unwrap();
    compressed
}

#[tokio::test]
async fn what_is_compressed_is_read_and_counts_as_what_it_contains() {
    let gateway = Running::with(|options| options.limits.body_bytes = 1 << 20).await;
    let send = async |path: &str, coding: &str, body: Vec<u8>| {
        let request = gateway
            .client
            .post(gateway.url(path))
            .bearer_auth("caller-key")
            .header("content-encoding", coding);
        Reply::of(request.header("content-type", "application/json").body(body).send().await.unwrap()).await
    };
    for (place, coding) in ["gzip", "deflate", "br", "zstd"].into_iter().enumerate() {
        let mut asked = chat(&format!("Context and question {place}"));
        asked["wellspring"] =
            json!({ "question": format!("Who is number {place}?"), "sources": [{ "id": "a" }] });
        let body = compressed(coding, asked.to_string().as_bytes()).await;
        // Any other request with the question is a hit, so the directive was read.
        assert_eq!(send(CHAT, coding, body).await.tier(), "miss", "{coding}");
        assert_eq!(gateway.ask(CHAT, &asked).await.tier(), "exact", "{coding}");
        assert_eq!(
            gateway
                .admin_post("/v1/documents/changed", &json!({ "documents": [{ "id": "a" }] }))
                .await
                .status,
            200
        );
        let elsewhere = compressed(coding, br#"{"wellspring":{},"input":"a"}"#).await;
        send("/v1/moderations", &coding.to_uppercase(), elsewhere).await;
        for seen in gateway.upstream.seen() {
            assert_eq!(seen.headers.get("content-encoding"), None);
            assert!(
                serde_json::from_slice::<serde_json::Value>(&seen.body).unwrap().get("wellspring").is_none()
            );
        }
        let lookup = compressed(coding, br#"{"question":"Who?"}"#).await;
        assert_eq!(send("/v1/cache/lookup", coding, lookup).await.status, 200);
        let bomb = compressed(coding, &vec![b' '; 64 << 20]).await;
        assert!(bomb.len() < 1 << 20);
        assert_eq!(send(CHAT, coding, bomb).await.status, 413, "{coding}");
        assert_eq!(send(CHAT, coding, asked.to_string().into_bytes()).await.status, 400, "{coding}");
    }
    let calls = gateway.upstream.calls();
    let body = compressed("gzip", chat("Who?").to_string().as_bytes()).await;
    for coding in ["gzip, br", "compress", "unknown", "\u{fc}"] {
        let refused = send(CHAT, coding, body.clone()).await;
        assert_eq!((refused.status, gateway.upstream.calls()), (415, calls), "{coding}");
        assert!(refused.header("accept-encoding").contains("gzip"));
        assert_eq!(refused.json()["error"]["code"], "unsupported_encoding", "{}", refused.body);
    }
    assert_eq!(send(CHAT, "x-gzip", body.clone()).await.status, 200);
    assert_eq!(send(CHAT, "identity", chat("Who?").to_string().into_bytes()).await.tier(), "exact");
}

#[tokio::test]
async fn directives_in_other_encodings_are_refused_with_the_body() {
    let gateway = Running::start().await;
    let body = r#"{"model":"good","messages":[{"role":"user","content":"q"}],"wellspring":{"question":"q"}}"#;
    let utf_16 = body.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let utf_32 = body.chars().flat_map(|letter| u32::from(letter).to_le_bytes()).collect::<Vec<u8>>();
    let marked = [&b"\xff\xfe"[..], &utf_16].concat();
    let not_a_number = body.replace("\"q\"}]", "NaN}]");
    let escaped = not_a_number.replace("wellspring", "\\u0077ellsprin\\u0067");
    for body in [utf_16, utf_32, marked, not_a_number.into_bytes(), escaped.into_bytes()] {
        for path in [CHAT, MESSAGES, "/v1/embeddings"] {
            let request = gateway.client.post(gateway.url(path)).header("content-type", "application/json");
            let refused = request.body(body.clone()).send().await.unwrap();
            assert_eq!(refused.status(), 400, "{path} {}", String::from_utf8_lossy(&body));
        }
    }
    assert_eq!(gateway.upstream.calls(), 0);
}

#[tokio::test]
async fn bodies_that_arrive_together_have_a_limit_of_their_own() {
    use tokio::io::AsyncWriteExt as _;
    let gateway = Running::with(|options| options.limits.body_bytes = 128 << 10).await;
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", 128 << 10);
    let mut arriving = Vec::new();
    // Those that are refused are closed.
    let whole =
        json!({ "model": "good", "messages": [{ "role": "user", "content": "a".repeat(100 << 10) }] });
    let is_full = async || gateway.ask(CHAT, &whole).await.status == 503;
    assert!(!is_full().await);
    for _ in 0..70 {
        let mut stream = tokio::net::TcpStream::connect(gateway.public).await.unwrap();
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(&vec![b' '; 127 << 10]).await;
        arriving.push(stream);
    }
    crate::support::eventually("there is no room", is_full).await;
    // A small body needs none.
    assert_eq!(gateway.ask(CHAT, &chat("Who?")).await.status, 200);
    drop(arriving);
    crate::support::eventually("there is room again", async || !is_full().await).await;
}

#[tokio::test]
async fn a_large_body_counts_against_its_caller_s_allowance() {
    let gateway = Running::with(|options| {
        options.limits.corpora_per_hour = 1;
        options.tokens = vec![wellspring_gateway::auth::Token::new(
            "r",
            &[wellspring_gateway::auth::Permission::Read],
            "read",
        )];
    })
    .await;
    let lookup = async |corpus: &str| {
        let body = json!({ "question": "a ".repeat(100 << 10), "exact": true, "corpus": corpus });
        let request = gateway.client.post(gateway.url("/v1/cache/lookup")).json(&body);
        request.header("wellspring-token", "read").send().await.unwrap().status().as_u16()
    };
    assert_eq!((lookup("one").await, lookup("two").await, lookup("one").await), (200, 429, 200));
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
