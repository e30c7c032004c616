//! The dashboard for Grafana asks for nothing that does not exist.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::admin::{ONE, ask, get};
use crate::running::Running;

/// The names of metrics in `text`.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    text.split(move |letter| !is_part(letter)).filter(|word| word.starts_with("wellspring_"))
}

#[tokio::test]
async fn its_queries_name_metrics_that_exist() {
    let gateway = Running::start().await;
    ask(&gateway, ONE, "refunds.md").await;
    let text = get(&gateway, "/metrics").await.body;
    let mut known: BTreeSet<String> = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_count", "_sum"],
            _ => &[""],
        };
        known.extend(suffixes.iter().map(|suffix| format!("{name}{suffix}")));
    }
    let path = crate::support::root().join("deploy/grafana-dashboard.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let expressions: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap())
        .chain(
            dashboard["templating"]["list"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|one| one["query"].as_str()),
        )
        .collect();
    assert!(expressions.len() > 20);
    for expression in &expressions {
        for name in names(expression) {
            assert!(known.contains(name), "{name} in {expression}");
        }
    }
}
