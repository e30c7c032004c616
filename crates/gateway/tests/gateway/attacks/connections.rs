//! Connections that occupy places without sending requests.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::raw;
use crate::proxy::{CHAT, chat, request, streamed};
use crate::running::Running;
use crate::support::eventually;

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// Whether the other end has closed within a minute.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_mins(1), stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn who_connects_and_says_nothing_loses_the_place() {
    let gateway = Running::with(|options| options.limits.open_timeout = Duration::from_millis(300)).await;
    for address in [gateway.public, gateway.admin] {
        for said in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(said).await.unwrap();
            assert!(is_closed(&mut stream).await, "{said:?}");
        }
    }
    // After a client has sent something, HTTP's own timeouts apply.
    let mut slow = TcpStream::connect(gateway.public).await.unwrap();
    slow.write_all(&HEALTH[..10]).await.unwrap();
    let mut later = TcpStream::connect(gateway.public).await.unwrap();
    assert!(is_closed(&mut later).await, "its time ends after that of the first");
    slow.write_all(&HEALTH[10..]).await.unwrap();
    let mut response = String::new();
    slow.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}

#[tokio::test]
async fn callers_without_number_leave_health_and_administration_alone() {
    let gateway = Running::with(|options| options.limits.connections = 3).await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(gateway.public).await.unwrap());
    }
    let asked = chat("Who?").to_string();
    let question = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{asked}",
        asked.len()
    );
    // Without `connection: close` in the request, the gateway closes the connection by itself.
    eventually("the places are taken", async || raw(gateway.public, question.as_bytes()).await.0 == 503)
        .await;
    let (_, refused) = raw(gateway.public, question.as_bytes()).await;
    assert!(
        refused.contains("\"code\":\"too_many_connections\"") && refused.contains("retry-after: 1"),
        "{refused}"
    );
    assert_eq!(raw(gateway.public, HEALTH).await.0, 200);
    assert_eq!(raw(gateway.admin, HEALTH).await.0, 200);
    let overview =
        gateway.client.get(format!("http://{}/admin/overview", gateway.admin)).send().await.unwrap();
    assert_eq!(overview.status(), 200);
    drop(silent);
    eventually("places come back", async || {
        let sent = gateway.client.post(gateway.url(CHAT)).json(&chat("Who?")).header("connection", "close");
        sent.send().await.is_ok_and(|reply| reply.status() == 200)
    })
    .await;
}

#[tokio::test]
async fn requests_without_number_leave_health_and_administration_alone() {
    let gateway = Running::with(|options| options.limits.concurrency = 1).await;
    let mut held = gateway.post(CHAT, &streamed(request(CHAT, "held", "Who?"))).send().await.unwrap();
    held.chunk().await.unwrap();
    assert_eq!(gateway.ask(CHAT, &chat("And who else?")).await.status, 429);
    for (address, path) in
        [(gateway.public, "/healthz"), (gateway.admin, "/healthz"), (gateway.admin, "/admin/overview")]
    {
        let reply = gateway.client.get(format!("http://{address}{path}")).send().await.unwrap();
        assert_eq!(reply.status(), 200, "{path}");
    }
    drop(held);
}

/// A raw request for a stream of 30 MB, whose caller does not read.
async fn asks_and_does_not_read(gateway: &Running, question: &str) -> TcpStream {
    let body = streamed(request(CHAT, "long", question)).to_string();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer caller-key\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(gateway.public).await.unwrap();
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    eventually("the stream is open", async || gateway.upstream.open() > 0).await;
    stream
}

#[tokio::test]
async fn who_does_not_read_keeps_nobody_waiting() {
    let gateway = Running::with(|options| options.limits.write_timeout = Duration::from_secs(1)).await;
    let mut stalled = asks_and_does_not_read(&gateway, "Who reads?").await;
    let asked = streamed(request(CHAT, "long", "Who reads?"));
    let second = tokio::time::timeout(Duration::from_mins(2), gateway.ask(CHAT, &asked)).await.unwrap();
    assert_eq!((second.status, second.body.ends_with("data: [DONE]\n\n")), (200, true));
    // The gateway does not wait for it forever.
    eventually("the stream that no one reads ends", async || gateway.upstream.open() == 0).await;
    let mut rest = Vec::new();
    let _ = stalled.read_to_end(&mut rest).await;
    assert!(rest.len() < second.body.len());
}

#[tokio::test]
async fn what_may_be_kept_is_received_though_its_caller_does_not_read() {
    let gateway = Running::with(|options| options.limits.recording_bytes = 64 << 20).await;
    let stalled = asks_and_does_not_read(&gateway, "Who reads?").await;
    let asked = streamed(request(CHAT, "long", "Who reads?"));
    let second = tokio::time::timeout(Duration::from_mins(2), gateway.ask(CHAT, &asked)).await.unwrap();
    assert_eq!((second.status, second.tier(), gateway.upstream.calls()), (200, "shared", 1));
    drop(stalled);
}
