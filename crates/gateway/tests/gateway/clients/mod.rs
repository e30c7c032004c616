//! Programs by others, unchanged, against the gateway: the client libraries of OpenAI and Anthropic, and Schemathesis.

mod frameworks;
mod schema;

use std::path::Path;
use std::process::Stdio;

use crate::running::Running;
use crate::support::root;

/// Runs a script with `program`, which `make clients` provides.
async fn run(program: &Path, script: &str) -> String {
    let root = root();
    let modules = root.join(".deps/javascript/node_modules");
    let present = program.exists() || !program.is_absolute();
    assert!(present && modules.exists(), "the client libraries are missing, fetch them with `make clients`");
    let gateway = Running::start().await;
    let mut command = std::process::Command::new(program);
    command
        .arg(root.join(script))
        .env("WELLSPRING_URL", gateway.url(""))
        .env("WELLSPRING_ADMIN_URL", format!("http://{}", gateway.admin))
        .env("OPENAI_API_KEY", "example-key")
        .env("OPENAI_MODEL", "good")
        .env("NODE_PATH", modules)
        .env("NO_PROXY", "127.0.0.1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

/// A program of the environment that `make clients` makes.
fn installed(name: &str) -> std::path::PathBuf {
    root().join(".deps/python/bin").join(name)
}

#[tokio::test]
async fn clients_for_python() {
    let said = run(&installed("python"), "crates/gateway/tests/gateway/clients/python/check.py").await;
    assert_eq!(said.matches("ok ").count(), 9, "{said}");
}

#[tokio::test]
async fn clients_for_javascript() {
    let said = run(Path::new("node"), "crates/gateway/tests/gateway/clients/javascript/check.cjs").await;
    assert_eq!(said.matches("ok ").count(), 5, "{said}");
}

#[tokio::test]
async fn the_example_answers_anew_after_an_edit() {
    let said = run(&installed("python"), "examples/rag_openai.py").await;
    let tiers: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.split_once(']'))
        .map(|(tier, _)| tier)
        .collect();
    assert_eq!(tiers, ["miss", "exact", "miss", "exact", "miss"], "{said}");
}
