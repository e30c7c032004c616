//! The gateway at its bounds, as a process: a disk without room, and the memory that bodies take.

use std::process::Command;

use reqwest::Client;
use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::serve::Served;
use crate::support::eventually;
use crate::upstream::Upstream;

/// The binary under a limit on the size of files, in blocks of 512 bytes, which can be raised. The signal that the limit
/// sends is ignored, so that writes fail instead.
fn limited(sandbox: &Sandbox, blocks: u32) -> Command {
    let binary = sandbox.command();
    let mut command = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$0\" \"$@\"");
    command.arg("-c").arg(script).arg(binary.get_program());
    command.current_dir(binary.get_current_dir().unwrap());
    for (name, value) in binary.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

struct Caller<'a> {
    client: Client,
    served: &'a Served,
}

impl Caller<'_> {
    async fn post(&self, address: &str, path: &str, body: &Value) -> (u16, Value) {
        let response = self.client.post(format!("{address}{path}")).json(body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn look(&self, n: usize) -> Value {
        let body = json!({ "question": format!("What is stated in section {n}?"), "exact": true });
        self.post(&self.served.proxy, "/v1/cache/lookup", &body).await.1
    }

    /// What happened to the answer of `n`.
    async fn fill(&self, n: usize) -> Value {
        let permit = self.look(n).await["permit"].take();
        let answer = "x".repeat(50_000);
        let body = json!({ "permit": permit, "answer": answer, "sources": [{ "id": format!("d{n}") }] });
        self.post(&self.served.proxy, "/v1/cache/fill", &body).await.1["status"].take()
    }

    async fn get(&self, path: &str) -> String {
        let response = self.client.get(format!("{}{path}", self.served.admin)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.text().await.unwrap()
    }

    async fn until(&self, path: &str, holds: impl Fn(&str) -> bool) {
        eventually(path, async || holds(&self.get(path).await)).await;
    }
}

/// After the first write that failed, none succeeded until the process started again, and `/readyz` did not report it.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_on_a_full_disk_serves_says_so_and_goes_on_when_there_is_room() {
    let (sandbox, upstream) = (Sandbox::new(), Upstream::start().await);
    let environment = [("WELLSPRING_STORE", "embedded:store.redb")];
    let served = Served::start_by(limited(&sandbox, 8_000), &upstream, &environment);
    let caller = Caller { client: Client::new(), served: &served };
    let mut stored = 0;
    while caller.fill(stored).await == "stored" {
        stored += 1;
        assert!(stored < 1_000, "the limit on files does not hold");
    }
    assert!(stored > 3, "{stored}");
    caller.until("/readyz", |said| said.contains("\"read_only\"")).await;
    caller.until("/metrics", |said| said.contains("wellspring_store_writable 0")).await;
    assert!(caller.get("/admin/overview").await.contains("cannot write the store's file"));
    assert_eq!(caller.look(1).await["status"], "hit");
    let reported = json!({ "id": "d0" });
    let (status, kept) = caller.post(&served.admin, "/v1/documents/changed", &reported).await;
    assert_eq!((status, &kept["state"]), (202, &json!("waiting")), "it is not on disk: {kept}");
    assert_eq!(caller.look(0).await["status"], "miss");

    let (_, hard) = rlimit::Resource::FSIZE.get().unwrap();
    let id = i32::try_from(served.id()).unwrap();
    rlimit::prlimit(id, rlimit::Resource::FSIZE, Some((hard, hard)), None).unwrap();
    caller.until("/readyz", |said| said.contains("\"store\":\"ok\"")).await;
    caller.until("/v1/documents/pending", |said| said.contains("\"count\":0")).await;
    assert_eq!(caller.fill(stored).await, "stored");
    let log = tokio::task::spawn_blocking(|| served.end()).await.unwrap();
    assert!(log.contains("the store's file can be written again"), "{log}");

    let served = Served::start(&sandbox, &upstream, &environment);
    let caller = Caller { client: Client::new(), served: &served };
    for n in 0..=stored {
        assert_eq!(caller.look(n).await["status"], if n == 0 { "miss" } else { "hit" }, "{n} of {stored}");
    }
    tokio::task::spawn_blocking(|| served.end()).await.unwrap();

    let doctor = |blocks| {
        let mut command = limited(&sandbox, blocks);
        let output = command.args(["doctor", "--json", "--store", "embedded:store.redb"]).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let finding = report["findings"].as_array().unwrap().iter().find(|found| found["check"] == "writing");
        finding.unwrap()["severity"].clone()
    };
    assert_eq!((doctor(1_000), doctor(10_000_000)), (json!("problem"), json!("ok")));
}

/// The most memory that the process had at a time since [`forget_peak`], in bytes.
fn peak(served: &Served) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

fn forget_peak(served: &Served) {
    std::fs::write(format!("/proc/{}/clear_refs", served.id()), "5").unwrap();
}

/// How much memory bodies take at worst, as a multiple of their length. Prints it: `--nocapture`.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_body_takes_of_memory_is_bounded() {
    let (sandbox, upstream) = (Sandbox::new(), Upstream::start().await);
    let body = |parameter: &str| format!("{{\"question\":\"q\",\"parameters\":{{\"a\":{parameter}}}}}");
    let fields = |number: usize| {
        let fields: Vec<String> = (0..number).map(|n| format!("\"{n:08x}\":0")).collect();
        body(&format!("{{{}}}", fields.join(",")))
    };
    let list = |number: usize, item: &str| body(&format!("[0{}]", item.repeat(number)));
    for (name, sent, most) in [
        ("900,000 fields, which are refused", fields(900_000), 3),
        ("5,000,000 integers, which are refused", list(5_000_000, ",0"), 3),
        ("240,000 fields, as many as are allowed", fields(240_000), 60),
        ("490,000 integers, as many as are allowed", list(490_000, ",0"), 50),
        ("160,000 numbers that keep their text, as many as are allowed", list(160_000, ",1.00"), 300),
        ("160,000 objects, as many as are allowed", list(160_000, ",{\"\":0}"), 200),
        ("12 MB of text", body(&format!("\"{}\"", "x".repeat(12_000_000))), 10),
    ] {
        let served = Served::start(&sandbox, &upstream, &[("WELLSPRING_STORE", "memory:")]);
        let client = Client::new();
        let send = async |body: String| {
            let request = client.post(format!("{}/v1/cache/lookup", served.proxy));
            request.header("content-type", "application/json").body(body).send().await.unwrap().status()
        };
        // The memory that the model takes at its first question does not belong to the body.
        assert_eq!(send(fields(1)).await, 200);
        forget_peak(&served);
        let (before, length) = (peak(&served), sent.len() as u64);
        let status = send(sent).await;
        assert!(status == 200 || status == 400, "{name}: {status}");
        let grown = peak(&served).saturating_sub(before);
        let multiple = grown as f64 / length as f64;
        eprintln!("{name}: {length} bytes, {grown} bytes of memory, {multiple:.1} times");
        assert!(grown <= most * length, "{name}: {multiple:.1} times its length");
    }
}
