//! The page in a real browser: every view in light and dark, at a desk and on a phone, by pointer and by keyboard.
//!
//! Screenshots are left in `target/tmp/screenshots`, for someone to look at.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use wellspring::judgement::Feedback;
use wellspring_gateway::auth::{Permission, Token};

use crate::admin::asked;
use crate::running::{Reply, Running};

const TOPICS: [(&str, &str); 8] = [
    ("how long does it take until a refund of my order arrives", "refunds.md"),
    ("which parcels can be sent abroad without a customs form", "shipping/abroad.md"),
    ("where do I change the address that my invoices are sent to", "account/billing.md"),
    ("how do I cancel a subscription before the next payment is due", "account/billing.md"),
    ("what does the warranty of a used device cover and for how long", "warranty.md"),
    ("can I return shoes that I have worn outside for a day", "refunds.md"),
    ("who pays the postage when a broken device is sent back", "warranty.md"),
    ("how do I set up two factors for signing in on a new phone", "account/security.md"),
];

/// A few seconds of questions to a shop, enough to give the charts a shape.
async fn visit(gateway: &Running, lasting: Duration) {
    let started = Instant::now();
    let mut round = 0;
    while round < 3 || started.elapsed() < lasting {
        for (number, (question, document)) in TOPICS.iter().enumerate() {
            let wording = match (round + number) % 4 {
                0 => format!("{question} please"),
                1 if round > 0 => format!("{question} {round}{number}"),
                _ => (*question).to_owned(),
            };
            let mut request = asked(&wording, document);
            if number % 3 == 0 {
                request["wellspring"]["sources"] = json!([{ "id": document }, { "id": "terms.md" }]);
            }
            let reply = Reply::of(
                gateway
                    .post(crate::admin::CHAT, &request)
                    .header("wellspring-token", "admin")
                    .send()
                    .await
                    .unwrap(),
            )
            .await;
            if let ("semantic", Ok(entry)) = (reply.tier(), reply.header("wellspring-entry").parse()) {
                let verdict = if number == 4 { Feedback::Wrong } else { Feedback::Right };
                let entry = gateway.cache.id_key().await.unwrap().entry(entry);
                gateway.gateway.telemetry().feedback().judged(entry, verdict);
            }
        }
        if round % 5 == 2 {
            let corpus = wellspring::Corpus::default();
            let change = wellspring::Change::document_version(TOPICS[round % 8].1, round.to_string());
            gateway.cache.invalidate(&corpus, &[change]).await.unwrap();
        }
        round += 1;
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_works() {
    let root = crate::support::root();
    let modules = root.join(".deps/javascript/node_modules");
    assert!(modules.exists(), "the client libraries are missing, fetch them with `make clients`");
    let gateway =
        Running::with(|options| options.tokens = vec![Token::new("a", &[Permission::Admin], "admin")]).await;
    let empty = Running::start().await;
    let lasting = std::env::var("WELLSPRING_VISIT_SECS").ok().and_then(|secs| secs.parse().ok()).unwrap_or(3);
    visit(&gateway, Duration::from_secs(lasting)).await;
    let corpus = wellspring::Corpus::default();
    gateway.cache.begin_update(&corpus, "shipping/abroad.md").await.unwrap();
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&shots).unwrap();
    let mut command = std::process::Command::new("node");
    command
        .arg(root.join("crates/gateway/tests/gateway/admin/browser/check.cjs"))
        .arg(format!("http://{}", gateway.admin))
        .arg(format!("http://{}", empty.admin))
        .arg(&shots)
        .env("NODE_PATH", modules);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("all views work"), "{said}");
}
