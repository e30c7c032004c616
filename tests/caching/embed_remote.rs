//! The remote embedder with a real HTTP server that answers as each test says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use wellspring::ErrorKind;
use wellspring::embed::{Embedded, Embedder, RemoteBuilder, RemoteEmbedder};

/// What the server has seen: headers in lower case, and the body.
type Seen = Arc<Mutex<Vec<(String, serde_json::Value)>>>;

/// What the server does with a request; the last one is repeated.
#[derive(Clone)]
enum Reply {
    /// A status line and headers, and a body.
    Http(&'static str, String),
    /// Right embeddings: `[index, 1]` for each text, listed backwards.
    Embeddings,
    /// Nothing, while the connection stays open.
    Silence,
    /// The end of the connection.
    Close,
}

struct Server {
    url: String,
    seen: Seen,
}

impl Server {
    async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let seen = Seen::default();
        let in_server = Arc::clone(&seen);
        // Ends with the test's runtime.
        tokio::spawn(async move {
            for number in 0.. {
                let (connection, _) = listener.accept().await.unwrap();
                let reply = replies[usize::min(number, replies.len() - 1)].clone();
                tokio::spawn(serve(connection, reply, Arc::clone(&in_server)));
            }
        });
        Self { url, seen }
    }

    fn client(&self) -> RemoteBuilder {
        RemoteEmbedder::builder(&self.url, "test-model", 2).api_key("secret-key")
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

async fn serve(connection: TcpStream, reply: Reply, seen: Seen) {
    let mut connection = BufReader::new(connection);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).await.unwrap();
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head = format!("{head}{line}\n");
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let texts = body["input"].as_array().unwrap().len();
    seen.lock().unwrap().push((head, body));
    let (head, body) = match reply {
        Reply::Http(head, body) => (head, body),
        Reply::Embeddings => {
            let data: Vec<_> = (0..texts)
                .rev()
                .map(|index| serde_json::json!({"object": "embedding", "index": index, "embedding": [index, 1]}))
                .collect();
            ("200 OK", serde_json::json!({"object": "list", "data": data, "model": "test-model"}).to_string())
        }
        Reply::Silence => return std::future::pending().await,
        Reply::Close => return,
    };
    let answer =
        format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    connection.write_all(answer.as_bytes()).await.unwrap();
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("private question {number}")).collect()
}

fn status(status: &'static str) -> Reply {
    Reply::Http(status, r#"{"error":"about your private question"}"#.to_owned())
}

fn ok(body: &str) -> Reply {
    Reply::Http("200 OK", body.to_owned())
}

#[tokio::test]
async fn texts_are_sent_in_batches_and_come_back_in_order() {
    let server = Server::start(vec![Reply::Embeddings]).await;
    let remote = server.client().max_batch(3).build().unwrap();
    let embedded = remote.embed(&texts(7)).await.unwrap();
    let first_components: Vec<bool> = embedded
        .iter()
        .map(|one| match one {
            Embedded::Vector(vector) => vector.as_slice()[0] == 0.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(first_components, [true, false, false, true, false, false, true]);
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    let (head, body) = &seen[0];
    assert!(head.starts_with("post /v1/embeddings http/1.1"), "{head}");
    assert!(head.contains("authorization: bearer secret-key"), "{head}");
    assert_eq!(body["model"], "test-model");
    assert_eq!(body["encoding_format"], "float");
    assert_eq!(body["input"][2], "private question 2");
}

#[tokio::test]
async fn nothing_to_embed_sends_nothing() {
    let server = Server::start(vec![Reply::Embeddings]).await;
    let remote = server.client().max_tokens(10).build().unwrap();
    assert!(remote.embed(&[]).await.unwrap().is_empty());
    let embedded = remote.embed(&texts(1)).await.unwrap();
    assert!(matches!(embedded[..], [Embedded::TooLong]));
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn passing_failures_are_retried() {
    for failure in
        [status("429 Too Many Requests\r\nretry-after: 0"), status("503 Service Unavailable"), Reply::Close]
    {
        let server = Server::start(vec![failure, Reply::Embeddings]).await;
        let embedded = server.client().build().unwrap().embed(&texts(1)).await.unwrap();
        assert!(matches!(embedded[..], [Embedded::Vector(_)]));
        assert_eq!(server.requests(), 2);
    }
}

#[tokio::test]
async fn retries_end() {
    let server = Server::start(vec![status("429 Too Many Requests\r\nretry-after: 0")]).await;
    let error = server.client().max_retries(3).build().unwrap().embed(&texts(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Embedding);
    assert_eq!(server.requests(), 4);
}

#[tokio::test]
async fn a_wait_beyond_the_time_limit_is_not_begun() {
    let server = Server::start(vec![status("429 Too Many Requests\r\nretry-after: 3600")]).await;
    let error = server.client().build().unwrap().embed(&texts(1)).await.unwrap_err();
    assert!(error.to_string().contains("429"), "{error}");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn lasting_failures_are_not_retried_and_quote_neither_texts_nor_key() {
    let right = r#"{"index":0,"embedding":[1,0]}"#;
    for reply in [
        status("401 Unauthorized"),
        status("400 Bad Request"),
        status("302 Found\r\nlocation: http://127.0.0.1:1/"),
        ok(&format!(r#"{{"data":[{right},{{"index":1,"embedding":[1,0]}}]}}"#)),
        ok(r#"{"data":[]}"#),
        ok(r#"{"data":[{"index":0,"embedding":[1,0,0]}]}"#),
        ok(r#"{"data":[{"index":0,"embedding":[1,null]}]}"#),
        ok(r#"{"data":[{"index":0,"embedding":[1,NaN]}]}"#),
        ok(r#"{"data":[{"index":0,"embedding":"private question"}]}"#),
        ok("<html>private question</html>"),
        ok(&" ".repeat(100_000)),
    ] {
        let server = Server::start(vec![reply]).await;
        let error = server.client().build().unwrap().embed(&texts(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Embedding);
        let shown = format!("{error:?}");
        assert!(!shown.contains("private") && !shown.contains("secret"), "{shown}");
        assert_eq!(server.requests(), 1, "{shown}");
    }
}

#[tokio::test]
async fn a_slow_endpoint_is_a_timeout() {
    let server = Server::start(vec![Reply::Silence]).await;
    let remote = server.client().timeout(Duration::from_millis(100)).build().unwrap();
    assert_eq!(remote.embed(&texts(1)).await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn nobody_listening_is_an_error_that_names_the_host() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let remote = RemoteEmbedder::builder(format!("http://{address}"), "m", 2).max_retries(0).build().unwrap();
    let error = remote.embed(&texts(1)).await.unwrap_err();
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}
