//! `wellspring serve` as a process: its traces, what it counts, how it ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use reqwest::Client;
use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::support::eventually;
use crate::upstream::Upstream;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const QUESTION: &str = "When does the museum of natural history open?";
const REWORDED: &str = "when does the natural history museum open?";

/// A collector of OpenTelemetry that keeps what it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

impl Collector {
    /// Its base URL.
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let spans = Arc::clone(&self.0);
        let receive = async move |body: Bytes| {
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            let received = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
            spans.lock().unwrap().extend(received.flat_map(|scope| scope.spans));
        };
        let router = Router::new().route("/v1/traces", post(receive));
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap().clone()
    }
}

/// The gateway in a process of its own, killed with the test.
pub(crate) struct Served {
    child: Child,
    pub(crate) proxy: String,
    pub(crate) admin: String,
}

impl Served {
    pub(crate) fn start(sandbox: &Sandbox, upstream: &Upstream, environment: &[(&str, &str)]) -> Self {
        Self::start_by(sandbox.command(), upstream, environment)
    }

    /// By `command`, to which the arguments are added.
    pub(crate) fn start_by(mut command: Command, upstream: &Upstream, environment: &[(&str, &str)]) -> Self {
        let mut child = command
            .args(["serve", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--openai-url", &upstream.url()])
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut printed = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        while !printed.trim_end().ends_with('}') {
            assert_ne!(lines.read_line(&mut printed).unwrap(), 0, "it ended: {printed}");
        }
        let printed: Value = serde_json::from_str(&printed).unwrap();
        let address = |name: &str| printed[name].as_str().unwrap().to_owned();
        Self { child, proxy: address("proxy"), admin: address("admin") }
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to terminate; what it logged, once it has ended well.
    pub(crate) fn end(mut self) -> String {
        let id = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(self.child.wait().unwrap().success(), "{log}");
        log
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_traced_stage_by_stage_from_its_caller_to_the_upstream() {
    let (sandbox, upstream, collector) = (Sandbox::new(), Upstream::start().await, Collector::default());
    let endpoint = collector.start().await;
    let served = Served::start(
        &sandbox,
        &upstream,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("WELLSPRING_UPSTREAM_PRICES", "good:1000:2000"),
            ("WELLSPRING_MATCH_SIMILARITY_THRESHOLD", "0.8"),
        ],
    );
    let client = Client::new();
    let ask = async |question: &str| {
        let body = json!({ "model": "good", "messages": [{ "role": "user", "content": question }] });
        let request = client.post(format!("{}/v1/chat/completions", served.proxy)).json(&body);
        let request = request.bearer_auth("sk-of-the-caller");
        let response = request.header("traceparent", format!("00-{TRACE}-{PARENT}-01")).send().await.unwrap();
        let tier = response.headers()["wellspring-tier"].to_str().unwrap().to_owned();
        response.bytes().await.unwrap();
        tier
    };
    assert_eq!(ask(QUESTION).await, "miss");
    let overview = async || {
        let overview = client.get(format!("{}/admin/overview", served.admin)).send().await.unwrap();
        overview.json::<Value>().await.unwrap()
    };
    eventually("the answer is stored", async || overview().await["metrics"]["stored"] == 1).await;
    assert_eq!(ask(REWORDED).await, "semantic");
    // 11 tokens were sent and 7 received, at a tenth and a fifth of a cent.
    assert_eq!(overview().await["metrics"]["cost_saved_usd"], 0.025);
    let log = tokio::task::spawn_blocking(|| served.end()).await.unwrap();

    let spans: Vec<Span> =
        collector.spans().into_iter().filter(|span| hex::encode(&span.trace_id) == TRACE).collect();
    let children = |of: &[u8]| -> Vec<&Span> { spans.iter().filter(|s| s.parent_span_id == of).collect() };
    let requests = children(&hex::decode(PARENT).unwrap());
    assert_eq!(requests.len(), 2, "{spans:?}");
    let stages = |request: &Span| {
        let mut stages: Vec<&str> = children(&request.span_id).iter().map(|s| s.name.as_str()).collect();
        stages.sort_unstable();
        stages.join(" ")
    };
    for request in &requests {
        assert_eq!((request.name.as_str(), request.kind()), ("POST /v1/chat/completions", SpanKind::Server));
    }
    assert_eq!(stages(requests[0]), "POST openai embed exact fill search");
    assert_eq!(stages(requests[1]), "embed exact screen search validate");

    let call = spans.iter().find(|span| span.kind() == SpanKind::Client).unwrap();
    let carried = upstream.seen()[0].headers["traceparent"].to_str().unwrap().to_owned();
    assert_eq!(carried, format!("00-{TRACE}-{}-01", hex::encode(&call.span_id)));
    for printed in [format!("{spans:?}"), log] {
        assert!(!printed.contains("museum") && !printed.contains("sk-of-the-caller"), "{printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_cannot_be_shown_is_reported_at_the_start() {
    let (sandbox, upstream) = (Sandbox::new(), Upstream::start().await);
    let budget = [("WELLSPRING_MATCH_MAX_FALSE_HIT_RATE", "0.0001")];
    let served = Served::start(&sandbox, &upstream, &budget);
    let url = format!("{}/admin/overview", served.admin);
    let overview: Value = Client::new().get(url).send().await.unwrap().json().await.unwrap();
    let log = tokio::task::spawn_blocking(|| served.end()).await.unwrap();
    let expected =
        "max_false_hit_rate = 0.0001 cannot be shown by the calibration in force: only exact matches are";
    assert!(log.contains("\"level\":\"WARN\"") && log.contains(expected), "{log}");
    assert!(overview["unshown"].as_str().unwrap().starts_with(expected), "{overview}");
    assert_eq!(overview["threshold"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_made_opens_what_it_names() {
    let (sandbox, upstream) = (Sandbox::new(), Upstream::start().await);
    let made = sandbox.json(&["token", "ingestion", "invalidate"], 0);
    let (token, configured) = (made["token"].as_str().unwrap(), made["configured"].as_str().unwrap());
    let served = Served::start(&sandbox, &upstream, &[("WELLSPRING_SERVER_TOKENS", configured)]);
    let change = async |token: &str| {
        let request = Client::new().post(format!("{}/v1/documents/changed", served.admin));
        let request = request.header("wellspring-token", token).json(&json!({ "id": "handbook" }));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(change(token).await, 200);
    assert_eq!(change("ws-another").await, 401);
    sandbox.run(&["token", "a:b", "read"]).code(2);
    sandbox.run(&["token", "ci", "write"]).code(2);
}
