//! The official client libraries of OpenAI and Anthropic, unchanged, against the gateway.
#![expect(clippy::unwrap_used, reason = "a failed assumption of a test is a failed test")]

#[path = "../support/gateway.rs"]
mod support;
#[path = "../support/upstream/mod.rs"]
mod upstream;

use std::path::Path;
use std::process::Stdio;

use support::Running;

/// Runs a script of `tests/clients/` by `program`, which `make clients` sees to.
async fn run(program: &Path, script: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let modules = root.join(".deps/javascript/node_modules");
    let present = program.exists() || !program.is_absolute();
    assert!(present && modules.exists(), "the client libraries are missing, fetch them with `make clients`");
    let gateway = Running::start().await;
    let mut command = std::process::Command::new(program);
    command
        .arg(root.join("tests/clients").join(script))
        .env("WELLSPRING_URL", gateway.url(""))
        .env("NODE_PATH", modules)
        .env("NO_PROXY", "127.0.0.1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}

#[tokio::test]
async fn python() {
    run(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/python/bin/python"), "python/check.py").await;
}

#[tokio::test]
async fn javascript() {
    run(Path::new("node"), "javascript/check.cjs").await;
}
