//! `wellspring serve` while its store is unavailable, and what it does not wait for.

use std::time::Instant;

use reqwest::Client;
use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::serve::Served;
use crate::support::servers::Server;
use crate::support::{PATIENCE, eventually};
use crate::upstream::Upstream;

const QUESTION: &str = "When does the museum of natural history open?";

struct Caller<'a> {
    client: Client,
    served: &'a Served,
}

impl Caller<'_> {
    /// Asks until the cache is used; how it was answered. A busy machine may be too late for that now and then.
    async fn ask_cache(&self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let tier = self.ask().await;
            if tier != "bypass" {
                return tier;
            }
            assert!(Instant::now() < deadline, "bypassed for ever");
        }
    }

    /// Asks; how it was answered.
    async fn ask(&self) -> String {
        let body = json!({
            "model": "good", "messages": [{ "role": "user", "content": QUESTION }],
            "wellspring": { "question": QUESTION, "sources": [{ "id": "hours" }] },
        });
        let request = self.client.post(format!("{}/v1/chat/completions", self.served.proxy));
        let response = request.json(&body).bearer_auth("sk-of-the-caller").send().await.unwrap();
        assert_eq!(response.status(), 200);
        let tier = response.headers()["wellspring-tier"].to_str().unwrap().to_owned();
        let answer: Value = response.json().await.unwrap();
        assert!(answer["choices"][0]["message"]["content"].is_string(), "{answer}");
        tier
    }

    async fn store(&self) -> Value {
        let ready = self.client.get(format!("{}/readyz", self.served.proxy)).send().await.unwrap();
        assert_eq!(ready.status(), 200);
        ready.json::<Value>().await.unwrap()["store"].take()
    }

    /// Whether the change was in force when this returned.
    async fn invalidate(&self) -> bool {
        let url = format!("{}/v1/documents/changed", self.served.admin);
        let body = json!({ "documents": [{ "id": "hours" }] });
        self.client.post(url).json(&body).send().await.unwrap().status() == 200
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_before_its_store_is_there_and_takes_it_up() {
    let (sandbox, upstream, server) = (Sandbox::new(), Upstream::start().await, Server::start());
    server.kill();
    let url = format!("valkey://127.0.0.1:{}", server.port());
    let served = Served::start(&sandbox, &upstream, &[("WELLSPRING_STORE", &url)]);
    let caller = Caller { client: Client::new(), served: &served };
    assert_eq!((caller.ask().await, caller.ask().await), ("bypass".into(), "bypass".into()));
    assert_eq!(upstream.calls(), 2);
    assert_eq!(caller.store().await, "bypassed");

    server.restart();
    eventually("the store is taken up", async || caller.store().await == "ok").await;
    assert_eq!(caller.ask_cache().await, "miss");
    // A fill that came too late is made again by the next caller.
    eventually("the answer is stored", async || caller.ask_cache().await == "exact").await;
    eventually("the change is in force", async || caller.invalidate().await).await;
    assert_eq!(caller.ask_cache().await, "miss");
    let log = served.end();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert!(warnings[0].contains("the store is unavailable, so nothing is cached"), "{log}");
    // No more warnings are logged, except those of a busy machine.
    assert!(warnings[1..].iter().all(|warning| warning.contains(" time")), "{log}");
}

/// A change that is reported before the store was ever available takes effect once it is, or is not reported as done.
#[tokio::test(flavor = "multi_thread")]
async fn what_changed_before_the_store_was_there_is_not_served_after() {
    let (sandbox, upstream, server) = (Sandbox::new(), Upstream::start().await, Server::start());
    let url = format!("valkey://127.0.0.1:{}", server.port());
    let environment = [("WELLSPRING_STORE", url.as_str()), ("WELLSPRING_STORE_INVALIDATE_TIMEOUT", "100ms")];
    let first = Served::start(&sandbox, &upstream, &environment);
    let caller = Caller { client: Client::new(), served: &first };
    assert_eq!(caller.ask_cache().await, "miss");
    eventually("the answer is stored", async || caller.ask_cache().await == "exact").await;
    first.end();
    server.stop();
    let second = Served::start(&sandbox, &upstream, &environment);
    let caller = Caller { client: Client::new(), served: &second };
    assert_eq!(caller.ask().await, "bypass");
    assert!(!caller.invalidate().await);
    // The server continues with everything that it had, without a restart, which would end the answers.
    server.cont();
    eventually("the store is taken up", async || {
        let tier = caller.ask().await;
        assert_ne!(tier, "exact", "served from before the change");
        tier == "miss"
    })
    .await;
}

#[test]
fn what_waiting_does_not_help_ends_it_at_once() {
    let sandbox = Sandbox::new();
    let server = Server::builder().password("s3cret").start();
    let host = format!("127.0.0.1:{}", server.port());
    server.command(&["ACL", "SETUSER", "poor", "on", ">s3cret", "~*", "&*", "+@all", "-hmget"]);
    server.command(&["ACL", "SETUSER", "blind", "on", ">s3cret", "~*", "&*", "+@all", "-info"]);
    server.command(&["ACL", "SETUSER", "foreign", "on", ">s3cret", "~other:*", "&*", "+@all"]);
    sandbox.write("damaged.redb", &[7; 8192]);
    for (url, code, reported) in [
        (format!("valkey://:wrong@{host}"), 2, "user or password is wrong"),
        (format!("valkey://{host}"), 2, "it wants a password"),
        (format!("valkey://poor:s3cret@{host}"), 2, "ACL SETUSER poor +hmget"),
        (format!("valkey://blind:s3cret@{host}"), 2, "info"),
        (format!("valkey://foreign:s3cret@{host}"), 2, "~wellspring:*"),
        ("valkey://host:port".to_owned(), 2, "expected embedded:PATH"),
        ("embedded:damaged.redb".to_owned(), 3, "damaged.redb"),
    ] {
        let args = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--store", &url];
        let run = sandbox.run(&args).code(code);
        assert!(run.stderr.contains(reported) && !run.stderr.contains("s3cret"), "{url}: {}", run.stderr);
    }
}
