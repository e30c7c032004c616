//! What the gateway costs: what `wellspring serve` runs, in a process of its own, with the bundled model and a store in
//! memory, before an upstream on the same machine that answers at once.
//!
//! `wrk` sends the requests for hits, beside the gateway on the same cores; without it they are left out. Each figure
//! has its reference in the same run: hits by meaning are compared with what the embedder alone does in batches,
//! misses with the upstream asked directly.

#![expect(clippy::print_stdout, reason = "the figures")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot run ends")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use hdrhistogram::Histogram;
use reqwest::Client;
use serde_json::{Value, json};
use wellspring::Embedder as _;
use wellspring::embed::OnnxEmbedder;
use wellspring_cli::config::{Config, Opening, Sources};
use wellspring_gateway::{Gateway, listen, raise_descriptors};
use wellspring_test_support::upstream::Upstream;

const SECONDS: u64 = 5;
const CALLERS: usize = 32;
const STREAMS: usize = 1_000;
const MISSES: usize = 1_000;

/// The argument of the process that is the gateway.
const SERVE: &str = "serve";

/// Ends with the bench.
struct Served {
    child: Child,
    proxy: String,
    admin: String,
}

impl Served {
    fn start(upstream: &Upstream) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([SERVE, &upstream.url()])
            .env("ORT_DISABLE_TELEMETRY", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut printed = String::new();
        while !printed.trim_end().ends_with('}') {
            assert_ne!(lines.read_line(&mut printed).unwrap(), 0, "the gateway ended");
        }
        let printed: Value = serde_json::from_str(&printed).unwrap();
        let url = |name: &str| printed[name].as_str().unwrap().to_owned();
        Self { child, proxy: url("proxy"), admin: url("admin") }
    }

    fn chat(&self) -> String {
        format!("{}/v1/chat/completions", self.proxy)
    }

