//! The gateway as a process that may open few files.

use std::io::ErrorKind;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;

use crate::running::{Reply, raw};
use crate::sandbox::Sandbox;
use crate::serve::Served;
use crate::support::{PATIENCE, eventually};
use crate::upstream::Upstream;

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_few_files_outlives_those_who_take_them() {
    let (sandbox, upstream) = (Sandbox::new(), Upstream::start().await);
    let binary = sandbox.command();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 160 && exec \"$0\" \"$@\""]).arg(binary.get_program());
    command.current_dir(binary.get_current_dir().unwrap());
    let served = Served::start_by(command, &upstream, &[("WELLSPRING_SERVER_CLIENT_TIMEOUT", "45s")]);
    let address = |url: &str| url.strip_prefix("http://").unwrap().parse().unwrap();
    let (public, admin) = (address(&served.proxy), address(&served.admin));
    let chat = format!("{}/v1/chat/completions", served.proxy);
    let asked = json!({
        "model": "good", "max_tokens": 100, "messages": [{ "role": "user", "content": "Who?" }],
    });
    let mut silent = Vec::new();
    for _ in 0..180 {
        silent.push(TcpStream::connect(public).await.unwrap());
    }
    let healthy = tokio::time::timeout(PATIENCE, raw(admin, HEALTH)).await;
    assert_eq!(healthy.expect("no one is served").0, 200);
    let is_open = |stream: &TcpStream| {
        stream.try_read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    assert!(is_open(&silent[0]), "administration was taken, too, until the first of them lost its place");
    let client = reqwest::Client::new();
    eventually("callers are served again", async || {
        let sent = client.post(&chat).json(&asked).timeout(Duration::from_secs(20));
        let Ok(response) = sent.send().await else { return false };
        Reply::of(response).await.status == 200
    })
    .await;
    assert_eq!(silent.len(), 180);
}