    /// Resident memory in MiB.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        kib.unwrap_or(f64::NAN) / 1024.0
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// Serves in this process until it is killed; prints where.
async fn serve(upstream: String) {
    let sources = [
        ("store.url", "memory:".to_owned()),
        ("match.similarity_threshold", "0.8".to_owned()),
        ("server.sharing", "shared".to_owned()),
        ("server.listen", "127.0.0.1:0".to_owned()),
        ("server.admin_listen", "127.0.0.1:0".to_owned()),
        ("upstream.openai.url", upstream),
    ];
    let sources =
        sources.into_iter().fold(Sources::default(), |sources, (key, value)| sources.flag(key, key, value));
    let config = Config::load(&sources).unwrap().config;
    raise_descriptors();
    let store = config.open_store(Opening::Awaited).await.unwrap();
    let builder = config.cache_builder(config.open_embedder().await.unwrap(), store).await.unwrap();
    // `wrk` repeats its questions, which must be embedded each time.
    let cache = builder.remember_embeddings(0).build().await.unwrap();
    let gateway = Gateway::new(cache, config.gateway_options().unwrap()).unwrap();
    let bound = listen::bind(gateway, config.listeners().unwrap()).unwrap();
    let url = |address| format!("http://{address}");
    println!("{}", json!({ "proxy": url(bound.public().unwrap()), "admin": url(bound.admin().unwrap()) }));
    bound.serve(std::future::pending()).await.unwrap();
}

fn body(model: &str, question: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": question }] })
}

/// Asks; the tier that answered.
async fn ask(client: &Client, url: &str, body: &Value) -> String {
    let response = client.post(url).json(body).send().await.unwrap();
    let tier = response.headers().get("wellspring-tier").map_or("", |tier| tier.to_str().unwrap()).to_owned();
    response.bytes().await.unwrap();
    tier
}

/// Requests per second of `wrk`, which sends `bodies` in turn; none if there is no `wrk`.
fn wrk(url: &str, bodies: &[Value]) -> Option<f64> {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("bodies.lua");
    let texts: Vec<String> = bodies.iter().map(|body| format!("[==[{body}]==]")).collect();
    let lua = format!(
        "local bodies, n = {{ {} }}, 0\nwrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\n\
         request = function() n = n % #bodies + 1; return wrk.format(nil, nil, nil, bodies[n]) end\n",
        texts.join(",\n")
    );
    std::fs::write(&script, lua).unwrap();
    let run = Command::new("wrk")
        .args(["-t1", &format!("-c{CALLERS}"), &format!("-d{SECONDS}s"), "-s"])
        .args([Path::new(&script), Path::new(url)])
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(!said.contains("Non-2xx"), "{said}");
    said.lines().find_map(|line| line.strip_prefix("Requests/sec:"))?.trim().parse().ok()
}

const SUBJECTS: [&str; 8] =
    ["coffee", "glaciers", "violins", "tax law", "vaccines", "bridges", "tulips", "chess"];
const ASKED: [&str; 4] = [
    "What is the history of {}?",
    "Which books on {} are worth reading?",
    "Who teaches {} in Berlin?",
    "How much is spent on {} in a year?",
];

fn questions() -> Vec<String> {
    SUBJECTS.iter().flat_map(|subject| ASKED.iter().map(move |asked| asked.replace("{}", subject))).collect()
}

async fn hits(client: &Client, served: &Served) {
    let questions = questions();
    let stored: Vec<Value> = questions.iter().map(|question| body("good", question)).collect();
    for body in &stored {
        assert_eq!(ask(client, &served.chat(), body).await, "miss");
    }
    for body in &stored {
        while ask(client, &served.chat(), body).await != "exact" {}
    }
    // Other words, so that each needs its embedding.
    let texts: Vec<String> = questions
        .iter()
        .flat_map(|question| [format!("Please tell me: {question}"), format!("{question} Thank you.")])
        .collect();
    let mut reworded = Vec::new();
    for text in &texts {
        let body = body("good", text);
        if ask(client, &served.chat(), &body).await == "semantic" {
            reworded.push(body);
        }
    }
    let (exact, semantic) =
        tokio::task::block_in_place(|| (wrk(&served.chat(), &stored), wrk(&served.chat(), &reworded)));
    let (Some(exact), Some(semantic)) = (exact, semantic) else {
        return println!("hits: wrk is not installed");
    };
    println!("exact hits               {exact:>10.0} /s");
    let embedder = OnnxEmbedder::bundled().unwrap();
    let (started, mut embedded) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(SECONDS) {
        let batch: Vec<String> = texts.iter().cycle().skip(embedded).take(CALLERS).cloned().collect();
        embedded += embedder.embed(&batch).await.unwrap().len();
    }
    let alone = embedded as f64 / started.elapsed().as_secs_f64();
    println!(
        "semantic hits            {semantic:>10.0} /s  {:.2} × the embedder alone in batches ({alone:.0} /s), {} questions",
        semantic / alone,
        reworded.len()
    );
}

async fn misses(client: &Client, served: &Served, upstream: &Upstream) {
    let mut times = [Histogram::<u64>::new(3).unwrap(), Histogram::new(3).unwrap()];
    let urls = [format!("{}/chat/completions", upstream.url()), served.chat()];
    for number in 0..MISSES {
        let body = body("good", &format!("What does the serial number {number} stand for, in full?"));
        for (url, times) in urls.iter().zip(&mut times) {
            let started = Instant::now();
            ask(client, url, &body).await;
            times.record(u64::try_from(started.elapsed().as_micros()).unwrap()).unwrap();
        }
    }
    let at = |quantile: f64| times.each_ref().map(|times| times.value_at_quantile(quantile) as f64 / 1e3);
    for (name, [direct, through]) in [("p50", at(0.5)), ("p99", at(0.99))] {
        println!(
            "miss {name}                 {through:>10.2} ms  {:+.2} ms beside the upstream alone",
            through - direct
        );
    }
}

/// Begins streams and reads their first piece.
async fn begin(client: &Client, served: &Served, kind: &str) -> Vec<reqwest::Response> {
    let opened = futures::stream::iter(0..STREAMS).map(async |number| {
        let mut body = body("slow", &format!("{kind} {number}: what are all the words of this song?"));
        body["stream"] = true.into();
        let mut response = client.post(served.chat()).json(&body).send().await.unwrap();
        response.chunk().await.unwrap().unwrap();
        response
    });
    opened.buffer_unordered(STREAMS).collect().await
}

async fn streams(client: &Client, served: &Served, upstream: &Upstream) {
    let idle = served.memory();
    let open = begin(client, served, "slow").await;
    let busy = served.memory();
    println!("memory                   {idle:>10.0} MiB, {busy:.0} MiB with {STREAMS} open streams");
    for mut response in open {
        while response.chunk().await.unwrap().is_some() {}
    }
    drop(begin(client, served, "gone").await);
    let started = Instant::now();
    let in_flight = async || {
        let overview = client.get(format!("{}/admin/overview", served.admin)).send().await.unwrap();
        overview.json::<Value>().await.unwrap()["in_flight"].as_u64().unwrap_or(u64::MAX)
    };
    // The request that asks is one.
    while upstream.open() > 0 || in_flight().await > 1 {
        assert!(started.elapsed() < Duration::from_secs(30), "{} streams are left", upstream.open());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!(
        "disconnected             {STREAMS:>10} callers, nothing is left after {:.0} ms, {:.0} MiB",
        started.elapsed().as_secs_f64() * 1e3,
        served.memory()
    );
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(SERVE) {
        return serve(arguments.next().unwrap()).await;
    }
    let upstream = Upstream::start().await;
    let served = Served::start(&upstream);
    let client = Client::new();
    hits(&client, &served).await;
    misses(&client, &served, &upstream).await;
    streams(&client, &served, &upstream).await;
}
